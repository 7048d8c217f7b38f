//! Secrets and content that must not come out anywhere.

use serde_json::{Value, json};
use tidegate_testkit::{
    collector::Collector,
    scripted::{Reply, Scripted},
};

use super::{
    gateway::{Gateway, Start, key, question},
    http::Answer,
    kill::files,
    streams::Dialect,
};

const PROVIDER_KEY: &str = "canary-of-the-provider-7d41c9aa02";
const TOOL_KEY: &str = "canary-of-the-tool-server-55e0b1d3";
const PROMPT: &str = "canary-of-the-prompt-19c2";
const METADATA: &str = "canary-of-the-metadata-8812";

/// Repeats the credential that it got, as careless upstreams do; the model's name says how.
fn echo(request: &tidegate_testkit::scripted::Received) -> Reply {
    let headers: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let shown = format!("Incorrect API key provided, you sent {}", headers.join(" "));
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    if request.path.contains("mcp") || model == "denied" {
        return Reply::json_with(401, &[("x-echo", &shown), ("request-id", &shown)], error(&shown));
    }
    match model {
        "broken" => Reply::json(500, error(&shown)),
        "garbage" => Reply::new(502, "text/html", &[], format!("<html>{shown}</html>")),
        "sudden" => Reply::events(format!("data: {}\n\n", error(&shown))),
        _ => Reply::json(
            200,
            json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}})
            .to_string(),
        ),
    }
}

