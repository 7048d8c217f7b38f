//! When an attempt is repeated, after which pause, and how many repetitions an upstream is asked to bear.
//!
//! Pure: time, chance and headers come as arguments. Used by `attempt` for model and tool traffic alike.

use std::time::{Duration, Instant};

use http::{HeaderMap, header::RETRY_AFTER};
use parking_lot::Mutex;
use tidegate_core::clock::UnixMillis;

/// The longest pause that an upstream can ask for.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How a target is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts at one target in one call, the first included; at least one is made.
    pub attempts: u32,
    /// The statuses after which the same target is asked again.
    pub on: Vec<u16>,
    /// The pause before the first retry; doubles with each, before jitter.
    pub first_pause: Duration,
    /// The longest pause before jitter.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: vec![429, 500, 502, 503, 504, 529],
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(8),
        }
    }
}

/// What the engine does after an attempt that failed with an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStatus {
    /// The upstream refused the call itself: every target would, so the answer goes to the caller.
    Answer,
    /// The target will not do, but another may.
    NextTarget,
    /// The same target may be asked again, and another after it.
    Retry,
}

impl RetryPolicy {
    /// What follows on `status`, where `retry_after` says whether the upstream named a pause and `repeated` how often
    /// this target was asked again already.
    ///
    /// 4xx are never repeated, and only those that speak about the provider's side (its key, its model, its limits:
    /// 401, 403, 404, 408, 429) pass to the next target. 429 with a pause passes on at once, since the target is left
    /// alone for that long. 503 and 529 without a pause are repeated twice at most, whatever `attempts` says.
    #[must_use]
    pub fn after_status(&self, status: u16, retry_after: bool, repeated: u32) -> AfterStatus {
        let listed = self.on.contains(&status);
        match status {
            429 if listed && !retry_after => AfterStatus::Retry,
            401 | 403 | 404 | 408 | 429 => AfterStatus::NextTarget,
            400..=499 => AfterStatus::Answer,
            503 | 529 if listed && !retry_after && repeated >= 2 => AfterStatus::NextTarget,
            500..=599 if listed => AfterStatus::Retry,
            _ => AfterStatus::NextTarget,
        }
    }

    /// The pause before repetition number `repeated` (0 for the first): exponential, with full jitter over its upper
    /// half. `chance` is a random number.
    #[must_use]
    pub fn pause(&self, repeated: u32, chance: u64) -> Duration {
        let whole = self.first_pause.saturating_mul(2_u32.saturating_pow(repeated.min(16))).min(self.longest_pause);
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
        let half = micros / 2;
        Duration::from_micros(half.saturating_add(chance.checked_rem(half.saturating_add(1)).unwrap_or(0)))
    }
}

/// The pause an upstream asks for: `retry-after-ms` (as the SDKs read it), else `Retry-After` in seconds or as a date
/// (RFC 9110, 10.2.3). Clamped to [`LONGEST_RETRY_AFTER`]; negative and unreadable values count as absent, a date in
/// the past as no pause.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(whole_part).map(Duration::from_millis);
    let asked = millis.or_else(|| {
        let value = text(RETRY_AFTER.as_str())?;
        whole_part(value).map(Duration::from_secs).or_else(|| {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
            let at = u64::try_from(date.as_millisecond()).unwrap_or(0);
            Some(UnixMillis(at).since(now))
        })
    })?;
    Some(asked.min(LONGEST_RETRY_AFTER))
}

/// The digits before an optional fraction, as a number that saturates; `None` where the text is no plain number.
fn whole_part(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(rest) {
        return None;
    }
    Some(whole.parse().unwrap_or(u64::MAX))
}

/// Seconds that the budget looks back.
const WINDOW: u64 = 10;

/// The retries that an upstream bears: at most a tenth of the first attempts of the last ten seconds, or a floor.
///
/// One lives per provider, for all of its targets together. An upstream that fails everything is so asked at most 1.1
/// times as often as callers call.
#[derive(Debug)]
pub struct RetryBudget {
    start: Instant,
    floor: u64,
    seconds: Mutex<[Second; 10]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    first: u64,
    retries: u64,
    failures: u64,
}

impl RetryBudget {
    /// Retries that are always allowed within the window, so that a target with little traffic is retried at all.
    pub const FLOOR: u64 = 3;

    /// Attempts that an upstream is not judged before.
    pub const LEAST_JUDGED: u64 = 20;

    /// An unused budget.
    #[must_use]
    pub fn new(now: Instant, floor: u64) -> Self {
        Self { start: now, floor, seconds: Mutex::new([Second::default(); 10]) }
    }

    /// Notes the first attempt of a call at this target.
    pub fn note_first(&self, now: Instant) {
        self.with_current(now, |current, _| current.first = current.first.saturating_add(1));
    }

    /// Notes an attempt that failed by the upstream's own doing.
    pub fn note_failure(&self, now: Instant) {
        self.with_current(now, |current, _| current.failures = current.failures.saturating_add(1));
    }

    /// Whether the upstream as a whole fails: more than four fifths of what it was sent of late. Then another of its
    /// targets is one more attempt at the same upstream; before, it is what the route's author asked for.
    pub fn struggling(&self, now: Instant) -> bool {
        self.with_current(now, |_, sum| {
            let sent = sum.first.saturating_add(sum.retries);
            sent >= Self::LEAST_JUDGED && sum.failures.saturating_mul(5) > sent.saturating_mul(4)
        })
    }

    /// Takes one retry out of the budget; false where it is spent.
    pub fn take_retry(&self, now: Instant) -> bool {
        self.with_current(now, |current, Second { first, retries, .. }| {
            let allowed = (first / 10).max(self.floor);
            let granted = retries < allowed;
            if granted {
                current.retries = current.retries.saturating_add(1);
            }
            granted
        })
    }

    fn with_current<T>(&self, now: Instant, change: impl FnOnce(&mut Second, Second) -> T) -> T {
        let number = now.saturating_duration_since(self.start).as_secs();
        let mut seconds = self.seconds.lock();
        let sums = seconds.iter().filter(|second| number.saturating_sub(second.number) < WINDOW).fold(
            Second::default(),
            |sum, second| Second {
                number,
                first: sum.first.saturating_add(second.first),
                retries: sum.retries.saturating_add(second.retries),
                failures: sum.failures.saturating_add(second.failures),
            },
        );
        let slot = usize::try_from(number % WINDOW).unwrap_or(0);
        let mut unused = Second::default();
        let current = seconds.get_mut(slot).unwrap_or(&mut unused);
        if current.number != number {
            *current = Second { number, ..Second::default() };
        }
        change(current, sums)
    }
}

#[cfg(test)]
mod tests;
