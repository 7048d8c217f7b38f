//! Calls: finished ones from the index and the audit log, and those in flight.
//!
//! Owns the shapes. Content of calls is never among them. The audit log is the truth; the index is for looking up.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::{
    calls::{CallQuery, CallSummary},
    clock,
    control::Selector,
    fault::AttemptReport,
    ids::CallId,
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{Named, Params, Refusal, blocking, shown},
    control::Control,
    moment,
};

/// How many calls are listed where nothing is said.
const LISTED: usize = 50;
/// The most calls that are listed.
const MOST_LISTED: usize = 1_000;
/// How far the audit log is searched for a call, in entries.
const MOST_SEARCHED: u64 = 100_000;

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallParams {
    /// Only this key's, by its name.
    key: Option<String>,
    /// Only those that ended with this error code; `any` for every error.
    error: Option<String>,
    /// Only those that came in before this moment: the `at` of the last one, for paging.
    before: Option<String>,
    /// At most this many, newest first: 1 to 1,000; 50 where it is left out.
    limit: Option<usize>,
}

/// Finished calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallList {
    /// Newest first.
    calls: Vec<CallRow>,
}

/// A finished call in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallRow {
    /// The call.
    id: String,
    /// When it came in.
    at: String,
    /// How long it took.
    millis: u64,
    /// The key's name; absent where the caller was not identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key's team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// The surface that was spoken.
    surface: String,
    /// What was to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// What was asked for.
    resource: String,
    /// Which target served it.
    #[serde(skip_serializing_if = "Option::is_none")]
    served_by: Option<String>,
    /// The status that the caller got.
    status: u16,
    /// The error code, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The prompt's tokens, cached or not.
    input_tokens: u64,
    /// The tokens generated.
    output_tokens: u64,
    /// What it cost in US dollars; absent where the model has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd: Option<String>,
    /// Its leaf in the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<u64>,
    /// The revision that decided.
    revision: String,
}

/// The whole story of one call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallStory {
    /// The call, where it is finished and indexed.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallDetail>,
    /// Its records in the audit log, oldest first.
    audit: Vec<AuditRecord>,
}

/// A finished call with what decided it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallDetail {
    /// What lists show of it.
    #[serde(flatten)]
    row: CallRow,
    /// Tokens by class, and who counted them.
    usage: Value,
    /// The policies that decided.
    policies: Vec<String>,
    /// Policies in observe mode that would have denied.
    observed: Vec<String>,
    /// What guardrails found: guardrail, category, origin, action, count.
    verdicts: Vec<Value>,
    /// What was tried.
    attempts: Vec<AttemptView>,
    /// What each stage of the pipeline said.
    stages: Vec<StageView>,
    /// The facts that decided, each as its name and its value.
    facts: Vec<[String; 2]>,
}

/// An attempt at a target.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    /// The target.
    target: String,
    /// How far it came.
    phase: Value,
    /// The upstream's status, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// How long it took.
    millis: u64,
    /// What happened.
    outcome: String,
}

/// What a stage said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StageView {
    /// The stage.
    stage: String,
    /// `pass`, `changed`, `refused` or `failed`.
    verdict: Value,
    /// How long it took, in microseconds.
    micros: u32,
    /// What it concerned or why.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A record of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditRecord {
    /// Its place in the log.
    leaf: u64,
    /// The record as it stands there.
    entry: Value,
}

/// Calls in flight.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveList {
    /// Oldest first.
    calls: Vec<LiveRow>,
}

/// A call in flight.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveRow {
    /// The call.
    id: String,
    /// The key's name.
    key: String,
    /// The key's identifier.
    key_id: String,
    /// What it does.
    action: String,
    /// When it came in.
    at: String,
    /// How long ago that was.
    millis: u64,
}

/// Calls that are being ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cut {
    /// How many there were.
    cut: usize,
}

/// Finished calls, newest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls", params(CallParams), responses((status = 200, body = CallList)))]
pub(crate) async fn list(
    State(control): State<Arc<Control>>,
    Params(params): Params<CallParams>,
) -> Result<Json<CallList>, Refusal> {
    let most = params.limit.unwrap_or(LISTED);
    if most == 0 || most > MOST_LISTED {
        return Err(Refusal::invalid(format!("`limit` is not between 1 and {MOST_LISTED}")));
    }
    let moment = |text: &str| {
        moment::past(text, clock::wall())
            .ok_or_else(|| Refusal::invalid(format!("`before`: {} is no moment", shown(text))).hint(moment::FORMS))
    };
    let before = params.before.as_deref().map(moment).transpose()?;
    let query = CallQuery { key: params.key, error: params.error, before, most };
    blocking(move || {
        control.calls.flush()?;
        let found = control.calls.list(&control.org(), &query)?;
        Ok(Json(CallList { calls: found.iter().map(CallRow::of).collect() }))
    })
    .await
}

