//! Streams: the commit point, cuts, clocks between events, cancelling, translation, backpressure.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
    usage::UsageSource,
};
use tidegate_protocol::llm::Dialect;
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use crate::{AnswerBody, Answered, Event, EventStream, Target, testing::*};

async fn upstream(script: impl IntoIterator<Item = Reply>) -> Scripted {
    Scripted::start(script).await.unwrap()
}

fn at(name: &str, upstream: &Scripted) -> Arc<Target> {
    Arc::new(target(name, Dialect::OpenAiChat, &upstream.url("/v1")))
}

fn events(answered: Answered) -> Box<EventStream> {
    match answered.body {
        AnswerBody::Events(events) => events,
        other => panic!("no stream: {other:?}"),
    }
}

async fn drain(stream: &mut EventStream) -> (Vec<Event>, Option<Fault>) {
    let mut out = Vec::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(event) => out.push(event),
            Err(fault) => return (out, Some(fault)),
        }
    }
    (out, None)
}

fn said(events: &[Event]) -> String {
    events.iter().flat_map(|event| &event.facts.pieces).map(|piece| piece.text.as_ref()).collect()
}

fn whole() -> String {
    CHAT_EVENTS.concat()
}

#[tokio::test]
async fn a_whole_answer_to_a_stream_passes_to_callers_of_its_dialect_alone() {
    let server = upstream([Reply::json(200, CHAT_ANSWER), Reply::json(200, CHAT_ANSWER)]).await;
    let answered = Bench::new().ask(&chat(true), &[at("a", &server)]).await.unwrap();
    let AnswerBody::Unary { answer, .. } = answered.body else { panic!("no whole answer") };
    assert_eq!(answer.body(), CHAT_ANSWER.as_bytes());
    // A caller of another dialect waits for events that nobody sent.
    let failed = Bench::new().ask(&messages(true), &[at("a", &server)]).await.unwrap_err();
    assert_eq!(failed.fault.code, FaultCode::UpstreamUnavailable);
}

#[tokio::test]
async fn a_stream_passes_frame_by_frame_and_ends_well() {
    let server = upstream([Reply::events(whole())]).await;
    let mut stream = events(Bench::new().ask(&chat(true), &[at("a", &server)]).await.unwrap());
    assert!(!stream.finished());
    let (got, fault) = drain(&mut stream).await;
    assert!(fault.is_none(), "{fault:?}");
    let raw: Vec<u8> = got.iter().flat_map(|event| event.frame.raw.to_vec()).collect();
    assert_eq!(String::from_utf8(raw).unwrap(), whole());
    assert_eq!(said(&got), "hello");
    assert!(stream.finished());
    let usage = stream.usage();
    assert_eq!((usage.output, usage.source), (2, UsageSource::Estimated), "5 bytes are 2 tokens");
}

#[tokio::test]
async fn usage_that_was_asked_for_on_the_callers_behalf_is_counted_and_not_shown() {
    let chunk = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"total_tokens\":16}}\n\n";
    let text = format!("{}{chunk}{}", CHAT_EVENTS[..4].concat(), CHAT_EVENTS[4]);
    let server = upstream([Reply::events(text)]).await;
    let mut stream = events(Bench::new().ask(&chat(true), &[at("a", &server)]).await.unwrap());
    let (got, fault) = drain(&mut stream).await;
    assert!(fault.is_none());
    assert!(got.iter().all(|event| !event.facts.usage_only));
    assert_eq!((stream.usage().input, stream.usage().output, stream.usage().source), (7, 9, UsageSource::Vendor));
    assert!(server.received()[0].text().contains("include_usage"));
}

#[tokio::test]
async fn a_stream_fails_over_until_its_first_semantic_event() {
    let beginnings = [
        Reply::events(""),
        Reply::events(CHAT_EVENTS[0]),
        Reply::events(": ping\n\n"),
        Reply::events("data: {broken\n\n"),
        Reply::events("data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n"),
    ];
    for beginning in beginnings {
        let bad = upstream([beginning.clone()]).await;
        let good = upstream([Reply::events(whole())]).await;
        let answered = Bench::new().ask(&chat(true), &[at("a", &bad), at("b", &good)]).await.unwrap();
        assert_eq!(answered.head.served_by.to_string(), "b/m", "{beginning:?}");
        let (got, fault) = drain(&mut events(answered)).await;
        assert!(fault.is_none());
        assert_eq!(said(&got), "hello", "{beginning:?}");
        assert_eq!(got.len(), 5, "what the first target had said must not be seen");
    }
}

