//! What the tests share: sample records, a disk that fails on demand, and a second verifier from other hands.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_core::{
    clock::UnixMillis,
    event::{Stage, StageEvent, StageVerdict},
    facts::Action,
    fault::Phase,
    ids::{CallId, Digest, RevisionId, TargetId},
    money::NanoUsd,
    usage::Usage,
};

use crate::{
    Audit, OpenOptions, Recovery,
    ports::{Disk, OsDisk},
    record::{
        AttemptRecord, CallKind, Caller, Completeness, IntentRecord, OutcomeRecord, RefusalRecord, ReservationRecord,
        SummaryRecord,
    },
};

pub(crate) fn caller() -> Caller {
    Caller {
        org: "default".into(),
        key: "abcd1234".parse().unwrap(),
        key_name: "team-a".into(),
        team: Some("research".into()),
        chain: Vec::new(),
    }
}

fn stages() -> Vec<StageEvent> {
    Stage::ALL
        .into_iter()
        .map(|stage| StageEvent { stage, verdict: StageVerdict::Pass, micros: 7, detail: None })
        .collect()
}

pub(crate) fn intent() -> IntentRecord {
    let revision = RevisionId(Digest::of(b"revision"));
    let mut record = IntentRecord::new(CallId::new(), caller(), CallKind::Model, Action::InvokeModel, revision);
    record.surface = "openai".into();
    record.resource = "sim/chat".into();
    record.model = Some("chat".into());
    record.targets = vec![TargetId::new("sim", "chat"), TargetId::new("openai", "gpt")];
    record.policies = vec!["allow-team-a".into()];
    record.reservation = ReservationRecord { amount: Some(NanoUsd(1_500_000)), input_tokens: 100, output_tokens: 256 };
    record.digests = record.digests.with_request(&Digest::of(b"body"));
    record.stages = stages().into_iter().take(7).collect();
    record
}

pub(crate) fn attempt(number: u32) -> AttemptRecord {
    AttemptRecord {
        number,
        target: "sim/chat".into(),
        started: UnixMillis(1),
        millis: 5,
        phase: Phase::FirstEvent,
        status: Some(503),
        fault: Some("upstream_error".into()),
        may_be_billed: false,
        omitted: Default::default(),
    }
}

pub(crate) fn outcome() -> OutcomeRecord {
    let mut record = OutcomeRecord::new(Completeness::Complete, 200);
    record.served_by = Some("sim/chat".into());
    record.attempts = 1;
    record.usage = Some(Usage { input: 10, output: 20, ..Usage::default() });
    record.cost = Some(NanoUsd(90_000));
    record.digests = record.digests.with_response(&Digest::of(b"answer"));
    record.stages = stages();
    record
}

pub(crate) fn refusal() -> RefusalRecord {
    let mut outcome = OutcomeRecord::new(Completeness::Complete, 403);
    outcome.fault = Some("policy_denied".into());
    RefusalRecord { call: intent(), outcome }
}

/// A record unlike every other one.
pub(crate) fn summary() -> SummaryRecord {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    SummaryRecord {
        since: UnixMillis(NUMBER.fetch_add(1, Ordering::SeqCst)),
        until: UnixMillis(60_000),
        source: "192.0.2.0/24".into(),
        counts: [(Arc::from("unauthenticated"), 3)].into(),
        omitted: Default::default(),
    }
}

/// A log in a directory of its own.
pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
    pub(crate) disk: Arc<FaultyDisk>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), disk: Arc::default() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("audit")
    }

    pub(crate) fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new(self.dir(), self.root.path().join("keys"));
        options.disk = Arc::clone(&self.disk) as Arc<dyn Disk>;
        options.interval = Duration::from_millis(10);
        options
    }

    pub(crate) fn open(&self) -> (Audit, Recovery) {
        Audit::open(self.options()).unwrap()
    }

    /// What is on disk at this moment, as another place: what `kill -9` leaves. The log's threads go on meanwhile, so
    /// a copy that is of no one moment is made again.
    pub(crate) fn killed(&self) -> Self {
        for _ in 0..100 {
            let copy = Self::new();
            let before = self.signature();
            copy_tree(self.root.path(), copy.root.path());
            if self.signature() == before {
                return copy;
            }
        }
        panic!("the log never stood still");
    }

    fn signature(&self) -> (Vec<(PathBuf, u64)>, Option<Vec<u8>>) {
        let sizes = files(self.root.path())
            .into_iter()
            .map(|path| (path.clone(), fs::metadata(&path).map_or(0, |data| data.len())))
            .collect();
        (sizes, fs::read(self.dir().join("checkpoint")).ok())
    }

    pub(crate) fn verify(&self) -> Result<crate::verify::Report, crate::verify::VerifyError> {
        crate::verify::verify(&self.dir(), None)
    }
}

