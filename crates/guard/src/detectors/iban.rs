//! Bank account numbers by ISO 13616: a country with its length, check digits by mod 97, single spaces or dashes between.
//!
//! At least eight digits are asked for, which every country's real accounts have. Upper and lower case both count.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::guard::{Class, Detector, Input, MANY_DIGITS, Peek, Sink, Trigger, Triggers};

const MIN_DIGITS: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "source")]
    _source: String,
    lengths: BTreeMap<String, usize>,
}

/// The detector of IBANs.
pub(crate) struct Iban {
    lengths: BTreeMap<[u8; 2], usize>,
    category: Arc<str>,
}

impl Iban {
    pub(crate) fn load() -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../data/iban.toml"))?;
        let lengths = data
            .lengths
            .into_iter()
            .filter_map(|(country, length)| <[u8; 2]>::try_from(country.as_bytes()).ok().map(|code| (code, length)))
            .collect();
        Ok(Self { lengths, category: Arc::from("pii.iban") })
    }

    fn length(&self, first: u8, second: u8) -> Option<usize> {
        self.lengths.get(&[first.to_ascii_uppercase(), second.to_ascii_uppercase()]).copied()
    }

    /// `Ok(Some(end))` where an IBAN stands at `start`, `Err` where the text ends before that is decided.
    fn read(&self, input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let Some(length) = self.length(input.byte(start), input.byte(start + 1)) else { return Ok(None) };
        let mut check = Mod97::default();
        let mut at = start;
        let mut digits = 0;
        let mut taken = 0;
        while taken < length {
            match input.peek(at) {
                Peek::Byte(byte) if Class::ALNUM.has(byte) => {
                    let digit = byte.is_ascii_digit();
                    if (2..4).contains(&taken) && !digit {
                        return Ok(None);
                    }
                    digits += usize::from(digit);
                    check.take(taken, byte);
                    taken += 1;
                }
                // One separator, only between characters.
                Peek::Byte(b' ' | b'-')
                    if taken >= 4 && input.before(at).is_some_and(|byte| Class::ALNUM.has(byte)) => {}
                Peek::More => return Err(()),
                _ => return Ok(None),
            }
            at += 1;
        }
        match input.peek(at).is_not(Class::ALNUM) {
            None => Err(()),
            Some(apart) => Ok((apart && digits >= MIN_DIGITS && check.is_right()).then_some(at)),
        }
    }
}

/// The remainder of ISO 7064 MOD 97-10 over the number with its first four characters moved to the end.
#[derive(Default)]
struct Mod97 {
    body: u64,
    head: [u8; 4],
}

impl Mod97 {
    fn take(&mut self, place: usize, byte: u8) {
        match self.head.get_mut(place) {
            Some(slot) => *slot = byte,
            None => self.body = Self::step(self.body, byte),
        }
    }

    fn step(sum: u64, byte: u8) -> u64 {
        if byte.is_ascii_digit() {
            (sum * 10 + u64::from(byte - b'0')) % 97
        } else {
            (sum * 100 + u64::from(byte.to_ascii_uppercase().wrapping_sub(b'A')) + 10) % 97
        }
    }

    fn is_right(&self) -> bool {
        self.head.iter().fold(self.body, |sum, byte| Self::step(sum, *byte)) == 1
    }
}

impl Detector for Iban {
    fn name(&self) -> &'static str {
        "iban"
    }

    fn triggers(&self) -> Triggers {
        Triggers { digits: MANY_DIGITS, ..Triggers::default() }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        let start = match trigger {
            Trigger::Digits(digits) => {
                let Some(start) = digits.checked_sub(2) else { return };
                if !input.slice(start, digits).iter().all(u8::is_ascii_alphabetic) {
                    return;
                }
                start
            }
            Trigger::End(end) => {
                // A country's code, or the first letter of one, with nothing after it yet.
                for length in 1..=2 {
                    let Some(start) = end.checked_sub(length) else { break };
                    let letters = input.slice(start, end);
                    let viable = match letters {
                        [first, second] => self.length(*first, *second).is_some(),
                        letters => letters.iter().all(u8::is_ascii_alphabetic),
                    };
                    if viable && input.starts_word(start) {
                        out.open(start, &self.category);
                    }
                }
                return;
            }
            _ => return,
        };
        if start < input.from() || !input.starts_word(start) {
            return;
        }
        match self.read(input, start) {
            Err(()) => out.open(start, &self.category),
            Ok(Some(end)) => out.hit(start, start..end, &self.category),
            Ok(None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
