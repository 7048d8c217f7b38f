//! What calls cost, and how budgets stand.
//!
//! Owns the reports' shape. Amounts are decimal strings of US dollars: no floating point comes near them.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidegate_core::clock::{self, UnixMillis};
use tidegate_ledger::{Scope, SpendBy, SpendQuery, SpendRow};
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{Params, Refusal, blocking, shown},
    control::Control,
    moment,
};

/// Which spend.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpendParams {
    /// `key`, `team`, `model`, `provider`, `target` or `org`; `key` where it is left out.
    by: Option<String>,
    /// Calls from this moment on: RFC 3339, a date, or how long ago (`7d`).
    since: Option<String>,
    /// And before this one.
    until: Option<String>,
}

/// A spend report.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpendReport {
    /// What it is broken down by.
    by: String,
    /// The first moment that counts; absent where every call does.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// The first moment that does not count any more; absent where there is none such.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// The dearest first. Each has a field of the report's `by` with the name, `usd` and `held_usd` as decimal strings,
    /// `calls`, `input_tokens` and `output_tokens`.
    rows: Vec<Map<String, Value>>,
}

/// What calls cost, every finished call included.
#[utoipa::path(get, path = "/api/v1/spend", tag = "money", params(SpendParams), responses((status = 200, body = SpendReport)))]
pub(crate) async fn spend(
    State(control): State<Arc<Control>>,
    Params(params): Params<SpendParams>,
) -> Result<Json<SpendReport>, Refusal> {
    let by = by(params.by.as_deref().unwrap_or("key"))?;
    let now = clock::wall();
    let since = params.since.as_deref().map(|text| bound("since", text, now)).transpose()?;
    let until = params.until.as_deref().map(|text| bound("until", text, now)).transpose()?;
    let query = SpendQuery { by, from: since.unwrap_or_default(), to: until.unwrap_or(moment::LAST) };
    blocking(move || {
        control.ledger_store.flush()?;
        control.calls.flush()?;
        let rows = control.ledger_store.spend(query)?;
        Ok(Json(SpendReport {
            by: by.as_str().to_owned(),
            since: since.map(moment::text),
            until: until.map(moment::text),
            rows: rows.into_iter().map(|found| row(by, found)).collect(),
        }))
    })
    .await
}

fn by(text: &str) -> Result<SpendBy, Refusal> {
    const ALL: [SpendBy; 6] =
        [SpendBy::Key, SpendBy::Team, SpendBy::Model, SpendBy::Provider, SpendBy::Target, SpendBy::Org];
    ALL.into_iter().find(|by| by.as_str() == text).ok_or_else(|| {
        Refusal::invalid(format!("spend is not broken down by {}", shown(text)))
            .hint("use key, team, model, provider, target or org")
    })
}

fn bound(name: &str, text: &str, now: UnixMillis) -> Result<UnixMillis, Refusal> {
    moment::past(text, now)
        .ok_or_else(|| Refusal::invalid(format!("`{name}`: {} is no moment", shown(text))).hint(moment::FORMS))
}

fn row(by: SpendBy, found: SpendRow) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert(by.as_str().to_owned(), found.name.into());
    row.insert("usd".to_owned(), found.cost.to_usd().into());
    row.insert("held_usd".to_owned(), found.held.to_usd().into());
    row.insert("calls".to_owned(), found.calls.into());
    row.insert("input_tokens".to_owned(), found.input_tokens.into());
    row.insert("output_tokens".to_owned(), found.output_tokens.into());
    row
}

/// How budgets stand.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetList {
    /// By scope, each of its budgets.
    budgets: Vec<BudgetView>,
}

/// How a budget stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetView {
    /// What kind of thing it belongs to: `key` or `team`.
    kind: String,
    /// Whose it is.
    name: String,
    /// The budget, such as `10 usd/month`.
    budget: String,
    /// Whether it only warns.
    soft: bool,
    /// What finished calls cost.
    spent_usd: String,
    /// What calls in flight hold.
    reserved_usd: String,
    /// What is held for calls of which nobody knows.
    held_usd: String,
    /// What is left for new calls.
    left_usd: String,
    /// When it begins anew; absent where it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    resets: Option<String>,
    /// Calls in flight of the key or team.
    live: u32,
}

/// How the budgets of one scope stand.
pub(crate) fn standing(control: &Control, scope: &Scope, now: UnixMillis) -> Vec<BudgetView> {
    let Some(standing) = control.ledger.standing(scope, now) else { return Vec::new() };
    let live = standing.live;
    let budgets = standing.budgets.into_iter();
    budgets
        .map(|stands| BudgetView {
            kind: scope.kind.as_str().to_owned(),
            name: scope.name.to_string(),
            budget: stands.budget.to_string(),
            soft: stands.budget.soft,
            spent_usd: stands.spent.to_usd(),
            reserved_usd: stands.reserved.to_usd(),
            held_usd: stands.held.to_usd(),
            left_usd: stands.left.to_usd(),
            resets: stands.resets_at.map(moment::text),
            live,
        })
        .collect()
}

/// How every budget stands now.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "money", responses((status = 200, body = BudgetList)))]
pub(crate) async fn budgets(State(control): State<Arc<Control>>) -> Json<BudgetList> {
    let active = control.live.current();
    let mut scopes: Vec<&Scope> = active.snapshot.ledger_rules.keys().collect();
    scopes.sort();
    let now = clock::wall();
    Json(BudgetList { budgets: scopes.into_iter().flat_map(|scope| standing(&control, scope, now)).collect() })
}
