//! The rig: what stands before and behind a gateway while it is measured. One thread a process, loopback only.
//!
//!   tidegate-rig mock    --listen 127.0.0.1:PORT
//!   tidegate-rig load    --to 127.0.0.1:PORT --connections N | --rate R  [--seconds S] [--warmup S] [--streams PERCENT]
//!                        [--kib N] [--header 'name: value'] [--pid PID] [--events N]
//!   tidegate-rig process --pid PID

mod load;
mod mock;
mod process;
mod watch;

use std::process::ExitCode;

use anyhow::{Result, bail};
use tidegate_bench::options::Options;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    match Options::read(arguments).and_then(|options| run(&command, &options)) {
        Ok(text) => {
            use std::io::Write as _;
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, options: &Options) -> Result<String> {
    match command {
        "mock" => mock::run(options),
        "load" => load::run(options),
        "process" => {
            let tree = process::tree(options.number("pid", 0)?);
            Ok(serde_json::to_string(&process::state(&tree))?)
        }
        _ => bail!("commands: mock, load, process"),
    }
}
