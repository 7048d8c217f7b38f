//! The decision, the reservation and its settlement, and the records of a call.

use std::{hint::black_box, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use tidegate_audit::{
    record::{
        CallKind, Caller, Completeness, Entry, IntentRecord, OutcomeEntry, OutcomeRecord, Record, ReservationRecord,
        VERSION,
    },
    tree::leaf_hash,
};
use tidegate_core::{
    clock::{self, UnixMillis},
    event::{Stage, StageEvent, StageVerdict},
    facts::{Action, Facts, Resource},
    ids::{CallId, Digest, RevisionId, TargetId},
    money::NanoUsd,
    principal::Principal,
    usage::{Usage, UsageSource},
};
use tidegate_ledger::{
    Ask, Attribution, Balance, Entry as LedgerEntry, Ledger, LedgerStore, Scope, ScopeKind, ScopeRules, Settlement,
    SpendQuery, SpendRow, StoreError,
};
use tidegate_policy::{Allow, KeyEntity, Policies, PolicyInput, PolicySource, compile};

use crate::{Operation, model};

/// 24 November 2026, 16:00 UTC.
pub(crate) const MOMENT: UnixMillis = UnixMillis(1_795_536_000_000);

/// The model that the bench asks for, as a resource.
pub(crate) fn target() -> Resource {
    Resource::Model(TargetId::new("mock", "gpt-4o-mini"))
}

/// The bench's caller: the key `bench` of the team `bench`.
pub(crate) fn principal() -> Result<Principal> {
    Ok(Principal {
        org: "default".into(),
        key: "AAAAAAAA".parse().map_err(|_| anyhow!("a key's id is read differently now"))?,
        key_name: "bench".into(),
        team: Some("bench".into()),
        chain: Vec::new(),
        address: "127.0.0.1".parse()?,
    })
}

/// Policies: the key's `allow` list and `text`.
pub(crate) fn policies(text: &str) -> Result<Arc<Policies>> {
    let input = PolicyInput {
        keys: vec![KeyEntity {
            name: "bench".into(),
            team: Some("bench".into()),
            org: "default".into(),
            allow: Some(Allow { models: vec!["gpt-4o-mini".to_owned()], mcp_servers: Vec::new() }),
        }],
        teams: vec!["bench".into()],
        targets: vec![TargetId::new("mock", "gpt-4o-mini")],
        aliases: vec!["gpt-4o-mini".into()],
        servers: Vec::new(),
        sources: vec![PolicySource { file: "bench.cedar".into(), text: text.into() }],
    };
    let compiled = compile(&input).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", all.join("\n"))
    })?;
    Ok(Arc::new(compiled))
}

/// What is asked for, as the route and its estimate complete it.
pub(crate) fn facts() -> Result<Facts> {
    let (_, call) = model::request(1)?;
    let mut facts = call.facts();
    facts.input_tokens = call.estimate();
    facts.max_output_tokens = 256;
    facts.estimated_cost = Some(NanoUsd(200_000));
    Ok(facts)
}

/// The permit for a call, by an `allow` list.
pub(crate) fn authorize() -> Result<Operation> {
    let policies = policies("")?;
    let (principal, facts, candidates) = (principal()?, facts()?, [target()]);
    let (call, digest) = (CallId::new(), Digest::of(b"body"));
    Ok(Box::new(move || {
        let permit =
            tidegate_policy::authorize(&policies, call, 0, digest, &principal, black_box(&facts), &candidates, MOMENT);
        black_box(permit).map_err(|denial| anyhow!(denial.public_message()))?;
        Ok(())
    }))
}

/// A store that keeps nothing: writing behind is not the call's work.
struct Nothing;

