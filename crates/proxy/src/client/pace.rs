//! How slow somebody has been: time that went by waiting for them, less what they have earned by moving bytes.

use std::time::Duration;

/// Bytes a second that cost nobody anything.
const FREE_RATE: u64 = 1_024;

/// The patience with one client in one direction.
///
/// Waiting uses it up, bytes give it back at the rate of [`FREE_RATE`], and never more than was used: whoever sends much
/// at first has not bought the right to trickle afterwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    patience: Duration,
    used: Duration,
}

impl Pace {
    /// All of `patience` is there.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, used: Duration::ZERO }
    }

    /// How much longer somebody may be waited for.
    pub(crate) fn left(&self) -> Duration {
        self.patience.saturating_sub(self.used)
    }

    /// Notes that somebody was waited for, and then moved `bytes`.
    pub(crate) fn moved(&mut self, waited: Duration, bytes: usize) {
        let millis = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / FREE_RATE;
        self.used = self.used.saturating_add(waited).saturating_sub(Duration::from_millis(millis));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_uses_patience_up_and_bytes_give_it_back() {
        let mut pace = Pace::new(20 * SECOND);
        pace.moved(15 * SECOND, 0);
        assert_eq!(pace.left(), 5 * SECOND);
        pace.moved(SECOND, 3 * 1024);
        assert_eq!(pace.left(), 7 * SECOND);
    }

    #[test]
    fn a_great_start_buys_no_trickle() {
        let mut pace = Pace::new(20 * SECOND);
        pace.moved(Duration::ZERO, 32 << 20);
        let mut seconds = 0;
        while !pace.left().is_zero() {
            pace.moved(SECOND, 512);
            seconds += 1;
        }
        assert_eq!(seconds, 40, "half the free rate uses it up half as fast as silence");
    }

    #[test]
    fn whoever_keeps_the_free_rate_may_go_on_for_ever() {
        let mut pace = Pace::new(SECOND);
        for _ in 0..100_000 {
            pace.moved(SECOND / 2, 512);
        }
        assert_eq!(pace.left(), SECOND);
    }
}
