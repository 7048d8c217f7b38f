//! `cargo xtask bench`: the gateway beside an nginx that only passes on, and beside no gateway at all.
//!
//! Owns the course of a run: what is built, who stands on which core, in which order things are measured. Every
//! subject is measured once a round, so that what the machine does meanwhile meets all of them. The rig (mock upstream
//! and load) is `bench/`; what was measured goes to `results.jsonl`, and `report` makes the tables of it.

mod http;
mod legs;
mod machine;
mod report;
mod results;
mod rig;
mod subject;
mod translation;
mod verdicts;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use self::{
    legs::{LEGS, Leg},
    results::Results,
    rig::Rig,
    subject::{SUBJECTS, Subject},
};
use crate::{root, say, suite};

/// Set where this runs in a network namespace of its own.
const INSIDE: &str = "TIDEGATE_BENCH_NAMESPACE";

/// What a run is to do.
struct Plan {
    rounds: u32,
    quick: bool,
    legs: Vec<&'static Leg>,
    subjects: Vec<&'static Subject>,
    folder: PathBuf,
}

impl Plan {
    /// Whether everything is measured as it should be, so that the result may be published.
    fn is_whole(&self) -> bool {
        !self.quick && self.legs.len() == LEGS.len() && self.subjects.len() == SUBJECTS.len()
    }
}

/// Measures, prints, and writes `docs/benchmarks.md` where the run was a whole one.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let document = root().join("docs/benchmarks.md");
    if let [flag, file] = arguments
        && flag == "--from"
    {
        let results = Results::read(Path::new(file))?;
        let text = report::document(&results);
        say(&text);
        return std::fs::write(&document, text).with_context(|| document.display().to_string());
    }
    if let [flag, section] = arguments
        && flag == "--only"
        && section == translation::NAME
    {
        return only_translation();
    }
    let plan = plan(arguments)?;
    if std::env::var_os(INSIDE).is_none() {
        build()?;
        if let Some(done) = in_namespace(arguments) {
            return done;
        }
    }
    std::fs::create_dir_all(&plan.folder)?;
    let file = plan.folder.join("results.jsonl");
    let mut results = Results::begin(&file)?;
    measure(&plan, &mut results)?;
    let text = report::document(&results);
    say(&format!("\n\n{text}\n{}", report::bars(&results)));
    let whole = plan.is_whole();
    let target = if whole { document } else { plan.folder.join("benchmarks.md") };
    std::fs::write(&target, text).with_context(|| target.display().to_string())?;
    say(&format!("wrote {} and {}\n", target.display(), file.display()));
    if !whole {
        say("docs/benchmarks.md is left as it is: this was no whole run\n");
    }
    Ok(())
}

/// Measures translation alone, which needs neither nginx nor a gateway, and prints its part of the document.
fn only_translation() -> Result<()> {
    say("building the stages\n");
    let package = ["--package", "tidegate-bench", "--bin", "tidegate-stages"];
    suite::run(suite::cargo(&["build", "--locked", "--release", "--no-default-features"]).args(package))?;
    let target = suite::target(&root());
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    let mut results = Results::begin(&folder.join("translation.jsonl"))?;
    let told = suite::output(Command::new(target.join("release/tidegate-stages")).arg(translation::NAME))?;
    results.add("run", 0, translation::NAME, serde_json::from_str(&told)?)?;
    say(&translation::alone(&results));
    Ok(())
}

fn plan(arguments: &[String]) -> Result<Plan> {
    let mut plan = Plan {
        rounds: 3,
        quick: false,
        legs: LEGS.iter().collect(),
        subjects: SUBJECTS.iter().collect(),
        folder: suite::target(&root()).join("bench"),
    };
    let mut arguments = arguments.iter();
    let mut rounds = None;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => plan.quick = true,
            "--rounds" => rounds = Some(value()?.parse().context("--rounds wants a number")?),
            "--out" => plan.folder = PathBuf::from(value()?),
            "--legs" => {
                let names = value()?;
                plan.legs = chosen(names, &LEGS, |leg| leg.name)?;
            }
            "--only" => {
                let names = value()?;
                plan.subjects = chosen(names, &SUBJECTS, |subject| subject.name)?;
            }
            other => bail!("`{other}` is not known: see `cargo xtask help`"),
        }
    }
    plan.rounds = rounds.unwrap_or(if plan.quick { 1 } else { 3 });
    ensure!((1..=100).contains(&plan.rounds), "--rounds is between 1 and 100");
    Ok(plan)
}

/// Those of `all` whose names stand in `names`, separated by commas.
fn chosen<T>(names: &str, all: &'static [T], name: impl Fn(&T) -> &'static str) -> Result<Vec<&'static T>> {
    let known: Vec<&str> = all.iter().map(&name).collect();
    names
        .split(',')
        .map(|wanted| {
            all.iter()
                .find(|one| name(one) == wanted)
                .with_context(|| format!("`{wanted}` is not known: there are {}", known.join(", ")))
        })
        .collect()
}

