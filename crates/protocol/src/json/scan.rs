//! The scanner: one pass over the bytes, one node per value and name.
//!
//! Owns what is accepted. Never recurses, never allocates per value besides the tape, never takes longer than linear
//! time. Every body that enters the product goes through here once.

use std::{borrow::Cow, collections::HashSet};

use smallvec::SmallVec;
use tidegate_core::blocks::{BLOCK, marks};

use super::{
    JsonError, JsonErrorKind, Limits, SCHEMA_ZONES,
    fold::{ascii_fingerprint, fingerprint, fold},
    tape::{Node, NodeId, Tag, Tape},
    text::{push_token, text},
};

/// Objects with more members than this are checked for duplicates with a hash set.
const LINEAR_NAMES: usize = 24;
/// Where a pointer in an error is cut.
const POINTER_BYTES: usize = 200;
/// How many bytes of a string are looked at word by word.
const SHORT: usize = 16;

/// Reads exactly one JSON value (RFC 8259) and nothing besides white space around it.
///
/// Stricter than the grammar: the text is UTF-8 without a byte order mark, escapes name whole characters, and the names
/// of an object are unique, also when their letter case is ignored (see [`SCHEMA_ZONES`] for where case counts).
///
/// # Errors
/// When the text is anything else, or goes beyond the limits. Time is linear in the length.
pub fn scan(bytes: &[u8], limits: &Limits) -> Result<Tape, JsonError> {
    let plain = |kind, offset| Err(JsonError::new(kind, offset, String::new()));
    let max_bytes = limits.max_bytes.min(u32::MAX as usize - 1);
    if bytes.len() > max_bytes {
        return plain(JsonErrorKind::TooLarge, max_bytes);
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return plain(JsonErrorKind::ByteOrderMark, 0);
    }
    // The quick check says no more than yes or no; where it fails, the slow one says where.
    if simdutf8::basic::from_utf8(bytes).is_err()
        && let Err(error) = std::str::from_utf8(bytes)
    {
        return plain(JsonErrorKind::InvalidUtf8, error.valid_up_to());
    }
    let mut scanner = Scanner {
        bytes,
        at: 0,
        nodes: Vec::with_capacity((bytes.len() / 24).clamp(32, 65_536)),
        frames: SmallVec::new(),
        names: SmallVec::new(),
        max_depth: limits.max_depth,
        max_nodes: limits.max_nodes.min(u32::MAX as usize - 1),
    };
    match scanner.run() {
        Ok(()) => Ok(Tape { nodes: scanner.nodes }),
        Err(kind) => Err(JsonError::new(kind, scanner.at.min(bytes.len()), scanner.pointer())),
    }
}

struct Frame<'body> {
    container: u32,
    /// Where this object's names start in `names`.
    names: usize,
    object: bool,
    /// Whether letter case counts in here.
    exact: bool,
    seen: Option<HashSet<Cow<'body, str>>>,
}

/// Which of the sixty-four bytes before `end` are not plain.
struct Block {
    end: usize,
    marks: u64,
}

struct Name {
    fingerprint: u64,
    key: u32,
}

struct Scanner<'body> {
    bytes: &'body [u8],
    at: usize,
    nodes: Vec<Node>,
    frames: SmallVec<[Frame<'body>; 8]>,
    names: SmallVec<[Name; 24]>,
    max_depth: usize,
    max_nodes: usize,
}

/// What the grammar expects next.
enum Expect {
    Value,
    FirstName,
    FirstElement,
    More,
}

