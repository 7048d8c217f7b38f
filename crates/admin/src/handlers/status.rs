//! The state of the gateway as a whole, and the active revision.
//!
//! Owns no state. Shows where a provider's key came out (its fingerprint), never the key.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_audit::{Class, Status as LogStatus};
use tidegate_config::{
    check::Mode,
    live::{Active, Rejected},
    problem::Problem,
    snapshot::Snapshot,
};
use tidegate_core::clock;
use tidegate_upstream::{Availability, Destination, TargetView};
use utoipa::ToSchema;

use crate::{PinState, answer::Refusal, control::Control, moment};

/// The state of the gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The program's version.
    version: String,
    /// How long the process has run, in seconds.
    uptime_seconds: u64,
    /// `up` or `serve`.
    mode: String,
    /// The active revision.
    revision: RevisionView,
    /// The state of revisions in words.
    revision_status: String,
    /// The last candidate, where it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<RejectedView>,
    /// The audit log.
    audit: AuditView,
    /// Calls in flight.
    calls_in_flight: usize,
    /// Providers by name.
    providers: Vec<ProviderView>,
    /// Targets, servers and providers that were called, and how they stand.
    targets: Vec<TargetHealth>,
    /// Models that lists offer, aliases first.
    models: Vec<ModelView>,
    /// MCP servers by name.
    servers: Vec<ServerView>,
    /// Tools whose definition is not the one that was pinned; `/api/v1/mcp/pins` shows both.
    changed_tools: Vec<ChangedView>,
}

/// How a target that was called stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TargetHealth {
    /// `provider/model`, a server or a provider.
    name: String,
    /// `up`, `probing` (one call decides), `down` (it failed too often) or `cooling` (it asked for a pause).
    state: &'static str,
    /// For how long it is left alone, in seconds; absent where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_seconds: Option<u64>,
    /// How soon its answers begin of late, in milliseconds.
    latency_ms: u64,
    /// Calls in flight.
    in_flight: u32,
}

impl TargetHealth {
    fn of(view: TargetView) -> Self {
        let pause = match view.availability {
            Availability::Down(pause) | Availability::Cooling(pause) => Some(pause.as_secs().max(1)),
            Availability::Up | Availability::Probing => None,
        };
        Self {
            name: view.name,
            state: view.availability.as_str(),
            for_seconds: pause,
            latency_ms: u64::try_from(view.latency.as_millis()).unwrap_or(u64::MAX),
            in_flight: view.in_flight,
        }
    }
}

/// A tool whose definition is not the one that was pinned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedView {
    /// Its server.
    server: String,
    /// Its name.
    tool: String,
    /// The members of the definition that differ.
    changed: Vec<String>,
    /// When the other definition was first seen.
    since: String,
    /// `refuse` or `warn`, as `on_change` of the server says.
    on_change: String,
}

/// A revision.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevisionView {
    /// Its number on this node.
    number: u64,
    /// The first twelve digits of its hash, as in `x-tidegate-revision`.
    id: String,
    /// Its whole hash.
    digest: String,
    /// When it was activated.
    activated: String,
}

/// A candidate that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedView {
    /// Its number.
    number: u64,
    /// When it was refused.
    at: String,
    /// The problems as text, with places and hints.
    text: String,
    /// The problems one by one.
    problems: Vec<ProblemView>,
}

/// A problem of a configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemView {
    /// Its code, as `tidegate explain` takes it.
    code: String,
    /// `error` or `warning`.
    severity: String,
    /// The place in the configuration.
    path: String,
    /// The place in a policy file: its name, line and column.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// What is wrong.
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The state of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditView {
    /// Whether records are taken.
    writable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Leaves appended.
    size: u64,
    /// Leaves in the signed tree.
    integrated: u64,
    /// Leaves known to be on stable storage.
    synced: u64,
    /// `off`, `buffered` or `durable`.
    model_calls: String,
    /// `off`, `buffered` or `durable`.
    tool_calls: String,
    /// The kinds that leave no record.
    off: Vec<String>,
}

/// A provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderView {
    /// Its name.
    name: String,
    /// Its type in the catalogue.
    r#type: String,
    /// Where it is; absent for the simulator in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The first six digits of its key's SHA-256; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

/// A model that lists offer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// Its name.
    name: String,
    /// Whether it is an alias of the configuration.
    alias: bool,
}

/// An MCP server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerView {
    /// Its name.
    name: String,
    /// Where it is; absent for the simulator in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The tools that it may offer; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<String>>,
}

impl RevisionView {
    pub(crate) fn of(active: &Active) -> Self {
        Self {
            number: active.number,
            id: active.snapshot.revision.to_string(),
            digest: active.snapshot.revision.0.to_string(),
            activated: moment::text(active.at),
        }
    }
}

impl RejectedView {
    fn of(rejected: &Rejected) -> Self {
        Self {
            number: rejected.number,
            at: moment::text(rejected.at),
            text: rejected.rendered.clone(),
            problems: rejected.problems.iter().map(ProblemView::of).collect(),
        }
    }
}

