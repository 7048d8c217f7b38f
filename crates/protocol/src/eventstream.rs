//! The framing of AWS event streams (`application/vnd.amazon.eventstream`), incrementally and both ways.
//!
//! A message is `u32` total length, `u32` length of the headers, `u32` CRC-32 of these eight bytes, headers, payload,
//! `u32` CRC-32 of everything before it; all numbers are big-endian. A header is its name behind one byte of length, a
//! byte that says of which of ten types it is, and a value.
//!
//! Owns where a message ends and what its headers say. Never interprets a payload, never lets a message pass whose
//! checksums are wrong. What it finds does not depend on where the chunks are cut. Called by the dialects' streams.

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use crate::sse::Frame;

/// The most bytes of one message where nothing else is said: 16 MiB.
pub const DEFAULT_MAX_MESSAGE: usize = 16 << 20;

/// What stands before the headers: two lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const TRAILER: usize = 4;
/// The most bytes of headers that the format allows.
const MOST_HEADERS: usize = 128 << 10;

/// The header that says what sort of message it is: `event`, `exception` or `error`.
const MESSAGE_TYPE: &str = ":message-type";

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventStreamError {
    /// One message is larger than allowed.
    #[error("a message of the event stream is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was set.
        limit: usize,
    },
    /// A checksum is wrong: bytes were lost or changed on the way, or it is no event stream.
    #[error("the checksum of a message's {0} is wrong")]
    Checksum(&'static str),
    /// Lengths or headers contradict the format.
    #[error("a message of the event stream is malformed: {0}")]
    Malformed(&'static str),
}

/// Cuts a stream into messages. Bounded: it holds what was pushed and not yet taken.
///
/// The frame of a message has its bytes as `raw`, its payload as `data`, and as `event` its `:event-type`, or its
/// `:exception-type` or `:error-code`.
#[derive(Debug)]
pub struct EventStreamParser {
    max_message: usize,
    held: BytesMut,
    failed: bool,
}

impl EventStreamParser {
    /// A parser that refuses messages of more than `max_message` bytes.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self { max_message, held: BytesMut::new(), failed: false }
    }

    /// Hands over the next bytes of the stream. Take all messages before pushing more: bytes are kept until then.
    pub fn push(&mut self, chunk: &[u8]) {
        if !self.failed {
            self.held.extend_from_slice(chunk);
        }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The next whole message; `None` until more is pushed.
    ///
    /// # Errors
    /// Once, where a message is beyond the limit, malformed or damaged; after that the parser gives nothing more.
    pub fn next_frame(&mut self) -> Option<Result<Frame, EventStreamError>> {
        let total = match self.length() {
            Ok(total) => total?,
            Err(error) => return self.fail(error),
        };
        if self.held.len() < total {
            return None;
        }
        match frame_of(self.held.split_to(total).freeze()) {
            Ok(frame) => Some(Ok(frame)),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: EventStreamError) -> Option<Result<Frame, EventStreamError>> {
        self.failed = true;
        self.held = BytesMut::new();
        Some(Err(error))
    }

    /// The length of the message that begins here, once its prelude has come.
    fn length(&self) -> Result<Option<usize>, EventStreamError> {
        let Some((prelude, _)) = self.held.split_at_checked(PRELUDE) else { return Ok(None) };
        let (total, _) = lengths(prelude)?;
        if total > self.max_message {
            return Err(EventStreamError::TooLarge { limit: self.max_message });
        }
        Ok(Some(total))
    }
}

/// A big-endian number at the start of `bytes`, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_be_bytes(*number)).ok()?, rest))
}

/// Total length and length of the headers, from a prelude whose checksum is right.
fn lengths(prelude: &[u8]) -> Result<(usize, usize), EventStreamError> {
    let short = EventStreamError::Malformed("it ends inside its prelude");
    let (total, rest) = number(prelude).ok_or(short)?;
    let (headers, rest) = number(rest).ok_or(short)?;
    let (checksum, _) = number(rest).ok_or(short)?;
    let covered = prelude.get(..PRELUDE - TRAILER).ok_or(short)?;
    if usize::try_from(crc32fast::hash(covered)).ok() != Some(checksum) {
        return Err(EventStreamError::Checksum("prelude"));
    }
    if headers > MOST_HEADERS || total < headers.saturating_add(PRELUDE + TRAILER) {
        return Err(EventStreamError::Malformed("its lengths do not fit each other"));
    }
    Ok((total, headers))
}

/// The parts of a whole message.
struct Parts<'raw> {
    headers: &'raw [u8],
    payload: &'raw [u8],
}

/// Takes a whole message apart and checks it.
fn parts(raw: &[u8]) -> Result<Parts<'_>, EventStreamError> {
    let short = EventStreamError::Malformed("it ends before its announced end");
    let (prelude, rest) = raw.split_at_checked(PRELUDE).ok_or(short)?;
    let (total, headers) = lengths(prelude)?;
    if total != raw.len() {
        return Err(short);
    }
    let (covered, checksum) = raw.split_at_checked(total.saturating_sub(TRAILER)).ok_or(short)?;
    let (checksum, _) = number(checksum).ok_or(short)?;
    if usize::try_from(crc32fast::hash(covered)).ok() != Some(checksum) {
        return Err(EventStreamError::Checksum("body"));
    }
    let (headers, rest) = rest.split_at_checked(headers).ok_or(short)?;
    let payload = rest.get(..rest.len().saturating_sub(TRAILER)).ok_or(short)?;
    Ok(Parts { headers, payload })
}

