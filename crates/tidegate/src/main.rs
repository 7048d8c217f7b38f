//! `tidegate`: one binary, two listeners. Parses arguments, starts the runtime, runs one command.
//!
//! Owns nothing but the way from an error to the process's exit code; what the codes mean stands in `exit`.

mod answers;
mod caller;
mod cli;
mod client;
mod commands;
mod compose;
mod descriptors;
mod detect;
mod directory;
mod discovery;
mod exit;
mod jsonc;
mod log;
mod output;
mod place;
mod recovery;
mod reference;
mod telemetry;
mod wire;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::{cli::Cli, output::Exit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a process that is done waits for what still reads or writes.
const LAST_WORK: std::time::Duration = std::time::Duration::from_secs(5);

fn main() -> ExitCode {
    let cli =
        match cli::examples::with(Cli::command()).try_get_matches().and_then(|found| Cli::from_arg_matches(&found)) {
            Ok(cli) => cli,
            Err(error) => {
                let code = if error.use_stderr() { exit::USAGE } else { 0 };
                // A closed terminal is no reason to fail.
                let _ = error.print();
                return ExitCode::from(code);
            }
        };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::problem(&format!("the runtime could not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(commands::run(cli));
    // A read that a disk does not answer is no reason to stay.
    runtime.shutdown_timeout(LAST_WORK);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.downcast_ref::<Exit>().map_or(exit::ERROR, |exit| exit.code);
            output::problem(&format!("{error:#}"));
            ExitCode::from(code)
        }
    }
}
