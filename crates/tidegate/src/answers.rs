//! The store of answers that are given again, behind the port that the proxy asks.
//!
//! Owns a bounded queue and the thread that writes and trims. Reads happen on the caller's thread. Never waits for a full
//! queue: an answer that there is no room for is not stored, and the next one to ask is answered anew.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use parking_lot::{Condvar, Mutex};
use tidegate_core::{
    clock::{self, UnixMillis},
    ids::Digest,
};
use tidegate_proxy::{AnswerStore, LARGEST_STORED};
use tidegate_store::AnswerFiles;

/// Bytes that may wait to be written.
const MOST_WAITING: usize = 16 << 20;

/// How often it is looked whether a new bound, or what is past its time, asks for a trim.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How often the files are looked at, where there is room.
const RARELY: Duration = Duration::from_secs(300);

/// How long a stop waits until what waits is written.
const LAST_WRITES: Duration = Duration::from_secs(5);

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
    /// The thread writes no more.
    ended: bool,
}

struct Shared {
    files: AnswerFiles,
    queue: Mutex<Queue>,
    signal: Condvar,
}

/// Answers as files.
pub(crate) struct StoredAnswers {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl StoredAnswers {
    /// Starts the thread that writes to `files`, which may take as many bytes as `most` says.
    pub(crate) fn start(files: AnswerFiles, most: impl Fn() -> u64 + Send + 'static) -> Result<Self> {
        let shared = Arc::new(Shared { files, queue: Mutex::default(), signal: Condvar::new() });
        let own = Arc::clone(&shared);
        let run = move || {
            // Told also where it ends by a defect.
            let _ended = Ended(&own);
            Writer { shared: &own, most: &most, taken: 0, trimmed: None, failing: false }.run();
        };
        let thread = std::thread::Builder::new().name("answers".to_owned()).spawn(run);
        Ok(Self { shared, thread: Mutex::new(Some(thread.context("answers cannot be stored")?)) })
    }

    /// Writes what waits, and ends the thread; a disk that takes nothing for 5 seconds is not waited for.
    pub(crate) fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        let mut queue = self.shared.queue.lock();
        queue.stop = true;
        self.shared.signal.notify_all();
        let waited = self.shared.signal.wait_while_for(&mut queue, |queue| !queue.ended, LAST_WRITES);
        drop(queue);
        if waited.timed_out() {
            tracing::warn!("the disk took too long: some answers are not stored");
        } else if thread.join().is_err() {
            tracing::error!("the thread that stores answers ended by a defect");
        }
    }
}

impl Drop for StoredAnswers {
    fn drop(&mut self) {
        self.close();
    }
}

impl AnswerStore for StoredAnswers {
    fn get(&self, name: &Digest) -> Option<Vec<u8>> {
        self.shared.files.get(name, LARGEST_STORED).unwrap_or_else(|error| {
            tracing::warn!(%error, "a stored answer cannot be read, and counts as none");
            None
        })
    }

    fn put(&self, name: Digest, answer: Vec<u8>, until: UnixMillis) {
        let mut queue = self.shared.queue.lock();
        if queue.stop || queue.ended || queue.bytes.saturating_add(answer.len()) > MOST_WAITING {
            return;
        }
        queue.bytes = queue.bytes.saturating_add(answer.len());
        queue.answers.push_back(Waiting { name, answer, until });
        self.shared.signal.notify_all();
    }
}

struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().ended = true;
        self.0.signal.notify_all();
    }
}

/// What the thread knows.
struct Writer<'a> {
    shared: &'a Shared,
    most: &'a dyn Fn() -> u64,
    /// Bytes that are stored: counted at each trim, and added to since. What is written anew counts twice until then.
    taken: u64,
    trimmed: Option<Instant>,
    /// Whether the disk failed last: only the first time of a row is told.
    failing: bool,
}

