//! Values that their name says are secrets: `password = "…"`, `"api_key": "…"`, `Authorization: Bearer …`.
//!
//! Only the value is the finding. It must look random, by Shannon's entropy and by the kinds of its characters, and
//! must be no placeholder, reference, UUID or, under a weak name, digest. Values hold no spaces.

use std::sync::Arc;

use serde::Deserialize;

use super::entropy::{Kinds, shannon};
use crate::{
    finding::GENERIC,
    guard::{Class, Input, Peek, Sink},
};

const MAX_NAME: usize = 48;
const MAX_SPACE: usize = 8;
const MIN_VALUE: usize = 8;
const MAX_VALUE: usize = 256;
/// How long a value under a weak name must be.
const MIN_WEAK: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "source")]
    _source: String,
    strong: Vec<String>,
    weak: Vec<String>,
    ordinary: Vec<String>,
    schemes: Vec<String>,
    placeholders: Vec<String>,
    references: Vec<String>,
}

/// How surely a name says that its value is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    Strong,
    Weak,
    /// An `Authorization` header: a scheme stands before the value.
    Scheme,
}

/// Which pairs of small letters names end in: for the first letter a set of second ones. It tells nearly every other
/// name apart before a name is read.
struct Endings([u32; 26]);

impl Endings {
    fn of<'n>(names: impl Iterator<Item = &'n String>) -> Self {
        let mut pairs = [0; 26];
        for name in names {
            if let [.., first, last] = name.as_bytes()
                && let Some(seconds) = pairs.get_mut(usize::from(first.wrapping_sub(b'a')))
            {
                *seconds |= 1_u32.checked_shl(u32::from(last.wrapping_sub(b'a'))).unwrap_or(0);
            }
        }
        Self(pairs)
    }

    fn has(&self, first: u8, last: u8) -> bool {
        let place = |byte: u8| (byte | 0x20).wrapping_sub(b'a');
        let bit = 1_u32.checked_shl(u32::from(place(last))).unwrap_or(0);
        self.0.get(usize::from(place(first))).is_some_and(|seconds| seconds & bit != 0)
    }
}

/// The part that looks for named values.
pub(super) struct Assignment {
    data: Data,
    endings: Endings,
    generic: Arc<str>,
    azure: Arc<str>,
}

impl Assignment {
    pub(super) fn load() -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../../data/assignment.toml"))?;
        Ok(Self {
            endings: Endings::of(data.strong.iter().chain(&data.weak).chain(&data.schemes)),
            data,
            generic: Arc::from(GENERIC),
            azure: Arc::from("secret.azure_storage_key"),
        })
    }

    /// Looks at a `=` or `:`.
    pub(super) fn look(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        if matches!(input.before(at), Some(b'=' | b'!' | b'<' | b'>' | b':')) {
            return;
        }
        let Some((strength, name)) = self.name(input, at) else { return };
        let category = if name.as_slice() == b"accountkey" || name.as_slice() == b"sharedaccesskey" {
            &self.azure
        } else {
            &self.generic
        };
        match self.value(input, at, strength) {
            Err(()) => out.open(at, category),
            Ok(None) => {}
            Ok(Some((start, end))) => out.hit(at, start..end, category),
        }
    }

    /// The name before the operator at `at`, in small letters without joints, if it is one of a secret.
    fn name(&self, input: &Input<'_>, at: usize) -> Option<(Strength, smallvec::SmallVec<[u8; 64]>)> {
        let mut end = at;
        end = skip(input, end, 4, |byte| byte == b' ' || byte == b'\t');
        end = skip(input, end, 3, |byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']'));
        if end < 2 || !self.endings.has(input.byte(end - 2), input.byte(end - 1)) {
            return None;
        }
        let start = skip(input, end, MAX_NAME, |byte| Class::DOTTED.has(byte));
        let name: smallvec::SmallVec<[u8; 64]> = input
            .slice(start, end)
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
            .collect();
        let ends = |names: &[String]| names.iter().any(|known| name.ends_with(known.as_bytes()));
        let strength = if ends(&self.data.ordinary) {
            return None;
        } else if ends(&self.data.schemes) {
            Strength::Scheme
        } else if ends(&self.data.strong) {
            Strength::Strong
        } else if ends(&self.data.weak) {
            Strength::Weak
        } else {
            return None;
        };
        Some((strength, name))
    }

    /// Where the value after the operator at `at` stands, if it is a secret.
    fn value(&self, input: &Input<'_>, at: usize, strength: Strength) -> Result<Option<(usize, usize)>, ()> {
        let mut start = at + 1;
        match input.peek(start) {
            // `==` compares; `:=` and `=>` assign.
            Peek::Byte(b'=') if input.byte(at) == b'=' => return Ok(None),
            Peek::Byte(b'=' | b'>') => start += 1,
            _ => {}
        }
        start = spaces(input, start)?;
        let mut quote = None;
        if input.peek(start) == Peek::Byte(b'\\') {
            start += 1;
        }
        match input.peek(start) {
            Peek::More => return Err(()),
            Peek::Byte(byte @ (b'"' | b'\'' | b'`')) => {
                quote = Some(byte);
                start += 1;
            }
            _ => {}
        }
        if strength == Strength::Scheme {
            start = scheme(input, start)?;
        }
        let Some(end) = value_end(input, start, quote)? else { return Ok(None) };
        let value = input.slice(start, end);
        Ok(self.is_secret(value, strength, quote.is_some()).then_some((start, end)))
    }

    fn is_secret(&self, value: &[u8], strength: Strength, quoted: bool) -> bool {
        if value.len() < MIN_VALUE || (strength != Strength::Strong && value.len() < MIN_WEAK) {
            return false;
        }
        let kinds = Kinds::of(value);
        // Base64 may hold no digit, a password none but signs.
        let mixed = kinds.upper && kinds.lower && (strength == Strength::Scheme || (quoted && kinds.other));
        if !kinds.letter() || !(kinds.digit || mixed) {
            return false;
        }
        let least = match (strength, value.len()) {
            (Strength::Strong, ..16) => 2.5,
            (Strength::Strong, _) => 3.0,
            _ => 3.3,
        };
        if shannon(value) < least {
            return false;
        }
        let lower = value.to_ascii_lowercase();
        let has = |part: &String| memchr::memmem::find(&lower, part.as_bytes()).is_some();
        if self.data.placeholders.iter().any(has) {
            return false;
        }
        if self.data.references.iter().any(|start| lower.starts_with(start.as_bytes())) {
            return false;
        }
        let digest = matches!(value.len(), 32 | 40 | 56 | 64 | 96 | 128) && value.iter().all(u8::is_ascii_hexdigit);
        !is_uuid(value) && (strength == Strength::Strong || !digest)
    }
}

