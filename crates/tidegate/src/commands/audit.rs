//! `audit`: verify a log and prove one entry, offline.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use tidegate_audit::{blob::Blobs, prove::prove, verify::verify_watched};
use tidegate_core::ids::Digest;

use crate::{
    cli::Audit,
    directory::Directory,
    output::{self, Format, exit, progress::Progress},
};

/// Runs one of the commands.
pub(crate) fn run(command: Audit) -> Result<()> {
    match command {
        Audit::Verify { dir, key, output } => {
            let key = key.map(|key| vkey(&key)).transpose()?;
            let mut progress = Progress::new("verify", output);
            let report = verify_watched(&dir, key.as_deref(), &mut |done, all| progress.at(done, all));
            drop(progress);
            let report = report.map_err(|error| exit(1, format!("{error}")))?;
            if output == Format::Table {
                output::talk("the log holds: every file was read, every hash and the signature agree");
            }
            let counts = &report.counts;
            output::object(
                output,
                &json!({
                    "ok": true,
                    "dir": dir.display().to_string(),
                    "origin": report.origin,
                    "key": report.key,
                    "size": report.size,
                    "root": hex::encode(report.root),
                    "pending": report.pending,
                    "unfinished_bytes": report.unfinished_bytes,
                    "files": report.files,
                    "intents": counts.intents,
                    "attempts": counts.attempts,
                    "outcomes": counts.outcomes,
                    "unknown": counts.unknown,
                    "refusals": counts.refusals,
                    "activations": counts.activations,
                    "summaries": counts.summaries,
                    "open": report.open,
                }),
            )
        }
        Audit::Body { digest, data_dir } => {
            let directory = Directory::at(&data_dir);
            let digest: Digest = digest.parse()?;
            let blobs = Blobs::open(directory.blobs(), &directory.keys())?;
            let body = blobs
                .get(&digest)?
                .ok_or_else(|| exit(4, format!("there is no body {digest}: it may have been erased")))?;
            output::raw(&String::from_utf8_lossy(&body));
            Ok(())
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
