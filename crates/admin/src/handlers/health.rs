//! Liveness, readiness and metrics, for probes and scrapers that have no credential.
//!
//! Owns no state. Says nothing about keys, callers or traffic beyond what the metrics count.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::Control;

/// The format of `prometheus-client`, which Prometheus takes as its own.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    /// Always true.
    alive: bool,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Alive)))]
pub(crate) async fn healthz() -> Json<Alive> {
    Json(Alive { alive: true })
}

/// Whether calls can be taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether calls can be taken.
    ready: bool,
    /// The active revision, as the first twelve digits of its hash.
    revision: String,
    /// Its number on this node.
    number: u64,
    /// The state in words, such as `revision 41 active, 42 rejected: …`.
    status: String,
    /// The last candidate, where it was refused. The revision before it still serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<RejectedNumber>,
    /// Whether the audit log takes records.
    audit_writable: bool,
}

/// A candidate that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectedNumber {
    /// Its number.
    number: u64,
    /// How many problems it has; `/api/v1/status` lists them.
    problems: usize,
}

/// Whether a revision is active and the audit log can be written.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Readiness),
    (status = 503, description = "Calls cannot be taken", body = Readiness),
))]
pub(crate) async fn readyz(State(control): State<Arc<Control>>) -> Response {
    let active = control.live.current();
    let audit_writable = control.audit.writable();
    let rejected = control.live.last_rejected();
    let body = Readiness {
        ready: audit_writable,
        revision: active.snapshot.revision.to_string(),
        number: active.number,
        status: control.live.status(),
        rejected: rejected.map(|last| RejectedNumber { number: last.number, problems: last.problems.len() }),
        audit_writable,
    };
    let status = if audit_writable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// The metrics, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
))]
pub(crate) async fn metrics(State(control): State<Arc<Control>>) -> Response {
    let text = (control.metrics)();
    ([(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], text).into_response()
}
