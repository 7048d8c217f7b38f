//! Dependencies: permissive licences, no banned crate, one HTTP stack and one TLS stack.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::{metadata, say};

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
    let metadata = metadata::read()?;
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(&package.name).or_default().push(&package.version);
        if BANNED.contains(&package.name.as_str()) {
            wrong.push(format!("{} {} is banned", package.name, package.version));
        }
        if !package.license.as_deref().is_some_and(permissive) {
            let licence = package.license.as_deref().unwrap_or("none named");
            wrong.push(format!("{} {} has the licence {licence}", package.name, package.version));
        }
    }
    for name in SINGLE {
        if let Some(found) = versions.get(name).filter(|found| found.len() > 1) {
            wrong.push(format!("{name} is there {} times: {}", found.len(), found.join(", ")));
        }
    }
    if !wrong.is_empty() {
        bail!("dependencies:\n  {}", wrong.join("\n  "));
    }
    say(&format!("deps: {} packages, all permissive, one HTTP and one TLS stack\n", metadata.packages.len()));
    Ok(())
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
