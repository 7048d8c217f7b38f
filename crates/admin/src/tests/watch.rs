//! Calls as they finish.

use http::{StatusCode, header};
use tidegate_config::check::Mode;
use tidegate_core::{calls::CallIndex, ids::CallId};

use super::reports::summary;
use crate::testing::Plane;

/// The events of a stream: each its name and its data.
fn events(text: &str) -> Vec<(String, serde_json::Value)> {
    let event = |block: &str| {
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        Some((field("event:")?, serde_json::from_str(&field("data:")?).unwrap()))
    };
    text.split("\n\n").filter_map(event).collect()
}

/// Watches with `query` while `calls` finish, until the gateway stops.
async fn watched(query: &str, calls: usize, key: impl Fn(usize) -> (&'static str, Option<&'static str>)) -> String {
    let plane = Plane::new(Mode::Up);
    let path = format!("/api/v1/calls/stream{query}");
    let asked = plane.get(&path);
    tokio::pin!(asked);
    // Polled once, it watches.
    let once = std::future::poll_fn(|context| std::task::Poll::Ready(asked.as_mut().poll(context).is_pending()));
    assert!(once.await);
    for at in 0..calls {
        let (key, error) = key(at);
        plane.control.feed.record(summary(CallId::new(), at as u64, key, error));
    }
    plane.control.feed.close();
    let answer = asked.await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(plane.get("/api/v1/calls?limit=1000").await.json()["calls"].as_array().unwrap().len(), calls.min(1000));
    answer.text
}

#[tokio::test]
async fn a_watcher_sees_the_calls_that_finish_and_the_filter_that_it_set() {
    let of = |at: usize| if at.is_multiple_of(2) { ("one", None) } else { ("other", Some("policy_denied")) };
    let all = events(&watched("", 4, of).await);
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|(name, call)| name == "call" && call["status"].is_u64()));
    let one = events(&watched("?key=one", 4, of).await);
    assert!(one.len() == 2 && one.iter().all(|(_, call)| call["key"] == "one"));
    assert_eq!(events(&watched("?error=any", 4, of).await).len(), 2);
    assert_eq!(events(&watched("?error=not_found", 4, of).await).len(), 0);
}

#[tokio::test]
async fn a_slow_watcher_holds_nobody_up_and_is_told_what_it_missed() {
    let seen = events(&watched("", 1_500, |_| ("one", None)).await);
    let missed: u64 = seen.iter().filter_map(|(_, data)| data["missed"].as_u64()).sum();
    let shown = seen.iter().filter(|(name, _)| name == "call").count() as u64;
    assert!(missed > 0);
    assert_eq!(missed + shown, 1_500);
}

#[tokio::test]
async fn no_more_than_so_many_watch_and_nobody_once_the_gateway_stops() {
    let plane = Plane::new(Mode::Up);
    let watchers: Vec<_> = std::iter::from_fn(|| plane.control.feed.watch().ok()).take(1_000).collect();
    assert!(watchers.len() < 1_000);
    assert_eq!(plane.get("/api/v1/calls/stream").await.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(watchers);
    assert!(plane.control.feed.watch().is_ok());
    plane.control.feed.close();
    assert_eq!(plane.get("/api/v1/calls/stream").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
