//! An upper bound of a prompt's tokens, from its bytes alone.
//!
//! Owns the bounds. Never calls a tokenizer: reservations need a figure that is never too low for real text, in one
//! pass over the bytes, for any vendor. Called when a call is read.
//!
//! The bound of text: a run of ASCII letters, with the spaces before it, is at most one token for every two bytes
//! (vocabularies hold all common pairs of letters); any other byte, a digit, a mark of punctuation, a byte of a
//! character beyond ASCII, is at most one token by itself, since every vendor's vocabulary falls back to bytes. Escapes
//! are counted as they are written, which only makes the bound larger.

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
    let mut tokens = 0_u64;
    let mut run = 0_u64;
    for byte in raw {
        if byte.is_ascii_alphabetic() || *byte == b' ' {
            run += 1;
        } else {
            tokens += run.div_ceil(2) + 1;
            run = 0;
        }
    }
    tokens + run.div_ceil(2)
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
