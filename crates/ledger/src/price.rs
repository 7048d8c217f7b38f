//! What tokens cost. Owns prices and the exact arithmetic on them; never floats, never knows where a price comes from
//! beyond its label. The catalogue and the configuration make prices, the proxy asks for bounds and costs.

use std::sync::Arc;

use jiff::civil::Date;
use tidegate_core::{
    money::{NanoUsd, PerMillion, round_up},
    usage::Usage,
};

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
}

impl Rates {
    /// Rates without a discount or surcharge for caches.
    #[must_use]
    pub fn uniform(input: PerMillion, output: PerMillion) -> Self {
        Self { input, output, cache_read: input, cache_write_5m: input, cache_write_1h: input }
    }

    /// Each class with the name that price files give it.
    #[must_use]
    pub fn classes(&self) -> [(&'static str, PerMillion); 5] {
        [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
        ]
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

/// The price of a model, with where and when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The rates as a rule.
    pub rates: Rates,
    /// Rates for long prompts, by rising threshold.
    pub tiers: Vec<Tier>,
    /// Where the price was found: a URL, or `configuration`.
    pub source: Arc<str>,
    /// When it was last seen there; `None` for a price from the configuration.
    pub date: Option<Date>,
}

impl Price {
    /// A price that the configuration gives, over the catalogue's.
    #[must_use]
    pub fn configured(rates: Rates) -> Self {
        Self { rates, tiers: Vec::new(), source: "configuration".into(), date: None }
    }

    /// The rates that hold for a prompt of this many tokens in all.
    #[must_use]
    pub fn rates_for(&self, prompt_total: u64) -> &Rates {
        self.tiers
            .iter()
            .filter(|tier| prompt_total > tier.above)
            .max_by_key(|tier| tier.above)
            .map_or(&self.rates, |tier| &tier.rates)
    }
}

/// What `usage` costs at `price`, exactly, rounded up once to a whole nano-dollar. `None` where it is more than 18.4
/// billion dollars, which only a broken count can be.
#[must_use]
pub fn cost(price: &Price, usage: &Usage) -> Option<NanoUsd> {
    let rates = price.rates_for(usage.prompt_total());
    let parts = [
        rates.input.micro_nanos(usage.input),
        rates.cache_read.micro_nanos(usage.cache_read),
        rates.cache_write_5m.micro_nanos(usage.cache_write_5m),
        rates.cache_write_1h.micro_nanos(usage.cache_write_1h),
        rates.output.micro_nanos(usage.output),
    ];
    parts.into_iter().try_fold(0_u128, u128::checked_add).and_then(round_up)
}

/// The most that a call may cost whose prompt has at most `input` tokens and whose answer at most `output`: what is
/// reserved before it is sent. `may_write_cache` says whether the request asks the vendor to write its cache, which
/// some vendors charge more for; cache reads are never assumed. `None` where it is more than 18.4 billion dollars.
#[must_use]
pub fn upper_bound(price: &Price, input: u64, output: u64, may_write_cache: bool) -> Option<NanoUsd> {
    let bound = |rates: &Rates| {
        let mut dearest = rates.input.max(rates.cache_read);
        if may_write_cache {
            dearest = dearest.max(rates.cache_write_5m).max(rates.cache_write_1h);
        }
        dearest.micro_nanos(input).checked_add(rates.output.micro_nanos(output))
    };
    // A shorter prompt than the bound may fall in any lower tier, and nothing says that those are cheaper.
    let mut most = bound(&price.rates)?;
    for tier in price.tiers.iter().filter(|tier| input > tier.above) {
        most = most.max(bound(&tier.rates)?);
    }
    round_up(most)
}

/// A text that is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no price: {problem}; write for example `0.15 usd/mtok`")]
pub struct InvalidPrice {
    /// What was given, cut to 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Reads `AMOUNT usd/mtok`, for example `0.15 usd/mtok`: dollars per million tokens.
///
/// # Errors
/// Where the text is of another form, says what is wrong with it.
pub fn parse_per_million(text: &str) -> Result<PerMillion, InvalidPrice> {
    let refuse = |problem| InvalidPrice { text: text.chars().take(40).collect(), problem };
    let (amount, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(|| refuse("the unit is missing"))?;
    if unit.trim() != "usd/mtok" {
        return Err(refuse("the unit is not `usd/mtok` (dollars per million tokens)"));
    }
    let amount: NanoUsd =
        amount.parse().map_err(|_| refuse("the amount is no decimal with at most nine decimal places"))?;
    Ok(PerMillion(amount.0))
}

#[cfg(test)]
mod tests;
