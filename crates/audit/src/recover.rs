//! What happens when the log is opened: what the last run left is checked, taken over, or refused.
//!
//! Owns the order of it, and the snapshot of open intents. Never repairs: an unfinished last record is dropped, a
//! changed one refuses the start. Called once, by the log.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_core::ids::{CallId, KeyId, KeyName, OrgId};

use crate::{
    bound::encode,
    checkpoint::Checkpoint,
    integrate::{Integrator, track},
    keys,
    log::{OpenError, OpenOptions, Shared},
    note::{SigningKey, VerifierKey},
    ports::Disk,
    read,
    record::{AttemptRecord, CallKind, Completeness, Entry, OutcomeEntry, OutcomeRecord, Record, ReservationRecord},
    tiles::{Edge, Tile, partials},
    wal::{Frame, OUTCOME_SLOT, Pending, Role, Segment, Wal, WalError, scan, segments},
};

/// A call whose outcome the last run did not record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentSummary {
    /// The leaf of its intent.
    pub leaf: u64,
    /// The leaf of the outcome `unknown` that was recorded for it now.
    pub outcome: u64,
    /// The call.
    pub call: CallId,
    /// The tenant.
    pub org: OrgId,
    /// The key's public part.
    pub key: KeyId,
    /// The key's name.
    pub key_name: KeyName,
    /// Which kind of traffic.
    pub kind: CallKind,
    /// What was set aside, and stays so.
    pub reservation: ReservationRecord,
    /// The attempts that are known.
    pub attempts: Vec<AttemptRecord>,
}

/// What opening the log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Calls that are now on record as unknown.
    pub unknown: Vec<IntentSummary>,
    /// Leaves that were in the write-ahead log only.
    pub replayed: u64,
    /// Bytes of an unfinished last record that were dropped. Nobody was told that it was on record, or it was buffered
    /// and the machine lost power.
    pub dropped_bytes: u64,
    /// How many leaves the log has, those for `unknown` included.
    pub size: u64,
}

/// A log that can run.
pub(crate) struct Opened {
    pub(crate) shared: Shared,
    pub(crate) integrator: Integrator,
    pub(crate) lock: File,
    pub(crate) open: BTreeMap<u64, Vec<u64>>,
    pub(crate) recovery: Recovery,
}

/// The open intents of a tree, as the file `open` holds them: a title, the size, and a line per intent with the leaves
/// of its attempts.
pub(crate) struct Snapshot {
    pub(crate) size: u64,
    pub(crate) open: BTreeMap<u64, Vec<u64>>,
}

const SNAPSHOT_TITLE: &str = "tidegate open intents v1";

impl Snapshot {
    pub(crate) fn text(size: u64, open: &BTreeMap<u64, Vec<u64>>) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{SNAPSHOT_TITLE}\n{size}\n");
        for (intent, attempts) in open {
            // Writing to a string does not fail.
            let _ = write!(text, "{intent}");
            for attempt in attempts {
                let _ = write!(text, " {attempt}");
            }
            text.push('\n');
        }
        text
    }

    /// Reads what [`Snapshot::text`] writes, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|title| *title == SNAPSHOT_TITLE)?;
        let size = lines.next()?.parse().ok()?;
        let mut open = BTreeMap::new();
        for line in lines {
            let mut leaves = line.split(' ').map(str::parse::<u64>);
            let intent = leaves.next()?.ok()?;
            open.insert(intent, leaves.collect::<Result<_, _>>().ok()?);
        }
        (Self::text(size, &open) == text).then_some(Self { size, open })
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

fn read_optional(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path)(error)),
    }
}

/// What a record is to its call.
pub(crate) fn role(entry: &Entry) -> Role {
    match &entry.record {
        Record::Intent(_) => Role::Intent,
        Record::Attempt(record) => Role::Attempt { intent: record.intent },
        Record::Outcome(record) => Role::Outcome { intent: record.intent },
        Record::Refusal(_) | Record::Activation(_) | Record::Summary(_) => Role::Other,
    }
}

