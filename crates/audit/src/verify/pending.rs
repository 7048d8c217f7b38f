//! The write-ahead log as the verifier sees it.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::VerifyError;
use crate::{
    read::Bundles,
    tree::{Hash, leaf_hash},
    wal::{WalError, scan, segments},
};

/// What the write-ahead log holds.
pub(super) struct Pending {
    /// Entries that no checkpoint commits to yet.
    pub(super) entries: Vec<Vec<u8>>,
    pub(super) unfinished: u64,
    /// Entries that the tree holds too: leaf, hash, file.
    known: Vec<(u64, Hash, PathBuf)>,
}

impl Pending {
    /// Reads every segment.
    pub(super) fn read(dir: &Path, size: u64) -> Result<Self, VerifyError> {
        let mut pending = Self { entries: Vec::new(), unfinished: 0, known: Vec::new() };
        let mut stray = None;
        let segments = match segments(&dir.join("wal"), |path| stray = Some(path)) {
            Ok(segments) => segments,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pending),
            Err(error) => return Err(VerifyError::io("wal", &error)),
        };
        let relative = |path: &Path| path.strip_prefix(dir).unwrap_or(path).to_owned();
        if let Some(path) = stray {
            return Err(VerifyError::new(relative(&path), "is no segment of a write-ahead log"));
        }
        let mut expected = None;
        let count = segments.len();
        for (number, (first, path)) in segments.into_iter().enumerate() {
            let name = relative(&path);
            let ahead = expected.map_or(first > size, |expected| first != expected);
            if ahead {
                let next = expected.unwrap_or(size);
                return Err(VerifyError::at(
                    name,
                    first,
                    format!("begins at leaf {first}, but leaf {next} comes next"),
                ));
            }
            let found = scan(&path, number + 1 == count, |leaf, _, payload| {
                if leaf < size {
                    pending.known.push((leaf, leaf_hash(payload), name.clone()));
                } else {
                    pending.entries.push(payload.to_vec());
                }
            })
            .map_err(|error| match error {
                WalError::Io { source, .. } => VerifyError::io(&name, &source),
                WalError::Corrupt { offset, what, .. } => {
                    VerifyError::at(&name, offset, format!("at byte {offset}: {what}"))
                }
            })?;
            pending.unfinished += found.torn;
            expected = Some(found.next);
        }
        Ok(pending)
    }

    /// Compares what both the tree and the write-ahead log hold.
    pub(super) fn check_known(&self, dir: &Path, size: u64) -> Result<(), VerifyError> {
        let mut bundles = Bundles::default();
        for (leaf, hash, file) in &self.known {
            match bundles.get(dir, *leaf, size) {
                Ok(entry) if leaf_hash(&entry) == *hash => {}
                Ok(_) => return Err(VerifyError::at(file, *leaf, format!("leaf {leaf} is another one in the tree"))),
                Err(error) => return Err(VerifyError::at(file, *leaf, error.to_string())),
            }
        }
        Ok(())
    }
}
