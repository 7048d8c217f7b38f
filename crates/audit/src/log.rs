//! The running log: opening it, appending to it, closing it.
//!
//! Owns the two threads (group commit, integration) and what they share with appenders. One process has a log open at
//! a time. Never decides about calls. The proxy appends, the binary opens and closes, the admin API asks for its state.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    bound::{Bounded, encode},
    integrate::{self, Integrator},
    intent::{AuditUnavailable, Class, Intent, Unsent},
    keys::KeyError,
    note::{NoteError, VerifierKey},
    ports::{Disk, OsDisk},
    read::{self, ReadError, RecordsFrom},
    record::{ActivationRecord, Entry, IntentRecord, RefusalRecord, SummaryRecord},
    recover::{self, Recovery},
    wal::{Frame, Health, INTENT_RESERVE, Role, Wal},
};

/// Where the log is and what it is called.
#[derive(Clone)]
pub struct OpenOptions {
    /// The log's directory; made if it is missing.
    pub dir: PathBuf,
    /// The directory of the signing key `audit-log.key`; made if it is missing.
    pub keys_dir: PathBuf,
    /// The log's name in its checkpoints, for a log that is begun now; `None` makes `tidegate/` and eight random bytes
    /// in hexadecimal. A log that exists keeps its name, and another one given here is refused.
    pub origin: Option<String>,
    /// How long a record may wait for its place in the signed tree while the log is busy; default 100 ms.
    pub interval: Duration,
    /// The disk; default [`OsDisk`].
    pub disk: Arc<dyn Disk>,
}

impl OpenOptions {
    /// The log in `dir`, with its key in `keys_dir`, everything else as by default.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, keys_dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            keys_dir: keys_dir.into(),
            origin: None,
            interval: Duration::from_millis(100),
            disk: Arc::new(OsDisk),
        }
    }
}

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the audit log {0} is in use by another process; stop that one first")]
    Locked(PathBuf),
    /// The file system said no.
    #[error("audit log: {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The signing key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A log is there, but not the key that signs it.
    #[error("the audit log {dir} exists, but its signing key {key} does not: restore the key, or move the log away")]
    KeyMissing {
        /// The log.
        dir: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The key or the name belongs to another log.
    #[error("the audit log {dir} belongs to `{theirs}`, not to `{ours}`")]
    OtherLog {
        /// The log.
        dir: PathBuf,
        /// Whose it is.
        theirs: String,
        /// Whose it was expected to be.
        ours: String,
    },
    /// A key or a checkpoint is malformed.
    #[error("audit log: {path}: {source}")]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
    /// Something in the log was changed.
    #[error("the audit log is damaged, and is not repaired by itself: {0}")]
    Damaged(String),
    /// Threads could not be started, or the log failed while it was being opened.
    #[error("the audit log does not run: {0}")]
    Unavailable(String),
}

/// The state of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether records are taken.
    pub writable: bool,
    /// Why not, in words.
    pub reason: Option<String>,
    /// Leaves appended.
    pub appended: u64,
    /// Leaves in the signed tree.
    pub integrated: u64,
    /// Leaves that are known to be on stable storage.
    pub synced: u64,
    /// How often the log was synced for durable records.
    pub syncs: u64,
}

#[derive(Default)]
struct Commit {
    waiting: Vec<oneshot::Sender<Result<(), Arc<str>>>>,
    stop: bool,
}

/// What appenders and threads share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) wal: Mutex<Wal>,
    pub(crate) integrated: AtomicU64,
    synced: AtomicU64,
    syncs: AtomicU64,
    commit: Mutex<Commit>,
    commit_signal: Condvar,
    pub(crate) stop: Mutex<bool>,
    pub(crate) stop_signal: Condvar,
}

impl Shared {
    pub(crate) fn new(dir: PathBuf, disk: Arc<dyn Disk>, wal: Wal, integrated: u64) -> Self {
        let synced = AtomicU64::new(wal.next());
        Self {
            dir,
            disk,
            wal: Mutex::new(wal),
            integrated: AtomicU64::new(integrated),
            synced,
            syncs: AtomicU64::new(0),
            commit: Mutex::default(),
            commit_signal: Condvar::new(),
            stop: Mutex::new(false),
            stop_signal: Condvar::new(),
        }
    }

    /// Appends a frame that needs `needed` bytes besides what is reserved, then gives `release` reserved bytes back,
    /// also where appending failed.
    pub(crate) fn append(&self, frame: Frame, role: Role, needed: u64, release: u64) -> Result<u64, AuditUnavailable> {
        let synced = self.synced.load(Ordering::Acquire);
        let mut wal = self.wal.lock();
        let result =
            if needed > 0 { wal.ensure(needed) } else { Ok(()) }.and_then(|()| wal.append(None, frame, role, synced));
        wal.release(release);
        result.map_err(AuditUnavailable)
    }

