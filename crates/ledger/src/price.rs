//! What calls cost: tokens here, everything else in `price/units.rs`. Owns prices and the exact arithmetic on them; never
//! floats, never knows where a price comes from beyond its label. The catalogue and the configuration make prices, the
//! proxy asks for bounds and costs.

pub mod units;

use std::sync::Arc;

use jiff::civil::Date;
use tidegate_core::{
    money::{NanoUsd, PARTS, PerMillion, round_up_parts},
    unit::{Picture, Units},
    usage::{Service, Usage},
};

use units::{Charge, UnitPrices};

/// What each class of tokens costs, per million. The classes are those of [`Usage`]: reasoning is part of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Prompt tokens outside any cache.
    pub input: PerMillion,
    /// Generated tokens, reasoning included.
    pub output: PerMillion,
    /// Prompt tokens read from the vendor's cache.
    pub cache_read: PerMillion,
    /// Prompt tokens written to a five-minute cache, or to the one cache a vendor has.
    pub cache_write_5m: PerMillion,
    /// Prompt tokens written to a one-hour cache.
    pub cache_write_1h: PerMillion,
    /// Prompt tokens of audio outside any cache.
    pub audio_input: PerMillion,
    /// Prompt tokens of audio read from the vendor's cache.
    pub audio_cache_read: PerMillion,
    /// Generated tokens of audio.
    pub audio_output: PerMillion,
    /// Prompt tokens of images outside any cache.
    pub image_input: PerMillion,
    /// Generated tokens of images.
    pub image_output: PerMillion,
}

/// The names of the classes in price files, in the order of [`Rates::classes`].
pub const CLASSES: [&str; 10] = [
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_output",
];

impl Rates {
    /// Rates without a discount or surcharge for caches, audio or images.
    #[must_use]
    pub fn uniform(input: PerMillion, output: PerMillion) -> Self {
        Self {
            input,
            output,
            cache_read: input,
            cache_write_5m: input,
            cache_write_1h: input,
            audio_input: input,
            audio_cache_read: input,
            audio_output: output,
            image_input: input,
            image_output: output,
        }
    }

    /// Each class with the name that price files give it.
    #[must_use]
    pub fn classes(&self) -> [(&'static str, PerMillion); 10] {
        let amounts = [
            self.input,
            self.output,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.audio_input,
            self.audio_cache_read,
            self.audio_output,
            self.image_input,
            self.image_output,
        ];
        let mut classes = [("", PerMillion(0)); 10];
        for (class, named) in classes.iter_mut().zip(CLASSES.into_iter().zip(amounts)) {
            *class = named;
        }
        classes
    }
}

/// Amounts by class as a price file or a configuration has them, with gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gapped {
    /// Prompt tokens outside any cache.
    pub input: PerMillion,
    /// Generated tokens.
    pub output: PerMillion,
    /// Tokens read from a cache.
    pub cache_read: Option<PerMillion>,
    /// Tokens written to a cache.
    pub cache_write_5m: Option<PerMillion>,
    /// Tokens written to a cache that lasts an hour.
    pub cache_write_1h: Option<PerMillion>,
    /// Prompt tokens of audio.
    pub audio_input: Option<PerMillion>,
    /// Prompt tokens of audio read from a cache.
    pub audio_cache_read: Option<PerMillion>,
    /// Generated tokens of audio.
    pub audio_output: Option<PerMillion>,
    /// Prompt tokens of images.
    pub image_input: Option<PerMillion>,
    /// Generated tokens of images.
    pub image_output: Option<PerMillion>,
}

impl Gapped {
    /// The rates with their gaps filled: a class without an amount of its own costs what the class does that it is a
    /// part of, and a cache without one what the input does. A gap is never free.
    #[must_use]
    pub fn filled(&self) -> Rates {
        let cache_write_5m = self.cache_write_5m.unwrap_or(self.input);
        let audio_input = self.audio_input.unwrap_or(self.input);
        Rates {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read.unwrap_or(self.input),
            cache_write_5m,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write_5m),
            audio_input,
            audio_cache_read: self.audio_cache_read.or(self.cache_read).unwrap_or(audio_input),
            audio_output: self.audio_output.unwrap_or(self.output),
            image_input: self.image_input.unwrap_or(self.input),
            image_output: self.image_output.unwrap_or(self.output),
        }
    }
}

/// Whether one price is more than five times the other: more than vendors change theirs at once.
pub(crate) fn far(one: PerMillion, other: PerMillion) -> bool {
    one.0 > other.0.saturating_mul(5) || other.0 > one.0.saturating_mul(5)
}

/// Other rates for long prompts. They apply to the whole call, the answer included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier {
    /// Applies where the whole prompt, cached or not, has more tokens than this.
    pub above: u64,
    /// The rates then.
    pub rates: Rates,
}

/// Other rates for another level of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// The level.
    pub service: Service,
    /// The rates then, as a rule.
    pub rates: Rates,
    /// The rates then for long prompts, by rising threshold.
    pub tiers: Vec<Tier>,
}