fn build() -> Result<()> {
    ensure!(machine::nginx().is_some(), "nginx is missing: apt-get install nginx-light");
    say("building the gateway and the rig\n");
    let packages = ["--package", "tidegate", "--package", "tidegate-bench"];
    suite::run(suite::cargo(&["build", "--locked", "--release"]).args(packages))
}

/// Runs the same command in a network namespace with nothing but loopback, where the system allows one: nothing else
/// on the machine then takes its ports, and no packet filter stands in the way.
fn in_namespace(arguments: &[String]) -> Option<Result<()>> {
    let works = Command::new("unshare").args(["--net", "sh", "-c", "ip link set lo up"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        say("no network namespace (root, unshare and ip make one): measuring on the machine's own loopback\n");
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let mut inside = Command::new("unshare");
    inside.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(program).arg("bench");
    Some(suite::run(inside.args(arguments).env(INSIDE, "1")))
}

fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    let folder = suite::target(&root()).join("release");
    results.add("run", 0, "machine", machine::describe(plan.rounds, plan.quick))?;
    results.add("run", 0, "binary", machine::binary(&folder.join("tidegate"))?)?;
    // Everything that is measured has the same precedence over what else runs, where the system allows it.
    let _ = rustix::process::setpriority_process(None, -10);
    let rig = Rig::start(&folder)?;
    let mut progress = Progress { done: 0, all: plan.rounds as usize * plan.subjects.len() * plan.legs.len() };
    for round in 1..=plan.rounds {
        for subject in &plan.subjects {
            let work = std::env::temp_dir().join(format!("tidegate-bench-{}-{}", std::process::id(), subject.name));
            let done = one(plan, &rig, subject, round, &work, results, &mut progress);
            let _ = std::fs::remove_dir_all(&work);
            done.with_context(|| format!("{} in round {round}", subject.name))?;
        }
    }
    drop(rig);
    rig::pin(rig::SUBJECT_CORE)?;
    // The other two repeat what they measure themselves.
    for (name, rounds) in [("decisions", plan.rounds), ("durable", 1), (translation::NAME, 1)] {
        for round in 0..rounds {
            let told = suite::output(Command::new(folder.join("tidegate-stages")).arg(name))?;
            results.add("run", round, name, serde_json::from_str(&told)?)?;
        }
    }
    Ok(())
}

/// One subject in one round: started twice (the second start counts), idle, every leg, the memory that is left.
fn one(
    plan: &Plan,
    rig: &Rig,
    subject: &Subject,
    round: u32,
    work: &Path,
    results: &mut Results,
    progress: &mut Progress,
) -> Result<()> {
    let running = subject.start(work)?;
    if let Some((process, ms)) = &running {
        results.add(subject.name, round, "start", serde_json::json!({ "ms": ms }))?;
        std::thread::sleep(if plan.quick { Duration::from_millis(500) } else { Duration::from_secs(3) });
        results.add(subject.name, round, "idle", rig.process(process.pid())?)?;
    }
    let pid = running.as_ref().map(|(process, _)| process.pid());
    let mut peak = 0.0_f64;
    for leg in &plan.legs {
        progress.step(round, subject.name, leg.name);
        if leg.after.is_some_and(|before| results.was_behind(subject.name, round, before)) {
            continue;
        }
        rig.settle(subject, pid)?;
        let report = rig.load(subject, pid, leg, plan.quick).with_context(|| format!("leg {}", leg.name))?;
        peak = peak.max(report.get("peak_kib").and_then(serde_json::Value::as_f64).unwrap_or(0.0));
        results.add(subject.name, round, leg.name, report)?;
    }
    if let Some(pid) = pid {
        results.add(subject.name, round, "peak", serde_json::json!({ "rss_kib": peak }))?;
        if round == plan.rounds {
            std::thread::sleep(if plan.quick { Duration::from_secs(1) } else { Duration::from_secs(60) });
            results.add(subject.name, round, "rested", rig.process(pid)?)?;
        }
    }
    Ok(())
}

/// A bar on a terminal, lines elsewhere.
struct Progress {
    done: usize,
    all: usize,
}

impl Progress {
    fn step(&mut self, round: u32, subject: &str, leg: &str) {
        use std::io::IsTerminal as _;
        self.done += 1;
        let filled = self.done * 30 / self.all.max(1);
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(30_usize.saturating_sub(filled)));
        let text = format!("[{bar}] {}/{} round {round}: {subject}, {leg}", self.done, self.all);
        say(&if std::io::stderr().is_terminal() { format!("\r{text:<90}") } else { format!("{text}\n") });
    }
}

#[cfg(test)]
mod tests;