fn error(message: &str) -> String {
    json!({"type": "error", "error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}})
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canary_secrets_reach_no_sink() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Scripted::answering(echo).await.unwrap();
    let collector = Collector::start().await.unwrap();
    let (secret, unknown) = (key(), key());
    let config = json!({
        "version": 1,
        "providers": {
            "out": {"type": "openai", "base_url": upstream.url("/v1"), "key": "env:PROVIDER_CANARY"},
            "outa": {"type": "anthropic", "base_url": upstream.url("/v1"), "key": "env:PROVIDER_CANARY"},
        },
        "mcp_servers": {"tools": {"url": upstream.url("/mcp"), "key": "env:TOOL_CANARY"}},
        "keys": {"k": {"secret": "env:KEY_CANARY", "allow": {"models": "*", "mcp_servers": "*"}}},
        "telemetry": {"otlp": {"endpoint": collector.url(), "interval": "1s"}},
    });
    let start = Start::new("serve", folder.path()).config(config).env("RUST_LOG", "trace");
    let start = start.env("PROVIDER_CANARY", PROVIDER_KEY).env("TOOL_CANARY", TOOL_KEY).env("KEY_CANARY", &secret);
    let mut gateway = start.run().await;
    let issued = gateway.ask("POST", "/api/v1/keys", Some(json!({"name": "made", "allow": {"models": "*"}}))).await;
    let made = issued.json()["key"].as_str().unwrap().to_owned();

    let mut sinks: Vec<(String, String)> = Vec::new();
    for (who, key) in [("k", &secret), ("made", &made), ("unknown", &unknown)] {
        for answer in calls(&gateway, key).await {
            sinks.push((format!("an answer to {who}"), shown(&answer)));
        }
    }
    assert!(upstream.received().iter().any(|request| request.text().contains(PROMPT)), "no call went out");
    let sent: String = upstream.received().iter().map(|request| format!("{:?}", request.headers)).collect();
    assert!(sent.contains(PROVIDER_KEY) && sent.contains(TOOL_KEY), "the canaries were never used");
    assert!(!sent.contains(&secret) && !sent.contains(METADATA), "an upstream got what is the caller's");
    sinks.extend(control_plane(&gateway).await);
    let admin_token = gateway.admin_token.clone();
    gateway.stop().await;
    assert!(!collector.spans().is_empty() && !collector.metrics().is_empty(), "no telemetry was sent");
    for request in collector.received() {
        sinks.push(("the telemetry collector".to_owned(), format!("{:?} {}", request.headers, request.text())));
    }
    sinks.push(("stderr".to_owned(), std::fs::read_to_string(&gateway.log).unwrap()));
    assert!(sinks.last().unwrap().1.contains("TRACE"), "nothing was traced");
    for file in files(&gateway.data) {
        let name = file.strip_prefix(&gateway.data).unwrap().display().to_string();
        if !name.starts_with("keys/") {
            sinks.push((name, String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned()));
        }
    }
    let secrets = [&secret, &made, &unknown].map(|key| key.rsplit('_').next().unwrap().to_owned());
    let mut canaries = vec![("the provider's key", PROVIDER_KEY), ("the tool server's key", TOOL_KEY)];
    canaries.extend([("the prompt", PROMPT), ("the metadata", METADATA), ("the admin token", &admin_token)]);
    canaries.extend(secrets.iter().map(|secret| ("a caller's key", secret.as_str())));
    let mut found = Vec::new();
    for (sink, text) in &sinks {
        for (what, canary) in canaries.iter().filter(|(_, canary)| text.contains(canary)) {
            let line = text.lines().find(|line| line.contains(canary)).unwrap_or_default();
            found.push(format!("{what} in {sink}: {}", line.chars().take(400).collect::<String>()));
        }
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} finds in {} sinks:\n{}", found.len(), sinks.len(), found.join("\n"));
}

fn shown(answer: &Answer) -> String {
    format!("{:?}\n{}", answer.headers, answer.text())
}

/// Good and bad calls of every kind.
async fn calls(gateway: &Gateway, key: &str) -> Vec<Answer> {
    let bearer = format!("Bearer {key}");
    let metadata = json!({"note": METADATA}).to_string();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("x-tidegate-metadata", metadata.as_str()),
    ];
    let mut answers = Vec::new();
    for dialect in Dialect::BOTH {
        let provider = if dialect == Dialect::OpenAi { "out" } else { "outa" };
        for model in ["good", "denied", "broken", "garbage", "sudden"] {
            for stream in [false, true] {
                let body = question(&format!("{provider}/{model}"), PROMPT, stream).to_string();
                let url = format!("{}{}", gateway.url, dialect.path());
                answers.push(super::http::send("POST", &url, &headers, body).await);
            }
        }
        let broken = format!("{{\"model\": \"{PROMPT}\", \"messages\": \"{PROMPT}");
        answers.push(super::http::send("POST", &format!("{}{}", gateway.url, dialect.path()), &headers, broken).await);
    }
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    answers.push(super::http::send("POST", &format!("{}/mcp/tools", gateway.url), &headers, hello.to_string()).await);
    answers
}

/// Everything that the control plane shows.
async fn control_plane(gateway: &Gateway) -> Vec<(String, String)> {
    let mut paths: Vec<String> = [
        "/metrics",
        "/readyz",
        "/api/v1/status",
        "/api/v1/revisions/current",
        "/api/v1/keys",
        "/api/v1/keys/k",
        "/api/v1/calls?limit=1000",
        "/api/v1/calls/live",
        "/api/v1/spend?by=key",
        "/api/v1/spend?by=target",
        "/api/v1/budgets",
        "/api/v1/policies",
        "/api/v1/audit",
        "/api/v1/openapi.json",
    ]
    .map(str::to_owned)
    .into();
    let calls = gateway.show("/api/v1/calls?limit=1000").await;
    let calls = calls["calls"].as_array().unwrap();
    assert!(calls.len() > 40, "{} calls", calls.len());
    paths.extend(calls.iter().map(|call| format!("/api/v1/calls/{}", call["id"].as_str().unwrap())));
    let mut sinks = Vec::new();
    for path in paths {
        let answer = gateway.ask("GET", &path, None).await;
        assert_eq!(answer.status, 200, "{path}");
        sinks.push((path, shown(&answer)));
    }
    sinks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_serialise_credentials() {
    // Every GET route of the control plane, with what there is to show on each, and what the commands print of it.
    let folder = tempfile::tempdir().unwrap();
    let upstream = Scripted::answering(echo).await.unwrap();
    let secret = key();
    let config = json!({
        "version": 1,
        "providers": {"out": {"type": "openai", "base_url": upstream.url("/v1"), "key": "env:PROVIDER_CANARY",
            "headers": {"x-extra": "env:TOOL_CANARY"}}},
        "mcp_servers": {"tools": {"url": upstream.url("/mcp"), "key": "env:TOOL_CANARY"}},
        "keys": {"k": {"secret": "env:KEY_CANARY", "allow": {"models": "*", "mcp_servers": "*"}}},
    });
    let start = Start::new("serve", folder.path()).config(config).env("PROVIDER_CANARY", PROVIDER_KEY);
    let gateway = start.env("TOOL_CANARY", TOOL_KEY).env("KEY_CANARY", &secret).run().await;
    let issued = gateway.ask("POST", "/api/v1/keys", Some(json!({"name": "made", "allow": {"models": "*"}}))).await;
    let made = issued.json()["key"].as_str().unwrap().to_owned();
    for key in [&secret, &made] {
        gateway.post("/v1/chat/completions", key, &question("out/good", "hello", false)).await;
        gateway.post("/v1/chat/completions", key, &question("out/denied", "hello", false)).await;
    }
    // What cannot be activated is shown too, with its text.
    let mut broken = std::fs::read_to_string(&gateway.config).unwrap();
    broken = broken.replace("env:PROVIDER_CANARY", PROVIDER_KEY);
    std::fs::write(&gateway.config, broken).unwrap();
    super::gateway::until("the rejection", std::time::Duration::from_secs(20), async || {
        gateway.show("/api/v1/status").await["rejected"].is_object()
    })
    .await;
    let described = gateway.show("/api/v1/openapi.json").await;
    let call = gateway.show("/api/v1/calls?limit=1").await["calls"][0]["id"].as_str().unwrap().to_owned();
    let mut shown = vec![("stderr".to_owned(), std::fs::read_to_string(&gateway.log).unwrap())];
    for (path, item) in described["paths"].as_object().unwrap() {
        // The stream of calls has no end.
        if item.get("get").is_none() || path.ends_with("/stream") {
            continue;
        }
        let id = if path.contains("calls") { call.as_str() } else { "made" };
        let path = path.replace("{id}", id);
        let answer = gateway.ask("GET", &path, None).await;
        shown.push((path, format!("{:?} {}", answer.headers, answer.text())));
    }
    assert!(shown.len() > 15, "{} routes", shown.len());
    let caller = |key: &str| key.rsplit('_').next().unwrap().to_owned();
    for (place, text) in &shown {
        for canary in [PROVIDER_KEY, TOOL_KEY, &caller(&secret), &caller(&made), &gateway.admin_token] {
            assert!(!text.contains(canary), "{place} shows {canary}: {text}");
        }
    }
}
