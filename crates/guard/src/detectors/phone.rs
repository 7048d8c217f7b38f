//! Telephone numbers: with a plus and a country's code (ITU-T E.164), in a grouping that a country writes, or after a
//! word that says so.
//!
//! A run of digits alone is never one: identifiers, times and prices are. Codes, lengths and groupings are data
//! (`data/phone.toml`). A row of further groups before or after means a table, and no number.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use smallvec::SmallVec;

use super::{
    cue::Cues,
    shape::{Runs, Shape, apart_after, apart_before},
};
use crate::guard::{Class, Detector, Input, MANY_DIGITS, Peek, Sink, Trigger, Triggers};

/// The most digits of a number: fifteen by E.164, and the two zeros of a prefix.
const MAX_DIGITS: usize = 17;
/// The fewest digits after a plus, country code included.
const MIN_INTERNATIONAL: usize = 8;
/// How many digits a number has that only a word tells.
const AFTER_CUE: std::ops::RangeInclusive<usize> = 7..=13;
/// The fewest digits of any number.
const FEWEST: usize = 7;
/// From so many digits on, the first group after a word is the whole number.
const WHOLE: usize = 9;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "source")]
    _source: String,
    cue: Cues,
    /// Country code to the least and most digits after it.
    codes: BTreeMap<String, (usize, usize)>,
    national: Vec<National>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct National {
    #[serde(rename = "country")]
    _country: String,
    shapes: Vec<String>,
    separators: String,
    /// Whether a word has to say what it is.
    #[serde(default)]
    cue: bool,
}

/// The detector of telephone numbers.
pub(crate) struct Phone {
    cues: Cues,
    codes: BTreeMap<Vec<u8>, (usize, usize)>,
    /// By the digit that they start with, those with a parenthesis last.
    shapes: [Group; 11],
    category: Arc<str>,
}

/// The shapes that start with one character.
#[derive(Default)]
struct Group {
    shapes: Vec<(Arc<Shape>, bool)>,
    runs: Runs,
}

/// The place of the group of what starts with `first`; 10 for a parenthesis.
fn group(first: u8) -> usize {
    if first.is_ascii_digit() { usize::from(first - b'0') } else { 10 }
}

/// Digits that were read with whatever stands between them.
#[derive(Default)]
struct Free {
    digits: SmallVec<[u8; MAX_DIGITS]>,
    /// For every group: how many digits up to its end, and at which byte it ends.
    groups: SmallVec<[(usize, usize); 8]>,
}

impl Phone {
    pub(crate) fn load() -> Result<Self, toml::de::Error> {
        let data: Data = toml::from_str(include_str!("../../data/phone.toml"))?;
        let mut shapes: [Group; 11] = Default::default();
        for national in &data.national {
            for pattern in &national.shapes {
                let shape = Arc::new(Shape::new(pattern, &national.separators));
                for first in b"0123456789(".iter().filter(|first| shape.may_start(**first)) {
                    if let Some(group) = shapes.get_mut(group(*first)) {
                        group.runs = group.runs.or(shape.runs());
                        group.shapes.push((Arc::clone(&shape), national.cue));
                    }
                }
            }
        }
        Ok(Self {
            shapes,
            cues: data.cue,
            codes: data.codes.into_iter().map(|(code, lengths)| (code.into_bytes(), lengths)).collect(),
            category: Arc::from("pii.phone"),
        })
    }

    /// Whether digits, country code first, are as many as that country has.
    fn is_international(&self, digits: &[u8]) -> bool {
        let code = (1..=3).rev().find_map(|length| self.codes.get_key_value(digits.get(..length)?));
        let Some((code, (least, most))) = code else { return false };
        let rest = digits.get(code.len()..).unwrap_or_default();
        (*least..=*most).contains(&rest.len())
            && digits.len() >= MIN_INTERNATIONAL
            && (code.as_slice() != b"1" || is_north_american(rest))
    }

