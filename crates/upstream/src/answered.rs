//! What dispatch gives back: an answer's head and body, or a fault, each with what the call still holds.

use std::sync::Arc;

use http::HeaderMap;
use tidegate_core::{
    fault::{AttemptReport, Fault},
    ids::{ProviderName, ServerName, TargetId},
    usage::Usage,
};
use tidegate_protocol::{
    llm::{Answer, Lane, Loss},
    native::NativeAnswer,
};

use crate::{attempt::Running, events::EventStream, live::LiveLeg, mcp::McpEvents, native::RawStream, target::Target};

/// Who answered.
#[derive(Debug, Clone)]
pub enum ServedBy {
    /// A model.
    Model(Arc<Target>),
    /// An MCP server.
    Server(ServerName),
    /// A provider's own API.
    Provider(ProviderName),
}

impl ServedBy {
    /// The model's name: `provider/model`; `None` for a server.
    #[must_use]
    pub fn target(&self) -> Option<&TargetId> {
        match self {
            Self::Model(target) => Some(&target.id),
            Self::Server(_) | Self::Provider(_) => None,
        }
    }
}

impl std::fmt::Display for ServedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model(target) => target.id.fmt(f),
            Self::Server(server) => server.fmt(f),
            Self::Provider(provider) => provider.fmt(f),
        }
    }
}

/// What is known of an answer before its body.
#[derive(Debug)]
pub struct AnswerHead {
    /// The upstream's HTTP status, always 2xx.
    pub status: u16,
    /// The vendor's headers that may pass to the caller: the dialect's list, and nothing across dialects.
    pub headers: HeaderMap,
    /// Who answered.
    pub served_by: ServedBy,
    /// Every attempt, the answering one last.
    pub attempts: Vec<AttemptReport>,
    /// How the request's body came to be; for model calls.
    pub lane: Option<Lane>,
    /// What request and (if it is whole) answer lost in translation.
    pub losses: Vec<Loss>,
    /// From the start of the answering attempt until its head (a stream: until its first semantic event), in
    /// milliseconds.
    pub upstream_millis: u64,
}

/// An answer's body.
#[derive(Debug)]
pub enum AnswerBody {
    /// A whole answer of a model, in the surface's dialect, and the tokens it used by the upstream's own count.
    Unary {
        /// The answer.
        answer: Box<Answer>,
        /// Tokens used.
        usage: Box<Usage>,
    },
    /// A stream of a model's events, in the surface's dialect.
    Events(Box<EventStream>),
    /// What an MCP server says to a request: notifications, requests of its own, and last the answer.
    Messages(Box<McpEvents>),
    /// A whole JSON answer of a vendor's own API, and the tokens that it says it used.
    Document {
        /// The answer.
        answer: Box<NativeAnswer>,
        /// Tokens used; none where it says nothing.
        usage: Box<Usage>,
    },
    /// Any other answer of a vendor's own API, as it comes.
    Raw(Box<RawStream>),
    /// An MCP server took a notification.
    Accepted,
    /// A live session is open.
    Live(Box<LiveLeg>),
    /// A turn of a live session was asked for: what comes of it, comes on the session's connection.
    Turn,
}

/// An upstream answered.
#[derive(Debug)]
pub struct Answered {
    /// What is known before the body.
    pub head: AnswerHead,
    /// The body.
    pub body: AnswerBody,
    /// What the call still holds: settle it and write its outcome.
    pub running: Running,
}

/// Nothing answered.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong, with every attempt in it.
    pub fault: Fault,
    /// What the call still holds: settle it with nothing used and write its outcome. `None` where the proofs did not
    /// fit the call, so that what they held has been given up already.
    pub running: Option<Running>,
    /// Every attempt.
    pub attempts: Vec<AttemptReport>,
}
