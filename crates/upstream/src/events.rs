//! A model's answer as a stream of events in the surface's dialect.
//!
//! Owns reading, translating and counting. Pulls: an event is read when it is asked for, so that a caller that does not
//! read pauses the upstream. Dropping the stream cancels the upstream's request. A stream that ends without the
//! dialect's own terminator is an error, never an end.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::body::Incoming;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Retry, UpstreamAnswer},
    usage::{Usage, UsageSource},
};
use tidegate_protocol::{
    llm::{
        Dialect, FrameFacts, FrameParser, Piece, StreamError, StreamReader, StreamTranslator, ToolStart,
        UpstreamStreamError,
    },
    sse::{DEFAULT_MAX_EVENT, Frame},
};

use crate::{
    body::{self, BodyError},
    clocks::{Clock, Limits, Timeouts},
    health::Admitted,
    patience::Patience,
    scrub::{self, scrub},
    target::Target,
};

/// One event in the surface's dialect.
#[derive(Debug, Clone)]
pub struct Event {
    /// The frame as it is to be sent, unless a guard rewrites it.
    pub frame: Frame,
    /// What it says.
    pub facts: FrameFacts<'static>,
}

impl Event {
    /// The successful end of a stream whose dialect has no frame for it.
    fn end_of_body() -> Self {
        let frame = Frame { raw: Bytes::new(), event: None, data: None, id: None, retry: None };
        Self { frame, facts: FrameFacts { terminator: true, ..FrameFacts::default() } }
    }
}

/// Bytes that a token is taken for where a vendor counts nothing.
const BYTES_PER_TOKEN: u64 = 4;

/// The stream of one answer. See the module's text for its manners.
pub struct EventStream {
    source: Source,
    translation: Option<Translation>,
    ready: VecDeque<Event>,
    reader: StreamReader,
    /// Whether usage was asked for on the caller's behalf, and the frame that carries it is not for the caller.
    hide_usage: bool,
    generated_bytes: u64,
    request_bytes: u64,
    state: State,
    admitted: Option<Admitted>,
    /// Who answers; `None` where the answer was given before.
    target: Option<Arc<Target>>,
}

/// Where frames come from.
struct Source {
    /// `None` where everything stands in the parser already.
    body: Option<Incoming>,
    parser: FrameParser,
    limits: Limits,
    patience: Patience,
    first_event: Duration,
    between: Duration,
    begun: bool,
}

struct Translation {
    translator: StreamTranslator,
    /// Reads what the translator wrote, for guards.
    surface: StreamReader,
    /// Whether the caller's stream has no frame that says that it is over.
    ends_with_body: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The terminator was read.
    Ended,
    Failed,
}

