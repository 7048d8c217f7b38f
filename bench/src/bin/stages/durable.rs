//! What durable audit costs: how many syncs calls take when many wait at once, and how long they wait.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tidegate_audit::{
    Audit, Class, OpenOptions,
    ports::{Disk as _, OsDisk},
};
use tidegate_bench::quantile::nearest;
use tidegate_core::clock;

use crate::rules;

/// Calls in each run.
const CALLS: u64 = 800;

#[derive(Serialize)]
struct Durable {
    /// The median of what one sync of the same disk takes by itself, in microseconds.
    sync_p50_us: f64,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Run {
    /// How many calls wait at once.
    concurrent: u64,
    calls: u64,
    /// Syncs that the log made for them.
    syncs: u64,
    /// How long an intent waited until it was durable, in microseconds.
    p50_us: f64,
    p99_us: f64,
}

/// Runs with 1, 16 and 64 calls at once, in the folder for temporary files (`TMPDIR` chooses the disk).
pub(crate) fn run() -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut runs = Vec::new();
    for concurrent in [1, 16, 64] {
        runs.push(runtime.block_on(tokio::task::LocalSet::new().run_until(together(concurrent)))?);
    }
    Ok(serde_json::to_string(&Durable { sync_p50_us: bare()?, runs })?)
}

async fn together(concurrent: u64) -> Result<Run> {
    let place = tempfile::tempdir()?;
    let (audit, _) = Audit::open(OpenOptions::new(place.path().join("audit"), place.path().join("keys")))?;
    let audit = Arc::new(audit);
    let before = audit.status().syncs;
    let lanes: Vec<_> =
        (0..concurrent).map(|_| tokio::task::spawn_local(lane(Arc::clone(&audit), CALLS / concurrent))).collect();
    let mut times = Vec::new();
    for lane in lanes {
        times.extend(lane.await??);
    }
    let syncs = audit.status().syncs - before;
    audit.close();
    let calls = u64::try_from(times.len())?;
    let (p50_us, p99_us) = quantiles(&mut times);
    Ok(Run { concurrent, calls, syncs, p50_us, p99_us })
}

async fn lane(audit: Arc<Audit>, calls: u64) -> Result<Vec<u64>> {
    let principal = rules::principal()?;
    let mut times = Vec::new();
    for _ in 0..calls {
        let start = clock::now();
        let intent = audit.intent(Class::Durable, rules::intent_record(&principal)).await?;
        times.push(since(start)?);
        intent.outcome(rules::outcome_record()).context("the outcome is not on record")?;
    }
    Ok(times)
}

/// What a write of a record's size and its sync take on the same disk, without a log.
fn bare() -> Result<f64> {
    let place = tempfile::tempdir()?;
    let file = OsDisk.create(&place.path().join("bare"))?;
    // The log writes into space that it has taken before: a sync that has to grow the file costs more.
    OsDisk.write_at(&file, &vec![0; 1 << 20], 0)?;
    OsDisk.sync(&file)?;
    let mut times = Vec::new();
    for number in 0..200_u64 {
        let start = clock::now();
        OsDisk.write_at(&file, &[7; 1_200], number * 1_200)?;
        OsDisk.sync(&file)?;
        times.push(since(start)?);
    }
    Ok(quantiles(&mut times).0)
}

fn since(start: Instant) -> Result<u64> {
    Ok(u64::try_from(clock::now().duration_since(start).as_nanos())?)
}

/// Median and 99th percentile in microseconds.
fn quantiles(times: &mut [u64]) -> (f64, f64) {
    times.sort_unstable();
    (nearest(times, 500) as f64 / 1_000.0, nearest(times, 990) as f64 / 1_000.0)
}
