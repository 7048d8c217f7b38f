//! `doctor`: looks whether everything is as it has to be, and says what to do where it is not.
//!
//! Changes nothing, makes no call that costs anything, shows no secret. Each look is one line: `ok`, `warn` (it works,
//! but not as it should) or `fail` (it does not work, or is not safe). One `fail` ends the command with 1.

mod files;
mod network;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_config::{
    check::{self, Checked, Mode, Options},
    document::Document,
    environment::Machine,
    problem::Problem,
    source::Sources,
    vendor::Vendors,
};
use tidegate_core::clock;

use crate::{
    cli::setup::Doctor,
    directory::Directory,
    exit,
    output::{self, Format, exit},
};

/// What is served when a clock is right: after this program was written, in milliseconds since 1970.
const WRITTEN: u64 = 1_763_000_000_000;

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

/// A look at one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    what: String,
    state: State,
    said: String,
    fix: Option<String>,
}

impl Look {
    fn ok(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Ok, said: said.into(), fix: None }
    }

    fn warn(what: impl Into<String>, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Warn, said: said.into(), fix: Some(fix.into()) }
    }

    fn fail(what: impl Into<String>, said: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Fail, said: said.into(), fix: Some(fix.into()) }
    }

    fn json(&self) -> Value {
        json!({"check": self.what, "state": self.state.word(), "detail": self.said, "fix": self.fix})
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Runs the command.
pub(crate) async fn run(arguments: &Doctor) -> Result<()> {
    let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
    let directory = Directory::at(&arguments.admin.data_dir);
    let mut looks = vec![Look::ok("version", format!("tidegate {}", env!("CARGO_PKG_VERSION"))), time(clock::wall().0)];
    let document = configuration(arguments, &vendors, &mut looks);
    looks.extend(files::directory(&directory));
    looks.push(files::space(&directory));
    looks.push(files::log(&directory));
    looks.extend(network::gateway(arguments, &directory).await);
    if !arguments.offline {
        looks.extend(network::providers(document.as_ref(), &vendors).await);
    }
    tell(arguments.admin.output, &looks)?;
    let failed = looks.iter().filter(|look| look.state == State::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(exit(exit::ERROR, "one thing does not hold")),
        many => Err(exit(exit::ERROR, format!("{many} things do not hold"))),
    }
}

fn tell(format: Format, looks: &[Look]) -> Result<()> {
    if format != Format::Table {
        let rows: Vec<Value> = looks.iter().map(Look::json).collect();
        return output::rows(format, &rows, &[]);
    }
    for look in looks {
        output::line(&format!("{:<4}  {:<16} {}", look.state.word(), look.what, look.said.replace('\n', "\n      ")));
        if let Some(fix) = &look.fix {
            output::line(&format!("      {:<16} → {fix}", ""));
        }
    }
    Ok(())
}

fn time(now: u64) -> Look {
    if now < WRITTEN {
        let fix = "set the clock: expiry of keys, budgets and certificates go by it";
        return Look::fail("clock", "the clock stands before this program was written", fix);
    }
    Look::ok("clock", "plausible")
}

/// Looks at the configuration, and says what it holds.
fn configuration(arguments: &Doctor, vendors: &Vendors, looks: &mut Vec<Look>) -> Option<Document> {
    let usual = std::path::Path::new("tidegate.yaml");
    let paths = match arguments.config.as_slice() {
        [] if usual.is_file() => vec![usual.to_path_buf()],
        [] => {
            looks.push(Look::ok("configuration", "none: `tidegate up` needs none, `tidegate init` writes one"));
            return None;
        }
        given => given.to_vec(),
    };
    let named = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
    let refused = |problems: &[Problem]| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        let said = format!("{} problems, the first: {first}", problems.len());
        Look::fail("configuration", said, format!("tidegate check {named}"))
    };
    let sources = match Sources::load(&paths, &Machine) {
        Ok(sources) => sources,
        Err(problems) => {
            looks.push(refused(&problems));
            return None;
        }
    };
    let written = Document::parse(sources);
    let checked = |mode, secrets| {
        let options = Options { mode, secrets, public_listener: false, vendors };
        check::check(&written, &Machine, &options)
    };
    // For `up` first: what it accepts is sound, though perhaps not fit for production.
    match checked(Mode::Up, false) {
        Err(problems) => {
            looks.push(refused(&problems));
            None
        }
        Ok(Checked { document, .. }) => {
            looks.push(Look::ok("configuration", format!("{named} is sound")));
            if let Err(problems) = checked(Mode::Serve, true) {
                let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                let fix = "`tidegate serve` would refuse it here: set what is missing, or use `tidegate up`";
                looks.push(Look::warn("production", said, fix));
            }
            Some(document)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_in_the_past_fails() {
        assert_eq!(time(0).state, State::Fail);
        assert_eq!(time(clock::wall().0).state, State::Ok);
    }
}
