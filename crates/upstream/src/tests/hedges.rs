//! Two attempts at once: when the second is made, who answers, and what the loser leaves behind.

use std::{sync::Arc, time::Duration};

use tidegate_core::{clock, fault::FaultCode, money::NanoUsd};
use tidegate_protocol::llm::Dialect;
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use crate::{Target, testing::*};

/// Long for a server on this machine, and short for a test.
const HEDGE: Duration = Duration::from_millis(60);

async fn upstream(script: impl IntoIterator<Item = Reply>) -> Scripted {
    Scripted::start(script).await.unwrap()
}

fn hedged(name: &str, upstream: &Scripted) -> Arc<Target> {
    let mut target = target(name, Dialect::OpenAiChat, &upstream.url("/v1"));
    target.hedge = Some(HEDGE);
    Arc::new(target)
}

fn after(pause: Duration, reply: Reply) -> Reply {
    let mut steps = vec![Step::Pause(pause)];
    steps.extend(reply.0);
    Reply(steps)
}

fn error(status: u16) -> Reply {
    Reply::json(status, format!(r#"{{"error":{{"message":"status {status}","type":"t","code":null}}}}"#))
}

#[tokio::test]
async fn a_target_that_stalls_is_overtaken_and_let_go() {
    let stalled = upstream([Reply(vec![Step::Stall])]).await;
    let quick = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    let since = clock::now();
    let answered = bench.ask(&chat(false), &[hedged("a", &stalled), hedged("b", &quick)]).await.unwrap();
    assert!(since.elapsed() >= HEDGE);
    assert_eq!(answered.head.served_by.to_string(), "b/m");
    let told: Vec<_> = answered.head.attempts.iter().map(|attempt| (attempt.target.as_str(), attempt.status)).collect();
    assert_eq!(told, [("b/m", Some(200)), ("a/m", None)]);
    assert!(answered.head.attempts[1].outcome.contains("another target answered first"));
    // The loser's connection is closed, so that its upstream stops generating.
    assert!(stalled.client_gone(Duration::from_secs(5)).await.is_some());
}

#[tokio::test]
async fn a_target_that_answers_in_time_is_asked_alone() {
    let first = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let second = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let answered = Bench::new().ask(&chat(false), &[hedged("a", &first), hedged("b", &second)]).await.unwrap();
    assert_eq!((first.count(), second.count()), (1, 0));
    assert_eq!(answered.running.reservation.amount(), answered.running.reservation.available());
}

#[tokio::test]
async fn the_first_may_still_win() {
    let first = upstream([after(HEDGE * 3, Reply::json(200, CHAT_ANSWER))]).await;
    let second = upstream([Reply(vec![Step::Stall])]).await;
    let answered = Bench::new().ask(&chat(false), &[hedged("a", &first), hedged("b", &second)]).await.unwrap();
    assert_eq!(answered.head.served_by.to_string(), "a/m");
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[tokio::test]
async fn one_that_fails_leaves_the_call_to_the_other() {
    let slow = upstream([after(HEDGE * 4, Reply::json(200, CHAT_ANSWER))]).await;
    let bad = upstream([error(500)]).await;
    let third = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let targets = [hedged("a", &slow), hedged("b", &bad), hedged("c", &third)];
    let answered = Bench::new().ask(&chat(false), &targets).await.unwrap();
    assert_eq!(answered.head.served_by.to_string(), "a/m");
    assert_eq!((slow.count(), bad.count(), third.count()), (1, 1, 0));
}

#[tokio::test]
async fn where_both_fail_the_third_is_asked() {
    let slow = upstream([after(HEDGE * 3, error(503))]).await;
    let bad = upstream([error(500)]).await;
    let third = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let targets = [hedged("a", &slow), hedged("b", &bad), hedged("c", &third)];
    let answered = Bench::new().ask(&chat(false), &targets).await.unwrap();
    assert_eq!(answered.head.served_by.to_string(), "c/m");
    assert_eq!(answered.head.attempts.len(), 3);
    assert_eq!((slow.count(), bad.count(), third.count()), (1, 1, 1));
}

#[tokio::test]
async fn a_refusal_of_the_call_itself_ends_it_for_both() {
    let stalled = upstream([Reply(vec![Step::Stall])]).await;
    let strict = upstream([error(422)]).await;
    let third = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let targets = [hedged("a", &stalled), hedged("b", &strict), hedged("c", &third)];
    let failed = Bench::new().ask(&chat(false), &targets).await.unwrap_err();
    assert_eq!((failed.fault.code, failed.fault.status), (FaultCode::UpstreamError, 422));
    assert_eq!(third.count(), 0);
}

#[tokio::test]
async fn both_are_paid_for_and_without_the_money_there_is_one() {
    let one = NanoUsd(1_000);
    let asking = || Asking { cost: Some(one), ..Asking::default() };
    let stalled = upstream([Reply(vec![Step::Stall])]).await;
    let quick = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    bench.budget(NanoUsd(2_000));
    let targets = [hedged("a", &stalled), hedged("b", &quick)];
    let answered = bench.ask_with(&chat(false), &targets, asking()).await.unwrap();
    let held = &answered.running.reservation;
    assert_eq!((held.amount(), held.available()), (NanoUsd(2_000), one), "the loser keeps its share");

    let slow = upstream([after(HEDGE * 3, Reply::json(200, CHAT_ANSWER))]).await;
    let spare = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    bench.budget(NanoUsd(1_999));
    let targets = [hedged("a", &slow), hedged("b", &spare)];
    let answered = bench.ask_with(&chat(false), &targets, asking()).await.unwrap();
    assert_eq!(answered.head.served_by.to_string(), "a/m");
    assert_eq!(spare.count(), 0, "a second attempt was made that the budget has no room for");
}

#[tokio::test]
async fn second_attempts_stay_within_the_retry_budget() {
    let slow = upstream([after(HEDGE * 2, Reply::json(200, CHAT_ANSWER))]).await;
    let quick = upstream([Reply::json(200, CHAT_ANSWER)]).await;
    let bench = Bench::new();
    let targets = [hedged("a", &slow), hedged("b", &quick)];
    for _ in 0..8 {
        bench.ask(&chat(false), &targets).await.unwrap();
    }
    assert!(quick.count() <= 4, "{} second attempts for 8 calls", quick.count());
    assert!(quick.count() >= 1);
}
