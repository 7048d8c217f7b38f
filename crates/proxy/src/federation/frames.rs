//! What is asked of all servers together, and the frames of a session with them.
//!
//! Owns the answers that are the gateway's own: `initialize` says what the servers together can do, `ping` is answered
//! here, a log level and a changed list of roots go to every open leg, a cancellation and an answer to the one they are
//! meant for. Lists are in `lists`, the stream of the servers' own accord in `listen`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Response};
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
};
use tidegate_policy::SessionPermit;
use tidegate_protocol::{
    json::{Limits, write_text},
    jsonrpc::{self, INVALID_PARAMS, Message, Parts},
    mcp::{
        Capabilities, ListKind, Method, Revision, cancelled_request, progress_token, protocol_version,
        spoken_capabilities,
    },
};
use tidegate_upstream::mcp::Leg;

use super::{
    Federation, Usable, listen,
    lists::{self, Origin, PATIENCE},
    usable, usable_one,
};
use crate::{
    exchange::{Caller, Exchange},
    here::{missed, session_header},
    replay,
    respond::{self, Body},
    session::With,
    tool_flow,
};

/// How many legs are opened, or told something, at a time.
const AT_ONCE: usize = 8;

/// How long a frame that goes to every leg may take on each.
const TELLING: Duration = Duration::from_secs(5);

/// What is asked.
pub(crate) enum Ask {
    /// A new session.
    Initialize(Message),
    /// A list of all servers.
    List(ListKind, Message),
    /// Another frame of the session.
    Frame(Message),
    /// A tool that no server has.
    NoSuchTool(Box<str>),
    /// The stream on which the servers speak of their own accord.
    Listen,
    /// The end of the session.
    Close,
}

