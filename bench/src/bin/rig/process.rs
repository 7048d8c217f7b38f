//! What a process and its children use, read from `/proc`.

use std::fs;

use serde::Serialize;

/// The memory and size of a process tree at one moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct State {
    /// How many processes it has.
    pub(crate) processes: usize,
    /// How many threads they have.
    pub(crate) threads: u64,
    /// CPU time used so far, in microseconds.
    pub(crate) cpu_us: u64,
    /// Resident memory now, in KiB, shared pages counted for each process.
    pub(crate) rss_kib: u64,
    /// The most resident memory since the start, or since [`forget_peak`], in KiB.
    pub(crate) peak_kib: u64,
}

/// The process `root` and everything that descends from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            && let Some(parent) = stat(pid).and_then(|stat| stat.parent())
        {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(of) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(pid, parent)| *parent == of && *pid != root).map(|(pid, _)| pid));
        next += 1;
    }
    found
}

pub(crate) fn state(tree: &[u32]) -> State {
    let sum = |key: &str| tree.iter().map(|pid| status(*pid, key)).sum();
    State {
        processes: tree.len(),
        threads: sum("Threads:"),
        cpu_us: cpu_us(tree),
        rss_kib: sum("VmRSS:"),
        peak_kib: sum("VmHWM:"),
    }
}

/// From here on the peak counts anew.
pub(crate) fn forget_peak(tree: &[u32]) {
    for pid in tree {
        // Where this is not allowed, the peak is that since the start.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// CPU time of a process tree in microseconds: user and system, of all threads that live. In nanoseconds from the
/// scheduler where it tells; else in its ticks, which are 10 ms.
pub(crate) fn cpu_us(tree: &[u32]) -> u64 {
    fine_ns(tree).map_or_else(|| ticks_us(tree), |ns| ns / 1_000)
}

fn fine_ns(tree: &[u32]) -> Option<u64> {
    let mut sum = 0_u64;
    for pid in tree {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread may end between the two.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            sum = sum.saturating_add(text.split_whitespace().next()?.parse().ok()?);
        }
    }
    (sum > 0).then_some(sum)
}

fn ticks_us(tree: &[u32]) -> u64 {
    let ticks: u64 = tree.iter().filter_map(|pid| stat(*pid)).map(|stat| stat.ticks()).sum();
    ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second().max(1)
}

/// `/proc/PID/stat` after the name, which may itself hold blanks and brackets: field 3 of proc(5) is the first here.
struct Stat(Vec<String>);

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(Stat(rest.split_whitespace().map(ToOwned::to_owned).collect()))
}

impl Stat {
    fn parent(&self) -> Option<u32> {
        self.0.get(1)?.parse().ok()
    }

    /// utime, stime and those of children that were waited for.
    fn ticks(&self) -> u64 {
        self.0.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
    }
}

fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Busy and all time of every core since boot, in ticks.
pub(crate) fn cores() -> Vec<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    lines
        .map(|line| {
            let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
            let all: u64 = fields.iter().sum();
            let idle: u64 = fields.iter().skip(3).take(2).sum();
            (all.saturating_sub(idle), all)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{cpu_us, state, tree};

    #[test]
    fn a_process_finds_itself_its_child_and_its_time() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        let found = tree(own);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.first(), Some(&own));
        assert!(found.contains(&child.id()));
        let before = cpu_us(&[own]);
        let mut sum = 0_u64;
        while cpu_us(&[own]) < before + 20_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let state = state(&[own]);
        assert!(state.rss_kib > 100 && state.peak_kib >= state.rss_kib && state.threads >= 1);
    }
}
