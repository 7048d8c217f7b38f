//! Routes beyond fallback: by latency, by session, by condition, with parameters of a target's own.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use super::{
    gateway::{Gateway, Start, key},
    http,
};

fn answer(model: &str) -> String {
    json!({"id": "c", "object": "chat.completion", "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    .to_string()
}

async fn ask(gateway: &Gateway, key: &str, body: &Value, more: &[(&str, &str)]) -> http::Answer {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    headers.extend_from_slice(more);
    http::send("POST", &format!("{}/v1/chat/completions", gateway.url), &headers, body.to_string()).await
}

fn question(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "temperature": 1, "messages": [{"role": "user", "content": text}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_where_the_route_says_and_why_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let quick = Scripted::answering(|_| Reply::json(200, answer("q"))).await.unwrap();
    let slow = Scripted::answering(|_| {
        let Reply(mut steps) = Reply::json(200, answer("s"));
        steps.insert(0, Step::Pause(Duration::from_millis(150)));
        Reply(steps)
    })
    .await
    .unwrap();
    let caller = key();
    let config = json!({
        "version": 1,
        "providers": {
            "quick": {"type": "openai", "base_url": quick.url("/v1"), "key": "env:VENDOR_KEY"},
            "slow": {"type": "openai", "base_url": slow.url("/v1"), "key": "env:VENDOR_KEY"},
        },
        "models": {
            "soon": {"least_latency": ["slow/m", "quick/m"]},
            "home": {"sticky": {"by": "metadata.user", "use": ["slow/m", "quick/m"]}},
            "sized": {"route": {
                "when": [
                    {"if": "context.request.metadata.contains(\"tier=gold\")", "use": {"fallback": ["quick/gold"]}},
                    {"if": "context.request.input_tokens > 100", "use": "quick/long"},
                ],
                "else": "quick/short",
            }},
            "tuned": {"fallback": [{"target": "quick/m", "params": {"temperature": 0.2, "top_k": 5, "max_tokens": 7}}]},
        },
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}}},
    });
    let start = Start::new("up", folder.path()).config(config).env("VENDOR_KEY", "vendor-key-0123456789");
    let gateway = start.env("CALLER_KEY", &caller).run().await;

    let mut at_quick = 0;
    for number in 0..20 {
        let served = ask(&gateway, &caller, &question("soon", &format!("{number}")), &[]).await;
        assert_eq!(served.status, 200, "{}", served.text());
        at_quick += usize::from(served.header("x-tidegate-served-by") == "quick/m");
    }
    assert!(at_quick >= 17, "{at_quick} of 20 went to the quick one");
    let health = gateway.show("/api/v1/status").await["targets"].clone();
    let of = |name: &str| health.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!((&of("quick/m")["state"], &of("slow/m")["state"]), (&json!("up"), &json!("up")), "{health}");
    assert!(of("slow/m")["latency_ms"].as_u64() > of("quick/m")["latency_ms"].as_u64(), "{health}");

    for user in ["ada", "bob", "cy", "dee"] {
        let header = json!({"user": user}).to_string();
        let mut homes = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let served = ask(&gateway, &caller, &question("home", "x"), &[("x-tidegate-metadata", &header)]).await;
            homes.insert(served.header("x-tidegate-served-by").to_owned());
        }
        assert_eq!(homes.len(), 1, "{user} moved: {homes:?}");
    }

    let long = "word ".repeat(400);
    let gold: &[(&str, &str)] = &[("x-tidegate-metadata", r#"{"tier":"gold"}"#)];
    for (text, headers, served) in
        [("hi", &[] as &[_], "quick/short"), (long.as_str(), &[], "quick/long"), ("hi", gold, "quick/gold")]
    {
        let answer = ask(&gateway, &caller, &question("sized", text), headers).await;
        assert_eq!(answer.header("x-tidegate-served-by"), served, "{}", answer.text());
        let story = gateway.show(&format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"))).await;
        assert!(story.to_string().contains("tier=gold"), "{story}");
    }

    let tuned = ask(&gateway, &caller, &question("tuned", "x"), &[]).await;
    assert_eq!(tuned.status, 200, "{}", tuned.text());
    let sent: Value = serde_json::from_str(&quick.received().pop().unwrap().text()).unwrap();
    assert_eq!((&sent["temperature"], &sent["top_k"]), (&json!(0.2), &json!(5)), "{sent}");
    assert_eq!((&sent["max_completion_tokens"], &sent["max_tokens"]), (&json!(7), &json!(null)), "{sent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_target_is_overtaken_and_both_attempts_are_told_and_held() {
    let folder = tempfile::tempdir().unwrap();
    let stalled = Scripted::answering(|_| Reply(vec![Step::Stall])).await.unwrap();
    let quick = Scripted::answering(|_| Reply::json(200, answer("q"))).await.unwrap();
    let caller = key();
    let config = json!({
        "version": 1,
        "providers": {
            "stalled": {"type": "openai", "base_url": stalled.url("/v1"), "key": "env:VENDOR_KEY"},
            "quick": {"type": "openai", "base_url": quick.url("/v1"), "key": "env:VENDOR_KEY"},
        },
        "models": {
            "hedged": {"fallback": ["stalled/m", "quick/m"], "hedge": "100ms",
                "price": {"input": "1 usd/mtok", "output": "1 usd/mtok"}},
        },
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "budget": "1 usd/month"}},
    });
    let start = Start::new("up", folder.path()).config(config).env("VENDOR_KEY", "vendor-key-0123456789");
    let gateway = start.env("CALLER_KEY", &caller).run().await;

    let served = ask(&gateway, &caller, &question("hedged", "soon?"), &[]).await;
    assert_eq!(served.status, 200, "{}", served.text());
    assert_eq!((served.header("x-tidegate-served-by"), served.header("x-tidegate-attempts")), ("quick/m", "2"));
    let story = gateway.show(&format!("/api/v1/calls/{}", served.header("x-tidegate-call-id"))).await;
    let call = &story["call"];
    let told: Vec<(&str, &str)> = call["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (attempt["target"].as_str().unwrap(), attempt["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("quick/m", "answered"), ("stalled/m", "given up: another target answered first")], "{call}");
    // What was given up may be billed: its share is not given back, so more is taken than the answer cost.
    let spent: f64 = gateway.show("/api/v1/spend?by=key").await["rows"][0]["usd"].as_str().unwrap().parse().unwrap();
    let cost: f64 = served.header("x-tidegate-cost-usd").parse().unwrap();
    assert!(spent >= cost, "{spent} was spent, {cost} the answer's");
    assert!(stalled.client_gone(Duration::from_secs(5)).await.is_some());
}
