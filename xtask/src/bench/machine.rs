//! Where and with what was measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::root;

/// The nginx of the system, if there is one.
pub(super) fn nginx() -> Option<PathBuf> {
    ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"].iter().map(PathBuf::from).find(|path| path.exists())
}

/// How many cores there are.
pub(super) fn cores() -> usize {
    lines("/proc/cpuinfo", "processor").len().max(1)
}

/// Machine, date and revision of a run.
pub(super) fn describe(rounds: u32, quick: bool) -> Value {
    let first = |file: &str, key: &str| lines(file, key).into_iter().next().unwrap_or_default();
    let kib: f64 = first("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let server = nginx().map(|path| said(Command::new(path).arg("-v"))).unwrap_or_default();
    json!({
        "cpu": first("/proc/cpuinfo", "model name"),
        "cores": cores(),
        "memory_gib": (kib / 1024.0 / 1024.0).round(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "date": said(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        "commit": commit(),
        "rustc": said(Command::new("rustc").arg("--version").current_dir(root())),
        "nginx": server.trim_start_matches("nginx version: "),
        "load_before": load.split(' ').next().unwrap_or_default(),
        "rounds": rounds,
        "quick": quick,
    })
}

fn commit() -> String {
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments).current_dir(root()));
    let changed = if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { " with changes" };
    format!("{}{changed}", git(&["rev-parse", "--short", "HEAD"]))
}

/// The size of the release binary.
pub(super) fn binary(file: &Path) -> Result<Value> {
    let bytes = fs::metadata(file).with_context(|| file.display().to_string())?.len();
    Ok(json!({ "bytes": bytes }))
}

/// What a command says on either output; nothing where it fails.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let bytes = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    if output.status.success() { String::from_utf8_lossy(&bytes).trim().to_owned() } else { String::new() }
}

/// The values of every `key : value` line of a file in `/proc`.
fn lines(file: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned()).collect()
}
