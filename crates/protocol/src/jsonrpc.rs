//! JSON-RPC 2.0 messages, read strictly and kept whole.
//!
//! Owns what a message is and how its id is replaced. Never drops a field it does not know, never re-encodes a payload.
//! Called by the MCP codec, the MCP surface and the MCP upstream.

mod write;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use bytes::Bytes;

pub use write::{error_response, notification, request, result_response};

use crate::json::{Edit, JsonError, Kind, Limits, NodeId, SpliceError, Tape, scan, splice};

/// The request is no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is no valid message.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is not known or not offered.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The method's parameters are wrong.
pub const INVALID_PARAMS: i64 = -32602;
/// Something failed that is not the caller's fault.
pub const INTERNAL_ERROR: i64 = -32603;

/// The most messages of a batch.
pub const MAX_BATCH: usize = 256;
/// The most bytes of an id that is a text, and of a method's name.
const MAX_NAME: usize = 1024;

/// A message's id: what an answer is matched by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A text, unescaped.
    Text(Arc<str>),
}

/// Why bytes are no JSON-RPC message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No strict JSON.
    #[error("the body is not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// Neither an object nor an array of them.
    #[error("a JSON-RPC message is an object; this is not one")]
    NotAnObject,
    /// `jsonrpc` is not `2.0`.
    #[error("`/jsonrpc` must be the string `2.0`")]
    Version,
    /// The id is neither a string nor an integer, or too long.
    #[error("`/id` must be a string of at most 1024 bytes or a 64-bit integer; null and fractions are refused")]
    InvalidId,
    /// The method is no string, or too long.
    #[error("`/method` must be a string of at most 1024 bytes")]
    InvalidMethod,
    /// The parameters are neither an object nor an array.
    #[error("`/params` must be an object or an array")]
    InvalidParams,
    /// The error is no object with code and message.
    #[error("`/error` must be an object with an integer `code` and a string `message`")]
    InvalidError,
    /// The members do not make up any kind of message, or of two at once.
    #[error("a message has either `method`, or `id` and `result`, or `id` and `error`, and no two of the three")]
    Shape,
    /// A batch without messages.
    #[error("a batch must hold at least one message")]
    EmptyBatch,
    /// A batch with too many messages.
    #[error("a batch must hold at most {MAX_BATCH} messages")]
    BatchTooLong,
    /// Two requests of a batch with one id.
    #[error("two requests of the batch have the same id")]
    RepeatedId,
}

impl RpcError {
    /// The error code (JSON-RPC 2.0, section 5.1).
    #[must_use]
    pub fn code(&self) -> i64 {
        if matches!(self, Self::Json(_)) { PARSE_ERROR } else { INVALID_REQUEST }
    }
}

/// What a message is made of; the nodes stand on the message's own tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parts {
    /// Wants an answer.
    Request {
        /// What the answer is matched by.
        id: Id,
        /// Where the id stands.
        id_node: NodeId,
        /// The method's name.
        method: Arc<str>,
        /// An object or an array.
        params: Option<NodeId>,
    },
    /// Wants none.
    Notification {
        /// The method's name.
        method: Arc<str>,
        /// An object or an array.
        params: Option<NodeId>,
    },
    /// The answer to a request.
    Response {
        /// The request's id.
        id: Id,
        /// Where the id stands.
        id_node: NodeId,
        /// Any value.
        result: NodeId,
    },
    /// The failure of a request.
    ErrorResponse {
        /// The request's id; `None` where the peer could not tell it.
        id: Option<Id>,
        /// Where the id stands; `None` where there is none.
        id_node: Option<NodeId>,
        /// The error code.
        code: i64,
        /// The error object.
        error: NodeId,
    },
}

/// One message with its original bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Bytes,
    tape: Arc<Tape>,
    parts: Parts,
}

/// What one body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// One message.
    One(Message),
    /// Several, in their order. Only MCP 2025-03-26 allows them.
    Batch(Vec<Message>),
}

