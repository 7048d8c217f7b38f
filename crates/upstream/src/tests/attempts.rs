//! Failover, retries, budgets, breaker, clocks: what is tried, how often, and what the caller gets in the end.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use tidegate_core::{
    clock,
    fault::{FaultCode, Phase, Retry},
    money::NanoUsd,
    usage::UsageSource,
};
use tidegate_protocol::llm::{Dialect, Lane};
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use crate::{AnswerBody, Answered, Failed, Target, Timeouts, testing::*};

async fn upstream(script: impl IntoIterator<Item = Reply>) -> Scripted {
    Scripted::start(script).await.unwrap()
}

fn at(name: &str, upstream: &Scripted) -> Arc<Target> {
    Arc::new(target(name, Dialect::OpenAiChat, &upstream.url("/v1")))
}

fn text(answered: &Answered) -> String {
    match &answered.body {
        AnswerBody::Unary { answer, .. } => answer.segments().iter().map(|segment| segment.text.clone()).collect(),
        other => panic!("not a whole answer: {other:?}"),
    }
}

fn error(status: u16) -> Reply {
    Reply::json(status, format!(r#"{{"error":{{"message":"status {status}","type":"t","code":null}}}}"#))
}

#[tokio::test]
async fn a_whole_answer_comes_back_with_usage_and_the_providers_credential_was_sent() {
    let server = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let answered = Bench::new().ask(&chat(false), &[at("a", &server)]).await.unwrap();
    assert_eq!(text(&answered), "hello");
    let AnswerBody::Unary { usage, .. } = &answered.body else { panic!() };
    assert_eq!((usage.input, usage.output, usage.source), (3, 2, UsageSource::Vendor));
    assert_eq!(answered.head.lane, Some(Lane::Verbatim));
    assert_eq!(answered.head.served_by.to_string(), "a/m");
    let received = server.received();
    assert_eq!(received[0].path, "/v1/chat/completions");
    assert_eq!(received[0].header("authorization"), Some(format!("Bearer {PROVIDER_KEY}").as_str()));
    assert!(received[0].text().contains(r#""model":"m""#), "{}", received[0].text());
    assert!(answered.running.reservation.is_committed());
}

#[tokio::test]
async fn a_failing_target_is_retried_and_then_the_next_is_asked() {
    let bad = upstream([error(500)]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let answered = Bench::new().ask(&chat(false), &[at("a", &bad), at("b", &good)]).await.unwrap();
    assert_eq!((bad.count(), good.count()), (2, 1));
    let statuses: Vec<_> = answered.head.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(200)]);
    assert_eq!(answered.head.served_by.to_string(), "b/m");
}

#[tokio::test]
async fn a_client_error_is_answered_at_once_with_the_upstreams_own_body() {
    let bad = upstream([error(422)]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let failed = Bench::new().ask(&chat(false), &[at("a", &bad), at("b", &good)]).await.unwrap_err();
    assert_eq!((bad.count(), good.count()), (1, 0));
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamError, 422));
    let upstream = failed.fault.upstream.as_ref().unwrap();
    assert_eq!(upstream.message, "status 422");
    assert!(upstream.body.as_ref().unwrap().starts_with(b"{\"error\""));
    assert_eq!(failed.attempts.len(), 1);
}

#[tokio::test]
async fn the_providers_own_troubles_pass_to_the_next_target_without_a_retry() {
    for status in [401, 403, 404, 408] {
        let bad = upstream([error(status)]).await;
        let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
        Bench::new().ask(&chat(false), &[at("a", &bad), at("b", &good)]).await.unwrap();
        assert_eq!((bad.count(), good.count()), (1, 1), "{status}");
    }
}

#[tokio::test]
async fn a_429_cools_the_target_and_the_next_is_used() {
    let busy = upstream([Reply::json_with(429, &[("retry-after", "30")], "{}")]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    let targets = [at("a", &busy), at("b", &good)];
    for _ in 0..3 {
        bench.ask(&chat(false), &targets).await.unwrap();
    }
    assert_eq!((busy.count(), good.count()), (1, 3), "a cooling target was asked again");
    let failed = bench.ask(&chat(false), &targets[..1]).await.unwrap_err();
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamUnavailable, 503));
    assert!(matches!(failed.fault.retry, Retry::After(pause) if pause > Duration::from_secs(25)));
    assert_eq!(failed.attempts[0].phase, Phase::Refused);
}

#[tokio::test]
async fn a_lone_targets_429_reaches_the_caller_with_its_pause() {
    let busy = upstream([Reply::json_with(429, &[("retry-after", "7")], "{}")]).await;
    let failed = Bench::new().ask(&chat(false), &[at("a", &busy)]).await.unwrap_err();
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamError, 429));
    assert_eq!(failed.fault.retry, Retry::After(Duration::from_secs(7)));
    assert_eq!(busy.count(), 1);
}

