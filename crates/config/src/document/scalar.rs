//! Values with a unit: durations, sizes, moments, and the short forms of money and rates.
//!
//! Owns how they are written and their canonical form, so that `60s` and `1m` are the same setting.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};
use tidegate_core::{
    clock::UnixMillis,
    money::{NanoUsd, PerMillion},
    unit::Unit,
};
use tidegate_ledger::price::units::parse_per_unit;

use super::read::{Field, Reader};
use crate::{
    codes::{self, Code},
    node::{Node, Value},
    problem::quote,
};

/// A value that is written as text with a form of its own.
pub(crate) trait Form: Sized + fmt::Display {
    /// The code of a text that does not have the form.
    const CODE: Code;
    /// What is expected, in words.
    const EXPECTED: &'static str;
    /// How it is written.
    const HINT: &'static str;

    /// Reads the text; `Err` says what is wrong with it where more can be said than that.
    fn form(text: &str) -> Result<Self, Option<String>>;
}

macro_rules! written {
    ($name:ident, $description:literal, $example:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $description, "examples": [$example] })
            }
        }

        impl Field for $name {
            fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
                read_form(node, reader)
            }
        }
    };
}

fn read_form<T: Form>(node: &Node, reader: &mut Reader) -> Option<T> {
    let Value::Text(text) = &node.value else {
        let found = node.describe();
        reader.problem(T::CODE, node, format!("expected {}, found {found}", T::EXPECTED), T::HINT);
        return None;
    };
    match T::form(text.trim()) {
        Ok(value) => Some(value),
        Err(why) => {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            reader.problem(T::CODE, node, format!("{} is not {}{why}", quote(text), T::EXPECTED), T::HINT);
            None
        }
    }
}

/// A length of time: `500ms`, `30s`, `10m`, `12h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if millis > 0 && millis.is_multiple_of(unit) {
                return write!(f, "{}{name}", millis / unit);
            }
        }
        write!(f, "{millis}ms")
    }
}

impl Form for Time {
    const CODE: Code = codes::BAD_DURATION;
    const EXPECTED: &'static str = "a duration";
    const HINT: &'static str = "write a whole number and `ms`, `s`, `m`, `h` or `d`, for example `30s`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        let (number, unit) = number_and_unit(text)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(Some(String::from("the unit is missing"))),
            _ => return Err(Some(String::from("the unit is unknown"))),
        };
        let millis = number.checked_mul(millis).ok_or_else(|| Some(String::from("it is too long")))?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

written!(Time, "A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.", "30s");

/// A number of bytes: `512KiB`, `32MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 > 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl Form for Size {
    const CODE: Code = codes::BAD_SIZE;
    const EXPECTED: &'static str = "a size";
    const HINT: &'static str = "write a whole number and `B`, `KiB`, `MiB` or `GiB`, for example `32MiB`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        let (number, unit) = number_and_unit(text)?;
        let factor: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "" => return Err(Some(String::from("the unit is missing"))),
            "KB" | "MB" | "GB" | "kB" | "K" | "M" | "G" => {
                return Err(Some(String::from("units are those of 1,024: `KiB`, `MiB`, `GiB`")));
            }
            _ => return Err(Some(String::from("the unit is unknown"))),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| Some(String::from("it is too large")))
    }
}

written!(Size, "A number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`.", "32MiB");

fn number_and_unit(text: &str) -> Result<(u64, &str), Option<String>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(None)?;
    if number.is_empty() {
        return Err(None);
    }
    let number = number.parse().map_err(|_| Some(String::from("the number is too large")))?;
    Ok((number, unit.trim()))
}

/// A moment: RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub UnixMillis);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tidegate_ledger::period::rfc3339(self.0))
    }
}

impl Form for Moment {
    const CODE: Code = codes::BAD_TIME;
    const EXPECTED: &'static str = "a moment";
    const HINT: &'static str = "write date, time and zone as RFC 3339: `2027-01-31T00:00:00Z`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| None)?;
        u64::try_from(moment.as_millisecond())
            .map(|millis| Self(UnixMillis(millis)))
            .map_err(|_| Some(String::from("it lies before 1970")))
    }
}

