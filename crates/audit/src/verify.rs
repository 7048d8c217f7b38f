//! The offline verifier: whether a log is whole, by its files and a public key alone.
//!
//! Owns the order of the check. It reads every file of the log, computes every hash anew from the entries, and stops
//! at the first thing that does not hold. Never writes, needs no lock, and so may look at a running log. Called by
//! `tidegate audit verify`.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::Checkpoint,
    note::VerifierKey,
    recover::Snapshot,
    tiles::{Completed, Edge, Tile, WIDTH, entries, partials},
    tree::Hash,
};

mod files;
mod pending;
mod story;

use files::Inventory;
use pending::Pending;
use story::Story;

/// How often a running log is looked at anew when it moved on in between.
const TRIES: usize = 10;

/// The first thing that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub struct VerifyError {
    /// The file, below the log's directory.
    pub file: PathBuf,
    /// Where in it, where that is known: a leaf for entries and records, a byte or a hash elsewhere, as `what` says.
    pub at: Option<u64>,
    /// What does not hold.
    pub what: String,
}

impl VerifyError {
    fn new(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self { file: file.into(), at: None, what: what.into() }
    }

    fn at(file: impl Into<PathBuf>, at: u64, what: impl Into<String>) -> Self {
        Self { file: file.into(), at: Some(at), what: what.into() }
    }

    fn io(file: impl Into<PathBuf>, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::new(file, "is missing")
        } else {
            Self::new(file, error.to_string())
        }
    }
}

/// What a log that holds consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// The key that its checkpoint is signed with, as a vkey.
    pub key: String,
    /// Leaves that the checkpoint commits to.
    pub size: u64,
    /// The root that it commits to.
    pub root: Hash,
    /// Leaves in the write-ahead log that no checkpoint commits to yet.
    pub pending: u64,
    /// Bytes of an unfinished last record in the write-ahead log: the gateway was killed while it wrote it.
    pub unfinished_bytes: u64,
    /// Files that were read.
    pub files: u64,
    /// Files being written when the log was read or the gateway was killed; no part of the log yet.
    pub drafts: u64,
    /// Records of each kind, pending ones included.
    pub counts: Counts,
    /// Intents without an outcome: calls in flight, or, where the gateway does not run, calls that its next start
    /// will report as unknown. At most the first 1,000.
    pub open: Vec<u64>,
}

/// How many records of each kind a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Intents.
    pub intents: u64,
    /// Attempts.
    pub attempts: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// The outcomes among them that are unknown.
    pub unknown: u64,
    /// Refusals.
    pub refusals: u64,
    /// Activations.
    pub activations: u64,
    /// Summaries.
    pub summaries: u64,
    /// Intents without an outcome.
    pub open: u64,
}

/// Verifies the log in `dir` with the key `vkey`, or with the one that `log.pub` holds: then a log that was replaced
/// as a whole, with its key, is not noticed.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(dir: &Path, vkey: Option<&str>) -> Result<Report, VerifyError> {
    verify_watched(dir, vkey, &mut |_, _| {})
}

/// As [`verify`], and tells after every 256 leaves how many of how many were looked at.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify_watched(dir: &Path, vkey: Option<&str>, watch: &mut dyn FnMut(u64, u64)) -> Result<Report, VerifyError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let before = fs::read(dir.join("checkpoint")).ok();
        let result = verify_once(dir, vkey, watch);
        let moved = || fs::read(dir.join("checkpoint")).ok() != before;
        if result.is_ok() || tries >= TRIES || !moved() {
            return result;
        }
    }
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, VerifyError> {
    fs::read(dir.join(name)).map_err(|error| VerifyError::io(name, &error))
}

fn read_text(dir: &Path, name: &str) -> Result<Option<String>, VerifyError> {
    match fs::read(dir.join(name)) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| VerifyError::new(name, "is no text")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VerifyError::io(name, &error)),
    }
}

