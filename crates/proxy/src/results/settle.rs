//! The one settlement of a batch: what is due is kept, put on record, charged, and then no longer due.
//!
//! Owns the order of these steps, which makes it once whatever happens in between: what is due outlives a crash before
//! anything else is done, each part of it is charged under the id of its own call, and a start charges again what is due
//! still, which the ledger passes over where it knows the call.

use std::sync::Arc;

use tidegate_audit::record::{CallKind, Caller as AuditCaller, Completeness, IntentRecord, OutcomeRecord};
use tidegate_config::snapshot::{Counted, Snapshot};
use tidegate_core::{
    batches::Maker,
    calls::CallSummary,
    facts::Action,
    ids::{ModelName, ProviderName},
    made::{Due, Made},
    money::NanoUsd,
    principal::Principal,
};
use tidegate_ledger::{Attribution, Entry, EntryKind, Scope, ScopeKind};
use tidegate_upstream::task;

use super::Tally;
use crate::{gate::Gate, owners::Owners};

impl Tally {
    /// The results came whole: they are paid for, once. Goes on where nobody waits for it any more.
    pub(crate) async fn settle(self: Box<Self>, gate: &Arc<Gate>) {
        let gate = Arc::clone(gate);
        task::spawn("settlement of a batch", settled(self, gate)).finished().await;
    }
}

async fn settled(mut tally: Box<Tally>, gate: Arc<Gate>) {
    let due = tally.due();
    if !gate.owners.settle(&tally.path, &tally.made, due.clone()).await {
        return;
    }
    let Some(of) = Batch::of(&tally.path, &tally.made, &tally.snapshot) else { return };
    for due in &due {
        let receipt = of.on_record(&gate, due).await;
        of.charge(&gate, due);
        gate.calls.record(of.summary(due, receipt));
    }
    clear(&gate, &tally.path, tally.maker.key_name.as_str()).await;
}

/// Takes what was due off the list, once the ledger's entries outlive the process too.
async fn clear(gate: &Arc<Gate>, path: &str, key: &str) {
    let ledger = gate.ledger.clone();
    match tokio::task::spawn_blocking(move || ledger.flush()).await {
        Ok(Ok(())) => gate.owners.paid(path).await,
        Ok(Err(error)) => tracing::warn!(%error, path, key, "the next start looks again whether a batch is paid for"),
        Err(error) => tracing::error!(%error, path, key, "a batch's settlement did not end"),
    }
}

/// What the ledger is to charge at a start: all that was due when the last process ended. Those of it that were charged
/// before are known there by their calls.
#[must_use]
pub fn owed(owners: &Owners, snapshot: &Snapshot) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (path, made) in owners.owed() {
        let Some(of) = Batch::of(&path, &made, snapshot) else { continue };
        entries.extend(of.due().iter().map(|due| of.entry(due)));
    }
    entries
}

/// Puts on record what was due when the last process ended and is not. Called once at a start, after the ledger has
/// charged [`owed`].
pub async fn resume(gate: &Arc<Gate>) {
    let snapshot = Arc::clone(&gate.live.current().snapshot);
    for (path, made) in gate.owners.owed() {
        let Some(of) = Batch::of(&path, &made, &snapshot) else { continue };
        for due in of.due() {
            // What is known of it may have been read from the log, which knows less, and where it was killed within its
            // record says for good that its end is unknown.
            let receipt = match gate.calls.get(&of.maker.org, due.call).ok().flatten() {
                Some(known) => known.receipt,
                None => of.on_record(gate, due).await,
            };
            gate.calls.record(of.summary(due, receipt));
        }
        clear(gate, &path, of.maker.key_name.as_str()).await;
    }
}

/// A batch whose results were read.
struct Batch<'a> {
    made: &'a Made,
    maker: &'a Maker,
    snapshot: &'a Snapshot,
    surface: &'static str,
}

impl<'a> Batch<'a> {
    fn of(path: &str, made: &'a Made, snapshot: &'a Snapshot) -> Option<Self> {
        let surface = if path.starts_with("messages/") { "anthropic" } else { "openai" };
        Some(Self { made, maker: made.maker.as_ref()?, snapshot, surface })
    }

