//! Reading entries back, from the bundles or, where they are not there yet, from the write-ahead log.
//!
//! Owns nothing but a place in the log. Never changes a file. Called to rebuild indexes, to answer `why`, and to prove.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use tidegate_core::ids::CallId;

use crate::{
    log::Shared,
    record::Entry,
    tiles::{Tile, WIDTH, entries},
};

/// Why an entry could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("audit log: {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not hold the entry.
    #[error("audit log: {path} does not hold leaf {leaf}: run `tidegate audit verify`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The leaf.
        leaf: u64,
    },
    /// The entry is no record that this version reads.
    #[error("audit log: leaf {leaf} is no record of a known form: {source}")]
    Form {
        /// The leaf.
        leaf: u64,
        /// What the parser said.
        source: serde_json::Error,
    },
}

pub(crate) fn parse(leaf: u64, bytes: &[u8]) -> Result<Entry, ReadError> {
    serde_json::from_slice(bytes).map_err(|source| ReadError::Form { leaf, source })
}

/// The bundle file that holds `leaf` in a log of `size` leaves.
pub(crate) fn bundle_of(leaf: u64, size: u64) -> Tile {
    let index = leaf / WIDTH;
    let width = if size / WIDTH > index { WIDTH } else { size % WIDTH };
    Tile { level: None, index, width: u16::try_from(width).unwrap_or(256) }
}

/// A bundle that was read last, so that the entries after one another cost one read.
#[derive(Default)]
pub(crate) struct Bundles {
    index: u64,
    entries: Vec<Vec<u8>>,
}

impl Bundles {
    pub(crate) fn get(&mut self, dir: &Path, leaf: u64, size: u64) -> Result<Vec<u8>, ReadError> {
        let at = usize::try_from(leaf % WIDTH).unwrap_or(0);
        let index = leaf / WIDTH;
        if self.index != index || self.entries.len() <= at {
            let path = dir.join(bundle_of(leaf, size).to_string());
            let bytes = fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
            let all: Option<Vec<Vec<u8>>> = entries(&bytes).map(|entry| entry.map(<[u8]>::to_vec)).collect();
            self.entries = all.ok_or(ReadError::Damaged { path, leaf })?;
            self.index = index;
        }
        self.entries
            .get(at)
            .cloned()
            .ok_or_else(|| ReadError::Damaged { path: dir.join(bundle_of(leaf, size).to_string()), leaf })
    }
}

/// The entry `leaf` of the tree of `size` leaves in `dir`.
pub(crate) fn from_bundle(dir: &Path, leaf: u64, size: u64) -> Result<Vec<u8>, ReadError> {
    Bundles::default().get(dir, leaf, size)
}

fn live_cached(shared: &Shared, leaf: u64, cached: &mut Bundles) -> Result<Option<Vec<u8>>, ReadError> {
    let mut tries = 0;
    loop {
        let size = shared.integrated.load(Ordering::Acquire);
        if leaf < size {
            match cached.get(&shared.dir, leaf, size) {
                // The right edge moved on between looking and reading.
                Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && tries < 8 => {
                    tries += 1;
                    continue;
                }
                other => return other.map(Some),
            }
        }
        let pending = {
            let wal = shared.wal.lock();
            if leaf >= wal.next() {
                return Ok(None);
            }
            wal.find(leaf)
        };
        // Not pending any more: it has moved into the tree since.
        let Some(pending) = pending else { continue };
        return pending.read().map(Some).map_err(|source| ReadError::Io { path: pending.segment.path.clone(), source });
    }
}

/// The entry `leaf` of a running log; `None` where it is not appended yet.
pub(crate) fn live(shared: &Shared, leaf: u64) -> Result<Option<Vec<u8>>, ReadError> {
    live_cached(shared, leaf, &mut Bundles::default())
}

/// Entries of a running log, in order.
pub struct RecordsFrom {
    shared: Arc<Shared>,
    next: u64,
    end: u64,
    cached: Bundles,
}

impl std::fmt::Debug for RecordsFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordsFrom").field("next", &self.next).field("end", &self.end).finish_non_exhaustive()
    }
}

impl RecordsFrom {
    pub(crate) fn new(shared: Arc<Shared>, next: u64) -> Self {
        let end = shared.wal.lock().next();
        Self { shared, next, end, cached: Bundles::default() }
    }
}

impl Iterator for RecordsFrom {
    type Item = Result<(u64, Entry), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let leaf = self.next;
        self.next += 1;
        match live_cached(&self.shared, leaf, &mut self.cached) {
            Ok(Some(bytes)) => Some(parse(leaf, &bytes).map(|entry| (leaf, entry))),
            Ok(None) => None,
            Err(error) => {
                self.next = self.end;
                Some(Err(error))
            }
        }
    }
}

/// How long before a call's id its records cannot be, and how long after its intent nobody looks for them any more:
/// room for a wall clock that was set.
const SLACK_MS: u64 = 10 * 60 * 1000;
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn find(shared: &Arc<Shared>, call: CallId, most: u64) -> Result<Vec<(u64, Entry)>, ReadError> {
    let made = call.as_bytes().iter().take(6).fold(0_u64, |ms, byte| (ms << 8) | u64::from(*byte));
    let mut cached = Bundles::default();
    let (mut low, mut high) = (0, shared.wal.lock().next());
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(bytes) = live_cached(shared, middle, &mut cached)? else { break };
        if parse(middle, &bytes)?.at.0 < made.saturating_sub(SLACK_MS) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut found = Vec::new();
    for record in RecordsFrom::new(Arc::clone(shared), low).take(usize::try_from(most).unwrap_or(usize::MAX)) {
        let (leaf, entry) = record?;
        if entry.at.0 > made.saturating_add(LONGEST_MS) {
            break;
        }
        if entry.record.call() == Some(call) {
            let last = matches!(entry.record, crate::record::Record::Outcome(_) | crate::record::Record::Refusal(_));
            found.push((leaf, entry));
            if last {
                break;
            }
        }
    }
    Ok(found)
}
