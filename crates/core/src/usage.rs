//! Tokens that a call used, in classes that do not overlap, whatever the vendor's own counting, and the level of service
//! that it was given.

use serde::{Deserialize, Serialize};

/// Tokens of one call. The classes are disjoint: the whole prompt is `input + cache_read + cache_write_5m +
/// cache_write_1h`; `output` is everything generated and includes `reasoning`. What is audio or image is a part of its
/// class, and told apart since some vendors charge more for it; where a vendor does not say, it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens billed at the full price: neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from the vendor's cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes, or of a vendor with one kind of cache write.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour or longer (OpenAI's twelve).
    pub cache_write_1h: u64,
    /// Everything generated, reasoning included.
    pub output: u64,
    /// The part of `output` that is reasoning.
    pub reasoning: u64,
    /// The part of `input` that is audio.
    #[serde(default, skip_serializing_if = "none")]
    pub audio_input: u64,
    /// The part of `cache_read` that is audio.
    #[serde(default, skip_serializing_if = "none")]
    pub audio_cache_read: u64,
    /// The part of `output` that is audio.
    #[serde(default, skip_serializing_if = "none")]
    pub audio_output: u64,
    /// The part of `input` that is images.
    #[serde(default, skip_serializing_if = "none")]
    pub image_input: u64,
    /// The part of `output` that is images.
    #[serde(default, skip_serializing_if = "none")]
    pub image_output: u64,
    /// The level of service that the vendor says it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Who counted.
    pub source: UsageSource,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn none(tokens: &u64) -> bool {
    *tokens == 0
}

/// A level of service, where vendors charge by it: what OpenAI, Gemini and Bedrock call a service tier, and Anthropic's
/// `speed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The usual one.
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Answered later, in a batch.
    Batch,
    /// Served before others.
    Priority,
    /// Generated faster.
    Fast,
}

impl Service {
    /// Every level.
    pub const ALL: [Self; 5] = [Self::Standard, Self::Flex, Self::Batch, Self::Priority, Self::Fast];

    /// Its name, as records and price files have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Priority => "priority",
            Self::Fast => "fast",
        }
    }

    /// The level that a vendor calls so; `None` for one that says nothing about the price (`auto`) or is not known.
    /// Reserved capacity (`scale`, `reserved`) is paid for elsewhere and counts as the usual level.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        if let Some(level) = Self::ALL.into_iter().find(|level| is(level.as_str())) {
            return Some(level);
        }
        ["default", "standard_only", "on_demand", "scale", "reserved"].into_iter().any(is).then_some(Self::Standard)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_service_are_known_by_what_vendors_call_them() {
        for (name, level) in [
            ("default", Some(Service::Standard)),
            ("STANDARD", Some(Service::Standard)),
            ("on_demand", Some(Service::Standard)),
            ("scale", Some(Service::Standard)),
            ("FLEX", Some(Service::Flex)),
            ("batch", Some(Service::Batch)),
            ("priority", Some(Service::Priority)),
            ("fast", Some(Service::Fast)),
            ("auto", None),
            ("", None),
        ] {
            assert_eq!(Service::named(name), level, "{name}");
        }
    }
}