impl ProblemView {
    fn of(problem: &Problem) -> Self {
        Self {
            code: problem.code.to_string(),
            severity: problem.severity.as_str().to_owned(),
            path: problem.path.clone(),
            place: problem.elsewhere.as_ref().map(ToString::to_string),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

impl AuditView {
    pub(crate) fn of(control: &Control) -> Self {
        let LogStatus { writable, reason, appended, integrated, synced, .. } = control.audit.status();
        let plan = control.live.current().snapshot.audit;
        let kinds = [("model_calls", plan.model_calls), ("tool_calls", plan.tool_calls)];
        let off = kinds.iter().filter(|(_, class)| *class == Class::Off).map(|(kind, _)| (*kind).to_owned()).collect();
        Self {
            writable,
            reason,
            size: appended,
            integrated,
            synced,
            model_calls: class(plan.model_calls).to_owned(),
            tool_calls: class(plan.tool_calls).to_owned(),
            off,
        }
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Off => "off",
        Class::Buffered => "buffered",
        Class::Durable => "durable",
    }
}

/// A destination without its query, which may be as good as a credential.
fn url(destination: &Destination) -> Option<String> {
    match destination {
        Destination::Http { url, .. } => Some(format!("{}{}", url.origin().ascii_serialization(), url.path())),
        Destination::Sim | Destination::Program(_) | Destination::Metadata(_) => None,
    }
}

fn changed(snapshot: &Snapshot, state: &PinState) -> Option<ChangedView> {
    let seen = state.seen.as_ref()?;
    Some(ChangedView {
        server: seen.server.to_string(),
        tool: seen.name.to_string(),
        changed: state.pin.differences(seen),
        since: moment::text(seen.pinned_at),
        on_change: snapshot.on_change(seen.server.as_str()).as_str().to_owned(),
    })
}

/// The state of the gateway.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = Status)))]
pub(crate) async fn status(State(control): State<Arc<Control>>) -> Json<Status> {
    let active = control.live.current();
    let snapshot = &active.snapshot;
    let provider = |provider: &Arc<tidegate_upstream::Provider>| ProviderView {
        name: provider.name.to_string(),
        r#type: snapshot.provider_type(provider.name.as_str()).unwrap_or_default().to_owned(),
        url: url(&provider.base),
        fingerprint: provider.auth.secret().map(tidegate_core::secret::Secret::fingerprint),
    };
    let server = |server: &Arc<tidegate_upstream::McpServer>| ServerView {
        name: server.name.to_string(),
        url: url(&server.base),
        tools: server.tools.as_ref().map(|tools| tools.iter().map(ToString::to_string).collect()),
    };
    let model =
        |model: &tidegate_config::snapshot::ListedModel| ModelView { name: model.name.to_string(), alias: model.alias };
    Json(Status {
        version: control.version.to_owned(),
        uptime_seconds: clock::now().saturating_duration_since(control.started).as_secs(),
        mode: match control.mode {
            Mode::Up => "up".to_owned(),
            Mode::Serve => "serve".to_owned(),
        },
        revision: RevisionView::of(&active),
        revision_status: control.live.status(),
        rejected: control.live.last_rejected().map(|rejected| RejectedView::of(&rejected)),
        audit: AuditView::of(&control),
        calls_in_flight: control.live_calls.count(),
        providers: snapshot.providers().map(provider).collect(),
        targets: (control.targets)().into_iter().map(TargetHealth::of).collect(),
        models: snapshot.listed_models().iter().map(model).collect(),
        servers: snapshot.servers().map(server).collect(),
        changed_tools: control.pins.list().iter().filter_map(|state| changed(snapshot, state)).collect(),
    })
}

/// The active revision with what it is made of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevisionDetail {
    /// Which it is.
    #[serde(flatten)]
    revision: RevisionView,
    /// What is not wrong but should be known.
    warnings: Vec<ProblemView>,
    /// The policy files' names.
    policy_files: Vec<String>,
    /// The configuration in its canonical form; secrets are references.
    document: serde_json::Value,
}

/// The active revision.
#[utoipa::path(get, path = "/api/v1/revisions/current", tag = "revisions", responses((status = 200, body = RevisionDetail)))]
pub(crate) async fn revision(State(control): State<Arc<Control>>) -> Result<Json<RevisionDetail>, Refusal> {
    let active = control.live.current();
    let snapshot = &active.snapshot;
    let document = serde_json::to_value(&*snapshot.document)
        .map_err(|error| Refusal::unavailable("internal", format!("the configuration cannot be shown: {error}")))?;
    Ok(Json(RevisionDetail {
        revision: RevisionView::of(&active),
        warnings: snapshot.warnings.iter().map(ProblemView::of).collect(),
        policy_files: snapshot.policy_files.iter().map(|(name, _)| name.clone()).collect(),
        document,
    }))
}
