//! What a detector is: the trait, the text it sees, and where it puts what it finds.
//!
//! Owns the rules that make streams right: a look past the end of an unfinished text is answered with
//! [`Peek::More`], and the detector then reports an open place instead of deciding. Never resolves overlaps. The
//! prefilter calls detectors through it.

use std::{cell::Cell, sync::Arc};

/// How many bytes before a place may decide whether something starts there. A stream window keeps that many bytes of
/// text that has left already.
pub const LOOKBACK: usize = 128;

/// The most bytes between two digits of one telephone or card number.
pub(crate) const GAP: usize = 3;
/// How many digits [`Input::digits_ahead`] counts: no detector asks for more.
const MOST_AHEAD: usize = 16;

/// [`Triggers::digits`] of detectors that look for eight digits or more within 64 bytes, or seven within 32. Where no
/// detector wants fewer, a run of digits triggers only with six others after it and no letter between, or with two
/// letters right before it.
pub const MANY_DIGITS: u8 = 4;
/// [`Triggers::digits`] of detectors that look for six digits or more within 64 bytes.
pub const FEWER_DIGITS: u8 = 3;

/// Something in a text that makes a detector look closer. Offsets are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// An `@`.
    At(usize),
    /// A `=` or `:`.
    Assign(usize),
    /// The first digit of a run of digits.
    Digits(usize),
    /// The first dash of a run of dashes.
    Dashes(usize),
    /// A run of sixteen or more of `0-9A-Za-z_-/+`; shorter, or empty, where it touches the end of an unfinished text.
    Token(usize, usize),
    /// The end of an unfinished text.
    End(usize),
}

/// Which triggers a detector wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Triggers {
    /// [`Trigger::At`]
    pub at: bool,
    /// [`Trigger::Assign`]
    pub assign: bool,
    /// [`Trigger::Digits`], where a block of 64 bytes has at least that many digits; 0 for never. What is looked for
    /// touches two blocks at most, so half its digits will do.
    pub digits: u8,
    /// [`Trigger::Dashes`]
    pub dashes: bool,
    /// [`Trigger::Token`]
    pub token: bool,
}

impl Triggers {
    /// Whether a detector that wants these looks at `trigger`. The end is for all.
    #[must_use]
    pub fn want(self, trigger: Trigger) -> bool {
        match trigger {
            Trigger::At(_) => self.at,
            Trigger::Assign(_) => self.assign,
            Trigger::Digits(_) => self.digits > 0,
            Trigger::Dashes(_) => self.dashes,
            Trigger::Token(..) => self.token,
            Trigger::End(_) => true,
        }
    }

    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            at: self.at | other.at,
            assign: self.assign | other.assign,
            digits: match (self.digits, other.digits) {
                (0, digits) | (digits, 0) => digits,
                (one, another) => one.min(another),
            },
            dashes: self.dashes | other.dashes,
            token: self.token | other.token,
        }
    }
}

/// One kind of thing to look for. Every look must be linear in what it reads, and what all looks over one text read
/// must be linear in the text.
pub trait Detector: Send + Sync {
    /// The name that configuration uses.
    fn name(&self) -> &'static str;

    /// What makes it look.
    fn triggers(&self) -> Triggers;

    /// Looks at one trigger and reports what starts there. It may read at most [`LOOKBACK`] bytes before the place
    /// that it reports, and must report an open place where the end of an unfinished text keeps it from deciding.
    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink);

    /// From which byte on the unfinished `text` is undecided: its length where nothing is.
    fn open_tail(&self, text: &str) -> usize {
        let input = Input::new(text, 0, false);
        let mut sink = Sink::default();
        crate::prefilter::run(&input, self.triggers(), &mut |trigger: Trigger| self.look(&input, trigger, &mut sink));
        sink.opens.iter().map(|open| open.anchor).min().unwrap_or(text.len())
    }
}

/// A set of bytes. See the constants for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(u16);

impl Class {
    pub(crate) const DIGIT: Self = Self(1);
    /// `0-9A-Za-z`
    pub(crate) const ALNUM: Self = Self(1 << 1);
    /// `0-9A-Za-z_-`
    pub(crate) const WORD: Self = Self(1 << 2);
    /// `0-9A-Fa-f`
    pub(crate) const HEX: Self = Self(1 << 3);
    /// `A-Z2-7`
    pub(crate) const BASE32: Self = Self(1 << 4);
    /// `0-9A-Za-z+/`
    pub(crate) const BASE64: Self = Self(1 << 5);
    /// `0-9A-Za-z_-.`
    pub(crate) const DOTTED: Self = Self(1 << 6);
    /// `A-Za-z`
    pub(crate) const ALPHA: Self = Self(1 << 7);
    /// `0-9A-Za-z_-/+`: what the prefilter takes for one run.
    pub(crate) const TOKEN: Self = Self(1 << 8);
    /// What a secret without quotes may consist of.
    pub(crate) const VALUE: Self = Self(1 << 9);
    /// What stands inside a PEM block, line ends written as escapes included.
    pub(crate) const PEM: Self = Self(1 << 10);
    /// What stands in the user part of a URL.
    pub(crate) const USERINFO: Self = Self(1 << 11);
    /// `:`
    pub(crate) const COLON: Self = Self(1 << 12);
    /// `-`
    pub(crate) const DASH: Self = Self(1 << 13);
    const COUNT: usize = 14;

