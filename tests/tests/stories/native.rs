//! A vendor's own API: denied without a policy, then passed as it is, guarded where it is JSON, priced and on record.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use super::{
    gateway::{Gateway, Start, key},
    http,
};

const POLICY: &str = r#"
@id("files") permit (principal, action == Tidegate::Action::"call_provider_api", resource)
when { context.api.path like "/v1/files*" || context.api.path like "/v1/images/*" || context.api.path like "/v1/x*" };
"#;

async fn start(folder: &Path, upstream: &Scripted, caller: &str, more: &Value) -> Gateway {
    let policies = folder.join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("api.cedar"), POLICY).unwrap();
    let mut config = json!({
        "version": 1,
        "policies": policies,
        "providers": {"openai": {"base_url": upstream.url("/v1"), "key": "env:VENDOR_KEY"}},
        "default_provider": "openai",
        "guardrails": {"pii": {"detect": ["email"], "on": ["request", "response"], "action": "redact"}},
        "keys": {
            "k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "guardrails": ["pii"]},
            "free": {"secret": "env:FREE_KEY", "allow": {"models": "*"}},
        },
    });
    for (path, value) in more.as_object().unwrap() {
        *config
            .pointer_mut(path.rsplit_once('/').unwrap().0)
            .unwrap()
            .get_mut(path.rsplit_once('/').unwrap().1)
            .unwrap() = value.clone();
    }
    let start = Start::new("up", folder).config(config).env("VENDOR_KEY", "sk-vendor-secret-0123456789abcdef");
    start.env("CALLER_KEY", caller).env("FREE_KEY", &free_of(caller)).run().await
}

/// A second key of the same test.
fn free_of(_: &str) -> String {
    static FREE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    FREE.get_or_init(key).clone()
}

