//! A form with one file (`multipart/form-data`, RFC 7578), read as it comes: for files that are too large to be held.
//!
//! Owns a strict reader that holds no more than a part's head and what may be the begin of a boundary. What two readers
//! could part differently is refused, as where forms are read whole. Called by the proxy for files of its own.

use bytes::{Bytes, BytesMut};
use http::header::HeaderValue;

use super::form::{LONGEST_HEAD, boundary, head_of, is_form, refused};
use crate::llm::ReadError;

/// The most parts, and the most bytes of a field that is no file.
const MOST_PARTS: usize = 32;
const LONGEST_FIELD: usize = 4_096;

/// What a form says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadPart {
    /// A field and its text.
    Field(String, String),
    /// The file begins; its name, where it has one.
    File(String),
    /// The next bytes of the file.
    Piece(Bytes),
}

enum At {
    /// Right behind a boundary.
    Boundary,
    Head,
    Field(String),
    File,
    End,
}

/// Reads a form.
pub struct UploadReader {
    buffer: BytesMut,
    /// What stands between two parts.
    between: memchr::memmem::Finder<'static>,
    at: At,
    parts: usize,
    names: Vec<String>,
    begun: bool,
    has_file: bool,
}

impl std::fmt::Debug for UploadReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadReader").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl UploadReader {
    /// A reader of a form of this media type.
    ///
    /// # Errors
    /// Where it is no form, or has no boundary.
    pub fn new(content_type: Option<&HeaderValue>) -> Result<Self, ReadError> {
        let media = content_type.filter(|media| is_form(Some(media)));
        let media = media.ok_or_else(|| refused("is none: send the file as multipart/form-data"))?;
        let boundary = boundary(media).ok_or_else(|| refused("has no boundary that is one"))?;
        let between = memchr::memmem::Finder::new(&format!("\r\n--{boundary}")).into_owned();
        Ok(Self {
            // The first boundary has no line end before it.
            buffer: BytesMut::from(&b"\r\n"[..]),
            between,
            at: At::File,
            parts: 0,
            names: Vec::new(),
            begun: false,
            has_file: false,
        })
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What the bytes so far say next; `None` where more are needed, and at the end.
    ///
    /// # Errors
    /// Where the form is not of the strict form. Nothing is to be read behind an error.
    pub fn next_part(&mut self) -> Result<Option<UploadPart>, ReadError> {
        loop {
            let length = self.between.needle().len();
            match &self.at {
                At::Boundary => match self.buffer.get(..2) {
                    None => return Ok(None),
                    Some(b"--") => {
                        self.skip(2);
                        self.at = At::End;
                    }
                    Some(b"\r\n") if self.parts < MOST_PARTS => {
                        self.skip(2);
                        self.parts = self.parts.saturating_add(1);
                        self.at = At::Head;
                    }
                    Some(b"\r\n") => return Err(refused("has more than 32 parts")),
                    Some(_) => return Err(refused("has something beside its boundary")),
                },
                At::Head => {
                    let head = self.buffer.get(..LONGEST_HEAD.min(self.buffer.len())).unwrap_or_default();
                    let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") else {
                        let too_long = self.buffer.len() >= LONGEST_HEAD;
                        return if too_long { Err(refused("has a part without a head")) } else { Ok(None) };
                    };
                    let (name, file) = head_of(head.get(..end).unwrap_or_default())?;
                    self.skip(end.saturating_add(4));
                    if let Some(part) = self.begin(name, file)? {
                        return Ok(Some(part));
                    }
                }
                At::Field(name) => {
                    let Some(end) = self.between.find(&self.buffer) else {
                        let too_long = self.buffer.len() > LONGEST_FIELD.saturating_add(length);
                        return if too_long { Err(refused("has a field of more than 4 KiB")) } else { Ok(None) };
                    };
                    if end > LONGEST_FIELD {
                        return Err(refused("has a field of more than 4 KiB"));
                    }
                    let name = name.clone();
                    let value = self.buffer.split_to(end);
                    self.skip(length);
                    self.at = At::Boundary;
                    let text = std::str::from_utf8(&value).map_err(|_| refused("has a field that is no UTF-8"))?;
                    return Ok(Some(UploadPart::Field(name, text.to_owned())));
                }
                At::File => match self.between.find(&self.buffer) {
                    Some(0) => {
                        self.skip(length);
                        self.at = At::Boundary;
                        self.begun = true;
                    }
                    _ if !self.begun && self.buffer.len() < length => return Ok(None),
                    _ if !self.begun => return Err(refused("does not begin with its boundary")),
                    Some(end) => return Ok(Some(UploadPart::Piece(self.buffer.split_to(end).freeze()))),
                    None => {
                        // What may be the begin of a boundary waits.
                        let whole = self.buffer.len().saturating_sub(length.saturating_sub(1));
                        return Ok((whole > 0).then(|| UploadPart::Piece(self.buffer.split_to(whole).freeze())));
                    }
                },
                At::End if matches!(&*self.buffer, b"" | b"\r" | b"\r\n") => return Ok(None),
                At::End => return Err(refused("goes on after its end")),
            }
        }
    }

    fn begin(&mut self, name: String, file: Option<String>) -> Result<Option<UploadPart>, ReadError> {
        if self.names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return Err(ReadError::new(format!("/{name}"), "the form has this field twice"));
        }
        self.names.push(name.clone());
        let Some(file) = file else {
            self.at = At::Field(name);
            return Ok(None);
        };
        if name != "file" || std::mem::replace(&mut self.has_file, true) {
            return Err(ReadError::new(format!("/{name}"), "the form takes one file, in the field `file`"));
        }
        self.at = At::File;
        Ok(Some(UploadPart::File(file)))
    }

    fn skip(&mut self, bytes: usize) {
        let _ = self.buffer.split_to(bytes.min(self.buffer.len()));
    }

    /// Whether the form has come to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.at, At::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--xyz\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: text/plain\r\n\r\n\
        {\"a\":1}\r\n--xy\r\n{\"b\":2}\r\n--xyz--\r\n";

    fn read(form: &str, step: usize) -> Result<Vec<UploadPart>, ReadError> {
        let media = HeaderValue::from_static("multipart/form-data; boundary=xyz");
        let mut reader = UploadReader::new(Some(&media))?;
        let mut parts: Vec<UploadPart> = Vec::new();
        for bytes in form.as_bytes().chunks(step) {
            reader.push(bytes);
            while let Some(part) = reader.next_part()? {
                match (parts.last_mut(), part) {
                    (Some(UploadPart::Piece(before)), UploadPart::Piece(more)) => {
                        *before = [&before[..], &more[..]].concat().into();
                    }
                    (_, part) => parts.push(part),
                }
            }
        }
        if reader.has_ended() { Ok(parts) } else { Err(refused("has no end")) }
    }

    #[test]
    fn a_form_is_read_the_same_however_it_comes() {
        let expected = [
            UploadPart::Field("purpose".to_owned(), "batch".to_owned()),
            UploadPart::File("a.jsonl".to_owned()),
            UploadPart::Piece(Bytes::from_static(b"{\"a\":1}\r\n--xy\r\n{\"b\":2}")),
        ];
        for step in 1..FORM.len() + 1 {
            assert_eq!(read(FORM, step).unwrap(), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn what_two_readers_could_part_differently_is_refused() {
        let twice = FORM.replace("name=\"purpose\"", "name=\"file\"");
        let other = FORM.replace("name=\"file\"", "name=\"other\"");
        let long = FORM.replace("batch", &"b".repeat(LONGEST_FIELD + 1));
        let head = FORM.replace("Content-Type: text/plain", &format!("x: {}", "y".repeat(LONGEST_HEAD)));
        let more = format!("{FORM}--xyz");
        let parts = "--xyz\r\nContent-Disposition: form-data; name=\"N\"\r\n\r\n1\r\n";
        let many: String = (0..40).map(|at| parts.replace('N', &format!("n{at}"))).collect();
        for form in [&twice, &other, &long, &head, &more, &many, &FORM[2..], &FORM[..FORM.len() - 6]] {
            for step in [1, 7, form.len()] {
                assert!(read(form, step).is_err(), "{form:.80}");
            }
        }
        assert!(UploadReader::new(Some(&HeaderValue::from_static("application/json"))).is_err());
        assert!(UploadReader::new(None).is_err());
    }
}
