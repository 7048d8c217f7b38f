//! What an OpenTelemetry collector gets to see, and that no call minds a bad one.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tidegate_testkit::{
    collector::{Collector, Data, Seen, SpanKind, StatusCode, hex, number_data_point, texts},
    scripted::{Received, Reply, Scripted},
};

use super::{
    gateway::{Gateway, Start, key, question},
    http,
    mcp::Session,
};

const PATIENCE: Duration = Duration::from_secs(20);
const PARENT: &str = "00f067aa0ba902b7";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn config(collector: &str, more: Value) -> Value {
    let mut otlp = json!({"endpoint": collector, "headers": {"x-tenant": "env:TENANT"}, "interval": "1s"});
    otlp.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "version": 1,
        "models": {"chat": {"route": "sim/chat", "retry": {"attempts": 3}}},
        "mcp_servers": {"sim": {"url": "sim:mcp"}},
        "guardrails": {"pii": {"detect": ["email"], "action": "redact"}},
        "keys": {"k": {"secret": "env:K", "allow": {"models": "*", "mcp_servers": "*"}, "guardrails": ["pii"]}},
        "telemetry": {"otlp": otlp},
    })
}

struct Scene {
    _folder: tempfile::TempDir,
    gateway: Gateway,
    secret: String,
}

async fn scene(collector: &str, more: Value) -> Scene {
    scene_of(config(collector, more)).await
}

/// As [`scene`], with `chat` at an upstream of the test's own.
async fn scene_at(upstream: &Scripted, collector: &str, more: Value) -> Scene {
    let mut config = config(collector, more);
    config["providers"] = json!({"out": {"type": "openai", "base_url": upstream.url("/v1")}});
    config["models"]["chat"]["route"] = json!("out/m-1");
    scene_of(config).await
}

async fn scene_of(config: Value) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let start = Start::new("up", folder.path()).config(config).env("K", &secret);
    let gateway = start.env("TENANT", "tenant-7").env("OTEL_SERVICE_NAME", "edge").run().await;
    Scene { _folder: folder, gateway, secret }
}

impl Scene {
    async fn chat(&self, prompt: &str, stream: bool, traceparent: Option<&str>) -> http::Answer {
        let bearer = format!("Bearer {}", self.secret);
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(traceparent.map(|parent| ("traceparent", parent)));
        let mut body = question("chat", prompt, stream);
        body["temperature"] = json!(0.5);
        http::send("POST", &format!("{}/v1/chat/completions", self.gateway.url), &headers, body.to_string()).await
    }
}

fn fine() -> Reply {
    let answer = json!({"id": "answer-1", "object": "chat.completion", "created": 1, "model": "m-1-large",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 2}}});
    Reply::json(200, answer.to_string())
}

/// The `traceparent` of each request that reached an upstream.
fn told(upstream: &Scripted) -> Vec<String> {
    let parent = |request: &Received| request.header("traceparent").unwrap_or_default().to_owned();
    upstream.received().iter().map(parent).collect()
}

fn trace_of(answer: &http::Answer) -> String {
    answer.header("x-tidegate-call-id").trim_start_matches("call_").to_owned()
}

/// The spans of one trace, once they are there, by name.
async fn spans(collector: &Collector, trace: &str) -> Vec<Seen> {
    let there = collector.until(PATIENCE, |collector| !collector.trace(trace).is_empty()).await;
    assert!(there, "no trace {trace}");
    collector.trace(trace)
}

fn one<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found: Vec<&Seen> = spans.iter().filter(|seen| seen.span.name == name).collect();
    let names: Vec<&str> = spans.iter().map(|seen| seen.span.name.as_str()).collect();
    assert_eq!(found.len(), 1, "{name} among {names:?}");
    found[0]
}