fn key(dir: &Path, vkey: Option<&str>) -> Result<VerifierKey, VerifyError> {
    let text = read_text(dir, "log.pub")?.ok_or_else(|| VerifyError::new("log.pub", "is missing"))?;
    let published = text
        .strip_suffix('\n')
        .and_then(|line| VerifierKey::parse(line).ok())
        .filter(|key| format!("{key}\n") == text)
        .ok_or_else(|| VerifyError::new("log.pub", "is no verifier key, or was changed"))?;
    let Some(given) = vkey else { return Ok(published) };
    let given = VerifierKey::parse(given.trim())
        .map_err(|error| VerifyError::new("log.pub", format!("the key to verify with: {error}")))?;
    if given == published {
        Ok(given)
    } else {
        Err(VerifyError::new("log.pub", format!("holds the key {published}, not {given}")))
    }
}

fn verify_once(dir: &Path, vkey: Option<&str>, watch: &mut dyn FnMut(u64, u64)) -> Result<Report, VerifyError> {
    let key = key(dir, vkey)?;
    // In this order, what a running log writes meanwhile is at most ahead of what was read before. Everything that may
    // go away is read first; the finished tiles, which take the time, stay.
    let snapshot = snapshot(dir)?;
    let checkpoint = match read_text(dir, "checkpoint")? {
        Some(note) => {
            Some(Checkpoint::open(&note, &key).map_err(|error| VerifyError::new("checkpoint", error.to_string()))?)
        }
        None => None,
    };
    let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let mut right = HashMap::new();
    for tile in partials(size) {
        right.insert(tile, read(dir, &tile.to_string())?);
    }
    let inventory = Inventory::take(dir, size)?;
    let pending = Pending::read(dir, size)?;

    let mut pass = Pass { dir, size, edge: Edge::new(), story: Story::new(snapshot), ahead: HashMap::new() };
    pass.tree(&right, watch)?;
    if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.root != pass.edge.root()) {
        return Err(VerifyError::new("checkpoint", "commits to another root than the entries have"));
    }
    pass.story.check_snapshot(size)?;
    pending.check_known(dir, size)?;
    for (leaf, entry) in (size..).zip(&pending.entries) {
        pass.story.tell(leaf, entry).map_err(|what| VerifyError::at("wal", leaf, what))?;
        let ahead = &mut pass.ahead;
        pass.edge.push(entry, &mut |done: Completed| {
            ahead.insert((done.tile.level, done.tile.index), done.bytes);
        });
    }
    for tile in &inventory.extra {
        pass.extra(tile, &right)?;
    }
    let (counts, open) = pass.story.end();
    Ok(Report {
        origin: key.name().to_owned(),
        key: key.to_string(),
        size,
        root: checkpoint.map_or_else(crate::tree::empty_root, |checkpoint| checkpoint.root),
        pending: pending.entries.len() as u64,
        unfinished_bytes: pending.unfinished,
        files: inventory.files,
        drafts: inventory.drafts,
        counts,
        open,
    })
}

fn snapshot(dir: &Path) -> Result<Option<Snapshot>, VerifyError> {
    match read_text(dir, "open")? {
        Some(text) => Snapshot::parse(&text)
            .map(Some)
            .ok_or_else(|| VerifyError::new("open", "is no list of open intents, or was changed")),
        None => Ok(None),
    }
}

struct Pass<'a> {
    dir: &'a Path,
    size: u64,
    edge: Edge,
    story: Story,
    /// Tiles that the pending entries complete.
    ahead: HashMap<(Option<u8>, u64), Vec<u8>>,
}