#[tokio::test]
async fn amplification_stays_within_a_tenth_when_everything_fails() {
    let bad = upstream([error(503)]).await;
    let bench = Bench::new();
    let mut target = target("a", Dialect::OpenAiChat, &bad.url("/v1"));
    target.retry.attempts = 5;
    target.breaker.consecutive = u32::MAX;
    target.breaker.least_attempts = u32::MAX;
    let targets = [Arc::new(target)];
    for _ in 0..60 {
        bench.ask(&chat(false), &targets).await.unwrap_err();
    }
    assert!(bad.count() <= 66, "{} requests for 60 calls", bad.count());
    assert!(bad.count() > 60, "no retry at all");
}

#[tokio::test]
async fn an_open_breaker_spares_the_target() {
    let bad = upstream([error(500)]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    let mut first = target("a", Dialect::OpenAiChat, &bad.url("/v1"));
    first.breaker.consecutive = 4;
    let targets = [Arc::new(first), at("b", &good)];
    for _ in 0..10 {
        bench.ask(&chat(false), &targets).await.unwrap();
    }
    assert_eq!(bad.count(), 4);
}

#[tokio::test]
async fn every_attempt_is_listed_when_nothing_answers() {
    let bad = upstream([error(502)]).await;
    let gone = upstream([]).await;
    let url = gone.url("/v1");
    drop(gone);
    tokio::task::yield_now().await;
    let targets = [at("a", &bad), Arc::new(target("b", Dialect::OpenAiChat, &url))];
    let failed = Bench::new().ask(&chat(false), &targets).await.unwrap_err();
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamUnavailable, 502));
    assert_eq!(failed.fault.attempts.len(), failed.attempts.len());
    assert!(failed.fault.public_message.contains("a/m 502"), "{}", failed.fault.public_message);
    assert!(failed.attempts.iter().any(|attempt| attempt.phase == Phase::Connect && attempt.target == "b/m"));
    assert!(failed.attempts.iter().any(|attempt| attempt.outcome.contains("refused")), "{:?}", failed.attempts);
}

#[tokio::test]
async fn upstream_key_echo_is_scrubbed() {
    let body = format!(r#"{{"error":{{"message":"bad key {PROVIDER_KEY} or sk-abcdefgh12345678","type":"auth"}}}}"#);
    let bad = upstream([Reply::json(401, body)]).await;
    let failed = Bench::new().ask(&chat(false), &[at("a", &bad)]).await.unwrap_err();
    let shown = format!("{:?}{:?}", failed.fault, failed.attempts);
    assert!(!shown.contains(PROVIDER_KEY) && !shown.contains("sk-abcdefgh"), "{shown}");
    assert!(failed.fault.public_message.contains("bad key [removed]"));
}

async fn stalled(reply: Reply, timeouts: Timeouts) -> (Box<Failed>, Duration) {
    let server = upstream([reply]).await;
    let mut stalling = target("a", Dialect::OpenAiChat, &server.url("/v1"));
    stalling.timeouts = timeouts;
    stalling.retry.attempts = 1;
    let started = clock::now();
    let failed = Bench::new().ask(&chat(false), &[Arc::new(stalling)]).await.unwrap_err();
    (failed, started.elapsed())
}

#[tokio::test]
async fn each_clock_ends_the_wait_that_is_its_own() {
    let short = Duration::from_millis(80);
    let (failed, took) = stalled(Reply::silence(), Timeouts { first_event: short, ..timeouts() }).await;
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamTimeout, 504));
    assert!(failed.fault.public_message.contains("first_event"), "{}", failed.fault.public_message);
    assert!(took < Duration::from_secs(1));
    assert_eq!(failed.fault.retry, Retry::No, "what may have been billed must not be advised to be sent again");

    let half = Reply(vec![
        Step::Send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{".into()),
        Step::Stall,
    ]);
    let (failed, _) = stalled(half.clone(), Timeouts { between_events: short, ..timeouts() }).await;
    assert!(failed.fault.public_message.contains("between_events"), "{}", failed.fault.public_message);

    let (failed, _) = stalled(half, Timeouts { total: short, ..timeouts() }).await;
    assert!(failed.fault.public_message.contains("total"), "{}", failed.fault.public_message);
}