/// Reads one message or a batch.
///
/// # Errors
/// When the body is no strict JSON or any message in it is malformed. A batch with one bad message is refused whole.
pub fn read(body: Bytes, limits: &Limits) -> Result<Payload, RpcError> {
    let tape = scan(&body, limits)?;
    if tape.kind(tape.root()) != Kind::Array {
        return Message::from_parts(body, Arc::new(tape)).map(Payload::One);
    }
    let mut messages: Vec<Message> = Vec::new();
    let mut ids = HashSet::new();
    for element in tape.elements(tape.root()) {
        if messages.len() >= MAX_BATCH {
            return Err(RpcError::BatchTooLong);
        }
        let message = Message::from_parts(body.slice(tape.span(element)), Arc::new(tape.below(element)))?;
        if let Parts::Request { id, .. } = &message.parts
            && !ids.insert(id.clone())
        {
            return Err(RpcError::RepeatedId);
        }
        messages.push(message);
    }
    if messages.is_empty() { Err(RpcError::EmptyBatch) } else { Ok(Payload::Batch(messages)) }
}

/// Reads exactly one message.
///
/// # Errors
/// As [`read`], and for a batch.
pub fn read_one(body: Bytes, limits: &Limits) -> Result<Message, RpcError> {
    let tape = scan(&body, limits)?;
    Message::from_parts(body, Arc::new(tape))
}

#[derive(Default)]
struct Found {
    version: Option<NodeId>,
    id: Option<NodeId>,
    method: Option<NodeId>,
    params: Option<NodeId>,
    result: Option<NodeId>,
    error: Option<NodeId>,
}

impl Message {
    /// Reads a message from bytes that were scanned before.
    ///
    /// # Errors
    /// When the message is malformed.
    pub fn from_parts(bytes: Bytes, tape: Arc<Tape>) -> Result<Self, RpcError> {
        if tape.kind(tape.root()) != Kind::Object {
            return Err(RpcError::NotAnObject);
        }
        let mut found = Found::default();
        for member in tape.members(&bytes, tape.root()) {
            let place = match &*member.name {
                "jsonrpc" => &mut found.version,
                "id" => &mut found.id,
                "method" => &mut found.method,
                "params" => &mut found.params,
                "result" => &mut found.result,
                "error" => &mut found.error,
                _ => continue,
            };
            *place = Some(member.value);
        }
        if !found.version.is_some_and(|version| tape.text_is(&bytes, version, "2.0")) {
            return Err(RpcError::Version);
        }
        let parts = match (found.method, found.result, found.error) {
            (Some(method), None, None) => call_parts(&bytes, &tape, &found, method)?,
            (None, Some(result), None) if found.params.is_none() => {
                let id_node = found.id.ok_or(RpcError::Shape)?;
                Parts::Response { id: read_id(&bytes, &tape, id_node)?, id_node, result }
            }
            (None, None, Some(error)) if found.params.is_none() => error_parts(&bytes, &tape, &found, error)?,
            _ => return Err(RpcError::Shape),
        };
        Ok(Self { bytes, tape, parts })
    }

