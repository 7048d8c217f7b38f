//! The only place that reads a clock.
//!
//! Timeouts and durations use [`now`] (monotonic); records and periods use [`wall`] (UTC). Code that decides takes
//! the time as an argument, so that tests choose it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock: for durations, deadlines and timeouts. Never goes back.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock in UTC. May jump; never use it to measure how long something took.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This moment plus `by`, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole microseconds from `start` until now, saturating at `u32::MAX` (71 minutes).
#[must_use]
pub fn micros_since(start: Instant) -> u32 {
    u32::try_from(now().saturating_duration_since(start).as_micros()).unwrap_or(u32::MAX)
}