pub(crate) fn open(options: OpenOptions) -> Result<Opened, OpenError> {
    let OpenOptions { dir, keys_dir, origin, disk, .. } = options;
    for part in ["wal", "tile", "staging"] {
        let path = dir.join(part);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io_error(&path))?;
    }
    let lock = lock(&dir)?;
    let key = signing_key(&dir, &keys_dir, origin.as_deref())?;
    clear_staging(&dir)?;
    let (checkpoint, note) = checkpoint(&dir, key.verifier())?;
    let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let edge = edge(&dir, checkpoint.as_ref())?;
    clear_partials(&dir, size)?;
    let mut found = replay(&dir, &*disk, size)?;
    let open_in_tree = open_intents(&dir, size)?;
    let mut open = open_in_tree.clone();
    for (leaf, pending) in (size..).zip(&found.pending) {
        track(&mut open, leaf, pending.role);
    }
    let recovery = Recovery {
        unknown: Vec::new(),
        replayed: found.pending.len() as u64,
        dropped_bytes: found.dropped,
        size: found.next,
    };
    let pending = std::mem::take(&mut found.pending);
    let wal = Wal::start(&dir.join("wal"), Arc::clone(&disk), found.next, pending, found.old)
        .map_err(io_error(&dir.join("wal")))?;
    let integrator = Integrator::new(key, edge, note, open_in_tree);
    let shared = Shared::new(dir, disk, wal, size);
    Ok(Opened { shared, integrator, lock, open, recovery })
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(io_error(&path)(error)),
    }
}

fn signing_key(dir: &Path, keys_dir: &Path, origin: Option<&str>) -> Result<SigningKey, OpenError> {
    let path = keys_dir.join("audit-log.key");
    let public = dir.join("log.pub");
    let published = read_optional(&public)?;
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Note { path, source }
    };
    let key = if let Some(text) = keys::read(&path)? {
        SigningKey::parse(&text).map_err(in_file(&path))?
    } else {
        if published.is_some() || dir.join("checkpoint").exists() {
            return Err(OpenError::KeyMissing { dir: dir.to_owned(), key: path });
        }
        let name = match origin {
            Some(name) => name.to_owned(),
            None => format!("tidegate/{}", hex::encode(keys::random()?.iter().take(8).copied().collect::<Vec<u8>>())),
        };
        let seed = keys::random()?;
        let text = SigningKey::text(&name, &seed).map_err(in_file(&path))?;
        keys::create(&path, &text)?;
        SigningKey::from_seed(&name, &seed).map_err(in_file(&path))?
    };
    let ours = key.verifier();
    if let Some(name) = origin.filter(|name| *name != ours.name()) {
        return Err(OpenError::OtherLog { dir: dir.to_owned(), theirs: ours.name().to_owned(), ours: name.to_owned() });
    }
    match published {
        Some(text) => {
            let theirs = VerifierKey::parse(text.trim_end()).map_err(in_file(&public))?;
            if theirs != *ours {
                return Err(OpenError::OtherLog {
                    dir: dir.to_owned(),
                    theirs: theirs.to_string(),
                    ours: ours.to_string(),
                });
            }
        }
        None => {
            let draft = dir.join("staging").join("log.pub");
            fs::write(&draft, format!("{ours}\n"))
                .and_then(|()| File::open(&draft)?.sync_all())
                .and_then(|()| fs::rename(&draft, &public))
                .map_err(io_error(&public))?;
        }
    }
    Ok(key)
}

/// Takes away what the last run had not put in its place.
fn clear_staging(dir: &Path) -> Result<(), OpenError> {
    let staging = dir.join("staging");
    for entry in fs::read_dir(&staging).map_err(io_error(&staging))? {
        let path = entry.map_err(io_error(&staging))?.path();
        fs::remove_file(&path).map_err(io_error(&path))?;
    }
    Ok(())
}

