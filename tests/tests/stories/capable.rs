//! What a model cannot do is not asked of it: passed over where another can, refused early where none can.

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Received, Reply, Scripted};

use super::{
    gateway::{Gateway, Start, key},
    http,
};

fn answer(model: &str, tier: Option<&str>) -> String {
    json!({"id": "c", "object": "chat.completion", "model": model, "service_tier": tier,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}})
    .to_string()
}

async fn ask(gateway: &Gateway, key: &str, body: &Value) -> http::Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    http::send("POST", &format!("{}/v1/chat/completions", gateway.url), &headers, body.to_string()).await
}

fn question(model: &str, content: &Value) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": content}]})
}

fn picture() -> Value {
    json!([{"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}])
}

/// A vendor that answers as whatever model it is asked for.
async fn vendor() -> Scripted {
    let answers = |request: &Received| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        Reply::json(200, answer(body["model"].as_str().unwrap(), None))
    };
    Scripted::answering(answers).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lack_is_passed_over_or_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = vendor().await;
    let (caller, stranger) = (key(), key());
    let config = json!({
        "version": 1,
        "providers": {"v": {"type": "openai", "base_url": upstream.url("/v1"), "key": "env:VENDOR_KEY"}},
        "models": {
            // The catalogue says that it takes no images, and how long its prompt may be.
            "blind": {"fallback": ["v/gpt-3.5-turbo"]},
            "either": {"fallback": ["v/gpt-3.5-turbo", "v/gpt-4o"]},
            "unknown": {"fallback": ["v/nobody-knows-it"]},
            "told": {"fallback": ["v/gpt-3.5-turbo"], "capabilities": {"vision": true}},
            "narrow": {"fallback": ["v/nobody-knows-it"], "max_input": 50, "capabilities": {"tools": false}},
            "dull": {"fallback": ["v/dull"], "capabilities": {"reasoning": false}},
            "thinking": {"fallback": ["dull", "v/gpt-5"]},
        },
        "keys": {
            "k": {"secret": "env:CALLER_KEY", "allow": {"models": ["blind", "either", "unknown", "told", "narrow", "dull", "thinking"]}},
            "s": {"secret": "env:STRANGER_KEY", "allow": {"models": ["unknown"]}},
        },
    });
    let start = Start::new("serve", folder.path()).config(config).env("VENDOR_KEY", "v-1");
    let gateway = start.env("CALLER_KEY", &caller).env("STRANGER_KEY", &stranger).run().await;

    let refused = ask(&gateway, &caller, &question("blind", &picture())).await;
    let text = refused.text();
    assert_eq!((refused.status, refused.header("x-tidegate-error")), (400, "invalid_request"), "{text}");
    assert!(text.contains("v/gpt-3.5-turbo takes no images. The request holds an image: "), "{text}");
    assert_eq!(upstream.count(), 0, "nothing was sent");
    // Who may not use a model learns nothing of what it lacks.
    let hidden = ask(&gateway, &stranger, &question("blind", &picture())).await;
    assert_eq!(hidden.status, 404, "{}", hidden.text());

    for (model, content, served) in [
        ("blind", json!("no picture"), "v/gpt-3.5-turbo"),
        ("either", json!("no picture"), "v/gpt-3.5-turbo"),
        ("either", picture(), "v/gpt-4o"),
        ("unknown", picture(), "v/nobody-knows-it"),
        ("told", picture(), "v/gpt-3.5-turbo"),
        ("narrow", json!("few words"), "v/nobody-knows-it"),
    ] {
        let answer = ask(&gateway, &caller, &question(model, &content)).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert_eq!(answer.header("x-tidegate-served-by"), served, "{model}");
    }
    // Who reasons comes first where that is asked for; nobody is refused for it.
    for (model, effort, served) in
        [("thinking", "none", "v/dull"), ("thinking", "high", "v/gpt-5"), ("dull", "high", "v/dull")]
    {
        let mut body = question(model, &json!("why?"));
        body["reasoning_effort"] = json!(effort);
        let answer = ask(&gateway, &caller, &body).await;
        assert_eq!((answer.status, answer.header("x-tidegate-served-by")), (200, served), "{model} {effort}");
    }

    let long = json!("word ".repeat(60));
    let refused = ask(&gateway, &caller, &question("narrow", &long)).await;
    assert_eq!(refused.status, 400);
    let said = "v/nobody-knows-it takes a prompt of at most 50 tokens. The request has a prompt of at least 60 tokens";
    assert!(refused.text().contains(said), "{}", refused.text());
    // Text without spaces may be few tokens: only what certainly does not fit is refused.
    let dense = json!("\u{6f6e}".repeat(60));
    assert_eq!(ask(&gateway, &caller, &question("narrow", &dense)).await.status, 200);
    let mut tools = question("narrow", &json!("hi"));
    tools["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let refused = ask(&gateway, &caller, &tools).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("v/nobody-knows-it calls no tools. The request offers tools"),
        "{}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_target_of_a_route_is_judged_by_what_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = vendor().await;
    let caller = key();
    let target = |model: &str, said: Value| {
        let mut target = json!({"target": format!("v/{model}")});
        target.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        target
    };
    let blind = target("blind", json!({"capabilities": {"vision": false, "tools": false}}));
    let narrow = target("narrow", json!({"max_input": 50, "capabilities": {"vision": false}}));
    let seeing = target("seeing", json!({"capabilities": {"tools": false}}));
    let config = json!({
        "version": 1,
        "providers": {"v": {"type": "openai", "base_url": upstream.url("/v1"), "key": "env:VENDOR_KEY"}},
        "models": {
            "ladder": {"fallback": [blind, narrow, seeing]},
            // By chance nearly always the first; what cannot serve takes no part in the choice.
            "chance": {"weighted": [{"use": blind, "weight": 1_000_000}, {"use": narrow, "weight": 1_000_000}, {"use": seeing, "weight": 1}]},
            // The catalogue says that it sees nothing, and the target that it does.
            "told": {"fallback": [target("gpt-3.5-turbo", json!({"capabilities": {"vision": true}})), seeing]},
        },
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}}},
    });
    let start = Start::new("serve", folder.path()).config(config).env("VENDOR_KEY", "v-1");
    let gateway = start.env("CALLER_KEY", &caller).run().await;
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let asking = |model: &str, content: &Value, with_tools: bool| {
        let mut body = question(model, content);
        if with_tools {
            body["tools"] = tools.clone();
        }
        body
    };
    let words = json!("word ".repeat(60));
    let seen = ["v/blind takes no images", "v/narrow takes no images"];
    let called = ["v/blind calls no tools", "v/seeing calls no tools"];
    let none: [&str; 0] = [];
    for (model, content, with_tools, served, passed_over) in [
        ("ladder", json!("hi"), false, "v/blind", &none[..]),
        ("ladder", picture(), false, "v/seeing", &seen[..]),
        ("ladder", json!("hi"), true, "v/narrow", &called[..]),
        ("ladder", words.clone(), false, "v/blind", &["v/narrow takes a prompt of at most 50 tokens"][..]),
        ("chance", picture(), false, "v/seeing", &seen[..]),
        ("chance", json!("hi"), true, "v/narrow", &called[..]),
        ("told", picture(), false, "v/gpt-3.5-turbo", &none[..]),
    ] {
        let answer = ask(&gateway, &caller, &asking(model, &content, with_tools)).await;
        let (status, by) = (answer.status, answer.header("x-tidegate-served-by"));
        assert_eq!((status, by), (200, served), "{model} {content} {with_tools}: {}", answer.text());
        let story = gateway.show(&format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"))).await;
        let facts = story["call"]["facts"].as_array().unwrap().iter();
        let told: Vec<_> =
            facts.filter(|fact| fact[0] == "passed_over").map(|fact| fact[1].as_str().unwrap()).collect();
        assert_eq!(told, passed_over, "{model} {content} {with_tools}");
    }
    let sent = upstream.count();
    for (model, content, said) in [
        (
            "ladder",
            picture(),
            "v/blind takes no images and calls no tools; v/narrow takes no images; v/seeing calls no tools. The request \
             holds an image and offers tools: ask without that",
        ),
        (
            "chance",
            words,
            "v/blind calls no tools; v/narrow takes a prompt of at most 50 tokens; v/seeing calls no tools. The request \
             offers tools and has a prompt of at least 60 tokens",
        ),
    ] {
        let refused = ask(&gateway, &caller, &asking(model, &content, true)).await;
        assert_eq!((refused.status, refused.header("x-tidegate-error")), (400, "invalid_request"));
        assert!(refused.text().contains(said), "{}", refused.text());
    }
    assert_eq!(upstream.count(), sent, "nothing was sent for what no target can take");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_costs_what_its_level_of_service_does() {
    let folder = tempfile::tempdir().unwrap();
    // The vendor says what it gave, which need not be what was asked for; without a word, the dearer counts.
    let upstream = Scripted::answering(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let tier = match body["messages"][0]["content"].as_str().unwrap() {
            "silent" => None,
            given => Some(given),
        };
        Reply::json(200, answer("gpt-5", tier))
    })
    .await
    .unwrap();
    let caller = key();
    let config = json!({
        "version": 1,
        "providers": {"v": {"type": "openai", "base_url": upstream.url("/v1"), "key": "env:VENDOR_KEY"}},
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "budget": "10 usd/month"}},
    });
    let start = Start::new("serve", folder.path()).config(config).env("VENDOR_KEY", "v-1");
    let gateway = start.env("CALLER_KEY", &caller).run().await;
    // 1,000 × 1.25 + 100 × 10 for a million; half of it flex, twice of it priority.
    for (asked, given, usd) in [
        (None, "default", "0.00225"),
        (Some("flex"), "flex", "0.001125"),
        (Some("flex"), "default", "0.00225"),
        (Some("flex"), "silent", "0.00225"),
        (Some("priority"), "silent", "0.0045"),
        (Some("priority"), "priority", "0.0045"),
        (Some("auto"), "silent", "0.00225"),
    ] {
        let mut body = question("v/gpt-5", &json!(given));
        if let Some(asked) = asked {
            body["service_tier"] = json!(asked);
        }
        let answer = ask(&gateway, &caller, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-tidegate-cost-usd"), usd, "{asked:?} {given}");
    }
}
