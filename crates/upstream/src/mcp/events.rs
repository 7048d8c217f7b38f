//! What a server says, message by message.
//!
//! Owns the reading of answers and streams, and taking up a stream that the server let go of. Checks every message that
//! comes; an answer must carry the id of the request it answers. Pulls: nothing is read before it is asked for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
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

use super::{
    http::Wire,
    session::{Leg, Pending},
    stdio::{Place, Process},
};
use crate::{
    body,
    clocks::{Clock, Limits},
    failure::{Failure, Then},
    headers,
    health::Admitted,
    patience::Patience,
    pool::Pool,
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

/// What a server says to one request, or on the stream that it sends of its own accord.
pub struct McpEvents {
    leg: Arc<Leg>,
    pool: Arc<Pool>,
    stream: Option<Stream>,
    pipe: Option<Pipe>,
    awaits: Option<i64>,
    opening: Option<Opening>,
    limits: Limits,
    ready: VecDeque<McpEvent>,
    state: State,
    admitted: Option<Admitted>,
    _pending: Option<Pending>,
}

/// What was read.
enum Read {
    Frame(Frame),
    Message(Message),
}

/// What opens a session once it is answered.
pub(super) struct Opening {
    pub(super) session: Option<HeaderValue>,
    pub(super) message: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Answered,
    Failed,
}

struct Stream {
    body: Incoming,
    patience: Patience,
    parser: SseParser,
    last_id: Option<Bytes>,
    pause: Duration,
    resumptions: u32,
}

/// What a program says.
struct Pipe {
    process: Arc<Process>,
    place: Place,
}

impl Stream {
    fn new(body: Incoming) -> Self {
        let parser = SseParser::new(DEFAULT_MAX_EVENT);
        Self { body, patience: Patience::default(), parser, last_id: None, pause: RESUME_PAUSE.0, resumptions: 0 }
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
    /// What will be said to the request that went out under the id `awaits.0`.
    pub(super) fn awaiting(wire: &Wire<'_>, awaits: (i64, Option<&Id>), opening: Option<Opening>) -> Self {
        let (ours, client) = awaits;
        Self {
            leg: Arc::clone(wire.leg),
            pool: Arc::clone(wire.pool),
            stream: None,
            pipe: None,
            awaits: Some(ours),
            opening,
            limits: wire.limits,
            ready: VecDeque::new(),
            state: State::Open,
            admitted: None,
            _pending: Some(wire.leg.pending(client, ours)),
        }
    }

    /// Reads the messages from this stream.
    pub(super) fn follow(&mut self, body: Incoming) {
        self.stream = Some(Stream::new(body));
    }

    /// One answer that is there already.
    pub(super) fn whole(wire: &Wire<'_>, answer: Message) -> Self {
        Self {
            leg: Arc::clone(wire.leg),
            pool: Arc::clone(wire.pool),
            stream: None,
            pipe: None,
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
            pipe: None,
            awaits: None,
            opening: None,
            limits: wire.limits,
            ready: VecDeque::new(),
            state: State::Open,
            admitted: None,
            _pending: None,
        }
    }

    /// Reads the messages that a program has for this place.
    pub(super) fn follow_pipe(&mut self, process: Arc<Process>, place: Place) {
        self.pipe = Some(Pipe { process, place });
    }

    /// What a program says that answers nothing.
    pub(super) fn listening_pipe(wire: &Wire<'_>) -> Result<Self, Failure> {
        let process = wire.running()?;
        let ended = |why: std::sync::Arc<str>| {
            let words = format!("the MCP server `{}` says nothing any more: {why}", wire.leg.server().name);
            Failure::unsent(Fault::new(FaultCode::UpstreamUnavailable, words), Then::End)
        };
        let place = process.listen().map_err(ended)?;
        Ok(Self {
            leg: Arc::clone(wire.leg),
            pool: Arc::clone(wire.pool),
            stream: None,
            pipe: Some(Pipe { process, place }),
            awaits: None,
            opening: None,
            limits: wire.limits,
            ready: VecDeque::new(),
            state: State::Open,
            admitted: None,
            _pending: None,
        })
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
        let result = match self.next_said().await {
            Ok(Some(Read::Frame(frame))) => self.take_frame(frame).map_err(|fault| *fault),
            Ok(Some(Read::Message(message))) => self.take_message(message).map_err(|fault| *fault),
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

    fn silence(&self) -> Duration {
        let timeouts = self.leg.server().timeouts;
        if self.awaits.is_some() { timeouts.first_event.max(timeouts.between_events) } else { NEVER }
    }

    async fn next_said(&mut self) -> Result<Option<Read>, Fault> {
        let silence = self.silence();
        let Some(pipe) = &self.pipe else { return Ok(self.next_frame().await?.map(Read::Frame)) };
        match self.limits.within(silence, Clock::FirstEvent(silence), pipe.place.next()).await {
            Ok(Ok(message)) => Ok(Some(Read::Message(message))),
            Ok(Err(_)) if self.awaits.is_none() => Ok(None),
            Ok(Err(why)) => {
                let words = format!("the MCP server `{}` gave no answer: {why}", self.leg.server().name);
                Err(Fault::new(FaultCode::UpstreamUnavailable, words).with_retry(Retry::No))
            }
            Err(clock) => {
                if clock != Clock::Caller {
                    pipe.process.abandon_if_silent(silence);
                }
                Err(clock.fault().with_retry(Retry::No))
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let silence = self.silence();
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
            match body::next(
                &mut stream.body,
                (silence, Clock::BetweenEvents(silence)),
                &self.limits,
                &mut stream.patience,
            )
            .await
            {
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
    pub(super) fn take(&mut self, data: Bytes) -> Result<(), Box<Fault>> {
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
            self.leg.opened(opening.session, revision, opening.message, answer.clone());
        }
        self.state = State::Answered;
        self.stream = None;
        self.pipe = None;
        self.ready.push_back(McpEvent::Answer(answer));
        if let Some(admitted) = self.admitted.take() {
            admitted.succeeded(clock::now());
        }
    }
}

/// Longer than any call: for streams on which silence is normal.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The fault of an answer that is none.
pub(super) fn garbled(why: &str) -> Box<Fault> {
    let words = format!("the MCP server's answer is malformed: {why}");
    Box::new(Fault::new(FaultCode::UpstreamUnavailable, words).with_retry(Retry::No))
}