written!(Moment, "A moment, as RFC 3339.", "2027-01-31T00:00:00Z");

/// The most that may be spent in a period: `10 usd/month`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(pub tidegate_ledger::Budget);

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Form for Budget {
    const CODE: Code = codes::BAD_BUDGET;
    const EXPECTED: &'static str = "a budget";
    const HINT: &'static str = "write an amount and a period (day, week, month, total), for example `10 usd/month`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        tidegate_ledger::Budget::from_str(text).map(Self).map_err(|error| Some(error.problem.to_owned()))
    }
}

written!(
    Budget,
    "The most that may be spent: US dollars in a day, week, month (calendar, UTC) or total.",
    "10 usd/month"
);

/// So many in so long: `600/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub tidegate_ledger::Rate);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Form for Rate {
    const CODE: Code = codes::BAD_RATE;
    const EXPECTED: &'static str = "a rate";
    const HINT: &'static str = "write a whole number and a unit of time (s, min, hour, day), for example `600/min`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        tidegate_ledger::Rate::from_str(text).map(Self).map_err(|error| Some(error.problem.to_owned()))
    }
}

written!(Rate, "So many in a time: a whole number and `/s`, `/min`, `/hour` or `/day`.", "600/min");

/// What tokens cost: `0.15 usd/mtok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPrice(pub PerMillion);

impl fmt::Display for TokenPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} usd/mtok", NanoUsd(self.0.0).to_usd())
    }
}

impl Form for TokenPrice {
    const CODE: Code = codes::BAD_PRICE;
    const EXPECTED: &'static str = "a price";
    const HINT: &'static str = "write US dollars for a million tokens, for example `0.15 usd/mtok`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        tidegate_ledger::price::parse_per_million(text).map(Self).map_err(|error| Some(error.problem.to_owned()))
    }
}

written!(TokenPrice, "What tokens cost: US dollars for a million.", "0.15 usd/mtok");

/// What a unit beside tokens costs: `0.04 usd/image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitPrice(pub String);

impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Form for UnitPrice {
    const CODE: Code = codes::BAD_PRICE;
    const EXPECTED: &'static str = "a price";
    const HINT: &'static str = "write US dollars for a unit, for example `0.04 usd/image` or `10 usd/kcall`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        // Which units there are goes by the field's name.
        let of = |unit: Unit| parse_per_unit(unit, text).is_ok();
        Unit::ALL.into_iter().any(of).then(|| Self(text.to_owned())).ok_or(None)
    }
}

written!(
    UnitPrice,
    "What a unit beside tokens costs: US dollars for one, a thousand (`k`) or a million (`m`).",
    "0.04 usd/image"
);

/// An amount of money: `0.01 usd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub NanoUsd);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} usd", self.0.to_usd())
    }
}

impl Form for Amount {
    const CODE: Code = codes::BAD_PRICE;
    const EXPECTED: &'static str = "an amount";
    const HINT: &'static str = "write US dollars, for example `0.01 usd`";

    fn form(text: &str) -> Result<Self, Option<String>> {
        let amount = text.strip_suffix("usd").ok_or_else(|| Some(String::from("the currency is missing")))?;
        let amount = amount.trim_end().parse();
        amount.map(Self).map_err(|_| Some(String::from("it is no decimal with at most nine decimal places")))
    }
}

written!(Amount, "An amount of US dollars.", "0.01 usd");

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for OneOrMany<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<T>();
        let many = generator.subschema_for::<Vec<T>>();
        schemars::json_schema!({ "anyOf": [one, many] })
    }
}

impl<T: Field> Field for OneOrMany<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(Self(reader.list(items))),
            _ => T::read(node, reader).map(|one| Self(vec![one])),
        }
    }
}

#[cfg(test)]
mod tests;
