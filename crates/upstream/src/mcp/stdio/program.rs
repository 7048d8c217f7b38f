//! A program that is an MCP server: what is started, and how often.
//!
//! Owns the definition, which comes from the configuration file alone, and the pauses between starts. Never started by
//! anything that a caller or an operator sends.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidegate_core::{clock, secret::Secret};
use tokio::process::{Child, Command};

/// Variables of the gateway's own environment that a program gets; everything else it is given by the configuration.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "TERM"];

/// A program that ran for less than this before it ended counts as failing.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// The pause after the first failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Most processes of one server: each session of a client has its own.
const MOST_RUNNING: usize = 256;

/// A program as the configuration has it.
#[derive(Debug)]
pub struct Program {
    command: Vec<String>,
    cwd: Option<PathBuf>,
    env: Vec<(String, Secret)>,
    starts: Mutex<Starts>,
    running: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Starts {
    failures: u32,
    not_before: Option<Instant>,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// It failed a moment ago.
    #[error("it ended soon after its last start and is started again in {0:?}")]
    Pausing(Duration),
    /// Enough run already.
    #[error("{MOST_RUNNING} processes of it are running, the most that may")]
    TooMany,
    /// The system does not start it.
    #[error("it cannot be started: {0}")]
    System(String),
}

/// One running process counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        let env = |program: &Self| -> Vec<(String, String)> {
            program.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
        };
        self.command == other.command && self.cwd == other.cwd && env(self) == env(other)
    }
}

impl Eq for Program {}

impl Program {
    /// A program and its arguments, where it runs, and what its environment has beside the usual.
    #[must_use]
    pub fn new(command: Vec<String>, cwd: Option<PathBuf>, env: Vec<(String, Secret)>) -> Self {
        Self { command, cwd, env, starts: Mutex::default(), running: Arc::default() }
    }

    /// The program's name, without its arguments.
    #[must_use]
    pub fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// What must not be shown of what it writes.
    pub(crate) fn secrets(&self) -> Vec<&Secret> {
        self.env.iter().map(|(_, value)| value).collect()
    }

    /// Starts a process of it in a group of its own.
    pub(crate) fn start(&self) -> Result<(Child, Counted), StartError> {
        let wait = self.starts.lock().not_before.map(|at| at.saturating_duration_since(clock::now()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Err(StartError::Pausing(wait));
        }
        if self.running.fetch_add(1, Ordering::Relaxed) >= MOST_RUNNING {
            drop(Counted(Arc::clone(&self.running)));
            return Err(StartError::TooMany);
        }
        let counted = Counted(Arc::clone(&self.running));
        let mut command = Command::new(self.name());
        command.args(self.command.iter().skip(1)).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        command.envs(self.env.iter().map(|(name, value)| (name.as_str(), value.expose())));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.process_group(0);
        match command.spawn() {
            Ok(child) => Ok((child, counted)),
            Err(error) => {
                self.ended(Duration::ZERO);
                Err(StartError::System(format!("`{}`: {error}", self.name())))
            }
        }
    }

    /// Notes how long a process ran: one that ends soon is started again ever more slowly.
    pub(crate) fn ended(&self, after: Duration) {
        let mut starts = self.starts.lock();
        if after >= SHORT_LIFE {
            *starts = Starts::default();
            return;
        }
        let pause = PAUSE.0.saturating_mul(2_u32.saturating_pow(starts.failures)).min(PAUSE.1);
        starts.failures = starts.failures.saturating_add(1).min(16);
        starts.not_before = clock::now().checked_add(pause);
    }

    /// Notes that a process has answered, so that it is no failing one.
    pub(crate) fn works(&self) {
        *self.starts.lock() = Starts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_keeps_ending_is_started_ever_more_slowly() {
        let program = Program::new(vec!["false".to_owned()], None, Vec::new());
        let wait = |program: &Program| program.starts.lock().not_before.unwrap().duration_since(clock::now());
        program.ended(Duration::from_secs(1));
        let first = wait(&program);
        for _ in 0..20 {
            program.ended(Duration::ZERO);
        }
        assert!(first <= PAUSE.0);
        assert!(wait(&program) > Duration::from_secs(20) && wait(&program) <= PAUSE.1);
        assert!(matches!(program.start(), Err(StartError::Pausing(_))));
        program.works();
        assert!(program.starts.lock().not_before.is_none());
    }

    #[test]
    fn a_definition_is_compared_without_its_past() {
        let one = Program::new(vec!["a".to_owned()], None, vec![("K".to_owned(), Secret::new("v".to_owned()))]);
        let other = Program::new(vec!["a".to_owned()], None, vec![("K".to_owned(), Secret::new("w".to_owned()))]);
        one.ended(Duration::ZERO);
        assert_eq!(one, Program::new(vec!["a".to_owned()], None, vec![("K".to_owned(), Secret::new("v".to_owned()))]));
        assert_ne!(one, other);
        assert!(!format!("{one:?}").contains("\"v\""));
    }
}
