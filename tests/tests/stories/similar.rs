//! Questions that are only similar: compared by a model of embeddings, for those who share, and never with tools.

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Received, Reply, Scripted};

use super::gateway::{Gateway, Start, key};

/// Two questions about tides stand close to each other, everything else far away.
fn numbers(request: &Received) -> Reply {
    let asked: Value = serde_json::from_str(&request.text()).unwrap();
    let words = asked["input"].as_str().unwrap();
    let vector = match words {
        text if text.contains("tide") && text.contains("high") => [1.0, 0.1],
        text if text.contains("tide") => [1.0, 0.15],
        _ => [0.0, 1.0],
    };
    let body = json!({"object": "list", "model": "e", "usage": {"prompt_tokens": 7, "total_tokens": 7},
        "data": [{"object": "embedding", "index": 0, "embedding": vector}]});
    Reply::json(200, body.to_string())
}

fn question(model: &str, words: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": words}]})
}

async fn ask(gateway: &Gateway, caller: &str, body: &Value) -> (String, String) {
    let answer = gateway.post("/v1/chat/completions", caller, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (answer.header("x-tidegate-cache").to_owned(), answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn similar_questions_of_those_who_share_get_the_same_answer_and_the_comparing_is_paid_for() {
    let folder = tempfile::tempdir().unwrap();
    let maker = Scripted::answering(numbers).await.unwrap();
    let (one, mate, stranger, poor) = (key(), key(), key(), key());
    let models = json!({"models": "*"});
    let config = json!({
        "version": 1,
        "providers": {"maker": {"type": "openai", "base_url": maker.url("/v1"), "key": "env:VENDOR_KEY"}},
        "models": {
            "numbers": {"route": "maker/e", "price": {"input": "1 usd/mtok", "output": "0 usd/mtok"}},
            "faq": {"route": "sim/chat", "cache":
                {"ttl": "1h", "share": "team", "similar": {"by": "numbers", "least": 0.97}}},
        },
        "teams": {"t": {}},
        "keys": {
            "one": {"secret": "env:ONE", "allow": models, "team": "t"},
            "mate": {"secret": "env:MATE", "allow": models, "team": "t"},
            "stranger": {"secret": "env:STRANGER", "allow": models},
            "poor": {"secret": "env:POOR", "allow": {"models": ["faq", "sim/chat"]}, "team": "t"},
        },
    });
    let start = Start::new("up", folder.path()).config(config).env("VENDOR_KEY", "vendor-key-0123456789");
    let start = start.env("ONE", &one).env("MATE", &mate).env("STRANGER", &stranger).env("POOR", &poor);
    let gateway = start.run().await;

    let (first, answer) = ask(&gateway, &one, &question("faq", "How high is the tide today?")).await;
    assert_eq!(first, "miss");
    let (similar, given) = ask(&gateway, &mate, &question("faq", "What is the tide like today?")).await;
    assert_eq!((&*similar, &given), ("semantic-hit", &answer));
    let hit = gateway.post("/v1/chat/completions", &mate, &question("faq", "What is the tide like now?")).await;
    assert_eq!((hit.header("x-tidegate-cost-usd"), hit.header("x-tidegate-served-by")), ("0", "sim/chat"));
    let story = gateway.show(&format!("/api/v1/calls/{}", hit.header("x-tidegate-call-id"))).await.to_string();
    assert!(story.contains("semantic-hit 0.99"), "how close it was is told: {story}");

    // Nobody else's, nothing else, and nothing under another instruction.
    assert_eq!(ask(&gateway, &stranger, &question("faq", "What is the tide like today?")).await.0, "miss");
    assert_eq!(ask(&gateway, &one, &question("faq", "Who cooks tonight?")).await.0, "miss");
    let mut other = question("faq", "Tell me of the tide.");
    other["messages"][0]["content"] = json!("Be long.");
    assert_eq!(ask(&gateway, &one, &other).await.0, "miss");
    // The same question needs no comparing.
    let compared = maker.count();
    assert_eq!(ask(&gateway, &one, &question("faq", "How high is the tide today?")).await.0, "hit");
    // With tools nothing is compared.
    let mut tools = question("faq", "Is the tide high?");
    tools["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    assert_eq!(ask(&gateway, &one, &tools).await.0, "miss");
    assert_eq!(maker.count(), compared);

    // Whoever may not use the model that compares is not compared, and answered all the same.
    assert_eq!(ask(&gateway, &poor, &question("faq", "How is the tide, high?")).await.0, "miss");
    assert_eq!(maker.count(), compared);

    // Each comparison is a call of whoever asked.
    let spend = gateway.show("/api/v1/spend?by=model").await;
    let row = spend["rows"].as_array().unwrap().iter().find(|row| row["model"] == "numbers").unwrap().clone();
    assert_eq!(row["calls"].as_u64(), u64::try_from(compared).ok(), "{spend}");
    assert_eq!(row["input_tokens"].as_u64(), u64::try_from(compared * 7).ok(), "{spend}");
}
