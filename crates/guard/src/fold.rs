//! Text as it reads, not as it is encoded: invisible characters taken out, look-alikes and other forms of letters and
//! digits brought back to ASCII, with the way back to the bytes that stand there.
//!
//! Owns what counts as a disguise. Never changes what leaves: findings are mapped back to the original bytes, invisible
//! ones inside them included. ASCII is never folded, and of other text only the neighbourhood of disguises. The chain
//! calls it.

use std::ops::Range;

use crate::prefilter::PIECE;

/// How many bytes around a disguise are looked at, at the least.
const NEAR: usize = 128;
/// How far from there the next white space is sought.
const WORD: usize = 4096;
/// How many bytes are folded at once.
const WINDOW: usize = 64 * 1024;

/// What a character reads as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Itself.
    Same,
    /// Nothing: it is not seen.
    Nothing,
    /// This ASCII character.
    Ascii(u8),
}

/// Starts of the decimal digits of other scripts (Unicode's category Nd), each ten in a row.
const DIGITS: [u32; 37] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x11066,
];

/// Letters of Greek and Cyrillic that look like a Latin one (Unicode's confusables, UTS 39), in the order of their
/// code points.
const ALIKE: [(char, u8); 66] = [
    ('\u{391}', b'A'),
    ('\u{392}', b'B'),
    ('\u{395}', b'E'),
    ('\u{396}', b'Z'),
    ('\u{397}', b'H'),
    ('\u{399}', b'I'),
    ('\u{39A}', b'K'),
    ('\u{39C}', b'M'),
    ('\u{39D}', b'N'),
    ('\u{39F}', b'O'),
    ('\u{3A1}', b'P'),
    ('\u{3A4}', b'T'),
    ('\u{3A5}', b'Y'),
    ('\u{3A7}', b'X'),
    ('\u{3B1}', b'a'),
    ('\u{3B3}', b'y'),
    ('\u{3B9}', b'i'),
    ('\u{3BD}', b'v'),
    ('\u{3BF}', b'o'),
    ('\u{3C1}', b'p'),
    ('\u{3C3}', b'o'),
    ('\u{3C5}', b'u'),
    ('\u{3F2}', b'c'),
    ('\u{3F3}', b'j'),
    ('\u{3F9}', b'C'),
    ('\u{405}', b'S'),
    ('\u{406}', b'I'),
    ('\u{408}', b'J'),
    ('\u{410}', b'A'),
    ('\u{412}', b'B'),
    ('\u{415}', b'E'),
    ('\u{417}', b'3'),
    ('\u{41A}', b'K'),
    ('\u{41C}', b'M'),
    ('\u{41D}', b'H'),
    ('\u{41E}', b'O'),
    ('\u{420}', b'P'),
    ('\u{421}', b'C'),
    ('\u{422}', b'T'),
    ('\u{423}', b'Y'),
    ('\u{425}', b'X'),
    ('\u{430}', b'a'),
    ('\u{435}', b'e'),
    ('\u{43A}', b'k'),
    ('\u{43E}', b'o'),
    ('\u{440}', b'p'),
    ('\u{441}', b'c'),
    ('\u{443}', b'y'),
    ('\u{445}', b'x'),
    ('\u{455}', b's'),
    ('\u{456}', b'i'),
    ('\u{458}', b'j'),
    ('\u{475}', b'v'),
    ('\u{4AE}', b'Y'),
    ('\u{4AF}', b'y'),
    ('\u{4BA}', b'h'),
    ('\u{4BB}', b'h'),
    ('\u{4C0}', b'I'),
    ('\u{4CF}', b'l'),
    ('\u{4D5}', b'a'),
    ('\u{501}', b'd'),
    ('\u{50C}', b'G'),
    ('\u{51A}', b'Q'),
    ('\u{51B}', b'q'),
    ('\u{51C}', b'W'),
    ('\u{51D}', b'w'),
];

fn letter(first: u8, offset: u32) -> Reading {
    u8::try_from(offset).map_or(Reading::Same, |offset| Reading::Ascii(first + offset))
}

