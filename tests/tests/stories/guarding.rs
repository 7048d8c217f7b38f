//! Guards see all that leaves and enters, and hold nothing longer than they must.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use super::{
    gateway::{Gateway, Start, key, question},
    streams::Dialect,
    terminal::tidegate,
};

const CARD: u64 = 4_111_111_111_111_111;

async fn gateway(folder: &std::path::Path, upstream: &Scripted, key: &str) -> Gateway {
    let provider = |kind: &str| json!({"type": kind, "base_url": upstream.url("/v1")});
    let config = json!({
        "version": 1,
        "providers": {"openai": provider("openai"), "anthropic": provider("anthropic")},
        "guardrails": {"pii": {"detect": ["pii", "secrets"], "on": ["request", "response"], "action": "redact"}},
        "keys": {"a": {"secret": "env:A", "allow": {"models": "*"}, "guardrails": ["pii"]}},
    });
    Start::new("serve", folder).config(config).env("A", key).run().await
}

/// The stream of one answer, cut before what tells that the whole answer is over.
fn unfinished(dialect: Dialect) -> String {
    let whole = dialect.stream(&["write to alice@example.com"]);
    let marker = match dialect {
        Dialect::OpenAi => "data: [DONE]",
        Dialect::Anthropic => "event: message_delta",
    };
    let at = whole.find(marker).unwrap_or_else(|| panic!("{whole}"));
    whole[..at].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_word_of_a_text_leaves_with_the_end_of_its_block() {
    for dialect in Dialect::BOTH {
        let upstream = Scripted::answering(move |_| Reply::stream().send(unfinished(dialect)).then(Step::Stall));
        let upstream = upstream.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = key();
        let gateway = gateway(folder.path(), &upstream, &key).await;
        let model = format!("{}/m", dialect.kind());
        let mut call = gateway.open(dialect.path(), &key, &question(&model, "who?", true)).await;
        let mut heard = String::new();
        let listening = async {
            while !heard.contains("[REDACTED:email]") {
                let Some(bytes) = call.next().await else { break };
                heard.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), listening).await;
        assert!(heard.contains("[REDACTED:email]") && !heard.contains("alice"), "{dialect:?}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_names_and_side_fields_are_redacted_before_they_leave() {
    let upstream = Scripted::answering(|_| Reply::json(500, "{}")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let gateway = gateway(folder.path(), &upstream, &key).await;
    let tool = |schema: &str| {
        let properties = json!({"bob@example.com": {"type": "string", "description": "ask carol@example.com"}});
        json!({"name": "f", "description": "of dave@example.com", schema: {"type": "object", "properties": properties}})
    };
    let chat = json!({"model": "openai/m", "user": "erin@example.com", "stop": ["frank@example.com"],
        "metadata": {"grace@example.com": "1", "phone": "4155552671"}, "seed": CARD,
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": "https://example.com/heidi@example.com.png?of=ivan@example.org"}}]}],
        "tools": [{"type": "function", "function": tool("parameters")}]});
    let messages = json!({"model": "anthropic/m", "max_tokens": 10, "metadata": {"user_id": "erin@example.com"},
        "stop_sequences": ["frank@example.com"],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f",
                "input": {"card": CARD, "ssn": "123456789", "grace@example.com": true}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]}],
        "tools": [tool("input_schema")]});
    for (dialect, body) in [(Dialect::OpenAi, chat), (Dialect::Anthropic, messages)] {
        gateway.post(dialect.path(), &key, &body).await;
        let requests = upstream.received();
        let sent = String::from_utf8(requests.last().unwrap().body.to_vec()).unwrap();
        for leaked in
            ["bob@", "carol@", "dave@", "erin@", "frank@", "grace@", "ivan@", "4111111", "4155552671", "123456789"]
        {
            assert!(!sent.contains(leaked), "{leaked} left in {sent}");
        }
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
    }
}

/// A gateway whose guardrails have a millisecond, and a prompt for which that is too little.
async fn hurried(folder: &std::path::Path) -> (Gateway, [String; 2], Value) {
    let keys = [key(), key()];
    let guardrail = |on_error: &str| json!({"detect": ["pii", "secrets"], "action": "redact", "timeout": "1ms", "on_error": on_error});
    let caller = |name: &str| json!({"secret": format!("env:{name}"), "allow": {"models": "*"}, "guardrails": [name.to_lowercase()]});
    let config = json!({
        "version": 1,
        "guardrails": {"closed": guardrail("closed"), "open": guardrail("open")},
        "keys": {"closed": caller("CLOSED"), "open": caller("OPEN")},
    });
    let start = Start::new("up", folder).config(config).env("CLOSED", &keys[0]).env("OPEN", &keys[1]);
    let gateway = start.run().await;
    let prompt = "4111 1111 1111 1112, a@b.example or password=\"x\": ".repeat(60_000);
    let body = json!({"model": "sim/chat", "max_tokens": 1, "messages": [{"role": "user", "content": prompt}]});
    (gateway, keys, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guardrail_without_time_refuses_or_lets_pass_and_it_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, [closed, open], body) = hurried(folder.path()).await;
    for (secret, name, status, action) in [(&closed, "closed", 403, "block"), (&open, "open", 200, "label")] {
        let answer = gateway.post("/v1/chat/completions", secret, &body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 403 {
            assert_eq!(answer.header("x-tidegate-error"), "guardrail_blocked");
            assert!(answer.text().contains("`closed` had no time to look at the whole prompt"), "{}", answer.text());
        }
        let call = answer.header("x-tidegate-call-id").to_owned();
        let told = gateway.show(&format!("/api/v1/calls/{call}")).await;
        let verdicts = told["call"]["verdicts"].as_array().or_else(|| told["verdicts"].as_array()).unwrap().clone();
        let failed: Vec<_> = verdicts.iter().filter(|verdict| verdict["category"] == "guardrail.timeout").collect();
        assert_eq!(failed.len(), 1, "{told}");
        assert_eq!((&failed[0]["guardrail"], &failed[0]["action"]), (&json!(name), &json!(action)), "{told}");
        let why = tidegate(&gateway, &["why", &call]).await;
        let then = if status == 403 { "so it did not pass" } else { "and it passed unseen" };
        assert!(why.out.contains(&format!("{name} failed (timeout) on the prompt, {then}")), "{why:?}");
    }
    let metrics = gateway.ask("GET", "/metrics", None).await.text();
    for (name, action) in [("closed", "block"), ("open", "label")] {
        let counted = metrics.lines().any(|line| {
            line.starts_with("tidegate_guard_findings")
                && line.contains(&format!("\"{name}\""))
                && line.contains("\"guardrail.timeout\"")
                && line.contains(&format!("\"{action}\""))
        });
        assert!(counted, "{metrics}");
    }
    // What the one lets pass unseen reached the model; what the other refused did not.
    assert_eq!(gateway.sim_requests().await.len(), 1);
}
