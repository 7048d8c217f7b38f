//! One request to the collector, and what its answer means (OTLP 1.x, section "OTLP/HTTP").
//!
//! Owns patience: a collector that is overloaded is asked again, a few times, and then its batch is dropped and counted.
//! Never holds up a call. `mod.rs` beside it calls it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use tidegate_core::{clock, metric::Metric};

use super::{Exporter, Settings, protobuf};
use crate::{body, clocks::Limits, dispatch::Upstream, retry};

/// How long a collector may take to be connected.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a collector may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How often one batch is sent at most.
const ATTEMPTS: u32 = 3;

/// The first pause between two of them, doubled for the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// How one request went.
enum Outcome {
    /// Taken, but for so many.
    Taken(u64),
    /// Refused for good.
    Refused(String),
    /// Not now; perhaps after this pause.
    Later(String, Option<Duration>),
}

/// Sends `body`, which holds `items` spans or points, and counts what becomes of them.
pub(super) async fn post(
    exporter: &Exporter,
    upstream: &Upstream,
    settings: &Settings,
    signal: Signal,
    body: Vec<u8>,
    items: u64,
) {
    if items == 0 {
        return;
    }
    let body = Bytes::from(body);
    let mut pause = PAUSE;
    for attempt in 1..=ATTEMPTS {
        match once(upstream, settings, signal, body.clone()).await {
            Outcome::Taken(rejected) => {
                let rejected = rejected.min(items);
                exporter.registry.add(Metric::TelemetrySent, &[signal.as_str()], items.saturating_sub(rejected));
                if rejected > 0 {
                    dropped(exporter, signal, "refused", rejected, "it rejected some of them");
                }
                return;
            }
            Outcome::Refused(why) => return dropped(exporter, signal, "refused", items, &why),
            Outcome::Later(why, _) if attempt == ATTEMPTS => {
                return dropped(exporter, signal, "unreachable", items, &why);
            }
            Outcome::Later(_, asked) => {
                tokio::time::sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                pause = pause.saturating_mul(2);
            }
        }
    }
}

fn dropped(exporter: &Exporter, signal: Signal, reason: &str, items: u64, why: &str) {
    exporter.registry.add(Metric::TelemetryDropped, &[signal.as_str(), reason], items);
    tracing::warn!(signal = signal.as_str(), reason, items, why, "telemetry did not reach the collector");
}

async fn once(upstream: &Upstream, settings: &Settings, signal: Signal, body: Bytes) -> Outcome {
    let uri = match settings.endpoint.uri(signal.path()) {
        Ok(uri) => uri,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.clone_from(&settings.headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let agent = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
    headers.entry(header::USER_AGENT).or_insert(agent);
    let limits = Limits::new(clock::now(), CONNECT.saturating_add(ANSWER), None);
    match upstream.pool.send(&settings.endpoint, request, (CONNECT, ANSWER), &limits).await {
        Ok(response) => read(response, &limits).await,
        Err(unanswered) => Outcome::Later(unanswered.error.to_string(), None),
    }
}

async fn read(response: Response<Incoming>, limits: &Limits) -> Outcome {
    let status = response.status();
    let pause = retry::retry_after(response.headers(), clock::wall());
    let answer = body::whole(response.into_body(), LARGEST_ANSWER, ANSWER, limits).await;
    match status.as_u16() {
        200..=299 => Outcome::Taken(answer.ok().and_then(|answer| protobuf::rejected(&answer)).unwrap_or(0)),
        429 | 502..=504 => Outcome::Later(format!("it answered {status}"), pause),
        _ => Outcome::Refused(format!("it answered {status}")),
    }
}
