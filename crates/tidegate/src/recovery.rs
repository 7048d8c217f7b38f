//! After a crash: the log knows what the state missed. Brings ledger and call index up to the log.
//!
//! The log is the truth; the state is written behind it. A marker says up to which leaf the state has everything, so
//! that a start reads only what came after.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, Result};
use tidegate_audit::{
    Audit, Recovery,
    record::{CallKind, Completeness, IntentRecord, OutcomeRecord, Record},
};
use tidegate_config::snapshot::Snapshot;
use tidegate_core::{
    calls::{CallIndex, CallSummary},
    clock::{self, UnixMillis},
    facts::Action,
    ids::RevisionId,
    money::NanoUsd,
};
use tidegate_ledger::{Attribution, Entry, EntryKind, Ledger, LedgerStore, Scope, ScopeKind};
use tidegate_store::Sqlite;

use crate::directory::Directory;

/// Replays what the state lacks. `owed` is what was to be charged when the last process ended: it counts before what the
/// log says of the same calls, which may be that their end is unknown.
pub(crate) fn recover(
    directory: &Directory,
    audit: &Audit,
    recovered: &Recovery,
    ledger: &Ledger,
    store: &Sqlite,
    snapshot: &Snapshot,
    owed: Vec<Entry>,
) -> Result<()> {
    let from = applied(directory);
    let mut lost: Vec<Entry> = owed;
    let mut intents: HashMap<u64, (UnixMillis, Box<IntentRecord>)> = HashMap::new();
    for record in audit.records_from(from) {
        let (leaf, entry) = record.context("the audit log could not be read")?;
        match entry.record {
            Record::Outcome(outcome) => {
                let (began, intent) = match intents.remove(&outcome.intent) {
                    Some(known) => known,
                    None => match audit.entry(outcome.intent)?.map(|entry| (entry.at, entry.record)) {
                        Some((began, Record::Intent(intent))) => (began, intent),
                        _ => continue,
                    },
                };
                lost.push(ledger_entry(&intent, &outcome.outcome, (began, entry.at), snapshot));
                remember(store, &intent, outcome.outcome, outcome.intent, began)?;
            }
            Record::Intent(intent) => {
                intents.insert(leaf, (entry.at, intent));
            }
            Record::Refusal(refusal) => {
                remember(store, &refusal.call, refusal.outcome, leaf, entry.at)?;
            }
            _ => {}
        }
    }
    let restored = ledger.restore(clock::wall(), lost).context("the ledger could not be restored")?;
    if !recovered.unknown.is_empty() || restored.recovered > 0 {
        tracing::warn!(
            unknown = recovered.unknown.len(),
            recovered = restored.recovered,
            "the gateway had not been stopped cleanly: calls without an outcome are now `unknown`, and hold their money"
        );
    }
    mark_applied(directory, audit, store);
    Ok(())
}

/// Notes that the state has everything that the log has now.
pub(crate) fn mark_applied(directory: &Directory, audit: &Audit, store: &Sqlite) {
    let size = audit.status().appended;
    let flushed = LedgerStore::flush(store).is_ok() && CallIndex::flush(store).is_ok();
    if !flushed {
        tracing::error!("the state could not be written: it will be brought up from the log at the next start");
        return;
    }
    let path = directory.applied();
    let beside = path.with_extension("new");
    let written = std::fs::write(&beside, size.to_string()).and_then(|()| std::fs::rename(&beside, &path));
    if let Err(error) = written {
        tracing::error!(%error, "the marker of what the state has could not be written");
    }
}

/// A call whose outcome stood before the marker may have been recorded just after it, so a little more is read again;
/// what is known already is passed over.
const AGAIN: u64 = 512;

fn applied(directory: &Directory) -> u64 {
    let text = std::fs::read_to_string(directory.applied()).unwrap_or_default();
    text.trim().parse::<u64>().unwrap_or(0).saturating_sub(AGAIN)
}

