//! Rates, and the bucket that keeps to one. Owns exact integer arithmetic of rates; never reads a clock, never knows
//! whose limit it is. Accounts call it.
//!
//! Semantics: a bucket holds `count` tokens, is full at the start, and is refilled evenly, `count` over each `per`.
//! So a burst of `count` is admitted at once, the long-run rate is never more than `count` per `per`, and no span of
//! length `per` admits more than twice `count` (a full bucket and its refill). Corrections after the fact may put the
//! bucket in debt, which later calls wait for.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// How many: requests or tokens. At least one.
    pub count: u64,
    /// In how long. Not zero, at most 31 days.
    pub per: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/min", self.count),
            3_600 => write!(f, "{}/hour", self.count),
            86_400 => write!(f, "{}/day", self.count),
            seconds => write!(f, "{} in {seconds} s", self.count),
        }
    }
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no rate: {problem}; write for example `600/min` (s, min, hour or day)")]
pub struct InvalidRate {
    /// What was given, cut to 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for Rate {
    type Err = InvalidRate;

    /// Reads `COUNT/UNIT`, for example `600/min` or `200000 / hour`.
    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let refuse = |problem| InvalidRate { text: text.chars().take(40).collect(), problem };
        let (count, unit) = text.split_once('/').ok_or_else(|| refuse("the unit of time is missing"))?;
        let count = count.trim();
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse("the count is no whole number"));
        }
        let count: u64 = count.parse().map_err(|_| refuse("the count is too large"))?;
        if count == 0 {
            return Err(refuse("a count of zero would refuse everything"));
        }
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            "d" | "day" => 86_400,
            _ => return Err(refuse("the unit of time is unknown")),
        };
        Ok(Self { count, per: Duration::from_secs(seconds) })
    }
}

/// How much of a rate is used up. The level is counted in fractions of a token: one token is `per` in nanoseconds,
/// and `count` of those drain each nanosecond, so nothing is ever rounded.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    level: u128,
    last: Option<Instant>,
}

/// Why a bucket does not admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// It will, after this long, if nothing else is admitted meanwhile.
    Until(Duration),
    /// It never will: more is asked at once than the bucket holds.
    Never,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, level: 0, last: None }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    fn per_nanos(&self) -> u128 {
        self.rate.per.as_nanos().max(1)
    }

    fn capacity(&self) -> u128 {
        u128::from(self.rate.count).saturating_mul(self.per_nanos())
    }

    fn drain(&mut self, now: Instant) {
        // A caller whose `now` is a little older than another's moves nothing.
        let last = self.last.get_or_insert(now);
        let elapsed = now.saturating_duration_since(*last).as_nanos();
        *last = now.max(*last);
        self.level = self.level.saturating_sub(elapsed.saturating_mul(u128::from(self.rate.count)));
    }

    /// Whether `tokens` fit now. Takes nothing.
    pub(crate) fn check(&mut self, tokens: u64, now: Instant) -> Result<(), Full> {
        self.drain(now);
        let asked = u128::from(tokens).saturating_mul(self.per_nanos());
        if asked > self.capacity() {
            return Err(Full::Never);
        }
        match self.level.saturating_add(asked).checked_sub(self.capacity()) {
            None | Some(0) => Ok(()),
            Some(excess) => {
                let nanos = excess.div_ceil(u128::from(self.rate.count.max(1)));
                Err(Full::Until(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))))
            }
        }
    }

    /// Takes `tokens`, into debt where they do not fit.
    pub(crate) fn take(&mut self, tokens: u64) {
        self.level = self.level.saturating_add(u128::from(tokens).saturating_mul(self.per_nanos()));
    }

    /// Gives `tokens` back that were taken and not used; never more than a full bucket.
    pub(crate) fn give_back(&mut self, tokens: u64) {
        self.level = self.level.saturating_sub(u128::from(tokens).saturating_mul(self.per_nanos()));
    }

    /// Keeps to another rate from now on. What was used stays used: the count of tokens is carried over.
    pub(crate) fn change(&mut self, rate: Rate) {
        if rate != self.rate {
            let used = self.level.div_ceil(self.per_nanos());
            self.rate = rate;
            self.level = used.saturating_mul(self.per_nanos());
        }
    }
}

#[cfg(test)]
mod tests;
