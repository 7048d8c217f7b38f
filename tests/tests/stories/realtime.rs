//! Live sessions: every turn is a call, decided, paid for, looked at and on record; and a session ends when it must.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    gateway::{Gateway, Start, key, until},
    websocket::{self, WebSocket, calls},
};

const POLICY: &str = r#"
@id("no-bomb") forbid (principal, action == Tidegate::Action::"propose_tool", resource)
when { resource.name == "drop_table" };
"#;

struct Live(WebSocket);

impl Deref for Live {
    type Target = WebSocket;

    fn deref(&self) -> &WebSocket {
        &self.0
    }
}

impl DerefMut for Live {
    fn deref_mut(&mut self) -> &mut WebSocket {
        &mut self.0
    }
}

impl Live {
    async fn open(gateway: &Gateway, key: &str, model: &str) -> Result<Self, (u16, String)> {
        let mut live = Self(WebSocket::open(gateway, key, &format!("/v1/realtime?model={model}")).await?);
        live.until("session.created").await;
        Ok(live)
    }

    async fn text(&mut self, gateway_session: Value) {
        let mut session = json!({"type": "realtime", "output_modalities": ["text"],
            "audio": {"input": {"turn_detection": null}}});
        for (name, value) in gateway_session.as_object().unwrap() {
            session[name] = value.clone();
        }
        self.say(&json!({"type": "session.update", "session": session})).await;
        self.until("session.updated").await;
    }

    async fn item(&mut self, text: &str) {
        let content = json!([{"type": "input_text", "text": text}]);
        let item = json!({"type": "message", "role": "user", "content": content});
        self.say(&json!({"type": "conversation.item.create", "item": item})).await;
    }

    /// Every event up to the first of this type.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Ok(event) => {
                    let found = event["type"] == kind;
                    all.push(event);
                    if found {
                        return all;
                    }
                }
                Err(end) => panic!("{kind} did not come, but the end: {end:?} after {all:?}"),
            }
        }
    }

    /// A turn: its words, and its last event.
    async fn turn(&mut self, event: Value) -> (String, Value) {
        self.say(&event).await;
        let all = self.until("response.done").await;
        let words = all.iter().filter(|event| event["type"] == "response.output_text.delta");
        let words = words.map(|event| event["delta"].as_str().unwrap()).collect();
        (words, all.last().unwrap().clone())
    }
}

fn ask() -> Value {
    json!({"type": "response.create"})
}

