//! A hard budget under a crowd.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::gateway::{Start, key, until};

/// At 4 usd/mtok the answer's bound is 0.04 usd; the prompt's is below 0.001 usd.
const MOST_TOKENS: u64 = 10_000;
const CROWD: usize = 1_000;
const FIT: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_for_ten_lets_exactly_ten_stalled_calls_through() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let config = json!({"version": 1, "keys": {"ten": {
        "secret": "env:TEN", "allow": {"models": "*"}, "budget": "0.41 usd/month"}}});
    let gateway = Start::new("up", folder.path()).config(config).env("TEN", &secret).run().await;
    let body = json!({"model": "sim/chat", "max_tokens": MOST_TOKENS, "stream": true,
        "messages": [{"role": "user", "content": "[[sim: stall after 1]] a b c"}]});
    let calls = join_all((0..CROWD).map(|_| gateway.open("/v1/chat/completions", &secret, &body))).await;
    let (through, refused): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.status == 200);
    assert_eq!(through.len(), FIT);
    for mut call in refused {
        assert_eq!(call.status, 402);
        assert_eq!(call.headers["x-tidegate-error"], "budget_exhausted");
        let body: Value = serde_json::from_slice(&call.rest().await).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains("budget"), "{body}");
    }
    assert_eq!(gateway.sim_requests().await.len(), FIT, "what was refused reached the upstream");
    let held = gateway.show("/api/v1/keys/ten").await;
    let reserved: f64 = held["budgets"][0]["reserved_usd"].as_str().unwrap().parse().unwrap();
    assert!((0.40..=0.41).contains(&reserved), "{held}");
    drop(through);
    until("the end of all calls", Duration::from_secs(5), async || {
        gateway.show("/api/v1/calls/live").await["calls"] == json!([])
    })
    .await;
    let budget = gateway.show("/api/v1/keys/ten").await["budgets"][0].clone();
    let usd = |name: &str| budget[name].as_str().unwrap().parse::<f64>().unwrap();
    assert!(usd("spent_usd") + usd("held_usd") <= 0.41, "{budget}");
    assert!(usd("reserved_usd") == 0.0, "{budget}");
    assert_eq!(gateway.sim_requests().await.len(), FIT);
}
