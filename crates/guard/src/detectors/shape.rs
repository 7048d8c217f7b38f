//! Numbers as people write them: a pattern of digits, letters and separators, and what may stand around one.
//!
//! A shape is data (`data/phone.toml`, `data/national_id.toml`). Its letters: `X` a digit, `N` one of 2 to 9, `Y` a digit
//! or nothing, `[135]` one of these digits, `A` a capital, `a` a letter, `H` a letter or digit, `_` a separator, `~` a
//! separator or nothing; anything else is itself. All separators of one number are the same. Never decides what a
//! number means; that is the detectors'.

use smallvec::SmallVec;

use crate::guard::{Class, Input, Peek};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// One of the digits whose bits are set.
    Digit(u16),
    MaybeDigit,
    Capital,
    Letter,
    Alnum,
    Separator,
    MaybeSeparator,
    Byte(u8),
}

const ANY: u16 = 0x3ff;
const HIGH: u16 = 0x3fc;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Shape {
    steps: Vec<Step>,
    separators: Vec<u8>,
    runs: Runs,
}

/// How long the first run of digits of a number may be: a bit for each length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Runs(u32);

impl Runs {
    fn of(steps: &[Step]) -> Self {
        let letters = |step: &&Step| !matches!(step, Step::Digit(_) | Step::MaybeDigit);
        let (mut now, mut ended) = (1_u32, 0);
        for step in steps.iter().skip_while(letters) {
            match step {
                Step::Digit(_) => now <<= 1,
                Step::MaybeDigit => now |= now << 1,
                Step::MaybeSeparator => ended |= now,
                Step::Alnum => {
                    ended |= now;
                    now <<= 1;
                }
                Step::Capital | Step::Letter | Step::Separator | Step::Byte(_) => return Self(ended | now),
            }
        }
        Self(ended | now)
    }

    /// What either allows.
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the run of digits at `digits` is as long as these allow, or may become so. It tells nearly everything
    /// apart that is read.
    pub(super) fn allow(self, input: &Input<'_>, digits: usize) -> bool {
        let end = input.run_end(Class::DIGIT, digits);
        let Some(from) = u32::try_from(end - digits).ok().filter(|length| *length < 32) else { return false };
        let open = end == input.len() && !input.is_complete();
        if open { self.0 >> from != 0 } else { (self.0 >> from) & 1 != 0 }
    }
}

/// What a shape read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) end: usize,
    pub(super) separator: Option<u8>,
    /// Digits and letters without what stands between.
    pub(super) symbols: SmallVec<[u8; 24]>,
}

impl Shape {
    /// The shape that `pattern` says, with any of `separators` between.
    pub(super) fn new(pattern: &str, separators: &str) -> Self {
        let mut steps = Vec::with_capacity(pattern.len());
        let mut set = None;
        for byte in pattern.bytes() {
            match (byte, set) {
                (b'[', None) => set = Some(0),
                (b']', Some(digits)) => {
                    steps.push(Step::Digit(digits));
                    set = None;
                }
                (digit, Some(digits)) => set = Some(digits | bit(digit)),
                (b'X', _) => steps.push(Step::Digit(ANY)),
                (b'N', _) => steps.push(Step::Digit(HIGH)),
                (b'Y', _) => steps.push(Step::MaybeDigit),
                (b'A', _) => steps.push(Step::Capital),
                (b'a', _) => steps.push(Step::Letter),
                (b'H', _) => steps.push(Step::Alnum),
                (b'_', _) => steps.push(Step::Separator),
                (b'~', _) => steps.push(Step::MaybeSeparator),
                (digit, _) if digit.is_ascii_digit() => steps.push(Step::Digit(bit(digit))),
                (other, _) => steps.push(Step::Byte(other)),
            }
        }
        Self { runs: Runs::of(&steps), steps, separators: separators.as_bytes().to_vec() }
    }

