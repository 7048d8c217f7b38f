//! `relay` and `control`: the frames of a client's session, and the gateway's own requests.
//!
//! Relayed are only frames that carry no call: opening and ending a session, pings, log levels, notifications, and
//! answers to what the server asked. A call that came this way is refused: it needs a permit of its own.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Method as HttpMethod, StatusCode};
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
};
use tidegate_policy::SessionPermit;
use tidegate_protocol::{
    json::Edit,
    jsonrpc::{self, Id, Message, Parts},
    mcp::{Method, Revision, spoken_capabilities},
};

use super::{
    events::McpEvents,
    http::{Outgoing, Posted, Wire},
    session::Leg,
};
use crate::{clocks::Limits, dispatch::Upstream, failure::Failure, headers, target::Destination};

/// What became of a relayed frame.
#[derive(Debug)]
pub enum Relayed {
    /// The server took it; nothing comes back.
    Accepted,
    /// What the server says to it.
    Messages(Box<McpEvents>),
}

impl Upstream {
    /// Sends a frame of a client's session on: `initialize` (which opens the leg's session), `ping`,
    /// `logging/setLevel`, a notification, or the answer to a request of the server on this leg. The id of a request,
    /// and the one that `notifications/cancelled` names, are rewritten for the leg.
    ///
    /// # Errors
    /// Where the frame is a call of its own or answers what this leg's server never asked, and whatever the server does
    /// wrong.
    pub async fn relay(
        &self,
        permit: &SessionPermit,
        leg: &Arc<Leg>,
        frame: &Message,
        forward: &HeaderMap,
        deadline: Option<Instant>,
    ) -> Result<Relayed, Fault> {
        own_server(permit, leg).map_err(|fault| *fault)?;
        let outgoing = outgoing(leg, frame).map_err(|fault| *fault)?;
        let wire = self.wire(leg, forward, deadline);
        match Box::pin(wire.post(&outgoing)).await.map_err(|failure| *failure.fault)? {
            Posted::Accepted(_) => Ok(Relayed::Accepted),
            Posted::Messages(_, messages) => Ok(Relayed::Messages(messages)),
        }
    }

    /// Opens the session of a leg that was made to open itself, unless it is open.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses.
    pub async fn open(
        &self,
        permit: &SessionPermit,
        leg: &Arc<Leg>,
        forward: &HeaderMap,
        deadline: Option<Instant>,
    ) -> Result<(), Fault> {
        own_server(permit, leg).map_err(|fault| *fault)?;
        if leg.is_open() {
            return Ok(());
        }
        let wire = self.wire(leg, forward, deadline);
        Box::pin(wire.renew(leg.generation())).await.map_err(|failure| *failure.fault)
    }

    /// Opens the stream on which the server speaks of its own accord, after the event `last_event` where that is
    /// given. `None` where the server has no such stream.
    ///
    /// # Errors
    /// Where the server does not answer as it should.
    pub async fn listen(
        &self,
        permit: &SessionPermit,
        leg: &Arc<Leg>,
        last_event: Option<&Bytes>,
    ) -> Result<Option<McpEvents>, Fault> {
        own_server(permit, leg).map_err(|fault| *fault)?;
        let forward = HeaderMap::new();
        let mut wire = self.wire(leg, &forward, None);
        if let Destination::Program(_) = &leg.server().base {
            wire.limits = Limits::endless(clock::now());
            return McpEvents::listening_pipe(&wire).map(Some).map_err(|failure| *failure.fault);
        }
        let sent = wire.send(HttpMethod::GET, Bytes::new(), true, last_event).await;
        let (response, _) = sent.map_err(|failure| *failure.fault)?;
        let is_stream = headers::is_media_type(response.headers(), "text/event-stream");
        match response.status() {
            status if status.is_success() && is_stream => {
                // The stream stays open as long as the session does.
                wire.limits = Limits::endless(clock::now());
                Ok(Some(McpEvents::listening(&wire, response.into_body())))
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED => Ok(None),
            status => {
                let words = format!("the MCP server `{}` answered {status} to a listening client", leg.server().name);
                Err(Fault::new(FaultCode::UpstreamUnavailable, words))
            }
        }
    }

    /// Tells the server that the request whose messages these are is no longer wanted, and lets go of it.
    ///
    /// # Errors
    /// Where the server does not take the notification.
    pub async fn cancel(&self, messages: McpEvents, reason: &str) -> Result<(), Fault> {
        let Some(id) = messages.awaited() else { return Ok(()) };
        let leg = Arc::clone(messages.leg());
        drop(messages);
        let params = serde_json::json!({ "requestId": id, "reason": reason }).to_string();
        let body = Bytes::from(jsonrpc::notification("notifications/cancelled", Some(params.as_bytes())));
        let forward = HeaderMap::new();
        let wire = self.wire(&leg, &forward, None);
        let outgoing = Outgoing { body, awaits: None, opens: false };
        wire.post(&outgoing).await.map(drop).map_err(|failure| *failure.fault)
    }

    /// Ends the leg's session at the server (DELETE). A server that does not know how counts as ended.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn close(&self, leg: &Arc<Leg>) -> Result<(), Fault> {
        if !leg.is_open() {
            return Ok(());
        }
        let forward = HeaderMap::new();
        let wire = self.wire(leg, &forward, None);
        if let Destination::Program(_) = &leg.server().base {
            leg.close();
            return Ok(());
        }
        let sent = wire.send(HttpMethod::DELETE, Bytes::new(), true, None).await;
        leg.close();
        sent.map(drop).map_err(|failure| *failure.fault)
    }

