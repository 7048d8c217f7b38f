//! What a server says: each event to its turn, its words through the window of guards, its end settled before it leaves.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
    ids::CallId,
    segment::SegmentPath,
    usage::Usage,
};
use tidegate_guard::{Release, Step};
use tidegate_protocol::{
    native::Task,
    realtime::{ClientEvent, Ended, ServerEvent, ServerKind, Turning, failed_response},
};
use tidegate_upstream::Clock;
use tokio_tungstenite::tungstenite::Message;

use super::{
    Goodbye, Looked, Session,
    turn::{Held, Turn},
};
use crate::stage::{authorize::may_propose, dispatch::killed, guard_request::blocked_fault};

/// Where the channels of whole texts begin.
const WHOLE: u32 = 0x8000_0000;

impl Session {
    /// Takes one event.
    pub(super) async fn server_event(&mut self, bytes: Bytes) -> Result<(), Goodbye> {
        let length = bytes.len();
        let event = ServerEvent::read(bytes).map_err(|error| {
            let words = "The upstream sent an event that cannot be read in the live session.";
            Goodbye::of(Fault::new(FaultCode::UpstreamUnavailable, words).with_source(error))
        })?;
        if event.kind == ServerKind::Begun {
            self.begun(&event).await?;
        }
        let of_turn =
            event.response.as_ref().map(|id| self.turns.iter().position(|turn| turn.response.as_ref() == Some(id)));
        match (of_turn, event.kind) {
            (Some(Some(at)), _) => self.of_turn(at, event, length).await,
            // What belongs to no turn that was allowed does not pass.
            (Some(None), _) => Ok(()),
            (None, ServerKind::Error) => self.failed(event).await,
            (None, ServerKind::Transcribed) => {
                self.written_down(event.usage).await?;
                self.of_session(event).await
            }
            (None, _) => self.of_session(event).await,
        }
    }

    /// A turn has begun: the one that was asked for, the one that the server was allowed, or one that has to be allowed
    /// now.
    async fn begun(&mut self, event: &ServerEvent) -> Result<(), Goodbye> {
        let Some(id) = event.response.clone() else { return Ok(()) };
        let turn = match self.pending.take().or_else(|| self.armed.take()) {
            Some(turn) => Some(turn),
            None => match ClientEvent::plain_turn() {
                Ok(event) => self.begin(Task::Heard, event, None).await?.ok(),
                Err(_) => None,
            },
        };
        let Some(mut turn) = turn else {
            self.sender.cancel(&id).await.map_err(Goodbye::of)?;
            return Err(Goodbye::new(1008, "the server began a turn that is not allowed"));
        };
        turn.response = Some(id);
        turn.last = clock::now();
        self.turns.push(turn);
        Ok(())
    }

    async fn of_turn(&mut self, at: usize, event: ServerEvent, length: usize) -> Result<(), Goodbye> {
        let started = clock::now();
        let Some(turn) = self.turns.get_mut(at) else { return Ok(()) };
        turn.came(&event, length);
        let ended = event.ended;
        if turn.withheld.is_none()
            && let Err(fault) = event.tools.iter().try_for_each(|name| may_propose(&turn.exchange, name))
        {
            self.withhold(at, Arc::new(fault)).await?;
        }
        let Some(turn) = self.turns.get_mut(at) else { return Ok(()) };
        if turn.withheld.is_some() {
            return match ended {
                Some(_) => self.end_withheld(at).await,
                None => Ok(()),
            };
        }
        let failure = (ended == Some(Ended::Failed)).then(|| failure(&event));
        let (released, blocked) = look(turn, event, ended.is_some());
        turn.micros = turn.micros.saturating_add(clock::micros_since(started));
        if let Some(fault) = blocked {
            self.send_all(released).await?;
            self.withhold(at, Arc::new(fault)).await?;
            return if ended.is_some() { self.end_withheld(at).await } else { Ok(()) };
        }
        if ended.is_some() {
            // Settled and on record before the client hears of the end.
            let turn = self.turns.remove(at);
            if let Some(usage) = &turn.usage {
                self.context.turned(usage);
            }
            turn.end(failure.as_ref(), failure.is_none(), &self.context);
        }
        self.send_all(released).await
    }

