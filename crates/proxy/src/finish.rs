//! What happens when a call ends, however it ends: stages 13 and 14, settle and outcome, and the summary for people.
//!
//! Synchronous and infallible, since it also runs on drop: the reservation and the intent took their places before.
//! Called by [`Exchange::end`] alone.

use std::sync::Arc;

use tidegate_audit::record::{
    CallKind, Caller as AuditCaller, Completeness, IntentRecord, OutcomeRecord, RefusalRecord,
};
use tidegate_core::{
    calls::CallSummary,
    clock,
    event::{Stage, StageEvent, StageVerdict},
    facts::Action,
    fault::{FaultCode, FaultOrigin},
    ids::{Digest, OrgId},
    money::NanoUsd,
    usage::{Service, Usage},
};
use tidegate_ledger::{Price, Settlement, cost};
use tidegate_upstream::{Running, export};

use crate::{
    exchange::{Ending, Exchange},
    metrics::ModelLabels,
    traced,
};

/// Ends `exchange` as `ending` says.
pub(crate) fn finish(exchange: &mut Exchange, ending: &Ending<'_>) {
    let fault = ending.fault.map(|fault| (fault.code.as_str(), fault.origin()));
    let action = exchange.story.action.map_or("none", Action::as_str);
    exchange.gate.metrics.finished(exchange.surface.as_str(), action, ending.status, fault);
    if exchange.caller.is_none() {
        exchange.gate.metrics.unidentified.add(1);
        crate::floods::count(&exchange.gate, exchange.address, ending);
        return;
    }
    let running = exchange.running.take();
    if exchange.story.again {
        // Nobody was paid for what was said before.
        (exchange.story.usage, exchange.story.cost) = (None, Some(NanoUsd::ZERO));
    }
    match running {
        Some(Running { reservation, intent }) => {
            let started = clock::now();
            let usage = exchange.story.usage.unwrap_or_default();
            let price = exchange.target.as_ref().and_then(|target| target.price.as_ref());
            let cost = match (price, usage.is_nothing()) {
                // An answer that never came is none to pay for.
                _ if exchange.story.flat.is_some() && exchange.story.served_by.is_none() => Some(NanoUsd::ZERO),
                _ if exchange.story.flat.is_some() => exchange.story.flat.flatten(),
                (_, true) => Some(NanoUsd::ZERO),
                (Some(price), _) => costs(price, &usage, exchange.story.service),
                (None, _) if exchange.story.is_tool => Some(NanoUsd::ZERO),
                (None, _) => None,
            };
            let settled = reservation.settle(Settlement { usage, cost, wall: clock::wall() });
            exchange.story.cost = settled.cost;
            report(exchange, Stage::Settle, started);
            let started = clock::now();
            report(exchange, Stage::Outcome, started);
            // An intent that leaves no record has no outcome to be told.
            if intent.leaf().is_some() {
                let leaf = intent.outcome(outcome(exchange, ending));
                exchange.story.receipt = exchange.story.receipt.or(leaf);
            }
        }
        // What was dropped on its way to the upstream told the ledger and the log itself.
        None if exchange.story.sent => {}
        None if exchange.story.again => refuse(exchange, ending),
        // What the gateway answered by itself, or relayed within a session, sent no call.
        None if ending.fault.is_none() && ending.complete => {}
        None => refuse(exchange, ending),
    }
    measure(exchange, ending);
    let summary = summary(exchange, ending);
    traced::record(exchange, &summary, ending);
    log(&summary, ending);
    exchange.gate.calls.record(summary);
}

/// What a call cost. A vendor that does not say which level of service it gave may have given the one that was asked for
/// or the usual one: the dearer counts.
fn costs(price: &Price, usage: &Usage, asked: Option<Service>) -> Option<NanoUsd> {
    let usual = cost(price, usage)?;
    if usage.service.is_some() || asked.is_none() {
        return Some(usual);
    }
    cost(price, &Usage { service: asked, ..*usage }).map(|asked| asked.max(usual))
}