    fn due(&self) -> &'a [Due] {
        self.made.results.as_ref().map(|results| results.due.as_slice()).unwrap_or_default()
    }

    fn provider(&self) -> &'a ProviderName {
        &self.made.provider
    }

    /// `provider/model`; the provider alone where no model is known.
    fn target(&self, due: &Due) -> Arc<str> {
        let provider = self.provider();
        Arc::from(due.model.as_ref().map_or_else(|| provider.to_string(), |model| format!("{provider}/{model}")))
    }

    fn model(&self, due: &Due) -> Option<ModelName> {
        due.model.as_ref().map(|_| ModelName::from(&*self.target(due)))
    }

    fn resource(&self) -> Arc<str> {
        let batch = self.made.results.as_ref().map(|results| &*results.batch).unwrap_or_default();
        Arc::from(format!("{} results of {batch}", self.provider()))
    }

    fn principal(&self) -> Principal {
        let Maker { org, key, key_name, team, address, .. } = self.maker.clone();
        Principal { org, key, key_name, team, chain: Vec::new(), address }
    }

    /// Everything that it counts for: the key that made the batch, its team, and the budgets that take such a call. What
    /// was sent as metadata when the batch was made is not known any more, so budgets by metadata take none.
    fn scopes(&self, due: &Due) -> Arc<[Scope]> {
        let maker = self.maker;
        let mut scopes: Vec<Scope> = self.snapshot.key(&maker.org, &maker.key_name).map_or_else(
            || {
                let key = Scope::new(ScopeKind::Key, maker.key_name.as_str());
                let team = maker.team.as_ref().map(|team| Scope::new(ScopeKind::Team, team.as_str()));
                std::iter::once(key).chain(team).collect()
            },
            |rules| rules.scopes.to_vec(),
        );
        let (principal, target, metadata) = (self.principal(), self.target(due), std::collections::BTreeMap::new());
        let counted = Counted {
            principal: &principal,
            model: due.model.as_ref().map(|_| &*target),
            provider: Some(self.provider().as_str()),
            target: due.model.as_ref().map(|_| &*target),
            server: None,
            tool: None,
            metadata: &metadata,
        };
        let shared = self.snapshot.shared.iter().filter(|shared| shared.takes(&counted));
        scopes.extend(shared.map(|shared| shared.scope.clone()));
        Arc::from(scopes)
    }

    fn entry(&self, due: &Due) -> Entry {
        let Maker { org, key, key_name, team, .. } = self.maker.clone();
        let (model, provider, target) = (self.model(due), Some(self.provider().clone()), Some(self.target(due)));
        Entry {
            call: due.call,
            attribution: Attribution { org, key, key_name, team, model, provider, target },
            scopes: self.scopes(due),
            at: due.at,
            finished: due.at,
            kind: EntryKind::Settled,
            cost: due.cost,
            held: NanoUsd::ZERO,
            reserved: NanoUsd::ZERO,
            overrun: due.cost.unwrap_or_default(),
            usage: due.usage,
        }
    }

    /// Charges it to every scope, whatever is left there: it was spent already.
    fn charge(&self, gate: &Gate, due: &Due) {
        gate.ledger.charge(self.entry(due));
        if let Some(cost) = due.cost {
            let team = self.maker.team.as_ref().map(AsRef::as_ref);
            gate.metrics.spent(self.maker.key_name.as_str(), team, cost);
        }
    }

    /// Puts it into the log, and gives its receipt. A log that takes no records at the moment keeps nothing from being
    /// charged that was spent; it is told as missing there.
    async fn on_record(&self, gate: &Gate, due: &Due) -> Option<u64> {
        let plan = &self.snapshot.audit;
        if plan.off(CallKind::Model).is_some() {
            return None;
        }
        let (caller, action) = (AuditCaller::from(&self.principal()), Action::CallProviderApi);
        let mut record = IntentRecord::new(due.call, caller, CallKind::Model, action, self.snapshot.revision);
        record.surface = Arc::from(self.surface);
        record.resource = self.resource();
        record.model = self.model(due);
        record.budgets = self.budgets(due);
        let intent = match gate.audit.intent(plan.class(CallKind::Model), record).await {
            Ok(intent) => intent,
            Err(error) => {
                tracing::error!(call = %due.call, %error, "what a batch came to is missing in the audit log");
                return None;
            }
        };
        let leaf = intent.leaf();
        let mut outcome = OutcomeRecord::new(Completeness::Complete, 200);
        outcome.served_by = Some(self.target(due));
        outcome.usage = Some(due.usage);
        outcome.cost = due.cost;
        let _ = intent.outcome(outcome);
        leaf
    }

    /// The names of the budgets of their own among its scopes.
    fn budgets(&self, due: &Due) -> Vec<Arc<str>> {
        let scopes = self.scopes(due);
        scopes.iter().filter(|scope| scope.kind == ScopeKind::Budget).map(|scope| Arc::clone(&scope.name)).collect()
    }

    fn summary(&self, due: &Due, receipt: Option<u64>) -> CallSummary {
        CallSummary {
            id: due.call,
            org: self.maker.org.clone(),
            at: due.at,
            millis: 0,
            key: Some(self.maker.key_name.clone()),
            team: self.maker.team.clone(),
            surface: Arc::from(self.surface),
            action: Some(Action::CallProviderApi),
            resource: self.resource(),
            served_by: Some(self.target(due)),
            status: 200,
            error: None,
            usage: due.usage,
            cost: due.cost,
            receipt,
            revision: Arc::from(self.snapshot.revision.to_string()),
            policies: Vec::new(),
            observed: Vec::new(),
            verdicts: Vec::new(),
            attempts: Vec::new(),
            stages: Vec::new(),
            facts: vec![(Arc::from("lines"), Arc::from(due.lines.to_string()))],
        }
    }
}