    /// The rest of a turn does not pass: the server is told to stop, and the client why.
    async fn withhold(&mut self, at: usize, fault: Arc<Fault>) -> Result<(), Goodbye> {
        let Some(turn) = self.turns.get_mut(at) else { return Ok(()) };
        turn.withheld = Some(Arc::clone(&fault));
        let (id, about, call) = (turn.response.clone(), turn.event_id.clone(), turn.exchange.id.to_string());
        if let Some(id) = id {
            self.sender.cancel(&id).await.map_err(Goodbye::of)?;
        }
        self.tell(&fault, Some(&about), &call).await
    }

    /// The server has ended a turn that was withheld: what it used is known.
    async fn end_withheld(&mut self, at: usize) -> Result<(), Goodbye> {
        let turn = self.turns.remove(at);
        let fault = turn.withheld.clone();
        let (id, code) = (turn.response.clone(), fault.as_ref().map_or("internal", |fault| fault.code.as_str()));
        let told = failed_response(&id.unwrap_or_default(), code, &format!("event_{}", CallId::new()));
        if let Some(usage) = &turn.usage {
            self.context.turned(usage);
        }
        turn.end(fault.as_deref(), false, &self.context);
        self.push(Message::text(told)).await
    }

    /// The server refuses or fails: the turn that waits to begin, where the error is about it.
    async fn failed(&mut self, mut event: ServerEvent) -> Result<(), Goodbye> {
        if let Some(message) = &event.message {
            let clean = self.sender.scrub(message);
            if clean != *message && !event.replace_message(&clean) {
                return Ok(());
            }
        }
        let is_about = |turn: &Turn| event.about.as_deref() == Some(&*turn.event_id);
        if self.pending.as_ref().is_some_and(is_about)
            && let Some(turn) = self.pending.take()
        {
            let fault = failure(&event);
            // It was refused, and nothing was generated.
            let mut turn = turn;
            turn.usage = Some(Usage::default());
            turn.end(Some(&fault), true, &self.context);
        }
        self.push_event(event.body()).await
    }

    /// What was said was written down by another model: a call of its own.
    async fn written_down(&mut self, usage: Option<Usage>) -> Result<(), Goodbye> {
        let Some((model, target)) = self.transcriber.clone() else { return Ok(()) };
        let usage = usage.unwrap_or_default();
        let turning =
            Turning { model, tools: Vec::new(), input_tokens: usage.prompt_total(), max_output: Some(usage.output) };
        let Ok(event) = ClientEvent::plain_turn() else { return Ok(()) };
        match self.through(Task::Heard, event, turning, self.sender.of(target)).await {
            Ok(mut turn) => {
                turn.usage = Some(usage);
                turn.end(None, true, &self.context);
                Ok(())
            }
            Err((call, fault)) => {
                self.tell(&fault, None, &call).await?;
                Err(Goodbye::of(fault))
            }
        }
    }

    /// An event of no turn: looked at as a whole. What is blocked in it is withheld, and with what the caller said, so
    /// are the answers to it.
    async fn of_session(&mut self, mut event: ServerEvent) -> Result<(), Goodbye> {
        let Looked { rewrites, blocked } = self.look(event.segments());
        if let Some((finding, _)) = blocked {
            let fault = blocked_fault(&finding);
            if finding.origin == tidegate_core::segment::Origin::Prompt {
                for at in 0..self.turns.len() {
                    if self.turns.get(at).is_some_and(|turn| turn.withheld.is_none()) {
                        self.withhold(at, Arc::new(blocked_fault(&finding))).await?;
                    }
                }
            }
            return self.refuse(fault, None).await;
        }
        for (path, text) in rewrites {
            if !event.replace_segment(path, &text) {
                return Ok(());
            }
        }
        self.push_event(event.body()).await
    }

    async fn send_all(&mut self, events: Vec<Bytes>) -> Result<(), Goodbye> {
        for event in events {
            self.push_event(event).await?;
        }
        Ok(())
    }

