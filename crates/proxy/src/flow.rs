//! A model's answer as it streams to the caller: guarded, cut where it must be, settled before its last event leaves.
//!
//! Owns the exchange from the first event on. Pulls: nothing is read from the upstream before the caller has taken what
//! came before. When it is dropped, the caller has left: the upstream's request goes with it, and what was generated
//! until then is settled.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tidegate_core::{
    clock,
    event::{Stage, StageEvent, StageVerdict},
    fault::{Fault, FaultCode},
    ids::Digester,
    segment::Origin,
};
use tidegate_guard::{Hold, Release, Step};
use tidegate_protocol::llm::{Dialect, answer_id, rewrite_pieces};
use tidegate_upstream::{Event, EventStream, Patience};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    array::Array,
    exchange::{Ending, Exchange},
    respond::{self, Body, Broken},
    stage::{
        authorize::may_propose,
        guard_request::{add, blocked_fault},
        guard_response::note_owner,
    },
};

/// After this long without an event, the caller gets a sign of life.
const PING_AFTER: Duration = Duration::from_secs(15);

struct Flow {
    exchange: Exchange,
    events: Box<EventStream>,
    hold: Hold<Event>,
    dialect: Dialect,
    ready: VecDeque<Bytes>,
    /// What is written where the answer is to be one array.
    array: Option<Array>,
    digester: Digester,
    guard_micros: u32,
    /// Resolves when the call is to be cut from outside.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Patience,
    begun: bool,
    ended: bool,
}

/// The answer whose body is `events`, guarded.
pub(crate) fn respond(
    mut exchange: Exchange,
    dialect: Dialect,
    status: u16,
    vendor: HeaderMap,
    events: Box<EventStream>,
) -> Response<Body> {
    let head = respond::streaming(&exchange, status, vendor);
    if let Some(repeat) = &mut exchange.repeat {
        repeat.begin(head.status(), head.headers());
    }
    let chain = exchange.caller.as_ref().map(|caller| caller.chain.clone()).unwrap_or_default();
    let tokens = exchange.tokens.clone();
    let array = respond::is_array(&exchange).then(Array::new);
    let flow = Flow {
        cut: Box::pin(exchange.cut.clone().cancelled_owned()),
        patience: Patience::default(),
        exchange,
        events,
        hold: Hold::new(chain, Origin::Completion).restoring(tokens),
        dialect,
        ready: VecDeque::new(),
        array,
        digester: Digester::new(),
        guard_micros: 0,
        begun: false,
        ended: false,
    };
    // On the heap, since each step takes it and gives it back.
    head.map(|()| StreamBody::new(stream::unfold(Box::new(flow), step)).boxed_unsync())
}