impl LedgerStore for Nothing {
    fn record(&self, entry: LedgerEntry) {
        black_box(entry);
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn load(&self, _: UnixMillis) -> Result<Vec<LedgerEntry>, StoreError> {
        Ok(Vec::new())
    }

    fn balances(&self, _: UnixMillis) -> Result<Vec<Balance>, StoreError> {
        Ok(Vec::new())
    }

    fn spend(&self, _: SpendQuery) -> Result<Vec<SpendRow>, StoreError> {
        Ok(Vec::new())
    }
}

/// Setting money and rates aside for a key and its team, and settling.
pub(crate) fn reserve_and_settle() -> Result<Operation> {
    let ledger = Ledger::new(Arc::new(Nothing));
    let budget = vec!["1000000 usd/month".parse()?];
    let rules = ScopeRules {
        budget,
        requests: Some("100000000/min".parse()?),
        tokens: Some("1000000000000/min".parse()?),
        concurrent: Some(100_000),
    };
    let scopes = [Scope::new(ScopeKind::Key, "bench"), Scope::new(ScopeKind::Team, "bench")];
    ledger.configure(scopes.iter().map(|scope| (scope.clone(), rules.clone())).collect());
    let principal = principal()?;
    let (call, now) = (CallId::new(), clock::now());
    Ok(Box::new(move || {
        let asked = Ask {
            call,
            scopes: &scopes,
            attribution: Attribution {
                org: principal.org.clone(),
                key: principal.key,
                key_name: principal.key_name.clone(),
                team: principal.team.clone(),
                model: Some("gpt-4o-mini".into()),
                provider: None,
                target: None,
            },
            cost: Some(NanoUsd(200_000)),
            tokens: 600,
            wall: MOMENT,
            now,
        };
        let mut reservation = ledger.reserve(black_box(asked)).ok().context("the ledger refused the bench's call")?;
        reservation.commit();
        let usage = Usage { input: 20, output: 40, source: UsageSource::Vendor, ..Usage::default() };
        black_box(reservation.settle(Settlement { usage, cost: Some(NanoUsd(27_000)), wall: MOMENT }));
        Ok(())
    }))
}

/// The records of a call as the bench's configuration makes them.
pub(crate) fn intent_record(principal: &Principal) -> IntentRecord {
    let revision = RevisionId(Digest::of(b"revision"));
    let mut record =
        IntentRecord::new(CallId::new(), Caller::from(principal), CallKind::Model, Action::InvokeModel, revision);
    record.surface = "openai".into();
    record.resource = "mock/gpt-4o-mini".into();
    record.model = Some("gpt-4o-mini".into());
    record.targets = vec![TargetId::new("mock", "gpt-4o-mini")];
    record.policies = vec!["allow:bench".into()];
    record.reservation = ReservationRecord { amount: Some(NanoUsd(200_000)), input_tokens: 340, output_tokens: 256 };
    record.digests = record.digests.with_request(&Digest::of(b"request"));
    record.stages = stages().take(7).collect();
    record
}

pub(crate) fn outcome_record() -> OutcomeRecord {
    let mut record = OutcomeRecord::new(Completeness::Complete, 200);
    record.served_by = Some("mock/gpt-4o-mini".into());
    record.attempts = 1;
    record.usage = Some(Usage { input: 20, output: 40, source: UsageSource::Vendor, ..Usage::default() });
    record.cost = Some(NanoUsd(27_000));
    record.digests = record.digests.with_response(&Digest::of(b"answer"));
    record.stages = stages().collect();
    record
}

fn stages() -> impl Iterator<Item = StageEvent> {
    Stage::ALL.into_iter().map(|stage| StageEvent { stage, verdict: StageVerdict::Pass, micros: 7, detail: None })
}

/// Making, writing and hashing the intent and the outcome of a call.
pub(crate) fn records() -> Result<Operation> {
    let principal = principal()?;
    let mut leaf = Vec::new();
    Ok(Box::new(move || {
        let intent = intent_record(&principal);
        let outcome = OutcomeEntry {
            call: intent.call,
            org: principal.org.clone(),
            key: principal.key,
            intent: 1,
            outcome: outcome_record(),
        };
        for record in [Record::Intent(Box::new(intent)), Record::Outcome(Box::new(outcome))] {
            let entry = Entry { v: VERSION, at: MOMENT, record };
            leaf.clear();
            ensure!(black_box(&entry).append_to(&mut leaf), "the bench's record has no form");
            black_box(leaf_hash(&leaf));
        }
        Ok(())
    }))
}