/// What a character outside of ASCII reads as: default-ignorable code points as nothing, compatibility forms
/// (NFKC, UAX 15) of one ASCII character, digits of any script and look-alikes as that character.
fn reading(character: char) -> Reading {
    let code = u32::from(character);
    match code {
        0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F => {
            Reading::Nothing
        }
        0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 => Reading::Nothing,
        0xFFF0..=0xFFF8 | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF => Reading::Nothing,
        0xA0 | 0x1680 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => Reading::Ascii(b' '),
        0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 => Reading::Ascii(b'-'),
        0x2024 | 0xFE52 => Reading::Ascii(b'.'),
        0xFE6B => Reading::Ascii(b'@'),
        0xFF01..=0xFF5E => letter(b'!', code - 0xFF01),
        0xB9 => Reading::Ascii(b'1'),
        0xB2 | 0xB3 => letter(b'2', code - 0xB2),
        0x2070 | 0x2074..=0x2079 => letter(b'0', code - 0x2070),
        0x2080..=0x2089 => letter(b'0', code - 0x2080),
        0x2460..=0x2468 => letter(b'1', code - 0x2460),
        0x24EA => Reading::Ascii(b'0'),
        0x24B6..=0x24CF => letter(b'A', code - 0x24B6),
        0x24D0..=0x24E9 => letter(b'a', code - 0x24D0),
        0x1D400..=0x1D6A3 => mathematical(code - 0x1D400),
        0x1D7CE..=0x1D7FF => letter(b'0', (code - 0x1D7CE) % 10),
        0x1F130..=0x1F149 => letter(b'A', code - 0x1F130),
        0x1FBF0..=0x1FBF9 => letter(b'0', code - 0x1FBF0),
        0x391..=0x51D => match ALIKE.binary_search_by_key(&character, |(known, _)| *known) {
            Ok(place) => ALIKE.get(place).map_or(Reading::Same, |(_, byte)| Reading::Ascii(*byte)),
            Err(_) => Reading::Same,
        },
        _ => letterlike(character).map_or_else(|| digit(code), Reading::Ascii),
    }
}

/// A letter of the mathematical alphabets, which follow each other with 52 letters each.
fn mathematical(offset: u32) -> Reading {
    match offset % 52 {
        capital @ 0..=25 => letter(b'A', capital),
        small => letter(b'a', small - 26),
    }
}

/// The letters that the mathematical alphabets leave out, because they were there before.
fn letterlike(character: char) -> Option<u8> {
    Some(match character {
        'ℂ' | 'ℭ' => b'C',
        'ℊ' => b'g',
        'ℋ' | 'ℌ' | 'ℍ' => b'H',
        'ℎ' => b'h',
        'ℐ' | 'ℑ' => b'I',
        'ℒ' => b'L',
        'ℓ' => b'l',
        'ℕ' => b'N',
        'ℙ' => b'P',
        'ℚ' => b'Q',
        'ℛ' | 'ℜ' | 'ℝ' => b'R',
        'ℤ' | 'ℨ' => b'Z',
        'K' => b'K',
        'ℬ' => b'B',
        'ℯ' => b'e',
        'ℰ' => b'E',
        'ℱ' => b'F',
        'ℳ' => b'M',
        'ℴ' => b'o',
        'ſ' => b's',
        'ı' => b'i',
        _ => return None,
    })
}

fn digit(code: u32) -> Reading {
    let place = DIGITS.partition_point(|zero| *zero <= code);
    let zero = place.checked_sub(1).and_then(|place| DIGITS.get(place));
    match zero.map(|zero| code - zero) {
        Some(value @ 0..=9) => letter(b'0', value),
        _ => Reading::Same,
    }
}

/// Whether a character disguises something. Full-width punctuation, which Chinese and Japanese text is full of, does
/// not, unless addresses and numbers are made of it.
fn is_disguise(character: char) -> bool {
    match reading(character) {
        Reading::Same => false,
        Reading::Nothing => true,
        Reading::Ascii(byte) => {
            byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'.' | b'-' | b'_' | b' ') && character != '\u{3000}'
        }
    }
}

/// A text as it reads.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    text: String,
    /// From which byte of the folded text on which byte of the original stands there, until the next entry.
    places: Vec<(usize, usize)>,
}

impl Folded {
    /// Folds `original`, of which `range` is looked at.
    fn of(original: &str, range: Range<usize>) -> Self {
        let mut folded = Self { text: String::with_capacity(range.len()), places: vec![(0, range.start)] };
        for (at, character) in original.get(range.clone()).unwrap_or_default().char_indices() {
            let at = range.start + at;
            let after = at + character.len_utf8();
            match if character.is_ascii() { Reading::Same } else { reading(character) } {
                Reading::Same => folded.text.push(character),
                Reading::Nothing => folded.place(after),
                Reading::Ascii(byte) => {
                    folded.text.push(char::from(byte));
                    folded.place(after);
                }
            }
        }
        folded
    }

