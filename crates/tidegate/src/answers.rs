//! The store of answers that are given again: encrypted files in the data directory, which all processes on it share.
//!
//! Owns a bounded queue and the thread that writes. Reads happen on the caller's thread. Never waits for a full queue: an
//! answer that there is no room for is not stored, and the next one to ask is answered anew.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use parking_lot::{Condvar, Mutex};
use tidegate_audit::blob::Blobs;
use tidegate_core::{
    clock::{self, UnixMillis},
    ids::Digest,
};
use tidegate_proxy::{AnswerStore, LARGEST_STORED};

/// Bytes that may wait to be written.
const MOST_WAITING: usize = 16 << 20;

/// How often the files are looked at, where there is room.
const RARELY: Duration = Duration::from_secs(300);

struct Waiting {
    name: Digest,
    answer: Vec<u8>,
    until: UnixMillis,
}

#[derive(Default)]
struct Queue {
    answers: VecDeque<Waiting>,
    bytes: usize,
    stop: bool,
}

struct Shared {
    files: Blobs,
    queue: Mutex<Queue>,
    signal: Condvar,
    /// Bytes that are stored, as far as this process knows: counted at each trim, and added to since.
    stored: AtomicU64,
    trimmed: Mutex<Option<Instant>>,
}

/// Answers as files.
pub(crate) struct StoredAnswers {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl StoredAnswers {
    /// Opens the store over `files` and starts the thread that writes.
    pub(crate) fn start(files: Blobs) -> Result<Arc<Self>> {
        let (queue, signal, stored) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        let shared = Arc::new(Shared { files, queue, signal, stored, trimmed: Mutex::default() });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("answers".to_owned()).spawn(move || run(&own));
        let thread = thread.context("answers cannot be stored")?;
        Ok(Arc::new(Self { shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Does [`Self::trim`] once in a while: it looks at every file.
    pub(crate) fn tidy(&self, most: u64) {
        let last = *self.shared.trimmed.lock();
        let full = self.shared.stored.load(Ordering::Relaxed) > most.saturating_sub(most / 20);
        if full || last.is_none_or(|last| clock::now().saturating_duration_since(last) > RARELY) {
            self.trim(most);
        }
    }

    /// Erases what is past its time, and what is more than `most` bytes.
    pub(crate) fn trim(&self, most: u64) {
        *self.shared.trimmed.lock() = Some(clock::now());
        match self.shared.files.trim_named(most, clock::wall()) {
            Ok(bytes) => self.shared.stored.store(bytes, Ordering::Relaxed),
            Err(error) => tracing::error!(%error, "stored answers could not be swept"),
        }
    }

    /// Writes what waits, and ends the thread.
    pub(crate) fn close(&self) {
        self.shared.queue.lock().stop = true;
        self.shared.signal.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that stores answers ended by a defect");
        }
    }
}

impl AnswerStore for StoredAnswers {
    fn get(&self, name: &Digest) -> Option<Vec<u8>> {
        match self.shared.files.get_named(name, LARGEST_STORED) {
            Ok(found) => found.map(|answer| answer.to_vec()),
            Err(error) => {
                tracing::warn!(%error, "a stored answer cannot be read, and counts as none");
                None
            }
        }
    }

    fn put(&self, name: Digest, answer: Vec<u8>, until: UnixMillis, most: u64) {
        let length = u64::try_from(answer.len()).unwrap_or(u64::MAX);
        if self.shared.stored.load(Ordering::Relaxed).saturating_add(length) > most {
            return;
        }
        let mut queue = self.shared.queue.lock();
        if queue.stop || queue.bytes.saturating_add(answer.len()) > MOST_WAITING {
            return;
        }
        queue.bytes = queue.bytes.saturating_add(answer.len());
        queue.answers.push_back(Waiting { name, answer, until });
        self.shared.signal.notify_one();
    }
}

fn run(shared: &Shared) {
    loop {
        let Waiting { name, answer, until } = {
            let mut queue = shared.queue.lock();
            while queue.answers.is_empty() && !queue.stop {
                shared.signal.wait(&mut queue);
            }
            let Some(next) = queue.answers.pop_front() else { return };
            next
        };
        match shared.files.put_named(&name, &answer, until) {
            Ok(bytes) => {
                shared.stored.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(error) => tracing::error!(%error, "an answer could not be stored"),
        }
        // Only now, so that what waits in memory includes what is being written.
        let mut queue = shared.queue.lock();
        queue.bytes = queue.bytes.saturating_sub(answer.len());
    }
}
