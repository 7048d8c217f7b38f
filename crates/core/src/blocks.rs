//! Sixty-four bytes at once: which of them are of a kind, as a word of bits.
//!
//! Owns the one trick that every pass over long texts shares. Never decides what a byte means. The scanner of JSON, the
//! bound of tokens and the guards' prefilter are built on it.

/// How many bytes one word of bits stands for.
pub const BLOCK: usize = 64;

/// Which bytes of a block are of the kind that `is` says: bit `i` for byte `i`.
///
/// Plain comparisons without branches become vector instructions here; a table or an early return would not.
#[inline(always)]
#[must_use]
pub fn marks(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0_u8; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is(*byte));
    }
    let (words, _) = flags.as_chunks::<8>();
    // Each word holds eight zeros or ones; the product gathers them in its highest byte.
    words
        .iter()
        .rev()
        .fold(0, |marks, word| marks << 8 | u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, marks};

    #[test]
    fn every_bit_stands_for_its_byte() {
        for at in 0..BLOCK {
            let mut block = [b'a'; BLOCK];
            if let Some(byte) = block.get_mut(at) {
                *byte = 0xFF;
            }
            assert_eq!(marks(&block, |byte| byte == 0xFF), 1 << at);
            assert_eq!(marks(&block, |byte| byte == b'a'), !(1 << at));
        }
        assert_eq!(marks(&[0; BLOCK], |_| true), u64::MAX);
    }
}