/// Copies a folder that may be changing: what goes away in between was not there.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            let _ = fs::copy(entry.path(), target);
        }
    }
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return all };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what} did not happen within five seconds");
}

/// A disk with a size, that can also fail to sync, or stand still from a certain operation on.
#[derive(Default)]
pub(crate) struct FaultyDisk {
    /// The operation from which on nothing is done any more, counted from one; zero is never.
    pub(crate) still_at: AtomicU64,
    pub(crate) operations: AtomicU64,
    /// Bytes that files may grow by from now on; zero is unlimited.
    pub(crate) space: AtomicU64,
    pub(crate) full: AtomicBool,
    pub(crate) fail_sync: AtomicBool,
    pub(crate) slow_sync_ms: AtomicU64,
}

impl FaultyDisk {
    fn moves(&self) -> io::Result<()> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst) + 1;
        let still_at = self.still_at.load(Ordering::SeqCst);
        if still_at > 0 && number >= still_at { Err(io::Error::other("the machine stands still")) } else { Ok(()) }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.moves()?;
        OsDisk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.moves()?;
        OsDisk.rename(from, to)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.moves()?;
        let grows = (offset + bytes.len() as u64).saturating_sub(file.metadata()?.len());
        if grows > 0 && self.full.load(Ordering::SeqCst) {
            if self.space.load(Ordering::SeqCst) < grows {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.space.fetch_sub(grows, Ordering::SeqCst);
        }
        OsDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.moves()?;
        if self.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        let slow = self.slow_sync_ms.load(Ordering::SeqCst);
        if slow > 0 {
            std::thread::sleep(Duration::from_millis(slow));
            return Ok(());
        }
        // The page cache is as good as the disk for a test that does not lose power.
        let _ = file;
        Ok(())
    }
}

/// The verifier from other hands: the crates `signed_note` and `tlog_tiles`.
pub(crate) mod second {
    use signed_note::{Note, StandardVerifier, VerifierList};
    use tlog_tiles::{Checkpoint, Error, HashReader, Tile, TileHashReader, TileReader, record_hash, stored_hash_index};

    use super::{Path, fs};

    struct Files<'a>(&'a Path);

    impl TileReader for Files<'_> {
        fn height(&self) -> u8 {
            8
        }

        fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
            tiles
                .iter()
                .map(|tile| {
                    let path = tile.path();
                    let path = path.strip_prefix("tile/8/").ok_or(Error::BadMath)?;
                    fs::read(self.0.join("tile").join(path)).map_err(|_| Error::BadMath)
                })
                .collect()
        }

        fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
    }

    fn say(error: &dyn std::fmt::Display) -> String {
        error.to_string()
    }

    /// Checks the checkpoint, every tile it commits to, and every entry. Returns the size.
    pub(crate) fn verify(dir: &Path, vkey: &str) -> Result<u64, String> {
        tree(dir, &checkpoint(dir, vkey)?)
    }

    /// Checks the checkpoint's signature.
    pub(crate) fn checkpoint(dir: &Path, vkey: &str) -> Result<Checkpoint, String> {
        let note = Note::from_bytes(&fs::read(dir.join("checkpoint")).map_err(|error| say(&error))?)
            .map_err(|error| say(&error))?;
        let verifier = StandardVerifier::new(vkey).map_err(|error| format!("{error:?}"))?;
        note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|error| say(&error))?;
        Checkpoint::from_bytes(note.text()).map_err(|error| say(&error))
    }

    /// Checks every tile and every entry that the checkpoint commits to.
    pub(crate) fn tree(dir: &Path, checkpoint: &Checkpoint) -> Result<u64, String> {
        let size = checkpoint.size();
        let tiles = Files(dir);
        let reader = TileHashReader::new(size, *checkpoint.hash(), &tiles);
        let indexes: Vec<u64> = (0..size).map(|leaf| stored_hash_index(0, leaf)).collect();
        let hashes = reader.read_hashes(&indexes).map_err(|error| format!("{error:?}"))?;
        let mut leaf = 0;
        while leaf < size {
            let width = (size - leaf).min(256);
            let mut tile = Tile::new(8, 0, leaf / 256, u32::try_from(width).unwrap(), false);
            tile.set_is_data();
            let path = tile.path().replace("tile/8/data/", "tile/entries/");
            let bytes = fs::read(dir.join(&path)).map_err(|error| say(&error))?;
            let mut rest = bytes.as_slice();
            for _ in 0..width {
                let (length, after) = rest.split_first_chunk::<2>().ok_or("short bundle")?;
                let (entry, after) =
                    after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or("short entry")?;
                if record_hash(entry) != hashes[usize::try_from(leaf).unwrap()] {
                    return Err(format!("leaf {leaf} differs"));
                }
                rest = after;
                leaf += 1;
            }
            if !rest.is_empty() {
                return Err("long bundle".into());
            }
        }
        Ok(size)
    }
}
