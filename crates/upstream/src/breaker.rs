//! The breaker of a target: after too many failures it is left alone for a while, then tried with one probe.
//!
//! Also holds the cooling that an upstream asks for itself with 429 and `Retry-After`. Pure: time comes as an argument.
//! One lives per target and is shared by all calls; `attempt` asks before each attempt and reports after it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failures in a row open it.
    pub consecutive: u32,
    /// Opens also where at least this share of the window's attempts failed, in percent…
    pub failure_percent: u32,
    /// …of at least this many.
    pub least_attempts: u32,
    /// The window that the share is measured over.
    pub window: Duration,
    /// How long it stays open the first time; each failed probe doubles it.
    pub cool_down: Duration,
    /// The longest it stays open.
    pub longest_cool_down: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            consecutive: 10,
            failure_percent: 50,
            least_attempts: 40,
            window: Duration::from_secs(10),
            cool_down: Duration::from_secs(5),
            longest_cool_down: Duration::from_secs(60),
        }
    }
}

/// What a breaker says to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Closed,
    /// Go on: this attempt is the probe, and its result decides.
    Probe,
    /// Leave the target alone for this long.
    Open(Duration),
    /// The upstream asked to be left alone for this long.
    Cooling(Duration),
}

impl Admission {
    /// Whether the attempt may be made.
    #[must_use]
    pub fn admits(self) -> bool {
        matches!(self, Self::Closed | Self::Probe)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
        pause: Duration,
    },
    /// A probe is out since the given moment.
    Probing {
        since: Instant,
        pause: Duration,
    },
}

#[derive(Debug)]
struct Inner {
    state: State,
    in_a_row: u32,
    window_start: Instant,
    attempts: u32,
    failures: u32,
    cooling_until: Option<Instant>,
}

/// The breaker of one target.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    inner: Mutex<Inner>,
}

/// How long a probe may be out before another is let through: its caller may have gone without a word.
const PROBE_LOST: Duration = Duration::from_secs(60);

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy, now: Instant) -> Self {
        Self {
            policy,
            inner: Mutex::new(Inner {
                state: State::Closed,
                in_a_row: 0,
                window_start: now,
                attempts: 0,
                failures: 0,
                cooling_until: None,
            }),
        }
    }

    /// Whether an attempt may be made now. [`Admission::Probe`] takes the probe: its result must be reported.
    pub fn admit(&self, now: Instant) -> Admission {
        let mut inner = self.inner.lock();
        if let Some(until) = inner.cooling_until {
            if now < until {
                return Admission::Cooling(until.saturating_duration_since(now));
            }
            inner.cooling_until = None;
        }
        match inner.state {
            State::Closed => Admission::Closed,
            State::Open { until, .. } if now < until => Admission::Open(until.saturating_duration_since(now)),
            State::Probing { since, pause } if now.saturating_duration_since(since) < PROBE_LOST => {
                Admission::Open(pause)
            }
            State::Open { pause, .. } | State::Probing { pause, .. } => {
                inner.state = State::Probing { since: now, pause };
                Admission::Probe
            }
        }
    }

    /// What [`Self::admit`] would say now, without taking a probe.
    #[must_use]
    pub fn look(&self, now: Instant) -> Admission {
        let inner = self.inner.lock();
        if let Some(until) = inner.cooling_until.filter(|until| now < *until) {
            return Admission::Cooling(until.saturating_duration_since(now));
        }
        match inner.state {
            State::Closed => Admission::Closed,
            State::Open { until, .. } if now < until => Admission::Open(until.saturating_duration_since(now)),
            State::Probing { since, pause } if now.saturating_duration_since(since) < PROBE_LOST => {
                Admission::Open(pause)
            }
            State::Open { .. } | State::Probing { .. } => Admission::Probe,
        }
    }

    /// The target answered as it should.
    pub fn succeeded(&self, now: Instant) {
        let mut inner = self.inner.lock();
        inner.roll(now, self.policy.window);
        inner.attempts = inner.attempts.saturating_add(1);
        inner.in_a_row = 0;
        if inner.state != State::Closed {
            inner.state = State::Closed;
            inner.attempts = 0;
            inner.failures = 0;
        }
    }

    /// The target failed: no connection, a timeout, a 5xx, a cut.
    pub fn failed(&self, now: Instant) {
        let mut inner = self.inner.lock();
        inner.roll(now, self.policy.window);
        inner.attempts = inner.attempts.saturating_add(1);
        inner.failures = inner.failures.saturating_add(1);
        inner.in_a_row = inner.in_a_row.saturating_add(1);
        match inner.state {
            State::Probing { pause, .. } => {
                let pause = pause.saturating_mul(2).min(self.policy.longest_cool_down);
                inner.open(now, pause);
            }
            State::Open { .. } => {}
            State::Closed => {
                let share = u64::from(inner.failures).saturating_mul(100)
                    >= u64::from(self.policy.failure_percent).saturating_mul(u64::from(inner.attempts));
                let by_share = inner.attempts >= self.policy.least_attempts && share;
                if inner.in_a_row >= self.policy.consecutive || by_share {
                    inner.open(now, self.policy.cool_down);
                }
            }
        }
    }

    /// The attempt ended in a way that says nothing about the target: the caller left, or the caller's own mistake.
    pub fn abandoned(&self, now: Instant) {
        let mut inner = self.inner.lock();
        if let State::Probing { pause, .. } = inner.state {
            inner.state = State::Open { until: now, pause };
        }
    }

    /// The upstream asked to be left alone for `pause`.
    pub fn cool(&self, now: Instant, pause: Duration) {
        let mut inner = self.inner.lock();
        let until = now.checked_add(pause);
        if until > inner.cooling_until {
            inner.cooling_until = until;
        }
    }
}

impl Inner {
    fn roll(&mut self, now: Instant, window: Duration) {
        if now.saturating_duration_since(self.window_start) >= window {
            self.window_start = now;
            self.attempts = 0;
            self.failures = 0;
        }
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        self.state = State::Open { until: now.checked_add(pause).unwrap_or(now), pause };
        self.in_a_row = 0;
        self.attempts = 0;
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests;