    /// Appends a frame, and one before it, for which there is room in what is reserved; gives `release` bytes of that
    /// back, also where appending failed.
    pub(crate) fn append_reserved(
        &self,
        before: Option<(Frame, Role)>,
        frame: Frame,
        role: Role,
        release: u64,
    ) -> Result<u64, AuditUnavailable> {
        let synced = self.synced.load(Ordering::Acquire);
        let mut wal = self.wal.lock();
        let result = wal.append(before, frame, role, synced);
        wal.release(release);
        result.map_err(AuditUnavailable)
    }

    fn append_intent(&self, frame: Frame) -> Result<u64, AuditUnavailable> {
        let synced = self.synced.load(Ordering::Acquire);
        let mut wal = self.wal.lock();
        wal.ensure(frame.0.len() as u64 + INTENT_RESERVE).map_err(AuditUnavailable)?;
        let leaf = wal.append(None, frame, Role::Intent, synced).map_err(AuditUnavailable)?;
        wal.reserve(INTENT_RESERVE);
        Ok(leaf)
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.wal.lock().release(bytes);
    }

    /// Brings every record appended so far to stable storage. An error breaks the log off: after a failed sync the
    /// system may have forgotten what was written, so only the disk itself can tell, at the next start.
    pub(crate) fn sync(&self) -> Result<(), Arc<str>> {
        let (segment, next) = {
            let wal = self.wal.lock();
            if let Health::Broken(why) = wal.health() {
                return Err(Arc::clone(why));
            }
            (wal.segment(), wal.next())
        };
        if self.synced.load(Ordering::Acquire) >= next {
            return Ok(());
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        match self.disk.sync(&segment.file) {
            Ok(()) => {
                self.synced.fetch_max(next, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => {
                let why: Arc<str> = Arc::from(format!("the audit log could not be synced: {error}; restart needed"));
                self.wal.lock().break_off(Arc::clone(&why));
                Err(why)
            }
        }
    }

    /// Waits until everything appended so far is on stable storage, together with everybody else who waits.
    async fn durable(&self) -> Result<(), AuditUnavailable> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut commit = self.commit.lock();
            if commit.stop {
                return Err(AuditUnavailable(Arc::from("the audit log is closed")));
            }
            commit.waiting.push(sender);
        }
        self.commit_signal.notify_one();
        match receiver.await {
            Ok(result) => result.map_err(AuditUnavailable),
            Err(_) => Err(AuditUnavailable(Arc::from("the commit thread ended"))),
        }
    }

    fn commit_loop(&self) {
        loop {
            let waiting = {
                let mut commit = self.commit.lock();
                while commit.waiting.is_empty() && !commit.stop {
                    self.commit_signal.wait(&mut commit);
                }
                if commit.waiting.is_empty() {
                    return;
                }
                std::mem::take(&mut commit.waiting)
            };
            let result = self.sync();
            for sender in waiting {
                // Whoever does not listen any more has ended the intent itself.
                let _ = sender.send(result.clone());
            }
        }
    }

    fn status(&self) -> Status {
        let wal = self.wal.lock();
        let reason = match wal.health() {
            Health::Good => None,
            Health::Full(why) | Health::Broken(why) => Some(why.to_string()),
            Health::Closed => Some("the audit log is closed".to_owned()),
        };
        Status {
            writable: reason.is_none() && wal.has_room(),
            reason,
            appended: wal.next(),
            integrated: self.integrated.load(Ordering::Acquire),
            synced: self.synced.load(Ordering::Acquire),
            syncs: self.syncs.load(Ordering::Relaxed),
        }
    }
}

/// Breaks the log off when its thread ends by a panic.
struct Guard(Arc<Shared>, &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.wal.lock().break_off(format!("the {} thread ended by a defect", self.1));
        }
    }
}

/// The audit log, open for appending. Share it in an `Arc`.
pub struct Audit {
    shared: Arc<Shared>,
    key: VerifierKey,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("dir", &self.shared.dir).field("status", &self.status()).finish()
    }
}

