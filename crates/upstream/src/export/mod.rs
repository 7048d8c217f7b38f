//! Traces and metrics for an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! Owns the way from a finished call to the collector. A request only leaves its [`CallTrace`] in a bounded queue and
//! never waits; spans are made and sent by a task of their own. What finds no room, or no collector, is dropped and
//! counted. The destination comes from configuration alone, over the one guarded connector. Never sends a secret, and
//! content only where the settings say so. The proxy records, the binary configures and runs it.

mod attributes;
mod content;
mod encode;
mod metrics;
mod protobuf;
mod send;
mod settings;
mod spans;
mod trace;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tidegate_core::{
    clock::{self, UnixMillis},
    ids::CallId,
    metric::{Metric, Registry, Series},
    trace::{SpanId, TraceContext, TraceId},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::{
    settings::{INTERVAL, Place, Profile, Settings, vendor},
    trace::{CallTrace, Content, Details},
};
use crate::dispatch::Upstream;

/// The most finished calls that wait for being sent.
const QUEUE: usize = 4_096;

/// The most bytes of requests and answers that wait with them.
const MOST_HELD: usize = 16 << 20;

/// The largest request whose parameters are looked at.
const LARGEST_READ: usize = 256 << 10;

/// The most calls of one request to the collector.
const BATCH: usize = 512;

/// How long calls are gathered before they are sent.
const GATHER: Duration = Duration::from_secs(1);

/// How long the last calls and measures may take to be sent when the gateway stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The way out for telemetry. One per process.
pub struct Exporter {
    settings: ArcSwapOption<Settings>,
    registry: Arc<Registry>,
    queue: mpsc::Sender<Box<CallTrace>>,
    waiting: Mutex<Option<mpsc::Receiver<Box<CallTrace>>>>,
    held: AtomicUsize,
    overflow: Arc<Series>,
    started: UnixMillis,
    /// Woken when the settings change, so that a new interval counts at once.
    changed: tokio::sync::Notify,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

/// The trace that a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// The call's own span.
    pub context: TraceContext,
    /// The caller's span.
    pub parent: Option<SpanId>,
}

impl Exporter {
    /// An exporter that sends nothing until it is configured. It measures in `registry`, and sends what is there.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        // At zero from the start, so that the first loss is a rise that a rate sees.
        for (signal, reason) in
            [("traces", "refused"), ("traces", "unreachable"), ("metrics", "refused"), ("metrics", "unreachable")]
        {
            registry.add(Metric::TelemetryDropped, &[signal, reason], 0);
        }
        Self {
            settings: ArcSwapOption::empty(),
            queue,
            waiting: Mutex::new(Some(waiting)),
            held: AtomicUsize::new(0),
            overflow: registry.handle(Metric::TelemetryDropped, &["traces", "queue_full"]),
            started: clock::wall(),
            changed: tokio::sync::Notify::new(),
            registry,
        }
    }

    /// Sends to where `settings` say from now on; nowhere for `None`.
    pub fn configure(&self, settings: Option<Settings>) {
        self.settings.store(settings.map(Arc::new));
        self.changed.notify_waiters();
    }

