//! What else in a message refers to another message: progress tokens, cancelled requests, the revision asked for.
//!
//! Owns finding them, so that each leg can have its own. Never keeps a table of them. Called by the MCP surface and the
//! MCP upstream.

use std::borrow::Cow;

use crate::{
    json::NodeId,
    jsonrpc::{Id, Message, Parts, read_id},
};

/// The progress token of a request (`params._meta.progressToken`) or of a `notifications/progress`
/// (`params.progressToken`), and where it stands. `None` where there is none, or one that is neither a string nor an
/// integer.
#[must_use]
pub fn progress_token(message: &Message) -> Option<(Id, NodeId)> {
    let params = message.params()?;
    let holder = match message.parts() {
        Parts::Request { .. } => message.member(params, "_meta")?,
        Parts::Notification { method, .. } if &**method == "notifications/progress" => params,
        _ => return None,
    };
    id_at(message, message.member(holder, "progressToken")?)
}

/// The id of the request that a `notifications/cancelled` ends, and where it stands.
#[must_use]
pub fn cancelled_request(message: &Message) -> Option<(Id, NodeId)> {
    if message.method() != Some("notifications/cancelled") || message.id().is_some() {
        return None;
    }
    id_at(message, message.member(message.params()?, "requestId")?)
}

/// The `protocolVersion` of an `initialize` request or of its result.
#[must_use]
pub fn protocol_version(message: &Message) -> Option<Cow<'_, str>> {
    let holder = match message.parts() {
        Parts::Request { method, params: Some(params), .. } if &**method == "initialize" => *params,
        Parts::Response { result, .. } => *result,
        _ => return None,
    };
    message.text(message.member(holder, "protocolVersion")?)
}

fn id_at(message: &Message, node: NodeId) -> Option<(Id, NodeId)> {
    read_id(message.bytes(), message.tape(), node).ok().map(|id| (id, node))
}