    /// Looks at a number with a plus at `start` and digits from `digits` on.
    fn international(&self, input: &Input<'_>, start: usize, digits: usize) -> Result<Option<usize>, ()> {
        if !apart_before(input, start, None) {
            return Ok(None);
        }
        let free = free(input, digits)?;
        longest(input, &free, |digits| self.is_international(digits))
    }

    /// Looks at a number without a plus.
    fn national(&self, input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let first = input.byte(start);
        let mut said: Option<bool> = None;
        let digits = start + usize::from(first == b'(');
        let Some(group) = self.shapes.get(group(first)).filter(|group| group.runs.allow(input, digits)) else {
            return Ok(None);
        };
        for (shape, cue) in group.shapes.iter().filter(|(shape, _)| shape.runs().allow(input, digits)) {
            let mut said = || *said.get_or_insert_with(|| self.cues.stand_before(input, start));
            let reading = match shape.read(input, start) {
                Ok(Some(reading)) => reading,
                Err(()) if !cue || said() => return Err(()),
                _ => continue,
            };
            let digits = &reading.symbols;
            let apart = apart_before(input, start, reading.separator)
                && (apart_after(input, reading.end, reading.separator)? || has_extension(input, reading.end)?);
            if apart && plausible(digits) && (!cue || said()) {
                return Ok(Some(reading.end));
            }
        }
        Ok(None)
    }

    /// Looks at digits in any grouping that `00` or a word makes a number.
    fn loose(&self, input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let before = input.before(start);
        if !apart_before(input, start, before.filter(|byte| matches!(byte, b' ' | b'-' | b'.' | b'/'))) {
            return Ok(None);
        }
        let free = match free(input, start) {
            Ok(free) => free,
            // Of a number that only a word can tell, nothing is held where no word stands.
            Err(()) if input.byte(start) == b'0' || self.cues.stand_before(input, start) => return Err(()),
            Err(()) => return Ok(None),
        };
        let total = free.digits.len();
        if total < *AFTER_CUE.start() {
            return Ok(None);
        }
        if free.digits.starts_with(b"00") && free.groups.len() > 1 {
            let found =
                longest(input, &free, |digits| digits.get(2..).is_some_and(|digits| self.is_international(digits)))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        if !self.cues.stand_before(input, start) {
            return Ok(None);
        }
        let whole = free.groups.iter().find(|(count, _)| *count >= WHOLE).map_or(total, |(count, _)| *count);
        longest(input, &free, |digits| digits.len() <= whole && AFTER_CUE.contains(&digits.len()))
    }

    fn look_at(&self, input: &Input<'_>, start: usize, out: &mut Sink) {
        if !input.starts_word(start) {
            return;
        }
        match self.national(input, start) {
            Err(()) => return out.open(start, &self.category),
            Ok(Some(end)) => return out.hit(start, start..end, &self.category),
            Ok(None) => {}
        }
        match self.loose(input, start) {
            Err(()) => out.open(start, &self.category),
            Ok(Some(end)) => out.hit(start, start..end, &self.category),
            Ok(None) => {}
        }
    }
}

/// Area and exchange of the North American plan start with 2 to 9, an area's second digit is no 9, and no exchange is
/// a service code such as 911.
fn is_north_american(digits: &[u8]) -> bool {
    match digits {
        [b'2'..=b'9', second, _, b'2'..=b'9', fifth, sixth, ..] => {
            let unused = matches!(digits, [b'2'..=b'7', b'0', b'0', ..]);
            *second != b'9' && !unused && (*fifth, *sixth) != (b'1', b'1')
        }
        _ => false,
    }
}

/// Whether these are no filler, count or row of small numbers.
fn plausible(digits: &[u8]) -> bool {
    let same = digits.iter().all(|digit| Some(digit) == digits.first());
    let row = digits.chunks(2).all(|pair| pair.first() == Some(&b'0'));
    !same && !row
}

/// Where the most groups end that `fits` takes for a number and that stand apart from what follows.
fn longest(input: &Input<'_>, free: &Free, fits: impl Fn(&[u8]) -> bool) -> Result<Option<usize>, ()> {
    for (count, end) in free.groups.iter().rev() {
        let Some(digits) = free.digits.get(..*count) else { continue };
        if fits(digits) && plausible(digits) && (apart_after(input, *end, None)? || has_extension(input, *end)?) {
            return Ok(Some(*end));
        }
    }
    Ok(None)
}

/// Whether an extension such as `x12` follows.
fn has_extension(input: &Input<'_>, end: usize) -> Result<bool, ()> {
    match (input.peek(end), input.peek(end + 1)) {
        (Peek::More, _) | (Peek::Byte(b'x' | b'X'), Peek::More) => Err(()),
        (Peek::Byte(b'x' | b'X'), Peek::Byte(next)) => Ok(next.is_ascii_digit()),
        _ => Ok(false),
    }
}

/// Reads digits from `start` on, with one separator between groups, or two of which one is a parenthesis. A trunk zero
/// in parentheses, as in `+49 (0)89`, is passed over.
fn free(input: &Input<'_>, start: usize) -> Result<Free, ()> {
    let mut free = Free::default();
    let mut at = start;
    loop {
        match input.peek(at) {
            Peek::Byte(byte) if byte.is_ascii_digit() => {
                if free.digits.len() == MAX_DIGITS {
                    // The last group does not fit.
                    free.digits.truncate(free.groups.last().map_or(0, |(count, _)| *count));
                    return Ok(free);
                }
                free.digits.push(byte);
                at += 1;
            }
            Peek::More => return Err(()),
            _ => {
                free.groups.push((free.digits.len(), at));
                match gap(input, at)? {
                    Some(next) => at = next,
                    None => return Ok(free),
                }
            }
        }
    }
}

/// Where the next group starts after the separators at `at`.
fn gap(input: &Input<'_>, at: usize) -> Result<Option<usize>, ()> {
    let mut next = at;
    let (mut plain, mut round) = (0, 0);
    while plain <= 1 && round <= 2 {
        match input.peek(next) {
            Peek::More => return Err(()),
            Peek::Byte(b'(') => {
                match input.literal(next, b"(0)") {
                    None => return Err(()),
                    Some(true) => next += 2,
                    Some(false) => {}
                }
                round += 1;
            }
            Peek::Byte(b')') => round += 1,
            Peek::Byte(b' ' | b'-' | b'.' | b'/') => plain += 1,
            Peek::Byte(byte) if byte.is_ascii_digit() && next > at => return Ok((plain <= 1).then_some(next)),
            _ => return Ok(None),
        }
        next += 1;
    }
    Ok(None)
}

impl Detector for Phone {
    fn name(&self) -> &'static str {
        "phone"
    }

