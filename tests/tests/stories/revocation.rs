//! A key that is revoked while it is used.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{
    gateway::{Start, question},
    mcp::Session,
    streams::{Dialect, hear},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_within_a_second_and_its_streams_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let made = gateway.ask("POST", "/api/v1/keys", Some(json!({"name": "passing"}))).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let mut open = Vec::new();
    for dialect in Dialect::BOTH {
        for prompt in ["[[sim: stream 2000 chunks, 20ms]]", "[[sim: stall after 1]] a b"] {
            let mut call = gateway.open(dialect.path(), &key, &question("sim/chat", prompt, true)).await;
            assert_eq!(call.status, 200);
            assert!(call.next().await.is_some());
            open.push(call);
        }
    }
    let mut tool = Session::begin(&gateway, &key).await.unwrap().slow(1_000).await.unwrap();
    assert!(tool.next().await.is_some());
    let slow = question("sim/slow", "a b c d e f g h", true);
    let mut bystander = gateway.open("/v1/messages", &gateway.key, &slow).await;
    let revoked = gateway.ask("POST", "/api/v1/keys/passing/revoke", None).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    assert_eq!(revoked.json()["cut"], 5);
    let refused = async {
        loop {
            let answer = gateway.post("/v1/chat/completions", &key, &question("sim/chat", "hello", false)).await;
            if answer.status == 401 {
                break;
            }
        }
        for call in &mut open {
            let heard = hear(&call.rest().await);
            assert!(!heard.terminated && heard.errors.len() == 1, "{heard:?}");
        }
        let rest = String::from_utf8(tool.rest().await).unwrap();
        assert!(rest.contains("\"error\"") && !rest.contains("\"result\""), "{rest}");
    };
    timeout(Duration::from_secs(1), refused).await.expect("a revoked key is refused and cut within a second");
    assert!(hear(&bystander.rest().await).terminated, "another key's stream was cut");
}