/// Answers it.
pub(crate) async fn answer(mut exchange: Exchange, caller: Caller, ask: Ask) -> Response<Body> {
    let result = match ask {
        Ask::Initialize(message) => return initialize(exchange, caller, message).await,
        Ask::Listen => {
            return match missed(&exchange, &caller) {
                Some((kept, next)) => replay::resumed(exchange, kept, next),
                None => listen::listen(exchange).await,
            };
        }
        Ask::List(kind, message) => list(&exchange, kind, &message).await.map(|bytes| (200, bytes)),
        Ask::Frame(message) => frame(&exchange, message).await,
        Ask::NoSuchTool(name) => Ok((200, no_such_tool(&exchange, &name))),
        Ask::Close => close(&exchange, &caller),
    };
    match result {
        Ok((status, bytes)) => respond::answer(&mut exchange, status, HeaderMap::new(), bytes),
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

fn internal(error: impl std::fmt::Display) -> Fault {
    Fault::new(FaultCode::Internal, error.to_string())
}

fn session(exchange: &Exchange) -> Result<&Arc<Federation>, Fault> {
    exchange.federation.as_ref().ok_or_else(|| internal("the session is not known"))
}

fn id(exchange: &Exchange) -> Bytes {
    exchange.rpc_id.clone().unwrap_or_else(|| Bytes::from_static(b"null"))
}

async fn initialize(mut exchange: Exchange, caller: Caller, message: Message) -> Response<Body> {
    match greeting(&mut exchange, &message).await {
        Ok((federation, answer)) => {
            let id = exchange.gate.sessions.open(caller.principal.key, With::All(federation));
            let mut headers = HeaderMap::new();
            if let Some(value) = session_header(&id) {
                headers.insert("mcp-session-id", value);
            }
            tool_flow::own(exchange, Method::Initialize, headers, answer)
        }
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

/// Opens the legs of servers of which nothing is known yet, and says what all of them can do.
async fn greeting(exchange: &mut Exchange, message: &Message) -> Result<(Arc<Federation>, Message), Fault> {
    let servers = usable(exchange);
    if servers.is_empty() {
        exchange.outside_session = true;
        return Err(Fault::new(FaultCode::NotFound, "This key may use no MCP server: ask whoever runs the gateway."));
    }
    let asked = protocol_version(message)
        .ok_or_else(|| Fault::invalid("/params/protocolVersion", "It must be a text.").with_rpc_code(INVALID_PARAMS))?;
    let revision = Revision::negotiate(&asked);
    let opening = message.with(spoken_capabilities(message).into_iter().collect()).map_err(internal)?;
    let federation = Federation::new(Bytes::from(opening), revision);
    let origin = (Arc::clone(&exchange.gate), Arc::clone(&federation), exchange.headers.clone());
    let profiles: Vec<_> = stream::iter(servers)
        .map(|usable| {
            let (gate, federation, headers) = origin.clone();
            async move {
                let known = gate.sessions.profiles.get(&usable.server);
                if known.is_some() || gate.sessions.profiles.hangs(&usable.server.name).is_some() {
                    return (usable, known);
                }
                let (leg, started) = (federation.leg(&usable.server), clock::now());
                let opening = gate.upstream.open(&usable.permit, &leg, &headers, None);
                let opened = tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| {
                    let words = format!("The MCP server `{}` did not answer `initialize`.", usable.server.name);
                    Err(Fault::new(FaultCode::UpstreamTimeout, words))
                });
                let profile = match opened {
                    Ok(()) => gate.sessions.profiles.learn(&usable.server, &leg),
                    Err(fault) => {
                        let took = clock::now().saturating_duration_since(started);
                        gate.sessions.profiles.failed(&usable.server.name, took, &fault);
                        tracing::warn!(server = usable.server.name.as_str(), %fault, "a server could not be opened");
                        None
                    }
                };
                (usable, profile)
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut capabilities = Capabilities::default();
    let mut instructions = String::new();
    for (usable, profile) in &profiles {
        // What could not be asked may have anything, once it is back.
        let can = profile.as_ref().map_or(Capabilities::ALL, |profile| profile.capabilities);
        capabilities = capabilities.or(can);
        if let Some(text) = profile.as_ref().and_then(|profile| profile.instructions.as_ref()) {
            instructions.push_str(&format!("# {}\n{text}\n\n", usable.server.name));
        }
    }
    let mut result = format!(
        "{{\"protocolVersion\":\"{revision}\",\"capabilities\":{},\"serverInfo\":{{\"name\":\"tidegate\",\
         \"version\":\"{}\"}}",
        capabilities.to_json(),
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes();
    if !instructions.is_empty() {
        result.extend_from_slice(b",\"instructions\":");
        write_text(&mut result, instructions.trim_end());
    }
    result.push(b'}');
    let answer = jsonrpc::result_response(&id(exchange), &result);
    let answer = jsonrpc::read_one(Bytes::from(answer), &Limits::default()).map_err(internal)?;
    Ok((federation, answer))
}

async fn list(exchange: &Exchange, kind: ListKind, message: &Message) -> Result<Bytes, Fault> {
    let federation = session(exchange)?;
    let cursor = message.params().and_then(|params| message.member(params, "cursor"));
    let from = match cursor {
        None => None,
        Some(node) => {
            let known = message.text(node).and_then(|cursor| federation.position(&cursor));
            let known = known.filter(|position| position.kind == kind).ok_or_else(|| {
                let words = "This cursor leads nowhere in this session: begin the list anew, without one.";
                Fault::invalid("/params/cursor", words).with_rpc_code(INVALID_PARAMS)
            })?;
            Some(known)
        }
    };
    let origin = Origin::of(exchange, federation);
    let servers = Arc::new(usable(exchange));
    let merged = lists::page(&origin, &servers, kind, from).await?;
    let result = merged.into_result(federation, kind);
    Ok(Bytes::from(jsonrpc::result_response(&id(exchange), &result)))
}

/// An unknown tool is told as a tool's failure, as the official SDKs' servers do: a model can then mend its call.
fn no_such_tool(exchange: &Exchange, name: &str) -> Bytes {
    let name: String = name.chars().take(128).collect();
    let text =
        format!("Tool {name} not found: no server that this key may use has it; tools/list shows what there is.");
    let result = serde_json::json!({"content": [{"type": "text", "text": text}], "isError": true}).to_string();
    Bytes::from(jsonrpc::result_response(&id(exchange), result.as_bytes()))
}

/// A frame that is no call: its status, and its answer where it wants one.
async fn frame(exchange: &Exchange, message: Message) -> Result<(u16, Bytes), Fault> {
    let federation = session(exchange)?;
    match message.parts() {
        Parts::Request { method, .. } => {
            if Method::parse(method) == Some(Method::LoggingSetLevel) {
                let level = message.params().map(|params| Bytes::copy_from_slice(message.raw(params)));
                let level = level
                    .ok_or_else(|| Fault::invalid("/params", "It must name a level.").with_rpc_code(INVALID_PARAMS))?;
                *federation.level.lock() = Some(level.clone());
                let logging = |leg: &Arc<Leg>| {
                    leg.note_level(level.clone());
                    leg.is_open() && leg.greeting().is_some_and(|said| Capabilities::of(&said).logging)
                };
                let legs = federation.legs().into_iter().filter(logging).collect();
                tell(exchange, legs, &message).await;
            }
            Ok((200, Bytes::from(jsonrpc::result_response(&id(exchange), b"{}"))))
        }
        Parts::Notification { method, .. } => {
            match &**method {
                "notifications/cancelled" => {
                    let Some((cancelled, _)) = cancelled_request(&message) else { return Ok((202, Bytes::new())) };
                    let legs = federation.legs().into_iter().filter(|leg| leg.awaits(&cancelled)).collect();
                    tell(exchange, legs, &message).await;
                }
                "notifications/progress" => {
                    let leg = progress_token(&message).and_then(|(token, _)| federation.who_asked_with(&token));
                    tell(exchange, leg.into_iter().collect(), &message).await;
                }
                // Each leg is told by the gateway when it opens.
                "notifications/initialized" => {}
                _ => {
                    let open = federation.legs().into_iter().filter(|leg| leg.is_open()).collect();
                    tell(exchange, open, &message).await;
                }
            }
            Ok((202, Bytes::new()))
        }
        Parts::Response { .. } | Parts::ErrorResponse { .. } => {
            let nothing = || Fault::invalid("/id", "This answers nothing that a server asked in this session.");
            let (leg, own) = message.id().and_then(|id| federation.take_asked(id)).ok_or_else(nothing)?;
            let own = jsonrpc::read_one(Bytes::from(message.with_id(&own)), &Limits::default()).map_err(internal)?;
            let permit = permit(exchange, &leg).ok_or_else(nothing)?;
            let upstream = &exchange.gate.upstream;
            upstream.relay(&permit, &leg, &own, &exchange.headers, exchange.deadline).await?;
            Ok((202, Bytes::new()))
        }
    }
}

fn permit(exchange: &Exchange, leg: &Leg) -> Option<SessionPermit> {
    let server = exchange.snapshot.server(leg.server().name.as_str())?;
    usable_one(exchange, server).map(|usable| usable.permit)
}

/// Relays a frame on some legs. What goes wrong on one is its own affair.
async fn tell(exchange: &Exchange, legs: Vec<Arc<Leg>>, message: &Message) {
    let told: Vec<_> = legs.into_iter().filter_map(|leg| Some((permit(exchange, &leg)?, leg))).collect();
    let upstream = &exchange.gate.upstream;
    let headers = &exchange.headers;
    stream::iter(told)
        .for_each_concurrent(AT_ONCE, |(permit, leg)| async move {
            let until = clock::now().checked_add(TELLING);
            if let Err(fault) = upstream.relay(&permit, &leg, message, headers, until).await {
                tracing::debug!(server = leg.server().name.as_str(), %fault, "a frame was not taken");
            }
        })
        .await;
}

fn close(exchange: &Exchange, caller: &Caller) -> Result<(u16, Bytes), Fault> {
    let id = exchange.header("mcp-session-id").unwrap_or_default();
    let Some(With::All(federation)) = exchange.gate.sessions.close(id, caller.principal.key, None) else {
        return Err(Fault::new(FaultCode::NotFound, "There is no such session."));
    };
    let gate = Arc::clone(&exchange.gate);
    federation.unlisten();
    let _ = tidegate_upstream::task::spawn("end a session with all servers", async move {
        for leg in federation.legs() {
            if let Err(fault) = gate.upstream.close(&leg).await {
                tracing::info!(server = leg.server().name.as_str(), %fault, "a session was not ended at its server");
            }
        }
    });
    Ok((200, Bytes::new()))
}

impl Usable {
    /// Its leg in this session.
    pub(super) fn leg(&self, federation: &Federation) -> Arc<Leg> {
        federation.leg(&self.server)
    }
}
