//! Answers over a socket: each is a call like any other, and a socket ends when it must.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    gateway::{Gateway, Start, key, until},
    websocket::{self, WebSocket, calls},
};

struct Socket(WebSocket);

impl Deref for Socket {
    type Target = WebSocket;

    fn deref(&self) -> &WebSocket {
        &self.0
    }
}

impl DerefMut for Socket {
    fn deref_mut(&mut self) -> &mut WebSocket {
        &mut self.0
    }
}

impl Socket {
    async fn open(gateway: &Gateway, key: &str, path: &str) -> Result<Self, u16> {
        WebSocket::open(gateway, key, path).await.map(Self).map_err(|(status, _)| status)
    }

    async fn ask(&mut self, model: &str, input: &str) {
        self.say(&create(model, input)).await;
    }

    /// Every event of an answer.
    async fn answer(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|end| panic!("{end:?} after {all:?}"));
            let kind = event["type"].as_str().unwrap().to_owned();
            // What breaks in the middle is told as both, as over HTTP.
            let over = ["response.completed", "response.incomplete", "response.failed"].contains(&kind.as_str())
                || (kind == "error" && event.get("status").is_some());
            all.push(event);
            if over {
                return all;
            }
        }
    }

    /// The event that a refusal is.
    async fn refusal(&mut self) -> Value {
        let mut all = self.answer().await;
        assert_eq!((all.len(), &all[0]["type"]), (1, &json!("error")), "{all:?}");
        all.remove(0)
    }
}

const PATH: &str = "/v1/responses";

fn create(model: &str, input: &str) -> Value {
    json!({"type": "response.create", "model": model, "input": input, "store": false})
}

fn words(events: &[Value]) -> String {
    let pieces = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    pieces.map(|event| event["delta"].as_str().unwrap()).collect()
}

