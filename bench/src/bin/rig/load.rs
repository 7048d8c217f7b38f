//! The load: closed loop (a number of connections, each as fast as it can) and open loop (a fixed rate).
//!
//! In an open loop every time is counted from when the request was due, not from when it could be sent, so that a
//! gateway that stands still is charged for all the requests that had to wait. Those that never end count with what
//! they had waited.

mod closed;
mod exchange;
mod open;
mod record;

use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::{HeaderMap, header};
use tidegate_bench::{body, options::Options};
use tidegate_core::clock;

use self::record::{Record, Report, Snapshot};
use crate::process;

/// What is sent, and to whom.
pub(crate) struct Target {
    address: SocketAddr,
    path: hyper::Uri,
    headers: HeaderMap,
    whole: Bytes,
    stream: Bytes,
    events: u64,
    patience: Duration,
}

/// In which shape it is sent.
pub(crate) struct Plan {
    shape: Shape,
    /// When the load begins.
    start: Instant,
    /// From when on it counts.
    counted: Instant,
    /// When it ends.
    end: Instant,
    /// How many of a hundred requests are streams.
    streams: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// So many connections, each with one request at a time.
    Closed(usize),
    /// So many requests a second, over as many connections as that takes, up to a bound.
    Open(f64, usize),
}

impl Plan {
    /// Whether request `number` is a stream: they are spread evenly.
    fn is_stream(&self, number: u64) -> bool {
        number.saturating_add(1).saturating_mul(self.streams) / 100 != number.saturating_mul(self.streams) / 100
    }
}

/// Runs one load and tells what came of it, as JSON.
pub(crate) fn run(options: &Options) -> Result<String> {
    let target = Rc::new(target(options)?);
    let seconds = |name: &str, otherwise: f64| -> Result<Duration> {
        Ok(Duration::from_secs_f64(options.number(name, otherwise)?.clamp(0.0, 600.0)))
    };
    let (warmup, length, drain) = (seconds("warmup", 1.0)?, seconds("seconds", 5.0)?, seconds("drain", 5.0)?);
    ensure!(!length.is_zero(), "--seconds must be above zero");
    let shape = match (options.text("connections"), options.text("rate")) {
        (Some(_), None) => Shape::Closed(options.number("connections", 1)?),
        (None, Some(_)) => Shape::Open(options.number("rate", 1.0)?, 256),
        _ => bail!("give either --connections or --rate"),
    };
    let streams = options.number("streams", 0)?;
    let pid: u32 = options.number("pid", 0)?;
    let tree = if pid > 0 { process::tree(pid) } else { Vec::new() };
    process::forget_peak(&tree);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = tokio::task::LocalSet::new().block_on(&runtime, async move {
        let record = Rc::new(Record::default());
        let start = clock::now();
        let plan = Rc::new(Plan { shape, start, counted: start + warmup, end: start + warmup + length, streams });
        let snapshots = tokio::task::spawn_local({
            let (record, tree, plan) = (Rc::clone(&record), tree.clone(), Rc::clone(&plan));
            async move {
                tokio::time::sleep_until(plan.counted.into()).await;
                let first = Snapshot::take(&record, &tree);
                tokio::time::sleep_until(plan.end.into()).await;
                (first, Snapshot::take(&record, &tree))
            }
        });
        match shape {
            Shape::Closed(connections) => closed::run(&target, &record, &plan, connections).await,
            Shape::Open(rate, most) => open::run(&target, &record, &plan, rate, most, drain).await?,
        }
        let (first, last) = snapshots.await?;
        anyhow::Ok(Report::of(&plan, &target, &record, &first, &last, &tree))
    })?;
    Ok(serde_json::to_string(&report)?)
}

fn target(options: &Options) -> Result<Target> {
    let address: SocketAddr = options.text("to").context("--to ADDRESS:PORT is missing")?.parse()?;
    ensure!(address.ip().is_loopback(), "the load goes to loopback addresses only");
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, address.to_string().parse()?);
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, header::HeaderValue::from_static("Bearer nobody"));
    for line in options.all("header") {
        let (name, value) = line.split_once(':').context("--header wants `name: value`")?;
        headers.insert(header::HeaderName::from_bytes(name.trim().as_bytes())?, value.trim().parse()?);
    }
    let model = options.text("model").unwrap_or("gpt-4o-mini");
    let kib = options.number("kib", 1)?;
    Ok(Target {
        address,
        path: options.text("path").unwrap_or("/v1/chat/completions").parse()?,
        headers,
        whole: body::chat(model, kib, false).into(),
        stream: body::chat(model, kib, true).into(),
        events: options.number("events", 100)?,
        patience: Duration::from_secs(30),
    })
}

#[cfg(test)]
mod tests;
