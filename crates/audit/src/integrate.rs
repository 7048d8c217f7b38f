//! The thread that brings the write-ahead log into the signed tree.
//!
//! Owns everything below `tile/`, the checkpoint and the snapshot of open intents. A checkpoint is signed only over
//! files that are on stable storage, and only for a tree that extends the one before. Never touches a finished tile.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tidegate_core::clock;

use crate::{
    checkpoint::Checkpoint,
    log::Shared,
    note::{SigningKey, VerifierKey},
    ports::sync_dir,
    recover::Snapshot,
    tiles::{Completed, Edge, Tile, partials},
    wal::{Health, INTENT_RESERVE, Leaves, Role},
};

/// Leaves that are taken at once.
const BATCH: usize = 4096;
/// For how long a partial tile that a wider one replaced stays, for readers of the checkpoint before.
const GRACE: Duration = Duration::from_secs(10);
/// How many replaced partial tiles may stay.
const MOST_STALE: usize = 64;
/// For how long leaves gather at most where the disk is quick.
const LONGEST_GATHER: Duration = Duration::from_secs(1);
/// After how many leaves, and after how long, the open intents are noted down: this bounds what the next start reads.
const SNAPSHOT_LEAVES: u64 = 4096;
const SNAPSHOT_AFTER: Duration = Duration::from_secs(5);

/// Why a step did not happen.
enum Halt {
    /// Try again later: nothing is lost.
    Later(io::Error),
    /// The log must be opened anew.
    Broken(Arc<str>),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Later(error)
    }
}

/// What the thread knows.
pub(crate) struct Integrator {
    key: SigningKey,
    edge: Edge,
    /// The checkpoint as its file holds it; empty where there is none yet.
    checkpoint: String,
    /// The open intents of the tree, each with its attempts.
    open: BTreeMap<u64, Vec<u64>>,
    stale: VecDeque<(Instant, Tile)>,
    noted: (u64, Instant),
    failing: bool,
}

impl Integrator {
    pub(crate) fn new(key: SigningKey, edge: Edge, checkpoint: String, open: BTreeMap<u64, Vec<u64>>) -> Self {
        Self { key, edge, checkpoint, open, stale: VecDeque::new(), noted: (u64::MAX, clock::now()), failing: false }
    }

    pub(crate) fn key(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// Takes the next leaves into the tree and signs it. Says how many they were.
    fn step(&mut self, shared: &Shared) -> Result<usize, Halt> {
        let batch = shared.wal.lock().peek(BATCH);
        if batch.is_empty() {
            return Ok(0);
        }
        // What the tree holds must not be lost in the write-ahead log, or the next start would find a gap.
        shared.sync().map_err(Halt::Broken)?;
        let mut edge = self.edge.clone();
        let mut writer = Writer { shared, dirs: BTreeSet::new() };
        let mut completed: Vec<Completed> = Vec::new();
        let mut leaves = Leaves::default();
        for pending in &batch {
            edge.push(leaves.of(pending)?, &mut |tile| completed.push(tile));
            for tile in completed.drain(..) {
                writer.place(&tile.tile.to_string(), &tile.bytes)?;
            }
        }
        let before = partials(self.edge.size());
        let now = partials(edge.size());
        for tile in now.iter().filter(|tile| !before.contains(tile)) {
            if let Some(bytes) = edge.partial(tile) {
                writer.place(&tile.to_string(), &bytes)?;
            }
        }
        writer.sync_dirs()?;
        self.sign(&edge, &mut writer)?;
        let moment = clock::now();
        self.stale.extend(before.into_iter().filter(|tile| !now.contains(tile)).map(|tile| (moment, tile)));
        for (leaf, pending) in (self.edge.size()..).zip(&batch) {
            track(&mut self.open, leaf, pending.role);
        }
        self.edge = edge;
        // First the new size, then the leaves are forgotten: a reader finds each in one place at least.
        shared.integrated.store(self.edge.size(), Ordering::Release);
        let gone = shared.wal.lock().integrated(batch.len());
        for path in gone {
            remove(&path);
        }
        Ok(batch.len())
    }

    fn sign(&mut self, edge: &Edge, writer: &mut Writer<'_>) -> Result<(), Halt> {
        let path = writer.shared.dir.join("checkpoint");
        let found = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        if found != self.checkpoint {
            return Err(Halt::Broken(Arc::from("the audit log's checkpoint was changed by somebody else")));
        }
        let checkpoint =
            Checkpoint { origin: self.key.verifier().name().to_owned(), size: edge.size(), root: edge.root() };
        let note = checkpoint.sign(&self.key);
        writer.place("checkpoint", note.as_bytes())?;
        self.checkpoint = note;
        writer.sync_dirs()
    }

    /// Notes the open intents down, where that is due.
    fn note_open(&mut self, shared: &Shared, closing: bool) -> Result<(), Halt> {
        let (size, since) = self.noted;
        let moved = size != self.edge.size();
        let due = size == u64::MAX
            || self.edge.size().saturating_sub(size) >= SNAPSHOT_LEAVES
            || clock::now().saturating_duration_since(since) >= SNAPSHOT_AFTER;
        if self.edge.size() > 0 && moved && (due || closing) {
            let text = Snapshot::text(self.edge.size(), &self.open);
            let mut writer = Writer { shared, dirs: BTreeSet::new() };
            writer.place("open", text.as_bytes())?;
            writer.sync_dirs()?;
            self.noted = (self.edge.size(), clock::now());
        }
        Ok(())
    }

    fn sweep(&mut self, shared: &Shared, all: bool) {
        while let Some((since, tile)) = self.stale.front() {
            let old = clock::now().saturating_duration_since(*since) >= GRACE;
            if !(all || old || self.stale.len() > MOST_STALE) {
                break;
            }
            let path = shared.dir.join(tile.to_string());
            remove(&path);
            if let Some(dir) = path.parent() {
                // Fails while other partial tiles are in it, which is as it should be.
                let _ = fs::remove_dir(dir);
            }
            self.stale.pop_front();
        }
    }

    fn turn(&mut self, shared: &Shared, closing: bool) -> Option<usize> {
        let result = self.step(shared).and_then(|done| self.note_open(shared, closing).map(|()| done));
        match result {
            Ok(done) => {
                if self.failing {
                    tracing::info!("the audit log's tree is being written again");
                    self.failing = false;
                }
                Some(done)
            }
            Err(Halt::Later(error)) => {
                if !self.failing {
                    tracing::error!(%error, "the audit log's tree cannot be written");
                    self.failing = true;
                }
                None
            }
            Err(Halt::Broken(why)) => {
                shared.wal.lock().break_off(why);
                None
            }
        }
    }
}

/// Follows which intents are open.
pub(crate) fn track(open: &mut BTreeMap<u64, Vec<u64>>, leaf: u64, role: Role) {
    match role {
        Role::Intent => {
            open.insert(leaf, Vec::new());
        }
        Role::Attempt { intent } => {
            if let Some(attempts) = open.get_mut(&intent) {
                attempts.push(leaf);
            }
        }
        Role::Outcome { intent } => {
            open.remove(&intent);
        }
        Role::Other => {}
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "a file that the audit log needs no more stays");
        }
        _ => {}
    }
}

