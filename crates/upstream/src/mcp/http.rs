//! One message to a server and what comes back: nothing, one JSON answer, or a stream of messages.
//!
//! Owns the HTTP side of Streamable HTTP: headers, statuses, and sessions that the server has forgotten. Never decides
//! whether a message may be sent again, the forgotten session apart. `traffic` and `relay` call it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Retry},
};
use tidegate_protocol::{
    json,
    jsonrpc::{self, Id, Message, Parts},
};

use super::{
    events::{McpEvents, Opening, garbled},
    session::{Leg, SESSION_ID},
};
use crate::{
    body,
    clocks::Limits,
    credential::Showing,
    failure::{Failure, Then},
    headers,
    pool::Pool,
    retry,
    scrub::{self, scrub},
    target::Destination,
};

/// Everything one exchange needs.
#[derive(Clone)]
pub(crate) struct Wire<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) leg: &'a Arc<Leg>,
    pub(crate) forward: &'a HeaderMap,
    pub(crate) limits: Limits,
}

/// A message to be posted.
pub(crate) struct Outgoing {
    pub(crate) body: Bytes,
    /// The id of a request, whose answer is awaited, with the client's own id for it.
    pub(crate) awaits: Option<(i64, Option<Id>)>,
    /// Whether it is `initialize`, which opens a session instead of belonging to one.
    pub(crate) opens: bool,
}

/// What became of a posted message.
pub(crate) enum Posted {
    Accepted(u16),
    Messages(u16, Box<McpEvents>),
}

