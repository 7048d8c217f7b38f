//! A model that sees tokens, and a client that sees its own values, wherever a stream is cut.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{
    gateway::{Gateway, Start, key, question},
    streams::{Dialect, hear},
};

const ADDRESS: &str = "alice@example.com";

async fn gateway(folder: &Path, upstream: &Scripted, keys: [&str; 2]) -> Gateway {
    let provider = |kind: &str| json!({"type": kind, "base_url": upstream.url("/v1")});
    let caller = |secret: &str| json!({"secret": secret, "allow": {"models": "*"}, "guardrails": ["pii"]});
    let config = json!({
        "version": 1,
        "providers": {"openai": provider("openai"), "anthropic": provider("anthropic")},
        "guardrails": {"pii": {"detect": ["email"], "action": "tokenize"}},
        "keys": {"a": caller("env:A"), "b": caller("env:B")},
    });
    Start::new("serve", folder).config(config).env("A", keys[0]).env("B", keys[1]).run().await
}

/// What the model was asked.
fn prompt(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    let content = &body["messages"][0]["content"];
    content.as_str().or_else(|| content[0]["text"].as_str()).unwrap().to_owned()
}

/// The token in a text: from its bracket to its end.
fn token(text: &str) -> &str {
    let start = text.find("[email#").unwrap_or_else(|| panic!("no token in {text}"));
    let end = text[start..].find(']').unwrap() + start;
    &text[start..=end]
}

fn whole(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::OpenAi => json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}),
        Dialect::Anthropic => json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 3, "output_tokens": 5}}),
    }
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_sees_a_token_and_the_client_its_value() {
    for dialect in Dialect::BOTH {
        let upstream = Scripted::answering(move |request| {
            let asked = prompt(&request.body);
            // Its own token is given back; another that looks like one is nobody's.
            let said = format!("I write to {} and not to [email#aaaaaaaaaaaaaaaa].", token(&asked));
            Reply::json(200, whole(dialect, &said))
        });
        let upstream = upstream.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = [key(), key()];
        let gateway = gateway(folder.path(), &upstream, [&keys[0], &keys[1]]).await;
        let model = format!("{}/m", dialect.kind());
        let mut tokens = Vec::new();
        for caller in [&keys[0], &keys[0], &keys[1]] {
            let body = question(&model, &format!("write to {ADDRESS}"), false);
            let answer = gateway.post(dialect.path(), caller, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let said = answer.text();
            assert!(said.contains(&format!("I write to {ADDRESS} and not to [REDACTED:email].")), "{said}");
            let seen = upstream.received().last().unwrap().text();
            assert!(!seen.contains("alice"), "{seen}");
            tokens.push(token(&seen).to_owned());
        }
        // In one organisation a value is one token, so that a conversation stays one.
        assert!(tokens.iter().all(|one| *one == tokens[0]), "{tokens:?}");
        // A token of another call is of no use: this one carries no value of that kind.
        let body = question(&model, &format!("say {}", tokens[0]), false);
        let said = gateway.post(dialect.path(), &keys[0], &body).await.text();
        assert!(!said.contains(ADDRESS), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_stream_parts_at_any_letter_is_restored() {
    for dialect in Dialect::BOTH {
        // The prompt says where to cut the token.
        let upstream = Scripted::answering(move |request| {
            let asked = prompt(&request.body);
            let (cut, _) = asked.split_once(' ').unwrap();
            let token = token(&asked);
            let (first, second) = token.split_at(cut.parse::<usize>().unwrap().min(token.len()));
            let (before, after) = (format!("to {first}"), format!("{second}, yes"));
            Reply::events(dialect.stream(&[&before, &after]))
        });
        let upstream = upstream.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = [key(), key()];
        let gateway = gateway(folder.path(), &upstream, [&keys[0], &keys[1]]).await;
        let model = format!("{}/m", dialect.kind());
        let length = "[email#]".len() + 16;
        for cut in 0..=length {
            let body = question(&model, &format!("{cut} write to {ADDRESS}"), true);
            let answer = gateway.post(dialect.path(), &keys[0], &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let heard = hear(&answer.body);
            assert!(heard.terminated && heard.errors.is_empty(), "{dialect:?} {cut}: {}", answer.text());
            assert_eq!(heard.text, format!("to {ADDRESS}, yes"), "{dialect:?} at {cut}");
            assert!(!upstream.received().last().unwrap().text().contains("alice"));
        }
    }
}
