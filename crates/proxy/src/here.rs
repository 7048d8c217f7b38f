//! What the gateway answers by itself, and what it relays within a protocol session: lists of models, `initialize`,
//! `ping`, notifications, the server's own stream, the end of a session.
//!
//! Owns these short ways. They are identified and authorized like calls, and counted; nothing here runs a tool or asks a
//! model. The pipeline calls it after `decode`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use tidegate_core::{
    facts::{Action, Facts, Resource},
    fault::{Fault, FaultCode},
    ids::{ModelName, ServerName, TargetId},
};
use tidegate_policy::SessionPermit;
use tidegate_protocol::{
    jsonrpc::{Message, Parts},
    llm::ModelEntry,
    mcp,
};
use tidegate_upstream::{
    Route,
    mcp::{Leg, Relayed},
};

use crate::{
    batch, batches,
    exchange::{Caller, Exchange},
    federation::{self, Ask},
    replay::{self, Kept},
    respond::{self, Body},
    responses_flow,
    session::With,
    stage::{
        authorize::visible_models,
        route::{no_such_model, no_such_server},
    },
    tool_flow::{self, Asked},
};

/// What is asked.
pub(crate) enum Here {
    /// The list of models.
    Models,
    /// One model's entry.
    OneModel(String),
    /// A frame of an MCP session.
    Frame { server: ServerName, message: Box<Message> },
    /// The stream on which an MCP server speaks of its own accord.
    Listen(ServerName),
    /// The end of an MCP session.
    Close(ServerName),
    /// Several messages at once, for one MCP server or for all.
    Batch {
        /// `None` for all.
        server: Option<ServerName>,
        messages: Vec<Message>,
    },
    /// A WebSocket of answers.
    Answers,
    /// What is asked of the gateway's own files and batches.
    Batches(Box<batches::Ask>),
    /// What is asked of all MCP servers together.
    Federated(Box<Ask>),
}

impl Here {
    /// What a request without a message means for an MCP server.
    pub(crate) fn of_session(method: &Method, server: ServerName) -> Result<Self, Fault> {
        match *method {
            Method::GET => Ok(Self::Listen(server)),
            Method::DELETE => Ok(Self::Close(server)),
            _ => {
                let mut fault = Fault::new(FaultCode::InvalidRequest, "An MCP server takes POST, GET and DELETE only.");
                fault.status = 405;
                Err(fault)
            }
        }
    }
}

/// A moment that stands for "always": 2026-01-01T00:00:00Z.
const CREATED: u64 = 1_767_225_600;