    /// Says that what follows stands at `original`.
    fn place(&mut self, original: usize) {
        let here = self.text.len();
        match self.places.last_mut() {
            Some(last) if last.0 == here => last.1 = original,
            _ => self.places.push((here, original)),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where the character at `at` of the folded text stands in the original.
    pub(crate) fn start(&self, at: usize) -> usize {
        let place = self.places.partition_point(|(folded, _)| *folded <= at);
        let (folded, original) =
            place.checked_sub(1).and_then(|place| self.places.get(place)).copied().unwrap_or((0, 0));
        original + (at - folded)
    }

    /// Where what ends at `end` of the folded text ends in `original`.
    pub(crate) fn end(&self, original: &str, end: usize) -> usize {
        let Some(last) = end.checked_sub(1) else { return self.start(0) };
        // Inside a character that stayed as it was, only its last byte is asked for.
        let at = self.start(last);
        let character = original.get(at..).and_then(|rest| rest.chars().next());
        at + character.map_or(1, char::len_utf8)
    }

    /// The place in the folded text of the first character that stands at or after `at` in the original.
    pub(crate) fn find(&self, at: usize) -> usize {
        let place = self.places.partition_point(|(_, original)| *original <= at);
        let (folded, original) =
            place.checked_sub(1).and_then(|place| self.places.get(place)).copied().unwrap_or((0, 0));
        let next = self.places.get(place).map_or(self.text.len(), |(folded, _)| *folded);
        (folded + (at - original)).min(next)
    }
}

/// The places from `from` on at which disguises stand. Ends early where `goes_on` says no; it is asked about every
/// [`PIECE`].
fn disguises<'t>(text: &'t str, from: usize, goes_on: impl Fn() -> bool + 't) -> impl Iterator<Item = usize> + 't {
    let bytes = text.as_bytes();
    let mut at = from;
    let mut ask_at = from + PIECE;
    std::iter::from_fn(move || {
        loop {
            if at >= ask_at {
                ask_at = at + PIECE;
                if !goes_on() {
                    at = bytes.len();
                }
            }
            let rest = bytes.get(at..)?;
            // In pieces, so that it is asked again whatever stands there.
            let piece = rest.get(..PIECE).unwrap_or(rest);
            match first_beyond_ascii(piece) {
                Some(offset) => at += offset,
                None if piece.len() == rest.len() => return None,
                None => {
                    at += PIECE;
                    continue;
                }
            }
            if let Some(length) = bytes.get(at).and_then(|lead| plain_length(*lead)) {
                at += length;
                continue;
            }
            let character = text.get(at..).and_then(|rest| rest.chars().next())?;
            let place = at;
            at += character.len_utf8();
            if is_disguise(character) {
                return Some(place);
            }
        }
    })
}

/// Where the first byte stands that is not ASCII. Eight at a time: all of every text goes through here.
fn first_beyond_ascii(bytes: &[u8]) -> Option<usize> {
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (pairs, tail) = bytes.as_chunks::<16>();
    let mut at = 0;
    for pair in pairs {
        let pair = u128::from_le_bytes(*pair);
        let (low, high) = (pair as u64 & HIGHS, (pair >> 64) as u64 & HIGHS);
        if low | high != 0 {
            let zeros = if low == 0 { 64 + high.trailing_zeros() } else { low.trailing_zeros() };
            return Some(at + (zeros / 8) as usize);
        }
        at += 16;
    }
    tail.iter().position(|byte| !byte.is_ascii()).map(|place| at + place)
}

/// How many bytes a character has whose first byte shows that it disguises nothing: accented letters of Latin,
/// ideographs, Hangul.
fn plain_length(lead: u8) -> Option<usize> {
    match lead {
        0xC3 | 0xC6..=0xCC => Some(2),
        0xE4..=0xE9 | 0xEB..=0xED => Some(3),
        _ => None,
    }
}

/// The parts of `text` that disguises stand in or near, folded; each at most [`WINDOW`] bytes, with an overlap where a
/// part is longer. Together they are linear in the text. They end early where `goes_on` says no.
pub(crate) fn windows<'t>(text: &'t str, goes_on: impl Fn() -> bool + 't) -> impl Iterator<Item = Folded> + 't {
    let mut found = (!text.is_ascii()).then(|| disguises(text, 0, goes_on).peekable());
    let mut done = 0;
    std::iter::from_fn(move || {
        let found = found.as_mut()?;
        let first = found.next()?;
        let start = left(text, first.saturating_sub(NEAR).max(done), done);
        let mut last = first;
        let limit = start + WINDOW;
        while let Some(next) = found.next_if(|next| *next < limit && *next <= last + 2 * NEAR) {
            last = next;
        }
        let end = right(text, last + NEAR);
        while found.next_if(|next| *next < end.saturating_sub(NEAR)).is_some() {}
        // What goes on is begun before the end of this part, so that nothing is cut in two.
        done = end.saturating_sub(WORD).max(first + 1);
        Some(Folded::of(text, start..end))
    })
}

/// `text` folded from `from` on, if anything stands there in disguise.
pub(crate) fn tail(text: &str, from: usize) -> Option<Folded> {
    let rest = text.get(from..)?;
    (!rest.is_ascii() && disguises(text, from, || true).next().is_some()).then(|| Folded::of(text, from..text.len()))
}

/// The white space at or before `at`, at most [`WORD`] bytes away and not before `floor`.
fn left(text: &str, at: usize, floor: usize) -> usize {
    let lowest = at.saturating_sub(WORD).max(floor);
    let bytes = text.as_bytes().get(lowest..at).unwrap_or_default();
    let start = bytes.iter().rposition(u8::is_ascii_whitespace).map_or(lowest, |place| lowest + place);
    (start..=at).find(|place| text.is_char_boundary(*place)).unwrap_or(at)
}

/// The white space at or after `at`, at most [`WORD`] bytes away.
fn right(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    let highest = text.len().min(at + WORD);
    let bytes = text.as_bytes().get(at..highest).unwrap_or_default();
    let end = bytes.iter().position(u8::is_ascii_whitespace).map_or(highest, |place| at + place);
    (end..=text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