impl Writer<'_> {
    fn run(mut self) {
        loop {
            let most = (self.most)();
            let rarely = |last: Instant| clock::now().saturating_duration_since(last) > RARELY;
            if self.taken > most || self.trimmed.is_none_or(rarely) {
                self.trim(most, 0);
            }
            let mut queue = self.shared.queue.lock();
            if queue.answers.is_empty() && !queue.stop {
                self.shared.signal.wait_for(&mut queue, LOOK_AGAIN);
            }
            let Some(next) = queue.answers.pop_front() else {
                if queue.stop {
                    return;
                }
                continue;
            };
            drop(queue);
            self.write(&next, most);
            // Only now, so that what waits in memory includes what is being written.
            let mut queue = self.shared.queue.lock();
            queue.bytes = queue.bytes.saturating_sub(next.answer.len());
        }
    }

    fn write(&mut self, Waiting { name, answer, until }: &Waiting, most: u64) {
        let room = AnswerFiles::takes(answer.len());
        if room > most {
            return;
        }
        if self.taken.saturating_add(room) > most {
            self.trim(most, room);
        }
        if self.taken.saturating_add(room) > most {
            return;
        }
        match self.shared.files.put(name, answer, *until) {
            Ok(()) => {
                self.taken = self.taken.saturating_add(room);
                self.failing = false;
            }
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::error!(%error, "answers cannot be stored: calls go on without");
            }
            Err(_) => {}
        }
    }

    /// Erases what is past its time, and what leaves no room.
    fn trim(&mut self, most: u64, room: u64) {
        self.trimmed = Some(clock::now());
        match self.shared.files.trim(most, room, clock::wall()) {
            Ok(bytes) => self.taken = bytes,
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::error!(%error, "stored answers cannot be trimmed");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_audit::seal::Sealer;

    use super::*;

    fn files(root: &tempfile::TempDir) -> AnswerFiles {
        AnswerFiles::new(root.path().join("answers"), Sealer::of(&[5; 32]))
    }

    fn name(at: u64) -> Digest {
        Digest::of(&at.to_be_bytes())
    }

    fn there(root: &tempfile::TempDir, count: u64) -> Vec<u64> {
        (0..count).filter(|at| files(root).get(&name(*at), 1 << 20).unwrap().is_some()).collect()
    }

    #[test]
    fn a_close_writes_what_waits_and_the_bound_is_kept_by_what_goes_soonest() {
        let root = tempfile::tempdir().unwrap();
        let answers = StoredAnswers::start(files(&root), || 10 * 4_096).unwrap();
        let until = |at: u64| UnixMillis(4_000_000_000_000 + at);
        for at in 0..40 {
            answers.put(name(at), vec![7; 1_000], until(at));
        }
        answers.put(name(40), vec![7; 50_000], until(40));
        answers.close();
        let kept = there(&root, 41);
        assert!((9..=10).contains(&kept.len()), "{kept:?}");
        let last = 40 - u64::try_from(kept.len()).unwrap();
        assert_eq!(kept, (last..40).collect::<Vec<_>>(), "those that go last, and none that is larger than the bound");
        answers.put(name(50), vec![7; 10], until(50));
        answers.close();
        assert!(files(&root).get(&name(50), 100).unwrap().is_none(), "it is closed");
        assert_eq!(answers.get(&name(39)).unwrap(), vec![7; 1_000]);
    }

    #[test]
    fn a_smaller_bound_is_kept_at_the_next_start_and_nothing_takes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let answers = StoredAnswers::start(files(&root), || 1 << 20).unwrap();
        for at in 0..10 {
            answers.put(name(at), vec![7; 10], UnixMillis(4_000_000_000_000 + at));
        }
        answers.close();
        assert_eq!(there(&root, 10).len(), 10);
        StoredAnswers::start(files(&root), || 5 * 4_096).unwrap().close();
        assert_eq!(there(&root, 10), [6, 7, 8, 9], "and a tenth is free");
        let none = StoredAnswers::start(files(&root), || 0).unwrap();
        none.put(name(1), vec![7; 10], UnixMillis(4_000_000_000_000));
        none.close();
        assert!(there(&root, 10).is_empty());
    }
}
