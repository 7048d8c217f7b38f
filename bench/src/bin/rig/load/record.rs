//! What a load writes down, and the report that is made of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Instant,
};

use serde::Serialize;
use tidegate_bench::quantile::{Spread, spread};
use tidegate_core::clock;

use super::{
    Plan, Shape, Target,
    exchange::{Failure, Outcome},
};
use crate::{process, watch::nanos};

#[derive(Default)]
pub(crate) struct Record {
    whole: RefCell<Vec<u64>>,
    stream: RefCell<Vec<u64>>,
    first: RefCell<Vec<u64>>,
    gaps: RefCell<Vec<u64>>,
    /// How much later than due requests of an open loop were taken up by the load itself.
    pub(crate) late: RefCell<Vec<u64>>,
    failures: RefCell<BTreeMap<Failure, u64>>,
    /// Every good answer, the warm-up's too: the two snapshots take the difference.
    good: Cell<u64>,
    streams_complete: Cell<u64>,
    events: Cell<u64>,
    frames: Cell<u64>,
    merged: Cell<u64>,
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().saturating_add(more));
}

impl Record {
    /// Notes what became of a request that was due at `due`.
    pub(crate) fn add(&self, target: &Target, due: Instant, outcome: Outcome, counted: bool) {
        let took = nanos(clock::now().saturating_duration_since(due));
        if outcome.is_ok() {
            add(&self.good, 1);
        }
        if !counted {
            return;
        }
        match outcome {
            Ok(None) => self.whole.borrow_mut().push(took),
            Ok(Some(watch)) => {
                self.stream.borrow_mut().push(took);
                self.first.borrow_mut().extend(watch.first.map(nanos));
                self.gaps.borrow_mut().extend(&watch.gaps);
                add(&self.streams_complete, u64::from(watch.is_complete(target.events)));
                add(&self.events, watch.events);
                add(&self.frames, watch.frames);
                add(&self.merged, watch.merged);
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Notes a request that did not end.
    pub(crate) fn unfinished(&self, due: Instant, stream: bool, counted: bool) {
        if counted {
            let waited = nanos(clock::now().saturating_duration_since(due));
            let times = if stream { &self.stream } else { &self.whole };
            times.borrow_mut().push(waited);
            self.fail(Failure::Unfinished);
        }
    }

    fn fail(&self, failure: Failure) {
        *self.failures.borrow_mut().entry(failure).or_default() += 1;
    }
}

/// The counters at one moment.
pub(crate) struct Snapshot {
    at: Instant,
    good: u64,
    cpu_us: u64,
    own_us: u64,
    cores: Vec<(u64, u64)>,
}

impl Snapshot {
    pub(crate) fn take(record: &Record, tree: &[u32]) -> Self {
        Self {
            at: clock::now(),
            good: record.good.get(),
            cpu_us: process::cpu_us(tree),
            own_us: process::cpu_us(&[std::process::id()]),
            cores: process::cores(),
        }
    }
}

/// What is told of a load. Times in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Requests a second that were to be sent; `None` in a closed loop.
    rate: Option<f64>,
    body_bytes: usize,
    completed: u64,
    per_second: f64,
    errors: u64,
    error_kinds: BTreeMap<String, u64>,
    whole_ms: Option<Spread>,
    stream_ms: Option<Spread>,
    first_event_ms: Option<Spread>,
    gap_ms: Option<Spread>,
    late_ms: Option<Spread>,
    streams: usize,
    /// Streams with every event, in order, and their end.
    streams_complete: u64,
    events_per_stream: f64,
    frames_per_stream: f64,
    merged_events: u64,
    cpu_us_per_request: Option<f64>,
    client_cpu_us_per_request: Option<f64>,
    rss_kib: u64,
    peak_kib: u64,
    threads: u64,
    /// How busy each core was, in percent.
    cores_busy: Vec<f64>,
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Report {
    pub(crate) fn of(
        plan: &Plan,
        target: &Target,
        record: &Record,
        first: &Snapshot,
        last: &Snapshot,
        tree: &[u32],
    ) -> Self {
        let completed = last.good.saturating_sub(first.good);
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        let per = |us: u64| (completed > 0).then(|| tenths(us as f64 / completed as f64));
        let failures = record.failures.borrow();
        let streams = record.stream.borrow().len();
        let each = |count: &Cell<u64>| tenths(count.get() as f64 / streams.max(1) as f64);
        let state = process::state(tree);
        let busy = first.cores.iter().zip(&last.cores).map(|(before, after)| {
            let all = after.1.saturating_sub(before.1).max(1);
            tenths(100.0 * after.0.saturating_sub(before.0) as f64 / all as f64)
        });
        Self {
            rate: match plan.shape {
                Shape::Open(rate, _) => Some(rate),
                Shape::Closed(_) => None,
            },
            body_bytes: target.whole.len(),
            completed,
            per_second: tenths(completed as f64 / seconds),
            errors: failures.values().sum(),
            error_kinds: failures.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
            whole_ms: spread(&mut record.whole.borrow_mut()),
            stream_ms: spread(&mut record.stream.borrow_mut()),
            first_event_ms: spread(&mut record.first.borrow_mut()),
            gap_ms: spread(&mut record.gaps.borrow_mut()),
            late_ms: spread(&mut record.late.borrow_mut()),
            streams,
            streams_complete: record.streams_complete.get(),
            events_per_stream: each(&record.events),
            frames_per_stream: each(&record.frames),
            merged_events: record.merged.get(),
            cpu_us_per_request: if tree.is_empty() { None } else { per(last.cpu_us.saturating_sub(first.cpu_us)) },
            client_cpu_us_per_request: per(last.own_us.saturating_sub(first.own_us)),
            rss_kib: state.rss_kib,
            peak_kib: state.peak_kib,
            threads: state.threads,
            cores_busy: busy.collect(),
        }
    }
}