impl Audit {
    /// Opens the log, or begins one; recovers what the last run left. Blocks on the disk: call it at start.
    ///
    /// # Errors
    /// Where the log is in use, its key is missing, or anything in it was changed.
    pub fn open(options: OpenOptions) -> Result<(Self, Recovery), OpenError> {
        let interval = options.interval;
        let opened = recover::open(options)?;
        let shared = Arc::new(opened.shared);
        let key = opened.integrator.key().clone();
        let integrator: Integrator = opened.integrator;
        let audit = Self { shared, key, threads: Mutex::default(), lock: Mutex::new(Some(opened.lock)) };
        let shared = Arc::clone(&audit.shared);
        audit.spawn("audit-commit", move || {
            let _guard = Guard(Arc::clone(&shared), "commit");
            shared.commit_loop();
        })?;
        let shared = Arc::clone(&audit.shared);
        audit.spawn("audit-integrate", move || {
            let _guard = Guard(Arc::clone(&shared), "integration");
            integrate::run(&shared, integrator, interval);
        })?;
        let recovery = recover::end_open_intents(&audit.shared, opened.open, opened.recovery)?;
        Ok((audit, recovery))
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|error| OpenError::Unavailable(error.to_string()))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// The key that checks this log's checkpoints.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The log's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Puts an intent on record, with room for what follows it. For [`Class::Durable`] it waits until the record is
    /// on stable storage. [`Class::Off`] is recorded as buffered: leaving the record out takes
    /// [`crate::AuditPlan::intent_off`].
    ///
    /// # Errors
    /// Where the log takes no records: nothing may be sent then.
    pub async fn intent(&self, class: Class, record: IntentRecord) -> Result<Intent, AuditUnavailable> {
        let (call, org, key) = (record.call, record.caller.org.clone(), record.caller.key);
        let frame = frame(record)?;
        let leaf = self.shared.append_intent(frame)?;
        let intent = Intent::on(Arc::clone(&self.shared), leaf, call, org, key);
        if class != Class::Durable {
            return Ok(intent);
        }
        let mut unsent = Unsent(Some(intent));
        let durable = self.shared.durable().await;
        let Some(intent) = unsent.0.take() else {
            return Err(AuditUnavailable(Arc::from("the intent was lost")));
        };
        match durable {
            Ok(()) => Ok(intent),
            Err(error) => {
                intent.void("audit_unavailable");
                Err(error)
            }
        }
    }

    fn record<R: Bounded>(&self, record: R) -> Result<u64, AuditUnavailable> {
        let frame = frame(record)?;
        let needed = frame.0.len() as u64;
        self.shared.append(frame, Role::Other, needed, 0)
    }

    /// Puts a call on record that ended before anything was sent. With [`Class::Off`] nothing is recorded, and there is
    /// no leaf.
    ///
    /// # Errors
    /// Where the log takes no records.
    pub async fn refusal(&self, class: Class, record: RefusalRecord) -> Result<Option<u64>, AuditUnavailable> {
        if class == Class::Off {
            return Ok(None);
        }
        let leaf = self.record(record)?;
        if class == Class::Durable {
            self.shared.durable().await?;
        }
        Ok(Some(leaf))
    }

    /// As [`Audit::refusal`] of a buffered class, without waiting: for the ways out that cannot wait.
    ///
    /// # Errors
    /// Where the log takes no records.
    pub fn refusal_now(&self, record: RefusalRecord) -> Result<u64, AuditUnavailable> {
        self.record(record)
    }

    /// Puts on record that a revision became active.
    ///
    /// # Errors
    /// Where the log takes no records.
    pub fn activation(&self, record: ActivationRecord) -> Result<u64, AuditUnavailable> {
        self.record(record)
    }

    /// Puts on record how many calls were only counted.
    ///
    /// # Errors
    /// Where the log takes no records.
    pub fn summary(&self, record: SummaryRecord) -> Result<u64, AuditUnavailable> {
        self.record(record)
    }

    /// Whether records are taken: part of readiness.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.shared.status().writable
    }

    /// The log's state.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// The entry at `leaf`; `None` where the log is shorter. Blocks on the disk.
    ///
    /// # Errors
    /// Where a file cannot be read or does not hold what it should.
    pub fn entry(&self, leaf: u64) -> Result<Option<Entry>, ReadError> {
        match read::live(&self.shared, leaf)? {
            Some(bytes) => read::parse(leaf, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The entries from `leaf` on, up to the last one that is appended now. Blocks on the disk.
    #[must_use]
    pub fn records_from(&self, leaf: u64) -> RecordsFrom {
        RecordsFrom::new(Arc::clone(&self.shared), leaf)
    }

    /// Every entry about a call, oldest first, by its time: searches the log from shortly before the call's id was
    /// made, at most `most` entries far. Blocks on the disk.
    ///
    /// # Errors
    /// Where a file cannot be read or does not hold what it should.
    pub fn find(&self, call: tidegate_core::ids::CallId, most: u64) -> Result<Vec<(u64, Entry)>, ReadError> {
        read::find(&self.shared, call, most)
    }

    /// Takes no more records, brings everything into the signed tree, and lets go of the directory. Intents that are
    /// still open are reported as unknown by the next start. Blocks on the disk.
    pub fn close(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        self.shared.wal.lock().close();
        *self.shared.stop.lock() = true;
        self.shared.stop_signal.notify_all();
        self.shared.commit.lock().stop = true;
        self.shared.commit_signal.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the audit log ended by a defect");
            }
        }
        self.lock.lock().take();
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
impl Audit {
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

fn frame<R: Bounded>(record: R) -> Result<Frame, AuditUnavailable> {
    let mut buffer = Frame::buffer();
    encode(record, &mut buffer).map_err(|error| AuditUnavailable(Arc::from(error.to_string())))?;
    Ok(Frame::seal(buffer))
}

#[cfg(test)]
mod tests;
