//! One JSON-RPC request or notification for one MCP server, or from it.
//!
//! Owns the body that was decided on: what policies and guards saw is what [`ToolCall::outgoing`] gives. Never sends.
//! Made by decode, carried through the pipeline, sent by the MCP upstream.

use bytes::Bytes;
use tidegate_core::{
    facts::{Action, Facts, Resource},
    ids::{Digest, ServerName},
    segment::{Segment, SegmentPath},
};

use super::{
    method::{Direction, Method},
    segments,
    target::{McpError, Target},
};
use crate::{
    body::EditableBody,
    json::{Edit, Limits, NodeId, SpliceError},
    jsonrpc::{Message, RpcError, read_one},
    places::{self, Place},
};

/// Why a body is no tool call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolCallError {
    /// No JSON-RPC message.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// No message that MCP knows.
    #[error(transparent)]
    Mcp(#[from] McpError),
}

impl ToolCallError {
    /// The JSON-RPC error code.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Rpc(error) => error.code(),
            Self::Mcp(error) => error.code(),
        }
    }
}

/// A request or notification of MCP with what it means. Any method of the protocol; running a tool is one of them.
#[derive(Debug, Clone)]
pub struct ToolCall {
    server: ServerName,
    direction: Direction,
    message: Message,
    body: EditableBody,
    target: Target,
    places: Vec<Place>,
}

impl ToolCall {
    /// Reads what a client sends to `server`: one request or notification, no batch.
    ///
    /// # Errors
    /// When it is malformed, or of a method that clients cannot send.
    pub fn read(server: ServerName, body: Bytes) -> Result<Self, ToolCallError> {
        Ok(Self::from_message(server, read_one(body, &Limits::default())?, Direction::ToServer)?)
    }

    /// A call from a message that was read before: one of a batch, or a request that a server sends to its client.
    ///
    /// # Errors
    /// When the message is an answer, or of a method that does not go in this direction.
    pub fn from_message(server: ServerName, message: Message, direction: Direction) -> Result<Self, McpError> {
        let target = Target::read(&server, &message, direction)?;
        let places = message
            .params()
            .map(|params| segments::of_request(message.bytes(), message.tape(), target.method, params))
            .unwrap_or_default();
        let body = EditableBody::from_parts(message.bytes().clone(), message.tape().clone());
        Ok(Self { server, direction, message, body, target, places })
    }

    /// The server it is for, or from.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Which way it goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.target.method
    }

    /// The method's name as it was sent, which tells one notification from another.
    #[must_use]
    pub fn method_name(&self) -> &str {
        self.message.method().unwrap_or_default()
    }

    /// Whether no answer is wanted.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        self.target.method == Method::Notification
    }

    /// The message as it came.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The id as the peer wrote it; `null` for a notification.
    #[must_use]
    pub fn raw_id(&self) -> &[u8] {
        self.message.raw_id()
    }

    /// The action that policy decides on.
    #[must_use]
    pub fn action(&self) -> Action {
        self.target.action
    }

    /// What it is done to.
    #[must_use]
    pub fn resource(&self) -> Resource {
        self.target.resource.clone()
    }

    /// What policies see of the call: arguments as they stand now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::new("mcp", self.action(), self.resource());
        facts.arguments = self.target.arguments.map(|arguments| self.body.value(arguments));
        facts
    }

    /// Every text that a guard should see, in the order of the body, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.places.iter().filter_map(|place| place.segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment and counts the version up. Says whether the path is one of this
    /// call's segments; if not, nothing happens.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        places::find(&self.places, path).is_some_and(|place| place.replace(&mut self.body, text))
    }

    /// Where a segment stands, as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        self.body.pointer(NodeId::from_index(path.0))
    }

    /// How often the body was changed.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.body.version()
    }

    /// The SHA-256 of the body as it stands, with the peer's own id.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.body.digest()
    }

    /// The SHA-256 of the canonical arguments as they stand (see [`crate::json::canonical`]); that of `{}` where there
    /// are none. Two calls share it if and only if they say the same.
    #[must_use]
    pub fn arguments_digest(&self) -> Digest {
        match self.target.arguments {
            Some(arguments) => Digest::of(&self.body.canonical(arguments)),
            None => Digest::of(b"{}"),
        }
    }

    /// The body as it stands, with the peer's own id.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.current()
    }

    /// The message to send on, with the id (JSON text) of the leg it goes out on; a notification has none and gets
    /// none. Every other byte is as it came or as a guard rewrote it.
    #[must_use]
    pub fn outgoing(&self, id: &[u8]) -> Vec<u8> {
        let edits = self.message.id_edit(id).into_iter().collect();
        // The id is no segment, so the edits never overlap; were it not so, nothing is safer than the wrong body.
        self.body.with(edits).unwrap_or_default()
    }

    /// As [`ToolCall::outgoing`], with further values that differ on this leg: a progress token, the id of a cancelled
    /// request (see [`Message::edit`]).
    ///
    /// # Errors
    /// When a further edit overlaps another one.
    pub fn outgoing_with(&self, id: &[u8], mut further: Vec<Edit>) -> Result<Vec<u8>, SpliceError> {
        further.extend(self.message.id_edit(id));
        self.body.with(further)
    }
}
