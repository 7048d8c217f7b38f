//! P13: the same question under the same key reaches the upstream once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{scaled, serve};
use crate::stories::{
    gateway::{Gateway, key, question, until},
    http::{Answer, send},
    streams::{Dialect, hear},
};

async fn ask(gateway: &Gateway, dialect: Dialect, secret: &str, name: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str()), ("anthropic-version", "2023-06-01"), ("idempotency-key", name)];
    send("POST", &format!("{}{}", gateway.url, dialect.path()), &headers, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p13_a_hundred_duplicates_reach_the_upstream_once() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let mut expected = 0;
    for (dialect, stream) in Dialect::BOTH.into_iter().flat_map(|dialect| [(dialect, false), (dialect, true)]) {
        let name = format!("{dialect:?} {stream}");
        let body = question("sim/chat", "[[sim: stream 5 chunks, 100ms]]", stream);
        let answers = join_all((0..100).map(|_| ask(&gateway, dialect, &secret, &name, &body))).await;
        expected += 1;
        let reached = gateway.sim_requests().await;
        assert_eq!(reached.len(), expected, "{name}: {reached:?}");
        let first = answers.iter().find(|answer| answer.header("x-tidegate-replayed").is_empty()).unwrap();
        let again = ask(&gateway, dialect, &secret, &name, &body).await;
        for answer in answers.iter().chain([&again]) {
            assert_eq!((answer.status, answer.text()), (200, first.text()), "{name}");
            assert_eq!(answer.header("content-type"), first.header("content-type"));
            assert_eq!(answer.header("x-tidegate-served-by"), "sim/chat");
        }
        assert!(!stream || hear(&again.body).terminated, "{}", again.text());
        let replayed = answers.iter().filter(|answer| !answer.header("x-tidegate-replayed").is_empty()).count();
        assert_eq!(replayed, 99);
        assert_eq!(again.header("x-tidegate-replayed"), first.header("x-tidegate-call-id"));
        assert_ne!(again.header("x-tidegate-call-id"), first.header("x-tidegate-call-id"));
        // It is on record, and cost nothing.
        let story = gateway.show(&format!("/api/v1/calls/{}", again.header("x-tidegate-call-id"))).await;
        assert_eq!((&story["call"]["status"], &story["call"]["cost"]), (&json!(200), &Value::Null), "{story}");
        assert!(!story["audit"].as_array().unwrap().is_empty(), "{story}");
    }
    assert_eq!(gateway.sim_requests().await.len(), expected);
    let spend = gateway.show("/api/v1/spend?by=key").await;
    assert_eq!(spend["rows"][0]["calls"], expected, "{spend}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p13_another_body_under_the_same_key_is_422_and_another_caller_has_keys_of_their_own() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let first = ask(&gateway, Dialect::OpenAi, &secret, "a", &question("sim/chat", "one", false)).await;
    assert_eq!(first.status, 200);
    let answer = ask(&gateway, Dialect::OpenAi, &secret, "a", &question("sim/chat", "two", false)).await;
    assert_eq!((answer.status, answer.header("x-tidegate-error")), (422, "idempotency_mismatch"));
    let answer = ask(&gateway, Dialect::Anthropic, &secret, "a", &question("sim/chat", "one", false)).await;
    assert_eq!(answer.status, 422, "another endpoint: {}", answer.text());
    let other = ask(&gateway, Dialect::OpenAi, &gateway.key, "a", &question("sim/chat", "one", false)).await;
    assert_eq!((other.status, other.header("x-tidegate-replayed")), (200, ""));
    assert_eq!(gateway.sim_requests().await.len(), 2);
    let long = "x".repeat(256);
    assert_eq!(ask(&gateway, Dialect::OpenAi, &secret, &long, &question("sim/chat", "one", false)).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p13_a_failure_is_told_to_those_who_wait_and_not_kept() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let body = question("sim/chat", "[[sim: fail 400 once]] hello", false);
    let failed = ask(&gateway, Dialect::OpenAi, &secret, "a", &body).await;
    assert_eq!(failed.status, 400, "{}", failed.text());
    let answer = ask(&gateway, Dialect::OpenAi, &secret, "a", &body).await;
    assert_eq!((answer.status, answer.header("x-tidegate-replayed")), (200, ""), "{}", answer.text());
    // The first one leaves: the next is asked in its place.
    let body = question("sim/chat", "[[sim: stall after 1]] hello", true);
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(Box::pin(ask(&gateway, Dialect::OpenAi, &secret, "b", &body)));
    }
    let before = gateway.sim_requests().await.len();
    let waited = tokio::time::timeout(Duration::from_millis(700), join_all(stalled)).await;
    assert!(waited.is_err());
    assert!(gateway.sim_requests().await.len() > before);
    let body = question("sim/chat", "hello", true);
    // As soon as the gateway has noticed, which takes a busy machine a moment.
    until("the key to be free again", scaled(Duration::from_secs(5), Duration::from_secs(1)), async || {
        ask(&gateway, Dialect::OpenAi, &secret, "b", &body).await.status == 200
    })
    .await;
}
