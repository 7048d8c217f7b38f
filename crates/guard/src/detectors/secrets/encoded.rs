//! Base64 (RFC 4648, both alphabets) that encodes text: `.env` files, headers, secrets of Kubernetes.
//!
//! One decoding, no second one inside, and only of what turns out to be printable from its first bytes on: keys, digests
//! and pictures cost a look at nine bytes. Owns no judgement: the secrets detector looks at the text.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::guard::{Class, Input};

/// The shortest encoding that is worth a look: sixteen bytes of text.
const LEAST: usize = 22;
/// The longest: what is longer is looked at as it stands.
const MOST: usize = 4096;
/// How many characters tell whether text follows.
const HEAD: usize = 12;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// The text that the run of token bytes `start..end` encodes; `Err` where the text ends before that is decided.
pub(super) fn decode(input: &Input<'_>, start: usize, end: usize) -> Result<Option<String>, ()> {
    let run = input.slice(start, end);
    let open = end == input.len() && !input.is_complete();
    if run.len() > MOST || (!open && run.len() < LEAST) || !starts(input, start) {
        return Ok(None);
    }
    let whole = run.len() - run.len() % 4;
    let head = run.get(..whole.min(HEAD)).unwrap_or_default();
    if !bytes(head).is_some_and(|head| head.iter().all(|byte| is_printable(*byte))) {
        return Ok(None);
    }
    if open {
        return if run.is_empty() { Ok(None) } else { Err(()) };
    }
    let text = bytes(run).and_then(|decoded| String::from_utf8(decoded).ok());
    Ok(text.filter(|text| text.chars().all(|character| !character.is_control() || character.is_ascii_whitespace())))
}

/// Whether an encoding may start here: not in the middle of a word or of another encoding.
fn starts(input: &Input<'_>, start: usize) -> bool {
    !input.before(start).is_some_and(|byte| Class::TOKEN.has(byte)) && input.starts_word(start)
}

fn bytes(run: &[u8]) -> Option<Vec<u8>> {
    let url_safe = run.iter().any(|byte| matches!(byte, b'-' | b'_'));
    if url_safe { URL_SAFE.decode(run).ok() } else { STANDARD.decode(run).ok() }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests;