    /// What the message is made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The original bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The tape of the original bytes; its root is the message.
    #[must_use]
    pub fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    /// The method of a request or notification.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.parts {
            Parts::Request { method, .. } | Parts::Notification { method, .. } => Some(method),
            _ => None,
        }
    }

    /// The parameters of a request or notification.
    #[must_use]
    pub fn params(&self) -> Option<NodeId> {
        match &self.parts {
            Parts::Request { params, .. } | Parts::Notification { params, .. } => *params,
            _ => None,
        }
    }

    /// The id; `None` for a notification.
    #[must_use]
    pub fn id(&self) -> Option<&Id> {
        match &self.parts {
            Parts::Request { id, .. } | Parts::Response { id, .. } => Some(id),
            Parts::ErrorResponse { id, .. } => id.as_ref(),
            Parts::Notification { .. } => None,
        }
    }

    /// Where the id stands; `None` for a notification.
    #[must_use]
    pub fn id_node(&self) -> Option<NodeId> {
        match &self.parts {
            Parts::Request { id_node, .. } | Parts::Response { id_node, .. } => Some(*id_node),
            Parts::ErrorResponse { id_node, .. } => *id_node,
            Parts::Notification { .. } => None,
        }
    }

    /// The id as it is written; `null` where there is none.
    #[must_use]
    pub fn raw_id(&self) -> &[u8] {
        self.id_node().map_or(b"null", |node| self.raw(node))
    }

    /// A value as it is written.
    #[must_use]
    pub fn raw(&self, node: NodeId) -> &[u8] {
        self.tape.raw(&self.bytes, node)
    }

    /// A member of an object of the message.
    #[must_use]
    pub fn member(&self, object: NodeId, name: &str) -> Option<NodeId> {
        self.tape.member(&self.bytes, object, name)
    }

    /// The text of a string of the message.
    #[must_use]
    pub fn text(&self, node: NodeId) -> Option<Cow<'_, str>> {
        self.tape.text(&self.bytes, node)
    }

    /// The message of an error response.
    #[must_use]
    pub fn error_message(&self) -> Option<Cow<'_, str>> {
        match &self.parts {
            Parts::ErrorResponse { error, .. } => self.text(self.member(*error, "message")?),
            _ => None,
        }
    }

    /// The message with another id, given as JSON text; every other byte as it was. Without an id, the original bytes.
    #[must_use]
    pub fn with_id(&self, id: &[u8]) -> Vec<u8> {
        let edits = self.id_edit(id).into_iter().collect();
        // One edit inside the body always fits; were it not so, nothing at all is safer than the wrong id.
        splice(&self.bytes, edits).unwrap_or_default()
    }

    /// The edit that puts JSON text in the place of a value of this message.
    #[must_use]
    pub fn edit(&self, node: NodeId, written: &[u8]) -> Edit {
        Edit { span: self.tape.span(node), replacement: written.to_vec() }
    }

    /// The message with some values replaced; every other byte as it was.
    ///
    /// # Errors
    /// When edits overlap or are those of another message.
    pub fn with(&self, edits: Vec<Edit>) -> Result<Vec<u8>, SpliceError> {
        splice(&self.bytes, edits)
    }

    /// The edit that puts another id, given as JSON text, in the place of this one.
    #[must_use]
    pub fn id_edit(&self, id: &[u8]) -> Option<Edit> {
        self.id_node().map(|node| self.edit(node, id))
    }
}

fn call_parts(bytes: &[u8], tape: &Tape, found: &Found, method: NodeId) -> Result<Parts, RpcError> {
    let method = tape.text(bytes, method).filter(|name| name.len() <= MAX_NAME).ok_or(RpcError::InvalidMethod)?;
    let method: Arc<str> = method.into();
    let params = found.params;
    if params.is_some_and(|params| !matches!(tape.kind(params), Kind::Object | Kind::Array)) {
        return Err(RpcError::InvalidParams);
    }
    Ok(match found.id {
        Some(id_node) => Parts::Request { id: read_id(bytes, tape, id_node)?, id_node, method, params },
        None => Parts::Notification { method, params },
    })
}

fn error_parts(bytes: &[u8], tape: &Tape, found: &Found, error: NodeId) -> Result<Parts, RpcError> {
    let code = tape.member(bytes, error, "code").and_then(|code| tape.as_i64(bytes, code));
    let message = tape.member(bytes, error, "message").map(|message| tape.kind(message));
    let (Some(code), Some(Kind::String)) = (code, message) else { return Err(RpcError::InvalidError) };
    let id = match found.id {
        Some(node) if !tape.is_null(node) => Some(read_id(bytes, tape, node)?),
        _ => None,
    };
    Ok(Parts::ErrorResponse { id, id_node: found.id, code, error })
}

/// Reads an id: a string or an integer.
///
/// # Errors
/// For any other value, for a text of more than 1024 bytes, and for an integer that does not fit 64 bits.
pub fn read_id(bytes: &[u8], tape: &Tape, node: NodeId) -> Result<Id, RpcError> {
    match tape.kind(node) {
        Kind::Number => tape.as_i64(bytes, node).map(Id::Number).ok_or(RpcError::InvalidId),
        Kind::String => {
            let text = tape.text(bytes, node).filter(|text| text.len() <= MAX_NAME).ok_or(RpcError::InvalidId)?;
            Ok(Id::Text(text.into()))
        }
        _ => Err(RpcError::InvalidId),
    }
}
