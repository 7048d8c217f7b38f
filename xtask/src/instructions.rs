//! The ratchet: how many instructions each pure stage of a call takes, counted by callgrind.
//!
//! Instructions do not depend on what else the machine does, so CI can hold them. Each stage runs a few times and
//! again more often; the difference, divided, is one operation without its setting up. What is left of chance (hash
//! maps are seeded anew in each run) is in the setting up, and small beside so many operations. The counts agreed on
//! stand in `bench/instructions.toml`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{root, say, suite};

/// By how many percent a count may grow before the check fails.
const MAY_GROW: u64 = 5;

/// A count that fell by so many percent is worth writing down.
const WORTH_TELLING: u64 = 10;

/// How often a stage runs in its first run, for setting it up; three times as often in its second.
const TIMES: u64 = 20;

/// Instructions that the last run takes beyond the first, about: a second or two.
const BEYOND: u64 = 150_000_000;

/// At the top of the file.
const HEAD: &str = "\
# Instructions per operation of each stage, as callgrind counts them: written by `cargo xtask instructions --update`.
# The check fails where one grows by more than 5 %. Where that is wanted, update this file in the same commit and say
# why. The counts hold for x86-64 with AVX2 and the toolchain of rust-toolchain.toml.
";

/// The package that is linked last. With link-time optimisation its level holds for the code of all crates: at `s` no
/// loop of theirs becomes vector instructions, which no count of a stage shows, since stages are linked for themselves.
const LINKED_LAST: &str = "tidegate";

/// Whether the release profile leaves the package that is linked last at its full level.
fn ensure_built_for_speed(manifest: &str) -> Result<()> {
    let manifest: toml::Table = toml::from_str(manifest).context("Cargo.toml")?;
    let release = manifest.get("profile").and_then(|profile| profile.get("release")).context("no profile.release")?;
    let package = release.get("package").and_then(|packages| packages.get(LINKED_LAST));
    for of in [Some(release), package].into_iter().flatten() {
        ensure!(
            of.get("opt-level").is_none_or(|level| level.as_integer().is_some_and(|level| level >= 2)),
            "Cargo.toml: profile.release builds `{LINKED_LAST}`, which is linked last, below opt-level 2; with \
             link-time optimisation that takes vector instructions from every crate. Take the opt-level away."
        );
    }
    Ok(())
}

/// What keeps the library of ciphers from measuring the processor's jitter for 60 ms before its first random byte.
const SEEDED_BY_THE_KERNEL: &str = "AWS_LC_SYS_NO_JITTER_ENTROPY";

/// Whether the first call after a start is spared that.
fn ensure_quick_to_seed(config: &str) -> Result<()> {
    let config: toml::Table = toml::from_str(config).context(".cargo/config.toml")?;
    let set = config.get("env").and_then(|env| env.get(SEEDED_BY_THE_KERNEL)).and_then(toml::Value::as_str);
    ensure!(
        set == Some("1"),
        ".cargo/config.toml: `[env]` does not set {SEEDED_BY_THE_KERNEL} = \"1\": the first call after each start \
         would take 60 ms longer. Set it."
    );
    Ok(())
}

/// Counts every stage, or those whose names contain one of the arguments.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let update = arguments.iter().any(|argument| argument == "--update");
    let only: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    ensure!(!update || only.is_empty(), "--update counts all stages: name none");
    ensure!(
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()),
        "valgrind is missing: apt-get install valgrind"
    );
    ensure_built_for_speed(&std::fs::read_to_string(root().join("Cargo.toml"))?)?;
    ensure_quick_to_seed(&std::fs::read_to_string(root().join(".cargo/config.toml"))?)?;
    let stages = build()?;
    let file = root().join("bench/instructions.toml");
    let agreed: BTreeMap<String, u64> = match std::fs::read_to_string(&file) {
        Ok(text) => toml::from_str(&text).context("bench/instructions.toml")?,
        Err(_) => BTreeMap::new(),
    };
    let names = suite::output(Command::new(&stages).arg("list"))?;
    let chosen = names.lines().filter(|name| only.is_empty() || only.iter().any(|part| name.contains(part.as_str())));
    let mut counted = BTreeMap::new();
    for name in chosen {
        let count = count(&stages, name)?;
        say(&line(name, agreed.get(name).copied(), count));
        counted.insert(name.to_owned(), count);
    }
    if update {
        std::fs::write(&file, written(&counted))?;
        say("wrote bench/instructions.toml\n");
        return Ok(());
    }
    let complaints = judge(&agreed, &counted, only.is_empty());
    if !complaints.is_empty() {
        bail!(
            "{}\nIf that is wanted, run `cargo xtask instructions --update` and commit bench/instructions.toml. To see \
             where they go: valgrind --tool=callgrind {} run STAGE 100, then callgrind_annotate.",
            complaints.join("\n"),
            stages.display()
        );
    }
    say(&format!("instructions: {} stages within {MAY_GROW} % of what was agreed on\n", counted.len()));
    Ok(())
}

