//! Dependencies: permissive licences, no banned crate, one HTTP stack and one TLS stack.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::{say, suite};

/// Licences that may be linked in.
const LICENCES: [&str; 15] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];

/// Crates that would bring a second TLS stack, or one with a known weakness.
const BANNED: [&str; 7] = ["ring", "openssl", "openssl-sys", "native-tls", "rsa", "serde_yml", "serde_yaml"];

/// Crates of which there must be one version.
const SINGLE: [&str; 6] = ["hyper", "http", "h2", "rustls", "tokio-rustls", "tokio"];

pub(crate) fn check() -> Result<()> {
    let built = built()?;
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &built {
        versions.entry(&package.name).or_default().insert(&package.version);
        if BANNED.contains(&package.name.as_str()) {
            wrong.push(format!("{} {} is banned", package.name, package.version));
        }
        if !permissive(&package.license) {
            let licence = if package.license.is_empty() { "none named" } else { &package.license };
            wrong.push(format!("{} {} has the licence {licence}", package.name, package.version));
        }
    }
    for name in SINGLE {
        if let Some(found) = versions.get(name).filter(|found| found.len() > 1) {
            let list: Vec<&str> = found.iter().copied().collect();
            wrong.push(format!("{name} is there {} times: {}", found.len(), list.join(", ")));
        }
    }
    if !wrong.is_empty() {
        bail!("dependencies:\n  {}", wrong.join("\n  "));
    }
    say(&format!("deps: {} packages, all permissive, one HTTP and one TLS stack\n", built.len()));
    Ok(())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    license: String,
}

/// What the workspace really builds, tests included. `cargo tree` is asked, since `cargo metadata` and the lock file
/// also name what features that are off would bring.
fn built() -> Result<BTreeSet<Built>> {
    let output = suite::cargo(&["tree", "--workspace", "--locked", "--edges=normal,build,dev", "--prefix=none"])
        .args(["--target=x86_64-unknown-linux-gnu", "--format={p}|{l}"])
        .output()
        .context("cargo tree did not start")?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("cargo tree does not write UTF-8")?;
    let mut built = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (package, license) = line.split_once('|').with_context(|| format!("no licence in `{line}`"))?;
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        built.insert(Built {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            license: license.trim_end_matches(" (*)").trim().to_owned(),
        });
    }
    Ok(built)
}

/// Whether an SPDX expression can be met with permitted licences alone: every `AND` part, at least one of each `OR`.
fn permissive(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" AND ").all(|part| part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
}

#[cfg(test)]
mod tests {
    use super::permissive;

    #[test]
    fn a_choice_needs_one_permitted_licence_and_a_sum_needs_all() {
        assert!(permissive("MIT OR GPL-3.0"));
        assert!(permissive("MIT/Apache-2.0"));
        assert!(permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!permissive("MIT AND GPL-3.0"));
        assert!(!permissive("GPL-3.0"));
    }
}
