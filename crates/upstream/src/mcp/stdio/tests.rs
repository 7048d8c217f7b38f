//! Programs as servers: small scripts that behave, hang, die, and write what they should not.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use tidegate_core::{fault::FaultCode, secret::Secret};
use tidegate_protocol::{json::Limits, jsonrpc};

use super::*;
use crate::{
    AnswerBody, Timeouts,
    mcp::Leg,
    target::Destination,
    testing::{Bench, server, tool_call},
};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":"client-7","method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#;
const OPENING: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;

/// What every script begins with: `take` reads a line and its id, `say` answers it.
const PRELUDE: &str = r#"
take() { IFS= read -r line || exit 0; id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p'); }
say() { printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"}]}}\n' "$id" "$1"; }
take; printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}\n' "$id"
take
"#;

fn leg(script: &str, env: Vec<(String, Secret)>) -> Arc<Leg> {
    let command = vec!["sh".to_owned(), "-c".to_owned(), format!("{PRELUDE}{script}")];
    let mut server = server("http://127.0.0.1:1/");
    server.base = Destination::Program(Arc::new(Program::new(command, None, env)));
    let (short, long) = (Duration::from_millis(1500), Duration::from_secs(20));
    server.timeouts = Timeouts { connect: long, first_event: short, between_events: short, total: long };
    Leg::deferred(Arc::new(server), Bytes::from_static(OPENING.as_bytes()))
}

async fn call(bench: &Bench, leg: &Arc<Leg>) -> Result<String, tidegate_core::fault::Fault> {
    let answered = bench.call_tool(leg, &tool_call(CALL)).await.map_err(|failed| failed.fault)?;
    let AnswerBody::Messages(mut messages) = answered.body else { panic!("no messages") };
    let answer = messages.answer().await?;
    Ok(String::from_utf8_lossy(answer.bytes()).into_owned())
}

#[tokio::test]
async fn a_program_is_started_when_it_is_needed_and_gets_little_of_the_environment() {
    let env = vec![("TOKEN".to_owned(), Secret::new("for-the-program".to_owned()))];
    let leg = leg(r#"take; echo "not a message"; say "$TOKEN/${CARGO_MANIFEST_DIR-none}/${PATH:+path}"; take"#, env);
    let bench = Bench::new();
    assert!(leg.process().is_none());
    assert!(call(&bench, &leg).await.unwrap().contains("for-the-program/none/path"));
    assert!(leg.greeting().is_some());
}

#[tokio::test]
async fn a_program_that_ended_is_started_anew_with_the_same_session() {
    // It answers one call and ends.
    let leg = leg("take; say $$", Vec::new());
    let bench = Bench::new();
    let first = call(&bench, &leg).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = call(&bench, &leg).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(leg.generation(), 2);
}

#[tokio::test]
async fn a_program_that_dies_inside_a_call_ends_that_call_and_is_not_asked_again() {
    let leg = leg("take; exit 3", Vec::new());
    let bench = Bench::new();
    let fault = call(&bench, &leg).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::UpstreamUnavailable);
    assert!(fault.public_message.contains("closed its output"), "{}", fault.public_message);
    assert_eq!(leg.generation(), 1, "the tool was called twice");
}

#[tokio::test]
async fn a_hanging_program_meets_a_clock_and_is_ended() {
    let leg = leg("take; take; take", Vec::new());
    let bench = Bench::new();
    let fault = call(&bench, &leg).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::UpstreamTimeout, "{}", fault.public_message);
    assert!(leg.process().is_none(), "it still runs");
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_ends_the_call_and_nothing_else() {
    let leg = leg("take; head -c 100000000 /dev/zero | tr '\\0' x; take; take", Vec::new());
    let bench = Bench::new();
    let fault = call(&bench, &leg).await.unwrap_err();
    assert!(fault.public_message.contains("a line of more than"), "{}", fault.public_message);
}

#[tokio::test]
async fn an_answer_that_is_too_deep_is_told_at_once() {
    let leg = leg(
        r#"take; printf '{"jsonrpc":"2.0","id":%s,"result":' "$id"; head -c 2000 /dev/zero | tr '\0' '['; echo; take"#,
        Vec::new(),
    );
    let bench = Bench::new();
    let fault = call(&bench, &leg).await.unwrap_err();
    assert!(fault.public_message.contains("a line that is no message"), "{}", fault.public_message);
}

#[tokio::test]
async fn what_a_program_started_goes_with_it() {
    let leg = leg(r#"sleep 1000 & take; say "$!"; take; take"#, Vec::new());
    let bench = Bench::new();
    let answer = call(&bench, &leg).await.unwrap();
    let pid: String = answer.rsplit("\"text\":\"").next().unwrap().chars().take_while(char::is_ascii_digit).collect();
    let alive = || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    assert!(alive());
    bench.upstream.close(&leg).await.unwrap();
    for _ in 0..100 {
        if !alive() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{pid} still runs");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_says_so() {
    let mut server = server("http://127.0.0.1:1/");
    let program = Program::new(vec!["/nowhere/at-all".to_owned()], None, Vec::new());
    server.base = Destination::Program(Arc::new(program));
    let leg = Leg::deferred(Arc::new(server), Bytes::from_static(OPENING.as_bytes()));
    let fault = call(&Bench::new(), &leg).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::UpstreamUnavailable);
    assert!(fault.public_message.contains("cannot be started"), "{}", fault.public_message);
}

#[tokio::test]
async fn a_client_that_listens_hears_what_belongs_to_no_request() {
    let leg = leg(
        r#"echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'; take; say done; take"#,
        Vec::new(),
    );
    let bench = Bench::new();
    let permit = bench.session_permit(&tool_call(CALL));
    let nothing = HeaderMap::new();
    bench.upstream.open(&permit, &leg, &nothing, None).await.unwrap();
    let mut heard = bench.upstream.listen(&permit, &leg, None).await.unwrap().unwrap();
    let Some(Ok(crate::mcp::McpEvent::Notification(message))) = heard.next().await else { panic!("nothing") };
    assert_eq!(message.method(), Some("notifications/tools/list_changed"));
    assert!(call(&bench, &leg).await.unwrap().contains("done"));
}

#[test]
fn no_spawn_from_api() {
    // One file of this crate starts processes, and only what the configuration made a `Program` of.
    fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                sources(&entry, found);
            } else if String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).contains(&["Command", "::new("].concat())
            {
                found.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("mcp/stdio/program.rs"));
}

