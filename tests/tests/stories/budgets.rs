//! Budgets by provider, model, tool and metadata: never overspent, and passed over where a route leads elsewhere.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    gateway::{Gateway, Start, key, question, until},
    http,
};

async fn start(folder: &std::path::Path, caller: &str, budgets: serde_json::Value) -> Gateway {
    let config = json!({
        "version": 1,
        "providers": {"other": {"type": "sim"}},
        "models": {"both": {"fallback": ["other/chat", "sim/chat"]}},
        "budgets": budgets,
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}}},
    });
    Start::new("up", folder).config(config).env("CALLER_KEY", caller).run().await
}

fn usd(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

async fn standing(gateway: &Gateway, name: &str) -> serde_json::Value {
    let all = gateway.show("/api/v1/budgets").await["budgets"].clone();
    all.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{all}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_of_a_model_lets_exactly_as_many_through_as_fit() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    // At 4 usd/mtok the answer's bound is 0.04 usd: ten fit.
    let budgets = json!({"chat": {"scope": {"model": "sim/*"}, "budget": "0.41 usd/month"}});
    let gateway = start(folder.path(), &caller, budgets).await;
    let body = json!({"model": "sim/chat", "max_tokens": 10_000, "stream": true,
        "messages": [{"role": "user", "content": "[[sim: stall after 1]] a b c"}]});
    let calls = join_all((0..200).map(|_| gateway.open("/v1/chat/completions", &caller, &body))).await;
    let (through, refused): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.status == 200);
    assert_eq!(through.len(), 10);
    for mut call in refused {
        assert_eq!((call.status, &call.headers["x-tidegate-error"]), (402, &http_value("budget_exhausted")));
        let text = String::from_utf8(call.rest().await).unwrap();
        assert!(text.contains("the budget `chat`"), "{text}");
    }
    assert_eq!(gateway.sim_requests().await.len(), 10);
    drop(through);
    until("the end of all calls", Duration::from_secs(5), async || {
        gateway.show("/api/v1/calls/live").await["calls"] == json!([])
    })
    .await;
    let stands = standing(&gateway, "chat").await;
    assert_eq!(stands["kind"], "budget");
    assert!(usd(&stands["spent_usd"]) + usd(&stands["held_usd"]) <= 0.41, "{stands}");
    assert_eq!(gateway.post("/v1/chat/completions", &caller, &question("other/chat", "x", false)).await.status, 200);
}

fn http_value(text: &'static str) -> ::http::HeaderValue {
    ::http::HeaderValue::from_static(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_provider_is_passed_over_and_only_who_served_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let budgets = json!({
        "other": {"scope": {"provider": "other"}, "budget": "0.0005 usd/month"},
        "sim": {"scope": {"provider": "sim"}, "budget": "1 usd/month"},
    });
    let gateway = start(folder.path(), &caller, budgets).await;
    let mut served = Vec::new();
    for number in 0..12 {
        let body = question("both", &format!("{number} words that are echoed and so paid for"), false);
        let answer = gateway.post("/v1/chat/completions", &caller, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        served.push(answer.header("x-tidegate-served-by").to_owned());
    }
    assert_eq!(served[0], "other/chat");
    assert_eq!(served.last().unwrap(), "sim/chat", "{served:?}");
    let (other, sim) = (standing(&gateway, "other").await, standing(&gateway, "sim").await);
    assert!(usd(&other["spent_usd"]) > 0.0 && usd(&other["spent_usd"]) <= 0.0005, "{other}");
    assert_eq!((usd(&other["reserved_usd"]), usd(&sim["reserved_usd"])), (0.0, 0.0), "{other} {sim}");
    let rows = gateway.show("/api/v1/spend?by=provider").await["rows"].clone();
    let spent = |name: &str| {
        let rows = rows.as_array().unwrap();
        usd(&rows.iter().find(|row| row["provider"] == name).unwrap()["usd"])
    };
    assert!((spent("other") - usd(&other["spent_usd"])).abs() < 1e-12, "{rows} {other}");
    assert!((spent("sim") - usd(&sim["spent_usd"])).abs() < 1e-12, "{rows} {sim}");
    let only = gateway.post("/v1/chat/completions", &caller, &question("other/chat", "again and again", false)).await;
    assert_eq!(only.status, 402, "{}", only.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_of_a_metadata_value_counts_those_calls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let budgets = json!({"x": {"scope": {"metadata": {"project": "x"}}, "limits": {"requests": "2/hour"}}});
    let gateway = start(folder.path(), &caller, budgets).await;
    let ask = async |metadata: &str| {
        let bearer = format!("Bearer {caller}");
        let headers = [("authorization", bearer.as_str()), ("x-tidegate-metadata", metadata)];
        let body = question("sim/chat", "x", false).to_string();
        http::send("POST", &format!("{}/v1/chat/completions", gateway.url), &headers, body).await
    };
    for _ in 0..4 {
        assert_eq!(ask(r#"{"project":"y"}"#).await.status, 200);
    }
    assert_eq!(ask(r#"{"project":"x"}"#).await.status, 200);
    assert_eq!(ask(r#"{"project":"x"}"#).await.status, 200);
    let third = ask(r#"{"project":"x"}"#).await;
    assert_eq!((third.status, third.header("x-tidegate-error")), (429, "rate_limited"), "{}", third.text());
    assert_eq!(ask(r#"{"project":"y"}"#).await.status, 200);
}