fn status(seen: &Seen) -> i32 {
    seen.span.status.as_ref().map_or(0, |status| status.code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_one_trace_with_a_span_per_stage_and_attempt() {
    let collector = Collector::start().await.unwrap();
    let down = || Reply::json(503, r#"{"error": {"message": "busy", "type": "server_error"}}"#);
    let upstream = Scripted::start([down(), down(), fine()]).await.unwrap();
    let scene = scene_at(&upstream, &collector.url(), json!({})).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let answer = scene.chat("hello", false, Some(&parent)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = spans(&collector, TRACE).await;

    let root = one(&spans, "openai chat");
    assert_eq!(hex(&root.span.parent_span_id), PARENT);
    assert_eq!((root.span.kind, status(root)), (SpanKind::Server as i32, StatusCode::Unset as i32));
    assert_eq!(root.attribute("tidegate.call.id"), answer.header("x-tidegate-call-id"));
    assert_eq!(root.attribute("tidegate.key"), "k");
    assert_eq!(root.attribute("tidegate.attempts"), "3");
    assert_eq!(root.resource["service.name"], "edge");
    assert_eq!(root.schema, "https://opentelemetry.io/schemas/1.41.0");

    let stages = [
        "admit",
        "identify",
        "decode",
        "route",
        "authorize",
        "reserve",
        "guard_request",
        "intent",
        "dispatch",
        "guard_response",
        "settle",
        "outcome",
    ];
    for stage in stages {
        let seen = one(&spans, stage);
        assert_eq!(seen.span.parent_span_id, root.span.span_id, "{stage}");
        assert_eq!(seen.span.kind, SpanKind::Internal as i32);
        assert!(seen.span.start_time_unix_nano >= root.span.start_time_unix_nano, "{stage}");
        assert!(seen.span.end_time_unix_nano >= seen.span.start_time_unix_nano, "{stage}");
        assert!(seen.span.end_time_unix_nano <= root.span.end_time_unix_nano, "{stage}");
        assert_eq!(seen.attribute("tidegate.stage.verdict"), "pass", "{stage}");
    }

    let mut attempts: Vec<&Seen> = spans.iter().filter(|seen| seen.span.name == "chat m-1").collect();
    attempts.sort_by_key(|seen| seen.attribute("tidegate.attempt.number"));
    let dispatch = one(&spans, "dispatch");
    assert!(attempts.iter().all(|seen| seen.span.parent_span_id == dispatch.span.span_id));
    assert!(attempts.iter().all(|seen| seen.span.kind == SpanKind::Client as i32));
    let outcomes: Vec<(i32, String, String)> = attempts
        .iter()
        .map(|seen| (status(seen), seen.attribute("error.type"), seen.attribute("http.response.status_code")))
        .collect();
    let failed = (StatusCode::Error as i32, "upstream_error".to_owned(), "503".to_owned());
    let answered = (StatusCode::Unset as i32, String::new(), "200".to_owned());
    assert_eq!(outcomes, [failed.clone(), failed, answered]);
    let last = attempts[2].attributes();
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "m-1"),
        ("gen_ai.response.model", "m-1-large"),
        ("gen_ai.response.id", "answer-1"),
        ("server.address", "127.0.0.1"),
        ("gen_ai.usage.cache_read.input_tokens", "2"),
        ("gen_ai.request.max_tokens", "64"),
        ("gen_ai.request.temperature", "0.5"),
        ("gen_ai.response.finish_reasons", "stop"),
    ] {
        assert_eq!(last.get(name).map(String::as_str), Some(value), "{name}");
    }
    let usage = &answer.json()["usage"];
    assert_eq!(last["gen_ai.usage.input_tokens"], usage["prompt_tokens"].to_string());
    assert_eq!(last["gen_ai.usage.output_tokens"], usage["completion_tokens"].to_string());
    assert!(!attempts[0].attributes().contains_key("gen_ai.usage.input_tokens"), "a failed attempt used nothing");
    assert!(!format!("{spans:?}").contains("hello"), "content was not asked for");
    assert!(collector.received().iter().all(|request| request.header("x-tenant") == Some("tenant-7")));

    // What the upstream was told is the attempt's own span.
    let expected: Vec<String> =
        attempts.iter().map(|seen| format!("00-{TRACE}-{}-01", hex(&seen.span.span_id))).collect();
    assert_eq!(told(&upstream), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_answers_attempt_lasts_until_its_end() {
    let collector = Collector::start().await.unwrap();
    let scene = scene(&collector.url(), json!({"profile": "b", "content": "redacted"})).await;
    let answer = scene.chat("[[sim: stream 5 chunks, 60ms]] mail bob@corp.example", true, None).await;
    assert_eq!(answer.status, 200);
    let spans = spans(&collector, &trace_of(&answer)).await;
    let (root, attempt) = (one(&spans, "openai chat"), one(&spans, "chat chat"));
    assert!(root.span.parent_span_id.is_empty());
    assert_eq!(root.schema, "https://opentelemetry.io/schemas/gen-ai/1.42.0");
    let took = |seen: &Seen| Duration::from_nanos(seen.span.end_time_unix_nano - seen.span.start_time_unix_nano);
    assert!(took(attempt) >= Duration::from_millis(200), "{:?}", took(attempt));
    assert!(took(attempt) <= took(root));
    assert_eq!(attempt.attribute("gen_ai.request.stream"), "true");
    assert!(!attempt.attribute("gen_ai.response.time_to_first_chunk").is_empty());
    let asked = attempt.attribute("gen_ai.input.messages");
    assert!(asked.contains("mail") && !asked.contains("bob@corp.example"), "{asked}");
    let said: Value = serde_json::from_str(&attempt.attribute("gen_ai.output.messages")).unwrap();
    assert_eq!(said[0]["role"], "assistant");
    assert!(!said[0]["parts"][0]["content"].as_str().unwrap().is_empty());
    let findings: Vec<BTreeMap<String, String>> =
        root.span.events.iter().map(|event| texts(&event.attributes)).collect();
    assert!(findings.iter().any(|finding| finding["tidegate.guardrail"] == "pii"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_tool_calls_are_traced_as_what_they_are() {
    let collector = Collector::start().await.unwrap();
    let scene = scene(&collector.url(), json!({})).await;
    let denied = scene.gateway.post("/v1/chat/completions", &scene.secret, &question("nowhere", "hi", false)).await;
    assert_eq!(denied.status, 404, "{}", denied.text());
    let session = Session::begin(&scene.gateway, &scene.secret).await.unwrap();
    let echoed = session.echo("hi there").await.unwrap();
    assert_eq!(echoed.status, 200);

    let spans_denied = spans(&collector, &trace_of(&denied)).await;
    let root = one(&spans_denied, "openai chat");
    assert_eq!((root.attribute("error.type").as_str(), status(root)), ("not_found", StatusCode::Unset as i32));
    let route = one(&spans_denied, "route");
    assert_eq!(route.attribute("tidegate.stage.verdict"), "refused");
    assert!(!spans_denied.iter().any(|seen| seen.span.kind == SpanKind::Client as i32));

    let spans_tool = spans(&collector, &trace_of(&echoed)).await;
    let tools: Vec<&Seen> = spans_tool.iter().filter(|seen| seen.span.name == "tools/call echo").collect();
    let kinds: Vec<i32> = tools.iter().map(|seen| seen.span.kind).collect();
    assert_eq!(kinds, [SpanKind::Server as i32, SpanKind::Client as i32]);
    for seen in tools {
        assert_eq!(seen.attribute("mcp.method.name"), "tools/call");
        assert_eq!(seen.attribute("gen_ai.tool.name"), "echo");
        assert_eq!(seen.attribute("gen_ai.operation.name"), "execute_tool");
        assert_eq!(seen.attribute("jsonrpc.request.id"), "1");
    }
    assert!(!format!("{spans_tool:?}").contains("hi there"), "content was not asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_unsampled_trace_and_an_unlucky_draw_are_not_sent() {
    let collector = Collector::start().await.unwrap();
    let upstream = Scripted::start([fine()]).await.unwrap();
    let scene = scene_at(&upstream, &collector.url(), json!({"sample": 0})).await;
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    for parent in [None, Some(unsampled.as_str())] {
        assert_eq!(scene.chat("not sampled", false, parent).await.status, 200);
    }
    let other = "0af7651916cd43dd8448eb211c80319c";
    let sampled = format!("00-{other}-{PARENT}-01");
    assert_eq!(scene.chat("sampled", false, Some(&sampled)).await.status, 200);
    spans(&collector, other).await;
    assert!(collector.spans().iter().all(|seen| hex(&seen.span.trace_id) == other));
    // An unsampled trace is passed on as it came.
    assert_eq!(told(&upstream)[..2], [String::new(), unsampled]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_sent_in_the_names_of_the_profile() {
    for (profile, names) in [
        ("a", ["gen_ai.client.operation.duration", "gen_ai.client.token.usage", "tidegate.requests"]),
        (
            "b",
            [
                "gen_ai.client.inference.duration",
                "gen_ai.client.inference.usage.input_tokens",
                "gen_ai.client.inference.operation.output_tokens",
            ],
        ),
    ] {
        let collector = Collector::start().await.unwrap();
        let scene = scene(&collector.url(), json!({"profile": profile})).await;
        assert_eq!(scene.chat("hello", false, None).await.status, 200);
        let has = |collector: &Collector, name: &str| collector.metrics().iter().any(|metric| metric.name == name);
        for name in names {
            let there = collector.until(PATIENCE, |collector| has(collector, name)).await;
            assert!(there, "{name} of profile {profile}");
        }
        let metrics = collector.metrics();
        let duration = metrics.iter().find(|metric| metric.name == names[0]);
        if let Some(Data::Histogram(histogram)) = duration.and_then(|metric| metric.data.as_ref()) {
            let point = &histogram.data_points[0];
            assert_eq!((point.count, point.bucket_counts.len()), (1, point.explicit_bounds.len() + 1));
            assert_eq!(histogram.aggregation_temporality, 2);
            assert_eq!(texts(&point.attributes)["gen_ai.provider.name"], "sim");
        }
        let counted = metrics.iter().find(|metric| metric.name.ends_with("input_tokens"));
        if let Some(Data::Sum(sum)) = counted.and_then(|metric| metric.data.as_ref()) {
            assert_eq!(texts(&sum.data_points[0].attributes)["gen_ai.token.modality"], "text");
            assert!(matches!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(tokens)) if tokens > 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_or_hangs_costs_no_call_and_is_counted() {
    let silent = Collector::playing([Reply::silence()]).await.unwrap();
    let refusing = Collector::playing([Reply::new(400, "text/plain", &[], [])]).await.unwrap();
    for (endpoint, reason) in [
        (silent.url(), None),
        (refusing.url(), Some("refused")),
        ("http://127.0.0.1:9".to_owned(), Some("unreachable")),
    ] {
        let scene = scene(&endpoint, json!({})).await;
        for _ in 0..20 {
            let answer = scene.chat("hello", false, None).await;
            assert_eq!(answer.status, 200);
        }
        let Some(reason) = reason else { continue };
        let wanted = format!("tidegate_telemetry_dropped_total{{signal=\"traces\",reason=\"{reason}\"}}");
        super::gateway::until("dropped spans are counted", PATIENCE, async || {
            let metrics = http::send("GET", &format!("{}/metrics", scene.gateway.admin), &[], "").await.text();
            metrics.lines().any(|line| line.starts_with(&wanted) && !line.ends_with(" 0"))
        })
        .await;
    }
}
