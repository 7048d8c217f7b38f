//! A file on its way in: read as it comes, and kept when it is whole.
//!
//! Owns how the form becomes a file. What is small enough to be a provider's is held until its purpose is known; a larger
//! one goes to the disk as it comes, and is gone again where it turns out to be none of the gateway's.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tidegate_config::snapshot::OwnBatches;
use tidegate_core::{
    batches::{BatchStoreError, Draft, FileId},
    fault::Fault,
};
use tidegate_protocol::native::{UploadPart, UploadReader};

use super::{beside, unkept};
use crate::stage::admit::too_large;

/// The most bytes of a file that wait for the disk.
const PIECE: usize = 512 << 10;
/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 256;

/// A file that is whole, and not known yet.
pub(crate) struct Uploaded {
    pub(super) id: FileId,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) draft: Box<dyn Draft>,
    /// How many seconds its maker wants it kept.
    pub(super) seconds: Option<u64>,
}

/// The purpose of a form, or of its beginning; `None` where that has none that can be read.
pub(crate) fn purpose(content_type: Option<&HeaderValue>, body: &[u8]) -> Option<String> {
    let mut reader = UploadReader::new(content_type).ok()?;
    reader.push(body);
    while let Some(part) = reader.next_part().ok()? {
        match part {
            UploadPart::Field(name, value) if name == "purpose" => return Some(value),
            _ => {}
        }
    }
    None
}

/// A form that comes in pieces.
pub(crate) struct Receiving {
    reader: UploadReader,
    bounds: OwnBatches,
    gate: Arc<crate::gate::Gate>,
    id: FileId,
    draft: Option<Box<dyn Draft>>,
    waiting: BytesMut,
    length: usize,
    name: Option<String>,
    purpose: Option<String>,
    seconds: Option<u64>,
}

impl Receiving {
    /// Begins a file.
    pub(crate) async fn begin(
        gate: Arc<crate::gate::Gate>,
        content_type: Option<HeaderValue>,
        bounds: OwnBatches,
    ) -> Result<Self, Fault> {
        let reader =
            UploadReader::new(content_type.as_ref()).map_err(|error| Fault::invalid(error.pointer, error.message))?;
        let id = FileId::new();
        if gate.batches.is_full(1, bounds.storage) {
            return Err(full(bounds));
        }
        let asked = Arc::clone(&gate);
        let draft = beside(move || asked.batches.contents.draft(id)).await.map_err(unkept)?;
        Ok(Self {
            reader,
            bounds,
            gate,
            id,
            draft: Some(draft),
            waiting: BytesMut::new(),
            length: 0,
            name: None,
            purpose: None,
            seconds: None,
        })
    }

    /// Takes the next bytes of the body.
    pub(crate) async fn take(&mut self, bytes: &Bytes) -> Result<(), Fault> {
        self.reader.push(bytes);
        loop {
            let next = self.reader.next_part().map_err(|error| Fault::invalid(error.pointer, error.message))?;
            match next {
                None => return Ok(()),
                Some(UploadPart::File(name)) => self.name = Some(cut(name)),
                Some(UploadPart::Field(name, value)) => self.field(&name, value)?,
                Some(UploadPart::Piece(piece)) => self.piece(&piece).await?,
            }
        }
    }

    fn field(&mut self, name: &str, value: String) -> Result<(), Fault> {
        let invalid = |words: &str| Err(Fault::invalid(format!("/{name}"), words.to_owned()));
        match name {
            "purpose" => self.purpose = Some(value),
            "expires_after[anchor]" if value == "created_at" => {}
            "expires_after[anchor]" => return invalid("a file's time is counted from `created_at`"),
            "expires_after[seconds]" => match value.parse() {
                Ok(seconds @ 3_600..=2_592_000) => self.seconds = Some(seconds),
                _ => return invalid("a file is kept for 3600 to 2592000 seconds"),
            },
            _ => return invalid("a file for batches has no such field"),
        }
        Ok(())
    }

    async fn piece(&mut self, piece: &Bytes) -> Result<(), Fault> {
        self.length = self.length.saturating_add(piece.len());
        if self.length > self.bounds.file {
            let most = self.bounds.file;
            let mut fault = too_large(u64::try_from(most).unwrap_or(u64::MAX));
            fault.public_message = format!("The file is larger than the {most} bytes that are taken (batches.file).");
            return Err(fault);
        }
        if self.gate.batches.is_full(u64::try_from(self.length).unwrap_or(u64::MAX), self.bounds.storage) {
            return Err(full(self.bounds));
        }
        self.waiting.extend_from_slice(piece);
        if self.waiting.len() >= PIECE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        let piece = self.waiting.split().freeze();
        let gone = || unkept(BatchStoreError("lost a file that was being written".to_owned()));
        let mut draft = self.draft.take().ok_or_else(gone)?;
        let draft = beside(move || piece.chunks(PIECE).try_for_each(|piece| draft.add(piece)).map(|()| draft)).await;
        self.draft = Some(draft.map_err(unkept)?);
        Ok(())
    }

    /// The end of the body: the file, where it is one for batches.
    pub(crate) async fn end(mut self) -> Result<Uploaded, Fault> {
        if !self.reader.has_ended() {
            return Err(Fault::invalid("", "The form ended before its last boundary."));
        }
        if self.purpose.as_deref() != Some("batch") {
            let words =
                "Files for other purposes than `batch` pass to a provider, up to limits.body: this one is larger.";
            let mut fault = too_large(0);
            fault.public_message = words.to_owned();
            return Err(fault);
        }
        let name = self.name.take().ok_or_else(|| Fault::invalid("/file", "the form has no file"))?;
        if !self.waiting.is_empty() {
            self.flush().await?;
        }
        let gone = || unkept(BatchStoreError("lost a file that was being written".to_owned()));
        let draft = self.draft.take().ok_or_else(gone)?;
        let bytes = u64::try_from(self.length).unwrap_or(u64::MAX);
        Ok(Uploaded { id: self.id, name, bytes, draft, seconds: self.seconds })
    }
}

fn cut(name: String) -> String {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    name.get(..end).unwrap_or_default().to_owned()
}

fn full(bounds: OwnBatches) -> Fault {
    let mut fault = too_large(bounds.storage);
    fault.public_message = format!(
        "The gateway keeps files of {} bytes in all (batches.storage), and there is no room for this one: delete files.",
        bounds.storage
    );
    fault
}
