//! What a call holds while it is in flight: the proof that its intent is on record, and the slot for its outcome.
//!
//! Owns the classes of audit and the `Intent`. An intent can be had only from the log, or, where audit is off for a
//! kind, from the plan that says so. The proxy takes it before dispatch and ends it in `finish`.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tidegate_core::{
    fault::Phase,
    ids::{CallId, KeyId, OrgId},
};

use crate::{
    bound::{clamp_usage, encode},
    log::Shared,
    record::{AttemptEntry, AttemptRecord, CallKind, Completeness, OutcomeEntry, OutcomeRecord},
    wal::{ATTEMPT_SLOT, Frame, INTENT_RESERVE, RESERVED_ATTEMPTS, Role},
};

/// How well a record outlives what may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// No record.
    Off,
    /// Outlives the process, also `kill -9`, from the moment it is acknowledged.
    Buffered,
    /// Also outlives a loss of power: acknowledged once it is on stable storage.
    Durable,
}

/// Which class each kind of traffic has. Made from the active revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPlan {
    /// Model calls.
    pub model_calls: Class,
    /// Exchanges with MCP servers.
    pub tool_calls: Class,
}

impl Default for AuditPlan {
    /// Models `buffered`, tools `durable`.
    fn default() -> Self {
        Self { model_calls: Class::Buffered, tool_calls: Class::Durable }
    }
}

/// That audit is off for a kind. Only a plan gives it.
#[derive(Debug, Clone, Copy)]
pub struct AuditOff(());

impl AuditPlan {
    /// The class of `kind`.
    #[must_use]
    pub fn class(&self, kind: CallKind) -> Class {
        match kind {
            CallKind::Model => self.model_calls,
            CallKind::Tool => self.tool_calls,
        }
    }

    /// The proof that audit is off for `kind`; `None` where it is not.
    #[must_use]
    pub fn off(&self, kind: CallKind) -> Option<AuditOff> {
        (self.class(kind) == Class::Off).then_some(AuditOff(()))
    }

    /// An intent without a record, where audit is off for `kind`.
    #[must_use]
    pub fn intent_off(&self, kind: CallKind) -> Option<Intent> {
        self.off(kind).map(|off| Intent::off(&off))
    }
}

/// The log takes no records: nothing may be sent. Becomes the fault `audit_unavailable`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log takes no records: {0}")]
pub struct AuditUnavailable(pub(crate) Arc<str>);

struct Slot {
    shared: Arc<Shared>,
    leaf: u64,
    call: CallId,
    org: OrgId,
    key: KeyId,
    attempts: AtomicU32,
    /// An attempt whose answer is whole: its outcome follows at once, and is written with it.
    held: Mutex<Option<Frame>>,
}

impl Slot {
    /// Bytes that are still set aside.
    fn reserved(&self) -> u64 {
        let used = self.attempts.load(Ordering::Relaxed).min(RESERVED_ATTEMPTS);
        INTENT_RESERVE - u64::from(used) * ATTEMPT_SLOT
    }
}

/// The proof that a call's intent is on record. End it with [`Intent::outcome`]; dropped without one, the log says
/// that the outcome is unknown, and the call's reservation stays held.
#[must_use = "an intent that is dropped becomes an unknown outcome"]
pub struct Intent(Option<Box<Slot>>);

impl std::fmt::Debug for Intent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Intent").field(&self.leaf()).finish()
    }
}

impl Intent {
    /// An intent that leaves no record.
    pub fn off(_: &AuditOff) -> Self {
        Self(None)
    }

    /// The intent at `leaf`, whose reserve has been set aside.
    pub(crate) fn on(shared: Arc<Shared>, leaf: u64, call: CallId, org: OrgId, key: KeyId) -> Self {
        Self(Some(Box::new(Slot { shared, leaf, call, org, key, attempts: AtomicU32::new(0), held: Mutex::new(None) })))
    }