#[tokio::test]
async fn the_callers_deadline_is_the_callers_timeout() {
    let server = upstream([Reply::silence()]).await;
    let asking = Asking { deadline: clock::now().checked_add(Duration::from_millis(500)), ..Asking::default() };
    let targets = [at("a", &server), at("b", &server)];
    let failed = Bench::new().ask_with(&chat(false), &targets, asking).await.unwrap_err();
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::CallerTimeout, 408));
    assert_eq!(server.count(), 1, "nothing is tried after the caller's deadline");
}

#[tokio::test]
async fn an_attempt_that_may_be_billed_keeps_its_share() {
    let silent = upstream([Reply::silence()]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    bench.budget(NanoUsd(100));
    let mut first = target("a", Dialect::OpenAiChat, &silent.url("/v1"));
    first.timeouts.first_event = Duration::from_millis(50);
    first.retry.attempts = 1;
    let targets = [Arc::new(first), at("b", &good)];
    let asking = || Asking { cost: Some(NanoUsd(40)), ..Asking::default() };
    let answered = bench.ask_with(&chat(false), &targets, asking()).await.unwrap();
    assert_eq!(answered.running.reservation.amount(), NanoUsd(80));
    assert_eq!(answered.running.reservation.available(), NanoUsd(40));
}

#[tokio::test]
async fn the_call_ends_where_the_budget_does_not_cover_another_attempt() {
    let silent = upstream([Reply::silence()]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    bench.budget(NanoUsd(70));
    let mut first = target("a", Dialect::OpenAiChat, &silent.url("/v1"));
    first.timeouts.first_event = Duration::from_millis(50);
    first.retry.attempts = 1;
    let asking = Asking { cost: Some(NanoUsd(40)), ..Asking::default() };
    let failed = bench.ask_with(&chat(false), &[Arc::new(first), at("b", &good)], asking).await.unwrap_err();
    assert_eq!(good.count(), 0, "an attempt without cover was made");
    assert!(failed.attempts.last().unwrap().outcome.contains("does not fit"), "{:?}", failed.attempts);
    assert!(failed.running.is_some());
}

#[tokio::test]
async fn a_refusal_keeps_no_share() {
    let bad = upstream([error(500)]).await;
    let good = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    bench.budget(NanoUsd(50));
    let asking = Asking { cost: Some(NanoUsd(40)), ..Asking::default() };
    let answered = bench.ask_with(&chat(false), &[at("a", &bad), at("b", &good)], asking).await.unwrap();
    assert_eq!(answered.running.reservation.amount(), NanoUsd(40));
}

#[tokio::test]
async fn garbage_for_an_answer_is_a_typed_fault_and_counts_as_billed() {
    let garbage = [
        Reply::json(200, "{\"half\":"),
        Reply::json(200, "[]"),
        Reply::new(200, "text/html", &[], "<html>"),
        Reply::json_with(200, &[("content-encoding", "gzip")], CHAT_ANSWER),
        Reply(vec![Step::Send("not http at all\r\n\r\n".into()), Step::Close]),
        Reply::hang_up(),
    ];
    for reply in garbage {
        let server = upstream([reply.clone()]).await;
        let failed = Bench::new().ask(&chat(false), &[at("a", &server)]).await.unwrap_err();
        assert_eq!(failed.fault.code, FaultCode::UpstreamUnavailable, "{reply:?}: {}", failed.fault);
        assert_eq!(failed.fault.retry, Retry::No, "{reply:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let place = elsewhere.url("/v1/chat/completions");
    let server = upstream([Reply::json_with(307, &[("location", place.as_str())], "")]).await;
    let failed = Bench::new().ask(&chat(false), &[at("a", &server)]).await.unwrap_err();
    assert_eq!(failed.fault.status, 502);
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn headers_pass_by_their_lists_both_ways() {
    let server = upstream([Reply::json_with(200, &[("x-request-id", "r1"), ("set-cookie", "a=b")], CHAT_ANSWER)]).await;
    let mut forward = HeaderMap::new();
    forward.insert("openai-beta", HeaderValue::from_static("x=v1"));
    forward.insert("cookie", HeaderValue::from_static("secret=1"));
    forward.insert("authorization", HeaderValue::from_static("Bearer tg_callers_own"));
    let asking = Asking { forward, ..Asking::default() };
    let answered = Bench::new().ask_with(&chat(false), &[at("a", &server)], asking).await.unwrap();
    let received = server.received();
    assert_eq!(received[0].header("openai-beta"), Some("x=v1"));
    assert_eq!(received[0].header("cookie"), None);
    assert!(!format!("{received:?}").contains("tg_callers_own"));
    assert_eq!(answered.head.headers.get("x-request-id").unwrap(), "r1");
    assert!(!answered.head.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_caller_of_another_dialect_gets_its_own() {
    let server = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let answered = Bench::new().ask(&messages(false), &[at("a", &server)]).await.unwrap();
    assert_eq!(answered.head.lane, Some(Lane::Translated));
    let AnswerBody::Unary { answer, usage } = &answered.body else { panic!() };
    assert_eq!(answer.dialect(), Dialect::Anthropic);
    assert!(String::from_utf8_lossy(&answer.body()).contains("\"type\":\"message\""));
    assert_eq!(usage.total(), 5);
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_the_attempt_within_a_second() {
    let server = upstream([Reply::silence()]).await;
    let bench = Bench::new();
    let targets = [at("a", &server)];
    let call = chat(false);
    let left = {
        let asked = bench.ask(&call, &targets);
        assert!(tokio::time::timeout(Duration::from_millis(500), asked).await.is_err());
        clock::now()
    };
    let gone = server.client_gone(Duration::from_secs(2)).await.expect("the upstream request went on");
    assert!(gone.saturating_duration_since(left) < Duration::from_secs(1));
    let entries = bench.entries.0.lock().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].kind, tidegate_ledger::EntryKind::Unknown, "what was sent may be billed");
}

/// A model at a provider that two targets share, left to the retry budget alone.
fn shared(model: &str, upstream: &Scripted) -> Arc<Target> {
    let mut target = target("p", Dialect::OpenAiChat, &upstream.url("/v1"));
    target.id = tidegate_core::ids::TargetId::new("p", model);
    target.retry.attempts = 1;
    target.breaker.consecutive = u32::MAX;
    target.breaker.least_attempts = u32::MAX;
    Arc::new(target)
}

#[tokio::test]
async fn two_targets_of_a_provider_that_fails_do_not_double_what_it_is_sent() {
    let server = Scripted::answering(|_| error(503)).await.unwrap();
    let bench = Bench::new();
    let targets = [shared("one", &server), shared("two", &server)];
    for _ in 0..200 {
        assert!(bench.ask(&chat(false), &targets).await.is_err());
    }
    // Until it is judged, twenty attempts; after that a tenth more than calls.
    assert!((200..=200 + 20 + 22).contains(&server.count()), "{} requests for 200 calls", server.count());
}

#[tokio::test]
async fn another_model_of_a_provider_that_mostly_works_is_always_asked() {
    let server = Scripted::answering(|request| {
        if request.text().contains("\"one\"") { error(503) } else { Reply::json(200, CHAT_ANSWER) }
    })
    .await
    .unwrap();
    let bench = Bench::new();
    let targets = [shared("one", &server), shared("two", &server)];
    for _ in 0..60 {
        assert!(bench.ask(&chat(false), &targets).await.is_ok());
    }
}