    /// How long its first run of digits may be.
    pub(super) fn runs(&self) -> Runs {
        self.runs
    }

    /// Whether a number of this shape may start with `byte`.
    pub(super) fn may_start(&self, byte: u8) -> bool {
        match self.steps.first() {
            Some(Step::Digit(digits)) => digits & bit(byte) != 0,
            Some(Step::Byte(known)) => *known == byte,
            Some(Step::Capital) => byte.is_ascii_uppercase(),
            Some(Step::Letter) => byte.is_ascii_alphabetic(),
            Some(Step::Alnum) => byte.is_ascii_alphanumeric(),
            _ => false,
        }
    }

    /// Reads a number at `start`; `Err` where the text ends before that is decided.
    pub(super) fn read(&self, input: &Input<'_>, start: usize) -> Result<Option<Reading>, ()> {
        let mut reading = Reading { end: start, separator: None, symbols: SmallVec::new() };
        for step in &self.steps {
            let byte = match input.peek(reading.end) {
                Peek::Byte(byte) => byte,
                Peek::More => return Err(()),
                Peek::End if matches!(step, Step::MaybeDigit | Step::MaybeSeparator) => continue,
                Peek::End => return Ok(None),
            };
            let fits = match step {
                Step::Digit(digits) => digits & bit(byte) != 0,
                Step::MaybeDigit => byte.is_ascii_digit(),
                Step::Capital => byte.is_ascii_uppercase(),
                Step::Letter => byte.is_ascii_alphabetic(),
                Step::Alnum => byte.is_ascii_alphanumeric(),
                Step::Byte(known) => *known == byte,
                Step::Separator | Step::MaybeSeparator => {
                    self.separators.contains(&byte) && reading.separator.is_none_or(|known| known == byte)
                }
            };
            match (fits, step) {
                (false, Step::MaybeDigit | Step::MaybeSeparator) => continue,
                (false, _) => return Ok(None),
                (true, Step::Separator | Step::MaybeSeparator) => reading.separator = Some(byte),
                (true, Step::Byte(_)) => {}
                (true, _) => reading.symbols.push(byte),
            }
            reading.end += 1;
        }
        Ok(Some(reading))
    }
}

/// The bit of a digit; none for anything else.
fn bit(byte: u8) -> u16 {
    if byte.is_ascii_digit() { 1 << (byte - b'0') } else { 0 }
}

/// Whether a number may start at `start`: it is no part of a word, a longer number, a path or a row of groups that are
/// parted by `separator`.
pub(super) fn apart_before(input: &Input<'_>, start: usize, separator: Option<u8>) -> bool {
    if !input.starts_word(start) {
        return false;
    }
    let Some(before) = input.before(start) else { return true };
    let further = start.checked_sub(2).map_or(0, |at| input.byte(at));
    match before {
        b'_' => false,
        b'-' | b'/' | b'+' => !Class::ALNUM.has(further),
        b'.' | b':' | b',' => !further.is_ascii_digit(),
        byte if Some(byte) == separator => !further.is_ascii_digit(),
        _ => true,
    }
}

/// Whether a number may end at `end`; `Err` where the text ends before that is decided.
pub(super) fn apart_after(input: &Input<'_>, end: usize, separator: Option<u8>) -> Result<bool, ()> {
    let next = match input.peek(end) {
        Peek::Byte(byte) => byte,
        Peek::End => return Ok(true),
        Peek::More => return Err(()),
    };
    if Class::ALNUM.has(next) || matches!(next, b'_' | b'%') {
        return Ok(false);
    }
    if !matches!(next, b'-' | b'/' | b'.' | b':') && Some(next) != separator {
        return Ok(true);
    }
    match input.peek(end + 1) {
        Peek::More => Err(()),
        Peek::End => Ok(true),
        Peek::Byte(further) if next == b'-' || next == b'/' => Ok(!Class::ALNUM.has(further)),
        Peek::Byte(further) => Ok(!further.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests;
