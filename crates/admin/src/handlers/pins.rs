//! Pinned tools: what is pinned and what is seen instead, the file for `check --pins`, and acceptance of what changed.
//!
//! Owns the shapes. What a change does, the port says.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use tidegate_config::pins::PinnedTool;
use tidegate_core::ids::{ServerName, ToolName};
use utoipa::{IntoParams, ToSchema};

use crate::{
    PinChange, PinState, PinsChanged, PinsError,
    answer::{Body, Params, Refusal},
    control::Control,
    handlers::keys::recordable,
    moment,
};

/// Which pins are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinQuery {
    /// Only this server's.
    server: Option<String>,
}

/// Pinned tools.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PinList {
    /// By server and tool.
    pins: Vec<PinView>,
}

/// A pinned tool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PinView {
    /// Its server.
    server: String,
    /// Its name.
    tool: String,
    /// `pinned`, or `changed` where another definition was seen last.
    state: &'static str,
    /// SHA-256 of the pinned definition's canonical form.
    digest: String,
    /// When it was pinned.
    pinned: String,
    /// The pinned definition (JSON); absent where it was too large to be kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    definition: String,
    /// What was seen in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<SeenView>,
}

/// A definition that is not the pinned one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenView {
    /// The members of the definition that differ.
    changed: Vec<String>,
    /// SHA-256 of its canonical form.
    digest: String,
    /// When it was first seen.
    since: String,
    /// The definition (JSON); absent where it is too large to be kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    definition: String,
}

impl SeenView {
    fn of(pin: &PinnedTool, seen: &PinnedTool) -> Self {
        Self {
            changed: pin.differences(seen),
            digest: seen.digest.to_string(),
            since: moment::text(seen.pinned_at),
            definition: seen.definition.clone(),
        }
    }
}

impl PinView {
    fn of(state: &PinState) -> Self {
        let pin = &state.pin;
        Self {
            server: pin.server.to_string(),
            tool: pin.name.to_string(),
            state: if state.seen.is_some() { "changed" } else { "pinned" },
            digest: pin.digest.to_string(),
            pinned: moment::text(pin.pinned_at),
            definition: pin.definition.clone(),
            seen: state.seen.as_ref().map(|seen| SeenView::of(pin, seen)),
        }
    }
}

/// What to ask a server for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RefreshPins {
    /// Only this tool.
    tool: Option<String>,
    /// Whether to say only what would change.
    dry_run: bool,
}

/// What became of pins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PinsAnswer {
    /// The tools that differ from their pins.
    changes: Vec<PinChangeView>,
    /// How many tools are as pinned.
    unchanged: usize,
    /// The number of the revision that is active now.
    revision: u64,
    /// Whether nothing was done.
    dry_run: bool,
}

/// What a tool was pinned as, and what it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PinChangeView {
    /// Its server.
    server: String,
    /// Its name.
    tool: String,
    /// `new`, `changed`, `not_listed` (the pin stays) or `removed`.
    change: &'static str,
    /// The members of the definition that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<String>,
    /// The pinned definition (JSON).
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// The definition that its server gives now (JSON).
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<String>,
}

impl PinChangeView {
    fn of(change: &PinChange, gone: &'static str) -> Option<Self> {
        let pin = change.now.as_ref().or(change.before.as_deref())?;
        let (kind, changed) = match (&change.before, &change.now) {
            (Some(before), Some(now)) => ("changed", before.differences(now)),
            (None, _) => ("new", Vec::new()),
            (Some(_), None) => (gone, Vec::new()),
        };
        Some(Self {
            server: pin.server.to_string(),
            tool: pin.name.to_string(),
            change: kind,
            changed,
            before: change.before.as_ref().map(|pin| pin.definition.clone()),
            now: change.now.as_ref().map(|pin| pin.definition.clone()),
        })
    }
}

fn answer(changed: &PinsChanged, gone: &'static str, dry_run: bool) -> Json<PinsAnswer> {
    Json(PinsAnswer {
        changes: changed.changes.iter().filter_map(|change| PinChangeView::of(change, gone)).collect(),
        unchanged: changed.unchanged,
        revision: changed.number,
        dry_run,
    })
}

