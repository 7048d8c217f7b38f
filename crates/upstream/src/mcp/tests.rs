//! The client's side of MCP against scripted servers: sessions, ids, streams, garbage, and that no tool runs twice.

use std::{sync::Arc, time::Duration};

use ::http::HeaderMap;
use bytes::Bytes;
use tidegate_core::fault::FaultCode;
use tidegate_protocol::{
    json::Limits,
    jsonrpc::{Message, read_one},
    mcp::{Method, Revision},
};
use tidegate_testkit::scripted::{Received, Reply, Scripted, Step};

use super::*;
use crate::{AnswerBody, Answered, testing::*};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":"client-7","method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;
const OPENING: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}}"#;

fn message(text: &str) -> Message {
    read_one(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn id_of(received: &Received) -> String {
    let message = read_one(received.body.clone(), &Limits::default()).unwrap();
    String::from_utf8(message.raw_id().to_vec()).unwrap()
}

fn result(id: &str, text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#)
}

fn initialized(received: &Received, session: &str) -> Reply {
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id_of(received));
    Reply::json_with(200, &[("mcp-session-id", session)], body)
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// A server that opens sessions and leaves the rest to `answer`.
async fn server_with(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::answering(move |received| {
        let text = received.text();
        if text.contains("\"initialize\"") {
            return initialized(received, "session-1");
        }
        if text.contains("notifications/initialized") {
            return Reply::json(202, "");
        }
        if received.method == "DELETE" {
            return Reply::json(200, "");
        }
        answer(received)
    })
    .await
    .unwrap()
}

fn leg(server: &Scripted) -> Arc<Leg> {
    Leg::new(Arc::new(crate::testing::server(&server.url("/mcp"))))
}

async fn open(bench: &Bench, leg: &Arc<Leg>) -> Message {
    let permit = bench.session_permit(&tool_call(OPENING));
    let relayed = bench.upstream.relay(&permit, leg, &message(OPENING), &HeaderMap::new(), None).await.unwrap();
    let Relayed::Messages(mut messages) = relayed else { panic!("no answer to initialize") };
    messages.answer().await.unwrap()
}

fn messages(answered: Answered) -> Box<McpEvents> {
    match answered.body {
        AnswerBody::Messages(messages) => messages,
        other => panic!("no messages: {other:?}"),
    }
}

#[tokio::test]
async fn a_session_is_opened_by_the_clients_own_initialize_and_kept() {
    let server = server_with(|received| Reply::json(200, result(&id_of(received), "3"))).await;
    let (bench, leg) = (Bench::new(), leg(&server));
    assert!(!leg.is_open());
    open(&bench, &leg).await;
    assert_eq!(leg.revision(), Some(Revision::V2025_11_25));
    let answer = messages(bench.call_tool(&leg, &tool_call(CALL)).await.unwrap()).answer().await.unwrap();
    assert!(String::from_utf8_lossy(answer.bytes()).contains("\"text\":\"3\""));
    let received = server.received();
    assert!(received[0].text().contains("\"roots\""), "the client's capabilities were not passed on");
    assert_eq!(received[0].header("mcp-session-id"), None);
    assert_eq!(received[1].header("mcp-session-id"), Some("session-1"));
    assert_eq!(received[1].header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(received[1].header("accept"), Some("application/json, text/event-stream"));
    assert!(!received[1].text().contains("client-7"), "the client's id went out");
    assert!(received[1].text().ends_with(r#""method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#));
    bench.upstream.close(&leg).await.unwrap();
    assert_eq!(server.received()[2].method, "DELETE");
    assert_eq!(server.received()[2].header("mcp-session-id"), Some("session-1"));
}

#[tokio::test]
async fn notifications_and_requests_of_the_server_come_before_the_answer() {
    let server = server_with(|received| {
        Reply::events(
            [
                ": ping\n\n".to_owned(),
                "id: 1\ndata:\n\n".to_owned(),
                event(
                    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#,
                ),
                event(r#"{"jsonrpc":"2.0","id":"ask-1","method":"roots/list"}"#),
                event(&result(&id_of(received), "done")),
            ]
            .concat(),
        )
    })
    .await;
    let (bench, leg) = (Bench::new(), leg(&server));
    let mut got = messages(bench.call_tool(&leg, &tool_call(CALL)).await.unwrap());
    assert!(matches!(got.next().await.unwrap().unwrap(), McpEvent::Notification(_)));
    assert!(matches!(got.next().await.unwrap().unwrap(), McpEvent::Request(_)));
    let permit = bench.session_permit(&tool_call(CALL));
    let reply = message(r#"{"jsonrpc":"2.0","id":"ask-1","result":{"roots":[]}}"#);
    let forward = HeaderMap::new();
    // The scripted server answers the relayed answer with a body, which means nothing.
    bench.upstream.relay(&permit, &leg, &reply, &forward, None).await.unwrap();
    let again = bench.upstream.relay(&permit, &leg, &reply, &forward, None).await.unwrap_err();
    assert_eq!(again.code, FaultCode::InvalidRequest, "an answer was taken twice");
    assert!(matches!(got.next().await.unwrap().unwrap(), McpEvent::Answer(_)));
    assert!(got.next().await.is_none());
}

#[tokio::test]
async fn no_cross_client_answers() {
    // The server answers each call with the text it was sent, the second call first.
    let server = server_with(|received| {
        let text = received.text();
        let slow = text.contains("\"slow\"");
        let reply = Reply::stream();
        let reply = if slow { reply.then(Step::Pause(Duration::from_millis(80))) } else { reply };
        let name = if slow { "slow" } else { "fast" };
        reply.send(event(&result(&id_of(received), name))).then(Step::Close)
    })
    .await;
    let bench = Bench::new();
    let (one, two) = (leg(&server), leg(&server));
    let call = |name: &str| {
        tool_call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#))
    };
    let (slow, fast) = (call("slow"), call("fast"));
    let (first, second) = tokio::join!(bench.call_tool(&one, &slow), bench.call_tool(&two, &fast));
    let (mut first, mut second) = (messages(first.unwrap()), messages(second.unwrap()));
    let (first, second) = tokio::join!(first.answer(), second.answer());
    assert!(String::from_utf8_lossy(first.unwrap().bytes()).contains("slow"));
    assert!(String::from_utf8_lossy(second.unwrap().bytes()).contains("fast"));

    // What one leg's server asked, another leg cannot answer.
    assert!(one.ask(&message(r#"{"jsonrpc":"2.0","id":9,"method":"roots/list"}"#)));
    let permit = bench.session_permit(&slow);
    let answer = message(r#"{"jsonrpc":"2.0","id":9,"result":{"roots":[]}}"#);
    let before = server.count();
    let forged = bench.upstream.relay(&permit, &two, &answer, &HeaderMap::new(), None).await.unwrap_err();
    assert_eq!(forged.code, FaultCode::InvalidRequest);
    assert_eq!(server.count(), before);
}

#[tokio::test]
async fn an_answer_to_another_request_and_other_garbage_are_typed_faults() {
    let bodies: [(&str, &str); 8] = [
        ("application/json", r#"{"jsonrpc":"2.0","id":999,"result":{}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","id":"1","result":{}}"#),
        ("application/json", r#"{"jsonrpc":"2.0","result":{}}"#),
        ("application/json", "{nope"),
        ("application/json", "[]"),
        ("application/json", r#"{"jsonrpc":"2.0","id":1,"id":1,"result":{}}"#),
        ("text/html", "<html>"),
        ("text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"id\":999,\"result\":{}}\n\n"),
    ];
    for (media_type, body) in bodies {
        let server = Scripted::start([Reply::new(200, media_type, &[], body)]).await.unwrap();
        let bench = Bench::new();
        let fault = match bench.call_tool(&leg(&server), &tool_call(CALL)).await {
            Err(failed) => failed.fault,
            Ok(answered) => messages(answered).answer().await.unwrap_err(),
        };
        assert_eq!(fault.code, FaultCode::UpstreamUnavailable, "{body}: {fault}");
        assert_eq!(server.count(), 1, "{body}: the tool was called twice");
    }
}

#[tokio::test]
async fn a_tool_is_never_run_twice_once_its_call_may_have_left() {
    for reply in [Reply::hang_up(), Reply::json(503, "{}"), Reply::json(500, "{}"), Reply::events(": ping\n\n")] {
        let server = Scripted::start([reply.clone()]).await.unwrap();
        let bench = Bench::new();
        if let Ok(answered) = bench.call_tool(&leg(&server), &tool_call(CALL)).await {
            messages(answered).answer().await.unwrap_err();
        }
        assert_eq!(server.count(), 1, "{reply:?}");
    }
    let server = Scripted::start([Reply::hang_up()]).await.unwrap();
    Bench::new().call_tool(&leg(&server), &tool_call(LIST)).await.unwrap_err();
    assert_eq!(server.count(), 2, "what only reads is repeated");
}

#[tokio::test]
async fn a_tool_that_is_declared_idempotent_is_repeated() {
    let server = Scripted::start([Reply::hang_up()]).await.unwrap();
    let mut configured = crate::testing::server(&server.url("/mcp"));
    configured.idempotent.insert("add".into(), true);
    Bench::new().call_tool(&Leg::new(Arc::new(configured)), &tool_call(CALL)).await.unwrap_err();
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_forgotten_session_is_opened_anew_once_and_the_call_sent_again() {
    let server = Scripted::answering({
        let opened = std::sync::atomic::AtomicUsize::new(0);
        move |received: &Received| {
            let text = received.text();
            if text.contains("\"initialize\"") {
                let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                return initialized(received, &format!("session-{number}"));
            }
            if text.contains("notifications/") {
                return Reply::json(202, "");
            }
            match received.header("mcp-session-id") {
                Some("session-1") => Reply::json(200, result(&id_of(received), "ok")),
                _ => Reply::json(404, "{}"),
            }
        }
    })
    .await
    .unwrap();
    let (bench, leg) = (Bench::new(), leg(&server));
    open(&bench, &leg).await;
    messages(bench.call_tool(&leg, &tool_call(CALL)).await.unwrap()).answer().await.unwrap();
    let calls = server.received().iter().filter(|received| received.text().contains("tools/call")).count();
    assert_eq!(calls, 2);
    let openings: Vec<_> =
        server.received().into_iter().filter(|received| received.text().contains("\"initialize\"")).collect();
    assert_eq!(openings.len(), 2);
    assert!(openings[1].text().contains("\"roots\""), "the client's own capabilities");
}

#[tokio::test]
async fn a_401_stays_a_401() {
    let server = Scripted::start([Reply::json(401, "{}")]).await.unwrap();
    let failed = Bench::new().call_tool(&leg(&server), &tool_call(LIST)).await.unwrap_err();
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamError, 401));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_json_rpc_error_is_an_answer_whatever_its_status() {
    let server = Scripted::answering(|received| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"no"}}}}"#, id_of(received));
        Reply::json(400, body)
    })
    .await
    .unwrap();
    let bench = Bench::new();
    let answer = messages(bench.call_tool(&leg(&server), &tool_call(CALL)).await.unwrap()).answer().await.unwrap();
    assert_eq!(answer.error_message().unwrap(), "no");
}

#[tokio::test]
async fn a_cancellation_names_the_id_that_went_out() {
    let server = server_with(|received| {
        let cancelled = received.text().contains("notifications/cancelled");
        if cancelled { Reply::json(202, "") } else { Reply::stream().then(Step::Stall) }
    })
    .await;
    let (bench, leg) = (Bench::new(), leg(&server));
    let running = messages(bench.call_tool(&leg, &tool_call(CALL)).await.unwrap());
    let sent = id_of(&server.received()[0]);
    let permit = bench.session_permit(&tool_call(CALL));
    let cancel = message(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"client-7","reason":"x"}}"#,
    );
    let relayed = bench.upstream.relay(&permit, &leg, &cancel, &HeaderMap::new(), None).await.unwrap();
    assert!(matches!(relayed, Relayed::Accepted));
    let text = server.received()[1].text();
    assert!(text.contains(&format!(r#""requestId":{sent}"#)), "{text}");
    bench.upstream.cancel(*running, "the caller left").await.unwrap();
    assert!(server.received()[2].text().contains(&format!(r#""requestId":{sent}"#)));
    let unknown = bench.upstream.relay(&permit, &leg, &cancel, &HeaderMap::new(), None).await.unwrap_err();
    assert_eq!(unknown.code, FaultCode::InvalidRequest, "a request that is over was cancelled");
}

#[tokio::test]
async fn a_call_is_not_relayed_as_a_frame() {
    let server = Scripted::start([Reply::json(200, "{}")]).await.unwrap();
    let bench = Bench::new();
    let permit = bench.session_permit(&tool_call(CALL));
    let refused = bench.upstream.relay(&permit, &leg(&server), &message(CALL), &HeaderMap::new(), None).await;
    assert_eq!(refused.unwrap_err().code, FaultCode::Internal);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_stream_the_server_lets_go_of_is_taken_up_where_it_stood() {
    let server = server_with(|received| {
        if received.method == "GET" {
            assert_eq!(received.header("last-event-id"), Some("41"));
            return Reply::events(event(&result("1", "late")));
        }
        Reply::events("id: 41\nretry: 10\ndata:\n\n")
    })
    .await;
    let bench = Bench::new();
    let answer = messages(bench.call_tool(&leg(&server), &tool_call(CALL)).await.unwrap()).answer().await.unwrap();
    assert!(String::from_utf8_lossy(answer.bytes()).contains("late"));
    let methods: Vec<_> = server.received().into_iter().map(|received| received.method).collect();
    assert_eq!(methods, ["POST", "GET"]);
}

#[tokio::test]
async fn a_server_speaks_of_its_own_accord_where_it_can() {
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let server = Scripted::start([Reply::events(event(changed)), Reply::json(405, "")]).await.unwrap();
    let bench = Bench::new();
    let permit = bench.session_permit(&tool_call(CALL));
    let leg = leg(&server);
    let mut stream = bench.upstream.listen(&permit, &leg, None).await.unwrap().unwrap();
    assert!(matches!(stream.next().await.unwrap().unwrap(), McpEvent::Notification(_)));
    assert!(stream.next().await.is_none());
    assert!(bench.upstream.listen(&permit, &leg, None).await.unwrap().is_none());
}

#[tokio::test]
async fn the_gateways_own_requests_open_a_leg_of_their_own() {
    let server = server_with(|received| Reply::json(200, result(&id_of(received), "listed"))).await;
    let (bench, leg) = (Bench::new(), leg(&server));
    for _ in 0..2 {
        let answer = bench.upstream.control(&leg, Method::ToolsList, None).await.unwrap();
        assert!(String::from_utf8_lossy(answer.bytes()).contains("listed"));
    }
    let received = server.received();
    let openings = received.iter().filter(|received| received.text().contains("\"initialize\"")).count();
    assert_eq!((received.len(), openings), (4, 1));
}

#[tokio::test]
async fn a_silent_tool_ends_by_its_clock() {
    let server = Scripted::start([Reply::stream().then(Step::Stall)]).await.unwrap();
    let mut configured = crate::testing::server(&server.url("/mcp"));
    configured.timeouts.first_event = Duration::from_millis(60);
    configured.timeouts.between_events = Duration::from_millis(60);
    let answered = Bench::new().call_tool(&Leg::new(Arc::new(configured)), &tool_call(CALL)).await.unwrap();
    let fault = messages(answered).answer().await.unwrap_err();
    assert_eq!(fault.code, FaultCode::UpstreamTimeout);
}
