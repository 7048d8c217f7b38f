//! The policies in force, those included that `allow` lists are short for.
//!
//! Owns no state; what a policy means, the policy crate says.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_config::check::policy_input;
use tidegate_policy::{Allow, KeyEntity, show};
use utoipa::ToSchema;

use crate::control::Control;

/// The policies in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyList {
    /// Built in, of servers, of keys, of files.
    policies: Vec<PolicyView>,
}

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyView {
    /// Its id.
    id: String,
    /// Where it comes from.
    origin: String,
    /// Its text in Cedar.
    text: String,
}

/// Every policy in force.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", responses((status = 200, body = PolicyList)))]
pub(crate) async fn list(State(control): State<Arc<Control>>) -> Json<PolicyList> {
    let active = control.live.current();
    let snapshot = &active.snapshot;
    let mut input = policy_input(&snapshot.document, &snapshot.policy_files, snapshot.pins());
    for key in snapshot.stored_keys().iter().filter(|key| key.revoked.is_none()) {
        let declared = snapshot.document.keys.contains_key(key.name.as_str());
        let Some(rules) = key.rules.as_ref().filter(|_| !declared) else { continue };
        let allow = Allow { models: rules.models.clone(), mcp_servers: rules.mcp_servers.clone() };
        input.keys.push(KeyEntity {
            name: key.name.clone(),
            team: key.team.clone(),
            org: key.org.clone(),
            allow: Some(allow),
        });
    }
    let policies = show(&input)
        .into_iter()
        .map(|shown| PolicyView { id: shown.id, origin: shown.origin, text: shown.text })
        .collect();
    Json(PolicyList { policies })
}
