//! Server-sent events (WHATWG HTML, section 9.2), incrementally.
//!
//! Owns where an event ends and what it says. Never changes a byte of it: the raw bytes of all frames, and of what
//! [`SseParser::finish`] gives, are the stream. What it finds does not depend on where the chunks are cut. Called by
//! the dialects' streams and the MCP upstream.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// The most bytes of one event where nothing else is said: 16 MiB.
pub const DEFAULT_MAX_EVENT: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than allowed.
    #[error("an event of the stream is larger than {limit} bytes")]
    EventTooLarge {
        /// The limit that was set.
        limit: usize,
    },
}

/// One block of a stream: the lines up to and including a blank one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The original bytes, the blank line included.
    pub raw: Bytes,
    /// The event's name; `None` where none, or an empty one, is given, which means `message`.
    pub event: Option<Bytes>,
    /// The data lines joined by line feeds. `None` where there is no data line (comments, lone names): such a block is
    /// no event.
    pub data: Option<Bytes>,
    /// The event's id, where one is given that holds no NUL.
    pub id: Option<Bytes>,
    /// The reconnection time in milliseconds, where one is given.
    pub retry: Option<u64>,
}

impl Frame {
    /// A frame of its own making. A name is cut at its first line end; every line of the data becomes a data line.
    #[must_use]
    pub fn build(event: Option<&str>, data: &[u8]) -> Self {
        let mut raw = BytesMut::with_capacity(data.len().saturating_add(40));
        if let Some(name) = event.and_then(|name| name.split(['\r', '\n']).next()).filter(|name| !name.is_empty()) {
            raw.extend_from_slice(b"event: ");
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(b"\n");
        }
        let mut rest = data;
        loop {
            let line = Line::split(rest);
            raw.extend_from_slice(b"data: ");
            raw.extend_from_slice(line.content);
            raw.extend_from_slice(b"\n");
            rest = line.rest;
            if line.ending == 0 {
                break;
            }
        }
        raw.extend_from_slice(b"\n");
        Self::parse(raw.freeze(), false)
    }

    /// A comment, as a sign of life: clients see no event.
    #[must_use]
    pub fn comment(text: &str) -> Self {
        let text = text.split(['\r', '\n']).next().unwrap_or_default();
        Self { raw: Bytes::from(format!(": {text}\n\n")), event: None, data: None, id: None, retry: None }
    }

    /// The event's name as text; `message` where none is given, empty where it is not UTF-8.
    #[must_use]
    pub fn event_name(&self) -> &str {
        self.event.as_deref().map_or("message", |name| std::str::from_utf8(name).unwrap_or_default())
    }

    fn parse(raw: Bytes, first: bool) -> Self {
        let mut frame = Self { raw: raw.clone(), event: None, data: None, id: None, retry: None };
        let mut joined: Option<BytesMut> = None;
        let mut rest: &[u8] = &raw;
        if first {
            rest = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
        }
        while !rest.is_empty() {
            let line = Line::split(rest);
            rest = line.rest;
            let (name, value) = field(line.content);
            match name {
                b"data" => match (&frame.data, &mut joined) {
                    (None, _) => frame.data = Some(raw.slice_ref(value)),
                    (Some(earlier), None) => {
                        let mut lines = BytesMut::with_capacity(raw.len());
                        lines.extend_from_slice(earlier);
                        lines.extend_from_slice(b"\n");
                        lines.extend_from_slice(value);
                        joined = Some(lines);
                    }
                    (Some(_), Some(lines)) => {
                        lines.extend_from_slice(b"\n");
                        lines.extend_from_slice(value);
                    }
                },
                b"event" => frame.event = (!value.is_empty()).then(|| raw.slice_ref(value)),
                b"id" if memchr(0, value).is_none() => frame.id = Some(raw.slice_ref(value)),
                b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                    frame.retry = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                }
                _ => {}
            }
        }
        if let Some(lines) = joined {
            frame.data = Some(lines.freeze());
        }
        frame
    }
}

/// The field of a line: name and value. A comment has the empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr(b':', line) else { return (line, line.get(line.len()..).unwrap_or_default()) };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

