//! Checksums that vendors put at the end of their tokens, so that typos and scanners need no look-up.
//!
//! Pure arithmetic. The formats call it.

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: usize = 6;

/// Which checksum a format ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Checksum {
    /// The last six characters are the CRC-32 of the body before them, without the prefix, in base62.
    Body,
    /// The last six characters are the CRC-32 of everything before them, the prefix included, in base62.
    Whole,
}

impl Checksum {
    /// Whether the checksum of `token`, whose first `prefix` bytes are the prefix, is right.
    pub(super) fn is_right(self, token: &[u8], prefix: usize) -> bool {
        let Some(split) = token.len().checked_sub(DIGITS) else { return false };
        let (covered, digits) = token.split_at(split);
        let covered = match self {
            Self::Body => covered.get(prefix..).unwrap_or_default(),
            Self::Whole => covered,
        };
        base62(crc32fast::hash(covered)) == digits
    }
}

/// A number in base62 (digits, capitals, small letters), left-padded with `0` to six characters.
fn base62(mut number: u32) -> [u8; DIGITS] {
    let mut out = [b'0'; DIGITS];
    for slot in out.iter_mut().rev() {
        *slot = BASE62.get((number % 62) as usize).copied().unwrap_or(b'0');
        number /= 62;
    }
    out
}

#[cfg(test)]
mod tests;
