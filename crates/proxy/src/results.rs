//! What a provider's own batch came to: read from its file of results when that is first fetched.
//!
//! Owns what is known of such a file, the count of its lines while it passes, and the one settlement. The key that made
//! the batch pays, at the price of batches in the catalogue, whoever fetches it. Never holds more than a line. Fed where
//! answers of a vendor's own API leave.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use tidegate_audit::record::{CallKind, Caller as AuditCaller, Completeness, IntentRecord, OutcomeRecord};
use tidegate_config::snapshot::Snapshot;
use tidegate_core::{
    batches::Maker,
    calls::CallSummary,
    clock,
    facts::Action,
    ids::{CallId, ModelName, ProviderName, TargetId},
    made::{Made, Results},
    money::NanoUsd,
    principal::Principal,
    usage::{Service, Usage, UsageSource},
};
use tidegate_ledger::{Attribution, Entry, EntryKind, Scope, ScopeKind, cost};
use tidegate_protocol::native::{batch_results, result_of_batch};

use crate::gate::Gate;

/// The longest line that is read, in bytes; a longer one leaves the file uncounted.
const LONGEST: usize = 8 << 20;
/// The most models of one file that are told apart.
const MOST_MODELS: usize = 64;

/// Notes which file has the results of a batch, where this answer says so and the batch was made here.
pub(crate) async fn note(gate: &Arc<Gate>, body: &[u8]) {
    let Some((batch, files)) = batch_results(body) else { return };
    let Some(made) = gate.owners.made("batches", &batch).filter(|made| made.maker.is_some()) else { return };
    for file in files {
        if gate.owners.made("files", &file).is_none_or(|known| known.results.is_none()) {
            let results = Some(Results { batch: Arc::from(batch.as_str()), settled: None });
            gate.owners.keep("files", &file, Made { results, ..made.clone() }).await;
        }
    }
}

/// A file of results on its way through.
pub(crate) struct Tally {
    file: String,
    made: Made,
    waiting: BytesMut,
    /// Whether a line was too long to be read.
    lost: bool,
    by_model: BTreeMap<String, Usage>,
}

impl Tally {
    /// The count of what is asked for at `path`, where it is such a file and was not paid for yet.
    pub(crate) fn of(gate: &Gate, path: &str) -> Option<Box<Self>> {
        let file = path.strip_prefix("/v1/files/")?.strip_suffix("/content")?;
        let made = gate.owners.made("files", file)?;
        made.results.as_ref().filter(|results| results.settled.is_none())?;
        made.maker.as_ref()?;
        let file = file.to_owned();
        Some(Box::new(Self { file, made, waiting: BytesMut::new(), lost: false, by_model: BTreeMap::new() }))
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        let mut rest = &bytes[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, more) = rest.split_at(end);
            self.waiting.extend_from_slice(line);
            self.line();
            rest = more.get(1..).unwrap_or_default();
        }
        if self.waiting.len().saturating_add(rest.len()) > LONGEST {
            self.lost = true;
        } else {
            self.waiting.extend_from_slice(rest);
        }
    }

    fn line(&mut self) {
        let line = self.waiting.split().freeze();
        let Some((model, usage)) = result_of_batch(&line) else { return };
        if self.by_model.len() >= MOST_MODELS && !self.by_model.contains_key(&model) {
            self.lost = true;
            return;
        }
        let sum = self.by_model.entry(model).or_insert(Usage {
            service: Some(Service::Batch),
            source: UsageSource::Vendor,
            ..Usage::default()
        });
        add(sum, &usage);
    }

    /// The end of a file that came whole: it is paid for, once.
    pub(crate) async fn settle(mut self: Box<Self>, gate: &Arc<Gate>) {
        self.line();
        if self.lost {
            tracing::warn!(file = self.file, "results of a batch were too large to be counted, and are not paid for");
            return;
        }
        let (Some(maker), Some(results)) = (self.made.maker.clone(), self.made.results.clone()) else { return };
        let call = CallId::new();
        if !gate.owners.settle(&self.file, call).await {
            return;
        }
        let snapshot = Arc::clone(&gate.live.current().snapshot);
        for (at, (model, usage)) in self.by_model.iter().enumerate() {
            let call = if at == 0 { call } else { CallId::new() };
            let paid = Paid { call, maker: &maker, provider: &self.made.provider, batch: &results.batch, model, usage };
            paid.record(gate, &snapshot).await;
        }
    }
}