    /// A request of the gateway's own, on a leg of its own (which it opens first): list refreshes, probes. `params` is
    /// JSON text. Gives the server's answer, which may be an error response.
    ///
    /// # Errors
    /// Where the server does not answer as it should.
    pub async fn control(&self, leg: &Arc<Leg>, method: Method, params: Option<&[u8]>) -> Result<Message, Fault> {
        let forward = HeaderMap::new();
        let wire = self.wire(leg, &forward, None);
        if !leg.is_open() {
            let alone = leg.renewing.lock().await;
            if !leg.is_open() {
                Box::pin(wire.open(own_opening())).await.map_err(|failure| *failure.fault)?;
            }
            drop(alone);
        }
        let id = leg.fresh_id();
        let body = Bytes::from(jsonrpc::request(id.to_string().as_bytes(), method.as_str(), params));
        let outgoing = Outgoing { body, awaits: Some((id, None)), opens: false };
        match Box::pin(wire.post(&outgoing)).await.map_err(|failure: Failure| *failure.fault)? {
            Posted::Messages(_, mut messages) => messages.answer().await,
            Posted::Accepted(_) => Err(Fault::new(
                FaultCode::UpstreamUnavailable,
                format!("the MCP server `{}` took a request without answering it", leg.server().name),
            )),
        }
    }

    fn wire<'a>(&'a self, leg: &'a Arc<Leg>, forward: &'a HeaderMap, deadline: Option<Instant>) -> Wire<'a> {
        let limits = Limits::new(clock::now(), leg.server().timeouts.total, deadline);
        Wire { pool: &self.pool, leg, forward, limits }
    }
}

fn own_server(permit: &SessionPermit, leg: &Leg) -> Result<(), Box<Fault>> {
    if *permit.server() == leg.server().name {
        Ok(())
    } else {
        let words = "the frame was not sent: its permit is for another server";
        Err(Box::new(Fault::new(FaultCode::Internal, words)))
    }
}

/// The frame as it goes out on the leg.
fn outgoing(leg: &Leg, frame: &Message) -> Result<Outgoing, Box<Fault>> {
    match frame.parts() {
        Parts::Request { id, method, .. } => match Method::parse(method) {
            Some(method @ (Method::Initialize | Method::Ping | Method::LoggingSetLevel)) => {
                let ours = leg.fresh_id();
                let mut edits: Vec<Edit> = frame.id_edit(ours.to_string().as_bytes()).into_iter().collect();
                if method == Method::Initialize {
                    edits.extend(spoken_capabilities(frame));
                }
                let body = frame.with(edits).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))?;
                let body = Bytes::from(body);
                if let (Method::LoggingSetLevel, Some(params)) = (method, frame.params()) {
                    leg.note_level(Bytes::copy_from_slice(frame.raw(params)));
                }
                let awaits = Some((ours, Some(id.clone())));
                Ok(Outgoing { body, awaits, opens: method == Method::Initialize })
            }
            _ => {
                let words = "a call came as a frame of its session, so it was not sent";
                Err(Box::new(Fault::new(FaultCode::Internal, words)))
            }
        },
        Parts::Notification { method, .. } => {
            let body = match &**method {
                "notifications/cancelled" => cancelled(leg, frame)?,
                _ => frame.bytes().clone(),
            };
            Ok(Outgoing { body, awaits: None, opens: false })
        }
        Parts::Response { id, .. } | Parts::ErrorResponse { id: Some(id), .. } => {
            if !leg.take_asked(id) {
                let words = "this answers nothing that the server asked on this session";
                return Err(Box::new(Fault::invalid("/id", words)));
            }
            Ok(Outgoing { body: frame.bytes().clone(), awaits: None, opens: false })
        }
        Parts::ErrorResponse { id: None, .. } => {
            Err(Box::new(Fault::invalid("/id", "an answer must carry the id of the request it answers")))
        }
    }
}

/// `notifications/cancelled` with the id under which the request went out.
fn cancelled(leg: &Leg, frame: &Message) -> Result<Bytes, Box<Fault>> {
    let unknown = || Box::new(Fault::invalid("/params/requestId", "no request with this id is out on this session"));
    let node = frame.params().and_then(|params| frame.member(params, "requestId")).ok_or_else(unknown)?;
    let id: Id = jsonrpc::read_id(frame.bytes(), frame.tape(), node).map_err(|_| unknown())?;
    let ours = leg.outgoing_id(&id).ok_or_else(unknown)?;
    let edit = Edit { span: frame.tape().span(node), replacement: ours.to_string().into_bytes() };
    let spliced = tidegate_protocol::json::splice(frame.bytes(), vec![edit]);
    spliced.map(Bytes::from).map_err(|error| Box::new(Fault::new(FaultCode::Internal, error.to_string())))
}

/// The gateway's own `initialize`: it offers a server nothing.
fn own_opening() -> Bytes {
    let params = serde_json::json!({
        "protocolVersion": Revision::LATEST.as_str(),
        "capabilities": {},
        "clientInfo": { "name": "tidegate", "version": env!("CARGO_PKG_VERSION") },
    });
    Bytes::from(jsonrpc::request(b"1", Method::Initialize.as_str(), Some(params.to_string().as_bytes())))
}
