//! The registry of metrics: what there is to measure, as data, and the values of this process.
//!
//! Owns the table of metrics ([`Metric`], [`Descriptor`]) and their series. The text for Prometheus, what is sent over
//! OTLP, the reference in the documentation and the dashboard are all made from it. Never does I/O, never reads a clock,
//! and never grows without bound: a family has at most [`MOST_SERIES`] series, and what comes beyond counts in one whose
//! labels say [`OVERFLOW`]. Every crate may record.

mod table;
mod text;

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

use foldhash::quality::RandomState;
pub use table::{Descriptor, Kind, Metric, Unit};

/// The most series of one family, the one for what comes beyond included.
pub const MOST_SERIES: usize = 2_000;

/// What every label of the series says that counts what found no room.
pub const OVERFLOW: &str = "other";

/// Every metric of this process. Cheap to record to from any thread; recording a known series allocates nothing.
#[derive(Debug)]
pub struct Registry {
    families: Vec<Family>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    /// By the hash of their labels.
    series: RwLock<HashMap<u64, Vec<Arc<Series>>, foldhash::fast::RandomState>>,
}

/// One series: the values of a family's labels, and what was measured under them.
#[derive(Debug)]
pub struct Series {
    labels: Box<[Box<str>]>,
    bounds: &'static [f64],
    /// A whole number for counters, the bits of a float for gauges and for the sum of histograms.
    value: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

/// What a series says at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A counter.
    Count(u64),
    /// A gauge.
    Level(f64),
    /// A histogram.
    Distribution {
        /// Observations per bucket, not cumulated; the last one is beyond every bound.
        counts: Vec<u64>,
        /// The sum of all observations.
        sum: f64,
    },
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Every family; those without labels at zero, the others without a series.
    #[must_use]
    pub fn new() -> Self {
        let families = Metric::ALL.iter().map(|metric| Family { metric: *metric, series: RwLock::default() }).collect();
        let registry = Self { families, hasher: RandomState::default() };
        for metric in Metric::ALL {
            if metric.descriptor().labels.is_empty() {
                registry.series(*metric, &[]);
            }
        }
        registry
    }

    /// Adds to a counter. `labels` are the values of the metric's labels, in their order; an empty one is left out.
    pub fn add(&self, metric: Metric, labels: &[&str], by: u64) {
        self.with(metric, labels, |series| series.add(by));
    }

    /// Sets a gauge.
    pub fn set(&self, metric: Metric, labels: &[&str], to: f64) {
        self.with(metric, labels, |series| series.set(to));
    }

    /// Notes one observation of a histogram.
    pub fn observe(&self, metric: Metric, labels: &[&str], value: f64) {
        self.with(metric, labels, |series| series.observe(value));
    }

    /// The series of `metric` under these labels, for those who record to it often.
    #[must_use]
    pub fn handle(&self, metric: Metric, labels: &[&str]) -> Arc<Series> {
        self.series(metric, labels)
    }

    fn with(&self, metric: Metric, labels: &[&str], record: impl FnOnce(&Series)) {
        let Some(family) = self.families.get(metric as usize) else { return };
        let hash = self.hasher.hash_one(labels);
        if let Some(series) = family.series.read().get(&hash).and_then(|found| matching(found, labels)) {
            record(series);
            return;
        }
        record(&self.series(metric, labels));
    }

    fn series(&self, metric: Metric, labels: &[&str]) -> Arc<Series> {
        let descriptor = metric.descriptor();
        let Some(family) = self.families.get(metric as usize) else { return Arc::new(Series::new(descriptor, labels)) };
        let hash = self.hasher.hash_one(labels);
        let mut known = family.series.write();
        if let Some(series) = known.get(&hash).and_then(|found| matching(found, labels)) {
            return Arc::clone(series);
        }
        if known.len() >= MOST_SERIES.saturating_sub(1) && !labels.iter().all(|label| *label == OVERFLOW) {
            drop(known);
            if metric != Metric::SeriesOverflow {
                self.add(Metric::SeriesOverflow, &[descriptor.name], 1);
            }
            return self.series(metric, &vec![OVERFLOW; labels.len()]);
        }
        let series = Arc::new(Series::new(descriptor, labels));
        known.entry(hash).or_default().push(Arc::clone(&series));
        series
    }

    /// Shows every family with its series, in the table's order; series by their labels.
    pub fn visit(&self, mut show: impl FnMut(&'static Descriptor, &[Arc<Series>])) {
        for family in &self.families {
            let mut series: Vec<Arc<Series>> = family.series.read().values().flatten().map(Arc::clone).collect();
            series.sort_by(|one, other| one.labels.cmp(&other.labels));
            show(family.metric.descriptor(), &series);
        }
    }

    /// Everything as OpenMetrics 1.0 text.
    #[must_use]
    pub fn text(&self) -> String {
        text::write(self)
    }
}

fn matching<'a>(found: &'a [Arc<Series>], labels: &[&str]) -> Option<&'a Arc<Series>> {
    found.iter().find(|series| {
        series.labels.len() == labels.len() && series.labels.iter().zip(labels).all(|(known, label)| **known == **label)
    })
}

impl Series {
    fn new(descriptor: &'static Descriptor, labels: &[&str]) -> Self {
        let bounds = match descriptor.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Gauge => &[],
        };
        let buckets = match descriptor.kind {
            Kind::Histogram(bounds) => (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            Kind::Counter | Kind::Gauge => Box::default(),
        };
        let labels = labels.iter().map(|label| Box::from(*label)).collect();
        Self { labels, bounds, value: AtomicU64::new(0), buckets }
    }

    /// The values of the family's labels, in their order.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(AsRef::as_ref)
    }

    /// Adds to a counter.
    pub fn add(&self, by: u64) {
        self.value.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, to: f64) {
        self.value.store(to.to_bits(), Ordering::Relaxed);
    }

    /// Moves a gauge up or down; gives what it was before.
    pub fn shift(&self, by: f64) -> f64 {
        let moved = |bits| Some((f64::from_bits(bits) + by).to_bits());
        self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved).map_or(0.0, f64::from_bits)
    }

    /// Notes one observation of a histogram; one that is no number is not counted.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
            self.shift(value);
        }
    }

    /// What a counter says.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// What a gauge says.
    #[must_use]
    pub fn level(&self) -> f64 {
        f64::from_bits(self.value.load(Ordering::Relaxed))
    }

    /// What the series of a metric of this kind says now.
    #[must_use]
    pub fn read(&self, kind: Kind) -> Reading {
        match kind {
            Kind::Counter => Reading::Count(self.count()),
            Kind::Gauge => Reading::Level(self.level()),
            Kind::Histogram(_) => Reading::Distribution {
                counts: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
                sum: self.level(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