fn add(sum: &mut Usage, more: &Usage) {
    for (sum, more) in [
        (&mut sum.input, more.input),
        (&mut sum.cache_read, more.cache_read),
        (&mut sum.cache_write_5m, more.cache_write_5m),
        (&mut sum.cache_write_1h, more.cache_write_1h),
        (&mut sum.output, more.output),
        (&mut sum.reasoning, more.reasoning),
        (&mut sum.audio_input, more.audio_input),
        (&mut sum.audio_cache_read, more.audio_cache_read),
        (&mut sum.audio_output, more.audio_output),
        (&mut sum.image_input, more.image_input),
        (&mut sum.image_output, more.image_output),
    ] {
        *sum = sum.saturating_add(more);
    }
}

/// What one model was used for by a batch.
struct Paid<'a> {
    call: CallId,
    maker: &'a Maker,
    provider: &'a ProviderName,
    batch: &'a Arc<str>,
    model: &'a str,
    usage: &'a Usage,
}

impl Paid<'_> {
    /// Puts it on record, and charges it to every scope of the key, whatever is left there: it was spent already.
    async fn record(&self, gate: &Arc<Gate>, snapshot: &Snapshot) {
        let (maker, now) = (self.maker, clock::wall());
        let target = TargetId { provider: self.provider.clone(), model: Arc::from(self.model) };
        let routed = snapshot.at(self.provider.as_str(), self.model);
        let targets = routed.map(|routed| routed.route.targets()).unwrap_or_default();
        let price = targets.first().and_then(|target| target.price.as_ref());
        let cost: Option<NanoUsd> = price.and_then(|price| cost(price, self.usage));
        let scopes = snapshot.key(&maker.org, &maker.key_name).map_or_else(
            || Arc::from([Scope::new(ScopeKind::Key, maker.key_name.as_str())]),
            |rules| Arc::clone(&rules.scopes),
        );
        let receipt = self.on_record(gate, snapshot, &target, cost).await;
        gate.ledger.charge(Entry {
            call: self.call,
            attribution: Attribution {
                org: maker.org.clone(),
                key: maker.key,
                key_name: maker.key_name.clone(),
                team: maker.team.clone(),
                model: Some(ModelName::from(target.to_string())),
                provider: Some(self.provider.clone()),
                target: Some(Arc::from(target.to_string())),
            },
            scopes,
            at: now,
            finished: now,
            kind: EntryKind::Settled,
            cost,
            held: NanoUsd::ZERO,
            reserved: NanoUsd::ZERO,
            overrun: cost.unwrap_or_default(),
            usage: *self.usage,
        });
        gate.calls.record(CallSummary {
            id: self.call,
            org: maker.org.clone(),
            at: now,
            millis: 0,
            key: Some(maker.key_name.clone()),
            team: maker.team.clone(),
            surface: Arc::from("openai"),
            action: Some(Action::CallProviderApi),
            resource: self.resource(),
            served_by: Some(Arc::from(target.to_string())),
            status: 200,
            error: None,
            usage: *self.usage,
            cost,
            receipt,
            revision: Arc::from(snapshot.revision.to_string()),
            policies: Vec::new(),
            observed: Vec::new(),
            verdicts: Vec::new(),
            attempts: Vec::new(),
            stages: Vec::new(),
            facts: Vec::new(),
        });
    }

    fn resource(&self) -> Arc<str> {
        Arc::from(format!("{} results of {}", self.provider, self.batch))
    }

    async fn on_record(
        &self,
        gate: &Gate,
        snapshot: &Snapshot,
        target: &TargetId,
        cost: Option<NanoUsd>,
    ) -> Option<u64> {
        if snapshot.audit.intent_off(CallKind::Model).is_some() {
            return None;
        }
        let principal = Principal {
            org: self.maker.org.clone(),
            key: self.maker.key,
            key_name: self.maker.key_name.clone(),
            team: self.maker.team.clone(),
            chain: Vec::new(),
            address: self.maker.address,
        };
        let caller = AuditCaller::from(&principal);
        let action = Action::CallProviderApi;
        let mut record = IntentRecord::new(self.call, caller, CallKind::Model, action, snapshot.revision);
        record.surface = Arc::from("openai");
        record.resource = self.resource();
        record.model = Some(ModelName::from(target.to_string()));
        let intent = match gate.audit.intent(snapshot.audit.class(CallKind::Model), record).await {
            Ok(intent) => intent,
            Err(error) => {
                tracing::error!(%error, "what a batch came to could not be put on record");
                return None;
            }
        };
        let leaf = intent.leaf();
        let mut outcome = OutcomeRecord::new(Completeness::Complete, 200);
        outcome.served_by = Some(Arc::from(target.to_string()));
        outcome.usage = Some(*self.usage);
        outcome.cost = cost;
        let _ = intent.outcome(outcome);
        leaf
    }
}