impl From<PinsError> for Refusal {
    fn from(error: PinsError) -> Self {
        let message = error.to_string();
        match error {
            PinsError::NoServer(_) => Self::not_found(message).hint("`/api/v1/status` lists the servers"),
            PinsError::NoTool(..) => Self::not_found(message).hint("`/api/v1/mcp/pins` lists the pinned tools"),
            PinsError::Unreachable { .. } => Self::unavailable("upstream_unavailable", message),
            PinsError::Policies(_) => Self::conflict(message)
                .hint("change the policies first: they name a tool or an argument that would be gone"),
            PinsError::Store(_) => Self::unavailable("store_unavailable", message),
        }
    }
}

fn chosen(control: &Control, query: &PinQuery) -> Vec<PinState> {
    let mut states = control.pins.list();
    states.retain(|state| query.server.as_ref().is_none_or(|server| state.pin.server.as_str() == server));
    states
}

/// The pinned tools, and what was seen in place of those that changed.
#[utoipa::path(get, path = "/api/v1/mcp/pins", tag = "mcp", params(PinQuery), responses((status = 200, body = PinList)))]
pub(crate) async fn list(State(control): State<Arc<Control>>, Params(query): Params<PinQuery>) -> Json<PinList> {
    Json(PinList { pins: chosen(&control, &query).iter().map(PinView::of).collect() })
}

/// The pinned tools as the file that `tidegate check --pins` reads.
#[utoipa::path(get, path = "/api/v1/mcp/pins/export", tag = "mcp", params(PinQuery),
    responses((status = 200, body = Vec<serde_json::Value>)))]
pub(crate) async fn export(
    State(control): State<Arc<Control>>,
    Params(query): Params<PinQuery>,
) -> Json<Vec<PinnedTool>> {
    Json(chosen(&control, &query).into_iter().map(|state| (*state.pin).clone()).collect())
}

/// Asks a server for its tools and pins them as they are now, in a revision of its own.
#[utoipa::path(post, path = "/api/v1/mcp/pins/{server}/refresh", tag = "mcp", request_body = RefreshPins,
    params(("server" = String, Path)), responses((status = 200, body = PinsAnswer)))]
pub(crate) async fn refresh(
    State(control): State<Arc<Control>>,
    PinName { server, .. }: PinName,
    Body(asked): Body<RefreshPins>,
) -> Result<Json<PinsAnswer>, Refusal> {
    recordable(&control)?;
    let tool = asked.tool.as_deref().map(ToolName::from);
    let changed = control.pins.refresh(server, tool, asked.dry_run).await?;
    Ok(answer(&changed, "not_listed", asked.dry_run))
}

/// Forgets a pin, in a revision of its own. The next list that names the tool pins it anew.
#[utoipa::path(delete, path = "/api/v1/mcp/pins/{server}/{tool}", tag = "mcp",
    params(("server" = String, Path), ("tool" = String, Path)), responses((status = 200, body = PinsAnswer)))]
pub(crate) async fn forget(
    State(control): State<Arc<Control>>,
    PinName { server, tool }: PinName,
) -> Result<Json<PinsAnswer>, Refusal> {
    recordable(&control)?;
    let tool = tool.ok_or_else(|| Refusal::not_found("no tool is named"))?;
    let changed = control.pins.forget(server, tool).await?;
    Ok(answer(&changed, "removed", false))
}

/// The server in a path, and the tool where the path has one.
pub(crate) struct PinName {
    server: ServerName,
    tool: Option<ToolName>,
}

impl<S: Send + Sync> FromRequestParts<S> for PinName {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Names {
            server: String,
            tool: Option<String>,
        }
        match Path::<Names>::from_request_parts(parts, state).await {
            Ok(Path(Names { server, tool })) => {
                Ok(Self { server: ServerName::from(server), tool: tool.map(ToolName::from) })
            }
            Err(_) => Err(Refusal::not_found("no such thing: the names in the path are none")),
        }
    }
}