fn report(exchange: &mut Exchange, stage: Stage, started: std::time::Instant) {
    let micros = clock::micros_since(started);
    exchange.report(StageEvent { stage, verdict: StageVerdict::Pass, micros, detail: None });
}

/// Records a call of which nothing was sent.
fn refuse(exchange: &mut Exchange, ending: &Ending<'_>) {
    let Some(record) = intent_record(exchange) else { return };
    let class_is_off = exchange.snapshot.audit.off(kind(exchange)).is_some();
    if class_is_off {
        return;
    }
    let outcome = outcome(exchange, ending);
    match exchange.gate.audit.refusal_now(RefusalRecord { call: record, outcome }) {
        Ok(leaf) => exchange.story.receipt = Some(leaf),
        Err(error) => tracing::error!(call = %exchange.id, %error, "a refusal could not be recorded"),
    }
}

pub(crate) fn kind(exchange: &Exchange) -> CallKind {
    if exchange.story.is_tool { CallKind::Tool } else { CallKind::Model }
}

/// What the log is to say of the call before anything is sent; `None` before it is known what is asked.
pub(crate) fn intent_record(exchange: &Exchange) -> Option<IntentRecord> {
    let caller = exchange.caller.as_ref()?;
    let action = exchange.story.action?;
    let mut record = IntentRecord::new(
        exchange.id,
        AuditCaller::from(&caller.principal),
        kind(exchange),
        action,
        exchange.revision(),
    );
    record.surface = Arc::from(exchange.surface.as_str());
    record.resource = Arc::clone(&exchange.story.resource);
    record.model = exchange.story.model.clone();
    record.stream = exchange.story.stream;
    record.session = exchange.story.session.clone();
    record.policies = exchange.story.policies.iter().map(|policy| Arc::from(policy.as_str())).collect();
    record.verdicts = exchange.story.verdicts.clone();
    record.stages = exchange.story.stages.clone();
    if let Some(digest) = &exchange.story.request_digest {
        record.digests = record.digests.with_request(digest);
    }
    Some(record)
}

fn outcome(exchange: &Exchange, ending: &Ending<'_>) -> OutcomeRecord {
    let story = &exchange.story;
    let completeness = if ending.complete { Completeness::Complete } else { Completeness::Partial };
    let mut record = OutcomeRecord::new(completeness, ending.status);
    record.fault = ending.fault.map(|fault| Arc::from(fault.code.as_str()));
    record.served_by = story.served_by.clone();
    record.attempts = u32::try_from(story.attempts.len()).unwrap_or(u32::MAX);
    record.usage = story.usage;
    record.cost = story.cost;
    record.millis = millis(exchange);
    record.verdicts = story.verdicts.clone();
    record.losses = story.losses.clone();
    record.stages = story.stages.clone();
    record.blobs = kept_bodies(exchange);
    if let Some(digest) = &story.response_digest {
        record.digests = record.digests.with_response(digest);
    }
    record
}

/// Keeps the bodies of this call and says under which names; a body that cannot be kept is missing, and the log says so.
fn kept_bodies(exchange: &Exchange) -> Vec<Digest> {
    let Some(blobs) = exchange.gate.blobs.as_ref().filter(|_| exchange.keeps_bodies()) else { return Vec::new() };
    let bodies = [exchange.story.request_body.as_deref(), exchange.story.response_body.as_deref()];
    bodies
        .into_iter()
        .flatten()
        .filter_map(|body| match blobs.keep(body) {
            Ok(digest) => Some(digest),
            Err(error) => {
                tracing::error!(call = %exchange.id, %error, "a body could not be kept");
                None
            }
        })
        .collect()
}

fn millis(exchange: &Exchange) -> u64 {
    u64::try_from(clock::now().saturating_duration_since(exchange.started).as_millis()).unwrap_or(u64::MAX)
}