/// What an event stream is made of.
pub(crate) struct Parts {
    pub(crate) body: Incoming,
    pub(crate) target: Arc<Target>,
    /// The dialect of what comes.
    pub(crate) dialect: Dialect,
    pub(crate) translator: Option<StreamTranslator>,
    pub(crate) surface: Dialect,
    pub(crate) limits: Limits,
    pub(crate) hide_usage: bool,
    pub(crate) request_bytes: usize,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream")
            .field("target", &self.target.as_ref().map(|target| &target.id))
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl EventStream {
    pub(crate) fn new(parts: Parts) -> Self {
        let timeouts = parts.target.timeouts;
        Self {
            source: Source {
                body: Some(parts.body),
                parser: parts.dialect.framing().parser(DEFAULT_MAX_EVENT),
                limits: parts.limits,
                patience: Patience::default(),
                first_event: timeouts.first_event,
                between: timeouts.between_events,
                begun: false,
            },
            translation: parts.translator.map(|translator| Translation {
                translator,
                surface: StreamReader::new(parts.surface),
                ends_with_body: parts.surface.ends_with_body(),
            }),
            ready: VecDeque::new(),
            reader: StreamReader::new(parts.dialect),
            hide_usage: parts.hide_usage,
            generated_bytes: 0,
            request_bytes: u64::try_from(parts.request_bytes).unwrap_or(u64::MAX),
            state: State::Open,
            admitted: None,
            target: Some(parts.target),
        }
    }

    /// The stream of an answer that was given before, from all its bytes in the dialect they are written in. Nothing
    /// was used for it.
    #[must_use]
    pub fn kept(dialect: Dialect, bytes: Bytes) -> Self {
        let timeouts = Timeouts::default();
        let mut parser = dialect.framing().parser(DEFAULT_MAX_EVENT);
        parser.push(bytes);
        Self {
            source: Source {
                body: None,
                parser,
                limits: Limits::endless(clock::now()),
                patience: Patience::default(),
                first_event: timeouts.first_event,
                between: timeouts.between_events,
                begun: true,
            },
            translation: None,
            ready: VecDeque::new(),
            reader: StreamReader::new(dialect),
            hide_usage: false,
            generated_bytes: 0,
            request_bytes: 0,
            state: State::Open,
            admitted: None,
            target: None,
        }
    }

    /// Reads up to the first semantic event (or the end of an answer that has none), and keeps what was read.
    pub(crate) async fn begin(&mut self) -> Result<(), Fault> {
        while self.state == State::Open {
            if self.pull().await? {
                break;
            }
        }
        Ok(())
    }

    /// From here on the stream reports to the target's breaker how it ended.
    pub(crate) fn watch(&mut self, admitted: Admitted) {
        if self.state == State::Ended {
            admitted.succeeded(clock::now());
        } else {
            self.admitted = Some(admitted);
        }
    }

    /// The next event; `None` after the successful terminator was given.
    ///
    /// Cancel-safe: a future that is dropped loses no event.
    ///
    /// # Errors
    /// Once, as the last item: a clock, a cut, malformed frames, an error that the upstream reports. The caller is then
    /// owed the surface's error event and no terminator.
    pub async fn next(&mut self) -> Option<Result<Event, Fault>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.state != State::Open {
                return None;
            }
            if let Err(fault) = self.pull().await {
                return Some(Err(fault));
            }
        }
    }

    /// Tokens used so far: the upstream's own count, or an estimate of one token for every four bytes that passed.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.reader.usage().unwrap_or(Usage {
            input: self.request_bytes.div_ceil(BYTES_PER_TOKEN),
            output: self.generated_bytes.div_ceil(BYTES_PER_TOKEN),
            source: UsageSource::Estimated,
            ..Usage::default()
        })
    }

    /// Whether the successful terminator was read from the upstream.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.state == State::Ended
    }

    /// Reads one frame of the upstream, puts what becomes of it into the queue, and says whether any of it is semantic
    /// or the end.
    async fn pull(&mut self) -> Result<bool, Fault> {
        let frame = match self.source.next_frame().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return self.end_of_body().map_err(|fault| self.fail(*fault)),
            Err(error) => return Err(self.fail(error)),
        };
        match self.take(frame) {
            Ok(committed) => Ok(committed),
            Err(fault) => Err(self.fail(*fault)),
        }
    }

    fn take(&mut self, frame: Frame) -> Result<bool, Box<Fault>> {
        let facts = self.reader.read(&frame).map_err(|error| Box::new(malformed(&error)))?;
        if let Some(error) = &facts.error {
            return Err(Box::new(reported(error, self.target.as_deref())));
        }
        let pieces = if facts.repeats { &[] } else { &*facts.pieces };
        let bytes: usize = pieces.iter().map(|piece| piece.text.len()).sum();
        self.generated_bytes = self.generated_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        // A model that stopped without a word has answered too.
        let committed = facts.semantic || facts.terminator || facts.stop.is_some();
        let terminator = facts.terminator;
        if let Some(translation) = &mut self.translation {
            drop(facts);
            let frames = translation.translator.push(&frame).map_err(|error| Box::new(malformed(&error)))?;
            self.translated(frames, terminator)?;
        } else if !(self.hide_usage && facts.usage_only) {
            let facts = owned(facts);
            self.ready.push_back(Event { frame, facts });
        }
        if terminator {
            self.end();
        }
        Ok(committed)
    }

    /// Queues what the translator wrote, and the end where the caller's dialect has no frame for it.
    fn translated(&mut self, frames: Vec<Frame>, last: bool) -> Result<(), Box<Fault>> {
        let Some(translation) = &mut self.translation else { return Ok(()) };
        let mut ended = false;
        for frame in frames {
            let facts = owned(translation.surface.read(&frame).map_err(|error| Box::new(malformed(&error)))?);
            ended |= facts.terminator;
            self.ready.push_back(Event { frame, facts });
        }
        if last && translation.ends_with_body && !ended {
            self.ready.push_back(Event::end_of_body());
        }
        Ok(())
    }

    /// The body is over: in some dialects, and after the model has stopped, that is the successful end.
    fn end_of_body(&mut self) -> Result<bool, Box<Fault>> {
        if !self.reader.may_end() {
            return Err(Box::new(cut_off()));
        }
        if let Some(translation) = &mut self.translation {
            let frames = translation.translator.finish().map_err(|error| Box::new(malformed(&error)))?;
            self.translated(frames, true)?;
        } else {
            self.ready.push_back(Event::end_of_body());
        }
        self.end();
        Ok(true)
    }

    fn end(&mut self) {
        self.state = State::Ended;
        if let Some(admitted) = self.admitted.take() {
            admitted.succeeded(clock::now());
        }
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.state = State::Failed;
        if let Some(admitted) = self.admitted.take() {
            if fault.code == FaultCode::CallerTimeout {
                drop(admitted);
            } else {
                admitted.failed(clock::now());
            }
        }
        fault
    }
}

