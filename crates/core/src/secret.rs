//! A text that must never be seen: provider keys, tokens, callers' credentials.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A secret. Prints as `[secret]`, is never serialised, and its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the secret over. The caller's copy is moved, not cloned.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that sends or compares it. Never log, format or store what this returns.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first six hexadecimal digits of the secret's SHA-256: enough to tell two keys apart, too few to search for.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        crate::ids::Digest::of(self.0.as_bytes()).short(6)
    }

    /// Overwrites the secret now instead of when it is dropped.
    pub fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}