fn measure(exchange: &Exchange, ending: &Ending<'_>) {
    let story = &exchange.story;
    let metrics = &exchange.gate.metrics;
    for verdict in &story.verdicts {
        metrics.finding(verdict);
    }
    metrics.own_work(exchange.surface.as_str(), &story.stages);
    metrics.attempts(&story.attempts);
    let seconds = clock::now().saturating_duration_since(exchange.started).as_secs_f64();
    let error = ending.fault.map_or("", |fault| fault.code.as_str());
    if story.is_tool {
        let (server, item) = story.resource.split_once('/').unwrap_or((&story.resource, ""));
        let tool = if story.action == Some(Action::CallTool) { item } else { "" };
        metrics.tool_duration(story.operation, tool, error, server, seconds);
    } else if story.action == Some(Action::InvokeModel) {
        measure_model(exchange, error, seconds);
    }
    if let (Some(cost), Some(caller)) = (story.cost, &exchange.caller) {
        let team = caller.principal.team.as_ref().map(AsRef::as_ref);
        metrics.spent(caller.principal.key_name.as_str(), team, cost);
    }
}

/// Measures a model call under whoever answered it; one that nobody answered, under the model that was asked for.
fn measure_model(exchange: &Exchange, error: &str, seconds: f64) {
    let (story, metrics) = (&exchange.story, &exchange.gate.metrics);
    let labels = match &exchange.target {
        Some(target) => {
            let provider = target.id.provider.as_str();
            let kind = exchange.snapshot.provider_type(provider).unwrap_or(provider);
            ModelLabels { operation: story.operation, vendor: export::vendor(kind), model: &target.id.model, provider }
        }
        None => {
            let model = story.model.as_ref().map(|model| model.as_str()).unwrap_or_default();
            ModelLabels { operation: story.operation, vendor: "", model, provider: "" }
        }
    };
    metrics.model_duration(labels, error, seconds);
    if story.stream && exchange.target.is_some() {
        metrics.first_chunk(labels, story.upstream.as_secs_f64());
    }
    if let (Some(usage), Some(_)) = (&story.usage, &exchange.target) {
        metrics.usage(labels, usage);
    }
}

fn summary(exchange: &mut Exchange, ending: &Ending<'_>) -> CallSummary {
    let millis = millis(exchange);
    let principal = exchange.caller.as_ref().map(|caller| &caller.principal);
    let story = &mut exchange.story;
    CallSummary {
        id: exchange.id,
        org: principal.map_or_else(|| OrgId::from("default"), |principal| principal.org.clone()),
        at: exchange.at,
        millis,
        key: principal.map(|principal| principal.key_name.clone()),
        team: principal.and_then(|principal| principal.team.clone()),
        surface: Arc::from(exchange.surface.as_str()),
        action: story.action,
        resource: Arc::clone(&story.resource),
        served_by: story.served_by.clone(),
        status: ending.status,
        error: ending.fault.map(|fault| Arc::from(fault.code.as_str())),
        usage: story.usage.unwrap_or_default(),
        cost: story.cost,
        receipt: story.receipt,
        revision: Arc::from(exchange.snapshot.revision.to_string()),
        policies: std::mem::take(&mut story.policies),
        observed: std::mem::take(&mut story.observed),
        verdicts: std::mem::take(&mut story.verdicts),
        attempts: story.attempts.clone(),
        stages: std::mem::take(&mut story.stages),
        facts: std::mem::take(&mut story.facts),
    }
}

/// One line a call that failed, and at the level `debug` for every call: names and numbers, no content. What went well is
/// in the metrics, the index of calls and the audit log, and a line each would cost more than all three.
fn log(summary: &CallSummary, ending: &Ending<'_>) {
    if let Some(fault) = ending.fault {
        let source = fault.source.as_ref().map(ToString::to_string).unwrap_or_default();
        if fault.origin() == FaultOrigin::Internal && fault.code != FaultCode::Overloaded {
            tracing::error!(call = %summary.id, code = fault.code.as_str(), message = %fault.public_message, source, "call failed");
            return;
        }
    }
    if summary.status < 400 && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    tracing::info!(
        call = %summary.id,
        key = summary.key.as_ref().map(AsRef::<str>::as_ref),
        resource = &*summary.resource,
        status = summary.status,
        error = summary.error.as_deref(),
        served_by = summary.served_by.as_deref(),
        millis = summary.millis,
        "call"
    );
}
