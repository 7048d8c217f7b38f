//! Quantiles of measured times.

use serde::Serialize;

/// What is said of many times, in milliseconds with three decimals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// How many there were.
    pub count: usize,
    /// The median.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// 999 of a thousand.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// The spread of times in nanoseconds, which are sorted for it; `None` where there are none.
#[must_use]
pub fn spread(nanos: &mut [u64]) -> Option<Spread> {
    nanos.sort_unstable();
    let at = |thousandths: usize| millis(nearest(nanos, thousandths));
    nanos.last()?;
    Some(Spread { count: nanos.len(), p50: at(500), p90: at(900), p99: at(990), p999: at(999), max: at(1_000) })
}

/// The nearest-rank quantile: the smallest value that at least `thousandths` of a thousand do not exceed. Zero of none.
#[must_use]
pub fn nearest(sorted: &[u64], thousandths: usize) -> u64 {
    let rank = sorted.len().saturating_mul(thousandths).div_ceil(1_000).max(1);
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(0)
}

fn millis(nanos: u64) -> f64 {
    (nanos as f64 / 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::{nearest, spread};

    #[test]
    fn quantiles_are_those_of_the_nearest_rank() {
        let mut times: Vec<u64> = (1..=200).rev().map(|number| number * 1_000_000).collect();
        let spread = spread(&mut times).unwrap();
        assert_eq!((spread.count, spread.p50, spread.p90), (200, 100.0, 180.0));
        assert_eq!((spread.p99, spread.p999, spread.max), (198.0, 200.0, 200.0));
        assert_eq!(nearest(&[7], 10), 7);
        assert_eq!(nearest(&[], 500), 0);
        assert_eq!(super::spread(&mut []), None);
    }
}
