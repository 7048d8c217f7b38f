//! A key as the API shows it, put together from the table, the configuration and the store's rules.
//!
//! Never holds a secret or a digest.

use std::sync::Arc;

use serde::Serialize;
use tidegate_config::{
    document::{Budget, Key, Rate},
    identity::{KeyOrigin, KeyRecord, StoredRules},
    snapshot::Snapshot,
};
use tidegate_core::{
    clock::{self, UnixMillis},
    ids::{Digest, KeyName, TeamName},
};
use tidegate_ledger::ScopeRules;
use utoipa::ToSchema;

use crate::{control::Control, moment};

/// A key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// Its identifier; absent where no secret was issued yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Its name.
    name: String,
    /// Its team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// Where it is owned: `file` or `store`.
    origin: String,
    /// `active`, `expired`, `revoked` or `not_issued`.
    state: String,
    /// When it was made; for a key of the file, when its revision was activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// When it stops being valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    /// What it may use, besides what policies permit.
    allow: AllowView,
    /// The guardrails that look at its calls, besides its team's.
    guardrails: Vec<String>,
    /// Its budgets.
    budget: Vec<String>,
    /// Its limits.
    limits: LimitsView,
}

/// What a key may use.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct AllowView {
    /// Models; `*` for all.
    models: Vec<String>,
    /// MCP servers; `*` for all.
    mcp_servers: Vec<String>,
}

/// How often a key may call.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct LimitsView {
    /// Requests in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<String>,
    /// Tokens in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<String>,
    /// Calls at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent: Option<u32>,
}

impl KeyView {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A tag of this state: of two states that show the same, the same.
    pub(crate) fn tag(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let digest = Digest::of(text.as_bytes()).to_string();
        format!("\"{}\"", digest.get(..32).unwrap_or(&digest))
    }
}

/// Every key: those in the table, and those that the file declares and nobody was given.
pub(crate) fn all(control: &Control) -> Vec<KeyView> {
    let active = control.live.current();
    let snapshot = &active.snapshot;
    let now = clock::wall();
    let records = control.keys.list(&control.org());
    let mut views: Vec<KeyView> = records.iter().map(|record| of_record(record, snapshot, now)).collect();
    let usable = |name: &KeyName| records.iter().any(|record| record.name == *name && record.revoked.is_none());
    for declared in snapshot.declared.iter().filter(|declared| declared.secret.is_none() && !usable(&declared.name)) {
        let mut view = empty(&declared.name, declared.team.as_ref(), KeyOrigin::File);
        view.expires = declared.expires.map(moment::text);
        fill(&mut view, snapshot, None);
        views.push(view);
    }
    views.sort_by(|one, other| one.name.cmp(&other.name));
    views
}

/// The key with this id, or the one of this name that counts: a valid one before others.
pub(crate) fn find(control: &Control, asked: &str) -> Option<KeyView> {
    let mut views = all(control);
    let rank = |view: &KeyView| match view.state.as_str() {
        _ if view.id.as_deref() == Some(asked) => Some(0),
        _ if view.name != asked => None,
        "active" => Some(1),
        "not_issued" => Some(2),
        "expired" => Some(3),
        _ => Some(4),
    };
    let best = views.iter().enumerate().filter_map(|(at, view)| Some((rank(view)?, at))).min()?;
    Some(views.swap_remove(best.1))
}

/// What the table has under this id, or under this name: a valid one before others.
pub(super) fn record(control: &Control, asked: &str) -> Option<Arc<KeyRecord>> {
    let now = clock::wall();
    let records = control.keys.list(&control.org());
    let by_id = records.iter().find(|record| record.id.as_str() == asked);
    let by_name =
        || records.iter().filter(|record| record.name.as_str() == asked).max_by_key(|record| record.valid(now));
    by_id.or_else(by_name).map(Arc::clone)
}

fn of_record(record: &KeyRecord, snapshot: &Snapshot, now: UnixMillis) -> KeyView {
    let mut view = empty(&record.name, record.team.as_ref(), record.origin);
    let state = match record {
        _ if record.revoked.is_some() => "revoked",
        _ if record.valid(now) => "active",
        _ => "expired",
    };
    view.id = Some(record.id.to_string());
    state.clone_into(&mut view.state);
    view.created = Some(moment::text(record.created));
    view.expires = record.expires.map(moment::text);
    view.revoked = record.revoked.map(moment::text);
    let stored = snapshot.stored_keys().iter().find(|key| key.id == record.id);
    fill(&mut view, snapshot, stored.and_then(|key| key.rules.as_ref()));
    view
}

fn empty(name: &KeyName, team: Option<&TeamName>, origin: KeyOrigin) -> KeyView {
    let origin = match origin {
        KeyOrigin::File => "file",
        KeyOrigin::Store => "store",
    };
    KeyView {
        id: None,
        name: name.to_string(),
        team: team.map(ToString::to_string),
        origin: origin.to_owned(),
        state: "not_issued".to_owned(),
        created: None,
        expires: None,
        revoked: None,
        allow: AllowView::default(),
        guardrails: Vec::new(),
        budget: Vec::new(),
        limits: LimitsView::default(),
    }
}

/// Adds a key's rules: the store's, or those of the file.
fn fill(view: &mut KeyView, snapshot: &Snapshot, stored: Option<&StoredRules>) {
    match (stored, snapshot.document.keys.get(&view.name)) {
        (Some(rules), _) => fill_stored(view, rules),
        (None, Some(key)) => fill_declared(view, key),
        (None, None) => {}
    }
}

fn fill_stored(view: &mut KeyView, rules: &StoredRules) {
    view.allow = AllowView { models: rules.models.clone(), mcp_servers: rules.mcp_servers.clone() };
    view.guardrails.clone_from(&rules.guardrails);
    let ScopeRules { budget, requests, tokens, concurrent } = &rules.limits;
    view.budget = budget.iter().map(ToString::to_string).collect();
    view.limits = LimitsView {
        requests: requests.map(|rate| rate.to_string()),
        tokens: tokens.map(|rate| rate.to_string()),
        concurrent: *concurrent,
    };
}

fn fill_declared(view: &mut KeyView, key: &Key) {
    if let Some(allow) = &key.allow {
        view.allow = AllowView { models: allow.models.to_list(), mcp_servers: allow.mcp_servers.to_list() };
    }
    view.guardrails.clone_from(&key.guardrails);
    view.budget = key.budget.0.iter().map(|Budget(budget)| budget.to_string()).collect();
    view.limits = LimitsView {
        requests: key.limits.requests.map(|Rate(rate)| rate.to_string()),
        tokens: key.limits.tokens.map(|Rate(rate)| rate.to_string()),
        concurrent: key.limits.concurrent,
    };
}
