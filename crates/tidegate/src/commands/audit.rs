//! `audit`: verify a log and prove one entry, offline.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use tidegate_audit::{prove::prove, verify::verify};

use crate::{
    cli::Audit,
    output::{self, Format, exit},
};

/// Runs one of the commands.
pub(crate) fn run(command: Audit) -> Result<()> {
    match command {
        Audit::Verify { dir, key, output } => {
            let key = key.map(|key| vkey(&key)).transpose()?;
            let report = verify(&dir, key.as_deref()).map_err(|error| exit(1, format!("{error}")))?;
            if output == Format::Table {
                output::line(&format!("{} holds: {report:#?}", dir.display()));
                return Ok(());
            }
            output::object(
                output,
                &json!({"dir": dir.display().to_string(), "ok": true, "report": format!("{report:?}")}),
            )
        }
        Audit::Prove { leaf, dir } => {
            let (proof, entry) = prove(&dir, leaf).with_context(|| format!("leaf {leaf} of {}", dir.display()))?;
            output::raw(&proof.to_string());
            output::talk(&String::from_utf8_lossy(&entry));
            Ok(())
        }
    }
}

/// A vkey line, given as such or in a file.
fn vkey(text: &str) -> Result<String> {
    let path = Path::new(text);
    if path.is_file() {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return Ok(text.trim().to_owned());
    }
    Ok(text.to_owned())
}