impl<'body> Scanner<'body> {
    fn run(&mut self) -> Result<(), JsonErrorKind> {
        let mut expect = Expect::Value;
        loop {
            let byte = self.skip_space();
            expect = match expect {
                Expect::Value => self.value(byte)?,
                Expect::FirstName if byte == Some(b'}') => self.close()?,
                Expect::FirstName => self.name(byte)?,
                Expect::FirstElement if byte == Some(b']') => self.close()?,
                Expect::FirstElement => self.value(byte)?,
                Expect::More => {
                    let Some(frame) = self.frames.last() else {
                        return if byte.is_none() { Ok(()) } else { Err(JsonErrorKind::TrailingBytes) };
                    };
                    let object = frame.object;
                    match byte {
                        Some(b',') => {
                            self.at += 1;
                            if object {
                                let byte = self.skip_space();
                                self.name(byte)?
                            } else {
                                Expect::Value
                            }
                        }
                        Some(b'}') if object => self.close()?,
                        Some(b']') if !object => self.close()?,
                        other => return Err(unexpected(other)),
                    }
                }
            };
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    fn push(&mut self, tag: Tag, start: usize, end: usize) -> Result<u32, JsonErrorKind> {
        let index = self.nodes.len();
        if index >= self.max_nodes {
            return Err(JsonErrorKind::TooManyNodes);
        }
        let index = index as u32;
        self.nodes.push(Node { start: start as u32, end: end as u32, next: index + 1, tag });
        Ok(index)
    }

    fn value(&mut self, byte: Option<u8>) -> Result<Expect, JsonErrorKind> {
        match byte {
            Some(b'"') => {
                self.string()?;
                Ok(Expect::More)
            }
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true", Tag::True),
            Some(b'f') => self.literal(b"false", Tag::False),
            Some(b'n') => self.literal(b"null", Tag::Null),
            None if self.nodes.is_empty() => Err(JsonErrorKind::Empty),
            other => Err(unexpected(other)),
        }
    }

    fn open(&mut self, object: bool) -> Result<Expect, JsonErrorKind> {
        if self.frames.len() >= self.max_depth {
            return Err(JsonErrorKind::TooDeep);
        }
        let exact = self.frames.last().is_some_and(|frame| frame.exact || (frame.object && self.in_schema_zone()));
        let container = self.push(if object { Tag::Object } else { Tag::Array }, self.at, self.at)?;
        self.frames.push(Frame { container, names: self.names.len(), object, exact, seen: None });
        self.at += 1;
        Ok(if object { Expect::FirstName } else { Expect::FirstElement })
    }

    /// Whether the name that was read last, whose value is about to start, opens a schema zone.
    fn in_schema_zone(&self) -> bool {
        self.names.last().is_some_and(|name| match self.plain(name.key) {
            Some(plain) => SCHEMA_ZONES.iter().any(|zone| zone.as_bytes() == plain),
            None => SCHEMA_ZONES.contains(&&*self.text_of(name.key)),
        })
    }

    fn close(&mut self) -> Result<Expect, JsonErrorKind> {
        self.at += 1;
        let Some(frame) = self.frames.pop() else { return Err(JsonErrorKind::UnexpectedEnd) };
        self.names.truncate(frame.names);
        let next = self.nodes.len() as u32;
        if let Some(node) = self.nodes.get_mut(frame.container as usize) {
            node.end = self.at as u32;
            node.next = next;
        }
        Ok(Expect::More)
    }

    fn name(&mut self, byte: Option<u8>) -> Result<Expect, JsonErrorKind> {
        if byte != Some(b'"') {
            return Err(unexpected(byte));
        }
        let start = self.at;
        let key = self.string()?;
        if let Err(kind) = self.remember(key) {
            self.at = start;
            return Err(kind);
        }
        match self.skip_space() {
            Some(b':') => {
                self.at += 1;
                Ok(Expect::Value)
            }
            other => Err(unexpected(other)),
        }
    }

    /// Notes a name of the innermost object and refuses it when it was there before.
    fn remember(&mut self, key: u32) -> Result<(), JsonErrorKind> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let (from, exact) = (frame.names, frame.exact);
        let print = self.fingerprint_of(key);
        let earlier = self.names.get(from..).unwrap_or_default();
        let clash = if earlier.len() < LINEAR_NAMES {
            earlier.iter().any(|name| {
                name.fingerprint == print && self.comparable(name.key, exact) == self.comparable(key, exact)
            })
        } else {
            let own = self.comparable(key, exact);
            let rebuilt: Option<HashSet<_>> = match &frame.seen {
                Some(_) => None,
                None => Some(earlier.iter().map(|name| self.comparable(name.key, exact)).collect()),
            };
            let Some(frame) = self.frames.last_mut() else { return Ok(()) };
            if let Some(set) = rebuilt {
                frame.seen = Some(set);
            }
            frame.seen.as_mut().is_some_and(|seen| !seen.insert(own))
        };
        if clash {
            let same = earlier.iter().any(|name| self.text_of(name.key) == self.text_of(key));
            return Err(if same { JsonErrorKind::DuplicateName } else { JsonErrorKind::CaseVariantName });
        }
        self.names.push(Name { fingerprint: print, key });
        Ok(())
    }

    fn fingerprint_of(&self, key: u32) -> u64 {
        self.plain(key).and_then(ascii_fingerprint).unwrap_or_else(|| fingerprint(fold(self.text_of(key)).as_bytes()))
    }

    fn comparable(&self, key: u32, exact: bool) -> Cow<'body, str> {
        let text = self.text_of(key);
        if exact { text } else { fold(text) }
    }

