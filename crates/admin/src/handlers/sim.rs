//! What the built-in simulator was asked: the oracle of tests and demonstrations.
//!
//! Owns no state. Only where the simulator runs in this process.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use tidegate_upstream::sim::Sim;

use crate::{answer::Refusal, control::Control};

fn running(control: &Control) -> Result<&Sim, Refusal> {
    control
        .sim
        .as_ref()
        .ok_or_else(|| Refusal::not_found("no simulator runs in this process").hint("`tidegate up` has one"))
}

/// What the simulator was asked and what it sent.
#[utoipa::path(get, path = "/api/v1/sim/ledger", tag = "sim", responses((status = 200, body = serde_json::Value)))]
pub(crate) async fn ledger(
    State(control): State<Arc<Control>>,
) -> Result<Json<tidegate_upstream::sim::LedgerView>, Refusal> {
    running(&control).map(|sim| Json(sim.ledger()))
}

/// Forgets what the simulator was asked.
#[utoipa::path(delete, path = "/api/v1/sim/ledger", tag = "sim", responses((status = 204, description = "Forgotten")))]
pub(crate) async fn clear(State(control): State<Arc<Control>>) -> Result<StatusCode, Refusal> {
    running(&control)?.clear_ledger();
    Ok(StatusCode::NO_CONTENT)
}