#[tokio::test]
async fn nothing_fails_over_after_the_first_semantic_event() {
    let cut = upstream([Reply::events(CHAT_EVENTS[..2].concat())]).await;
    let good = upstream([Reply::events(whole())]).await;
    let answered = Bench::new().ask(&chat(true), &[at("a", &cut), at("b", &good)]).await.unwrap();
    let mut stream = events(answered);
    let (got, fault) = drain(&mut stream).await;
    assert_eq!(said(&got), "hel");
    assert_eq!(fault.unwrap().code, FaultCode::UpstreamUnavailable);
    assert!(stream.next().await.is_none(), "the fault must be the last item");
    assert!(!stream.finished());
    assert_eq!((cut.count(), good.count()), (1, 0));
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_never_ends_well() {
    let text = whole();
    let commit = CHAT_EVENTS[..2].concat().len();
    let bench = Bench::new();
    let server = Scripted::answering({
        let text = text.clone();
        move |received| {
            let at: usize = received.header("traceparent").unwrap().parse().unwrap();
            Reply::events(&text[..at])
        }
    })
    .await
    .unwrap();
    let mut cutting = target("a", Dialect::OpenAiChat, &server.url("/v1"));
    cutting.breaker.consecutive = u32::MAX;
    cutting.breaker.least_attempts = u32::MAX;
    let targets = [Arc::new(cutting)];
    for at in commit..text.len() {
        let mut asking = Asking::default();
        asking.forward.insert("traceparent", at.into());
        let answered = bench.ask_with(&chat(true), &targets, asking).await.unwrap();
        let mut stream = events(answered);
        let (got, fault) = drain(&mut stream).await;
        assert!(fault.is_some(), "cut at {at} ended well");
        assert!(got.iter().all(|event| !event.facts.terminator), "cut at {at} gave a terminator");
        assert!(!stream.finished());
    }
}

#[tokio::test]
async fn a_cut_translated_stream_never_ends_well_either() {
    let text = whole();
    for end in [CHAT_EVENTS[..2].concat().len(), CHAT_EVENTS[..4].concat().len(), text.len() - 1] {
        let server = upstream([Reply::events(&text[..end])]).await;
        let answered = Bench::new().ask(&messages(true), &[at("a", &server)]).await.unwrap();
        let (got, fault) = drain(&mut events(answered)).await;
        assert!(fault.is_some());
        assert!(got.iter().all(|event| event.frame.event_name() != "message_stop"), "cut at {end}");
    }
}

#[tokio::test]
async fn a_translated_stream_speaks_the_surfaces_dialect() {
    let server = upstream([Reply::events(whole())]).await;
    let answered = Bench::new().ask(&messages(true), &[at("a", &server)]).await.unwrap();
    let (got, fault) = drain(&mut events(answered)).await;
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(said(&got), "hello");
    assert_eq!(got.first().unwrap().frame.event_name(), "message_start");
    assert_eq!(got.last().unwrap().frame.event_name(), "message_stop");
    assert!(got.last().unwrap().facts.terminator);
}

#[tokio::test]
async fn silence_between_events_has_its_own_clock() {
    let server = upstream([Reply::stream().send(CHAT_EVENTS[..2].concat()).then(Step::Stall)]).await;
    let mut stalling = target("a", Dialect::OpenAiChat, &server.url("/v1"));
    stalling.timeouts.between_events = Duration::from_millis(60);
    let answered = Bench::new().ask(&chat(true), &[Arc::new(stalling)]).await.unwrap();
    let (got, fault) = drain(&mut events(answered)).await;
    assert_eq!(said(&got), "hel");
    let fault = fault.unwrap();
    assert_eq!(fault.code, FaultCode::UpstreamTimeout);
    assert!(fault.public_message.contains("between_events"), "{}", fault.public_message);
}

#[tokio::test]
async fn a_stall_before_the_first_event_fails_over() {
    let stalling = upstream([Reply::stream().then(Step::Stall)]).await;
    let good = upstream([Reply::events(whole())]).await;
    let mut first = target("a", Dialect::OpenAiChat, &stalling.url("/v1"));
    first.timeouts.first_event = Duration::from_millis(60);
    first.retry.attempts = 1;
    let answered = Bench::new().ask(&chat(true), &[Arc::new(first), at("b", &good)]).await.unwrap();
    assert!(answered.head.attempts[0].outcome.contains("first_event"), "{:?}", answered.head.attempts);
    assert_eq!(answered.head.served_by.to_string(), "b/m");
}

#[tokio::test]
async fn a_stream_that_is_dropped_cancels_the_upstream_within_a_second() {
    let server = upstream([Reply::stream().send(CHAT_EVENTS[..2].concat()).then(Step::Stall)]).await;
    let answered = Bench::new().ask(&chat(true), &[at("a", &server)]).await.unwrap();
    let mut stream = events(answered);
    stream.next().await.unwrap().unwrap();
    let left = clock::now();
    drop(stream);
    let gone = server.client_gone(Duration::from_secs(2)).await.expect("the upstream request went on");
    assert!(gone.saturating_duration_since(left) < Duration::from_secs(1));
}

#[tokio::test]
async fn an_error_inside_a_stream_is_the_last_item_and_shows_no_key() {
    let error = format!("data: {{\"error\":{{\"message\":\"boom {PROVIDER_KEY}\",\"type\":\"server_error\"}}}}\n\n");
    let server = upstream([Reply::events(format!("{}{error}", CHAT_EVENTS[..2].concat()))]).await;
    let answered = Bench::new().ask(&chat(true), &[at("a", &server)]).await.unwrap();
    let (got, fault) = drain(&mut events(answered)).await;
    let fault = fault.unwrap();
    assert_eq!(fault.code, FaultCode::UpstreamError);
    assert!(fault.public_message.contains("boom [removed]"), "{}", fault.public_message);
    assert!(!format!("{got:?}{fault:?}").contains(PROVIDER_KEY));
}

#[tokio::test]
async fn a_reader_that_pauses_pauses_the_upstream() {
    let filler = format!(": {}\n\n", "x".repeat(1000));
    let mut reply = Reply::stream().send(CHAT_EVENTS[..2].concat());
    for _ in 0..20_000 {
        reply = reply.send(&filler);
    }
    let server = upstream([reply.then(Step::Stall)]).await;
    let answered = Bench::new().ask(&chat(true), &[at("a", &server)]).await.unwrap();
    let mut stream = events(answered);
    stream.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = server.sent();
    assert!(sent < 15_000_000, "{sent} of 20 million bytes went out to a reader that read one event");
    drop(stream);
    assert!(server.client_gone(Duration::from_secs(2)).await.is_some());
}

/// A stream of Gemini, piece by piece; the last one says why the model stopped.
const GEMINI_EVENTS: [&str; 2] = [
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hel\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3}}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2,\"totalTokenCount\":5}}\r\n\r\n",
];