fn checkpoint(dir: &Path, key: &VerifierKey) -> Result<(Option<Checkpoint>, String), OpenError> {
    let path = dir.join("checkpoint");
    match read_optional(&path)? {
        Some(note) => {
            let checkpoint =
                Checkpoint::open(&note, key).map_err(|error| OpenError::Damaged(format!("checkpoint: {error}")))?;
            Ok((Some(checkpoint), note))
        }
        None => Ok((None, String::new())),
    }
}

fn edge(dir: &Path, checkpoint: Option<&Checkpoint>) -> Result<Edge, OpenError> {
    let Some(checkpoint) = checkpoint else { return Ok(Edge::new()) };
    let edge = Edge::restore(checkpoint.size, |tile| {
        let path = dir.join(tile.to_string());
        fs::read(&path).map_err(io_error(&path))
    })?;
    edge.filter(|edge| edge.root() == checkpoint.root).ok_or_else(|| {
        OpenError::Damaged("the tiles do not lead to the checkpoint's root: run `tidegate audit verify`".to_owned())
    })
}

/// Takes away partial tiles that are not the checkpoint's: replaced ones that were still kept for readers, and those
/// that were written for a checkpoint that was never signed.
fn clear_partials(dir: &Path, size: u64) -> Result<(), OpenError> {
    let keep: Vec<PathBuf> = partials(size).iter().map(|tile| dir.join(tile.to_string())).collect();
    let levels = (0..crate::tiles::LEVELS).map(Some).chain([None]);
    for level in levels {
        let span = Tile { level, index: 0, width: 1 }.span();
        let edge = Tile { level, index: size / span / crate::tiles::WIDTH, width: 256 };
        let path = dir.join(edge.to_string());
        let Some(parent) = path.parent().filter(|parent| parent.is_dir()) else { continue };
        for entry in fs::read_dir(parent).map_err(io_error(parent))? {
            let partial = entry.map_err(io_error(parent))?.path();
            if partial.extension().is_none_or(|extension| extension != "p") {
                continue;
            }
            for entry in fs::read_dir(&partial).map_err(io_error(&partial))? {
                let file = entry.map_err(io_error(&partial))?.path();
                if !keep.contains(&file) {
                    fs::remove_file(&file).map_err(io_error(&file))?;
                }
            }
            // Not empty where it holds the checkpoint's own.
            let _ = fs::remove_dir(&partial);
        }
    }
    Ok(())
}

struct Replayed {
    next: u64,
    pending: VecDeque<Pending>,
    old: Vec<(u64, PathBuf)>,
    dropped: u64,
}

/// Reads the write-ahead log and cuts off what was never finished.
fn replay(dir: &Path, disk: &dyn Disk, size: u64) -> Result<Replayed, OpenError> {
    let wal = dir.join("wal");
    let all = segments(&wal, |_| {}).map_err(io_error(&wal))?;
    let mut result = Replayed { next: size, pending: VecDeque::new(), old: Vec::new(), dropped: 0 };
    let mut expected: Option<u64> = None;
    let count = all.len();
    for (number, (first, path)) in all.into_iter().enumerate() {
        let gap = expected.map_or(first > size, |expected| first != expected);
        if gap {
            return Err(OpenError::Damaged(format!(
                "{} begins at leaf {first}, but leaf {} comes next: a segment is missing",
                path.display(),
                expected.unwrap_or(size)
            )));
        }
        let file = File::options().read(true).write(true).open(&path).map_err(io_error(&path))?;
        let segment = Arc::new(Segment { file, path: path.clone() });
        let mut odd = None;
        let found = scan(&path, number + 1 == count, |leaf, offset, payload| {
            if leaf >= size {
                match read::parse(leaf, payload) {
                    Ok(entry) => result.pending.push_back(Pending {
                        segment: Arc::clone(&segment),
                        offset,
                        length: u32::try_from(payload.len()).unwrap_or(0),
                        role: role(&entry),
                    }),
                    Err(error) => odd = Some(error),
                }
            }
        })
        .map_err(|error| match error {
            WalError::Io { path, source } => OpenError::Io { path, source },
            corrupt @ WalError::Corrupt { .. } => OpenError::Damaged(corrupt.to_string()),
        })?;
        if let Some(error) = odd {
            return Err(OpenError::Damaged(error.to_string()));
        }
        result.dropped += found.torn;
        expected = Some(found.next);
        if found.next == found.first {
            drop(segment);
            fs::remove_file(&path).map_err(io_error(&path))?;
            continue;
        }
        segment.file.set_len(found.end).and_then(|()| disk.sync(&segment.file)).map_err(io_error(&path))?;
        result.old.push((found.next, path));
    }
    result.next = expected.unwrap_or(size).max(size);
    if result.dropped > 0 {
        tracing::warn!(bytes = result.dropped, "dropped an unfinished record at the end of the audit log");
    }
    Ok(result)
}