    /// Whether anything is sent at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.settings.load().is_some()
    }

    /// Whether what was said is to be sent.
    #[must_use]
    pub fn wants_content(&self) -> bool {
        self.settings.load().as_ref().is_some_and(|settings| settings.content)
    }

    /// The trace of a call whose caller stands at `parent`; `None` where it is not to be sent. Reads one pointer where
    /// telemetry is off.
    #[must_use]
    pub fn begin(&self, call: CallId, parent: Option<TraceContext>) -> Option<Traced> {
        let settings = self.settings.load();
        let settings = settings.as_ref()?;
        let span = SpanId::of_call(call);
        match parent {
            Some(parent) => parent.sampled.then_some(Traced {
                context: TraceContext { trace: parent.trace, span, sampled: true },
                parent: Some(parent.span),
            }),
            None => {
                let trace = TraceId::of_call(call);
                let context = TraceContext { trace, span, sampled: true };
                (trace.draw() < settings.sample).then_some(Traced { context, parent: None })
            }
        }
    }

    /// Whether a request of `length` bytes may be kept for its parameters until its call has been sent.
    #[must_use]
    pub fn may_keep(&self, length: usize) -> bool {
        let most = if self.wants_content() { content::LARGEST } else { LARGEST_READ };
        length <= most && self.held.load(Ordering::Relaxed).saturating_add(length) <= MOST_HELD
    }

    /// Takes a finished call. Never waits: what finds no room is dropped and counted.
    pub fn record(&self, mut call: Box<CallTrace>) {
        let mut size = call.size();
        let before = self.held.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > MOST_HELD {
            self.held.fetch_sub(size, Ordering::Relaxed);
            (call.details.request, call.details.content) = (None, None);
            size = 0;
        }
        if self.queue.try_send(call).is_err() {
            self.held.fetch_sub(size, Ordering::Relaxed);
            self.overflow.add(1);
        }
    }

    /// Sends what is recorded until `stop` is cancelled, and then what is left. Runs once; a second run returns at once.
    pub async fn run(&self, upstream: Arc<Upstream>, stop: CancellationToken) {
        let Some(mut waiting) = self.waiting.lock().take() else { return };
        tokio::join!(self.traces(&upstream, &mut waiting, &stop), self.measures(&upstream, &stop));
    }

    async fn traces(
        &self,
        upstream: &Upstream,
        waiting: &mut mpsc::Receiver<Box<CallTrace>>,
        stop: &CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        while !stop.is_cancelled() {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = waiting.recv() => batch.extend(received),
            }
            // More may come within a moment: one request for many calls.
            let gathered = tokio::time::sleep(GATHER);
            tokio::pin!(gathered);
            while batch.len() < BATCH {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    () = &mut gathered => break,
                    received = waiting.recv() => batch.extend(received),
                }
            }
            tokio::select! {
                () = self.send_traces(upstream, &mut batch) => {}
                // The last word is below; what was being sent is sent there once more, which collectors bear.
                () = stop.cancelled() => {}
            }
        }
        let farewell = async {
            while let Ok(call) = waiting.try_recv() {
                batch.push(call);
                if batch.len() >= BATCH {
                    self.send_traces(upstream, &mut batch).await;
                }
            }
            self.send_traces(upstream, &mut batch).await;
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("the last traces could not be sent to the collector in time");
        }
    }

    #[expect(clippy::vec_box, reason = "they come boxed through the queue, and are large")]
    async fn send_traces(&self, upstream: &Upstream, batch: &mut Vec<Box<CallTrace>>) {
        if batch.is_empty() {
            return;
        }
        let settings = self.settings.load_full();
        if let Some(settings) = settings {
            let (body, spans) = spans::encode(&settings, batch);
            send::post(self, upstream, &settings, send::Signal::Traces, body, spans).await;
        }
        for call in batch.drain(..) {
            self.held.fetch_sub(call.size(), Ordering::Relaxed);
        }
    }

    async fn measures(&self, upstream: &Upstream, stop: &CancellationToken) {
        loop {
            let interval = self.settings.load().as_ref().map_or(INTERVAL, |settings| settings.interval);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => continue,
                () = tokio::time::sleep(interval) => {}
            }
            tokio::select! {
                () = self.send_measures(upstream) => {}
                () = stop.cancelled() => break,
            }
        }
        if tokio::time::timeout(FAREWELL, self.send_measures(upstream)).await.is_err() {
            tracing::warn!("the last measures could not be sent to the collector in time");
        }
    }

    async fn send_measures(&self, upstream: &Upstream) {
        let Some(settings) = self.settings.load_full() else { return };
        let (body, points) = metrics::encode(&settings, &self.registry, self.started, clock::wall());
        send::post(self, upstream, &settings, send::Signal::Metrics, body, points).await;
    }
}

impl CallTrace {
    /// The bytes of requests and answers that it holds.
    fn size(&self) -> usize {
        let details = &self.details;
        let answer = details.content.as_ref().map_or(0, |content| content.answer.len());
        details.request.as_ref().map_or(0, bytes::Bytes::len).saturating_add(answer)
    }
}

#[cfg(test)]
mod tests;
