//! An upper bound of a prompt's tokens, from its bytes alone.
//!
//! Owns the bounds. Never calls a tokenizer: reservations need a figure that is never too low for real text, in one
//! pass over the bytes, for any vendor. Called when a call is read.
//!
//! The bound of text: a run of ASCII letters, with the spaces before it, is at most one token for every two bytes
//! (vocabularies hold all common pairs of letters); any other byte, a digit, a mark of punctuation, a byte of a
//! character beyond ASCII, is at most one token by itself, since every vendor's vocabulary falls back to bytes. Escapes
//! are counted as they are written, which only makes the bound larger.

use tidegate_core::blocks::{BLOCK, marks};

/// What a message's role and separators cost at most.
pub(crate) const PER_MESSAGE: u64 = 8;
/// What an image costs at most: above Anthropic's largest (about 4,800) and OpenAI's tiles at high detail (1,105 and
/// 1,445). Models that multiply tiles (GPT-4o mini) exceed it; settling by the vendor's own count corrects them.
pub(crate) const IMAGE: u64 = 6_000;
/// What a document or file costs at most that the gateway cannot see (a URL, a file id): about a hundred dense pages.
pub(crate) const UNSEEN: u64 = 200_000;
/// What the vendor's own instructions around tool definitions cost at most.
pub(crate) const TOOL_PREAMBLE: u64 = 700;

/// The most tokens that `raw` can be.
pub(crate) fn text(raw: &[u8]) -> u64 {
    let (blocks, rest) = raw.as_chunks::<BLOCK>();
    let mut tokens = 0_u64;
    // Whether the run that the last byte belongs to is of odd length so far.
    let mut odd = 0_u8;
    for block in blocks {
        let counted;
        (counted, odd) = counted_of(odd, marks(block, in_run));
        tokens += u64::from(counted);
    }
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        let step = step(odd, in_runs(u64::from_le_bytes(*word)));
        tokens += u64::from(step >> 1);
        odd = step & 1;
    }
    for byte in tail {
        let in_run = in_run(*byte);
        tokens += u64::from(!in_run || odd == 0);
        odd = if in_run { odd ^ 1 } else { 0 };
    }
    tokens
}

/// Whether a byte is a letter or a space.
fn in_run(byte: u8) -> bool {
    (byte | 0x20).wrapping_sub(b'a') < 26 || byte == b' '
}

/// How many of sixty-four bytes count, by whether the run before them is odd and which of them are in runs, and whether
/// the run at their end is odd. A byte of a run counts where it stands an even number of bytes after the run's start.
fn counted_of(odd: u8, runs: u64) -> (u32, u8) {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    // A run that goes on and is odd has its next byte that counts at an odd place, as one that starts there.
    let even_starts = runs & !(runs << 1) & EVEN & !u64::from(odd);
    // Adding at a run's start carries through all of it: what stays are the runs that start at odd places.
    let moved = runs.wrapping_add(even_starts);
    let counted = (runs & !moved & EVEN) | (runs & moved & !EVEN);
    ((counted | !runs).count_ones(), (counted >> 63) as u8)
}

/// Which of eight bytes are letters or spaces: bit `i` for byte `i`. Looks at all at once, since prompts are long and
/// every byte of each is counted.
fn in_runs(word: u64) -> u8 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const SPACES: u64 = ONES * b' ' as u64;
    // Adding to seven bits cannot carry into the next byte: the high bit says whether the bound was reached.
    let reaches = |bound: u8| ((word | SPACES) & !HIGHS).wrapping_add(ONES * u64::from(0x80 - bound));
    let letters = reaches(b'a') & !reaches(b'z' + 1);
    let other_than_space = ((word ^ SPACES) & !HIGHS).wrapping_add(!HIGHS);
    let found = (letters | !other_than_space) & !word & HIGHS;
    // Gathers the eight high bits in the highest byte.
    ((found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// What eight bytes add, by whether the run before them is odd and which of them are in runs: tokens × 2, plus whether
/// the run at their end is odd. A byte of a run counts where an even number of the run stands before it.
fn step(odd: u8, in_runs: u8) -> u8 {
    STEPS.get((usize::from(odd) << 8) | usize::from(in_runs)).copied().unwrap_or(u8::MAX)
}

static STEPS: [u8; 512] = steps();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where a wrong index does not compile")]
const fn steps() -> [u8; 512] {
    let mut steps = [0; 512];
    let mut at = 0;
    while at < 512 {
        let (mut odd, mut tokens, mut bit) = (at >> 8 == 1, 0, 0);
        while bit < 8 {
            let in_run = (at >> bit) & 1 == 1;
            if !in_run || !odd {
                tokens += 1;
            }
            odd = in_run && !odd;
            bit += 1;
        }
        steps[at] = (tokens << 1) | odd as u8;
        at += 1;
    }
    steps
}

/// The most tokens of a document of which `base64` characters came with the request: text and page images together
/// stay below one token for two of its bytes, and a small one still costs a page.
pub(crate) fn document(base64: usize) -> u64 {
    IMAGE.saturating_add(base64 as u64 / 2)
}

/// The most tokens of a sound: no vendor takes more than one token for a hundred bytes of compressed sound.
pub(crate) fn sound(base64: usize) -> u64 {
    1_000_u64.saturating_add(base64 as u64 / 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plainly(raw: &[u8]) -> u64 {
        let mut tokens = 0;
        for run in raw.split_inclusive(|byte| !byte.is_ascii_alphabetic() && *byte != b' ') {
            let ended = run.last().is_some_and(|byte| !byte.is_ascii_alphabetic() && *byte != b' ');
            let letters = run.len() as u64 - u64::from(ended);
            tokens += letters.div_ceil(2) + u64::from(ended);
        }
        tokens
    }

    proptest! {
        #[test]
        fn many_bytes_at_a_time_count_as_one_by_one(text in ".{0,200}", raw in proptest::collection::vec(any::<u8>(), 0..300),
                                                          words in "[a-z ]{0,90}[.a-z ]{0,200}") {
            prop_assert_eq!(super::text(text.as_bytes()), plainly(text.as_bytes()));
            prop_assert_eq!(super::text(&raw), plainly(&raw));
            prop_assert_eq!(super::text(words.as_bytes()), plainly(words.as_bytes()));
        }
    }

    #[test]
    fn every_byte_is_of_its_kind() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphabetic() || byte == b' ';
            let word = u64::from_le_bytes([b'1', byte, b'1', b'1', b'1', b'1', b'1', byte]);
            assert_eq!(in_runs(word), if expected { 0b1000_0010 } else { 0 }, "{byte}");
            assert_eq!(in_run(byte), expected, "{byte}");
        }
    }
}
