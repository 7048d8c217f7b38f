use super::*;
use crate::harness::{at, key};

fn all() -> Vec<(Refused, FaultCode, Option<u64>, &'static str)> {
    let scope = key("team-a");
    vec![
        (
            Refused::Budget {
                scope: scope.clone(),
                limit: "10 usd/month".parse().unwrap(),
                left: NanoUsd(2_000_000),
                asked: NanoUsd(500_000_000),
                resets_at: Some(at("2026-12-01T00:00:00Z")),
                retry_after: Some(Duration::from_secs(3_600)),
            },
            FaultCode::BudgetExhausted,
            Some(3_600),
            "the budget of key `team-a` (10 usd/month) has 0.002 usd left and this call may cost 0.5 usd; it resets at \
             2026-12-01T00:00:00Z",
        ),
        (
            Refused::Requests {
                scope: scope.clone(),
                rate: "600/min".parse().unwrap(),
                retry_after: Duration::from_millis(1_100),
            },
            FaultCode::RateLimited,
            Some(1),
            "key `team-a` may send 600/min requests; try again in 2 s",
        ),
        (
            Refused::Tokens { scope: scope.clone(), rate: "100/min".parse().unwrap(), asked: 663, retry_after: None },
            FaultCode::RateLimited,
            None,
            "key `team-a` may use 100/min tokens and this call may use 663; that is more than it may use at once: \
             shorten the prompt or lower the maximum of output tokens",
        ),
        (
            Refused::Concurrent { scope: scope.clone(), limit: 5 },
            FaultCode::RateLimited,
            Some(1),
            "key `team-a` may have 5 calls in flight and has them; try again when one has ended",
        ),
        (
            Refused::Unpriced { scope },
            FaultCode::PolicyDenied,
            None,
            "key `team-a` has a budget and this model has no price; give the model a `price` in the configuration, or \
             use one that has",
        ),
    ]
}

#[test]
fn each_refusal_says_what_is_wrong_and_what_to_do() {
    for (refused, code, retry_after, sentence) in all() {
        assert_eq!(refused.to_string(), sentence);
        assert_eq!(refused.code(), code);
        assert_eq!(refused.retry_after().map(|after| after.as_secs()), retry_after);
        assert_eq!(refused.scope(), &key("team-a"));
    }
}

#[test]
fn only_rates_ask_the_client_to_come_back() {
    for (refused, code, _, sentence) in all() {
        let wait = refused.retry_after();
        let fault = Fault::from(refused);
        assert_eq!((fault.code, fault.public_message.as_str()), (code, sentence));
        match (code, wait) {
            (FaultCode::RateLimited, Some(after)) => assert_eq!(fault.retry, Retry::After(after)),
            _ => assert_eq!(fault.retry, Retry::No),
        }
    }
}