#[tokio::test]
async fn a_stream_without_a_terminator_ends_with_its_body_once_the_model_has_stopped() {
    let google = |server: &Scripted| Arc::new(target("a", Dialect::Gemini, &server.url("/v1beta")));
    let server = upstream((0..2).map(|_| Reply::events(GEMINI_EVENTS.concat()))).await;
    let mut own = events(Bench::new().ask(&gemini(true), &[google(&server)]).await.unwrap());
    let (got, fault) = drain(&mut own).await;
    assert!(fault.is_none() && own.finished(), "{fault:?}");
    let raw: Vec<u8> = got.iter().flat_map(|event| event.frame.raw.to_vec()).collect();
    assert_eq!(String::from_utf8(raw).unwrap(), GEMINI_EVENTS.concat());
    assert!(got.last().unwrap().facts.terminator);
    assert_eq!((own.usage().input, own.usage().output, own.usage().source), (3, 2, UsageSource::Vendor));
    let (got, fault) = drain(&mut events(Bench::new().ask(&chat(true), &[google(&server)]).await.unwrap())).await;
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(said(&got), "hello");
    assert_eq!(got.last().unwrap().frame.data.as_deref(), Some(&b"[DONE]"[..]));
    let paths: Vec<String> = server.received().iter().map(|request| request.path.clone()).collect();
    assert!(paths.iter().all(|path| path.starts_with("/v1beta/models/m:streamGenerateContent")), "{paths:?}");
    // The other way: a caller whose dialect has no terminator is given none, and nothing where the stream was cut.
    let server = upstream([Reply::events(whole()), Reply::events(CHAT_EVENTS[..3].concat())]).await;
    let (got, fault) = drain(&mut events(Bench::new().ask(&gemini(true), &[at("a", &server)]).await.unwrap())).await;
    assert!(fault.is_none() && got.last().unwrap().facts.terminator, "{fault:?}");
    assert!(String::from_utf8_lossy(&got[got.len() - 2].frame.raw).contains("\"finishReason\":\"STOP\""));
    let (got, fault) = drain(&mut events(Bench::new().ask(&gemini(true), &[at("a", &server)]).await.unwrap())).await;
    assert!(fault.is_some());
    assert!(got.iter().all(|event| !String::from_utf8_lossy(&event.frame.raw).contains("finishReason")));
}

#[tokio::test]
async fn a_gemini_stream_that_is_cut_is_an_error() {
    let server = upstream([Reply::events(GEMINI_EVENTS[0])]).await;
    let target = Arc::new(target("a", Dialect::Gemini, &server.url("/v1beta")));
    let (got, fault) = drain(&mut events(Bench::new().ask(&gemini(true), &[target]).await.unwrap())).await;
    assert_eq!((said(&got), fault.map(|fault| fault.code)), ("hel".to_owned(), Some(FaultCode::UpstreamUnavailable)));
}
