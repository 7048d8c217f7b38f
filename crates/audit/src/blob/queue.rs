//! Writing bodies away from whoever ends a call.
//!
//! Owns a bounded queue and the thread that empties it. A body is encrypted, and so named, by whoever brings it; its file
//! is written and synced by the thread. When the queue is full, whoever brings a body writes it: calls then end as fast as
//! the disk takes their bodies, and none is left out. A process that is killed loses what waits here.

use std::{collections::VecDeque, sync::Arc, thread::JoinHandle};

use parking_lot::{Condvar, Mutex};
use tidegate_core::ids::Digest;

use super::{BlobError, Blobs, Sealed};

/// Bytes that may wait.
const MOST_WAITING: usize = 16 << 20;

#[derive(Default)]
struct Waiting {
    bodies: VecDeque<Sealed>,
    bytes: usize,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    signal: Condvar,
}

/// Keeps bodies without making their callers wait for the disk.
pub struct BlobQueue {
    blobs: Arc<Blobs>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for BlobQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobQueue").field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

impl BlobQueue {
    /// Starts the thread that writes to `blobs`.
    ///
    /// # Errors
    /// Where the system starts no thread.
    pub fn start(blobs: Arc<Blobs>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (to, from) = (Arc::clone(&blobs), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("audit-bodies".to_owned()).spawn(move || run(&to, &from))?;
        Ok(Self { blobs, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Encrypts a body, and returns the name that a record refers to it by. Its file is there soon after; where it cannot
    /// be written, the log says so. Blocks on the disk only while 16 MiB wait already, or after [`BlobQueue::close`].
    ///
    /// # Errors
    /// Where the body is too large, or had to be written at once and could not be.
    pub fn keep(&self, body: &[u8]) -> Result<Digest, BlobError> {
        let sealed = self.blobs.seal(body)?;
        let digest = sealed.digest;
        {
            let mut waiting = self.shared.waiting.lock();
            if !waiting.stop && waiting.bytes.saturating_add(sealed.file.len()) <= MOST_WAITING {
                waiting.bytes = waiting.bytes.saturating_add(sealed.file.len());
                waiting.bodies.push_back(sealed);
                self.shared.signal.notify_one();
                return Ok(digest);
            }
        }
        self.blobs.write(&sealed)?;
        Ok(digest)
    }

    /// The blobs themselves, to read and erase.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Writes everything that waits, and ends the thread.
    pub fn close(&self) {
        self.shared.waiting.lock().stop = true;
        self.shared.signal.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps bodies ended by a defect");
        }
    }
}

impl Drop for BlobQueue {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(blobs: &Blobs, shared: &Shared) {
    loop {
        let sealed = {
            let mut waiting = shared.waiting.lock();
            while waiting.bodies.is_empty() && !waiting.stop {
                shared.signal.wait(&mut waiting);
            }
            let Some(sealed) = waiting.bodies.pop_front() else { return };
            sealed
        };
        if let Err(error) = blobs.write(&sealed) {
            tracing::error!(name = %sealed.digest, %error, "a body could not be kept");
        }
        // Only now, so that what waits in memory includes what is being written.
        let mut waiting = shared.waiting.lock();
        waiting.bytes = waiting.bytes.saturating_sub(sealed.file.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_there_once_the_queue_is_closed_and_none_is_left_out_when_it_is_full() {
        let root = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(root.path().join("blobs"), &root.path().join("keys")).unwrap());
        let queue = BlobQueue::start(Arc::clone(&blobs)).unwrap();
        let body = |number: u8| vec![number; 1 << 20];
        // More than may wait, faster than they are written.
        let names: Vec<Digest> = (0..40).map(|number| queue.keep(&body(number)).unwrap()).collect();
        assert!(queue.shared.waiting.lock().bytes <= MOST_WAITING);
        queue.close();
        for (number, name) in (0..).zip(&names) {
            assert_eq!(**blobs.get(name).unwrap().unwrap(), body(number));
        }
        let late = queue.keep(b"late").unwrap();
        assert_eq!(**blobs.get(&late).unwrap().unwrap(), b"late".to_vec());
    }
}
