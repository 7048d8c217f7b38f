//! How long decisions take. Printed, not asserted: `cargo test --release -p tidegate-policy speed -- --nocapture`.

use std::fmt::Write as _;

use tidegate_core::clock;

use super::fixture::*;
use crate::{Policies, PolicyInput};

fn measure(name: &str, rounds: usize, mut work: impl FnMut()) {
    let mut micros: Vec<_> = (0..rounds)
        .map(|_| {
            let start = clock::now();
            work();
            clock::now().duration_since(start).as_nanos() as f64 / 1_000.0
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    let at = |share: usize| micros[(micros.len() - 1) * share / 100];
    println!("{name}: p50 {:.1} us, p99 {:.1} us", at(50), at(99));
}

fn decide(policies: &Policies, name: &str, rounds: usize) {
    let (facts, target) = (invoke("chat"), model("openai", "gpt-5.2"));
    let who = team_a();
    measure(&format!("{name}, model"), rounds, || {
        assert!(policies.decide(&who, &facts, &target, MOMENT).is_allowed());
    });
    let arguments = call(&[("query", text("q")), ("limit", tidegate_core::value::Value::Integer(1))]);
    let search = tool("notes", "search");
    measure(&format!("{name}, tool"), rounds, || {
        assert!(policies.decide(&who, &arguments, &search, MOMENT).is_allowed());
    });
}

/// `own` policies that apply to the calls made here and `others` of other scopes.
fn many(own: usize, others: usize) -> String {
    let mut text = String::new();
    for number in 0..own {
        writeln!(
            text,
            "forbid (principal in Tidegate::Team::\"research\", action in [Tidegate::Action::\"invoke_model\", \
             Tidegate::Action::\"call_tool\"], resource) when {{ context.request.input_tokens > {} }};",
            100_000 + number
        )
        .unwrap();
    }
    for number in 0..others {
        writeln!(
            text,
            "permit (principal == Tidegate::Key::\"k{number}\", action == Tidegate::Action::\"invoke_model\", resource) \
             when {{ context.request.stream }};"
        )
        .unwrap();
    }
    text
}

#[test]
fn speed_of_decisions_is_printed() {
    let rounds = if cfg!(debug_assertions) { 50 } else { 20_000 };
    decide(&compiled(""), "allow lists only", rounds);
    decide(&compiled(&many(8, 0)), "10 policies", rounds);
    let others = if cfg!(debug_assertions) { 30 } else { 980 };
    decide(&compiled(&many(20, others)), "1,000 policies of which 20 apply", rounds);
}

#[test]
fn speed_of_adding_a_key_is_printed() {
    let (known, rounds) = if cfg!(debug_assertions) { (20, 5) } else { (10_000, 200) };
    let keys = (0..known).map(|number| key(&format!("k{number}"), None, Some((&["chat"], &["notes"])))).collect();
    let start = clock::now();
    let policies = compiled_input(&PolicyInput { keys, ..input("") });
    println!("compiling {known} keys: {} ms", clock::now().duration_since(start).as_millis());
    let one = [key("one", None, Some((&["chat"], &["notes"])))];
    measure(&format!("one key more than {known}"), rounds, || {
        assert!(policies.with_keys(&one).is_ok());
    });
}
