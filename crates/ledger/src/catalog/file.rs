//! What stands in a file of the catalogue. Owns the form `catalog.v1` on the way in; `import/write.rs` has it on the way
//! out.
//!
//! A file is one JSON object: `format` (`catalog.v1`), `source` (where the prices stand), `date` (when they were last
//! seen there), optionally `fees` (what the use of the vendor's tools costs with every model of the file), and `models`,
//! each with `provider` (its type), `model`, `input` and `output`, and optionally
//! - the other classes: `cache_read`, `cache_write_5m`, `cache_write_1h`, `audio_input`, `audio_cache_read`,
//!   `audio_output`, `image_input`, `image_output` (amounts are decimal texts in dollars per million tokens);
//! - `tiers`: other amounts where the whole prompt has more than `above` tokens, by rising `above`;
//! - `levels`: other amounts, with tiers of their own, by level of service (`flex`, `batch`, `priority`, `fast`);
//! - `units`: what is charged beside tokens, by unit (`{"audio": "0.006 usd/minute"}`); a model that is charged by
//!   nothing else has no `input` and `output`; `pictures`: other prices of pictures by `size` and `quality`, the usual sort
//!   first; `least`: how many of a unit are charged at least;
//! - `max_input` and `max_output` (tokens), and `capabilities`: what it has (`true`) or has not (`false`);
//! - `free`, needed for an amount of zero; `source` and `date`, where they are not the file's.

use std::{collections::BTreeMap, sync::Arc};

use jiff::civil::Date;
use serde::Deserialize;
use tidegate_core::{
    capability::{Capabilities, Capability},
    money::{NanoUsd, PerMillion, PerUnits},
    unit::{Unit, Word},
    usage::Service,
};

use super::ModelInfo;
use crate::{
    period::date,
    price::{
        Gapped, Level, Price, Rates, Tier,
        units::{FEES, PictureRate, UnitPrices, parse_per_unit},
    },
};

/// The most tiers of one model.
pub(crate) const MOST_TIERS: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) format: String,
    pub(super) source: String,
    pub(super) date: String,
    #[serde(default)]
    fees: BTreeMap<String, String>,
    pub(super) models: Vec<Model>,
}

impl File {
    /// What the use of the vendor's tools costs with every model of the file.
    pub(super) fn fees(&self) -> Result<UnitPrices, String> {
        let mut fees = UnitPrices::default();
        for (name, text) in &self.fees {
            let unit = unit(name)?;
            if !FEES.contains(&unit) {
                return Err(format!("fees: {name} is no fee for a vendor's tool: it stands in `units` of a model"));
            }
            fees.set(unit, unit_price(unit, text, false)?);
        }
        Ok(fees)
    }
}

/// What pictures of one sort cost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PictureText {
    #[serde(default)]
    size: String,
    #[serde(default)]
    quality: String,
    price: String,
}

/// The most sorts of pictures of one model.
const MOST_PICTURES: usize = 64;

fn unit(name: &str) -> Result<Unit, String> {
    Unit::named(name).ok_or_else(|| {
        let names: Vec<&str> = Unit::ALL.into_iter().map(Unit::as_str).collect();
        format!("unit `{name:.40}`: write one of {}", names.join(", "))
    })
}

fn unit_price(unit: Unit, text: &str, free: bool) -> Result<PerUnits, String> {
    let price = parse_per_unit(unit, text).map_err(|error| format!("{}: {error}", unit.as_str()))?;
    if price.amount().0 == 0 && !free {
        return Err(format!("{} is zero; a model that costs nothing says `\"free\": true`", unit.as_str()));
    }
    Ok(price)
}