fn frame_of(raw: Bytes) -> Result<Frame, EventStreamError> {
    let Parts { headers, payload } = parts(&raw)?;
    let mut event = None;
    let mut rest = headers;
    while !rest.is_empty() {
        let (header, after) = header(rest)?;
        rest = after;
        if let (":event-type" | ":exception-type" | ":error-code", Some(value)) = (header.name, header.text) {
            event = Some(raw.slice_ref(value.as_bytes()));
        }
    }
    let data = Some(raw.slice_ref(payload));
    Ok(Frame { event, data, id: None, retry: None, raw })
}

/// One header; its value only where it is a text.
struct Header<'raw> {
    name: &'raw str,
    text: Option<&'raw str>,
}

/// The header at the start of `bytes`, and what follows it.
fn header(bytes: &[u8]) -> Result<(Header<'_>, &[u8]), EventStreamError> {
    let short = EventStreamError::Malformed("a header is longer than the headers");
    let (length, rest) = bytes.split_first().ok_or(short)?;
    let (name, rest) = rest.split_at_checked(usize::from(*length)).ok_or(short)?;
    let name = std::str::from_utf8(name).map_err(|_| EventStreamError::Malformed("a header's name is no UTF-8"))?;
    let (kind, rest) = rest.split_first().ok_or(short)?;
    let fixed = match kind {
        // True and false have no value besides their type.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        // A long, a timestamp.
        5 | 8 => 8,
        // A UUID.
        9 => 16,
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk().ok_or(short)?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(short)?;
            let text = if *kind == 7 { std::str::from_utf8(value).ok() } else { None };
            return Ok((Header { name, text }, rest));
        }
        _ => return Err(EventStreamError::Malformed("a header is of no known type")),
    };
    let (_, rest) = rest.split_at_checked(fixed).ok_or(short)?;
    Ok((Header { name, text: None }, rest))
}

/// The text of the header `name` in the bytes of a message; `None` where it has none, or is no message.
#[must_use]
pub fn header_of<'raw>(raw: &'raw [u8], name: &str) -> Option<&'raw str> {
    let mut rest = parts(raw).ok()?.headers;
    while !rest.is_empty() {
        let (header, after) = header(rest).ok()?;
        if header.name == name {
            return header.text;
        }
        rest = after;
    }
    None
}

/// Whether the bytes are a message that reports an error: of the modelled sort (`exception`), or of any other.
#[must_use]
pub fn is_error(raw: &[u8]) -> bool {
    matches!(header_of(raw, MESSAGE_TYPE), Some("exception" | "error"))
}

/// An event of this type with a JSON payload.
#[must_use]
pub fn event(event_type: &str, payload: &[u8]) -> Frame {
    build(&[(":event-type", event_type), (":content-type", "application/json"), (MESSAGE_TYPE, "event")], payload)
}

/// An exception of this type with a JSON payload.
#[must_use]
pub fn exception(exception_type: &str, payload: &[u8]) -> Frame {
    let headers =
        [(":exception-type", exception_type), (":content-type", "application/json"), (MESSAGE_TYPE, "exception")];
    build(&headers, payload)
}

/// A message of text headers. Names of more than 255 bytes and values of more than 65,535 are left out.
fn build(headers: &[(&str, &str)], payload: &[u8]) -> Frame {
    let mut written = Vec::with_capacity(128);
    for (name, value) in headers {
        if let (Ok(name_length), Ok(value_length)) = (u8::try_from(name.len()), u16::try_from(value.len())) {
            written.put_u8(name_length);
            written.put_slice(name.as_bytes());
            written.put_u8(7);
            written.put_u16(value_length);
            written.put_slice(value.as_bytes());
        }
    }
    let raw = message(&written, payload);
    let event = headers.first().map(|(_, value)| Bytes::copy_from_slice(value.as_bytes()));
    let data = payload_of(&raw);
    Frame { raw, event, data, id: None, retry: None }
}

/// The same message with another payload: its headers stay as they are, lengths and checksums are made anew.
///
/// # Errors
/// Where the frame is no message of this format.
pub fn with_payload(frame: &Frame, payload: &[u8]) -> Result<Frame, EventStreamError> {
    let raw = message(parts(&frame.raw)?.headers, payload);
    let data = payload_of(&raw);
    Ok(Frame { raw, data, ..frame.clone() })
}

fn payload_of(raw: &Bytes) -> Option<Bytes> {
    parts(raw).ok().map(|parts| raw.slice_ref(parts.payload))
}

/// Lengths, headers, payload and checksums. What is written here comes from the gateway itself or from a message within
/// the bounds, so that no length reaches 4 GiB.
fn message(headers: &[u8], payload: &[u8]) -> Bytes {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let total = headers.len().saturating_add(payload.len()).saturating_add(PRELUDE + TRAILER);
    let mut raw = BytesMut::with_capacity(total);
    raw.put_u32(length(total));
    raw.put_u32(length(headers.len()));
    raw.put_u32(crc32fast::hash(&raw));
    raw.put_slice(headers);
    raw.put_slice(payload);
    raw.put_u32(crc32fast::hash(&raw));
    raw.freeze()
}
