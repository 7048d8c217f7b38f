//! How long a decision takes with many policies.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde::Serialize;
use tidegate_bench::quantile::nearest;
use tidegate_core::clock;

use crate::rules;

const POLICIES: u64 = 1_000;
const APPLY: u64 = 20;
const ROUNDS: usize = 20_000;

#[derive(Serialize)]
struct Decisions {
    policies: u64,
    apply: u64,
    p50_us: f64,
    p99_us: f64,
}

/// Times decisions of a model call with [`POLICIES`] policies of which [`APPLY`] apply to its caller.
pub(crate) fn run() -> Result<String> {
    let policies = rules::policies(&text()?)?;
    let (principal, facts, target) = (rules::principal()?, rules::facts()?, rules::target());
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = clock::now();
        let decision = policies.decide(&principal, &facts, &target, rules::MOMENT);
        times.push(u64::try_from(clock::now().duration_since(start).as_nanos())?);
        ensure!(decision.is_allowed(), "the bench's call is denied");
    }
    times.sort_unstable();
    let micros = |thousandths| nearest(&times, thousandths) as f64 / 1_000.0;
    let told = Decisions { policies: POLICIES, apply: APPLY, p50_us: micros(500), p99_us: micros(990) };
    Ok(serde_json::to_string(&told)?)
}

/// The policies' text: those that apply name the caller's team, the others name other keys.
fn text() -> Result<String> {
    let mut text = String::new();
    for number in 0..APPLY {
        writeln!(
            text,
            "forbid (principal in Tidegate::Team::\"bench\", action == Tidegate::Action::\"invoke_model\", resource) \
             when {{ context.request.input_tokens > {} }};",
            100_000 + number
        )?;
    }
    for number in APPLY..POLICIES {
        writeln!(
            text,
            "permit (principal == Tidegate::Key::\"k{number}\", action == Tidegate::Action::\"invoke_model\", resource) \
             when {{ context.request.stream }};"
        )?;
    }
    Ok(text)
}
