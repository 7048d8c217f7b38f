//! Payment card numbers: 13 to 19 digits of a known issuer (ISO/IEC 7812-1) with a right Luhn digit.
//!
//! Digits stand together, or in groups parted by one space or one dash each, always the same. The groups that cards are
//! printed in (4-4-4-4, 4-4-4-4-3, 4-6-5, 4-6-4) count wherever they stand; other groupings only where no further
//! group goes before or follows, so that tables of numbers are not taken for cards. Parts of decimals, of longer runs
//! of digits and of words are no cards.

use std::sync::Arc;

use serde::Deserialize;

use crate::guard::{Class, Detector, Input, MANY_DIGITS, Peek, Sink, Trigger, Triggers};

const MAX_DIGITS: usize = 19;
const MIN_DIGITS: usize = 13;
const PRINTED: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "source")]
    _source: String,
    issuer: Vec<Issuer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issuer {
    #[serde(rename = "name")]
    _name: String,
    first: String,
    last: String,
    lengths: Vec<usize>,
}

impl Issuer {
    /// Whether digits that start like this may be of this issuer; `digits` may be fewer than the range has.
    fn may_start(&self, digits: &[u8]) -> bool {
        let length = digits.len().min(self.first.len());
        let (Some(digits), Some(first), Some(last)) =
            (digits.get(..length), self.first.as_bytes().get(..length), self.last.as_bytes().get(..length))
        else {
            return false;
        };
        digits >= first && digits <= last
    }
}

/// The detector of card numbers.
pub(crate) struct Card {
    issuers: Vec<Issuer>,
    category: Arc<str>,
}

/// The digits that were read from one place on.
#[derive(Default)]
struct Digits {
    digits: [u8; MAX_DIGITS + 1],
    count: usize,
    /// For every group: how many digits up to its end, and at which byte it ends.
    groups: smallvec::SmallVec<[(usize, usize); 8]>,
    /// Whether one more group follows that does not fit.
    goes_on: bool,
}

impl Digits {
    fn so_far(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

impl Card {
    pub(crate) fn load() -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../data/card.toml"))?;
        Ok(Self { issuers: data.issuer, category: Arc::from("pii.card") })
    }

    fn may_start(&self, digits: &[u8]) -> bool {
        self.issuers.iter().any(|issuer| issuer.may_start(digits))
    }

    fn is_card(&self, digits: &[u8]) -> bool {
        let length = digits.len();
        self.issuers.iter().any(|issuer| issuer.lengths.contains(&length) && issuer.may_start(digits)) && luhn(digits)
    }

    /// Reads digits and their groups; `Err` where the text ends before that is decided, `None` where no card starts.
    fn read(&self, input: &Input<'_>, start: usize) -> Result<Option<Digits>, ()> {
        let mut read = Digits::default();
        let mut separator = None;
        let mut at = start;
        loop {
            match input.peek(at) {
                Peek::Byte(byte) if byte.is_ascii_digit() => {
                    let Some(slot) = read.digits.get_mut(read.count) else { return Ok(None) };
                    *slot = byte;
                    read.count += 1;
                    if read.count <= 4 && !self.may_start(read.so_far()) {
                        return Ok(None);
                    }
                    if read.count > MAX_DIGITS {
                        // The last group does not fit; what was whole before it may still be a card.
                        read.goes_on = true;
                        read.count = read.groups.last().map_or(0, |(count, _)| *count);
                        return Ok(Some(read));
                    }
                    at += 1;
                }
                Peek::Byte(byte @ (b' ' | b'-')) if separator.is_none_or(|known| known == byte) => {
                    read.groups.push((read.count, at));
                    match input.peek(at + 1) {
                        Peek::Byte(next) if next.is_ascii_digit() => separator = Some(byte),
                        Peek::More => return Err(()),
                        _ => return Ok(Some(read)),
                    }
                    at += 1;
                }
                Peek::Byte(byte) if byte == b'_' || byte.is_ascii_alphabetic() => {
                    // The last group belongs to a word.
                    read.goes_on = true;
                    read.count = read.groups.last().map_or(0, |(count, _)| *count);
                    return Ok(Some(read));
                }
                Peek::Byte(b'.') => match input.peek(at + 1) {
                    Peek::More => return Err(()),
                    Peek::Byte(next) if next.is_ascii_digit() => return Ok(None),
                    _ => {
                        read.groups.push((read.count, at));
                        return Ok(Some(read));
                    }
                },
                Peek::Byte(_) | Peek::End => {
                    read.groups.push((read.count, at));
                    return Ok(Some(read));
                }
                Peek::More => return Err(()),
            }
        }
    }

    /// Where a card that was read ends.
    fn end(&self, input: &Input<'_>, start: usize, read: &Digits) -> Option<usize> {
        let sizes: smallvec::SmallVec<[usize; 8]> = read
            .groups
            .iter()
            .scan(0, |before, (count, _)| {
                let size = count - *before;
                *before = *count;
                Some(size)
            })
            .collect();
        let printed = |groups: usize| groups == 1 || sizes.get(..groups).is_some_and(|sizes| PRINTED.contains(&sizes));
        let follows_group =
            matches!(input.before(start), Some(b' ' | b'-')) && start >= 2 && input.byte(start - 2).is_ascii_digit();
        (1..=read.groups.len()).rev().find_map(|groups| {
            let (count, end) = *read.groups.get(groups - 1)?;
            let alone = !follows_group && groups == read.groups.len() && !read.goes_on;
            let digits = read.digits.get(..count)?;
            (count >= MIN_DIGITS && (printed(groups) || alone) && self.is_card(digits)).then_some(end)
        })
    }
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 0..=4) => digit * 2,
                (_, digit) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

impl Detector for Card {
    fn name(&self) -> &'static str {
        "card"
    }

    fn triggers(&self) -> Triggers {
        Triggers { digits: MANY_DIGITS, ..Triggers::default() }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        let Trigger::Digits(start) = trigger else { return };
        if input.digits_ahead(start) < MIN_DIGITS {
            return;
        }
        let decimal = input.before(start) == Some(b'.') && start >= 2 && Class::DIGIT.has(input.byte(start - 2));
        if start < input.from() || !input.starts_word(start) || input.before(start) == Some(b'_') || decimal {
            return;
        }
        match self.read(input, start) {
            Err(()) => out.open(start, &self.category),
            Ok(None) => {}
            Ok(Some(read)) => {
                if let Some(end) = self.end(input, start, &read) {
                    out.hit(start, start..end, &self.category);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
