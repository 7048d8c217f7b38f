//! One message to a server and what comes back: nothing, one JSON answer, or a stream of messages.
//!
//! Owns the HTTP side of Streamable HTTP: headers, sessions that are gone, streams that are resumed. Checks every
//! message that comes; an answer must carry the id of the request it answers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Retry},
};
use tidegate_protocol::{
    json,
    jsonrpc::{self, Id, Message, Parts, Payload},
    mcp::Revision,
    sse::{DEFAULT_MAX_EVENT, Frame, SseParser},
};

use super::session::{Leg, Pending, SESSION_ID};
use crate::{
    body,
    clocks::{Clock, Limits},
    failure::{Failure, Then},
    headers,
    health::Admitted,
    pool::Pool,
    retry,
    scrub::scrub,
};

/// How often one answer's stream is taken up again after the server let go of it.
const MOST_RESUMPTIONS: u32 = 100;

/// The pause before a stream is taken up again where the server names none, and the longest it can name.
const RESUME_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a server says.
#[derive(Debug, Clone)]
pub enum McpEvent {
    /// A notification: progress, a log line, a changed list.
    Notification(Message),
    /// A request of the server to its client: sampling, elicitation, roots. Its answer is relayed on the same leg.
    Request(Message),
    /// The answer to the request that was sent; the last event of its stream. Its id is the leg's own.
    Answer(Message),
}

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
        let generation = self.leg.generation();
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
    async fn renew(&self, generation: u64) -> Result<(), Failure> {
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
        let (response, _) = self.send(Method::POST, outgoing.body.clone(), false, None).await?;
        let Posted::Messages(status, mut messages) = self.read(&outgoing, response).await? else {
            return Err(garbage(202, "the server did not answer `initialize`"));
        };
        let answer = messages.answer().await.map_err(|fault| Failure::broken_answer(status, fault))?;
        if matches!(answer.parts(), Parts::ErrorResponse { .. }) {
            return Err(garbage(status, "the server refuses a new session"));
        }
        let ready = Bytes::from(jsonrpc::notification("notifications/initialized", None));
        self.send(Method::POST, ready, true, None).await.map(drop)
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
        server.auth.apply(&mut headers).map_err(|error| misconfigured(error.to_string()))?;
        let mut request = Request::new(body);
        *request.uri_mut() = server.base.uri("").map_err(|error| misconfigured(error.to_string()))?;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
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
        let mut messages = McpEvents {
            leg: Arc::clone(self.leg),
            pool: Arc::clone(self.pool),
            stream: None,
            awaits: Some(*id),
            opening,
            limits: self.limits,
            ready: VecDeque::new(),
            state: State::Open,
            admitted: None,
            _pending: Some(self.leg.pending(client.as_ref(), *id)),
        };
        if headers::is_media_type(response.headers(), "text/event-stream") {
            messages.stream = Some(Stream::new(response.into_body()));
        } else if headers::is_media_type(response.headers(), "application/json") {
            let between = self.leg.server().timeouts.between_events;
            let bytes = body::whole(response.into_body(), body::MOST_UNARY, between, &self.limits)
                .await
                .map_err(|error| Failure::broken_answer(code, error.fault()))?;
            messages.take(bytes).map_err(|fault| Failure::broken_answer(code, *fault))?;
            if messages.state == State::Open {
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
        let secrets: Vec<_> = server.auth.secret().into_iter().collect();
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

fn garbled(why: &str) -> Box<Fault> {
    let words = format!("the MCP server's answer is malformed: {why}");
    Box::new(Fault::new(FaultCode::UpstreamUnavailable, words).with_retry(Retry::No))
}

/// What a server says to one request, or on the stream that it sends of its own accord.
pub struct McpEvents {
    leg: Arc<Leg>,
    pool: Arc<Pool>,
    stream: Option<Stream>,
    awaits: Option<i64>,
    opening: Option<Opening>,
    limits: Limits,
    ready: VecDeque<McpEvent>,
    state: State,
    admitted: Option<Admitted>,
    _pending: Option<Pending>,
}

/// What opens a session once it is answered.
struct Opening {
    session: Option<HeaderValue>,
    message: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Answered,
    Failed,
}

struct Stream {
    body: Incoming,
    parser: SseParser,
    last_id: Option<Bytes>,
    pause: Duration,
    resumptions: u32,
}

impl Stream {
    fn new(body: Incoming) -> Self {
        let parser = SseParser::new(DEFAULT_MAX_EVENT);
        Self { body, parser, last_id: None, pause: RESUME_PAUSE.0, resumptions: 0 }
    }
}

impl std::fmt::Debug for McpEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpEvents")
            .field("server", &self.leg.server().name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl McpEvents {
    /// One answer that is there already.
    fn whole(wire: &Wire<'_>, answer: Message) -> Self {
        Self {
            leg: Arc::clone(wire.leg),
            pool: Arc::clone(wire.pool),
            stream: None,
            awaits: None,
            opening: None,
            limits: wire.limits,
            ready: VecDeque::from([McpEvent::Answer(answer)]),
            state: State::Answered,
            admitted: None,
            _pending: None,
        }
    }

    /// The stream that a server sends of its own accord, which has no end of its own.
    pub(crate) fn listening(wire: &Wire<'_>, body: Incoming) -> Self {
        Self {
            leg: Arc::clone(wire.leg),
            pool: Arc::clone(wire.pool),
            stream: Some(Stream::new(body)),
            awaits: None,
            opening: None,
            limits: wire.limits,
            ready: VecDeque::new(),
            state: State::Open,
            admitted: None,
            _pending: None,
        }
    }

    /// The leg it belongs to.
    #[must_use]
    pub fn leg(&self) -> &Arc<Leg> {
        &self.leg
    }

    /// Reads until something is there.
    pub(crate) async fn begin(&mut self) -> Result<(), Fault> {
        while self.ready.is_empty() && self.state == State::Open {
            self.pull().await?;
        }
        Ok(())
    }

    pub(crate) fn watch(&mut self, admitted: Admitted) {
        if self.state == State::Answered {
            admitted.succeeded(clock::now());
        } else {
            self.admitted = Some(admitted);
        }
    }

    /// The next message; `None` after the answer, or where a stream of the server's own accord ends.
    ///
    /// Cancel-safe. Dropping the stream lets go of the request without cancelling it at the server, as revisions up to
    /// 2025-11-25 have it; [`crate::Upstream::cancel`] cancels.
    ///
    /// # Errors
    /// Once, as the last item: a clock, a stream that ends without the answer, a malformed message.
    pub async fn next(&mut self) -> Option<Result<McpEvent, Fault>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.state != State::Open {
                return None;
            }
            match self.pull().await {
                Ok(()) => {}
                Err(_) if self.awaits.is_none() && self.state == State::Answered => return None,
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    /// The answer; what comes before it is passed over.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn answer(&mut self) -> Result<Message, Fault> {
        while let Some(event) = self.next().await {
            if let McpEvent::Answer(message) = event? {
                return Ok(message);
            }
        }
        Err(*garbled("it ended without an answer"))
    }

    /// The id under which the request went out, for cancelling it.
    pub(crate) fn awaited(&self) -> Option<i64> {
        self.awaits.filter(|_| self.state == State::Open)
    }

    async fn pull(&mut self) -> Result<(), Fault> {
        let result = match self.next_frame().await {
            Ok(Some(frame)) => self.take_frame(frame).map_err(|fault| *fault),
            Ok(None) if self.awaits.is_none() => {
                self.state = State::Answered;
                Ok(())
            }
            Ok(None) => Err(*garbled("the stream ended before the answer came")),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = &result {
            self.state = State::Failed;
            match self.admitted.take() {
                Some(admitted) if fault.code != FaultCode::CallerTimeout => admitted.failed(clock::now()),
                _ => {}
            }
        }
        result
    }

    async fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let timeouts = self.leg.server().timeouts;
        let silence = if self.awaits.is_some() { timeouts.first_event.max(timeouts.between_events) } else { NEVER };
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.parser.next_frame() {
                Some(Ok(frame)) => {
                    if frame.id.is_some() {
                        stream.last_id.clone_from(&frame.id);
                    }
                    if let Some(millis) = frame.retry {
                        stream.pause = Duration::from_millis(millis).min(RESUME_PAUSE.1);
                    }
                    return Ok(Some(frame));
                }
                Some(Err(error)) => return Err(*garbled(&error.to_string())),
                None => {}
            }
            match body::next(&mut stream.body, (silence, Clock::BetweenEvents(silence)), &self.limits).await {
                Ok(Some(bytes)) => stream.parser.push(bytes),
                Ok(None) | Err(body::BodyError::Broken(_)) if self.resumable() => self.resume().await?,
                Ok(None) => return Ok(None),
                Err(error) => return Err(error.fault().with_retry(Retry::No)),
            }
        }
    }

    /// Whether the server let go of a stream that can be taken up where it stood (revision 2025-11-25).
    fn resumable(&self) -> bool {
        self.awaits.is_some()
            && self.stream.as_ref().is_some_and(|stream| {
                stream.last_id.as_ref().is_some_and(|id| !id.is_empty()) && stream.resumptions < MOST_RESUMPTIONS
            })
    }

    async fn resume(&mut self) -> Result<(), Fault> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.resumptions = stream.resumptions.saturating_add(1);
        tokio::time::sleep(stream.pause.min(self.limits.left(clock::now()))).await;
        let forward = HeaderMap::new();
        let wire = Wire { pool: &self.pool, leg: &self.leg, forward: &forward, limits: self.limits };
        let sent = wire.send(Method::GET, Bytes::new(), true, stream.last_id.as_ref()).await;
        let (response, _) = sent.map_err(|failure| *failure.fault)?;
        if !response.status().is_success() || !headers::is_media_type(response.headers(), "text/event-stream") {
            return Err(*garbled("the stream ended before the answer came, and cannot be taken up again"));
        }
        stream.body = response.into_body();
        stream.parser = SseParser::new(DEFAULT_MAX_EVENT);
        Ok(())
    }

    fn take_frame(&mut self, frame: Frame) -> Result<(), Box<Fault>> {
        match frame.data {
            // Pings, and the empty event that only carries an id to resume from.
            None => Ok(()),
            Some(data) if data.is_empty() => Ok(()),
            Some(_) if frame.event.as_deref().is_some_and(|name| name != b"message") => Ok(()),
            Some(data) => self.take(data),
        }
    }

    /// Reads what a server says: one message, or a batch of revision 2025-03-26.
    fn take(&mut self, data: Bytes) -> Result<(), Box<Fault>> {
        let payload = jsonrpc::read(data, &json::Limits::default()).map_err(|error| garbled(&error.to_string()))?;
        match payload {
            Payload::One(message) => self.take_message(message),
            Payload::Batch(messages) => messages.into_iter().try_for_each(|message| self.take_message(message)),
        }
    }

    fn take_message(&mut self, message: Message) -> Result<(), Box<Fault>> {
        if self.state != State::Open {
            return Ok(());
        }
        match message.parts() {
            Parts::Notification { .. } => self.ready.push_back(McpEvent::Notification(message)),
            Parts::Request { .. } => {
                if !self.leg.ask(&message) {
                    return Err(garbled("it asks under an id that waits for an answer already, or too much at once"));
                }
                self.ready.push_back(McpEvent::Request(message));
            }
            Parts::Response { .. } | Parts::ErrorResponse { .. } => {
                let Some(ours) = self.awaits else { return Err(garbled("it answers what was not asked")) };
                if message.id() != Some(&Id::Number(ours)) {
                    return Err(garbled("it answers another request than the one that was sent"));
                }
                self.answered(message);
            }
        }
        Ok(())
    }

    fn answered(&mut self, answer: Message) {
        if let (Some(opening), Parts::Response { result, .. }) = (self.opening.take(), answer.parts()) {
            let revision = answer.member(*result, "protocolVersion").and_then(|node| answer.text(node));
            let revision = revision.and_then(|text| Revision::parse(&text));
            self.leg.opened(opening.session, revision, opening.message);
        }
        self.state = State::Answered;
        self.stream = None;
        self.ready.push_back(McpEvent::Answer(answer));
        if let Some(admitted) = self.admitted.take() {
            admitted.succeeded(clock::now());
        }
    }
}

/// Longer than any call: for streams on which silence is normal.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