/// A form that has amounts among its members. They stand beside the others, so that a file is read and written by hand
/// without nesting.
macro_rules! priced {
    ($name:ident { $($member:ident: $form:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(#[serde(default)] pub(super) $member: $form,)*
            input: Option<String>,
            output: Option<String>,
            cache_read: Option<String>,
            cache_write_5m: Option<String>,
            cache_write_1h: Option<String>,
            audio_input: Option<String>,
            audio_cache_read: Option<String>,
            audio_output: Option<String>,
            image_input: Option<String>,
            image_output: Option<String>,
        }

        impl $name {
            fn rates(&self, free: bool) -> Result<Rates, String> {
                let gap = |name: &str, text: &Option<String>| {
                    text.as_deref().map(|text| amount(name, text, free)).transpose()
                };
                let class = |name: &str, text: &Option<String>| {
                    gap(name, text)?.ok_or_else(|| format!("{name} is missing"))
                };
                Ok(Gapped {
                    input: class("input", &self.input)?,
                    output: class("output", &self.output)?,
                    cache_read: gap("cache_read", &self.cache_read)?,
                    cache_write_5m: gap("cache_write_5m", &self.cache_write_5m)?,
                    cache_write_1h: gap("cache_write_1h", &self.cache_write_1h)?,
                    audio_input: gap("audio_input", &self.audio_input)?,
                    audio_cache_read: gap("audio_cache_read", &self.audio_cache_read)?,
                    audio_output: gap("audio_output", &self.audio_output)?,
                    image_input: gap("image_input", &self.image_input)?,
                    image_output: gap("image_output", &self.image_output)?,
                }
                .filled())
            }
        }
    };
}

priced!(Model {
    provider: String,
    model: String,
    free: bool,
    max_input: Option<u64>,
    max_output: Option<u64>,
    tiers: Vec<TierText>,
    levels: BTreeMap<String, LevelText>,
    units: BTreeMap<String, String>,
    pictures: Vec<PictureText>,
    least: BTreeMap<String, u64>,
    capabilities: BTreeMap<String, bool>,
    source: Option<String>,
    date: Option<String>,
});

priced!(TierText { above: u64 });

priced!(LevelText {
    tiers: Vec<TierText>,
});

fn amount(name: &str, text: &str, free: bool) -> Result<PerMillion, String> {
    let amount: NanoUsd = text.parse().map_err(|problem| format!("{name}: {problem}"))?;
    if amount == NanoUsd::ZERO && !free {
        return Err(format!("{name} is zero; a model that costs nothing says `\"free\": true`"));
    }
    Ok(PerMillion(amount.0))
}

impl Model {
    /// What is known of the model, found at `source` on `day` unless it says otherwise itself.
    pub(super) fn read(&self, source: &Arc<str>, day: Date, fees: &UnitPrices) -> Result<ModelInfo, String> {
        if self.provider.is_empty() || self.model.is_empty() {
            return Err("provider and model need a name".to_owned());
        }
        let own_day = self.date.as_deref().map(|text| date(text).ok_or("`date` is no date such as 2026-03-21"));
        let units = self.units()?;
        let by_tokens = self.input.is_some() || units.is_empty();
        let nothing = Rates::uniform(PerMillion(0), PerMillion(0));
        let price = Price {
            rates: if by_tokens { self.rates(self.free)? } else { self.no_tokens().map(|()| nothing)? },
            by_tokens,
            units: units.with_fees(fees),
            tiers: tiers(&self.tiers, self.free)?,
            levels: self.levels()?,
            source: self.source.as_deref().map_or_else(|| Arc::clone(source), Arc::from),
            date: Some(own_day.transpose()?.unwrap_or(day)),
        };
        Ok(ModelInfo {
            provider: self.provider.as_str().into(),
            model: self.model.as_str().into(),
            price,
            max_input: self.max_input,
            max_output: self.max_output,
            capabilities: self.capabilities()?,
        })
    }

    /// Whether nothing is said of tokens.
    fn no_tokens(&self) -> Result<(), String> {
        let classes = [
            &self.output,
            &self.cache_read,
            &self.cache_write_5m,
            &self.cache_write_1h,
            &self.audio_input,
            &self.audio_cache_read,
            &self.audio_output,
            &self.image_input,
            &self.image_output,
        ];
        let none = classes.into_iter().all(Option::is_none) && self.tiers.is_empty() && self.levels.is_empty();
        if none { Ok(()) } else { Err("input is missing".to_owned()) }
    }

    fn units(&self) -> Result<UnitPrices, String> {
        let mut units = UnitPrices::default();
        for (name, text) in &self.units {
            let unit = unit(name)?;
            units.set(unit, unit_price(unit, text, self.free)?);
        }
        for (name, count) in &self.least {
            units.at_least(unit(name)?, *count);
        }
        if self.pictures.len() > MOST_PICTURES {
            return Err(format!("it has more than {MOST_PICTURES} sorts of pictures"));
        }
        for sort in &self.pictures {
            let word = |text: &str| {
                let word = Word::new(text);
                Some(word)
                    .filter(|word| *word != Word::OTHER)
                    .ok_or_else(|| format!("`{text:.40}` is no size and no quality of a picture"))
            };
            let rate = unit_price(Unit::Image, &sort.price, self.free)?;
            units.picture(PictureRate { size: word(&sort.size)?, quality: word(&sort.quality)?, rate });
        }
        Ok(units)
    }

    fn levels(&self) -> Result<Vec<Level>, String> {
        let level = |(name, text): (&String, &LevelText)| {
            let service = Service::ALL.into_iter().find(|service| service.as_str() == name);
            let service = service.filter(|service| *service != Service::Standard);
            let service = service.ok_or_else(|| format!("level `{name:.40}`: write flex, batch, priority or fast"))?;
            let said = |problem: String| format!("level {name}: {problem}");
            let rates = text.rates(self.free).map_err(said)?;
            Ok(Level { service, rates, tiers: tiers(&text.tiers, self.free).map_err(said)? })
        };
        self.levels.iter().map(level).collect()
    }

    fn capabilities(&self) -> Result<Capabilities, String> {
        let mut capabilities = Capabilities::default();
        for (name, has) in &self.capabilities {
            let known = Capability::named(name).ok_or_else(|| {
                let names: Vec<&str> = Capability::ALL.into_iter().map(Capability::as_str).collect();
                format!("capability `{name:.40}`: write one of {}", names.join(", "))
            })?;
            capabilities.set(known, *has);
        }
        Ok(capabilities)
    }
}

fn tiers(texts: &[TierText], free: bool) -> Result<Vec<Tier>, String> {
    if texts.len() > MOST_TIERS {
        return Err(format!("it has more than {MOST_TIERS} tiers"));
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(texts.len());
    for tier in texts {
        if tiers.last().is_some_and(|last| last.above >= tier.above) {
            return Err("its tiers do not rise".to_owned());
        }
        let rates = tier.rates(free).map_err(|problem| format!("tier above {}: {problem}", tier.above))?;
        tiers.push(Tier { above: tier.above, rates });
    }
    Ok(tiers)
}
