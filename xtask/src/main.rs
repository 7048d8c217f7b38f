//! `cargo xtask …`: the project's own chores. Each command says what it checks and exits with 1 where that fails.

mod bench;
mod deps;
mod egress;
mod instructions;
mod layers;
mod metadata;
mod schemas;
mod sdk_suites;
mod sizes;
mod suite;

use std::{path::PathBuf, process::ExitCode};

const HELP: &str = "\
usage: cargo xtask COMMAND

  up [ARGS]      build the gateway and start it: `tidegate up ARGS`
  test [--fast]  everything that CI checks; --fast leaves out the tests with foreign clients and the real model
  layers         no crate knows one above it or beside it, and one alone opens connections
  sizes          files and functions keep their size
  schemas        regenerate docs/generated; with --check, fail where they differ
  deps           licences, banned crates, one HTTP and one TLS stack
  instructions   instructions of each stage of a call against bench/instructions.toml; --update writes it
  sdk-suites     the OpenAI and Anthropic SDKs' own test suites, directly and through the gateway; takes the vendors'
                   OpenAPI documents: --openai-spec FILE --anthropic-spec FILE, or OPENAI_OPENAPI, ANTHROPIC_OPENAPI
  agents         four coding agents finish a task through the gateway; installs them (1.6 GB, Linux on x86-64)
  bench          direct, nginx and the gateway side by side; writes docs/benchmarks.md
                   [--rounds 3] [--quick] [--legs c16,b100k] [--only nginx,everything] [--out DIR] [--from FILE]
                   --only translation measures that alone and writes no document
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    let done = match command {
        "up" => suite::up(rest),
        "test" => suite::test(rest),
        "layers" => layers::check(),
        "sizes" => sizes::check(&root()),
        "schemas" => schemas::run(rest),
        "deps" => deps::check(),
        "sdk-suites" => sdk_suites::sdk_suites(rest),
        "agents" => suite::agents(),
        "bench" => bench::run(rest),
        "instructions" => instructions::run(rest),
        _ => {
            say(HELP);
            return if command == "help" { ExitCode::SUCCESS } else { ExitCode::from(64) };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The repository's root: the one that cargo runs this for, since several checkouts may share one target folder and the
/// binary in it; without cargo, the one that it was built in.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().map(PathBuf::from).unwrap_or_default()
}

/// Talk goes to stderr; a closed one is no reason to fail.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
