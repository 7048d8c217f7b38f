//! `cargo xtask up` and `cargo xtask test`: the two commands of the README.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{deps, instructions, layers, root, say, schemas, sizes};

/// Builds the gateway and starts it in the foreground.
pub(crate) fn up(arguments: &[String]) -> Result<()> {
    let mut command = cargo(&["run", "--locked", "--release", "--package", "tidegate", "--", "up"]);
    command.args(arguments);
    run(&mut command)
}

/// Everything that CI checks, in the order of what fails fastest.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    let fast = arguments.iter().any(|argument| argument == "--fast");
    let mut steps = Steps::default();
    steps.step("format", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.step("layers", layers::check)?;
    steps.step("sizes", || sizes::check(&root()))?;
    steps.step("dependencies", deps::check)?;
    steps.step("build", || run(&mut cargo(&["build", "--locked", "--workspace", "--all-targets"])))?;
    steps.step("lints", || {
        run(&mut cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    steps.step("tests", || run(&mut cargo(&["test", "--locked", "--workspace"])))?;
    steps.step("schemas", || schemas::run(&["--check".to_owned()]))?;
    if fast {
        say("skipped: instruction counts, foreign clients and the real model (--fast)\n");
    } else {
        steps.step("instructions", || instructions::run(&[]))?;
        steps.step("clients", || clients(&root()))?;
    }
    steps.summary();
    Ok(())
}

/// The official SDKs and MCP clients against the built gateway, a real small model and a real MCP server.
fn clients(root: &Path) -> Result<()> {
    let folder = root.join("tests/clients");
    let work = target(root).join("clients");
    pytest(root, &work, &folder, |tests| tests.args(["--ignore", "agents"]))
}

/// Claude Code, Codex, opencode and Gemini CLI, as their makers publish them, finish a task through the built gateway. Apart from the rest,
/// since they are large and under terms of their own.
pub(crate) fn agents() -> Result<()> {
    let root = root();
    let (folder, work) = (root.join("tests/clients"), target(&root).join("clients"));
    run(&mut cargo(&["build", "--locked", "--package", "tidegate"]))?;
    let own = folder.join("agents");
    std::fs::create_dir_all(work.join("agents"))?;
    let programs = node_packages(&work.join("agents"), &own)?;
    pytest(&root, &work, &own, |tests| tests.env("TIDEGATE_AGENTS", &programs))
}

/// Runs the client tests that stand at `at`, with what they need below `work`.
fn pytest(root: &Path, work: &Path, at: &Path, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
    let folder = root.join("tests/clients");
    std::fs::create_dir_all(work)?;
    let python = venv(work, &folder)?;
    let node = node_packages(work, &folder)?;
    let mut tests = Command::new(&python);
    tests
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg(at)
        .current_dir(&folder)
        .env("TIDEGATE_BIN", target(root).join("debug/tidegate"))
        .env("TIDEGATE_NODE", &node)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run(with(&mut tests))
}

/// A Python below `work` that has what `requirements.txt` of `folder` names.
pub(crate) fn venv(work: &Path, folder: &Path) -> Result<PathBuf> {
    let venv = work.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let requirements = folder.join("requirements.txt");
    once(&work.join("python-ready"), &requirements, || {
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements))
    })?;
    Ok(python)
}

/// Installs what a lock file names, but for what is optional: that is built on the way, from what is no package.
const NPM: [&str; 5] = ["ci", "--silent", "--no-audit", "--no-fund", "--omit=optional"];

/// A folder below `work` with the packages that `package-lock.json` of `folder` names.
pub(crate) fn node_packages(work: &Path, folder: &Path) -> Result<PathBuf> {
    let node = work.join("node");
    std::fs::create_dir_all(&node)?;
    for file in ["package.json", "package-lock.json"] {
        let from = folder.join(file);
        std::fs::copy(&from, node.join(file)).with_context(|| from.display().to_string())?;
    }
    once(&work.join("node-ready"), &folder.join("package-lock.json"), || {
        run(Command::new("npm").args(NPM).current_dir(&node))
    })?;
    Ok(node)
}

/// Runs `set_up` unless `mark` is newer than `input`.
fn once(mark: &Path, input: &Path, set_up: impl FnOnce() -> Result<()>) -> Result<()> {
    let modified = |path: &Path| -> Option<SystemTime> { std::fs::metadata(path).ok()?.modified().ok() };
    if let (Some(done), Some(changed)) = (modified(mark), modified(input))
        && done >= changed
    {
        return Ok(());
    }
    set_up()?;
    std::fs::write(mark, "")?;
    Ok(())
}

/// Where cargo builds to.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root());
    command
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{} {}", command.get_program().display(), {
        let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_string_lossy).collect();
        arguments.join(" ")
    });
    let status = command.status().with_context(|| format!("`{shown}` did not start"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Runs `command` and gives what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = command.get_program().display().to_string();
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("`{shown}` did not start"))?;
    ensure!(output.status.success(), "`{shown}` failed ({})", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` does not write UTF-8"))
}

#[derive(Default)]
struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        say(&format!("\n== {name}\n"));
        let start = started();
        if let Err(error) = work() {
            bail!("step `{name}`: {error:#}");
        }
        self.done.push((name, start.elapsed()));
        Ok(())
    }

    fn summary(&self) {
        let longest = self.done.iter().map(|(_, took)| took.as_secs()).max().unwrap_or(0).max(1);
        say("\nall steps passed\n");
        for (name, took) in &self.done {
            let bar = "#".repeat(usize::try_from(took.as_secs().saturating_mul(40) / longest).unwrap_or(0));
            say(&format!("  {name:<14} {:>5} s  {bar}\n", took.as_secs()));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a chore measures itself and is no part of the gateway")]
pub(crate) fn started() -> std::time::Instant {
    std::time::Instant::now()
}
