//! P22: a client that leaves at any moment.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rand::RngExt as _;
use serde_json::{Value, json};
use tidegate_core::clock;

use super::{scaled, serve};
use crate::stories::{
    gateway::{Gateway, key, question, until},
    streams::Dialect,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p22_a_client_that_leaves_at_any_event_cancels_the_upstream_and_pays_for_what_came() {
    let (folder, secret, count) = (tempfile::tempdir().unwrap(), key(), scaled(20, 300));
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let leavers = (0..count).map(|number| leave(&gateway, &secret, Dialect::BOTH[number % 2]));
    // So many at a time that asking the ledger does not slow down what it is asked about.
    let slowest = stream::iter(leavers).buffer_unordered(20).collect::<Vec<_>>().await.into_iter().max().unwrap();
    println!("{count} clients left; the slowest cancelling took {slowest:?}");
    assert_eq!(gateway.sim_requests().await.len(), count);
    let spend = gateway.show("/api/v1/spend?by=key").await;
    let row = &spend["rows"][0];
    assert_eq!(row["calls"], count, "{spend}");
    assert!(row["held_usd"].is_null() || row["held_usd"] == "0" || row["held_usd"] == 0, "{spend}");
}

/// Reads some events, leaves, and says how long the upstream's request went on.
async fn leave(gateway: &Gateway, secret: &str, dialect: Dialect) -> Duration {
    let body = question("sim/chat", "[[sim: stream 200 chunks, 25ms]]", true);
    let mut call = gateway.open(dialect.path(), secret, &body).await;
    let id = call.headers["x-tidegate-call-id"].to_str().unwrap().to_owned();
    for _ in 0..rand::rng().random_range(1..40) {
        assert!(call.next().await.is_some());
    }
    let left = clock::now();
    drop(call);
    let entry = async || {
        let all = gateway.sim_requests().await;
        all.into_iter().find(|entry| entry["call_id"] == id.as_str()).unwrap()
    };
    until("the cancelling", Duration::from_secs(1), async || entry().await["end"] == "abandoned").await;
    let took = clock::now() - left;
    let generated = entry().await["output_tokens"].as_u64().unwrap();
    let mut usage = Value::Null;
    for _ in 0..100 {
        let story = gateway.ask("GET", &format!("/api/v1/calls/{id}"), None).await;
        if story.status == 200 {
            usage = story.json()["call"]["usage"].clone();
            assert_eq!(story.json()["call"]["status"], 499);
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let settled = usage["output"].as_u64().unwrap_or_default();
    // The gateway may have read a few pieces less than were sent.
    assert!(settled > 0 && settled <= generated + 1, "settled {settled} of {generated}: {usage}");
    took
}
