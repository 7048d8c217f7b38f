//! Secrets that a prefix and an alphabet tell: the formats of `data/secrets.toml`.
//!
//! Owns how a format is matched. A token must stand apart: no letter or digit before or after it. Its length must be
//! within the format's; a longer run is something else. Where the format has a checksum, a right one settles it; a
//! wrong one does not acquit, because a live token with one slip of the pen gives the live one away: it must then
//! look random, as those without a checksum must.

use std::sync::Arc;

use serde::Deserialize;

use super::{checksum::Checksum, entropy};
use crate::guard::{Class, Input, Peek, Sink};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    format: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    category: String,
    prefixes: Vec<String>,
    parts: Vec<Part>,
    #[serde(default)]
    separator: Option<char>,
    #[serde(default)]
    checksum: Option<Checksum>,
    #[serde(default)]
    min_entropy: f64,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    alphabet: Alphabet,
    min: usize,
    max: usize,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Alphabet {
    Digits,
    Letters,
    Base62,
    Base64url,
    Base64,
    Hex,
    Base32,
    Dotted,
}

impl Alphabet {
    fn class(self) -> Class {
        match self {
            Self::Digits => Class::DIGIT,
            Self::Letters => Class::ALPHA,
            Self::Base62 => Class::ALNUM,
            Self::Base64url => Class::WORD,
            Self::Base64 => Class::BASE64,
            Self::Hex => Class::HEX,
            Self::Base32 => Class::BASE32,
            Self::Dotted => Class::DOTTED,
        }
    }
}

struct Format {
    category: Arc<str>,
    prefix: Vec<u8>,
    parts: Vec<Part>,
    separator: u8,
    checksum: Option<Checksum>,
    min_entropy: f64,
}

/// All formats, by the first byte of their prefix, longer prefixes first.
pub(super) struct Formats {
    by_first: Vec<Vec<Format>>,
    dotted: Vec<Format>,
}

impl Formats {
    pub(super) fn load() -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../../data/secrets.toml"))?;
        let mut by_first: Vec<Vec<Format>> = (0..256).map(|_| Vec::new()).collect();
        let mut dotted = Vec::new();
        for entry in data.format {
            let category: Arc<str> = format!("secret.{}", entry.category).into();
            for prefix in &entry.prefixes {
                let format = Format {
                    category: Arc::clone(&category),
                    prefix: prefix.clone().into_bytes(),
                    parts: entry.parts.clone(),
                    separator: entry.separator.map_or(0, |separator| u8::try_from(separator).unwrap_or(0)),
                    checksum: entry.checksum,
                    min_entropy: entry.min_entropy,
                };
                let slot = prefix.bytes().next().and_then(|first| by_first.get_mut(usize::from(first)));
                match slot {
                    _ if prefix.ends_with('.') => dotted.push(format),
                    Some(slot) => slot.push(format),
                    None => {}
                }
            }
        }
        for formats in &mut by_first {
            formats.sort_by_key(|format| std::cmp::Reverse(format.prefix.len()));
        }
        Ok(Self { by_first, dotted })
    }

    /// Looks for a token that starts at `at`, where a word starts.
    pub(super) fn look(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        let Some(formats) = self.by_first.get(usize::from(input.byte(at))) else { return };
        for format in formats.iter().chain(&self.dotted) {
            let done = format.look(input, at, out);
            if done {
                return;
            }
        }
    }

    /// Looks for a token whose prefix ends in a dot and so stands before the run of token bytes that starts at `run`.
    pub(super) fn look_before(&self, input: &Input<'_>, run: usize, out: &mut Sink) {
        for format in &self.dotted {
            if let Some(at) = run.checked_sub(format.prefix.len())
                && at >= input.from()
                && input.starts_word(at)
            {
                format.look(input, at, out);
            }
        }
    }
}

impl Format {
    /// Whether this format decided what stands at `at`.
    fn look(&self, input: &Input<'_>, at: usize, out: &mut Sink) -> bool {
        match input.literal(at, &self.prefix) {
            Some(false) => return false,
            None => {
                out.open(at, &self.category);
                return false;
            }
            Some(true) => {}
        }
        let mut end = at + self.prefix.len();
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                match input.peek(end) {
                    Peek::Byte(byte) if byte == self.separator => end += 1,
                    Peek::More => {
                        out.open(at, &self.category);
                        return false;
                    }
                    _ => return false,
                }
            }
            let stop = input.run_end(part.alphabet.class(), end);
            let length = stop - end;
            if length > part.max {
                return false;
            }
            if stop == input.len() && !input.is_complete() {
                out.open(at, &self.category);
                return false;
            }
            if length < part.min {
                return false;
            }
            end = stop;
        }
        // A dot or a dash at the end belongs to the sentence.
        while matches!(input.before(end), Some(b'.')) {
            end -= 1;
        }
        if input.peek(end).is_not(Class::ALNUM) == Some(false) {
            return false;
        }
        let token = input.slice(at, end);
        let body = token.get(self.prefix.len()..).unwrap_or_default();
        let right = self.checksum.is_some_and(|checksum| checksum.is_right(token, self.prefix.len()));
        if !right && entropy::shannon(body) < self.min_entropy {
            return false;
        }
        out.hit(at, at..end, &self.category);
        true
    }
}