#[test]
fn a_message_is_read_once_for_its_progress_token() {
    let inbox = Arc::<Inbox>::default();
    let read = |text: &str| jsonrpc::read_one(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap();
    let request = |id: i64, token: &str| {
        read(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"x","params":{{"_meta":{{"progressToken":"{token}"}}}}}}"#
        ))
    };
    let one = inbox.wait_for(1, Some(&request(1, "a"))).unwrap();
    let two = inbox.wait_for(2, Some(&request(2, "b"))).unwrap();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"a","progress":1}}"#;
    assert_eq!(inbox.take(read(progress)), Taken::Yes);
    assert_eq!(inbox.take(read(r#"{"jsonrpc":"2.0","id":9,"method":"roots/list"}"#)), Taken::Yes);
    assert_eq!(inbox.take(read(r#"{"jsonrpc":"2.0","id":77,"result":{}}"#)), Taken::Dropped);
    let now = |place: &Place| {
        let mut next = Box::pin(place.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::future::Future::poll(next.as_mut(), &mut context) {
            std::task::Poll::Ready(Ok(message)) => message.method().map(str::to_owned),
            _ => None,
        }
    };
    assert_eq!(now(&one).as_deref(), Some("notifications/progress"));
    assert_eq!(now(&two).as_deref(), Some("roots/list"));
    assert_eq!(now(&one), None);
    assert!(!inbox.is_idle());
    drop((one, two));
    assert!(inbox.is_idle());
}
