//! Keys: list, make, edit, lend, rotate, revoke, remove; and a secret for a key that the file declares without one.
//!
//! Owns the order of steps: the store first, then the table in memory, then calls in flight. A secret is shown once, in
//! the answer that made it, and kept nowhere. Every change is done under one lock and to its end, also where the caller
//! leaves.

mod change;
mod view;

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use tidegate_core::clock;
use tidegate_ledger::{Scope, ScopeKind};
use utoipa::ToSchema;

pub(super) use self::change::recordable;
use self::view::KeyView;
use super::{
    edit_key::EditKey,
    money::{self, BudgetView},
    new_key::NewKey,
};
use crate::{
    answer::{Body, Named, Refusal, blocking},
    control::Control,
};

/// The keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// By name, revoked and expired ones too.
    keys: Vec<KeyView>,
}

/// A key and how its budgets stand.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyDetail {
    /// The key.
    #[serde(flatten)]
    key: KeyView,
    /// Its own budgets.
    budgets: Vec<BudgetView>,
}

/// A key that was made. The secret is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its identifier.
    id: String,
    /// Its name.
    name: String,
    /// The whole key: what a caller sends.
    key: String,
    /// When it stops being valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// What whoever asked for it should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A key that was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revoked {
    /// Its identifier.
    id: String,
    /// Its name.
    name: String,
    /// When it was revoked.
    revoked: String,
    /// How many of its calls were in flight and are being ended.
    cut: usize,
}

/// For how long a key is lent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loan {
    /// When the secret stops being valid: in how long (`12h`), or a moment. At most a day; without it, an hour.
    #[schema(example = "1h")]
    expires: Option<String>,
}

/// A key that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Removed {
    /// The identifier that it had.
    id: String,
    /// The name that it had.
    name: String,
    /// How many of its calls were in flight and are being ended.
    cut: usize,
}

/// Every key, without secrets.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", responses((status = 200, body = KeyList)))]
pub(crate) async fn list(State(control): State<Arc<Control>>) -> Json<KeyList> {
    Json(KeyList { keys: view::all(&control) })
}

/// Makes a key and shows its secret once.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", request_body = NewKey, responses((status = 201, body = Made)))]
pub(crate) async fn create(
    State(control): State<Arc<Control>>,
    Body(asked): Body<NewKey>,
) -> Result<(StatusCode, Json<Made>), Refusal> {
    let made = blocking(move || change::create(&control, asked)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// A key, by its id or name, and how its budgets stand.
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = KeyDetail)))]
pub(crate) async fn get(State(control): State<Arc<Control>>, Named(id): Named) -> Result<Detailed, Refusal> {
    let key = view::find(&control, &id).ok_or_else(no_such_key)?;
    Ok(detailed(&control, key))
}

/// Changes what a key may do and spend. What is not named stays as it is, `null` takes it away; it counts from the next
/// call on. With `If-Match` (the `ETag` of the key as it was read), a key that was changed since is not touched.
#[utoipa::path(patch, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Its id or name"), ("If-Match" = Option<String>, Header, description = "The `ETag` that the key had when it was read")), request_body = EditKey, responses((status = 200, body = KeyDetail)))]
pub(crate) async fn edit(
    State(control): State<Arc<Control>>,
    Named(id): Named,
    headers: HeaderMap,
    Body(asked): Body<EditKey>,
) -> Result<Detailed, Refusal> {
    let expected = headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap_or_default().to_owned());
    let changing = Arc::clone(&control);
    let id = blocking(move || change::edit(&changing, &id, asked, expected.as_deref())).await?;
    let key = view::find(&control, id.as_str()).ok_or_else(no_such_key)?;
    Ok(detailed(&control, key))
}

/// Removes a key: it is refused from now on, its calls in flight end within a second, and nothing of it stays but what
/// the audit log and the ledger have of its calls.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = Removed)))]
pub(crate) async fn remove(State(control): State<Arc<Control>>, Named(id): Named) -> Result<Json<Removed>, Refusal> {
    let changing = Arc::clone(&control);
    let (removed, id) = blocking(move || change::remove(&changing, &id)).await?;
    change::cut_once_more(&control, id);
    Ok(Json(removed))
}

type Detailed = ([(HeaderName, String); 1], Json<KeyDetail>);

/// A key, how its budgets stand, and the tag of its present state.
fn detailed(control: &Control, key: KeyView) -> Detailed {
    let scope = Scope::new(ScopeKind::Key, key.name());
    let budgets = money::standing(control, &scope, clock::wall());
    ([(header::ETAG, key.tag())], Json(KeyDetail { key, budgets }))
}

/// Makes the secret of a key that the configuration file declares without one.
#[utoipa::path(post, path = "/api/v1/keys/{id}/issue", tag = "keys", params(("id" = String, Path, description = "Its name")), responses((status = 201, body = Made)))]
pub(crate) async fn issue(
    State(control): State<Arc<Control>>,
    Named(name): Named,
) -> Result<(StatusCode, Json<Made>), Refusal> {
    let made = blocking(move || change::issue(&control, &name)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Lends a key: another secret of the same key, shown here once, that ends by itself, with the key, or with the process.
/// Only where `up` runs: commands of its user call with it, so that no key has to lie on disk.
#[utoipa::path(post, path = "/api/v1/keys/{id}/lend", tag = "keys", params(("id" = String, Path, description = "Its id or name")), request_body = Loan, responses((status = 201, body = Made)))]
pub(crate) async fn lend(
    State(control): State<Arc<Control>>,
    Named(id): Named,
    Body(asked): Body<Loan>,
) -> Result<(StatusCode, Json<Made>), Refusal> {
    Ok((StatusCode::CREATED, Json(change::lend(&control, &id, &asked)?)))
}

/// Gives a key another id and secret. The old ones are void at once, and calls in flight under them end.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", tag = "keys", params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = Made)))]
pub(crate) async fn rotate(State(control): State<Arc<Control>>, Named(id): Named) -> Result<Json<Made>, Refusal> {
    let changing = Arc::clone(&control);
    let (made, old) = blocking(move || change::rotate(&changing, &id)).await?;
    change::cut_once_more(&control, old);
    Ok(Json(made))
}

/// Revokes a key: it is refused from now on, and its calls in flight end within a second.
#[utoipa::path(post, path = "/api/v1/keys/{id}/revoke", tag = "keys", params(("id" = String, Path, description = "Its id or name")), responses((status = 200, body = Revoked)))]
pub(crate) async fn revoke(State(control): State<Arc<Control>>, Named(id): Named) -> Result<Json<Revoked>, Refusal> {
    let changing = Arc::clone(&control);
    let (revoked, id) = blocking(move || change::revoke(&changing, &id)).await?;
    change::cut_once_more(&control, id);
    Ok(Json(revoked))
}

fn no_such_key() -> Refusal {
    Refusal::not_found("there is no such key").hint("`GET /api/v1/keys` lists them")
}
