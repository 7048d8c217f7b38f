//! `sim`: a scripted, deterministic upstream that speaks every dialect the gateway speaks, and counts what it was
//! asked and what it sent.
//!
//! Owns the answers and their ledger. Never decides anything, never reaches out, keeps nothing on disk. The gateway
//! reaches it through memory ([`Sim::connect`](crate::connect::InMemoryService)); `tidegate sim` serves the same on a
//! port. The script stands in the prompt: see [`script`].

mod answer;
mod anthropic;
mod batches;
mod bedrock;
mod body;
mod gemini;
mod ledger;
mod live;
mod mcp;
mod media;
mod openai;
mod plain;
mod responses;
pub mod script;
mod serve;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

pub use self::{
    ledger::{LedgerEntry, LedgerView},
    serve::serve,
};

/// The models, in the order of the list.
pub const MODELS: [&str; 7] = ["chat", "stream", "tools", "flaky", "slow", "leaky", "embed"];

/// The scripted upstream. Cheap to clone; clones share the ledger.
#[derive(Clone, Default)]
pub struct Sim {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    ledger: ledger::Ledger,
    /// How often a script that fails a number of times was asked, by the digest of its prompt.
    failures: Mutex<HashMap<tidegate_core::ids::Digest, u32>>,
    /// Calls of the model that fails every third time.
    flaky: AtomicU64,
    sessions: mcp::Sessions,
    kept: batches::Kept,
    /// How many things with an id were made.
    numbers: AtomicU64,
}

/// Most prompts whose failures are counted at a time; then counting starts anew.
const MOST_COUNTED_PROMPTS: usize = 10_000;

impl Sim {
    /// A fresh upstream with an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was asked and sent since the start, or since the ledger was cleared.
    #[must_use]
    pub fn ledger(&self) -> LedgerView {
        self.state.ledger.view()
    }

    /// Forgets what was asked and sent.
    pub fn clear_ledger(&self) {
        self.state.ledger.clear();
    }

    /// Whether this is one of the first `times` calls with this prompt.
    fn fails_now(&self, prompt: &str, times: Option<u32>) -> bool {
        let Some(times) = times else { return true };
        let mut failures = self.state.failures.lock();
        if failures.len() >= MOST_COUNTED_PROMPTS {
            failures.clear();
        }
        let seen = failures.entry(tidegate_core::ids::Digest::of(prompt.as_bytes())).or_default();
        *seen = seen.saturating_add(1);
        *seen <= times
    }

    /// Whether this call of the flaky model fails: every third does, the first two of each three do not.
    fn flaky_fails_now(&self) -> bool {
        self.state.flaky.fetch_add(1, Ordering::Relaxed) % 3 == 2
    }
}
