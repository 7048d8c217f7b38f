//! Calendar periods of budgets, in UTC. Owns when one begins and ends; never reads a clock. Called by accounts and
//! by whoever shows when a budget resets.

use std::fmt;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::Offset,
};
use serde::{Deserialize, Serialize};
use tidegate_core::clock::UnixMillis;

/// How long a budget lasts before it begins anew. Always calendar periods in UTC, never "the last 30 days".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday, midnight (ISO 8601).
    Week,
    /// From the first of the month, midnight.
    Month,
    /// For ever: never begins anew.
    Total,
}

impl Period {
    /// Every period, shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Total];

    /// The period's name as in `10 usd/month`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// When the period that holds `wall` began; the beginning of time for [`Period::Total`].
    #[must_use]
    pub fn start(self, wall: UnixMillis) -> UnixMillis {
        PeriodStarts::at(wall).of(self)
    }

    /// When the period that began at `start` ends, which is when the next one begins; `None` for [`Period::Total`].
    #[must_use]
    pub fn end(self, start: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Day => Some(UnixMillis(start.0.saturating_add(DAY))),
            Self::Week => Some(UnixMillis(start.0.saturating_add(7 * DAY))),
            Self::Month => {
                // Noon of the 32nd day lies in the next month, whatever the month's length.
                let inside_next = UnixMillis(start.0.saturating_add(31 * DAY + DAY / 2));
                Some(month_start(inside_next))
            }
            Self::Total => None,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// When each of the periods that hold one moment began. Computed once per call and kept by its reservation, so that
/// a call is charged to the periods it was admitted in, however the clock moves meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeriodStarts {
    day: UnixMillis,
    week: UnixMillis,
    month: UnixMillis,
}

impl PeriodStarts {
    pub(crate) fn at(wall: UnixMillis) -> Self {
        let days = wall.0 / DAY;
        // 1970-01-01 was a Thursday, three days after a Monday.
        let week = days.saturating_sub(days.saturating_add(3) % 7);
        Self {
            day: UnixMillis(days.saturating_mul(DAY)),
            week: UnixMillis(week.saturating_mul(DAY)),
            month: month_start(wall),
        }
    }

    pub(crate) fn of(self, period: Period) -> UnixMillis {
        match period {
            Period::Day => self.day,
            Period::Week => self.week,
            Period::Month => self.month,
            Period::Total => UnixMillis(0),
        }
    }

    /// The earliest of the starts, [`Period::Total`] apart.
    pub(crate) fn earliest(self) -> UnixMillis {
        self.week.min(self.month)
    }
}

/// A moment beyond the calendar (year 9999) is taken as the calendar's last month, so that nothing resets there.
fn month_start(wall: UnixMillis) -> UnixMillis {
    let first = Offset::UTC.to_datetime(timestamp(wall)).date().first_of_month();
    let millis = Offset::UTC.to_timestamp(DateTime::from(first)).map_or(0, |moment| moment.as_millisecond());
    UnixMillis(u64::try_from(millis).unwrap_or(0))
}

fn timestamp(wall: UnixMillis) -> Timestamp {
    i64::try_from(wall.0).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(Timestamp::MAX)
}

/// The moment as RFC 3339, to the second where it falls on one: `2026-12-01T00:00:00Z`.
#[must_use]
pub fn rfc3339(wall: UnixMillis) -> String {
    timestamp(wall).to_string()
}

/// Reads a date such as `2026-03-21`; `None` where it is none.
pub(crate) fn date(text: &str) -> Option<Date> {
    let shaped = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    shaped.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
