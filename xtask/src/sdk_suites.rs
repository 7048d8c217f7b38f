//! `cargo xtask sdk-suites`: the SDKs' own test suites through the gateway, compared with the direct way.
//!
//! Sets up what `tests/suites/sdk_suites.py` needs and runs it. No part of CI: the vendors' OpenAPI documents, which the
//! mock reads, are not ours to give.

use std::{fs, path::absolute, process::Command};

use anyhow::{Context, Result};

use crate::{
    root,
    suite::{cargo, node_packages, run, target, venv},
};

pub(crate) fn sdk_suites(arguments: &[String]) -> Result<()> {
    let folder = root().join("tests/suites");
    let work = absolute(target(&root()))?.join("sdk-suites");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let python = venv(&work, &folder)?;
    let node = node_packages(&work, &folder)?;
    run(&mut cargo(&["build", "--locked", "--package", "tidegate"]))?;
    run(Command::new(python)
        .arg(folder.join("sdk_suites.py"))
        .args(arguments)
        .arg("--out")
        .arg(work.join("run"))
        .env("TIDEGATE_BIN", absolute(target(&root()))?.join("debug/tidegate"))
        .env("SUITES_STEADY", node.join("node_modules/.bin/steady"))
        .env("PYTHONDONTWRITEBYTECODE", "1"))
}
