//! The gateway's own batches: files of requests that it runs by itself, each line as a call of its own.
//!
//! Owns which batches run, how many lines run at once, and how much space files take. Whose a file or batch is, its id
//! says: the gateway's own begin with a prefix that no provider's has. Lines go through the pipeline like every call, as
//! the key that made the batch, behind interactive traffic. Fed by decode ([`claim`]) and answered through `here`;
//! [`run`] runs a batch to its end.

mod answer;
mod check;
pub(crate) mod claim;
mod input;
mod line;
pub(crate) mod receive;
mod run;
mod shown;
mod slots;
mod upload;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tidegate_core::{
    batches::{BatchId, BatchStore, BatchStoreError, Content, ContentStore, FileId, StoredBatch, StoredFile},
    clock::UnixMillis,
    fault::{Fault, FaultCode},
};
use tidegate_upstream::task;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use self::answer::{Ask, answer};
use self::slots::Slots;
use crate::gate::Gate;

/// The most batches that are not at their end at the same time.
const MOST_RUNNING: usize = 1_000;

/// How long a batch has.
const WINDOW: Duration = Duration::from_secs(86_400);

/// A batch that runs, as it stands now.
pub(crate) struct Running {
    /// Looked at by whoever answers for it: never held while a disk writes.
    state: Mutex<StoredBatch>,
    /// Held while the state is written, and taken before it is looked at for that, so that what is written last is what is
    /// so.
    keeping: Mutex<()>,
    cancel: CancellationToken,
}

/// The batches of this gateway.
pub struct Batches {
    store: Arc<dyn BatchStore>,
    contents: Arc<dyn ContentStore>,
    running: Mutex<HashMap<BatchId, Arc<Running>>>,
    slots: Slots,
    /// Bytes of every file, and of the answers that are not in one yet.
    bytes: AtomicU64,
    stop: CancellationToken,
    left: Notify,
}

impl Batches {
    /// No batch yet: [`Batches::resume`] finds those of before.
    #[must_use]
    pub fn new(store: Arc<dyn BatchStore>, contents: Arc<dyn ContentStore>) -> Self {
        Self {
            store,
            contents,
            running: Mutex::default(),
            slots: Slots::default(),
            bytes: AtomicU64::new(0),
            stop: CancellationToken::new(),
            left: Notify::new(),
        }
    }

    /// Takes up the batches that had not ended when the last process did, and erases what it left half made. Blocks on
    /// the disk; called once, in the runtime, before anybody is listened to.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn resume(gate: &Arc<Gate>) -> Result<usize, BatchStoreError> {
        let own = &gate.batches;
        // What cannot be looked up is kept.
        own.contents.tidy(&|id| own.store.has_file(id).unwrap_or(true))?;
        own.bytes.store(own.store.bytes()?, Ordering::Relaxed);
        let unended = own.store.unended()?;
        let count = unended.len();
        for batch in unended {
            own.start(gate, batch);
        }
        Ok(count)
    }

    /// Begins no further line, and waits until those in flight have ended, at most for `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        let ended = async {
            loop {
                let left = self.left.notified();
                if self.running.lock().is_empty() {
                    return;
                }
                left.await;
            }
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("some lines of batches had not ended when the time to drain was over");
        }
    }

    /// Erases files whose time is over, and forgets batches that have none left and ended `keep` ago at least. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// Where something could not be erased; it is tried again the next time.
    pub fn sweep(&self, keep: Duration, now: UnixMillis) -> Result<(), BatchStoreError> {
        for file in self.store.over(now)? {
            if !self.reads(file.id) {
                self.erase(&file)?;
            }
        }
        // When a batch ended is not looked up by; how long it may have taken is known.
        let longest = u64::try_from(keep.saturating_add(WINDOW).as_millis()).unwrap_or(u64::MAX);
        self.store.forget_batches(UnixMillis(now.0.saturating_sub(longest)))?;
        Ok(())
    }

    /// Runs `batch` from here on, whatever state it is in.
    fn start(&self, gate: &Arc<Gate>, batch: StoredBatch) {
        let id = batch.id;
        let (state, keeping, cancel) = (Mutex::new(batch), Mutex::default(), CancellationToken::new());
        let running = Arc::new(Running { state, keeping, cancel });
        self.running.lock().insert(id, Arc::clone(&running));
        let gate = Arc::clone(gate);
        let _ = task::spawn("batch", async move {
            let left = Left { gate: Arc::clone(&gate), id };
            run::run(&gate, &running).await;
            drop(left);
        });
    }

    /// A batch that runs.
    fn running(&self, id: BatchId) -> Option<Arc<Running>> {
        self.running.lock().get(&id).cloned()
    }

    /// Whether a batch that has not ended reads this file.
    fn reads(&self, id: FileId) -> bool {
        self.running.lock().values().any(|running| running.state.lock().input == id)
    }

    /// Whether so many further bytes are more than `storage` takes.
    fn is_full(&self, more: u64, storage: u64) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(more) > storage
    }

    /// Erases a file: what is known of it first, so that nothing is known that is not there.
    fn erase(&self, file: &StoredFile) -> Result<bool, BatchStoreError> {
        if !self.store.forget_file(file.id)? {
            return Ok(false);
        }
        let fewer = |bytes: u64| Some(bytes.saturating_sub(file.bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        match file.content {
            Content::Uploaded => self.contents.erase(file.id)?,
            Content::Answers(batch) | Content::Failures(batch) => {
                let known = self.store.batch(&file.owner, batch)?;
                let files = known.into_iter().flat_map(|batch| [batch.output, batch.error]).flatten();
                for other in files {
                    if self.store.file(&file.owner, other)?.is_some() {
                        return Ok(true);
                    }
                }
                self.contents.erase_log(batch)?;
            }
        }
        Ok(true)
    }
}

/// Takes a batch off the list when its task ends, however it does.
struct Left {
    gate: Arc<Gate>,
    id: BatchId,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.gate.batches.running.lock().remove(&self.id);
        self.gate.batches.left.notify_waiters();
    }
}

/// Runs what blocks on the disk beside the runtime.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BatchStoreError> + Send + 'static,
) -> Result<T, BatchStoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BatchStoreError(format!("could not be asked: {error}"))))
}

/// What a caller is told of a disk that does not take or give something.
fn unkept(error: BatchStoreError) -> Fault {
    let words = "The gateway's store of files and batches does not answer at the moment: try again in a moment.";
    Fault::new(FaultCode::Overloaded, words).with_source(error)
}

fn no_such(what: &str) -> Fault {
    Fault::new(FaultCode::NotFound, format!("There is no such {what}, or it is another's."))
}
