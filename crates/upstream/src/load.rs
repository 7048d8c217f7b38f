//! How quickly a target answers and how much it has to do: what `least_latency` and `least_busy` choose by.
//!
//! Pure: time comes as an argument. One lives per target, beside its breaker. Latency is a peak-sensitive moving
//! average: a slow answer counts at once and in full, quick ones bring the figure down over ten seconds, and so does
//! silence, so that a target that was once slow is tried again.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long it takes until a figure has lost most of its weight.
const DECAY: Duration = Duration::from_secs(10);

/// What a failure counts for at least: a target that fails quickly is not a quick one.
const FAILURE: Duration = Duration::from_secs(1);

/// The load of one target.
#[derive(Debug)]
pub(crate) struct Load {
    in_flight: AtomicU32,
    average: Mutex<Average>,
}

#[derive(Debug, Clone, Copy)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl Average {
    fn at(self, now: Instant) -> f64 {
        let gone = now.saturating_duration_since(self.at).as_secs_f64() / DECAY.as_secs_f64();
        self.seconds * (-gone).exp()
    }

    fn add(&mut self, seconds: f64, now: Instant) {
        let gone = now.saturating_duration_since(self.at).as_secs_f64() / DECAY.as_secs_f64();
        let weight = (-gone).exp();
        let mixed = self.seconds.mul_add(weight, seconds * (1.0 - weight));
        self.seconds = if seconds > self.at(now) { seconds } else { mixed };
        self.at = now;
    }
}

impl Load {
    pub(crate) fn new(now: Instant) -> Self {
        Self { in_flight: AtomicU32::new(0), average: Mutex::new(Average { seconds: 0.0, at: now }) }
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        // Each call that entered leaves once.
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer began after `latency`.
    pub(crate) fn answered(&self, latency: Duration, now: Instant) {
        self.average.lock().add(latency.as_secs_f64(), now);
    }

    /// An attempt failed after `latency`, by the target's own doing.
    pub(crate) fn failed(&self, latency: Duration, now: Instant) {
        let mut average = self.average.lock();
        let seconds = latency.max(FAILURE).as_secs_f64().max(average.at(now));
        average.add(seconds, now);
    }

    /// Calls in flight.
    pub(crate) fn busy(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The average latency as it stands at `now`; nothing where it was never asked.
    pub(crate) fn latency(&self, now: Instant) -> Duration {
        Duration::try_from_secs_f64(self.average.lock().at(now)).unwrap_or_default()
    }

    /// What waiting for one more answer would cost: the latency for each call that is in flight, and for this one.
    pub(crate) fn cost(&self, now: Instant) -> f64 {
        self.latency(now).as_secs_f64() * (f64::from(self.busy()) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::clock;

    use super::*;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_peak_counts_at_once_and_fades_with_time() {
        let start = clock::now();
        let load = Load::new(start);
        assert_eq!(load.latency(start), Duration::ZERO);
        load.answered(millis(10), start);
        load.answered(millis(900), start);
        assert_eq!(load.latency(start), millis(900));
        load.answered(millis(10), start + millis(100));
        assert!(load.latency(start + millis(100)) > millis(800), "one quick answer does not make it quick");
        assert!(load.latency(start + Duration::from_secs(60)) < millis(10), "it is tried again after a while");
    }

    #[test]
    fn a_quick_failure_is_no_quick_answer() {
        let start = clock::now();
        let load = Load::new(start);
        load.failed(millis(1), start);
        assert!(load.latency(start) >= FAILURE);
    }

    #[test]
    fn calls_in_flight_raise_the_cost() {
        let start = clock::now();
        let load = Load::new(start);
        load.answered(millis(100), start);
        let idle = load.cost(start);
        load.enter();
        assert!(load.cost(start) > 1.9 * idle);
        load.leave();
        assert_eq!(load.busy(), 0);
    }
}
