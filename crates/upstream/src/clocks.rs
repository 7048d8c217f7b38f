//! The clocks of an attempt: connect, first event, between events, total, and the caller's own deadline.
//!
//! Each clock has its own error text, so that an operator knows which limit to move. Pure apart from awaiting a timer.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
};

use crate::patience::Patience;

/// How long an upstream may take, clock by clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving, connecting and TLS, or getting a free connection of the pool.
    pub connect: Duration,
    /// From a connection until the answer's first event; for an answer that is no stream, until its headers.
    pub first_event: Duration,
    /// Between two events of a stream, pings included, or between two pieces of a body.
    pub between_events: Duration,
    /// The whole call, all attempts and pauses together.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_event: Duration::from_secs(60),
            between_events: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}

/// Which clock ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Clock {
    /// No connection in time.
    #[error("the upstream was not connected within {0:?} (clock `connect`)")]
    Connect(Duration),
    /// No first event in time.
    #[error("the upstream's answer did not begin within {0:?} (clock `first_event`)")]
    FirstEvent(Duration),
    /// Silence inside the answer.
    #[error("the upstream fell silent for {0:?} inside its answer (clock `between_events`)")]
    BetweenEvents(Duration),
    /// The call as a whole took too long.
    #[error("the call was not finished within {0:?} (clock `total`)")]
    Total(Duration),
    /// The caller's own limit.
    #[error("the caller's own time limit passed (`x-tidegate-timeout-ms`)")]
    Caller,
}

impl Clock {
    /// The fault that this clock's end is.
    #[must_use]
    pub fn fault(self) -> Fault {
        let code = match self {
            Self::Caller => FaultCode::CallerTimeout,
            _ => FaultCode::UpstreamTimeout,
        };
        Fault::new(code, self.to_string())
    }
}

/// The outer limits of a call: what no single attempt may pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    started: Instant,
    total: Duration,
    caller: Option<Instant>,
}

impl Limits {
    /// Limits of a call that began at `started`.
    pub(crate) fn new(started: Instant, total: Duration, caller: Option<Instant>) -> Self {
        Self { started, total, caller }
    }

    /// Limits that do not end for a year: for streams that stay open as long as a session.
    pub(crate) fn endless(started: Instant) -> Self {
        Self { started, total: Duration::from_secs(365 * 24 * 3600), caller: None }
    }

    /// The moment at which the call ends whatever happens, and which clock that is.
    pub(crate) fn end(&self) -> (Instant, Clock) {
        let total = self.started.checked_add(self.total).unwrap_or(self.started);
        match self.caller {
            Some(caller) if caller <= total => (caller, Clock::Caller),
            _ => (total, Clock::Total(self.total)),
        }
    }

    /// How much is left at `now`; nothing where the end has passed.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.end().0.saturating_duration_since(now)
    }

    /// Awaits `future` for at most `limit`, and never past the call's end.
    ///
    /// # Errors
    /// The clock that ran out: `clock`, or the outer one where it comes first.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, clock: Clock, future: F) -> Result<F::Output, Clock> {
        let (until, which) = self.first(limit, clock);
        tokio::time::timeout_at(until.into(), future).await.map_err(|_| which)
    }

    /// [`Self::within`] for one piece of many.
    ///
    /// # Errors
    /// As for [`Self::within`].
    pub(crate) async fn piece<F: Future>(
        &self,
        (limit, clock): (Duration, Clock),
        patience: &mut Patience,
        future: F,
    ) -> Result<F::Output, Clock> {
        let (until, which) = self.first(limit, clock);
        patience.until(until, future).await.ok_or(which)
    }

    /// What comes first of `limit` from now and the call's end.
    fn first(&self, limit: Duration, clock: Clock) -> (Instant, Clock) {
        let (end, outer) = self.end();
        let inner = clock::now().checked_add(limit).unwrap_or(end);
        if end < inner { (end, outer) } else { (inner, clock) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_end_names_its_clock() {
        let start = clock::now();
        let limits = Limits::new(start, Duration::from_secs(10), None);
        assert_eq!(limits.end().1, Clock::Total(Duration::from_secs(10)));
        let limits = Limits::new(start, Duration::from_secs(10), Some(start + Duration::from_secs(3)));
        assert_eq!(limits.end(), (start + Duration::from_secs(3), Clock::Caller));
        assert_eq!(limits.left(start + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn every_clock_has_its_own_text_and_the_callers_own_is_the_callers_fault() {
        let second = Duration::from_secs(1);
        let clocks = [
            Clock::Connect(second),
            Clock::FirstEvent(second),
            Clock::BetweenEvents(second),
            Clock::Total(second),
            Clock::Caller,
        ];
        let mut texts: Vec<_> = clocks.iter().map(ToString::to_string).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 5);
        assert_eq!(Clock::Caller.fault().status, 408);
        assert_eq!(Clock::FirstEvent(second).fault().status, 504);
    }

    #[tokio::test]
    async fn the_outer_limit_wins_where_it_comes_first() {
        let limits = Limits::new(clock::now(), Duration::from_millis(20), None);
        let pending = std::future::pending::<()>();
        let which = limits.within(Duration::from_secs(5), Clock::FirstEvent(Duration::from_secs(5)), pending).await;
        assert_eq!(which, Err(Clock::Total(Duration::from_millis(20))));
    }
}
