//! The rig in its place: the mock, the load, and on which core things run.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    http,
    legs::Leg,
    subject::{MOCK, Subject},
};
use crate::suite::{self, started};

/// Where what is measured runs.
pub(super) const SUBJECT_CORE: usize = 0;

/// Where the mock and the load run.
const RIG_CORE: usize = 1;

/// Processes that are started from now on run on `core` (or on the last one there is).
pub(super) fn pin(core: usize) -> Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core.min(super::machine::cores().saturating_sub(1)));
    rustix::thread::sched_setaffinity(None, &cores).context("a core cannot be chosen")
}

/// The mock, running, and the program that loads.
pub(super) struct Rig {
    program: PathBuf,
    mock: Child,
}

impl Rig {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        pin(RIG_CORE)?;
        let program = folder.join("tidegate-rig");
        ensure!(http::ask(MOCK, "GET", "/count", &[], "").is_err(), "{MOCK} is taken: is another bench running?");
        let mock = Command::new(&program).args(["mock", "--listen", &MOCK.to_string()]).spawn();
        let rig = Self { mock: mock.with_context(|| program.display().to_string())?, program };
        for _ in 0..500 {
            if http::ask(MOCK, "GET", "/count", &[], "").is_ok() {
                return Ok(rig);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the mock does not listen on {MOCK}")
    }

    /// Memory, threads and CPU time of a process and its children.
    pub(super) fn process(&self, pid: u32) -> Result<Value> {
        let told = suite::output(Command::new(&self.program).args(["process", "--pid", &pid.to_string()]))?;
        Ok(serde_json::from_str(&told)?)
    }

    /// Waits until the subject has worked off what the last leg left.
    pub(super) fn settle(&self, subject: &Subject, pid: Option<u32>) -> Result<()> {
        let used = || -> Result<u64> {
            let Some(pid) = pid else { return Ok(0) };
            Ok(self.process(pid)?.get("cpu_us").and_then(Value::as_u64).unwrap_or(0))
        };
        let start = started();
        while start.elapsed() < Duration::from_secs(30) {
            let before = used()?;
            std::thread::sleep(Duration::from_millis(500));
            if used()?.saturating_sub(before) < 40_000 && subject.answers() {
                return Ok(());
            }
        }
        bail!("it does not come to rest within 30 s")
    }

    /// Runs one leg and gives what the load tells.
    pub(super) fn load(&self, subject: &Subject, pid: Option<u32>, leg: &Leg, quick: bool) -> Result<Value> {
        let (warmup, seconds) = if quick { (0.2, 1.0) } else { (leg.warmup, leg.seconds) };
        let settings = format!("/settings?events=100&pause_us={}", leg.pause_us);
        let (status, _) = http::ask(MOCK, "GET", &settings, &[], "")?;
        ensure!(status == 200, "the mock does not take {settings}");
        let before = calls()?;
        pin(RIG_CORE)?;
        let mut command = Command::new(&self.program);
        command.args(["load", "--to", &subject.address.to_string()]).args(leg.load);
        command.args(["--warmup", &warmup.to_string(), "--seconds", &seconds.to_string()]);
        command.args(["--pid", &pid.unwrap_or(self.mock.id()).to_string()]);
        for line in subject.headers() {
            command.args(["--header", &line]);
        }
        let mut report: Value = serde_json::from_str(&suite::output(command.stdin(Stdio::null()))?)?;
        if let Some(members) = report.as_object_mut() {
            members.insert("upstream_calls".to_owned(), calls()?.saturating_sub(before).into());
        }
        Ok(report)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.mock.kill();
        let _ = self.mock.wait();
    }
}

/// Calls that the mock has seen.
fn calls() -> Result<u64> {
    let (_, body) = http::ask(MOCK, "GET", "/count", &[], "")?;
    let told: Value = serde_json::from_str(&body)?;
    told.get("calls").and_then(Value::as_u64).context("the mock does not count")
}
