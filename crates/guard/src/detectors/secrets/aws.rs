//! AWS secret access keys: forty characters of base64 that nothing marks but what stands before them.
//!
//! Taken for one only where `aws`, `secret`, or an access key id stands within [`LOOKBACK`] bytes before, and only
//! with capitals, small letters and digits: hexadecimal digests never count.

use std::sync::Arc;

use super::entropy::{Kinds, shannon};
use crate::guard::{Class, Input, LOOKBACK, Sink};

const LENGTH: usize = 40;
const MIN_ENTROPY: f64 = 3.8;

/// The part that looks for secret access keys.
pub(super) struct SecretKey {
    category: Arc<str>,
}

impl SecretKey {
    pub(super) fn new() -> Self {
        Self { category: Arc::from("secret.aws_secret_access_key") }
    }

    /// Looks at a place where a word starts.
    pub(super) fn look(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        if input.before(at).is_some_and(|byte| matches!(byte, b'+' | b'/')) {
            return;
        }
        let end = input.run_end(Class::BASE64, at);
        let undecided = end == input.len() && !input.is_complete();
        if end - at > LENGTH || (end - at < LENGTH && !undecided) {
            return;
        }
        if !has_context(input.slice(at.saturating_sub(LOOKBACK), at)) {
            return;
        }
        if undecided {
            out.open(at, &self.category);
            return;
        }
        let body = input.slice(at, end);
        let kinds = Kinds::of(body);
        if kinds.lower && kinds.upper && kinds.digit && shannon(body) >= MIN_ENTROPY {
            out.hit(at, at..end, &self.category);
        }
    }
}

/// Whether the text before says what follows.
fn has_context(before: &[u8]) -> bool {
    before.iter().enumerate().any(|(at, byte)| {
        let words: &[&[u8]] = match byte.to_ascii_lowercase() {
            b'a' => &[b"aws", b"akia", b"asia"],
            b's' => &[b"secret"],
            _ => return false,
        };
        words.iter().any(|word| before.get(at..at + word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word)))
    })
}