    async fn push_event(&mut self, event: Bytes) -> Result<(), Goodbye> {
        let text = event.try_into().map_err(|_| Goodbye::new(1011, "an event is no text"))?;
        self.push(Message::Text(text)).await
    }

    /// The clocks of turns, and whether one was cut from outside.
    pub(super) async fn turn_clocks(&mut self, now: Instant) -> Result<(), Goodbye> {
        let times = self.sender.target().timeouts;
        if let Some(turn) = &self.pending
            && now.saturating_duration_since(turn.last) > times.first_event
        {
            let fault = Clock::FirstEvent(times.first_event).fault();
            self.tell(&fault, None, "").await?;
            return Err(Goodbye::of(fault));
        }
        for at in 0..self.turns.len() {
            let Some(turn) = self.turns.get(at) else { break };
            if now.saturating_duration_since(turn.last) > times.between_events {
                let fault = Clock::BetweenEvents(times.between_events).fault();
                self.tell(&fault, None, "").await?;
                return Err(Goodbye::of(fault));
            }
            if turn.exchange.cut.is_cancelled() && turn.withheld.is_none() {
                self.withhold(at, Arc::new(killed())).await?;
            }
        }
        Ok(())
    }
}

/// The fault that a server's own error is.
fn failure(event: &ServerEvent) -> Fault {
    let words = event.message.clone().unwrap_or_else(|| "The upstream failed.".to_owned());
    Fault::new(FaultCode::UpstreamError, words)
}

/// Lets the guards look at an event of a turn: what may leave now, and why nothing more may.
fn look(turn: &mut Turn, event: ServerEvent, last: bool) -> (Vec<Bytes>, Option<Fault>) {
    let mut out = Vec::new();
    let (whole, ends) = (!matches!(event.kind, ServerKind::Piece | ServerKind::Sound), event.is_end());
    let mut steps = Vec::with_capacity(2);
    if last {
        steps.push(turn.hold.flush());
    } else if whole && ends {
        steps.push(turn.hold.close_channels(ServerEvent::channels()));
    }
    let channel = event.channel();
    let texts: Vec<(u32, String, SegmentPath)> = event
        .segments()
        .iter()
        .zip(0_u32..)
        .map(|(segment, at)| {
            let channel = if whole { WHOLE.saturating_add(at) } else { channel };
            (channel, segment.text.clone().into_owned(), segment.path)
        })
        .collect();
    let pieces: Vec<(u32, &str)> = texts.iter().map(|(channel, text, _)| (*channel, text.as_str())).collect();
    let held = Held { event, paths: texts.iter().map(|(_, _, path)| *path).collect() };
    steps.push(if whole { turn.hold.push_whole(held, &pieces) } else { turn.hold.push(held, &pieces) });
    for step in steps {
        let (releases, blocked) = match step {
            Step::Released(releases) => (releases, None),
            Step::Blocked { finding, released } => (released, Some(blocked_fault(&finding))),
        };
        for release in releases {
            match rewritten(release) {
                Ok(bytes) => {
                    turn.leaves(&bytes);
                    out.push(bytes);
                }
                Err(fault) => return (out, Some(fault)),
            }
        }
        if blocked.is_some() {
            return (out, blocked);
        }
    }
    (out, None)
}

/// An event as it leaves. Where a guard changes words that are spoken at the same time, it cannot leave at all.
fn rewritten(release: Release<Held>) -> Result<Bytes, Fault> {
    let Held { mut event, paths } = release.frame;
    let Some(texts) = release.rewritten else { return Ok(event.body()) };
    if event.is_spoken() {
        return Err(Fault::new(
            FaultCode::GuardrailBlocked,
            "A guardrail found something in what the model says aloud, where nothing can be taken out: ask for text.",
        ));
    }
    for (at, text) in texts {
        let changed = paths.get(at).is_some_and(|path| event.replace_segment(*path, &text));
        if !changed {
            return Err(Fault::new(FaultCode::Internal, "What a guardrail found could not be taken out of an event."));
        }
    }
    Ok(event.body())
}
