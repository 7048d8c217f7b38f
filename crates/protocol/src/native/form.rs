//! A form of several parts (`multipart/form-data`, RFC 7578) as a vendor's own API takes it: its fields for guards, the
//! model that it names, its files as they are.
//!
//! Owns a strict reader: what two readers could part differently is refused, so that what is decided on is what the
//! vendor reads. Never changes a byte but of the fields that are replaced.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use http::header::HeaderValue;
use tidegate_core::segment::{Origin, Segment, SegmentKind, SegmentPath};

use super::sound;
use crate::{
    json::{Edit, splice},
    llm::ReadError,
};

/// The most parts, the most bytes of a part's head, and of a field that is no file.
const MOST_PARTS: usize = 64;
pub(super) const LONGEST_HEAD: usize = 2_048;
const LONGEST_FIELD: usize = 1024 * 1024;

/// Fields that hold marks and numbers, never words.
const MARKS: [&str; 14] = [
    "model",
    "n",
    "size",
    "quality",
    "background",
    "output_format",
    "response_format",
    "temperature",
    "stream",
    "stream_format",
    "input_fidelity",
    "moderation",
    "output_compression",
    "partial_images",
];

/// Fields that name a sound which is not in the form: Groq's, and Mistral's.
const SOUNDS: [&str; 3] = ["url", "file_url", "file_id"];

#[derive(Debug, Clone)]
struct Part {
    name: String,
    is_file: bool,
    value: Range<usize>,
    replaced: Option<String>,
}

/// A form.
#[derive(Debug, Clone)]
pub(super) struct Form {
    bytes: Bytes,
    parts: Vec<Part>,
    version: u32,
}

/// Whether a body is such a form by its media type.
pub(super) fn is_form(content_type: Option<&HeaderValue>) -> bool {
    essence(content_type).is_some_and(|essence| essence.eq_ignore_ascii_case("multipart/form-data"))
}

fn essence(content_type: Option<&HeaderValue>) -> Option<&str> {
    content_type?.to_str().ok()?.split(';').next().map(str::trim)
}

/// What separates the parts (RFC 2046, section 5.1.1).
pub(super) fn boundary(content_type: &HeaderValue) -> Option<&str> {
    let mut parameters = content_type.to_str().ok()?.split(';').skip(1);
    let (name, value) = parameters.next()?.split_once('=')?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    let fits = (1..=70).contains(&value.len()) && value.bytes().all(plain);
    (name.trim().eq_ignore_ascii_case("boundary") && fits && parameters.next().is_none()).then_some(value)
}

