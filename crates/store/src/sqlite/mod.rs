//! The engine for one node: one SQLite file in write-ahead-log mode. Owns the file, one connection that writes and a
//! few that read. Money and calls are written behind; a key is on the disk before its change returns. Never used on
//! the request path but to record. Every statement is a constant; every value is bound.

mod batches;
mod calls;
mod failure;
mod keys;
mod ledger;
mod made;
mod open;
mod pins;
mod queue;
mod readers;
mod schema;
mod write;

use std::{path::Path, sync::Arc, thread::JoinHandle};

use parking_lot::Mutex;
use tidegate_ledger::StoreError;

pub use self::{
    open::OpenError,
    queue::{Limits, Standing},
};
use self::{readers::Readers, write::Core};

/// The version of the SQLite library that is built in, as it prints itself.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// State in one SQLite file, for one process at a time. Any number of threads may use it; reading and flushing blocks
/// on the disk.
///
/// Recording an entry or a call does no I/O. There is one exception: while more entries wait than
/// [`Limits::entry_bytes`], whoever records one writes a batch itself, since money is never dropped for want of room.
pub struct Sqlite {
    core: Arc<Core>,
    readers: Readers,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the file at `path`, or makes it with mode 0600, and brings an older schema up to date. The content is
    /// checked where the last shutdown was unclean, or where the file is small.
    ///
    /// # Errors
    /// Where it cannot be opened, is damaged, is not Tidegate's, or was written by a newer Tidegate.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Limits::default())
    }

    /// [`Self::open`] with other limits.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let core = Arc::new(Core::new(open::writer(path)?, limits));
        let behind = Arc::clone(&core);
        let thread = std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || behind.write_behind())
            .map_err(OpenError::Thread)?;
        Ok(Self { core, readers: Readers::new(path.to_owned()), thread: Mutex::new(Some(thread)) })
    }

    /// How the write-behind is doing.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.core.standing()
    }

    /// Writes what waits and closes the file, so that the next start need not check it. What is recorded afterwards is
    /// lost and counted; everything else fails. Closing twice does nothing.
    ///
    /// # Errors
    /// Where something could not be written; the file is closed all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        self.core.stop();
        let thread = self.thread.lock().take();
        let stopped = thread.map_or(Ok(()), JoinHandle::join);
        // A connection that only reads cannot tidy up, so the writer's must be the last.
        self.readers.close();
        if stopped.is_err() {
            tracing::error!("the thread that writes the state file had panicked");
        }
        self.core.close().map_err(|failure| failure.ledger("close the state file"))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if let Err(problem) = self.close() {
            tracing::error!(%problem, "the state file was closed with something unwritten");
        }
    }
}

#[cfg(test)]
mod tests;