/// Answers it.
pub(crate) async fn answer(mut exchange: Exchange, caller: Caller, here: Here) -> Response<Body> {
    let result = match here {
        Here::Models => models(&mut exchange, &caller, None),
        Here::OneModel(name) => models(&mut exchange, &caller, Some(name)),
        Here::Frame { server, message } => return frame(exchange, caller, server, *message).await,
        Here::Listen(server) => return listen(exchange, caller, server).await,
        Here::Close(server) => close(&mut exchange, &caller, &server).await,
        Here::Batch { server, messages } => return batch::answer(exchange, caller, server, messages).await,
        Here::Answers => return responses_flow::open(exchange, caller),
        Here::Batches(ask) => return batches::answer(exchange, caller, *ask).await,
        Here::Federated(ask) => return federation::answer(exchange, caller, *ask).await,
    };
    match result {
        Ok(bytes) => respond::answer(&mut exchange, 200, HeaderMap::new(), bytes),
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

fn models(exchange: &mut Exchange, caller: &Caller, one: Option<String>) -> Result<Bytes, Fault> {
    exchange.story.action = Some(Action::ListModels);
    exchange.story.resource = Arc::from("models");
    let dialect = exchange.surface.dialect().unwrap_or(tidegate_protocol::llm::Dialect::OpenAiChat);
    let listed = exchange.snapshot.listed_models().iter();
    let mut names: Vec<(ModelName, Vec<TargetId>)> =
        listed.map(|model| (model.name.clone(), target_ids(&model.route))).collect();
    if let Some(name) = &one {
        let found = exchange.snapshot.route(name, exchange.surface.as_str()).ok_or_else(|| no_such_model(name))?;
        names = vec![(found.name, target_ids(&found.route))];
    }
    let visible = visible_models(exchange, caller, &names);
    let entries: Vec<ModelEntry> = visible
        .iter()
        .map(|name| ModelEntry {
            id: name.to_string(),
            owned_by: name.as_str().split_once('/').map_or("tidegate", |(provider, _)| provider).to_owned(),
            created: CREATED,
        })
        .collect();
    match (one, entries.first()) {
        (Some(_), Some(entry)) => Ok(dialect.model(entry)),
        (Some(name), None) => Err(no_such_model(&name)),
        (None, _) => Ok(dialect.models_list(&entries)),
    }
}

fn target_ids(route: &Route) -> Vec<TargetId> {
    route.targets().iter().map(|target| target.id.clone()).collect()
}

/// Permission to speak within a session with `server`; to whom it is denied, the server does not exist.
fn session_permit(exchange: &mut Exchange, caller: &Caller, server: &ServerName) -> Result<SessionPermit, Fault> {
    exchange.story.is_tool = true;
    exchange.story.action = Some(Action::UseServer);
    exchange.story.resource = Arc::from(server.as_str());
    exchange.outside_session = true;
    if exchange.snapshot.server(server.as_str()).is_none() {
        return Err(no_such_server(server.as_str()));
    }
    let facts = Facts::new(exchange.surface.as_str(), Action::UseServer, Resource::Server(server.clone()));
    let policies = exchange.policies();
    let permit =
        SessionPermit::authorize(&policies, &caller.principal, &facts, server, exchange.at).map_err(|denial| {
            let mut fault = no_such_server(server.as_str());
            fault.policies = denial.policies;
            fault
        })?;
    exchange.outside_session = false;
    Ok(permit)
}

fn leg(exchange: &mut Exchange, caller: &Caller, server: &ServerName) -> Result<Arc<Leg>, Fault> {
    let session = exchange.header("mcp-session-id");
    let leg = exchange.gate.sessions.leg(session, caller.principal.key, server);
    exchange.outside_session = leg.is_err();
    leg
}

async fn frame(mut exchange: Exchange, caller: Caller, server: ServerName, message: Message) -> Response<Body> {
    match relayed(&mut exchange, &caller, &server, &message).await {
        Ok((Relayed::Accepted, _)) => respond::answer(&mut exchange, 202, HeaderMap::new(), Bytes::new()),
        Ok((Relayed::Messages(messages), opened)) => {
            let method = message.method().and_then(mcp::Method::parse).unwrap_or(mcp::Method::Notification);
            let id = Bytes::copy_from_slice(message.raw_id());
            let asked = Asked { method, id, server, permit: None, opened };
            tool_flow::respond(exchange, asked, messages).await
        }
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

async fn relayed(
    exchange: &mut Exchange,
    caller: &Caller,
    server: &ServerName,
    message: &Message,
) -> Result<(Relayed, Option<Arc<Leg>>), Fault> {
    let permit = session_permit(exchange, caller, server)?;
    let opens = matches!(message.parts(), Parts::Request { .. }) && message.method() == Some("initialize");
    let leg = if opens {
        let definition = exchange.snapshot.server(server.as_str()).ok_or_else(|| no_such_server(server.as_str()))?;
        Leg::new(Arc::clone(definition))
    } else {
        leg(exchange, caller, server)?
    };
    let gate = Arc::clone(&exchange.gate);
    let relayed = gate.upstream.relay(&permit, &leg, message, &exchange.headers, exchange.deadline).await?;
    Ok((relayed, opens.then_some(leg)))
}

async fn listen(mut exchange: Exchange, caller: Caller, server: ServerName) -> Response<Body> {
    if let Some((kept, next)) = missed(&exchange, &caller) {
        return replay::resumed(exchange, kept, next);
    }
    let opened = async {
        let permit = session_permit(&mut exchange, &caller, &server)?;
        let leg = leg(&mut exchange, &caller, &server)?;
        let gate = Arc::clone(&exchange.gate);
        gate.upstream.listen(&permit, &leg, None).await
    }
    .await;
    match opened {
        Ok(Some(messages)) => tool_flow::listen(exchange, server, messages),
        Ok(None) => {
            let mut fault = Fault::new(FaultCode::InvalidRequest, "This MCP server has no stream of its own.");
            fault.status = 405;
            respond::refusal(&mut exchange, fault)
        }
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

/// The stream of this session that the client lost, and the next event that it has not seen.
pub(crate) fn missed(exchange: &Exchange, caller: &Caller) -> Option<(Arc<Kept>, u64)> {
    let last = exchange.header("last-event-id")?;
    let session = exchange.header("mcp-session-id");
    exchange.gate.sessions.replays(session, caller.principal.key)?.after(last)
}

async fn close(exchange: &mut Exchange, caller: &Caller, server: &ServerName) -> Result<Bytes, Fault> {
    session_permit(exchange, caller, server)?;
    let id = exchange.header("mcp-session-id").unwrap_or_default();
    let closed = exchange.gate.sessions.close(id, caller.principal.key, Some(server));
    let Some(With::One(_, leg)) = closed else {
        return Err(Fault::new(FaultCode::NotFound, "There is no such session."));
    };
    let gate = Arc::clone(&exchange.gate);
    // The session is over for the caller, whatever the server makes of it.
    if let Err(fault) = gate.upstream.close(&leg).await {
        tracing::info!(server = server.as_str(), %fault, "a session could not be ended at its server");
    }
    Ok(Bytes::new())
}

/// The header under which a session is named to the caller.
pub(crate) fn session_header(id: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(id).ok()
}