impl Pass<'_> {
    /// Goes through all entries of the signed tree, and compares every tile with what they say.
    fn tree(&mut self, right: &HashMap<Tile, Vec<u8>>, watch: &mut dyn FnMut(u64, u64)) -> Result<(), VerifyError> {
        for index in 0..self.size / WIDTH {
            let tile = Tile { level: None, index, width: 256 };
            let bytes = read(self.dir, &tile.to_string())?;
            self.bundle(&tile, &bytes)?;
            watch((index + 1).saturating_mul(WIDTH), self.size);
        }
        let mut tiles: Vec<_> = right.iter().collect();
        tiles.sort_unstable_by_key(|(tile, _)| **tile);
        if let Some((tile, bytes)) = tiles.first().filter(|(tile, _)| tile.level.is_none()) {
            self.bundle(tile, bytes)?;
        }
        for (tile, bytes) in tiles.into_iter().filter(|(tile, _)| tile.level.is_some()) {
            compare(tile, bytes, &self.edge.partial(tile).unwrap_or_default())?;
        }
        Ok(())
    }

    fn bundle(&mut self, tile: &Tile, bytes: &[u8]) -> Result<(), VerifyError> {
        let name = tile.to_string();
        let first = tile.index * WIDTH;
        let mut count = 0_u64;
        let mut completed = Vec::new();
        for entry in entries(bytes) {
            let leaf = first + count;
            let entry =
                entry.ok_or_else(|| VerifyError::at(&name, leaf, format!("ends within the entry of leaf {leaf}")))?;
            self.edge.push(entry, &mut |done| completed.push(done));
            // What the tile says of the leaf comes first: a changed entry is reported as one, not as bad JSON.
            self.story.tell(leaf, entry).map_err(|what| VerifyError::at(&name, leaf, what))?;
            count += 1;
            if count > u64::from(tile.width) {
                break;
            }
        }
        if count != u64::from(tile.width) {
            return Err(VerifyError::new(name, format!("holds {count} entries or more, not {}", tile.width)));
        }
        for done in completed.iter().filter(|done| done.tile.level.is_some()) {
            compare(&done.tile, &read(self.dir, &done.tile.to_string())?, &done.bytes)?;
        }
        Ok(())
    }

    /// A file that the checkpoint does not need: a partial tile that a wider one replaced, or one that was written for
    /// the next checkpoint. It must still say what the entries say.
    fn extra(&self, tile: &Tile, right: &HashMap<Tile, Vec<u8>>) -> Result<(), VerifyError> {
        let name = tile.to_string();
        let found = match fs::read(self.dir.join(&name)) {
            Ok(found) => found,
            // A running log has taken it away since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(VerifyError::io(name, &error)),
        };
        let full = Tile { width: 256, ..*tile };
        let whole = if let Some(bytes) = self.ahead.get(&(tile.level, tile.index)) {
            Some(bytes.clone())
        } else if full.needs() <= self.size {
            Some(read(self.dir, &full.to_string())?)
        } else {
            self.edge.partial(tile).or_else(|| {
                let same = |wide: &&Tile| wide.level == tile.level && wide.index == tile.index;
                right.keys().find(same).and_then(|wide| right.get(wide)).cloned()
            })
        };
        let expected = whole.and_then(|whole| prefix(tile, &whole)).ok_or_else(|| {
            VerifyError::new(&name, format!("is for {} leaves, which the log does not hold", tile.needs()))
        })?;
        compare(tile, &found, &expected)
    }
}

/// The first elements of a wider tile's bytes.
fn prefix(tile: &Tile, whole: &[u8]) -> Option<Vec<u8>> {
    let width = usize::from(tile.width);
    if tile.level.is_some() {
        return whole.get(..32 * width).map(<[u8]>::to_vec);
    }
    let mut length = 0;
    let mut count = 0;
    for entry in entries(whole).take(width) {
        length += entry?.len() + 2;
        count += 1;
    }
    (count == width).then(|| whole.get(..length).map(<[u8]>::to_vec))?
}

fn compare(tile: &Tile, found: &[u8], expected: &[u8]) -> Result<(), VerifyError> {
    if found == expected {
        return Ok(());
    }
    let name = tile.to_string();
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    Err(match (tile.level, differs) {
        (Some(level), Some(at)) => {
            let hash = at as u64 / 32;
            let leaf = (tile.index * WIDTH + hash).saturating_mul(tile.span());
            let below = if level == 0 { "the entry of" } else { "the tiles below it from" };
            VerifyError::at(name, leaf, format!("hash {hash} does not fit {below} leaf {leaf}"))
        }
        (None, Some(at)) => VerifyError::at(name, at as u64, format!("byte {at} is not what the log holds")),
        (_, None) => VerifyError::new(name, format!("has {} bytes where the log has {}", found.len(), expected.len())),
    })
}

#[cfg(test)]
mod tests;