pub(super) fn refused(why: &str) -> ReadError {
    ReadError::new("", format!("the form {why}"))
}

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// Where it is not of the strict form.
    pub(super) fn read(content_type: &HeaderValue, bytes: Bytes) -> Result<Self, ReadError> {
        let boundary = boundary(content_type).ok_or_else(|| refused("has no boundary that is one"))?;
        let first = format!("--{boundary}");
        let between = format!("\r\n--{boundary}");
        if !bytes.starts_with(first.as_bytes()) {
            return Err(refused("does not begin with its boundary"));
        }
        let finder = memchr::memmem::Finder::new(&between);
        let mut parts = Vec::new();
        let mut at = first.len();
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if let Some(end) = rest.strip_prefix(b"--") {
                if !matches!(end, b"" | b"\r\n") {
                    return Err(refused("goes on after its end"));
                }
                break;
            }
            if !rest.starts_with(b"\r\n") {
                return Err(refused("has something beside its boundary"));
            }
            if parts.len() >= MOST_PARTS {
                return Err(refused("has more than 64 parts"));
            }
            let start = at.saturating_add(2);
            let part = bytes.get(start..).unwrap_or_default();
            let head = part.get(..LONGEST_HEAD.min(part.len())).unwrap_or_default();
            let head_end =
                memchr::memmem::find(head, b"\r\n\r\n").ok_or_else(|| refused("has a part without a head"))?;
            let (name, file) = head_of(head.get(..head_end).unwrap_or_default())?;
            let is_file = file.is_some();
            let value_start = start.saturating_add(head_end).saturating_add(4);
            // The separator of an empty value is the end of the head.
            let search = value_start.saturating_sub(2);
            let found = finder.find(bytes.get(search..).unwrap_or_default()).ok_or_else(|| refused("has no end"))?;
            let value_end = search.saturating_add(found).max(value_start);
            let value = value_start..value_end;
            if !is_file && value.len() > LONGEST_FIELD {
                return Err(refused("has a field of more than 1 MiB"));
            }
            if !is_file && std::str::from_utf8(bytes.get(value.clone()).unwrap_or_default()).is_err() {
                return Err(refused("has a field that is no UTF-8"));
            }
            // A list's name ends with brackets, and a file's comes as often as there are files.
            let twice = parts.iter().any(|other: &Part| other.name.eq_ignore_ascii_case(&name));
            if twice && !is_file && !name.ends_with("[]") {
                return Err(ReadError::new(format!("/{name}"), "the form has this field twice"));
            }
            parts.push(Part { name, is_file, value, replaced: None });
            at = search.saturating_add(found).saturating_add(between.len());
        }
        Ok(Self { bytes, parts, version: 0 })
    }

    fn value<'form>(&'form self, part: &'form Part) -> Cow<'form, str> {
        match &part.replaced {
            Some(text) => Cow::Borrowed(text),
            None => String::from_utf8_lossy(self.bytes.get(part.value.clone()).unwrap_or_default()),
        }
    }

    /// A field that is no file.
    pub(super) fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        self.parts.iter().find(|part| part.name == name && !part.is_file).map(|part| self.value(part))
    }

    /// How many files there are, and their bytes.
    pub(super) fn files(&self) -> (u64, u64) {
        let files = self.parts.iter().filter(|part| part.is_file);
        files.fold((0_u64, 0_u64), |(count, bytes), part| {
            let size = u64::try_from(part.value.len()).unwrap_or(u64::MAX);
            (count.saturating_add(1), bytes.saturating_add(size))
        })
    }

    /// How many milliseconds its files are, probably, where they are sounds.
    pub(super) fn sound(&self) -> u64 {
        let files = self.parts.iter().filter(|part| part.is_file);
        let long = files.map(|part| sound::likely(self.bytes.get(part.value.clone()).unwrap_or_default()));
        long.fold(0, u64::saturating_add)
    }

    /// Whether it names a sound that is not in it: at an address, or among the vendor's files.
    pub(super) fn names_sound(&self) -> bool {
        SOUNDS.into_iter().any(|name| self.field(name).is_some_and(|value| !value.trim().is_empty()))
    }

    /// Every field with words.
    pub(super) fn segments(&self) -> Vec<Segment<'_>> {
        let parts = self.parts.iter().zip(0_u32..);
        let words = parts.filter(|(part, _)| !part.is_file && !MARKS.contains(&part.name.as_str()));
        words
            .map(|(part, index)| Segment {
                origin: Origin::Prompt,
                path: SegmentPath(index),
                kind: SegmentKind::Text,
                name: Some(Cow::Borrowed(part.name.as_str())),
                text: self.value(part),
            })
            .collect()
    }

    /// Puts another text in the place of a field; says whether it is one, and the text one that it can hold.
    pub(super) fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        let index = usize::try_from(path.0).unwrap_or(usize::MAX);
        match self.parts.get_mut(index).filter(|part| !part.is_file && !text.contains("\r\n--")) {
            Some(part) => {
                part.replaced = Some(text.to_owned());
                self.version = self.version.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Where a field stands.
    pub(super) fn pointer(&self, path: SegmentPath) -> String {
        let index = usize::try_from(path.0).unwrap_or(usize::MAX);
        self.parts.get(index).map(|part| format!("/{}", part.name)).unwrap_or_default()
    }

    /// How often it was changed.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// The form as it stands; with another `model`, where one is given.
    pub(super) fn current(&self, model: Option<&str>) -> Bytes {
        let edits: Vec<Edit> = self
            .parts
            .iter()
            .filter_map(|part| {
                let named = model.filter(|_| part.name == "model" && !part.is_file).map(str::to_owned);
                let replacement = named.or_else(|| part.replaced.clone())?.into_bytes();
                Some(Edit { span: part.value.clone(), replacement })
            })
            .collect();
        if edits.is_empty() {
            return self.bytes.clone();
        }
        // Parts never overlap; were it not so, an empty body is safer than one without an edit.
        splice(&self.bytes, edits).map_or_else(|_| Bytes::new(), Bytes::from)
    }
}

/// The name of a part, and the file's, where it is one.
pub(super) fn head_of(head: &[u8]) -> Result<(String, Option<String>), ReadError> {
    let head = std::str::from_utf8(head).map_err(|_| refused("has a part whose head is no UTF-8"))?;
    let mut found = None;
    for line in head.split("\r\n") {
        let (header, value) = line.split_once(':').ok_or_else(|| refused("has a part with a broken head"))?;
        if line.contains(['\r', '\n', '\0']) || header.trim() != header || header.is_empty() {
            return Err(refused("has a part with a broken head"));
        }
        if header.eq_ignore_ascii_case("content-transfer-encoding") {
            return Err(refused("has an encoded part"));
        }
        if header.eq_ignore_ascii_case("content-disposition") && found.replace(disposition(value)?).is_some() {
            return Err(refused("has a part with two names"));
        }
    }
    found.ok_or_else(|| refused("has a part without a name"))
}

/// Reads `form-data; name="…"; filename="…"`.
fn disposition(value: &str) -> Result<(String, Option<String>), ReadError> {
    let broken = || refused("has a part whose name cannot be read in one way");
    let mut rest = value.trim().strip_prefix("form-data").ok_or_else(broken)?.trim_start();
    let (mut name, mut file) = (None, None);
    while let Some(after) = rest.strip_prefix(';') {
        let (key, quoted) = after.trim_start().split_once("=\"").ok_or_else(broken)?;
        let (text, next) = quoted.split_once('"').ok_or_else(broken)?;
        if text.contains(['\\', '\0']) {
            return Err(broken());
        }
        match key {
            "name" if name.is_none() && !text.is_empty() && text.len() <= 128 => name = Some(text.to_owned()),
            "filename" if file.is_none() => file = Some(text.to_owned()),
            _ => return Err(broken()),
        }
        rest = next.trim_start();
    }
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok((name.ok_or_else(broken)?, file))
}