    fn plain(&self, key: u32) -> Option<&'body [u8]> {
        let node = self.nodes.get(key as usize)?;
        if node.tag == Tag::Text { self.bytes.get(node.start as usize + 1..node.end as usize - 1) } else { None }
    }

    fn text_of(&self, key: u32) -> Cow<'body, str> {
        text(self.nodes.get(key as usize), self.bytes).unwrap_or_default()
    }

    fn string(&mut self) -> Result<u32, JsonErrorKind> {
        let start = self.at;
        self.at += 1;
        let mut tag = Tag::Text;
        // Names and most other strings end within a few bytes: for those, looking at a whole block is too much.
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += plain_prefix(rest.get(..SHORT).unwrap_or(rest));
        let mut block = Block { end: 0, marks: 0 };
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return self.push(tag, start, self.at);
                }
                Some(b'\\') => {
                    tag = Tag::EscapedText;
                    self.escape()?;
                }
                Some(byte @ 0..=0x1F) => return Err(JsonErrorKind::ControlCharacter(byte)),
                Some(_) => {}
                None => return Err(JsonErrorKind::UnexpectedEnd),
            }
            self.skip_plain(&mut block);
        }
    }

    /// Moves to the next byte of a string that is not plain, or to the end.
    fn skip_plain(&mut self, block: &mut Block) {
        loop {
            if self.at < block.end {
                let gone = BLOCK - (block.end - self.at);
                let marks = block.marks & (u64::MAX << gone);
                if marks != 0 {
                    self.at += marks.trailing_zeros() as usize - gone;
                    return;
                }
                self.at = block.end;
            }
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(next) = rest.first_chunk::<BLOCK>() else {
                self.at += plain_prefix(rest);
                return;
            };
            *block =
                Block { end: self.at + BLOCK, marks: marks(next, |byte| matches!(byte, b'"' | b'\\') | (byte < 0x20)) };
        }
    }

    fn escape(&mut self) -> Result<(), JsonErrorKind> {
        match self.bytes.get(self.at + 1).copied() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit(self.at)? {
                0xD800..=0xDBFF => {
                    if self.bytes.get(self.at + 6) != Some(&b'\\') || self.bytes.get(self.at + 7) != Some(&b'u') {
                        return Err(JsonErrorKind::LoneSurrogate);
                    }
                    if !(0xDC00..=0xDFFF).contains(&self.code_unit(self.at + 6)?) {
                        return Err(JsonErrorKind::LoneSurrogate);
                    }
                    self.at += 12;
                    Ok(())
                }
                0xDC00..=0xDFFF => Err(JsonErrorKind::LoneSurrogate),
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            Some(_) => Err(JsonErrorKind::InvalidEscape),
            None => Err(JsonErrorKind::UnexpectedEnd),
        }
    }

    /// The four hexadecimal digits of the `\u` escape at `at`.
    fn code_unit(&self, at: usize) -> Result<u32, JsonErrorKind> {
        let Some(digits) = self.bytes.get(at + 2..at + 6) else { return Err(JsonErrorKind::UnexpectedEnd) };
        let mut unit = 0;
        for digit in digits {
            let value = char::from(*digit).to_digit(16).ok_or(JsonErrorKind::InvalidEscape)?;
            unit = unit << 4 | value;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Expect, JsonErrorKind> {
        let start = self.at;
        let mut tag = Tag::Integer;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(JsonErrorKind::InvalidNumber),
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(JsonErrorKind::InvalidNumber);
        }
        if self.peek() == Some(b'.') {
            tag = Tag::Decimal;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            tag = Tag::Decimal;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(tag, start, self.at)?;
        Ok(Expect::More)
    }

    fn digits(&mut self) -> Result<(), JsonErrorKind> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(JsonErrorKind::InvalidNumber) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &[u8], tag: Tag) -> Result<Expect, JsonErrorKind> {
        let end = self.at + literal.len();
        if self.bytes.get(self.at..end) != Some(literal) {
            return Err(JsonErrorKind::InvalidLiteral);
        }
        self.push(tag, self.at, end)?;
        self.at = end;
        Ok(Expect::More)
    }

    /// The pointer to where the scan stands. Counts elements, so it is for errors only.
    fn pointer(&self) -> String {
        let mut out = String::new();
        let children = self.frames.iter().skip(1).map(|frame| frame.container).chain([u32::MAX]);
        let name_ends = self.frames.iter().skip(1).map(|frame| frame.names).chain([self.names.len()]);
        for ((frame, child), name_end) in self.frames.iter().zip(children).zip(name_ends) {
            if out.len() > POINTER_BYTES {
                break;
            }
            if frame.object {
                let last = self.names.get(frame.names..name_end).and_then(<[Name]>::last);
                let Some(name) = last else { break };
                let text = self.text_of(name.key);
                push_token(&mut out, text.get(..text.floor_char_boundary(POINTER_BYTES)).unwrap_or_default());
            } else {
                let mut index = 0_usize;
                let mut at = frame.container + 1;
                while at < child {
                    let Some(node) = self.nodes.get(at as usize) else { break };
                    at = NodeId(node.next).0;
                    index += 1;
                }
                push_token(&mut out, &index.to_string());
            }
        }
        out
    }
}

fn unexpected(byte: Option<u8>) -> JsonErrorKind {
    byte.map_or(JsonErrorKind::UnexpectedEnd, JsonErrorKind::UnexpectedByte)
}

/// Whether all of a string's bytes stand for themselves: no quote, backslash or control character among them.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    plain_prefix(bytes) == bytes.len()
}

/// How many bytes stand before the first quote, backslash or control character. Eight at a time: the subtraction
/// borrows out of a byte only above the lowest hit, so the lowest hit is exact.
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const QUOTES: u64 = ONES * b'"' as u64;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    const SPACES: u64 = ONES * 0x20;
    let below = |word: u64, bound: u64| word.wrapping_sub(bound) & !word & HIGHS;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let hits = below(word ^ QUOTES, ONES) | below(word ^ BACKSLASHES, ONES) | below(word, SPACES);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(tail.len())
}