impl Source {
    /// The next frame, of whatever kind; `None` where the body ends.
    async fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            match self.parser.next_frame() {
                Some(Ok(frame)) => {
                    self.begun = true;
                    return Ok(Some(frame));
                }
                Some(Err(error)) => return Err(Fault::new(FaultCode::UpstreamUnavailable, error.to_string())),
                None => {}
            }
            let silence = if self.begun {
                (self.between, Clock::BetweenEvents(self.between))
            } else {
                (self.first_event, Clock::FirstEvent(self.first_event))
            };
            let Some(body) = &mut self.body else { return Ok(None) };
            match body::next(body, silence, &self.limits, &mut self.patience).await {
                Ok(Some(bytes)) => self.parser.push(bytes),
                // What stands unfinished in the parser was cut off: it is no event.
                Ok(None) => return Ok(None),
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

fn broken(error: &BodyError) -> Fault {
    error.fault().with_retry(Retry::No)
}

fn cut_off() -> Fault {
    malformed(&StreamError::Truncated)
}

fn malformed(error: &StreamError) -> Fault {
    Fault::new(FaultCode::UpstreamUnavailable, error.to_string()).with_retry(Retry::No)
}

/// The fault of an error that the upstream reports inside its stream.
fn reported(error: &UpstreamStreamError, target: Option<&Target>) -> Fault {
    let secrets = target.map(|target| scrub::secrets(&target.provider.auth, &target.provider.headers));
    let message = scrub(&error.message, &secrets.unwrap_or_default()).into_owned();
    let mut fault = Fault::new(FaultCode::UpstreamError, message.clone()).with_retry(Retry::No);
    fault.status = error.kind.status();
    fault.upstream =
        target.map(|target| Box::new(UpstreamAnswer { target: target.id.clone(), message, kind: None, body: None }));
    fault
}

/// The facts without their frame.
fn owned(facts: FrameFacts<'_>) -> FrameFacts<'static> {
    let own = |text: Cow<'_, str>| Cow::<'static, str>::Owned(text.into_owned());
    FrameFacts {
        pieces: facts.pieces.into_iter().map(|piece| Piece { channel: piece.channel, text: own(piece.text) }).collect(),
        semantic: facts.semantic,
        terminator: facts.terminator,
        repeats: facts.repeats,
        error: facts.error,
        tool_starts: facts
            .tool_starts
            .into_iter()
            .map(|start| ToolStart { channel: start.channel, name: own(start.name) })
            .collect(),
        closes: facts.closes,
        stop: facts.stop,
        usage_only: facts.usage_only,
    }
}