/// `end` before at most `limit` bytes that are wanted.
fn skip(input: &Input<'_>, end: usize, limit: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let before = input.slice(end.saturating_sub(limit), end);
    end - before.iter().rev().take_while(|byte| wanted(**byte)).count()
}

/// `at` after at most [`MAX_SPACE`] spaces.
fn spaces(input: &Input<'_>, mut at: usize) -> Result<usize, ()> {
    for _ in 0..=MAX_SPACE {
        match input.peek(at) {
            Peek::Byte(b' ' | b'\t') => at += 1,
            Peek::More => return Err(()),
            _ => break,
        }
    }
    Ok(at)
}

/// Where the value starts after the scheme of an `Authorization` header that starts at `at`.
fn scheme(input: &Input<'_>, at: usize) -> Result<usize, ()> {
    let end = input.run_end(Class::ALPHA, at);
    match input.peek(end) {
        Peek::More if end - at <= 8 => Err(()),
        Peek::Byte(b' ') if end - at <= 8 => spaces(input, end),
        _ => Ok(at),
    }
}

/// Where the value that starts at `start` ends; `None` where it is too long or no plain value.
fn value_end(input: &Input<'_>, start: usize, quote: Option<u8>) -> Result<Option<usize>, ()> {
    let mut end = start;
    loop {
        if end - start > MAX_VALUE {
            return Ok(None);
        }
        match input.peek(end) {
            Peek::More => return Err(()),
            Peek::End => break,
            Peek::Byte(byte) => match quote {
                Some(quote) if byte == quote || byte == b'\\' => return Ok(Some(end)),
                Some(_) if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`') => {}
                Some(_) => return Ok(None),
                None if Class::VALUE.has(byte) => {}
                None => break,
            },
        }
        end += 1;
    }
    if quote.is_none() {
        // Padding of base64, and then no call or index.
        for _ in 0..2 {
            match input.peek(end) {
                Peek::Byte(b'=') => end += 1,
                Peek::More => return Err(()),
                _ => break,
            }
        }
        match input.peek(end) {
            Peek::Byte(b'(' | b'[') => return Ok(None),
            Peek::More => return Err(()),
            _ => {}
        }
        while end > start && matches!(input.before(end), Some(b'.' | b'!' | b'?')) {
            end -= 1;
        }
    }
    Ok(Some(end))
}

/// Whether this is a UUID in its usual form (RFC 9562).
fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests;
