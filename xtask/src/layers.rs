//! The layers of the house: lower rooms never know higher ones, and rooms on one level do not know each other; and
//! only one of them opens connections.

use anyhow::{Result, bail};

use crate::{egress, metadata, root, say};

/// From the ground up. A crate may use those of lower levels only; the binary sees all.
const LEVELS: [&[&str]; 7] = [
    &["tidegate-core"],
    &["tidegate-protocol", "tidegate-policy", "tidegate-guard", "tidegate-ledger", "tidegate-audit"],
    &["tidegate-upstream"],
    &["tidegate-config"],
    &["tidegate-store", "tidegate-proxy", "tidegate-admin"],
    &["tidegate"],
    &["tidegate-testkit", "tidegate-tests", "tidegate-fuzz", "tidegate-bench", "xtask"],
];

pub(crate) fn check() -> Result<()> {
    let metadata = metadata::read()?;
    let level = |name: &str| LEVELS.iter().position(|level| level.contains(&name));
    let mut wrong = Vec::new();
    for package in metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id)) {
        let Some(own) = level(&package.name) else {
            wrong.push(format!("{} stands on no level: add it to xtask/src/layers.rs with an ADR", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            if let Some(other) = level(&dependency.name)
                && other >= own
            {
                wrong.push(format!("{} must not use {}", package.name, dependency.name));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("the layers do not hold:\n  {}", wrong.join("\n  "));
    }
    say("layers: every crate uses lower ones only\n");
    egress::check(&root())
}