    fn triggers(&self) -> Triggers {
        Triggers { digits: MANY_DIGITS, ..Triggers::default() }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        match trigger {
            Trigger::Digits(digits) => {
                if input.digits_ahead(digits) < FEWEST {
                    return;
                }
                let before = |count: usize| digits.checked_sub(count).map_or(0, |at| input.byte(at));
                let round = usize::from(before(1) == b'(');
                if before(round + 1) == b'+' {
                    let start = digits - round - 1;
                    if start >= input.from() {
                        match self.international(input, start, digits) {
                            Err(()) => out.open(start, &self.category),
                            Ok(Some(end)) => out.hit(start, start..end, &self.category),
                            Ok(None) => {}
                        }
                    }
                    return;
                }
                if input.run_end(Class::DIGIT, digits) - digits > MAX_DIGITS {
                    return;
                }
                if round == 1 && digits > input.from() {
                    self.look_at(input, digits - 1, out);
                }
                if digits >= input.from() {
                    self.look_at(input, digits, out);
                }
            }
            Trigger::End(end) => {
                let held = input.slice(end.saturating_sub(2).max(input.from()), end);
                let opens = match held {
                    [.., b'+', b'('] => 2,
                    [.., b'+' | b'('] => 1,
                    _ => 0,
                };
                if opens > 0 {
                    out.open(end - opens, &self.category);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
