//! Entropy of known texts.

use super::{Kinds, shannon};

#[test]
fn entropy_is_in_bits_per_byte() {
    assert!(shannon(b"").abs() < 1e-9);
    assert!(shannon(b"aaaa").abs() < 1e-9);
    assert!((shannon(b"abcd") - 2.0).abs() < 1e-9);
    assert!((shannon(b"aabb") - 1.0).abs() < 1e-9);
}

#[test]
fn kinds_are_told_apart() {
    let kinds = Kinds::of(b"aB1-");
    assert!(kinds.lower && kinds.upper && kinds.digit && kinds.other);
    assert!(!Kinds::of(b"12").letter());
}
