//! Case folding of member names, and the fingerprint by which names of an object are told apart.
//!
//! Owns what "differs only in case" means. Never touches what is sent on. Called by the scanner, and where a name is put beside
//! those of somebody else.

use std::borrow::Cow;

/// The name with its letter case taken away: equal for two names if and only if they differ in nothing but case, by
/// simple case folding (Unicode, chapter 5.18) of each character. The long s and the Kelvin sign are folded too, which
/// some readers map to `s` and `k`.
pub(super) fn fold(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.is_ascii() {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(name.to_ascii_lowercase()) } else { name }
    } else {
        Cow::Owned(name.chars().map(fold_char).collect())
    }
}

/// Whether two names differ in nothing but case.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    fold(Cow::Borrowed(one)) == fold(Cow::Borrowed(other))
}

fn fold_char(character: char) -> char {
    let upper = only(character.to_uppercase()).unwrap_or(character);
    only(upper.to_lowercase()).unwrap_or(upper)
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

/// A number that is equal for names that are equal up to ASCII case. Different names may share it: it only spares
/// comparisons.
pub(super) fn fingerprint(name: &[u8]) -> u64 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let (head, tail) = ends(name);
    (head | LOWER) ^ (tail | LOWER).rotate_left(29) ^ (name.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The fingerprint of a name of ASCII; `None` for any other, which has to be folded first.
pub(super) fn ascii_fingerprint(name: &[u8]) -> Option<u64> {
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (head, tail) = ends(name);
    // The ends of a name of up to sixteen bytes are all of it.
    let ascii = (head | tail) & HIGHS == 0 && (name.len() <= 16 || name.is_ascii());
    ascii.then(|| fingerprint(name))
}

/// The first and the last bytes, up to eight each; of a name of fewer than four bytes, all in the first.
fn ends(name: &[u8]) -> (u64, u64) {
    match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
            _ => (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ascii_fingerprint, fingerprint};

    proptest! {
        #[test]
        fn only_names_of_ascii_are_taken_as_they_are(name in prop::collection::vec(any::<u8>(), 0..24), ascii in "[ -~]{0,24}") {
            prop_assert_eq!(ascii_fingerprint(&name), name.is_ascii().then(|| fingerprint(&name)));
            prop_assert_eq!(ascii_fingerprint(ascii.as_bytes()), Some(fingerprint(ascii.as_bytes())));
        }
    }
}
