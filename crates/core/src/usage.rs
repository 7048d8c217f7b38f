//! Tokens that a call used, in classes that do not overlap, whatever the vendor's own counting.

use serde::{Deserialize, Serialize};

/// Tokens of one call. The classes are disjoint: the whole prompt is `input + cache_read + cache_write_5m +
/// cache_write_1h`; `output` is everything generated and includes `reasoning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens billed at the full price: neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from the vendor's cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes, or of a vendor with one kind of cache write.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Everything generated, reasoning included.
    pub output: u64,
    /// The part of `output` that is reasoning.
    pub reasoning: u64,
    /// Who counted.
    pub source: UsageSource,
}

/// Who counted the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The vendor said so in its answer.
    Vendor,
    /// The gateway estimated it from the bytes that passed, since the vendor said nothing or the stream was cut.
    #[default]
    Estimated,
}

impl Usage {
    /// The whole prompt, cached or not.
    #[must_use]
    pub fn prompt_total(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }

    /// Prompt and answer together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt_total().saturating_add(self.output)
    }
}
