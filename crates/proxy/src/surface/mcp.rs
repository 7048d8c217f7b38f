//! The Model Context Protocol as a surface: what a posted message is, and how a fault looks in JSON-RPC.
//!
//! Owns the table from fault to JSON-RPC code. A fault of a request whose id is known is a JSON-RPC error with HTTP 200,
//! since clients take other statuses for the transport's; 404 in particular means to them that their session is gone.

use bytes::Bytes;
use tidegate_core::{
    facts::Action,
    fault::{Fault, FaultCode},
    ids::ServerName,
};
use tidegate_protocol::{
    json::{Limits, write_text},
    jsonrpc::{self, Message, Parts, Payload},
    mcp::{Direction, Method, Revision, ToolCall},
};

use crate::{exchange::Exchange, here::Here, respond};

/// What a posted body is.
pub(crate) enum Read {
    /// A request that goes through the pipeline.
    Call(Box<ToolCall>),
    /// A frame of the session: `initialize`, `ping`, a notification, an answer to the server.
    Frame(Here),
}

/// Whether the revision that the request's header names is one that is spoken; without the header, it is.
pub(crate) fn is_spoken(exchange: &Exchange) -> bool {
    let named = exchange.headers.get("mcp-protocol-version");
    named.is_none_or(|value| value.to_str().is_ok_and(|text| Revision::parse(text).is_some()))
}

/// The refusal of another revision (Streamable HTTP, 2025-06-18).
pub(crate) fn not_spoken() -> Fault {
    let known: Vec<_> = Revision::ALL.iter().map(|revision| revision.as_str()).collect();
    Fault::new(
        FaultCode::InvalidRequest,
        format!("The header MCP-Protocol-Version names no revision that is spoken: {} are.", known.join(", ")),
    )
}

/// Reads what was posted: one message, or a batch.
pub(crate) fn read(exchange: &mut Exchange, server: ServerName, bytes: Bytes) -> Result<Read, Fault> {
    let payload = jsonrpc::read(bytes, &Limits::default())
        .map_err(|error| Fault::invalid("", format!("{}.", error)).with_rpc_code(error.code()))?;
    match payload {
        Payload::One(message) => one(exchange, server, message),
        Payload::Batch(messages) => Ok(Read::Frame(Here::Batch { server: Some(server), messages })),
    }
}

/// Reads one message.
pub(crate) fn one(exchange: &mut Exchange, server: ServerName, message: Message) -> Result<Read, Fault> {
    if matches!(message.parts(), Parts::Request { .. }) {
        exchange.rpc_id = Some(Bytes::copy_from_slice(message.raw_id()));
    }
    let is_request = message.method().filter(|_| message.id().is_some()).is_some();
    let action = message.method().and_then(Method::parse).map(Method::action);
    if !is_request || action == Some(Action::UseServer) {
        return Ok(Read::Frame(Here::Frame { server, message: Box::new(message) }));
    }
    ToolCall::from_message(server, message, Direction::ToServer)
        .map(|call| Read::Call(Box::new(call)))
        .map_err(|error| Fault::invalid("", format!("{error}.")).with_rpc_code(error.code()))
}

/// The JSON-RPC code of a fault: the protocol's own where it has one, else the HTTP status, which lies outside the
/// range that JSON-RPC reserves.
pub(crate) fn code(exchange: &Exchange, fault: &Fault) -> i64 {
    if let Some(code) = fault.rpc_code {
        return code;
    }
    match fault.code {
        FaultCode::InvalidRequest => jsonrpc::INVALID_REQUEST,
        FaultCode::NotFound if exchange.story.action == Some(Action::ReadResource) => -32_002,
        FaultCode::NotFound => jsonrpc::INVALID_PARAMS,
        FaultCode::Internal => jsonrpc::INTERNAL_ERROR,
        _ => i64::from(fault.status),
    }
}

/// The HTTP status of a fault on this surface.
pub(crate) fn status(exchange: &Exchange, fault: &Fault) -> u16 {
    let transport = matches!(fault.code, FaultCode::Unauthenticated | FaultCode::TooLarge | FaultCode::HeadersTooLarge);
    if exchange.rpc_id.is_some() && !transport && !exchange.outside_session { 200 } else { fault.status }
}

/// A fault as a JSON-RPC error response, to the request whose id is known.
pub(crate) fn fault_body(exchange: &Exchange, fault: &Fault) -> Bytes {
    let mut data = b"{\"code\":".to_vec();
    write_text(&mut data, fault.code.as_str());
    data.extend_from_slice(b",\"call_id\":");
    write_text(&mut data, &exchange.id.to_string());
    data.push(b'}');
    let message = respond::message(exchange, fault);
    let id = exchange.rpc_id.as_deref();
    Bytes::from(jsonrpc::error_response(id, code(exchange, fault), &message, Some(&data)))
}
