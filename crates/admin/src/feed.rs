//! Finished calls as they finish, for whoever watches.
//!
//! Owns the fan-out, and nothing that is kept: it stands before the call index, hands every summary on to it, and gives
//! a copy to those who watch. A watcher that is too slow misses calls and is told how many; it never holds up a call.
//! The binary makes one and lays it before the index; `handlers::watch` serves it.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::{
    calls::{CallIndex, CallIndexError, CallQuery, CallSummary},
    ids::{CallId, OrgId},
};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// How many finished calls wait for a watcher that is slow.
const WAITING: usize = 1_024;
/// The most who watch at a time.
const MOST_WATCHERS: usize = 32;

/// A call index with a window on what goes into it.
pub struct Feed {
    index: Arc<dyn CallIndex>,
    sender: Mutex<Option<Sender<Arc<CallSummary>>>>,
}

/// Why nobody more can watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatchError {
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Closed,
    /// There are too many who watch.
    #[error("{MOST_WATCHERS} clients watch already")]
    Full,
}

impl Feed {
    /// A feed before `index`.
    #[must_use]
    pub fn before(index: Arc<dyn CallIndex>) -> Self {
        Self { index, sender: Mutex::new(Some(broadcast::channel(WAITING).0)) }
    }

    /// Ends every watcher's stream; nobody can watch from now on. What is recorded still reaches the index.
    pub fn close(&self) {
        self.sender.lock().take();
    }

    /// The calls that finish from now on.
    pub(crate) fn watch(&self) -> Result<Receiver<Arc<CallSummary>>, WatchError> {
        let sender = self.sender.lock();
        let sender = sender.as_ref().ok_or(WatchError::Closed)?;
        if sender.receiver_count() >= MOST_WATCHERS { Err(WatchError::Full) } else { Ok(sender.subscribe()) }
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl CallIndex for Feed {
    fn record(&self, call: CallSummary) {
        let sender = self.sender.lock().clone();
        if let Some(sender) = sender.filter(|sender| sender.receiver_count() > 0) {
            // Fails where the last watcher has just left: then nobody misses it.
            let _ = sender.send(Arc::new(call.clone()));
        }
        self.index.record(call);
    }

    fn list(&self, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, CallIndexError> {
        self.index.list(org, query)
    }

    fn get(&self, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, CallIndexError> {
        self.index.get(org, id)
    }

    fn flush(&self) -> Result<(), CallIndexError> {
        self.index.flush()
    }
}
