//! Tool calls as the attempt engine sends them: to one server, on one client's leg.
//!
//! A tool is never run twice: once its request may have left, only a server that has forgotten the session gets it
//! again. Whatever only reads is repeated like a model call.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tidegate_core::facts::Resource;
use tidegate_protocol::mcp::{Method, ToolCall};

use super::{
    events::McpEvents,
    http::{Outgoing, Posted, Wire},
    session::Leg,
};
use crate::{
    attempt::{Begun, Candidate, Traffic},
    clocks::Limits,
    failure::Failure,
    headers,
    pool::Pool,
};
use tidegate_core::{fault::Phase, trace::TraceContext};

/// A tool call on its way.
pub(crate) struct ToolTraffic<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) call: &'a ToolCall,
    pub(crate) leg: &'a Arc<Leg>,
    pub(crate) name: Arc<str>,
    pub(crate) forward: &'a HeaderMap,
    pub(crate) trace: Option<TraceContext>,
}

/// What a server makes of it.
pub(crate) enum ToolBody {
    Accepted,
    Messages(Box<McpEvents>),
}

impl ToolTraffic<'_> {
    /// Whether the request may be sent again although the server may have seen it.
    fn repeatable(&self) -> bool {
        match (self.call.method(), self.call.resource()) {
            (Method::ToolsCall, Resource::Tool(_, tool)) => {
                self.leg.server().idempotent.get(&tool).copied().unwrap_or(false)
            }
            (Method::ToolsCall | Method::Notification, _) => false,
            _ => true,
        }
    }
}

impl Traffic for ToolTraffic<'_> {
    type Answer = ToolBody;

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let server = self.leg.server();
        (index == 0).then(|| Candidate {
            name: Arc::clone(&self.name),
            upstream: server.name.as_str(),
            retry: &server.retry,
            breaker: server.breaker,
            hedge: None,
        })
    }

    fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    async fn attempt(&self, _: usize, limits: &Limits, span: Option<TraceContext>) -> Result<Begun<ToolBody>, Failure> {
        let traced = span.map(|span| {
            let mut forward = self.forward.clone();
            headers::trace(&mut forward, Some(span));
            forward
        });
        let forward = traced.as_ref().unwrap_or(self.forward);
        let id = self.leg.fresh_id();
        let awaits = (!self.call.is_notification()).then(|| (id, self.call.message().id().cloned()));
        let body = Bytes::from(self.call.outgoing(id.to_string().as_bytes()));
        let outgoing = Outgoing { body, awaits, opens: false };
        let wire = Wire { pool: self.pool, leg: self.leg, forward, limits: *limits };
        let repeatable = self.repeatable();
        let begun = async {
            match wire.post(&outgoing).await? {
                Posted::Accepted(status) => Ok(Begun { answer: ToolBody::Accepted, status, phase: Phase::Done }),
                Posted::Messages(status, mut messages) => {
                    if repeatable {
                        messages.begin().await.map_err(|fault| Failure::broken_answer(status, fault))?;
                    }
                    let phase = if messages.awaited().is_some() { Phase::Events } else { Phase::Done };
                    Ok(Begun { answer: ToolBody::Messages(messages), status, phase })
                }
            }
        };
        begun.await.map_err(|failure: Failure| if repeatable { failure } else { failure.once_only() })
    }
}