/// Calls in flight.
#[utoipa::path(get, path = "/api/v1/calls/live", tag = "calls", responses((status = 200, body = LiveList)))]
pub(crate) async fn live(State(control): State<Arc<Control>>) -> Json<LiveList> {
    let now = clock::wall();
    let calls = control.live_calls.list(MOST_LISTED).into_iter().map(|call| LiveRow {
        id: call.id.to_string(),
        key: call.key_name.to_string(),
        key_id: call.key.to_string(),
        action: call.action.as_str().to_owned(),
        at: moment::text(call.since),
        millis: u64::try_from(now.since(call.since).as_millis()).unwrap_or(u64::MAX),
    });
    Json(LiveList { calls: calls.collect() })
}

/// The whole story of one call.
#[utoipa::path(get, path = "/api/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call's id")), responses((status = 200, body = CallStory)))]
pub(crate) async fn get(State(control): State<Arc<Control>>, Named(id): Named) -> Result<Json<CallStory>, Refusal> {
    let id = call_id(&id)?;
    blocking(move || {
        control.calls.flush()?;
        let call = control.calls.get(&control.org(), id)?;
        let found = control
            .audit
            .find(id, MOST_SEARCHED)
            .map_err(|error| Refusal::unavailable("audit_unavailable", error.to_string()))?;
        if call.is_none() && found.is_empty() {
            return Err(no_such_call());
        }
        let record = |(leaf, entry)| AuditRecord { leaf, entry: json(&entry) };
        Ok(Json(CallStory { call: call.as_ref().map(CallDetail::of), audit: found.into_iter().map(record).collect() }))
    })
    .await
}

/// Ends a call in flight.
#[utoipa::path(post, path = "/api/v1/calls/{id}/cut", tag = "calls", params(("id" = String, Path, description = "The call's id")), responses((status = 200, body = Cut)))]
pub(crate) async fn cut(State(control): State<Arc<Control>>, Named(id): Named) -> Result<Json<Cut>, Refusal> {
    match control.live_calls.cut(&Selector::Call(call_id(&id)?)) {
        0 => Err(Refusal::not_found("no such call is in flight").hint("`GET /api/v1/calls/live` lists them")),
        cut => Ok(Json(Cut { cut })),
    }
}

fn call_id(text: &str) -> Result<CallId, Refusal> {
    text.parse().map_err(|_| no_such_call())
}

fn no_such_call() -> Refusal {
    Refusal::not_found("there is no such call").hint("a call's id is `call_` and 32 hexadecimal digits")
}

/// A value of the vocabulary as JSON. What cannot be written is left out; nothing in the vocabulary is of that kind.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl CallRow {
    pub(super) fn of(call: &CallSummary) -> Self {
        Self {
            id: call.id.to_string(),
            at: moment::text(call.at),
            millis: call.millis,
            key: call.key.as_ref().map(ToString::to_string),
            team: call.team.as_ref().map(ToString::to_string),
            surface: call.surface.to_string(),
            action: call.action.map(|action| action.as_str().to_owned()),
            resource: call.resource.to_string(),
            served_by: call.served_by.as_ref().map(ToString::to_string),
            status: call.status,
            error: call.error.as_ref().map(ToString::to_string),
            input_tokens: call.usage.prompt_total(),
            output_tokens: call.usage.output,
            usd: call.cost.map(tidegate_core::money::NanoUsd::to_usd),
            receipt: call.receipt,
            revision: call.revision.to_string(),
        }
    }
}

impl CallDetail {
    fn of(call: &CallSummary) -> Self {
        let stages = call.stages.iter().map(|event| StageView {
            stage: event.stage.as_str().to_owned(),
            verdict: json(&event.verdict),
            micros: event.micros,
            detail: event.detail.as_ref().map(ToString::to_string),
        });
        let fact = |(name, value): &(Arc<str>, Arc<str>)| [name.to_string(), value.to_string()];
        Self {
            row: CallRow::of(call),
            usage: json(&call.usage),
            policies: call.policies.clone(),
            observed: call.observed.clone(),
            verdicts: call.verdicts.iter().map(json).collect(),
            attempts: call.attempts.iter().map(attempt).collect(),
            stages: stages.collect(),
            facts: call.facts.iter().map(fact).collect(),
        }
    }
}

fn attempt(report: &AttemptReport) -> AttemptView {
    AttemptView {
        target: report.target.clone(),
        phase: json(&report.phase),
        status: report.status,
        millis: report.millis,
        outcome: report.outcome.clone(),
    }
}
