//! How long a sound is, from its file alone.
//!
//! Owns the reading of two simple heads (WAVE, and the frames of MP3) and the guesses for everything else. Never decodes a
//! sound. Called where a request carries one, since reservations are made before its vendor says how long it was.

/// No sound that vendors take has fewer bytes in a second: the lowest rate of Opus is 6 kbit/s.
const FEWEST_BYTES: u64 = 750;
/// Where no head tells the rate: 16 kbit/s, that of speech packed tightly, so that the guess is rather too long.
const LIKELY_BYTES: u64 = 2_000;
/// What is taken for a sound that is not in the request, but at an address: four hours, in milliseconds.
pub(super) const UNSEEN: u64 = 4 * 3_600_000;

/// The most milliseconds that files of so many bytes together can be.
pub(super) fn most(bytes: u64) -> u64 {
    bytes.saturating_mul(1_000).div_ceil(FEWEST_BYTES)
}

/// How many milliseconds a file probably is; never more than [`most`] of its bytes.
pub(super) fn likely(file: &[u8]) -> u64 {
    let length = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let rate = wave(file).or_else(|| mp3(file)).filter(|rate| *rate >= FEWEST_BYTES).unwrap_or(LIKELY_BYTES);
    length.saturating_mul(1_000).div_ceil(rate)
}

/// Bytes in a second of a WAVE file: the field of its chunk `fmt `.
fn wave(file: &[u8]) -> Option<u64> {
    let head = file.get(..12)?;
    if !head.starts_with(b"RIFF") || !head.ends_with(b"WAVE") {
        return None;
    }
    let mut rest = file.get(12..)?;
    // The chunk stands first, or behind one or two small ones.
    for _ in 0..8 {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (size, body) = after.split_first_chunk::<4>()?;
        if name == b"fmt " {
            let rate = body.get(8..12)?.first_chunk::<4>()?;
            return Some(u64::from(u32::from_le_bytes(*rate)));
        }
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        rest = body.get(size.checked_add(size & 1)?..)?;
    }
    None
}

/// Kilobits in a second by the four bits of a frame's head: MPEG 1 and MPEG 2, layer III.
const MPEG_1: [u64; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
const MPEG_2: [u64; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];

/// Bytes in a second of an MP3 file, by the head of its first frame behind the tag (ID3v2).
fn mp3(file: &[u8]) -> Option<u64> {
    let frames = match file.first_chunk::<10>() {
        Some([b'I', b'D', b'3', _, _, _, a, b, c, d]) => {
            // Seven bits in each byte (ID3v2.4, section 6.2).
            let size = [a, b, c, d].into_iter().fold(0_usize, |sum, byte| sum << 7 | usize::from(byte & 0x7F));
            file.get(size.checked_add(10)?..)?
        }
        _ => file,
    };
    let [first, second, third, _] = *frames.first_chunk::<4>()?;
    // Eleven bits of sync, and the layer that is called III.
    if first != 0xFF || second & 0xE0 != 0xE0 || second & 0x06 != 0x02 {
        return None;
    }
    let rates = if second & 0x18 == 0x18 { MPEG_1 } else { MPEG_2 };
    let kilobits = rates.get(usize::from(third >> 4)).copied().filter(|rate| *rate > 0)?;
    Some(kilobits * 125)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(bytes_a_second: u32, before: &[u8], samples: usize) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        file.extend_from_slice(before);
        file.extend_from_slice(b"fmt \x10\0\0\0\x01\0\x01\0");
        file.extend_from_slice(&16_000_u32.to_le_bytes());
        file.extend_from_slice(&bytes_a_second.to_le_bytes());
        file.extend_from_slice(b"\x02\0\x10\0data\0\0\0\0");
        file.resize(file.len() + samples, 0);
        file
    }

    #[test]
    fn heads_tell_how_long_a_sound_is() {
        let plain = wav(32_000, b"", 320_000);
        assert_eq!(likely(&plain) / 100, 100, "ten seconds and a head");
        assert_eq!(likely(&wav(32_000, b"LIST\x03\0\0\0abc\0", 320_000)) / 100, 100);
        let mut mp3 = b"ID3\x04\0\0\0\0\0\x05tag..\xFF\xFB\x90\x00".to_vec();
        mp3.resize(160_000, 0);
        assert_eq!(likely(&mp3), 10_000, "128 kbit/s");
    }

    #[test]
    fn what_has_no_head_is_taken_for_rather_long_and_never_longer_than_the_bound() {
        assert_eq!(likely(&[0; 20_000]), 10_000);
        for file in
            [&b"RIFF\0\0\0\0WAVEfmt "[..], b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"\xFF\xFB\xF0\x00", b"RIFF", b"x", b""]
        {
            let length = u64::try_from(file.len()).unwrap();
            assert!(likely(file) <= most(length), "{file:?}");
        }
        // A head that claims fewer bytes than there can be.
        assert_eq!(likely(&wav(1, b"", 19_956)), 10_000);
    }
}