/// Puts whole files in their place: written aside, synced, renamed.
pub(crate) struct Writer<'a> {
    shared: &'a Shared,
    dirs: BTreeSet<PathBuf>,
}

impl Writer<'_> {
    fn sync_failed(what: &Path, error: &io::Error) -> Halt {
        Halt::Broken(Arc::from(format!("{} could not be synced: {error}; restart needed", what.display())))
    }

    fn place(&mut self, name: &str, bytes: &[u8]) -> Result<(), Halt> {
        let disk = &*self.shared.disk;
        let draft = self.shared.dir.join("staging").join("next");
        let path = self.shared.dir.join(name);
        let dir = path.parent().unwrap_or(&self.shared.dir).to_owned();
        remove(&draft);
        let file = disk.create(&draft)?;
        if let Err(error) = disk.write_at(&file, bytes, 0) {
            remove(&draft);
            return Err(error.into());
        }
        disk.sync(&file).map_err(|error| Self::sync_failed(&path, &error))?;
        if !dir.is_dir() {
            fs::create_dir_all(&dir)?;
            self.dirs
                .extend(dir.ancestors().skip(1).take_while(|up| up.starts_with(&self.shared.dir)).map(Path::to_owned));
        }
        disk.rename(&draft, &path)?;
        self.dirs.insert(dir);
        Ok(())
    }

    fn sync_dirs(&mut self) -> Result<(), Halt> {
        for dir in std::mem::take(&mut self.dirs) {
            sync_dir(&*self.shared.disk, &dir).map_err(|error| Self::sync_failed(&dir, &error))?;
        }
        Ok(())
    }
}

/// How long the thread pauses after a turn that took so long. A leaf waits `interval`, or longer where a turn is dear: then
/// the disk and the processor belong to calls for nineteen parts of twenty, up to [`LONGEST_GATHER`], and for four of five
/// beyond.
fn pause(interval: Duration, took: Duration) -> Duration {
    interval.max(took.saturating_mul(19).min(LONGEST_GATHER)).max(took.saturating_mul(4))
}

/// Runs until the log is closed.
pub(crate) fn run(shared: &Shared, mut integrator: Integrator, interval: Duration) {
    let mut wait = interval;
    loop {
        let closing = {
            let mut stop = shared.stop.lock();
            if !*stop {
                shared.stop_signal.wait_for(&mut stop, wait);
            }
            *stop
        };
        let began = clock::now();
        let done = integrator.turn(shared, closing);
        if closing && done.is_none_or(|done| done == 0) {
            integrator.sweep(shared, true);
            return;
        }
        integrator.sweep(shared, false);
        let took = clock::now().saturating_duration_since(began);
        wait = match done {
            Some(BATCH) => Duration::ZERO,
            Some(_) => pause(interval, took),
            None => interval.max(Duration::from_secs(1)),
        };
        let mut wal = shared.wal.lock();
        if matches!(wal.health(), Health::Full(_)) {
            // Nobody sends calls to a gateway that is not ready: it must find out by itself that there is space again.
            let _ = wal.ensure(INTENT_RESERVE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dear_turn_is_followed_by_a_longer_pause() {
        let millis = Duration::from_millis;
        for (took, expected) in [(0, 100), (5, 100), (10, 190), (50, 950), (60, 1_000), (250, 1_000), (500, 2_000)] {
            assert_eq!(pause(millis(100), millis(took)), millis(expected), "{took}");
        }
        assert_eq!(pause(millis(10), millis(1)), millis(19));
    }
}