async fn step(mut flow: Box<Flow>) -> Option<(Result<Frame<Bytes>, Broken>, Box<Flow>)> {
    loop {
        if let Some(bytes) = flow.ready.pop_front() {
            return Some((Ok(Frame::data(bytes)), flow));
        }
        if flow.ended {
            return None;
        }
        let Flow { cut, events, patience, .. } = &mut *flow;
        let cut_or_event = async {
            tokio::select! {
                biased;
                () = cut.as_mut() => Next::Cut,
                event = events.next() => event.map_or(Next::Nothing, Next::Event),
            }
        };
        let ping = clock::now().checked_add(PING_AFTER).unwrap_or_else(clock::now);
        let next = patience.until(ping, cut_or_event).await.unwrap_or(Next::Silence);
        match next {
            Next::Event(Ok(event)) => flow.take(event),
            Next::Event(Err(fault)) => flow.fail(&fault),
            // An end that no terminator announced is a cut, whoever closed the connection.
            Next::Nothing => flow.fail(&Fault::new(
                FaultCode::UpstreamUnavailable,
                "The upstream's stream ended before the answer was complete.",
            )),
            Next::Cut => flow.fail(&Fault::new(
                FaultCode::Killed,
                "This call was ended from outside: its key was revoked or an operator cut it.",
            )),
            Next::Silence => {
                let ping = flow.dialect.ping();
                // Where the framing has none, silence stays silence.
                if !ping.raw.is_empty() {
                    flow.ready.push_back(ping.raw);
                }
            }
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "it lives on the stack for the length of one match")]
enum Next {
    Event(Result<Event, Fault>),
    Nothing,
    Cut,
    Silence,
}

impl Flow {
    fn take(&mut self, mut event: Event) {
        let started = clock::now();
        if let Some(keeping) = &mut self.exchange.keeping {
            keeping.push(&event.frame.raw);
        }
        if !std::mem::replace(&mut self.begun, true) && self.dialect.keeps_answers() {
            note_owner(&self.exchange, answer_id(&event.frame).as_deref());
        }
        let starts = std::mem::take(&mut event.facts.tool_starts);
        if let Err(fault) = starts.iter().try_for_each(|start| may_propose(&self.exchange, &start.name)) {
            self.fail(&fault);
            return;
        }
        let (last, repeats) = (event.facts.terminator, event.facts.repeats);
        if last && event.facts.pieces.is_empty() {
            let rest = self.hold.flush();
            if self.released(rest) {
                self.guarded(started);
                self.complete(event);
            }
            return;
        }
        // The hold keeps the event, so the texts it is to look at are taken out of it.
        let pieces = std::mem::take(&mut event.facts.pieces);
        let closes = std::mem::take(&mut event.facts.closes);
        let borrowed: smallvec::SmallVec<[(u32, &str); 2]> =
            pieces.iter().map(|piece| (piece.channel, &*piece.text)).collect();
        let mut closes = closes.into_iter();
        if repeats {
            // What is said again was said: nothing that came before waits for more, and neither does the whole text.
            if closes.all(|(first, until)| {
                let step = self.hold.close_channels(first..=until);
                self.released(step)
            }) {
                let step = self.hold.push_whole(event, &borrowed);
                self.released(step);
            }
        } else {
            let mut step = self.hold.push(event, &borrowed);
            // The last word of a text that has ended waits for nothing.
            while self.released(step) {
                let Some((first, until)) = closes.next() else { break };
                step = self.hold.close_channels(first..=until);
            }
        }
        // A last event that says everything once more is looked at like any other.
        if last && !self.ended {
            let rest = self.hold.flush();
            if self.released(rest) {
                self.guarded(started);
                self.completed();
            }
            return;
        }
        self.guarded(started);
    }

    fn guarded(&mut self, started: std::time::Instant) {
        self.guard_micros = self.guard_micros.saturating_add(clock::micros_since(started));
    }

    /// Sends what a step released; false where the stream ended with it.
    fn released(&mut self, step: Step<Event>) -> bool {
        match step {
            Step::Released(events) => events.into_iter().all(|release| self.send(release)),
            Step::Blocked { finding, released } => {
                if released.into_iter().all(|release| self.send(release)) {
                    self.fail(&blocked_fault(&finding));
                }
                false
            }
        }
    }

    fn send(&mut self, release: Release<Event>) -> bool {
        let raw = match release.rewritten {
            None => release.frame.frame.raw,
            Some(texts) => {
                let texts: Vec<(usize, &str)> = texts.iter().map(|(piece, text)| (*piece, text.as_str())).collect();
                match rewrite_pieces(self.dialect, &release.frame.frame, &texts) {
                    Ok(frame) => frame.raw,
                    Err(error) => {
                        let fault = Fault::new(
                            FaultCode::Internal,
                            "What a guardrail found could not be taken out of the stream.",
                        );
                        self.fail(&fault.with_source(error));
                        return false;
                    }
                }
            }
        };
        self.push(raw);
        true
    }

    fn push(&mut self, raw: Bytes) {
        let written = match &mut self.array {
            Some(array) => array.elements(raw),
            None => raw,
        };
        self.write(written);
    }

    fn write(&mut self, raw: Bytes) {
        self.digester.update(&raw);
        self.exchange.keep_response(&raw);
        if !raw.is_empty() {
            self.ready.push_back(raw);
        }
    }

    /// The successful end: settled and on record before the terminator leaves.
    fn complete(&mut self, terminator: Event) {
        self.push(terminator.frame.raw);
        self.completed();
    }

    fn completed(&mut self) {
        self.end_array();
        self.end(&Ending { status: 200, fault: None, complete: true });
        self.exchange.tell_others(true);
        self.exchange.keep_answer();
    }

    /// The other end: the surface's error event, then a clean end of the body; never a terminator.
    fn fail(&mut self, fault: &Fault) {
        if self.ended {
            return;
        }
        let event = respond::fault_event(&self.exchange, self.dialect, fault);
        self.push(event);
        self.end_array();
        self.end(&Ending { status: 200, fault: Some(fault), complete: false });
    }

    fn end_array(&mut self) {
        if let Some(array) = self.array.take() {
            self.write(array.end());
        }
    }

    fn end(&mut self, ending: &Ending<'_>) {
        self.ended = true;
        let found = self.hold.verdicts().to_vec();
        let changed = found.iter().any(|verdict| verdict.action > tidegate_core::facts::GuardAction::Label);
        add(&mut self.exchange.story.verdicts, found);
        self.exchange.report(StageEvent {
            stage: Stage::GuardResponse,
            verdict: if changed { StageVerdict::Changed } else { StageVerdict::Pass },
            micros: self.guard_micros,
            detail: None,
        });
        self.exchange.story.usage = Some(self.events.usage());
        self.exchange.story.response_digest = Some(self.digester.digest());
        self.exchange.end(ending);
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&Ending { status: 499, fault: None, complete: false });
        }
    }
}
