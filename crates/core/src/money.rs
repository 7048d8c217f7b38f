//! Money as whole nano-dollars. No floating point anywhere near it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An amount of US dollars in billionths (1 USD = 1,000,000,000), never negative: at most 18.4 billion dollars.
///
/// Serialised as a decimal string of nano-dollars, since JSON readers round integers above 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoUsd(pub u64);

/// Nano-dollars in one dollar.
const NANO: u64 = 1_000_000_000;

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` where `other` is more.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum, at most the largest amount there is.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount as a plain decimal of dollars without trailing zeros, for example `0.0123`.
    #[must_use]
    pub fn to_usd(self) -> String {
        let (whole, rest) = (self.0 / NANO, self.0 % NANO);
        if rest == 0 {
            return whole.to_string();
        }
        let digits = format!("{rest:09}");
        format!("{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} usd", self.to_usd())
    }
}

/// A text that is no amount of dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no amount of dollars: write a decimal such as `10` or `0.25`, with at most nine decimal places")]
pub struct InvalidAmount(pub String);

impl FromStr for NanoUsd {
    type Err = InvalidAmount;

    /// Reads a plain decimal of dollars: digits, optionally a point and one to nine digits.
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let refuse = || InvalidAmount(text.chars().take(40).collect());
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(rest) || rest.len() > 9 {
            return Err(refuse());
        }
        let whole: u64 = whole.parse().map_err(|_| refuse())?;
        let rest: u64 = format!("{rest:0<9}").parse().map_err(|_| refuse())?;
        whole.checked_mul(NANO).and_then(|nano| nano.checked_add(rest)).map(Self).ok_or_else(refuse)
    }
}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NanoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom("expected whole nano-dollars as a decimal string"))
    }
}

/// What one class of tokens costs: nano-dollars per million tokens (0.15 usd/mtok = 150,000,000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerMillion(pub u64);

impl PerMillion {
    /// The cost of `tokens` in millionths of a nano-dollar, so that several classes are summed before rounding once.
    #[must_use]
    pub fn micro_nanos(self, tokens: u64) -> u128 {
        u128::from(self.0) * u128::from(tokens)
    }
}

/// What one unit beside tokens costs: nano-dollars for so many (0.111 usd/hour of sound is 111,000,000 for 3,600,000
/// milliseconds). No price is rounded to fit: vendors charge by the thousand, the hour and the million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PerUnits {
    nanos: u64,
    of: u64,
}

/// Sums of prices per unit are exact in such parts of a nano-dollar.
pub const PARTS: u64 = 18_000_000;

impl PerUnits {
    /// So many nano-dollars for `of` units; `None` where `of` is no divisor of [`PARTS`], in which sums would not be
    /// exact.
    #[must_use]
    pub fn new(nanos: u64, of: u64) -> Option<Self> {
        PARTS.is_multiple_of(of).then_some(Self { nanos, of })
    }

    /// Nano-dollars, and for how many units they are.
    #[must_use]
    pub fn amount(self) -> (u64, u64) {
        (self.nanos, self.of)
    }

    /// The cost of `count` units in [`PARTS`] of a nano-dollar; `None` where it does not fit.
    #[must_use]
    pub fn parts(self, count: u64) -> Option<u128> {
        let each = u128::from(PARTS.checked_div(self.of)?);
        u128::from(self.nanos).checked_mul(u128::from(count))?.checked_mul(each)
    }

    /// Whether it is more than `other` for the same count.
    #[must_use]
    pub fn dearer(self, other: Self) -> bool {
        u128::from(self.nanos) * u128::from(other.of) > u128::from(other.nanos) * u128::from(self.of)
    }
}

/// Rounds a sum of [`PerUnits::parts`] up to whole nano-dollars; `None` where it does not fit.
#[must_use]
pub fn round_up_parts(parts: u128) -> Option<NanoUsd> {
    u64::try_from(parts.div_ceil(u128::from(PARTS))).ok().map(NanoUsd)
}

/// Rounds a sum of [`PerMillion::micro_nanos`] up to whole nano-dollars; `None` where it does not fit.
#[must_use]
pub fn round_up(micro_nanos: u128) -> Option<NanoUsd> {
    u64::try_from(micro_nanos.div_ceil(1_000_000)).ok().map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_printed_exactly() {
        for (text, nano) in [("10", 10_000_000_000), ("0.15", 150_000_000), ("0.000000001", 1), ("0", 0)] {
            let amount: NanoUsd = text.parse().unwrap();
            assert_eq!(amount, NanoUsd(nano));
            assert_eq!(amount.to_usd(), text);
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000000001", "1 ", "99999999999999999999"] {
            assert!(text.parse::<NanoUsd>().is_err(), "{text}");
        }
    }

    #[test]
    fn prices_by_the_hour_and_the_thousand_add_up_exactly() {
        let hour = PerUnits::new(111_000_000, 3_600_000).unwrap();
        let thousand = PerUnits::new(2, 1_000).unwrap();
        // 30.8333… nano-dollars for a millisecond: three of them are 92.5.
        let sum = hour.parts(3).unwrap() + thousand.parts(250).unwrap();
        assert_eq!(sum, (u128::from(PARTS) * 93));
        assert_eq!(round_up_parts(sum), Some(NanoUsd(93)));
        assert_eq!(round_up_parts(sum + 1), Some(NanoUsd(94)));
        assert_eq!(PerUnits::new(1, 7), None);
        assert!(hour.dearer(PerUnits::new(30, 1).unwrap()) && !hour.dearer(PerUnits::new(31, 1).unwrap()));
        assert_eq!(PerUnits::new(u64::MAX, 1).unwrap().parts(u64::MAX), None);
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
        let sum = PerMillion(75_000_000).micro_nanos(1) + PerMillion(1).micro_nanos(1);
        assert_eq!(round_up(sum), Some(NanoUsd(76)));
    }
}
