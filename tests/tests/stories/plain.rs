//! OpenAI's completions and embeddings: guarded, priced, streamed and cut like every other call.

use serde_json::json;

use super::gateway::{Start, key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_are_guarded_counted_and_charged() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let config = json!({
        "version": 1,
        "guardrails": {
            "pii": {"detect": ["email"], "on": ["request"], "action": "redact"},
            "keys": {"detect": ["secrets"], "on": ["request"], "action": "block"},
        },
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "guardrails": ["pii", "keys"],
            "budget": "1 usd/month"}},
    });
    let gateway = Start::new("up", folder.path()).config(config).env("CALLER_KEY", &caller).run().await;
    let input = json!(["0123456789abcdef", "I am jo@example.com", [1, 2, 3]]);
    let answer = gateway.post("/v1/embeddings", &caller, &json!({"model": "sim/embed", "input": input})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["data"].as_array().unwrap().len(), 3);
    let counted = body["usage"]["prompt_tokens"].as_u64().unwrap();
    let cost: f64 = answer.header("x-tidegate-cost-usd").parse().unwrap();
    assert!((cost * 1e6 - counted as f64).abs() < 1e-6, "{cost} for {counted} tokens at 1 usd/mtok");
    let rows = gateway.show("/api/v1/spend?by=key").await;
    assert_eq!(rows["rows"][0]["input_tokens"], counted, "{rows}");
    assert_eq!(rows["rows"][0]["output_tokens"], 0, "{rows}");
    let story = gateway.show(&format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"))).await;
    assert!(story.to_string().contains("pii.email"), "{story}");

    let secret = json!({"model": "sim/embed", "input": ["fine", "AKIAIOSFODNN7CANARYQ is the key"]});
    let blocked = gateway.post("/v1/embeddings", &caller, &secret).await;
    assert_eq!((blocked.status, blocked.header("x-tidegate-error")), (403, "guardrail_blocked"));
    assert!(blocked.text().contains("/input/1") && !blocked.text().contains("AKIA"), "{}", blocked.text());
    assert_eq!(gateway.sim_requests().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_are_guarded_both_ways_and_a_cut_stream_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let config = json!({
        "version": 1,
        "guardrails": {"pii": {"detect": ["email", "card"], "on": ["request", "response"], "action": "redact"}},
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "guardrails": ["pii"]}},
    });
    let gateway = Start::new("up", folder.path()).config(config).env("CALLER_KEY", &caller).run().await;
    let ask = async |model: &str, prompt: serde_json::Value, stream: bool| {
        let body = json!({"model": model, "prompt": prompt, "max_tokens": 64, "stream": stream});
        gateway.post("/v1/completions", &caller, &body).await
    };
    let whole = ask("sim/chat", json!(["first", "I am jo@example.com"]), false).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let text = whole.json()["choices"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("echo: first") && !text.contains("jo@example.com"), "{text}");
    assert!(whole.json()["usage"]["completion_tokens"].as_u64().unwrap() > 0);

    for stream in [false, true] {
        let leak = ask("sim/leaky", json!("tell me"), stream).await;
        let text = leak.text();
        assert!(leak.status == 200 && !text.contains("4111 1111"), "{text}");
        assert_eq!(text.contains("data: [DONE]"), stream, "{text}");
    }
    let cut = ask("sim/chat", json!("[[sim: cut after 2]] one two three four"), true).await.text();
    assert!(cut.contains("\"error\"") && !cut.contains("[DONE]"), "{cut}");
    let usage = gateway.show("/api/v1/spend?by=model").await;
    assert!(usage["rows"].as_array().unwrap().iter().all(|row| row["usd"] != "0"), "{usage}");
}