async fn start(folder: &Path, caller: &str, key: Value) -> Gateway {
    let models = ["sim/chat", "sim/stream", "sim/leaky"];
    websocket::start(folder, caller, (&models, key), json!({"limits": {"body": "1 MiB"}})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_frame_is_a_call_and_goes_on_from_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut socket = Socket::open(&gateway, &caller, PATH).await.unwrap();
    socket.ask("sim/chat", "my name is Ada").await;
    let first = socket.answer().await;
    assert_eq!(words(&first), "echo: my name is Ada");
    let id = first.last().unwrap()["response"]["id"].clone();
    let mut next = create("sim/chat", "who am I");
    next["previous_response_id"] = id;
    socket.say(&next).await;
    let second = socket.answer().await;
    assert_eq!(second.last().unwrap()["type"], "response.completed");
    let reached = gateway.sim_requests().await;
    assert!(reached[1]["input_tokens"].as_u64() > reached[0]["input_tokens"].as_u64(), "{reached:?}");

    let done: Vec<Value> = calls(&gateway).await.into_iter().filter(|call| call["status"] == 200).collect();
    assert_eq!(done.len(), 2, "{done:?}");
    for call in &done {
        assert_eq!((&call["action"], &call["resource"]), (&json!("invoke_model"), &json!("sim/chat")));
        assert!(call["receipt"].is_u64() && call["usd"] != "0", "{call}");
    }
    // Only this socket knows what it said: the vendor is asked by the id alone.
    let mut other = Socket::open(&gateway, &caller, PATH).await.unwrap();
    other.say(&next).await;
    assert_eq!(words(&other.answer().await), "echo: who am I");
    let reached = gateway.sim_requests().await;
    assert!(reached[2]["input_tokens"].as_u64() < reached[1]["input_tokens"].as_u64(), "{reached:?}");
    socket.close(None).await;
    other.close(None).await;
    until("the sessions' end", Duration::from_secs(5), async || {
        gateway.show("/api/v1/calls/live").await["calls"] == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_or_not_paid_for_reaches_no_provider() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({"budget": "0.0062 usd/month"})).await;
    assert_eq!(Socket::open(&gateway, &key(), PATH).await.err(), Some(401));
    let mut socket = Socket::open(&gateway, &caller, PATH).await.unwrap();
    socket.ask("sim/tools", "hello").await;
    let refused = socket.refusal().await;
    assert_eq!((&refused["status"], &refused["headers"]["x-tidegate-error"]), (&json!(404), &json!("not_found")));
    let mut dear = create("sim/chat", "[[sim: stream 1000 chunks, 0ms]]");
    dear["max_output_tokens"] = json!(1_500);
    socket.say(&dear).await;
    assert_eq!(socket.answer().await.last().unwrap()["type"], "response.completed");
    socket.say(&dear).await;
    let refused = socket.refusal().await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(402), &json!("budget_exhausted")), "{refused}");
    assert_eq!(gateway.sim_requests().await.len(), 1, "what was refused reached the provider");
    let all = calls(&gateway).await;
    for code in ["not_found", "budget_exhausted"] {
        assert!(all.iter().any(|call| call["error"] == code), "{code}: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_look_at_both_sides_and_at_all_that_was_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({"guardrails": ["pii", "cards"]})).await;
    let mut socket = Socket::open(&gateway, &caller, PATH).await.unwrap();
    socket.ask("sim/chat", "I am al@example.com").await;
    let first = socket.answer().await;
    assert!(words(&first).contains("REDACTED") && !json!(first).to_string().contains("al@"), "{first:?}");

    socket.ask("sim/chat", "my card is 4111 1111 1111 1111").await;
    let refused = socket.refusal().await;
    assert_eq!(refused["error"]["code"], "guardrail_blocked");
    assert!(!refused.to_string().contains("4111"));
    assert_eq!(gateway.sim_requests().await.len(), 1);

    // What was only to be remembered is looked at once it is asked with.
    let mut hidden = create("sim/chat", "my card is 4111 1111 1111 1111");
    hidden["generate"] = json!(false);
    socket.say(&hidden).await;
    let remembered = socket.answer().await;
    let mut next = create("sim/chat", "go on");
    next["previous_response_id"] = remembered.last().unwrap()["response"]["id"].clone();
    socket.say(&next).await;
    assert_eq!(socket.refusal().await["error"]["code"], "guardrail_blocked");
    assert_eq!(gateway.sim_requests().await.len(), 1);

    socket.ask("sim/leaky", "tell me").await;
    let cut = socket.answer().await;
    assert!(!json!(cut).to_string().contains("4111"), "{cut:?}");
    assert_eq!(cut.last().unwrap()["response"]["status"], "failed");
    assert!(cut.iter().any(|event| event["type"] == "error" && event["error"]["code"] == "guardrail_blocked"));
    let metered = |call: &Value| call["error"] == "guardrail_blocked" && call["output_tokens"].as_u64() > Some(0);
    assert!(calls(&gateway).await.iter().any(metered), "the cut answer is metered");
    socket.ask("sim/chat", "still here").await;
    assert!(words(&socket.answer().await).contains("still here"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_giant_and_unknown_frames_end_as_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut socket = Socket::open(&gateway, &caller, PATH).await.unwrap();
    for wrong in [
        "no json",
        "[]",
        r#"{"type":"response.create","type":"response.create"}"#,
        r#"{"type":"response.steer","input":"x"}"#,
        r#"{"type":"response.create","model":"sim/chat","input":"x","background":true}"#,
        r#"{"type":"response.create","model":"sim/chat","input":"x","max_output_tokens":-1}"#,
        r#"{"type":"response.create","model":"sim/chat"}"#,
    ] {
        socket.send(Message::text(wrong)).await.unwrap();
        let error = socket.refusal().await;
        assert_eq!((&error["status"], &error["error"]["code"]), (&json!(400), &json!("invalid_request")), "{wrong}");
    }
    assert_eq!(gateway.sim_requests().await.len(), 0);
    socket.ask("sim/chat", "still here").await;
    assert_eq!(words(&socket.answer().await), "echo: still here");
    for _ in 0..20 {
        if socket.send(Message::text("{")).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.end().await.0, 1008);

    let mut binary = Socket::open(&gateway, &caller, PATH).await.unwrap();
    binary.send(Message::binary(vec![0_u8; 8])).await.unwrap();
    assert_eq!(binary.next().await.unwrap_err().0, 1003);

    let mut giant = Socket::open(&gateway, &caller, PATH).await.unwrap();
    // The gateway may close before it has taken all of it.
    let _ = giant.send(Message::text(create("sim/chat", &"a".repeat(2 * 1024 * 1024)).to_string())).await;
    let end = giant.next().await.unwrap_err().0;
    assert!(matches!(end, 1009 | 1006), "{end}");

    // A conversation that outgrows a body is refused like a body that does.
    let mut long = Socket::open(&gateway, &caller, PATH).await.unwrap();
    let half = "a ".repeat(300 * 1024);
    long.ask("sim/chat", &half).await;
    let id = long.answer().await.last().unwrap()["response"]["id"].clone();
    let mut next = create("sim/chat", &half);
    next["previous_response_id"] = id;
    long.say(&next).await;
    let refused = long.refusal().await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(413), &json!("too_large")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_are_answered_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut socket = Socket::open(&gateway, &caller, PATH).await.unwrap();
    socket.ask("sim/stream", "[[sim: stream 20 chunks, 10ms]]").await;
    for number in 0..30 {
        socket.ask("sim/chat", &format!("number {number}")).await;
    }
    let first = socket.answer().await;
    assert_eq!(first.iter().filter(|event| event["type"] == "response.created").count(), 1);
    for number in 0..30 {
        assert_eq!(words(&socket.answer().await), format!("echo: number {number}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_ends_with_its_key_and_what_is_under_way_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let made = gateway.ask("POST", "/api/v1/keys", Some(json!({"name": "passing"}))).await;
    let caller = made.json()["key"].as_str().unwrap().to_owned();
    let mut idle = Socket::open(&gateway, &caller, PATH).await.unwrap();
    let mut busy = Socket::open(&gateway, &caller, PATH).await.unwrap();
    busy.ask("sim/chat", "[[sim: stream 2000 chunks, 20ms]]").await;
    assert_eq!(busy.next().await.unwrap()["type"], "response.created");
    let revoked = gateway.ask("POST", "/api/v1/keys/passing/revoke", None).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    assert_eq!(idle.end().await.0, 1008);
    let killed = busy.answer().await;
    assert_eq!(killed.last().unwrap()["response"]["error"]["code"], "killed", "{killed:?}");
    assert_eq!(busy.end().await.0, 1008);
    let call = calls(&gateway).await.into_iter().find(|call| call["error"] == "killed").unwrap();
    assert_eq!((&call["action"], call["receipt"].is_u64()), (&json!("invoke_model"), true), "{call}");
    assert_eq!(Socket::open(&gateway, &caller, PATH).await.err(), Some(401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_ends_its_call_and_a_cut_upstream_ends_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut socket = Socket::open(&gateway, &caller, PATH).await.unwrap();
    socket.ask("sim/chat", "[[sim: stream 9 chunks, 1ms]] [[sim: cut after 3]]").await;
    let cut = socket.answer().await;
    assert_eq!(cut.last().unwrap()["type"], "response.failed", "{cut:?}");
    assert!(!cut.iter().any(|event| event["type"] == "response.completed"));
    socket.ask("sim/stream", "[[sim: stream 2000 chunks, 20ms]]").await;
    assert_eq!(socket.next().await.unwrap()["type"], "response.created");
    drop(socket);
    until("the call's end", Duration::from_secs(5), async || {
        calls(&gateway).await.iter().any(|call| call["status"] == 499 && call["receipt"].is_u64())
    })
    .await;
    // By a provider's own path, so is a live session.
    assert!(Socket::open(&gateway, &caller, "/proxy/sim/v1/realtime?model=chat").await.is_ok());
    assert_eq!(Socket::open(&gateway, &caller, "/proxy/sim/v1/realtime").await.err(), Some(400));
    let mut named = Socket::open(&gateway, &caller, "/proxy/sim/v1/responses").await.unwrap();
    named.ask("chat", "by its provider's path").await;
    assert_eq!(words(&named.answer().await), "echo: by its provider's path");
}
