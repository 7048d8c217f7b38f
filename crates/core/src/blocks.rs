//! Many bytes at once: of sixty-four, which are of a kind, as a word of bits; of eight, which is the first.
//!
//! Owns the tricks that every pass over long texts shares. Never decides what a byte means. The scanner and the writer of
//! JSON, the bound of tokens and the guards' prefilter are built on them.

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

/// The lowest bit of each of eight bytes.
pub const ONES: u64 = 0x0101_0101_0101_0101;

/// The highest bit of each of eight bytes.
pub const HIGHS: u64 = ONES << 7;

/// Where the first byte stands that `is` says: eight at a time, whose `hits` have the highest bit set. The lowest hit of
/// eight has to be exact; what carries into higher ones does no harm.
#[inline(always)]
#[must_use]
pub fn first(bytes: &[u8], hits: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let hits = hits(u64::from_le_bytes(*word)) & HIGHS;
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    tail.iter().position(|byte| is(*byte)).map(|place| at + place)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, HIGHS, ONES, first, marks};

    #[test]
    fn the_first_byte_is_found_wherever_it_stands() {
        // A zero byte borrows from the next.
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        let mut bytes = [b'a'; 21];
        assert_eq!(first(&bytes, zeros, |byte| byte == 0), None);
        for at in (0..bytes.len()).rev() {
            bytes[at] = 0;
            assert_eq!(first(&bytes, zeros, |byte| byte == 0), Some(at));
        }
        assert_eq!(first(&[], zeros, |_| true), None);
    }

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
