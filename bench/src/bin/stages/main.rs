//! The pure stages of a call, one by one: to be counted under callgrind, and timed where a time is promised.
//!
//!   tidegate-stages list              the stages' names, one a line
//!   tidegate-stages run STAGE TIMES   sets one up and runs it so often; says nothing
//!   tidegate-stages decisions         times decisions of 1,000 policies of which 20 apply; JSON
//!   tidegate-stages translation       times translations from each dialect to each; JSON
//!   tidegate-stages durable           syncs that durable audit takes, and how long it waits for them; JSON
//!
//! Never opens a socket. What it runs is what the gateway runs; only the glue between stages is missing.

mod decisions;
mod durable;
mod guards;
mod model;
mod rules;
mod translation;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tidegate_protocol::llm::Dialect;

/// A stage that is set up: each call is one operation.
type Operation = Box<dyn FnMut() -> Result<()>>;

/// Sets a stage up.
type SetUp = fn() -> Result<Operation>;

/// Every stage that is counted: its name, and what sets it up.
const STAGES: [(&str, SetUp); 12] = [
    ("decode_1k", || model::decode(1)),
    ("decode_100k", || model::decode(100)),
    ("prepare_1k", model::prepare),
    ("answer", model::answer),
    ("authorize", rules::authorize),
    ("reserve_settle", rules::reserve_and_settle),
    ("guard_request_1k", || guards::request(1)),
    ("guard_request_100k", || guards::request(100)),
    ("stream_100_events", guards::stream),
    ("records", rules::records),
    ("translate_100k", || translation::request(Dialect::OpenAiChat, Dialect::Anthropic)),
    ("translate_stream_100_events", || translation::stream(Dialect::OpenAiChat, Dialect::Anthropic)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    use std::io::Write as _;
    match run(&arguments) {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<String> {
    match arguments {
        ["list"] => Ok(STAGES.iter().map(|(name, _)| format!("{name}\n")).collect()),
        ["run", name, times] => {
            let (_, set_up) =
                STAGES.iter().find(|(known, _)| known == name).context("there is no such stage: see list")?;
            let times: u64 = times.parse().context("how often is a number")?;
            let mut operation = set_up()?;
            for _ in 0..times {
                operation()?;
            }
            Ok(String::new())
        }
        ["decisions"] => decisions::run(),
        ["durable"] => durable::run(),
        ["translation"] => translation::run(),
        _ => bail!("commands: list, run STAGE TIMES, decisions, durable, translation"),
    }
}

#[cfg(test)]
mod tests {
    use super::STAGES;

    #[test]
    fn every_stage_runs_again_and_again() {
        for (name, set_up) in STAGES {
            let mut operation = set_up().unwrap();
            for _ in 0..3 {
                operation().unwrap_or_else(|error| panic!("{name}: {error:#}"));
            }
        }
    }
}
