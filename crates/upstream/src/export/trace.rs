//! A finished call as the exporter gets it: compact, with nothing rendered yet.
//!
//! Owns plain data. Never holds content unless the settings ask for it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tidegate_core::{
    calls::CallSummary,
    fault::FaultCode,
    trace::{SpanId, TraceContext},
};
use tidegate_protocol::llm::Dialect;

/// One finished call.
#[derive(Debug)]
pub struct CallTrace {
    /// The call's own span.
    pub context: TraceContext,
    /// The caller's span, where it named one.
    pub parent: Option<SpanId>,
    /// When it came in, monotonic; the summary has the wall clock's word.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Everything that people can look up of it.
    pub summary: CallSummary,
    /// When each of the summary's stages was over, in their order.
    pub stage_ends: Vec<Instant>,
    /// Why it failed.
    pub fault: Option<FaultCode>,
    /// Whether all of the answer came.
    pub complete: bool,
    /// What else spans say.
    pub details: Details,
}

/// What spans say of a call beyond its summary.
#[derive(Debug, Default)]
pub struct Details {
    /// Whether it went to an MCP server.
    pub is_tool: bool,
    /// `chat`, `embeddings`, or the MCP method.
    pub operation: &'static str,
    /// The model as it was asked for: an alias, or `provider/model`.
    pub model: Option<Arc<str>>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The conversation or session that the caller named.
    pub session: Option<Arc<str>>,
    /// The JSON-RPC id, as it was written.
    pub rpc_id: Option<Bytes>,
    /// The vendor's id of the answer.
    pub response_id: Option<String>,
    /// The model that answered, as the vendor names it.
    pub response_model: Option<String>,
    /// Why the model stopped, as the conventions call it.
    pub finish_reason: Option<String>,
    /// The request's body as it was sent, for its parameters; not kept where it is large.
    pub request: Option<Bytes>,
    /// What was said, where it is to be sent.
    pub content: Option<Content>,
}

/// What was said.
#[derive(Debug)]
pub struct Content {
    /// The dialect of request and answer; `None` for an MCP server.
    pub dialect: Option<Dialect>,
    /// The answer as guardrails let it through: a body, or the frames of a stream.
    pub answer: Bytes,
}
