//! Checksums against values computed by hand.

use super::{Checksum, base62};

#[test]
fn numbers_are_padded_with_zeros() {
    assert_eq!(&base62(0), b"000000");
    assert_eq!(&base62(61), b"00000z");
    assert_eq!(&base62(u32::MAX), b"4gfFC3");
}

#[test]
fn a_changed_character_is_noticed() {
    let body = "k3Jf92mQpLk3Jf92mQpLk3Jf92mQpL";
    let digits = base62(crc32fast::hash(body.as_bytes()));
    let token = format!("ghp_{body}{}", std::str::from_utf8(&digits).unwrap());
    assert!(Checksum::Body.is_right(token.as_bytes(), 4));
    assert!(!Checksum::Body.is_right(token.replace("92m", "93m").as_bytes(), 4));
    assert!(!Checksum::Whole.is_right(token.as_bytes(), 4));
    assert!(!Checksum::Body.is_right(b"ghp", 4));
}
