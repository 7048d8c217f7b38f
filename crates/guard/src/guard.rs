//! What a detector is: the trait, the text it sees, and where it puts what it finds.
//!
//! Owns the rules that make streams right: a look past the end of an unfinished text is answered with
//! [`Peek::More`], and the detector then reports an open place instead of deciding. Never resolves overlaps. The
//! prefilter calls detectors through it.

use std::{cell::Cell, sync::Arc};

/// How many bytes before a place may decide whether something starts there. A stream window keeps that many bytes of
/// text that has left already.
pub const LOOKBACK: usize = 128;

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
    /// [`Trigger::Digits`]
    pub digits: bool,
    /// [`Trigger::Dashes`]
    pub dashes: bool,
    /// [`Trigger::Token`]
    pub token: bool,
}

impl Triggers {
    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            at: self.at | other.at,
            assign: self.assign | other.assign,
            digits: self.digits | other.digits,
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
        crate::prefilter::run(&input, self.triggers(), |trigger| self.look(&input, trigger, &mut sink));
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
    const COUNT: usize = 12;

    pub(crate) const fn has(self, byte: u8) -> bool {
        // A byte always indexes a table of 256.
        TABLE.as_slice().split_at(byte as usize).1.first_chunk::<1>().is_some_and_const(self.0)
    }
}

trait _Unused {}