struct Line<'a> {
    content: &'a [u8],
    /// How many bytes end it: 0 where the text ends first.
    ending: usize,
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    fn split(text: &'a [u8]) -> Self {
        let Some(at) = memchr2(b'\r', b'\n', text) else { return Self { content: text, ending: 0, rest: &[] } };
        let (content, tail) = text.split_at(at);
        let ending = if tail.starts_with(b"\r\n") { 2 } else { 1 };
        Self { content, ending, rest: tail.get(ending..).unwrap_or_default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Unknown,
    CarriageReturn,
    Other,
}

/// Cuts a stream into frames. Bounded: it holds what was pushed and not yet taken, and of an unfinished event no more
/// than the limit.
///
/// Where a blank line ends in CR, the LF that may follow belongs to it. Only streams that ended their line before with
/// a lone CR do without waiting for it; should an LF follow there, it stands at the start of the next frame's raw bytes.
#[derive(Debug)]
pub struct SseParser {
    max_event: usize,
    chunks: VecDeque<Bytes>,
    /// How many bytes of the front chunk were looked at.
    scanned: usize,
    /// The start of an unfinished event, from chunks before.
    carried: BytesMut,
    /// How many bytes the line has so far.
    line: usize,
    last_ending: Ending,
    /// The last byte was a CR that ended a line, and nothing waits for the LF that may follow.
    after_return: bool,
    /// The last byte was a CR that ended a blank line.
    awaiting_feed: bool,
    /// No frame was given yet.
    first: bool,
    /// The line is the first of the stream.
    first_line: bool,
    failed: bool,
}

impl SseParser {
    /// A parser that refuses events of more than `max_event` bytes, their blank line included.
    #[must_use]
    pub fn new(max_event: usize) -> Self {
        Self {
            max_event,
            chunks: VecDeque::new(),
            scanned: 0,
            carried: BytesMut::new(),
            line: 0,
            last_ending: Ending::Unknown,
            after_return: false,
            awaiting_feed: false,
            first: true,
            first_line: true,
            failed: false,
        }
    }

    /// Hands over the next bytes of the stream. Take all frames before pushing more: chunks are kept until then.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !self.failed {
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole frame; `None` until more is pushed.
    ///
    /// # Errors
    /// Once, when an event goes beyond the limit; after that the parser gives nothing more.
    pub fn next_frame(&mut self) -> Option<Result<Frame, SseError>> {
        while let Some(chunk) = self.chunks.front().cloned() {
            if let Some(end) = self.event_end(&chunk) {
                let raw = self.take(&chunk, end);
                if raw.len() > self.max_event {
                    return self.fail();
                }
                let first = std::mem::replace(&mut self.first, false);
                return Some(Ok(Frame::parse(raw, first)));
            }
            if self.carried.len().saturating_add(chunk.len()) > self.max_event {
                return self.fail();
            }
            self.carried.extend_from_slice(&chunk);
            self.chunks.pop_front();
            self.scanned = 0;
        }
        None
    }

    fn fail(&mut self) -> Option<Result<Frame, SseError>> {
        self.failed = true;
        self.chunks.clear();
        self.carried = BytesMut::new();
        Some(Err(SseError::EventTooLarge { limit: self.max_event }))
    }

    /// What stands unfinished when the stream ends: an event that was cut off, never one to act on. A blank line that
    /// still waited for its LF counts as unfinished. Without data in it, nothing was lost.
    pub fn finish(&mut self) -> Option<Frame> {
        for chunk in std::mem::take(&mut self.chunks) {
            self.carried.extend_from_slice(&chunk);
        }
        let raw = std::mem::take(&mut self.carried).freeze();
        (!raw.is_empty()).then(|| Frame::parse(raw, self.first))
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum::<usize>().saturating_add(self.carried.len())
    }

    /// Where in the chunk the event ends, if it does.
    fn event_end(&mut self, chunk: &Bytes) -> Option<usize> {
        while let Some(rest) = chunk.get(self.scanned..).filter(|rest| !rest.is_empty()) {
            let starts_with_feed = rest.first() == Some(&b'\n');
            if std::mem::take(&mut self.awaiting_feed) {
                self.last_ending = if starts_with_feed { Ending::Other } else { Ending::CarriageReturn };
                self.scanned += usize::from(starts_with_feed);
                return Some(self.scanned);
            }
            if std::mem::take(&mut self.after_return) {
                self.last_ending = if starts_with_feed { Ending::Other } else { Ending::CarriageReturn };
                if starts_with_feed {
                    self.scanned += 1;
                    continue;
                }
            }
            let Some(at) = memchr2(b'\r', b'\n', rest) else {
                self.line = self.line.saturating_add(rest.len());
                self.scanned = chunk.len();
                return None;
            };
            let blank = self.is_blank(rest, at);
            self.line = 0;
            self.first_line = false;
            self.scanned += at + 1;
            let feed = rest.get(at) == Some(&b'\n');
            match (blank, feed) {
                (true, true) => {
                    self.last_ending = Ending::Other;
                    return Some(self.scanned);
                }
                (true, false) if self.last_ending == Ending::CarriageReturn => {
                    self.after_return = true;
                    return Some(self.scanned);
                }
                (true, false) => self.awaiting_feed = true,
                (false, true) => self.last_ending = Ending::Other,
                (false, false) => self.after_return = true,
            }
        }
        None
    }

    /// Whether the line that ends `at` bytes into `rest` holds nothing, a byte order mark at the stream's start apart.
    fn is_blank(&self, rest: &[u8], at: usize) -> bool {
        let length = self.line.saturating_add(at);
        if length == 0 {
            return true;
        }
        self.first_line
            && length == BYTE_ORDER_MARK.len()
            && self.carried.iter().chain(rest.iter().take(at)).eq(BYTE_ORDER_MARK)
    }

    fn take(&mut self, chunk: &Bytes, end: usize) -> Bytes {
        let head = chunk.slice(..end);
        self.scanned = 0;
        if end == chunk.len() {
            self.chunks.pop_front();
        } else if let Some(front) = self.chunks.front_mut() {
            *front = chunk.slice(end..);
        }
        if self.carried.is_empty() {
            return head;
        }
        self.carried.extend_from_slice(&head);
        self.carried.split().freeze()
    }
}
