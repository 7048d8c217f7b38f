//! `docs/generated`, `docs/providers.md`, `docs/dialects.md` and the dashboard: written by the built gateway itself, so that documents never differ from the code.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{root, say, suite};

/// What is generated: the file, and the arguments that make the gateway print it.
const GENERATED: [(&str, &[&str]); 7] = [
    ("docs/generated/tidegate.schema.json", &["schema"]),
    ("docs/generated/openapi.json", &["schema", "--openapi"]),
    ("docs/generated/cli.md", &["schema", "--cli"]),
    ("docs/generated/metrics.md", &["schema", "--metrics"]),
    ("docs/providers.md", &["schema", "--providers"]),
    ("docs/dialects.md", &["schema", "--dialects"]),
    ("deploy/grafana/tidegate.json", &["schema", "--dashboard"]),
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let check = arguments.iter().any(|argument| argument == "--check");
    suite::run(&mut suite::cargo(&["build", "--quiet", "--locked", "--package", "tidegate"]))?;
    let gateway = suite::target(&root()).join("debug/tidegate");
    let mut differing = Vec::new();
    for (name, arguments) in GENERATED {
        let fresh = print(&gateway, arguments)?;
        let file = root().join(name);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if std::fs::read(&file).ok().as_deref() == Some(fresh.as_slice()) {
            continue;
        }
        if check {
            differing.push(name);
        } else {
            std::fs::write(&file, fresh).with_context(|| file.display().to_string())?;
            say(&format!("wrote {name}\n"));
        }
    }
    if !differing.is_empty() {
        bail!("{} is not what the code says: run `cargo xtask schemas`", differing.join(", "));
    }
    say("schemas: what is generated is what the code says\n");
    Ok(())
}

fn print(gateway: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(gateway).args(arguments).output().with_context(|| gateway.display().to_string())?;
    ensure!(
        output.status.success(),
        "tidegate {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