fn build() -> Result<PathBuf> {
    let mut build = suite::cargo(&["build", "--locked", "--package", "tidegate-bench", "--profile", "instructions"]);
    // Without the rig there is no HTTP stack to build.
    suite::run(build.args(["--no-default-features", "--bin", "tidegate-stages"]))?;
    Ok(suite::target(&root()).join("instructions/tidegate-stages"))
}

/// Instructions of one operation: a rough count says how many it takes for a good one.
fn count(stages: &Path, name: &str) -> Result<u64> {
    let few = total(stages, name, TIMES)?;
    let beyond = |more: u64| -> Result<u64> {
        let many = total(stages, name, TIMES + more)?;
        ensure!(many > few, "callgrind counted nothing for {name}");
        Ok((many - few) / more)
    };
    let rough = beyond(2 * TIMES)?;
    let more = (BEYOND / rough.max(1)).min(2_000);
    if more > 2 * TIMES { beyond(more) } else { Ok(rough) }
}

fn total(stages: &Path, name: &str, times: u64) -> Result<u64> {
    let counts = suite::target(&root()).join(format!("instructions/{name}.callgrind"));
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", counts.display())).arg("--quiet");
    command.arg(stages).args(["run", name, &times.to_string()]);
    suite::output(&mut command)?;
    let text = std::fs::read_to_string(&counts).with_context(|| counts.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    total.and_then(|number| number.trim().parse().ok()).with_context(|| format!("{} has no total", counts.display()))
}

/// What is wrong with `counted`: counts that grew, and stages that only one of the two knows.
fn judge(agreed: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>, all: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, count) in counted {
        match agreed.get(name) {
            None => wrong.push(format!("{name} is not in bench/instructions.toml")),
            Some(before) if count.saturating_mul(100) > before.saturating_mul(100 + MAY_GROW) => {
                wrong.push(format!("{name} takes {count} instructions, {} more than agreed on", count - before));
            }
            Some(_) => {}
        }
    }
    if all {
        let gone = agreed.keys().filter(|name| !counted.contains_key(*name));
        wrong.extend(gone.map(|name| format!("bench/instructions.toml has {name}, which is no stage any more")));
    }
    wrong
}

fn line(name: &str, before: Option<u64>, count: u64) -> String {
    let Some(before) = before.filter(|before| *before > 0) else { return format!("  {name:<20} {count:>10}\n") };
    let change = (count as f64 / before as f64 - 1.0) * 100.0;
    let note = if count.saturating_mul(100) < before.saturating_mul(100 - WORTH_TELLING) {
        "  less: hold it with --update"
    } else {
        ""
    };
    format!("  {name:<20} {count:>10}  {change:>+6.1} %{note}\n")
}

fn written(counted: &BTreeMap<String, u64>) -> String {
    let lines: String = counted.iter().map(|(name, count)| format!("{name} = {count}\n")).collect();
    format!("{HEAD}{lines}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ensure_built_for_speed, ensure_quick_to_seed, judge, line, written};

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_linked_last_is_built_for_speed() {
        let with = |more: &str| ensure_built_for_speed(&format!("[profile.release]\nlto = \"thin\"\n{more}"));
        assert!(with("").is_ok() && with("opt-level = 2").is_ok());
        assert!(with("[profile.release.package]\ntidegate-admin = { opt-level = \"s\" }").is_ok());
        assert!(with("opt-level = 1").is_err());
        assert!(with("[profile.release.package]\ntidegate = { opt-level = \"s\" }").is_err());
    }

    #[test]
    fn the_first_call_waits_for_no_seed() {
        assert!(ensure_quick_to_seed("[env]\nAWS_LC_SYS_NO_JITTER_ENTROPY = \"1\"").is_ok());
        assert!(ensure_quick_to_seed("[env]\nAWS_LC_SYS_NO_JITTER_ENTROPY = \"0\"").is_err());
        assert!(ensure_quick_to_seed("").is_err());
    }

    #[test]
    fn growth_of_five_percent_passes_and_more_does_not() {
        let agreed = counts(&[("a", 1_000), ("b", 1_000)]);
        assert!(judge(&agreed, &counts(&[("a", 1_050), ("b", 10)]), true).is_empty());
        let wrong = judge(&agreed, &counts(&[("a", 1_051), ("b", 1_000)]), true);
        assert_eq!(wrong, ["a takes 1051 instructions, 51 more than agreed on"]);
    }

    #[test]
    fn stages_that_only_one_side_knows_are_told() {
        let (agreed, counted) = (counts(&[("old", 1)]), counts(&[("new", 1)]));
        assert_eq!(judge(&agreed, &counted, true).len(), 2);
        assert_eq!(judge(&agreed, &counted, false).len(), 1);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let counted = counts(&[("decode_1k", 12_345), ("records", 7)]);
        let read: BTreeMap<String, u64> = toml::from_str(&written(&counted)).unwrap();
        assert_eq!(read, counted);
        assert!(line("records", Some(10), 7).contains("-30.0 %  less"));
    }
}
