//! Guards see all that leaves and enters, and hold nothing longer than they must.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use super::{
    gateway::{Gateway, Start, key, question},
    streams::Dialect,
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