/// The price of a model, with where and when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The rates as a rule.
    pub rates: Rates,
    /// Rates for long prompts, by rising threshold.
    pub tiers: Vec<Tier>,
    /// Rates of other levels of service. A level that is not here costs what the usual one does.
    pub levels: Vec<Level>,
    /// Whether tokens are priced. Where they are not, the rates are zero and nothing is charged but units.
    pub by_tokens: bool,
    /// What is charged beside tokens, or instead of them; the same at every level of service.
    pub units: UnitPrices,
    /// Where the price was found: a URL, or `configuration`.
    pub source: Arc<str>,
    /// When it was last seen there; `None` for a price from the configuration.
    pub date: Option<Date>,
}

impl Price {
    /// A price that the configuration gives, over the catalogue's.
    #[must_use]
    pub fn configured(rates: Rates) -> Self {
        Self {
            rates,
            tiers: Vec::new(),
            levels: Vec::new(),
            by_tokens: true,
            units: UnitPrices::default(),
            source: "configuration".into(),
            date: None,
        }
    }

    /// What models are compared by: what a million tokens of prompt and of answer cost together, in nano-dollars; where
    /// tokens have no price, a million of each unit.
    #[must_use]
    pub fn rank(&self) -> u64 {
        if self.by_tokens { self.rates.input.0.saturating_add(self.rates.output.0) } else { self.units.rank() }
    }

    /// Whether these charges are all that a call costs: one that used only what has no price here has no known cost.
    fn covers(&self, charges: &[Charge]) -> bool {
        self.by_tokens || !charges.is_empty()
    }

    /// The rates that hold at a level of service for a prompt of this many tokens in all.
    #[must_use]
    pub fn rates_for(&self, service: Service, prompt_total: u64) -> &Rates {
        let (rates, tiers) = self.at(service);
        tiers
            .iter()
            .filter(|tier| prompt_total > tier.above)
            .max_by_key(|tier| tier.above)
            .map_or(rates, |tier| &tier.rates)
    }

    fn at(&self, service: Service) -> (&Rates, &[Tier]) {
        let level = self.levels.iter().find(|level| level.service == service);
        level.map_or((&self.rates, &self.tiers), |level| (&level.rates, &level.tiers))
    }
}

/// What `usage` costs by class, each with its tokens and its rate; classes without tokens are left out. The sum of the
/// tokens is that of the call: what is audio or image is taken out of the class that it is a part of. Empty where tokens
/// have no price; what is charged beside them is in [`charges`].
#[must_use]
pub fn parts(price: &Price, usage: &Usage) -> Vec<(&'static str, u64, PerMillion)> {
    if !price.by_tokens {
        return Vec::new();
    }
    let rates = price.rates_for(usage.service.unwrap_or(Service::Standard), usage.prompt_total());
    let mut all = counted(usage).into_iter().zip(rates.classes()).collect::<Vec<_>>();
    all.retain(|(tokens, _)| *tokens > 0);
    all.into_iter().map(|(tokens, (class, rate))| (class, tokens, rate)).collect()
}

/// The tokens of each class, in the order of [`CLASSES`]. A part that is more than its class is the class.
fn counted(usage: &Usage) -> [u64; 10] {
    let audio_input = usage.audio_input.min(usage.input);
    let image_input = usage.image_input.min(usage.input.saturating_sub(audio_input));
    let audio_cache_read = usage.audio_cache_read.min(usage.cache_read);
    let audio_output = usage.audio_output.min(usage.output);
    let image_output = usage.image_output.min(usage.output.saturating_sub(audio_output));
    [
        usage.input.saturating_sub(audio_input).saturating_sub(image_input),
        usage.output.saturating_sub(audio_output).saturating_sub(image_output),
        usage.cache_read.saturating_sub(audio_cache_read),
        usage.cache_write_5m,
        usage.cache_write_1h,
        audio_input,
        audio_cache_read,
        audio_output,
        image_input,
        image_output,
    ]
}

/// What of `usage` is charged beside tokens: how many of which unit, at which price. `None` where a fee is due that the
/// price does not state.
#[must_use]
pub fn charges(price: &Price, usage: &Usage) -> Option<Vec<Charge>> {
    price.units.charged(usage).filter(|charges| price.covers(charges))
}

/// What `usage` costs at `price`, exactly, rounded up once to a whole nano-dollar. `None` where it is more than 18.4
/// billion dollars, which only a broken count can be; and where it is not known: a fee is due that the price does not
/// state, or nothing that was used has a price.
#[must_use]
pub fn cost(price: &Price, usage: &Usage) -> Option<NanoUsd> {
    exact(price, usage).and_then(round_up_parts)
}

