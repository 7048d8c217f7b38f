//! A client that goes away.

use std::time::Duration;

use super::{
    gateway::{Start, question, until},
    streams::Dialect,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_cancels_the_upstream_within_a_second_and_the_call_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    for (dialect, stream) in Dialect::BOTH.into_iter().flat_map(|dialect| [(dialect, true), (dialect, false)]) {
        let before = gateway.sim_requests().await.len();
        let body = question("sim/chat", "[[sim: stall after 2]] one two three four", stream);
        let asked = gateway.open(dialect.path(), &gateway.key, &body);
        let arrived = async || gateway.sim_requests().await.len() > before;
        if stream {
            let mut call = asked.await;
            assert!(call.next().await.is_some());
            drop(call);
        } else {
            tokio::select! {
                _ = asked => panic!("a stalled call was answered"),
                () = until("the call at the upstream", Duration::from_secs(5), arrived) => {}
            }
        }
        until("the cancelling", Duration::from_secs(1), async || {
            gateway.sim_requests().await[before]["end"] == "abandoned"
        })
        .await;
        let id = gateway.sim_requests().await[before]["call_id"].as_str().unwrap().to_owned();
        until("settling", Duration::from_secs(2), async || {
            let story = gateway.ask("GET", &format!("/api/v1/calls/{id}"), None).await;
            story.status == 200 && {
                let story = story.json();
                story["call"]["status"] == 499
                    && story["audit"].as_array().unwrap().iter().any(|r| !r["entry"]["record"]["outcome"].is_null())
            }
        })
        .await;
    }
    let spend = gateway.show("/api/v1/spend?by=key").await;
    assert_eq!(spend["rows"][0]["calls"], 4, "{spend}");
}