/// Everything that a call is charged to: its key, its team, and the budgets of their own that its intent names. One that
/// answered leaves those of places that it did not go to, as it would have without the crash.
fn scopes(intent: &IntentRecord, served_by: Option<&str>, snapshot: &Snapshot) -> Arc<[Scope]> {
    let caller = &intent.caller;
    let own = snapshot.key(&caller.org, &caller.key_name).map_or_else(
        || {
            let mut scopes = vec![Scope::new(ScopeKind::Key, caller.key_name.as_str())];
            scopes.extend(caller.team.as_ref().map(|team| Scope::new(ScopeKind::Team, team.as_str())));
            Arc::from(scopes)
        },
        |rules| Arc::clone(&rules.scopes),
    );
    if intent.budgets.is_empty() {
        return own;
    }
    let model = intent.model.as_ref().map(|model| model.as_str());
    let left = |name: &Arc<str>| {
        let shared = snapshot.shared.iter().find(|shared| shared.scope.name == *name);
        shared.zip(served_by).is_none_or(|(shared, target)| shared.takes_target(model, target))
    };
    let budgets = intent.budgets.iter().filter(|name| left(name));
    own.iter().cloned().chain(budgets.map(|name| Scope::new(ScopeKind::Budget, Arc::clone(name)))).collect()
}

/// What the ledger is to know of a call that began and ended at these moments.
fn ledger_entry(
    intent: &IntentRecord,
    outcome: &OutcomeRecord,
    (at, finished): (UnixMillis, UnixMillis),
    snapshot: &Snapshot,
) -> Entry {
    let caller = &intent.caller;
    let answered = outcome.served_by.as_deref().filter(|_| intent.kind == CallKind::Model);
    let scopes = scopes(intent, answered, snapshot);
    let unknown = outcome.completeness == Completeness::Unknown;
    // Given up before anything was sent.
    let void = !unknown
        && outcome.cost.is_none()
        && matches!(outcome.fault.as_deref(), Some("abandoned" | "audit_unavailable"));
    let reserved = intent.reservation.amount.unwrap_or_default();
    // A call whose cost nobody knows keeps what it reserved, whether it ended or not.
    let cost = outcome.cost.filter(|_| !unknown);
    Entry {
        call: intent.call,
        attribution: Attribution {
            org: caller.org.clone(),
            key: caller.key,
            key_name: caller.key_name.clone(),
            team: caller.team.clone(),
            model: intent.model.clone(),
            provider: outcome
                .served_by
                .as_deref()
                .filter(|_| intent.kind == CallKind::Model)
                .and_then(|target| target.split_once('/'))
                .map(|(provider, _)| provider.into()),
            target: outcome.served_by.clone().filter(|_| intent.kind == CallKind::Model),
        },
        scopes,
        at,
        finished,
        kind: match (unknown, void) {
            (true, _) => EntryKind::Unknown,
            (false, true) => EntryKind::Void,
            (false, false) => EntryKind::Settled,
        },
        cost,
        held: if cost.is_none() && !void { reserved } else { NanoUsd::ZERO },
        reserved,
        overrun: NanoUsd::ZERO,
        usage: outcome.usage.unwrap_or_default(),
    }
}

/// Puts a call into the index that is not in it yet.
fn remember(store: &Sqlite, intent: &IntentRecord, outcome: OutcomeRecord, receipt: u64, at: UnixMillis) -> Result<()> {
    if store.get(&intent.caller.org, intent.call)?.is_some() {
        return Ok(());
    }
    let unknown = outcome.completeness == Completeness::Unknown;
    CallIndex::record(
        store,
        CallSummary {
            id: intent.call,
            org: intent.caller.org.clone(),
            at,
            millis: outcome.millis,
            key: Some(intent.caller.key_name.clone()),
            team: intent.caller.team.clone(),
            surface: Arc::clone(&intent.surface),
            action: Some(intent.action),
            // What is done at a vendor's own API is told by its path, also where a model is known.
            resource: match &intent.model {
                Some(model) if intent.action != Action::CallProviderApi => Arc::from(model.as_str()),
                _ => Arc::clone(&intent.resource),
            },
            served_by: outcome.served_by,
            status: outcome.status,
            error: if unknown { Some(Arc::from("unknown")) } else { outcome.fault },
            usage: outcome.usage.unwrap_or_default(),
            cost: outcome.cost,
            receipt: Some(receipt),
            revision: Arc::from(RevisionId(intent.revision).to_string()),
            policies: intent.policies.iter().map(ToString::to_string).collect(),
            observed: Vec::new(),
            verdicts: outcome.verdicts,
            attempts: Vec::new(),
            stages: outcome.stages,
            facts: Vec::new(),
        },
    );
    Ok(())
}
