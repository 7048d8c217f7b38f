//! Conditions of routes: what they may say, and that what cannot be evaluated does not hold.

use tidegate_core::facts::Facts;

use super::fixture::{MOMENT, compiled, invoke, team_a};
use crate::Condition;

fn holds(text: &str, facts: &Facts) -> Result<bool, String> {
    compiled("").holds(&Condition::parse(text).unwrap(), &team_a(), facts, MOMENT)
}

#[test]
fn a_condition_looks_at_the_facts_that_policies_see() {
    let mut facts = Facts { input_tokens: 150_000, stream: true, ..invoke("chat") };
    facts.metadata.insert("tier".into(), "gold".into());
    for (text, expected) in [
        ("context.request.input_tokens > 100000", true),
        ("context.request.input_tokens > 200000", false),
        ("context.request.stream && context.request has model && context.request.model == \"chat\"", true),
        ("context.request.metadata.contains(\"tier=gold\")", true),
        ("principal.name == \"team-a\"", true),
        ("principal in Tidegate::Team::\"research\"", true),
        ("context.time.hour >= 9 && context.time.hour < 18", true),
        ("!context.request.stream // a comment", false),
    ] {
        assert_eq!(holds(text, &facts), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_condition_is_refused_with_a_reason() {
    for (text, word) in [
        ("", "expression"),
        ("true }; permit (principal, action, resource", "expression"),
        ("context.request.nothing == 1", "nothing"),
        ("context.request.input_tokens == \"a\"", ""),
        ("resource.name == \"m\"", "resource"),
        ("context.request.input_tokens", ""),
        ("context.request.session == \"s\"", ""),
    ] {
        let error = Condition::parse(text).expect_err(text);
        assert!(error.contains(word), "{text}: {error}");
    }
    assert!(Condition::parse(&format!("{}true", "!".repeat(5000))).is_err());
}

#[test]
fn an_overflow_is_an_error_and_no_yes() {
    let facts = Facts { input_tokens: u64::MAX, ..invoke("chat") };
    assert!(holds("context.request.input_tokens + 1 > 0", &facts).is_err());
}
