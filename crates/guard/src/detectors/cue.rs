//! Words that say what a number is: `Tel.: 5551234`, `"phone_number": "…"`, `my SSN is …`.
//!
//! Owns how far before a number a word still speaks of it: on the same line, with nothing but words that fill
//! (`number`, `is`, …) and punctuation between. Never looks further back than [`REACH`] bytes. Detectors ask it only
//! about numbers that would fit.

use serde::Deserialize;
use smallvec::SmallVec;

use crate::guard::Input;

/// How many bytes before a number are read.
const REACH: usize = 64;

/// How many bytes that are no letters may stand right before a number.
const GAP: usize = 12;

/// The words as data gives them, in small letters, several parted by one space.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    /// Whole words.
    words: Vec<String>,
    /// What words end in: for languages that join them or write no spaces.
    #[serde(default)]
    ends: Vec<String>,
    /// What may stand between the word and the number.
    #[serde(default)]
    fillers: Vec<String>,
}

/// The words of one detector.
#[derive(Debug, Deserialize)]
#[serde(from = "Words")]
pub(super) struct Cues {
    known: Words,
    /// The small letters of ASCII that any of them ends in.
    last: u32,
}

impl From<Words> for Cues {
    fn from(known: Words) -> Self {
        let all = known.words.iter().chain(&known.ends).chain(&known.fillers);
        let last = all.filter_map(|word| word.bytes().next_back()).fold(0, |set, byte| set | letter(byte));
        Self { known, last }
    }
}

/// The bit of a small letter of ASCII; none for anything else.
fn letter(byte: u8) -> u32 {
    if byte.is_ascii_lowercase() { 1 << (byte - b'a') } else { 0 }
}

impl Cues {
    /// Whether the text before `start` says that such a number follows.
    pub(super) fn stand_before(&self, input: &Input<'_>, start: usize) -> bool {
        if !self.may_stand_before(input, start) {
            return false;
        }
        let floor = start.saturating_sub(REACH);
        let from = (floor..start).find(|at| input.text().is_char_boundary(*at)).unwrap_or(start);
        let line = input.text().get(from..start).unwrap_or_default();
        let line = line.rsplit_once('\n').map_or(line, |(_, last)| last);
        let line = line.rsplit_once("\\n").map_or(line, |(_, last)| last);
        let mut words = SmallVec::<[u8; 2 * REACH]>::new();
        for character in line.chars() {
            if character.is_alphanumeric() {
                let mut buffer = [0; 4];
                let lower = character.to_lowercase().next().unwrap_or(character);
                words.extend_from_slice(lower.encode_utf8(&mut buffer).as_bytes());
            } else if words.last().is_some_and(|last| *last != b' ') {
                words.push(b' ');
            }
        }
        let mut rest = words.as_slice().trim_ascii_end();
        loop {
            if self.known.ends.iter().any(|end| rest.ends_with(end.as_bytes()))
                || self.known.words.iter().any(|word| whole(rest, word).is_some())
            {
                return true;
            }
            let Some(shorter) = self.known.fillers.iter().find_map(|filler| whole(rest, filler)) else { return false };
            rest = shorter.trim_ascii_end();
        }
    }
}

impl Cues {
    /// Whether the last letter before `start` is one that a word ends in: it tells nearly every number apart before a
    /// word is read.
    fn may_stand_before(&self, input: &Input<'_>, start: usize) -> bool {
        let before = input.slice(start.saturating_sub(GAP), start);
        let last = before.iter().rev().find(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        last.is_some_and(|byte| !byte.is_ascii() || self.last & letter(byte.to_ascii_lowercase()) != 0)
    }
}

/// What stands before `word` at the end of `text`, if it stands there as a word of its own.
fn whole<'t>(text: &'t [u8], word: &str) -> Option<&'t [u8]> {
    let before = text.strip_suffix(word.as_bytes())?;
    (before.is_empty() || before.ends_with(b" ") || !word.is_ascii()).then_some(before)
}

#[cfg(test)]
mod tests;