async fn start(folder: &Path, caller: &str, key: Value) -> Gateway {
    let policies = folder.join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("live.cedar"), POLICY).unwrap();
    let models = ["sim/chat", "sim/leaky", "sim/slow"];
    websocket::start(folder, caller, (&models, key), json!({"policies": policies})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_turn_is_a_call_with_its_usage_and_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.text(json!({})).await;
    live.item("hello there").await;
    let (words, done) = live.turn(ask()).await;
    assert_eq!(words, "echo: hello there");
    assert_eq!(done["response"]["status"], "completed");
    live.item("and again").await;
    let (words, second) =
        live.turn(json!({"type": "response.create", "event_id": "mine", "response": {"max_output_tokens": 2}})).await;
    assert_eq!(words, "echo: an");
    assert!(second["response"]["usage"]["input_tokens"].as_u64() > done["response"]["usage"]["input_tokens"].as_u64());

    let all = calls(&gateway).await;
    let turns: Vec<&Value> = all.iter().filter(|call| call["status"] == 200).collect();
    assert_eq!(turns.len(), 2, "{all:?}");
    for turn in &turns {
        assert_eq!((&turn["action"], &turn["resource"]), (&json!("invoke_model"), &json!("sim/chat")));
        assert!(turn["receipt"].is_u64() && turn["usd"] != "0", "{turn}");
    }
    let reached = gateway.sim_requests().await;
    assert_eq!(reached.len(), 2);
    let spent = gateway.show("/api/v1/spend?by=key").await["rows"].clone();
    let spent = spent.as_array().unwrap().iter().find(|row| row["key"] == "k").unwrap().clone();
    let input: u64 = reached.iter().map(|entry| entry["input_tokens"].as_u64().unwrap()).sum();
    let output: u64 = reached.iter().map(|entry| entry["output_tokens"].as_u64().unwrap()).sum();
    assert_eq!(
        (spent["input_tokens"].as_u64(), spent["output_tokens"].as_u64()),
        (Some(input), Some(output)),
        "{spent}"
    );
    let story = gateway.show(&format!("/api/v1/calls/{}", turns[0]["id"].as_str().unwrap())).await.to_string();
    for word in ["intent", "outcome", "reserve", "authorize"] {
        assert!(story.contains(word), "{word}: {story}");
    }
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    live.close(Some(goodbye)).await;
    assert_eq!(live.end().await.0, 1000);
    until("the session's end", Duration::from_secs(5), async || {
        gateway.show("/api/v1/calls/live").await["calls"] == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_opened_for_those_only_who_may_use_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    for (key, model, status) in [
        (caller.as_str(), "sim/tools", 404),
        (caller.as_str(), "sim/none", 404),
        (caller.as_str(), "", 400),
        (&key(), "sim/chat", 401),
    ] {
        let refused = Live::open(&gateway, key, model).await.err().unwrap();
        assert_eq!(refused.0, status, "{model}: {}", refused.1);
    }
    // The key in the list of protocols, as browsers say it.
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut request = format!("ws://{address}/v1/realtime?model=sim/chat").into_client_request().unwrap();
    let protocols = format!("realtime, openai-insecure-api-key.{caller}, openai-beta.realtime-v1");
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    let (_, answer) = client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "realtime");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_ends_turns_in_the_middle_of_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    // The turn's bound: about 1,000 tokens of the prompt at 1 usd/mtok and 1,000 of the answer at 4.
    let gateway = start(folder.path(), &caller, json!({"budget": "0.0062 usd/month"})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.text(json!({"max_output_tokens": 1000})).await;
    let long = "[[sim: stream 1000 chunks, 0ms]]";
    live.item(long).await;
    let (_, done) = live.turn(ask()).await;
    assert_eq!(done["response"]["status"], "completed");
    live.say(&json!({"type": "response.create", "event_id": "second"})).await;
    let refused = live.until("error").await.pop().unwrap();
    assert_eq!(refused["error"]["code"], "budget_exhausted", "{refused}");
    assert_eq!(refused["error"]["event_id"], "second");
    assert_eq!(gateway.sim_requests().await.len(), 1, "what was refused reached the provider");
    assert!(calls(&gateway).await.iter().any(|call| call["error"] == "budget_exhausted"));

    // Nor is sound passed on that the server would answer by itself.
    live.say(&json!({"type": "session.update", "session": {"type": "realtime",
        "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}}))
        .await;
    live.until("session.updated").await;
    live.say(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(12_800)})).await;
    assert_eq!(live.until("error").await.pop().unwrap()["error"]["code"], "budget_exhausted");
    assert_eq!(gateway.sim_requests().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_listening_server_begins_by_itself_was_allowed_before_it_heard_anything() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.say(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(12_800)})).await;
    let all = live.until("response.done").await;
    let of = |kind: &str| all.iter().filter(|event| event["type"] == kind).count();
    assert!(of("response.output_audio.delta") > 0 && of("response.output_audio_transcript.delta") > 0, "{all:?}");
    let usage = &all.last().unwrap()["response"]["usage"];
    assert!(usage["output_token_details"]["audio_tokens"].as_u64() > Some(0));
    let turn = calls(&gateway).await.into_iter().find(|call| call["status"] == 200).unwrap();
    assert!(turn["receipt"].is_u64(), "{turn}");
    let story = gateway.show(&format!("/api/v1/calls/{}", turn["id"].as_str().unwrap())).await.to_string();
    assert!(story.contains("not_inspected"), "what no guard saw is not on record: {story}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_look_at_both_sides_of_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({"guardrails": ["pii", "cards"]})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.text(json!({"instructions": "write to jo@example.com"})).await;
    live.item("I am al@example.com").await;
    let seen = live.until("conversation.item.done").await.pop().unwrap();
    assert!(!seen.to_string().contains("al@example.com") && seen.to_string().contains("REDACTED"), "{seen}");
    let (words, _) = live.turn(ask()).await;
    assert!(words.contains("REDACTED") && !words.contains("al@"), "{words}");

    // Cut over many events, it is found all the same.
    live.item("[[sim: say mail to bo@example.com now]]").await;
    live.until("conversation.item.done").await;
    let (words, done) = live.turn(ask()).await;
    assert!(!words.contains("bo@example") && !done.to_string().contains("bo@example"), "{words} {done}");

    live.say(&json!({"type": "conversation.item.create", "event_id": "card", "item": {"type": "message",
        "role": "user", "content": [{"type": "input_text", "text": "my card is 4111 1111 1111 1111"}]}}))
        .await;
    let blocked = live.until("error").await.pop().unwrap();
    assert_eq!(
        (&blocked["error"]["code"], &blocked["error"]["event_id"]),
        (&json!("guardrail_blocked"), &json!("card"))
    );
    assert!(!blocked.to_string().contains("4111"));
    let (code, _) = (blocked["error"]["code"].clone(), live.item("go on").await);
    let (words, _) = live.turn(ask()).await;
    assert_eq!((code, words.contains("go on")), (json!("guardrail_blocked"), true), "{words}");
    let asked = gateway.sim_requests().await.len();
    let told = live.turn(json!({"type": "response.create", "response": {"instructions": "4111 1111 1111 1111"}}));
    assert!(timeout(Duration::from_millis(500), told).await.is_err(), "a blocked turn was answered");
    assert_eq!(gateway.sim_requests().await.len(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_model_may_not_say_or_propose_is_cut_and_metered() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({"guardrails": ["cards"]})).await;
    let mut live = Live::open(&gateway, &caller, "sim/leaky").await.unwrap();
    live.text(json!({})).await;
    live.item("tell me").await;
    live.say(&ask()).await;
    let all = live.until("response.done").await;
    let told = json!(all).to_string();
    assert!(!told.contains("4111"), "{told}");
    let error = all.iter().find(|event| event["type"] == "error").unwrap();
    assert_eq!(error["error"]["code"], "guardrail_blocked");
    assert_eq!(all.last().unwrap()["response"]["status"], "failed");
    let cut = |call: &Value| call["error"] == "guardrail_blocked" && call["output_tokens"].as_u64() > Some(0);
    let call = calls(&gateway).await.into_iter().find(cut).expect("the cut turn is metered");
    assert!(call["receipt"].is_u64(), "{call}");

    let tools = json!([{"type": "function", "name": "drop_table", "parameters": {"type": "object"}}]);
    live.text(json!({"tools": tools})).await;
    live.item("[[sim: tool drop_table {}]]").await;
    live.say(&ask()).await;
    let all = live.until("response.done").await;
    assert!(all.iter().any(|event| event["error"]["code"] == "policy_denied"), "{all:?}");
    assert!(!all.iter().any(|event| event["type"] == "response.function_call_arguments.delta"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_its_key_is_revoked_and_when_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let made = gateway.ask("POST", "/api/v1/keys", Some(json!({"name": "passing"}))).await;
    let caller = made.json()["key"].as_str().unwrap().to_owned();
    let mut idle = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    let mut busy = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    busy.text(json!({})).await;
    busy.item("[[sim: stream 2000 chunks, 20ms]]").await;
    busy.say(&ask()).await;
    busy.until("response.output_text.delta").await;
    let revoked = gateway.ask("POST", "/api/v1/keys/passing/revoke", None).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    for live in [&mut idle, &mut busy] {
        let killed = live.until("error").await.pop().unwrap();
        assert_eq!(killed["error"]["code"], "killed");
        assert_eq!(live.end().await, (1008, "killed".to_owned()));
    }
    let call = calls(&gateway).await.into_iter().find(|call| call["error"] == "killed").unwrap();
    assert_eq!(call["action"], "invoke_model");
    assert_eq!(Live::open(&gateway, &caller, "sim/chat").await.err().unwrap().0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_ends_the_session_and_the_turn_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.text(json!({})).await;
    live.item("[[sim: stream 9 chunks, 1ms]] [[sim: cut after 3]]").await;
    live.say(&ask()).await;
    let mut last = live.next().await;
    let mut words = 0;
    while let Ok(event) = &last {
        words += usize::from(event["type"] == "response.output_text.delta");
        assert_ne!(event["type"], "response.done", "a cut turn ended well");
        last = live.next().await;
    }
    assert_eq!((words, last.unwrap_err().0), (3, 1011));
    let call = calls(&gateway).await.into_iter().find(|call| call["error"] == "upstream_unavailable").unwrap();
    assert!(call["receipt"].is_u64(), "{call}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_giant_and_unknown_frames_end_as_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let gateway = start(folder.path(), &caller, json!({})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.text(json!({})).await;
    for wrong in [
        "no json",
        r#"{"type":"response.create","type":"session.update"}"#,
        r#"{"type":"transcription_session.update","session":{}}"#,
        r#"{"type":"session.update","session":{"type":"transcription"}}"#,
        r#"{"type":"session.update","session":{"model":"sim/tools"}}"#,
        r#"{"type":"response.create","response":{"max_output_tokens":-1}}"#,
        r#"[]"#,
    ] {
        live.send(Message::text(wrong)).await.unwrap();
        let error = live.until("error").await.pop().unwrap();
        assert_eq!(error["error"]["code"], "invalid_request", "{wrong}: {error}");
    }
    assert_eq!(gateway.sim_requests().await.len(), 0);
    live.item("still here").await;
    assert!(live.turn(ask()).await.0.contains("still here"));
    for _ in 0..16 {
        if live.send(Message::text("{")).await.is_err() {
            break;
        }
    }
    assert_eq!(live.end().await.0, 1008);

    let mut binary = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    binary.send(Message::binary(vec![0_u8; 8])).await.unwrap();
    assert_eq!(binary.next().await.unwrap_err().0, 1003);

    let mut giant = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    let sound = "A".repeat(5 * 1024 * 1024);
    // The gateway may close before it has taken all of it.
    let _ = giant.send(Message::text(format!(r#"{{"type":"input_audio_buffer.append","audio":"{sound}"}}"#))).await;
    let end = giant.next().await.unwrap_err().0;
    assert!(matches!(end, 1009 | 1006), "{end}");
    assert_eq!(gateway.sim_requests().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_lets_the_turn_end_and_says_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let mut gateway = start(folder.path(), &caller, json!({})).await;
    let mut live = Live::open(&gateway, &caller, "sim/chat").await.unwrap();
    live.text(json!({})).await;
    live.item("[[sim: stream 20 chunks, 50ms]]").await;
    live.say(&ask()).await;
    live.until("response.output_text.delta").await;
    let stopping = gateway.stop();
    let ending = async {
        let done = live.until("response.done").await.pop().unwrap();
        assert_eq!(done["response"]["status"], "completed");
        assert_eq!(live.end().await.0, 1001);
    };
    futures_util::future::join(stopping, ending).await;
}
