//! What the control plane works on, and the one way in which a change of keys reaches the data plane.
//!
//! Owns the order of steps of such a change. Never holds a caller's secret. The binary makes a [`Control`]; handlers
//! use it.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tidegate_audit::{Audit, record::ActivationRecord};
use tidegate_config::{
    check::Mode,
    identity::{KeyStore, KeyStoreError, KeyTable, StoredKey},
    live::Live,
    problem::Problem,
    snapshot::Snapshot,
};
use tidegate_core::{calls::CallIndex, clock, control::LiveCalls, ids::OrgId, secret::Secret};
use tidegate_ledger::{Ledger, LedgerStore};
use tidegate_upstream::{TargetView, sim::Sim};

use crate::{feed::Feed, pins::ToolPins};

/// The tenant that the admin token is for: the one of an installation without organisations.
pub(crate) const ORG: &str = "default";

/// Everything that the control plane sees and changes.
pub struct Control {
    /// The active revision.
    pub live: Arc<Live>,
    /// The keys in memory.
    pub keys: Arc<KeyTable>,
    /// The keys that outlive the process.
    pub key_store: Arc<dyn KeyStore>,
    /// Budgets and limits.
    pub ledger: Ledger,
    /// Finished calls' money.
    pub ledger_store: Arc<dyn LedgerStore>,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// Finished calls.
    pub calls: Arc<dyn CallIndex>,
    /// Calls as they finish; it stands before `calls`.
    pub feed: Arc<Feed>,
    /// Calls in flight.
    pub live_calls: Arc<dyn LiveCalls>,
    /// Pinned tools.
    pub pins: Arc<dyn ToolPins>,
    /// The metrics in the OpenMetrics text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// How the targets that were called stand.
    pub targets: Arc<dyn Fn() -> Vec<TargetView> + Send + Sync>,
    /// The built-in simulator, where it runs in this process.
    pub sim: Option<Sim>,
    /// The token that opens the API. An empty one opens nothing.
    pub admin_token: Secret,
    /// Which start it was.
    pub mode: Mode,
    /// When the process began.
    pub started: Instant,
    /// The program's version.
    pub version: &'static str,
    /// Whether the admin listener stands on a loopback address.
    pub loopback: bool,
    /// Held by whoever makes another revision from the present one, so that a reload of the file and a change of keys
    /// do not undo each other. The binary holds it while it reads the store's keys, compiles and activates.
    pub changes: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("mode", &self.mode).field("version", &self.version).finish_non_exhaustive()
    }
}

/// Why a change of keys did not reach the data plane.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The keys could not be read.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// A key's rules do not fit the active revision.
    #[error("the keys do not fit the active revision: {}", in_words(.0))]
    Rules(Vec<Problem>),
}

/// Problems in one line.
pub(crate) fn in_words(problems: &[Problem]) -> String {
    problems.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads the keys of the store again and makes the data plane go by them: snapshot, ledger and table. Takes
/// [`Control::changes`], so do not hold it. Blocks on the store. Says the number of the revision that is active then.
///
/// # Errors
/// Where the store cannot be read, or a key's rules do not compile; nothing was changed then.
pub fn apply_stored_keys(control: &Control) -> Result<u64, ApplyError> {
    let _held = control.changes.lock();
    let stored = control.key_store.all()?;
    let next = control.with_keys(&stored)?;
    Ok(control.activate(next, stored, "keys read again"))
}

impl Control {
    /// The tenant whose keys, calls and records are shown.
    pub(crate) fn org(&self) -> OrgId {
        OrgId::from(ORG)
    }

    /// The active revision with these keys of the store. Changes nothing.
    pub(crate) fn with_keys(&self, stored: &[StoredKey]) -> Result<Snapshot, ApplyError> {
        self.live.current().snapshot.with_stored_keys(stored.to_vec()).map_err(ApplyError::Rules)
    }

    /// Makes `next` active and lets `stored` in. Call it with [`Control::changes`] held.
    ///
    /// The snapshot comes first: a key that is in the table but in no snapshot would be refused, the other way round
    /// nobody notices.
    pub(crate) fn activate(&self, next: Snapshot, stored: Vec<StoredKey>, reason: &str) -> u64 {
        let previous = self.live.current().snapshot.revision;
        let revision = next.revision;
        self.ledger.configure(next.ledger_rules.clone());
        let number = self.live.activate(next, clock::wall());
        self.keys.set_stored(stored);
        let record = ActivationRecord {
            revision: revision.0,
            previous: Some(previous.0),
            by: Arc::from("admin"),
            reason: Some(Arc::from(reason)),
            changes: Vec::new(),
            omitted: std::collections::BTreeMap::new(),
        };
        if let Err(error) = self.audit.activation(record) {
            tracing::error!(%error, %revision, reason, "an activation is not on record");
        }
        tracing::info!(%revision, number, reason, "keys changed");
        number
    }
}
