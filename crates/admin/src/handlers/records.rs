//! The audit log's state and how to verify it.
//!
//! Owns no state. The log is verified offline, with what this tells.

use std::{io::Read as _, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::status::AuditView;
use crate::{
    answer::{Refusal, blocking},
    control::Control,
};

/// The largest checkpoint that is shown, in bytes; the log's own are far smaller.
const MOST_CHECKPOINT: u64 = 64 * 1024;

/// The audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLog {
    /// Its state.
    #[serde(flatten)]
    status: AuditView,
    /// The key that checks its checkpoints, as a vkey.
    key: String,
    /// Its directory on the gateway's machine.
    dir: String,
    /// The last signed checkpoint; absent until there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

/// The audit log's state, key and last checkpoint.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", responses((status = 200, body = AuditLog)))]
pub(crate) async fn audit(State(control): State<Arc<Control>>) -> Result<Json<AuditLog>, Refusal> {
    blocking(move || {
        Ok(Json(AuditLog {
            status: AuditView::of(&control),
            key: control.audit.key().to_string(),
            dir: control.audit.dir().display().to_string(),
            checkpoint: checkpoint(&control)?,
        }))
    })
    .await
}

fn checkpoint(control: &Control) -> Result<Option<String>, Refusal> {
    let path = control.audit.dir().join("checkpoint");
    let mut text = String::new();
    match std::fs::File::open(&path).and_then(|file| file.take(MOST_CHECKPOINT).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("the checkpoint {} cannot be read: {error}", path.display());
            Err(Refusal::unavailable("audit_unavailable", message))
        }
    }
}