/// The open intents of the tree: from the snapshot, and every entry since.
fn open_intents(dir: &Path, size: u64) -> Result<BTreeMap<u64, Vec<u64>>, OpenError> {
    let snapshot = read_optional(&dir.join("open"))?.as_deref().and_then(Snapshot::parse);
    let Snapshot { size: from, mut open } =
        snapshot.filter(|snapshot| snapshot.size <= size).unwrap_or(Snapshot { size: 0, open: BTreeMap::new() });
    let mut reader = read::Bundles::default();
    for leaf in from..size {
        let entry = reader
            .get(dir, leaf, size)
            .and_then(|bytes| read::parse(leaf, &bytes))
            .map_err(|error| OpenError::Damaged(error.to_string()))?;
        track(&mut open, leaf, role(&entry));
    }
    Ok(open)
}

/// Puts on record that the outcome of every open intent is unknown.
pub(crate) fn end_open_intents(
    shared: &Arc<Shared>,
    open: BTreeMap<u64, Vec<u64>>,
    mut recovery: Recovery,
) -> Result<Recovery, OpenError> {
    let damaged = |leaf: u64| OpenError::Damaged(format!("leaf {leaf} is not what the open intents say"));
    let entry = |leaf| -> Result<Entry, OpenError> {
        let bytes = read::live(shared, leaf).map_err(|error| OpenError::Damaged(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| damaged(leaf))?;
        read::parse(leaf, &bytes).map_err(|error| OpenError::Damaged(error.to_string()))
    };
    for (leaf, attempt_leaves) in open {
        let Record::Intent(intent) = entry(leaf)?.record else { return Err(damaged(leaf)) };
        let mut attempts = Vec::new();
        for attempt in attempt_leaves {
            let Record::Attempt(found) = entry(attempt)?.record else { return Err(damaged(attempt)) };
            attempts.push(found.attempt);
        }
        let mut outcome = OutcomeRecord::new(Completeness::Unknown, 0);
        outcome.attempts = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        let record = OutcomeEntry {
            call: intent.call,
            org: intent.caller.org.clone(),
            key: intent.caller.key,
            intent: leaf,
            outcome,
        };
        let unavailable = |error: &dyn std::fmt::Display| OpenError::Unavailable(error.to_string());
        let mut buffer = Frame::buffer();
        encode(record, &mut buffer).map_err(|error| unavailable(&error))?;
        let outcome = shared
            .append(Frame::seal(buffer), Role::Outcome { intent: leaf }, OUTCOME_SLOT, 0)
            .map_err(|error| unavailable(&error))?;
        recovery.unknown.push(IntentSummary {
            leaf,
            outcome,
            call: intent.call,
            org: intent.caller.org,
            key: intent.caller.key,
            key_name: intent.caller.key_name,
            kind: intent.kind,
            reservation: intent.reservation,
            attempts,
        });
    }
    shared.sync().map_err(|why| OpenError::Unavailable(why.to_string()))?;
    recovery.size = shared.wal.lock().next();
    Ok(recovery)
}

#[cfg(test)]
mod tests;
