//! What finds no room, and what a collector's answers mean.

use std::collections::HashMap;

use http::HeaderMap;
use tidegate_core::{
    calls::CallSummary,
    ids::{CallId, OrgId},
};
use tidegate_testkit::{
    collector::Collector,
    scripted::{Reply, Step},
};

use super::*;
use crate::{Destination, UpstreamOptions};

fn settings(url: &str) -> Settings {
    Settings {
        endpoint: Destination::http(url, true).unwrap(),
        headers: HeaderMap::new(),
        profile: Profile::A,
        sample: 1.0,
        content: false,
        interval: Duration::from_secs(3_600),
        resource: Vec::new(),
        places: HashMap::new(),
    }
}

fn call(exporter: &Exporter, body: usize) -> Box<CallTrace> {
    let id = CallId::new();
    let traced = exporter.begin(id, None).unwrap();
    let now = clock::now();
    Box::new(CallTrace {
        context: traced.context,
        parent: traced.parent,
        began: now,
        ended: now,
        summary: CallSummary {
            id,
            org: OrgId::from("default"),
            at: clock::wall(),
            millis: 0,
            key: None,
            team: None,
            surface: "openai".into(),
            action: None,
            resource: "chat".into(),
            served_by: None,
            status: 200,
            error: None,
            usage: tidegate_core::usage::Usage::default(),
            cost: None,
            receipt: None,
            revision: "r".into(),
            policies: Vec::new(),
            observed: Vec::new(),
            verdicts: Vec::new(),
            attempts: Vec::new(),
            stages: Vec::new(),
            facts: Vec::new(),
        },
        stage_ends: Vec::new(),
        fault: None,
        complete: true,
        details: Details { request: Some(vec![b' '; body].into()), operation: "chat", ..Details::default() },
    })
}

fn counted(registry: &Registry, metric: Metric, labels: &[&str]) -> u64 {
    registry.handle(metric, labels).count()
}

#[test]
fn nothing_is_begun_where_telemetry_is_off() {
    let exporter = Exporter::new(Arc::default());
    assert_eq!(exporter.begin(CallId::new(), None), None);
    let parent = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(exporter.begin(CallId::new(), parent), None);
}

#[test]
fn about_the_wanted_share_of_traces_is_sent() {
    let exporter = Exporter::new(Arc::default());
    exporter.configure(Some(Settings { sample: 0.25, ..settings("http://127.0.0.1:1") }));
    let sent = (0..4_000).filter(|_| exporter.begin(CallId::new(), None).is_some()).count();
    assert!((700..1_300).contains(&sent), "{sent}");
}

#[test]
fn a_full_queue_drops_and_counts_instead_of_waiting() {
    let registry = Arc::new(Registry::new());
    let exporter = Exporter::new(Arc::clone(&registry));
    exporter.configure(Some(settings("http://127.0.0.1:1")));
    for _ in 0..QUEUE + 10 {
        exporter.record(call(&exporter, 0));
    }
    assert_eq!(counted(&registry, Metric::TelemetryDropped, &["traces", "queue_full"]), 10);
}

#[test]
fn bodies_that_wait_are_bounded_together() {
    let exporter = Exporter::new(Arc::default());
    exporter.configure(Some(settings("http://127.0.0.1:1")));
    assert!(exporter.may_keep(LARGEST_READ) && !exporter.may_keep(LARGEST_READ + 1));
    for _ in 0..100 {
        exporter.record(call(&exporter, LARGEST_READ));
    }
    assert!(exporter.held.load(Ordering::Relaxed) <= MOST_HELD);
    assert!(!exporter.may_keep(LARGEST_READ));
}

async fn sent_to(collector: &Collector, calls: usize) -> Arc<Registry> {
    let registry = Arc::new(Registry::new());
    let exporter = Exporter::new(Arc::clone(&registry));
    exporter.configure(Some(settings(&collector.url())));
    let upstream = Arc::new(Upstream::new(UpstreamOptions::default()).unwrap());
    for _ in 0..calls {
        exporter.record(call(&exporter, 10));
    }
    let mut waiting = exporter.waiting.lock().take().unwrap();
    let mut batch = Vec::new();
    waiting.recv_many(&mut batch, calls).await;
    exporter.send_traces(&upstream, &mut batch).await;
    assert_eq!(exporter.held.load(Ordering::Relaxed), 0);
    registry
}

#[tokio::test]
async fn an_overloaded_collector_is_asked_again() {
    let busy = Reply::new(503, "text/plain", &[("retry-after", "0")], []);
    let collector = Collector::playing([busy, Reply::new(200, "application/x-protobuf", &[], [])]).await.unwrap();
    let registry = sent_to(&collector, 3).await;
    assert_eq!(counted(&registry, Metric::TelemetrySent, &["traces"]), 3);
    assert_eq!(collector.received().len(), 2);
}

#[tokio::test]
async fn what_a_collector_rejects_is_counted_as_dropped() {
    let partly = Reply::new(200, "application/x-protobuf", &[], [0x0a, 2, 0x08, 2]);
    let collector = Collector::playing([partly]).await.unwrap();
    let registry = sent_to(&collector, 3).await;
    assert_eq!(counted(&registry, Metric::TelemetrySent, &["traces"]), 1);
    assert_eq!(counted(&registry, Metric::TelemetryDropped, &["traces", "refused"]), 2);
}

#[tokio::test]
async fn a_collector_that_refuses_is_not_asked_again() {
    let collector = Collector::playing([Reply::new(401, "text/plain", &[], [])]).await.unwrap();
    let registry = sent_to(&collector, 2).await;
    assert_eq!(counted(&registry, Metric::TelemetryDropped, &["traces", "refused"]), 2);
    assert_eq!(collector.received().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    let elsewhere = Collector::start().await.unwrap();
    let moved = Reply::new(307, "text/plain", &[("location", &elsewhere.url())], []);
    let collector = Collector::playing([moved.then(Step::Close)]).await.unwrap();
    let registry = sent_to(&collector, 1).await;
    assert_eq!(counted(&registry, Metric::TelemetryDropped, &["traces", "refused"]), 1);
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn what_is_left_is_sent_when_the_gateway_stops() {
    let collector = Collector::start().await.unwrap();
    let exporter = Exporter::new(Arc::default());
    exporter.configure(Some(settings(&collector.url())));
    exporter.record(call(&exporter, 0));
    let stop = CancellationToken::new();
    stop.cancel();
    exporter.run(Arc::new(Upstream::new(UpstreamOptions::default()).unwrap()), stop).await;
    assert_eq!(collector.spans().len(), 1);
    assert!(!collector.metrics().is_empty());
}