    pub(crate) fn has(self, byte: u8) -> bool {
        TABLE.get(usize::from(byte)).is_some_and(|mask| mask & self.0 != 0)
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated when compiling, with an index below 256")]
const fn table() -> [u16; 256] {
    let mut table = [0_u16; 256];
    let mut at = 0_usize;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let byte = at as u8;
        let mut mask = 0;
        if byte.is_ascii_digit() {
            mask |= Class::DIGIT.0;
        }
        if byte.is_ascii_alphabetic() {
            mask |= Class::ALPHA.0;
        }
        if byte.is_ascii_alphanumeric() {
            mask |= Class::ALNUM.0 | Class::WORD.0 | Class::BASE64.0 | Class::DOTTED.0 | Class::TOKEN.0;
        }
        if byte.is_ascii_hexdigit() {
            mask |= Class::HEX.0;
        }
        if byte.is_ascii_uppercase() || (byte >= b'2' && byte <= b'7') {
            mask |= Class::BASE32.0;
        }
        if matches!(byte, b'_' | b'-') {
            mask |= Class::WORD.0 | Class::DOTTED.0 | Class::TOKEN.0;
        }
        if matches!(byte, b'+' | b'/') {
            mask |= Class::BASE64.0 | Class::TOKEN.0;
        }
        if byte == b':' {
            mask |= Class::COLON.0;
        }
        if byte == b'-' {
            mask |= Class::DASH.0;
        }
        if byte == b'.' {
            mask |= Class::DOTTED.0;
        }
        if byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'\''
                    | b'`'
                    | b'\\'
                    | b','
                    | b';'
                    | b':'
                    | b'='
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b'{'
                    | b'}'
                    | b'<'
                    | b'>'
                    | b'|'
            )
        {
            mask |= Class::VALUE.0;
        }
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'+' | b'/'
                    | b'='
                    | b':'
                    | b','
                    | b'.'
                    | b'-'
                    | b' '
                    | b'\t'
                    | b'\r'
                    | b'\n'
                    | b'\\'
                    | b'('
                    | b')'
                    | b'@'
            )
        {
            mask |= Class::PEM.0;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'"' | b'<' | b'>' | b'\\' | b'`') {
            mask |= Class::USERINFO.0;
        }
        table[at] = mask;
        at += 1;
    }
    table
}

static TABLE: [u16; 256] = table();

/// What stands at a place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// This byte.
    Byte(u8),
    /// Nothing: the text ends before it.
    End,
    /// Not known yet: the text is unfinished.
    More,
}

impl Peek {
    /// Whether it is known that no byte of `class` stands here; `None` where that is not known yet.
    pub(crate) fn is_not(self, class: Class) -> Option<bool> {
        match self {
            Self::Byte(byte) => Some(!class.has(byte)),
            Self::End => Some(true),
            Self::More => None,
        }
    }
}

/// The text that detectors look at, with what lies before it as context.
#[derive(Debug)]
pub struct Input<'text> {
    text: &'text str,
    bytes: &'text [u8],
    from: usize,
    complete: bool,
    runs: [Cell<(usize, usize)>; Class::COUNT],
    /// The last place that [`Self::digits_ahead`] was asked about, and its answer.
    ahead: Cell<(usize, usize)>,
    #[cfg(test)]
    counting_all: bool,
}

