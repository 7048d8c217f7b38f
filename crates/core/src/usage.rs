//! What a call used: tokens in classes that do not overlap, whatever the vendor's own counting, what else vendors charge
//! by, and the level of service that it was given.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::unit::{Picture, Units, Word};

/// Tokens of one call. The classes are disjoint: the whole prompt is `input + cache_read + cache_write_5m +
/// cache_write_1h`; `output` is everything generated and includes `reasoning`. What is audio or image is a part of its
/// class, and told apart since some vendors charge more for it; where a vendor does not say, it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    pub audio_input: u64,
    /// The part of `cache_read` that is audio.
    pub audio_cache_read: u64,
    /// The part of `output` that is audio.
    pub audio_output: u64,
    /// The part of `input` that is images.
    pub image_input: u64,
    /// The part of `output` that is images.
    pub image_output: u64,
    /// What was used beside tokens.
    pub units: Units,
    /// What sort of pictures were made.
    pub picture: Picture,
    /// The level of service that the vendor says it gave.
    pub service: Option<Service>,
    /// Who counted the tokens.
    pub source: UsageSource,
}

/// As records and callers of the API read it: what is not there is left out, as it was before it was told apart.
#[derive(Serialize, Deserialize)]
struct Readable {
    input: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    output: u64,
    reasoning: u64,
    #[serde(default, skip_serializing_if = "none")]
    audio_input: u64,
    #[serde(default, skip_serializing_if = "none")]
    audio_cache_read: u64,
    #[serde(default, skip_serializing_if = "none")]
    audio_output: u64,
    #[serde(default, skip_serializing_if = "none")]
    image_input: u64,
    #[serde(default, skip_serializing_if = "none")]
    image_output: u64,
    #[serde(default, skip_serializing_if = "Units::is_empty")]
    units: Units,
    #[serde(default, skip_serializing_if = "Picture::is_none")]
    picture: Picture,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
    source: UsageSource,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn none(tokens: &u64) -> bool {
    *tokens == 0
}

/// As rows without names have it. Rows of before end with the source alone.
#[derive(Serialize, Deserialize)]
struct Compact {
    input: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    output: u64,
    reasoning: u64,
    source: Counted,
}

/// Who counted, and what was told apart and counted beside tokens where anything was. Rows name a form by its place.
#[derive(Serialize, Deserialize)]
enum Counted {
    Vendor,
    Estimated,
    VendorApart(Apart),
    EstimatedApart(Apart),
    VendorBeside(Apart, Beside),
    EstimatedBeside(Apart, Beside),
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Apart {
    audio_input: u64,
    audio_cache_read: u64,
    audio_output: u64,
    image_input: u64,
    image_output: u64,
    service: Option<Service>,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Beside {
    units: Units,
    size: Word,
    quality: Word,
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, .. } = *self;
        let Self { audio_input, audio_cache_read, audio_output, image_input, image_output, .. } = *self;
        let Self { units, picture, service, source, .. } = *self;
        if serializer.is_human_readable() {
            return Readable {
                input,
                cache_read,
                cache_write_5m,
                cache_write_1h,
                output,
                reasoning,
                audio_input,
                audio_cache_read,
                audio_output,
                image_input,
                image_output,
                units,
                picture,
                service,
                source,
            }
            .serialize(serializer);
        }
        let apart = Apart { audio_input, audio_cache_read, audio_output, image_input, image_output, service };
        let beside = Beside { units, size: picture.size, quality: picture.quality };
        let vendor = source == UsageSource::Vendor;
        let source = match (apart == Apart::default(), beside == Beside::default()) {
            (true, true) if vendor => Counted::Vendor,
            (true, true) => Counted::Estimated,
            (false, true) if vendor => Counted::VendorApart(apart),
            (false, true) => Counted::EstimatedApart(apart),
            (_, false) if vendor => Counted::VendorBeside(apart, beside),
            (_, false) => Counted::EstimatedBeside(apart, beside),
        };
        Compact { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, source }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let read = Readable::deserialize(deserializer)?;
            return Ok(Self {
                input: read.input,
                cache_read: read.cache_read,
                cache_write_5m: read.cache_write_5m,
                cache_write_1h: read.cache_write_1h,
                output: read.output,
                reasoning: read.reasoning,
                audio_input: read.audio_input,
                audio_cache_read: read.audio_cache_read,
                audio_output: read.audio_output,
                image_input: read.image_input,
                image_output: read.image_output,
                units: read.units,
                picture: read.picture,
                service: read.service,
                source: read.source,
            });
        }
        let read = Compact::deserialize(deserializer)?;
        let nothing = || (Apart::default(), Beside::default());
        let (source, (apart, beside)) = match read.source {
            Counted::Vendor => (UsageSource::Vendor, nothing()),
            Counted::Estimated => (UsageSource::Estimated, nothing()),
            Counted::VendorApart(apart) => (UsageSource::Vendor, (apart, Beside::default())),
            Counted::EstimatedApart(apart) => (UsageSource::Estimated, (apart, Beside::default())),
            Counted::VendorBeside(apart, beside) => (UsageSource::Vendor, (apart, beside)),
            Counted::EstimatedBeside(apart, beside) => (UsageSource::Estimated, (apart, beside)),
        };
        Ok(Self {
            input: read.input,
            cache_read: read.cache_read,
            cache_write_5m: read.cache_write_5m,
            cache_write_1h: read.cache_write_1h,
            output: read.output,
            reasoning: read.reasoning,
            audio_input: apart.audio_input,
            audio_cache_read: apart.audio_cache_read,
            audio_output: apart.audio_output,
            image_input: apart.image_input,
            image_output: apart.image_output,
            units: beside.units,
            picture: Picture { size: beside.size, quality: beside.quality },
            service: apart.service,
            source,
        })
    }
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

    /// Whether nothing was used: no token and nothing else.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.total() == 0 && self.units.is_empty()
    }

    /// Counts what another call used to this one. Who counted, the level of service and the sort of pictures stay.
    pub fn count(&mut self, more: &Self) {
        for (sum, more) in [
            (&mut self.input, more.input),
            (&mut self.cache_read, more.cache_read),
            (&mut self.cache_write_5m, more.cache_write_5m),
            (&mut self.cache_write_1h, more.cache_write_1h),
            (&mut self.output, more.output),
            (&mut self.reasoning, more.reasoning),
            (&mut self.audio_input, more.audio_input),
            (&mut self.audio_cache_read, more.audio_cache_read),
            (&mut self.audio_output, more.audio_output),
            (&mut self.image_input, more.image_input),
            (&mut self.image_output, more.image_output),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (unit, count) in more.units.used() {
            self.units.add(unit, count);
        }
    }

    /// The tokens of prompt and answer together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt_total().saturating_add(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Unit;

    #[test]
    fn usages_are_counted_together_class_by_class() {
        let one = Usage { input: 3, output: 5, units: Units::of(Unit::WebSearch, 2), ..Usage::default() };
        let other = Usage { input: u64::MAX, cache_read: 7, image_output: 1, ..one };
        let mut sum = Usage { service: Some(Service::Batch), source: UsageSource::Vendor, ..one };
        sum.count(&other);
        assert_eq!((sum.input, sum.cache_read, sum.output, sum.image_output), (u64::MAX, 7, 10, 1));
        assert_eq!((sum.units, sum.service), (Units::of(Unit::WebSearch, 4), Some(Service::Batch)));
        assert_eq!(sum.source, UsageSource::Vendor);
    }

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