async fn send(gateway: &Gateway, key: &str, method: &str, path: &str, body: &str) -> http::Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    http::send(method, &format!("{}{path}", gateway.url), &headers, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_route_passes_natively_where_a_policy_says_so_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Scripted::answering(|request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/files?limit=2&after=a%20b") => Reply::json_with(
            200,
            &[("x-request-id", "r-1"), ("set-cookie", "no=1")],
            r#"{"data":[{"id":"file-1","note":"from jo@example.com"}]}"#,
        ),
        ("GET", "/v1/files/f/content") => Reply::new(200, "application/octet-stream", &[], vec![7_u8; 300_000]),
        ("GET", "/v1/files/cut") => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
            Reply(vec![Step::Send(head.as_bytes().into()), Step::Close])
        }
        ("POST", "/v1/images/generations") => {
            Reply::json(200, r#"{"data":[],"usage":{"input_tokens":3,"output_tokens":4}}"#)
        }
        ("DELETE", _) => Reply::json(404, r#"{"error":{"message":"no such file sk-vendor-secret-0123456789abcdef"}}"#),
        _ => Reply::json(200, "{}"),
    })
    .await
    .unwrap();
    let caller = key();
    let gateway = start(folder.path(), &upstream, &caller, &json!({})).await;
    let list = send(&gateway, &caller, "GET", "/v1/files?limit=2&after=a%20b", "").await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert!(list.text().contains("file-1") && !list.text().contains("jo@example.com"), "{}", list.text());
    assert_eq!((list.header("x-request-id"), list.header("set-cookie")), ("r-1", ""));
    assert_eq!(list.header("x-tidegate-served-by"), "openai");
    let content = send(&gateway, &caller, "GET", "/v1/files/f/content", "").await;
    assert_eq!((content.status, content.body.len()), (200, 300_000));
    assert_eq!(content.header("content-type"), "application/octet-stream");

    let body = r#"{"model":"openai/gpt-image-1","prompt":"for jo@example.com"}"#;
    let made = send(&gateway, &caller, "POST", "/v1/images/generations", body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let sent = upstream.received().pop().unwrap();
    assert!(sent.text().contains(r#""model":"gpt-image-1""#) && !sent.text().contains("jo@"), "{}", sent.text());
    assert_eq!(sent.header("authorization"), Some("Bearer sk-vendor-secret-0123456789abcdef"));
    let story = gateway.show(&format!("/api/v1/calls/{}", made.header("x-tidegate-call-id"))).await;
    let told = story.to_string();
    for word in ["invoke_model", "openai/gpt-image-1", "intent", "outcome", "pii.email"] {
        assert!(told.contains(word), "{word}: {told}");
    }

    let gone = send(&gateway, &caller, "DELETE", "/v1/files/f", "").await;
    assert!(gone.status == 404 && gone.text().contains("no such file"), "{}", gone.text());
    assert!(!gone.text().contains("sk-vendor"), "{}", gone.text());
    assert_eq!(gone.header("x-tidegate-error"), "upstream_error");

    let before = upstream.count();
    for (path, status) in [
        ("/v1/batches", 404),
        ("/v1/organization/users", 404),
        ("/v1/files/../batches", 400),
        ("/v1/files/%2e%2e/batches", 400),
        ("/v1/files%2f..%2fbatches", 400),
    ] {
        assert_eq!(send(&gateway, &caller, "GET", path, "").await.status, status, "{path}");
    }
    assert_eq!(send(&gateway, &key(), "GET", "/v1/files", "").await.status, 401);
    let twice = send(&gateway, &caller, "POST", "/v1/files", r#"{"a":1,"a":2}"#).await;
    assert_eq!((twice.status, twice.header("x-tidegate-error")), (400, "invalid_request"));
    assert_eq!(upstream.count(), before, "what is refused reached the vendor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_file_does_not_look_whole_and_unread_streams_are_refused_to_guarded_keys() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Scripted::answering(|request| match request.path.as_str() {
        "/v1/x/events" => Reply::events("data: {\"a\":1}\n\ndata: {\"a\":2}\n\n"),
        _ => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
            Reply(vec![Step::Send(head.as_bytes().into()), Step::Close])
        }
    })
    .await
    .unwrap();
    let caller = key();
    let gateway = start(folder.path(), &upstream, &caller, &json!({})).await;
    let bearer = format!("Bearer {caller}");
    let headers = [("authorization", bearer.as_str())];
    let raw = raw_get(&gateway.url, "/v1/files/cut", &headers).await;
    assert!(raw.contains("hello") && !raw.ends_with("0\r\n\r\n"), "{raw:?}");

    let events = send(&gateway, &free_of(&caller), "POST", "/v1/x/events", r#"{"stream":true}"#).await;
    assert_eq!(events.text(), "data: {\"a\":1}\n\ndata: {\"a\":2}\n\n");
    let before = upstream.count();
    let refused = send(&gateway, &caller, "POST", "/v1/x/events", r#"{"stream":true}"#).await;
    assert_eq!((refused.status, refused.header("x-tidegate-error")), (403, "guardrail_blocked"));
    assert_eq!(upstream.count(), before);
    let unasked = send(&gateway, &caller, "POST", "/v1/x/events", "{}").await;
    assert_eq!((unasked.status, unasked.header("x-tidegate-error")), (403, "guardrail_blocked"));
    assert!(!unasked.text().contains("\"a\""), "{}", unasked.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_prices_is_refused_to_a_budget_and_a_set_price_is_charged() {
    for price in [None, Some("0.25 usd")] {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Scripted::answering(|_| Reply::json(200, r#"{"usage":{"input_tokens":9}}"#)).await.unwrap();
        let caller = key();
        let allow = json!({"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "budget": "0.6 usd/month"});
        let provider = json!({"base_url": upstream.url("/v1"), "key": "env:VENDOR_KEY", "api_call": price});
        let provider = match price {
            Some(_) => provider,
            None => json!({"base_url": upstream.url("/v1"), "key": "env:VENDOR_KEY"}),
        };
        let more = json!({"/keys/k": allow, "/providers/openai": provider});
        let gateway = start(folder.path(), &upstream, &caller, &more).await;
        let looked = send(&gateway, &caller, "GET", "/v1/files", "").await;
        assert_eq!(looked.status, 200, "a look-up costs nothing: {}", looked.text());
        let made = send(&gateway, &caller, "POST", "/v1/images/x", "{}").await;
        if price.is_none() {
            assert_eq!((made.status, made.header("x-tidegate-error")), (403, "policy_denied"), "{}", made.text());
            assert_eq!(upstream.count(), 1);
            continue;
        }
        assert_eq!((made.status, made.header("x-tidegate-cost-usd")), (200, "0.25"), "{}", made.text());
        assert_eq!(send(&gateway, &caller, "POST", "/v1/images/x", "{}").await.status, 200);
        let third = send(&gateway, &caller, "POST", "/v1/images/x", "{}").await;
        assert_eq!((third.status, third.header("x-tidegate-error")), (402, "budget_exhausted"));
        let spend = gateway.show("/api/v1/spend?by=provider").await;
        let row = spend["rows"].as_array().unwrap().iter().find(|row| row["provider"] == "openai").unwrap().clone();
        assert_eq!((&row["usd"], &row["calls"]), (&json!("0.5"), &json!(3)), "{spend}");
    }
}

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,
"message":{"role":"assistant","content":"write to jo@example.com"},"finish_reason":"stop"}],
"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_providers_paths_are_governed_as_what_they_are_however_they_are_spelt() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Scripted::answering(|request| match request.path.as_str() {
        "/v1/chat/completions" => Reply::json(200, ANSWER),
        _ => Reply::json(200, "{}"),
    })
    .await
    .unwrap();
    let caller = key();
    let one = json!({"secret": "env:CALLER_KEY", "allow": {"models": ["openai/gpt-x"]}, "guardrails": ["pii"]});
    let gateway = start(folder.path(), &upstream, &caller, &json!({"/keys/k": one})).await;
    let listed = send(&gateway, &caller, "GET", "/proxy/openai/v1/files?limit=2", "").await;
    assert_eq!((listed.status, listed.header("x-tidegate-served-by")), (200, "openai"), "{}", listed.text());
    assert_eq!(upstream.received().pop().unwrap().path, "/v1/files?limit=2");
    assert_eq!(send(&gateway, &caller, "GET", "/proxy/openai/files", "").await.status, 200);
    assert_eq!(upstream.received().pop().unwrap().path, "/v1/files");

    let asked = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "x"}]}).to_string();
    for path in [
        "/proxy/openai/v1/chat/completions",
        "/proxy/openai/chat/completions",
        "/proxy/openai/v1/Chat/COMPLETIONS",
        "/proxy/openai/v1/chat/completion%73",
        "/proxy/openai/%761/chat/completions",
    ] {
        let before = upstream.count();
        let answer = send(&gateway, &caller, "POST", path, &asked("gpt-x")).await;
        if path.contains("%76") {
            assert_eq!((answer.status, upstream.count()), (400, before), "{path}: {}", answer.text());
            continue;
        }
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-tidegate-served-by"), "openai/gpt-x", "{path}");
        assert!(!answer.text().contains("jo@example.com"), "{path}: guardrails did not look: {}", answer.text());
        assert_eq!(upstream.received().pop().unwrap().path, "/v1/chat/completions", "{path}");
        let story = gateway.show(&format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"))).await.to_string();
        assert!(story.contains("invoke_model") && story.contains("\"input_tokens\":7"), "{path}: {story}");
        // Another model is not there for this key, and nothing is asked of the provider.
        let before = upstream.count();
        let other = send(&gateway, &caller, "POST", path, &asked("gpt-y")).await;
        assert_eq!((other.status, upstream.count()), (404, before), "{path}: {}", other.text());
    }
    let before = upstream.count();
    for (method, path, status) in [
        ("POST", "/v1/chat/completion%73", 400),
        ("POST", "/v1/Chat/Completions", 400),
        ("POST", "/v1/openai/chat/completions", 400),
        ("POST", "/proxy/openai/v1/v1/chat/completions", 400),
        ("POST", "/proxy/openai/v1/deployments/gpt-y/chat/completions", 400),
        ("GET", "/proxy/openai/v1/batches", 404),
        ("GET", "/proxy/openai/v1/organization/users", 404),
        ("GET", "/proxy/openai/v1/../organization/users", 400),
        ("GET", "/proxy/openai/v1/%2e%2e/organization/users", 400),
        ("GET", "/proxy/openai/v1/files%2f..%2fbatches", 400),
        ("GET", "/proxy/openai/v1//files", 400),
        ("GET", "/proxy/openai/https://evil.example/v1/files", 400),
        ("GET", "/proxy/openai%2fx/v1/files", 404),
        ("GET", "/proxy/nobody/v1/files", 404),
        ("GET", "/proxy/openai", 404),
        ("GET", "/proxy/openai/v1", 404),
        ("GET", "/proxy/openai/", 400),
    ] {
        let refused = send(&gateway, &caller, method, path, &asked("gpt-y")).await;
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.text());
    }
    assert_eq!(upstream.count(), before, "what is refused reached the vendor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_at_a_named_provider_is_asked_for_there() {
    let folder = tempfile::tempdir().unwrap();
    let first = Scripted::answering(|_| Reply::json(200, r#"{"id":"file-1"}"#)).await.unwrap();
    let second = Scripted::answering(|_| Reply::json(200, r#"{"id":"file-2"}"#)).await.unwrap();
    let caller = key();
    let providers = json!({
        "openai": {"base_url": first.url("/v1"), "key": "env:VENDOR_KEY", "api_call": "0.01 usd"},
        "second": {"type": "openai", "base_url": second.url("/v1"), "key": "env:VENDOR_KEY", "api_call": "0.01 usd"},
    });
    let gateway = start(folder.path(), &first, &caller, &json!({"/providers": providers})).await;
    let made = send(&gateway, &caller, "POST", "/proxy/second/v1/files", "{}").await;
    assert_eq!((made.status, made.header("x-tidegate-served-by")), (200, "second"), "{}", made.text());
    for (path, owner) in [
        ("/v1/files/file-2/content", "second"),
        ("/v1/files/file-1", "openai"),
        ("/v1/files", "openai"),
        ("/proxy/openai/v1/files/file-2", "openai"),
    ] {
        let found = send(&gateway, &caller, "GET", path, "").await;
        assert_eq!((found.status, found.header("x-tidegate-served-by")), (200, owner), "{path}");
    }
}

/// The whole answer as it stands on the wire.
async fn raw_get(url: &str, path: &str, headers: &[(&str, &str)]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let mut head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut all)).await;
    assert!(read.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&all).into_owned()
}