    /// The intent's place in the log, which is its receipt; `None` where audit is off.
    #[must_use]
    pub fn leaf(&self) -> Option<u64> {
        self.0.as_ref().map(|slot| slot.leaf)
    }

    /// Records an attempt that has ended, with the outcome where that follows at once. The first two have their place reserved; a further one that finds no space is
    /// left out, and the outcome's number of attempts tells so.
    pub fn attempt(&self, record: AttemptRecord) {
        let Some(slot) = &self.0 else { return };
        let is_last = record.phase == Phase::Done;
        let entry = AttemptEntry { call: slot.call, intent: slot.leaf, attempt: record };
        let mut buffer = Frame::buffer();
        if let Err(error) = encode(entry, &mut buffer) {
            tracing::error!(%error, call = %slot.call, "an attempt is missing in the audit log");
            return;
        }
        // A process that is killed before its outcome has an unknown one, whatever its last attempt came to.
        if is_last && slot.attempts.load(Ordering::Relaxed) < RESERVED_ATTEMPTS && slot.held.lock().is_none() {
            *slot.held.lock() = Some(Frame::seal(buffer));
            return;
        }
        let before = slot.attempts.fetch_add(1, Ordering::Relaxed);
        let (needed, release) = if before < RESERVED_ATTEMPTS { (0, ATTEMPT_SLOT) } else { (ATTEMPT_SLOT, 0) };
        let role = Role::Attempt { intent: slot.leaf };
        if let Err(error) = slot.shared.append(Frame::seal(buffer), role, needed, release) {
            tracing::error!(%error, call = %slot.call, "an attempt is missing in the audit log");
        }
    }

    /// Records how the call ended, in the place that the intent reserved: never waits, and does not fail for want of
    /// space. Returns the outcome's leaf; `None` where audit is off, or where the disk failed, after which the log
    /// admits nothing and the next start reports this call as unknown.
    pub fn outcome(mut self, record: OutcomeRecord) -> Option<u64> {
        self.finish(record)
    }

    fn finish(&mut self, mut record: OutcomeRecord) -> Option<u64> {
        let slot = self.0.take()?;
        if let Some(usage) = &mut record.usage {
            clamp_usage(usage);
        }
        let (completeness, status) = (record.completeness, record.status);
        let entry = |outcome| OutcomeEntry {
            call: slot.call,
            org: slot.org.clone(),
            key: slot.key,
            intent: slot.leaf,
            outcome,
        };
        let mut buffer = Frame::buffer();
        if encode(entry(record), &mut buffer).is_err() {
            let bare = entry(OutcomeRecord::new(completeness, status));
            if let Err(error) = encode(bare, &mut buffer) {
                tracing::error!(%error, call = %slot.call, "an outcome is missing in the audit log");
                slot.shared.release(slot.reserved());
                return None;
            }
        }
        let role = Role::Outcome { intent: slot.leaf };
        let held = slot.held.lock().take().map(|frame| (frame, Role::Attempt { intent: slot.leaf }));
        match slot.shared.append_reserved(held, Frame::seal(buffer), role, slot.reserved()) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                tracing::error!(%error, call = %slot.call, "an outcome is missing in the audit log");
                None
            }
        }
    }

    /// Ends an intent whose call was never sent, because of `fault`.
    pub(crate) fn void(mut self, fault: &'static str) {
        self.end_unsent(fault);
    }

    fn end_unsent(&mut self, fault: &'static str) {
        let mut record = OutcomeRecord::new(Completeness::Complete, 503);
        record.fault = Some(Arc::from(fault));
        self.finish(record);
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.finish(OutcomeRecord::new(Completeness::Unknown, 0));
        }
    }
}

/// An intent whose caller does not have it yet: dropped, the call was certainly not sent.
pub(crate) struct Unsent(pub(crate) Option<Intent>);

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(intent) = self.0.take() {
            intent.void("abandoned");
        }
    }
}