impl<'text> Input<'text> {
    /// `text`, of which the bytes before `from` are only context; `complete` where nothing will follow.
    #[must_use]
    pub fn new(text: &'text str, from: usize, complete: bool) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            from,
            complete,
            runs: Default::default(),
            ahead: Cell::new((usize::MAX, 0)),
            #[cfg(test)]
            counting_all: false,
        }
    }

    /// The whole text, context included.
    #[must_use]
    pub fn text(&self) -> &'text str {
        self.text
    }

    /// The whole text as bytes.
    #[must_use]
    pub fn bytes(&self) -> &'text [u8] {
        self.bytes
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Where the context ends: nothing before it is reported.
    #[must_use]
    pub fn from(&self) -> usize {
        self.from
    }

    /// Whether nothing will follow.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What stands at `at`.
    #[must_use]
    pub fn peek(&self, at: usize) -> Peek {
        match self.bytes.get(at) {
            Some(byte) => Peek::Byte(*byte),
            None if self.complete => Peek::End,
            None => Peek::More,
        }
    }

    /// The byte at `at`, or 0 where there is none. Only for places that lie inside the text, or where an end counts as
    /// any other byte.
    #[must_use]
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The byte before `at`, if there is one.
    #[must_use]
    pub fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|before| self.bytes.get(before)).copied()
    }

    /// The bytes of a range, empty where it lies outside the text.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> &'text [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Where the run of `class` that `at` stands in ends. However often it is asked, all calls together are linear in
    /// the text, as long as `at` does not fall behind again and again.
    pub(crate) fn run_end(&self, class: Class, at: usize) -> usize {
        let Some(cell) = self.runs.get(class.0.trailing_zeros() as usize) else { return at };
        let (start, end) = cell.get();
        if start <= at && at < end {
            return end;
        }
        let rest = self.bytes.get(at..).unwrap_or_default();
        let end = at + rest.iter().position(|byte| !class.has(*byte)).unwrap_or(rest.len());
        cell.set((at, end));
        end
    }

    /// The whole text, in which every number counts as long enough to be looked at.
    #[cfg(test)]
    pub(crate) fn counting_all(text: &'text str) -> Self {
        Self { counting_all: true, ..Self::new(text, 0, true) }
    }

    /// How many digits follow from `at` on before a letter, or before more than [`GAP`] other bytes in a row; at most
    /// [`MOST_AHEAD`]. As many where the unfinished text ends before that is decided. It tells nearly every number
    /// apart that is too short to be looked at.
    pub(crate) fn digits_ahead(&self, at: usize) -> usize {
        #[cfg(test)]
        if self.counting_all {
            return MOST_AHEAD;
        }
        let (known, count) = self.ahead.get();
        if known == at {
            return count;
        }
        let (mut count, mut gap) = (0, 0);
        for place in at.. {
            match self.peek(place) {
                Peek::Byte(byte) if byte.is_ascii_digit() => (count, gap) = (count + 1, 0),
                Peek::Byte(byte) if !byte.is_ascii_alphabetic() && gap < GAP => gap += 1,
                Peek::More => count = MOST_AHEAD,
                Peek::Byte(_) | Peek::End => break,
            }
            if count >= MOST_AHEAD {
                break;
            }
        }
        self.ahead.set((at, count));
        count
    }

    /// Whether a word may start at `at`: no letter or digit of ASCII stands before it, unless it belongs to an escape
    /// such as `\n`, as in JSON inside of JSON.
    pub(crate) fn starts_word(&self, at: usize) -> bool {
        let Some(before) = self.before(at) else { return true };
        if !Class::ALNUM.has(before) {
            return true;
        }
        let escape = at.checked_sub(2).and_then(|place| self.bytes.get(place)) == Some(&b'\\');
        escape && matches!(before, b'n' | b'r' | b't' | b'b' | b'f')
    }

    /// Whether `literal` stands at `at`; `None` where the text ends inside it and may go on.
    pub(crate) fn literal(&self, at: usize, literal: &[u8]) -> Option<bool> {
        let here = self.slice(at, self.len().min(at.saturating_add(literal.len())));
        if here.len() == literal.len() {
            return Some(here == literal);
        }
        if self.complete || !literal.starts_with(here) { Some(false) } else { None }
    }
}

/// Something found. `anchor` is the byte from which on the text decided it; a stream is never parted between it and
/// the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where the decision begins: at the start or, by context such as `password=`, before it.
    pub anchor: usize,
    /// Where the finding starts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub category: Arc<str>,
}

/// A place at which something may start that the unfinished text does not decide yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Where the decision begins.
    pub anchor: usize,
    /// What it may be.
    pub category: Arc<str>,
    /// Where it is sure to be a finding and only its end is not known: the bytes up to which it was decided. What
    /// follows them may be dropped, all but the last [`LOOKBACK`] bytes, without changing where it ends.
    pub certain: Option<usize>,
}

/// What detectors report. A detector reports nothing that is decided before the context's end.
#[derive(Debug, Default)]
pub struct Sink {
    /// What was found.
    pub hits: Vec<Hit>,
    /// What is undecided.
    pub opens: Vec<Open>,
}

impl Sink {
    /// Reports a finding.
    pub fn hit(&mut self, anchor: usize, range: std::ops::Range<usize>, category: &Arc<str>) {
        self.hits.push(Hit { anchor, start: range.start, end: range.end, category: Arc::clone(category) });
    }

    /// Reports an undecided place.
    pub fn open(&mut self, anchor: usize, category: &Arc<str>) {
        self.opens.push(Open { anchor, category: Arc::clone(category), certain: None });
    }

    /// Reports something that is sure to be a finding, decided up to `head`, whose end is not known.
    pub fn certain(&mut self, anchor: usize, head: usize, category: &Arc<str>) {
        self.opens.push(Open { anchor, category: Arc::clone(category), certain: Some(head) });
    }
}
