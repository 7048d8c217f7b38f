//! What the upstream was asked and what it sent: the oracle that billing, retry and audit tests compare with.

use parking_lot::Mutex;
use serde::Serialize;
use tidegate_core::clock::UnixMillis;

/// One request that reached the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// Its place in the order of arrival, from zero.
    pub sequence: u64,
    /// When it came in.
    pub at: UnixMillis,
    /// The gateway's call id, if it named one in `x-tidegate-call-id`.
    pub call_id: Option<String>,
    /// The path.
    pub path: String,
    /// The model, or the MCP method.
    pub model: String,
    /// The MCP tool, where one was called.
    pub tool: Option<String>,
    /// The status that was answered; zero until then.
    pub status: u16,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens that were sent so far.
    pub output_tokens: u64,
    /// Pieces of the answer that were sent so far.
    pub pieces: u64,
    /// How it ended.
    pub end: End,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Not yet.
    Open,
    /// Whole.
    Complete,
    /// An error status, as the script wanted.
    Failed,
    /// Broken off, as the script wanted.
    Cut,
    /// The other side left before the end.
    Abandoned,
}

/// The whole ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerView {
    /// Requests that reached the upstream.
    pub calls: u64,
    /// Tokens of their prompts, of answers that did not fail.
    pub input_tokens: u64,
    /// Tokens that were sent.
    pub output_tokens: u64,
    /// The requests, oldest first: the last hundred thousand.
    pub requests: Vec<LedgerEntry>,
}

/// Most entries kept.
const MOST: usize = 100_000;

#[derive(Default)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// The sequence number of the first entry that is kept.
    first: u64,
    entries: std::collections::VecDeque<LedgerEntry>,
}

impl Ledger {
    /// Notes a request and gives its sequence number.
    pub(super) fn open(&self, mut entry: LedgerEntry) -> u64 {
        let mut inner = self.inner.lock();
        let sequence = inner.next;
        entry.sequence = sequence;
        inner.next = sequence.saturating_add(1);
        inner.entries.push_back(entry);
        if inner.entries.len() > MOST {
            inner.entries.pop_front();
            inner.first = inner.first.saturating_add(1);
        }
        sequence
    }

    /// Changes the entry with this number, if it is still kept.
    pub(super) fn change(&self, sequence: u64, change: impl FnOnce(&mut LedgerEntry)) {
        let mut inner = self.inner.lock();
        let Some(index) = sequence.checked_sub(inner.first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        if let Some(entry) = inner.entries.get_mut(index) {
            change(entry);
        }
    }

    pub(super) fn view(&self) -> LedgerView {
        let inner = self.inner.lock();
        let requests: Vec<LedgerEntry> = inner.entries.iter().cloned().collect();
        drop(inner);
        LedgerView {
            calls: u64::try_from(requests.len()).unwrap_or(u64::MAX),
            input_tokens: requests.iter().filter(|entry| entry.status < 400).map(|entry| entry.input_tokens).sum(),
            output_tokens: requests.iter().map(|entry| entry.output_tokens).sum(),
            requests,
        }
    }

    pub(super) fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.entries.clear();
        inner.first = inner.next;
    }
}