/// The same in parts of a nano-dollar, not rounded.
fn exact(price: &Price, usage: &Usage) -> Option<u128> {
    let beside = charges(price, usage)?;
    let rates = price.rates_for(usage.service.unwrap_or(Service::Standard), usage.prompt_total());
    counted(usage)
        .into_iter()
        .zip(rates.classes())
        .map(|(tokens, (_, rate))| rate.micro_nanos(tokens))
        .try_fold(0_u128, u128::checked_add)
        .and_then(|tokens| total(tokens, &beside))
}

/// Sums [`PerMillion::micro_nanos`] and charges.
fn total(micro_nanos: u128, charges: &[Charge]) -> Option<u128> {
    let tokens = micro_nanos.checked_mul(u128::from(PARTS / 1_000_000))?;
    charges.iter().try_fold(tokens, |sum, (_, count, rate)| sum.checked_add(rate.parts(*count)?))
}

/// What many answers cost together: each at the rates that hold for its own prompt, exact, rounded up once at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostSum(Option<u128>);

impl Default for CostSum {
    fn default() -> Self {
        Self(Some(0))
    }
}

impl CostSum {
    /// Adds what an answer used, at `price`; without a price, or where its cost is not known, neither is the sum.
    pub fn add(&mut self, price: Option<&Price>, usage: &Usage) {
        let more = price.and_then(|price| exact(price, usage));
        self.0 = self.0.zip(more).and_then(|(sum, more)| sum.checked_add(more));
    }

    /// The sum in whole nano-dollars; `None` where it is not known, as in [`cost`].
    #[must_use]
    pub fn cost(self) -> Option<NanoUsd> {
        self.0.and_then(round_up_parts)
    }
}

/// What a call may use at most, as far as the request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Whether it asks the vendor to write its cache, which some vendors charge more for; cache reads are never assumed.
    pub cache_write: bool,
    /// Whether sounds or images are in it or asked for, which some vendors charge more for.
    pub media: bool,
    /// The level of service that it asks for.
    pub service: Service,
    /// What it may use beside tokens.
    pub units: Units,
    /// What sort of pictures it asks for.
    pub picture: Picture,
}

/// The most that a call may cost: what is reserved before it is sent. `None` where it is more than 18.4 billion dollars,
/// and where it is not known, as in [`cost`].
#[must_use]
pub fn upper_bound(price: &Price, call: &Most) -> Option<NanoUsd> {
    let bound = |rates: &Rates| {
        let (mut input, mut output) = (rates.input.max(rates.cache_read), rates.output.max(rates.image_output));
        if call.cache_write {
            input = input.max(rates.cache_write_5m).max(rates.cache_write_1h);
        }
        if call.media {
            input = input.max(rates.audio_input).max(rates.image_input).max(rates.audio_cache_read);
            output = output.max(rates.audio_output);
        }
        input.micro_nanos(call.input).checked_add(output.micro_nanos(call.output))
    };
    let beside = price.units.bound(call.units, call.picture).filter(|charges| price.covers(charges))?;
    // A vendor may give the usual level instead of a cheaper one, and nothing says that a level is cheaper.
    let (usual, asked) = (price.at(Service::Standard), price.at(call.service));
    let mut most = 0;
    for (rates, tiers) in [usual, asked] {
        // A shorter prompt than the bound may fall in any lower tier, and nothing says that those are cheaper.
        most = most.max(bound(rates)?);
        for tier in tiers.iter().filter(|tier| call.input > tier.above) {
            most = most.max(bound(&tier.rates)?);
        }
    }
    total(most, &beside).and_then(round_up_parts)
}

/// A text that is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no price: {problem}; write for example `0.15 usd/mtok`, or `0.04 usd/image`")]
pub struct InvalidPrice {
    /// What was given, cut to 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl InvalidPrice {
    fn of(text: &str, problem: &'static str) -> Self {
        Self { text: text.chars().take(40).collect(), problem }
    }
}

/// Reads `AMOUNT UNIT`: nano-dollars, and for how many of what is priced, as `size` reads the unit.
fn parsed(text: &str, size: impl FnOnce(&str) -> Result<u64, &'static str>) -> Result<(u64, u64), InvalidPrice> {
    let refuse = |problem| InvalidPrice::of(text, problem);
    let (amount, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(|| refuse("the unit is missing"))?;
    let size = size(unit.trim()).map_err(refuse)?;
    let amount: NanoUsd =
        amount.parse().map_err(|_| refuse("the amount is no decimal with at most nine decimal places"))?;
    Ok((amount.0, size))
}

/// Reads `AMOUNT usd/mtok`, for example `0.15 usd/mtok`: dollars per million tokens.
///
/// # Errors
/// Where the text is of another form, says what is wrong with it.
pub fn parse_per_million(text: &str) -> Result<PerMillion, InvalidPrice> {
    let million = |unit: &str| match unit {
        "usd/mtok" => Ok(1_000_000),
        _ => Err("the unit is not `usd/mtok` (dollars per million tokens)"),
    };
    parsed(text, million).map(|(nanos, _)| PerMillion(nanos))
}

#[cfg(test)]
mod tests;