impl Wire<'_> {
    /// Posts a message. Where the server has forgotten the session, it is made anew and the message sent once more: a
    /// server that answers 404 to a session's message has not looked at the message.
    pub(crate) async fn post(&self, outgoing: &Outgoing) -> Result<Posted, Failure> {
        let mut generation = self.leg.generation();
        if generation == 0 && !outgoing.opens && self.leg.opening().is_some() {
            Box::pin(self.renew(generation)).await?;
            generation = self.leg.generation();
        }
        if let Destination::Program(program) = &self.leg.server().base {
            if !outgoing.opens && self.leg.process().is_none() && self.leg.opening().is_some() {
                Box::pin(self.renew(generation)).await?;
            }
            return self.pipe(program, outgoing).await;
        }
        let (response, had_session) = self.send(Method::POST, outgoing.body.clone(), !outgoing.opens, None).await?;
        if response.status() == StatusCode::NOT_FOUND && had_session && self.leg.opening().is_some() {
            drop(response);
            Box::pin(self.renew(generation)).await?;
            let (response, _) = self.send(Method::POST, outgoing.body.clone(), true, None).await?;
            return self.read(outgoing, response).await;
        }
        self.read(outgoing, response).await
    }

    /// Opens the session anew with the client's own `initialize`, unless another call has done so meanwhile.
    pub(crate) async fn renew(&self, generation: u64) -> Result<(), Failure> {
        let _alone = self.leg.renewing.lock().await;
        if self.leg.generation() != generation {
            return Ok(());
        }
        let Some(opening) = self.leg.opening() else { return Ok(()) };
        self.open(opening).await
    }

    /// Sends an `initialize` message under an id of the leg, and `notifications/initialized` after it.
    pub(crate) async fn open(&self, opening: Bytes) -> Result<(), Failure> {
        let message = jsonrpc::read_one(opening, &json::Limits::default())
            .map_err(|error| Failure::unsent(Fault::new(FaultCode::Internal, error.to_string()), Then::End))?;
        let id = self.leg.fresh_id();
        let body = Bytes::from(message.with_id(id.to_string().as_bytes()));
        let outgoing = Outgoing { body, awaits: Some((id, None)), opens: true };
        let Posted::Messages(status, mut messages) = self.once(&outgoing).await? else {
            return Err(garbage(202, "the server did not answer `initialize`"));
        };
        let answer = messages.answer().await.map_err(|fault| Failure::broken_answer(status, fault))?;
        if matches!(answer.parts(), Parts::ErrorResponse { .. }) {
            return Err(garbage(status, "the server refuses a new session"));
        }
        let body = Bytes::from(jsonrpc::notification("notifications/initialized", None));
        self.once(&Outgoing { body, awaits: None, opens: false }).await?;
        if let Some(level) = self.leg.level() {
            let id = self.leg.fresh_id().to_string();
            let again = jsonrpc::request(id.as_bytes(), "logging/setLevel", Some(&level));
            // What the server makes of it is told to nobody: the client was answered when it asked.
            self.once(&Outgoing { body: Bytes::from(again), awaits: None, opens: false }).await?;
        }
        Ok(())
    }

    /// Posts a message as it is, on the session as it is.
    async fn once(&self, outgoing: &Outgoing) -> Result<Posted, Failure> {
        if let Destination::Program(program) = &self.leg.server().base {
            return self.pipe(program, outgoing).await;
        }
        let (response, _) = self.send(Method::POST, outgoing.body.clone(), !outgoing.opens, None).await?;
        self.read(outgoing, response).await
    }

    /// One HTTP request on the leg. Says whether it carried a session id.
    pub(crate) async fn send(
        &self,
        method: Method,
        body: Bytes,
        with_session: bool,
        resume: Option<&Bytes>,
    ) -> Result<(Response<Incoming>, bool), Failure> {
        let server = self.leg.server();
        let misconfigured = |why: String| {
            let words = format!("the MCP server `{}` is misconfigured: {why}", server.name);
            Failure::unsent(Fault::new(FaultCode::Internal, words), Then::End)
        };
        let (mut headers, has_session) = self.leg.headers(self.forward, with_session);
        if method != Method::POST {
            headers.remove(header::CONTENT_TYPE);
        }
        if method == Method::GET {
            headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        if let Some(id) = resume.and_then(|id| HeaderValue::from_bytes(id).ok()) {
            headers.insert("last-event-id", id);
        }
        let mut request = Request::new(body);
        *request.uri_mut() = server.base.uri("").map_err(|error| misconfigured(error.to_string()))?;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let whom = ("MCP server", server.name.as_str());
        let showing = Showing { pool: self.pool, connect: server.timeouts.connect, limits: &self.limits, whom };
        server.auth.show(&mut request, &showing).await?;
        let clocks = (server.timeouts.connect, server.timeouts.first_event);
        let response =
            self.pool.send(&server.base, request, clocks, &self.limits).await.map_err(Failure::unanswered)?;
        Ok((response, has_session))
    }

    /// Reads the answer to a POST.
    async fn read(&self, outgoing: &Outgoing, response: Response<Incoming>) -> Result<Posted, Failure> {
        let status = response.status();
        let code = status.as_u16();
        if !status.is_success() {
            return self.refused(outgoing, response).await;
        }
        let Some((id, client)) = &outgoing.awaits else { return Ok(Posted::Accepted(code)) };
        let opening = outgoing
            .opens
            .then(|| Opening { session: response.headers().get(SESSION_ID).cloned(), message: outgoing.body.clone() });
        let mut messages = McpEvents::awaiting(self, (*id, client.as_ref()), opening);
        if headers::is_media_type(response.headers(), "text/event-stream") {
            messages.follow(response.into_body());
        } else if headers::is_media_type(response.headers(), "application/json") {
            let between = self.leg.server().timeouts.between_events;
            let bytes = body::whole(response.into_body(), body::MOST_UNARY, between, &self.limits)
                .await
                .map_err(|error| Failure::broken_answer(code, error.fault()))?;
            messages.take(bytes).map_err(|fault| Failure::broken_answer(code, *fault))?;
            if messages.awaited().is_some() {
                return Err(garbage(code, "its body holds no answer to the request"));
            }
        } else {
            return Err(garbage(code, "its body is neither JSON nor an event stream"));
        }
        Ok(Posted::Messages(code, Box::new(messages)))
    }

    /// Reads an answer with an error status. A JSON-RPC error that answers the request is an answer like any other,
    /// whatever the status, unless the status speaks about the gateway's own standing with the server.
    async fn refused(&self, outgoing: &Outgoing, response: Response<Incoming>) -> Result<Posted, Failure> {
        let status = response.status();
        let code = status.as_u16();
        let retry_after = retry::retry_after(response.headers(), clock::wall());
        let is_json = headers::is_media_type(response.headers(), "application/json");
        let between = self.leg.server().timeouts.between_events;
        let bytes =
            body::whole(response.into_body(), body::MOST_ERROR, between, &self.limits).await.unwrap_or_default();
        let message = is_json.then(|| jsonrpc::read_one(bytes, &json::Limits::default()).ok()).flatten();
        let error = message.filter(|message| matches!(message.parts(), Parts::ErrorResponse { .. }));
        if let (Some(error), Some((id, _)), 400 | 405..=428) = (&error, &outgoing.awaits, code)
            && error.id() == Some(&Id::Number(*id))
        {
            let messages = McpEvents::whole(self, error.clone());
            return Ok(Posted::Messages(code, Box::new(messages)));
        }
        let server = self.leg.server();
        let secrets = scrub::secrets(&server.auth, &server.headers);
        let said = error.as_ref().and_then(Message::error_message).unwrap_or_default();
        let said: String = scrub(&said, &secrets).chars().take(1000).collect();
        let colon = if said.is_empty() { "" } else { ": " };
        let words = format!("the MCP server `{}` answered {code}{colon}{said}", server.name);
        let mut fault = Fault::new(FaultCode::UpstreamError, words);
        fault.status = if status.is_redirection() { 502 } else { code };
        fault.retry = match (code, retry_after) {
            (429 | 500..=599, Some(pause)) => Retry::After(pause),
            (429 | 500..=599, None) => Retry::Yes,
            _ => Retry::No,
        };
        Err(Failure::refusal(fault, retry_after, false))
    }
}

fn garbage(status: u16, why: &str) -> Failure {
    Failure::broken_answer(status, *garbled(why))
}
