//! One turn of a live session: a call with proofs of its own, from the moment it is allowed to its outcome.
//!
//! Owns the call's exchange and the window over its words. It ends once, on every way out.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tidegate_core::{
    clock,
    event::{Stage, StageEvent, StageVerdict},
    facts::GuardAction,
    fault::{Fault, FaultCode},
    ids::Digester,
    segment::{Origin, SegmentPath},
    usage::{Usage, UsageSource},
};
use tidegate_guard::Hold;
use tidegate_protocol::{
    call::Call,
    native::{NativeCall, Task},
    realtime::{ClientEvent, Context, ServerEvent, Turning},
};
use tidegate_upstream::{AnswerBody, LegSender};

use super::{Goodbye, Session};
use crate::{
    exchange::{Ending, Exchange},
    pipeline::{Passed, onward},
    stage::{admit::admit, decode::tell, guard_request::add, identify::identify},
    traced::OfCall,
};

/// An event that waits for guards.
pub(super) struct Held {
    pub(super) event: ServerEvent,
    /// Where its texts stand.
    pub(super) paths: Vec<SegmentPath>,
}

/// One turn.
pub(super) struct Turn {
    pub(super) exchange: Exchange,
    pub(super) hold: Hold<Held>,
    /// The server's name for it.
    pub(super) response: Option<String>,
    /// What the event that asked for it is called.
    pub(super) event_id: String,
    /// What it was decided and reserved by.
    pub(super) input_tokens: u64,
    pub(super) usage: Option<Usage>,
    /// Why the rest of it is withheld.
    pub(super) withheld: Option<Arc<Fault>>,
    /// When it was asked for, and when something of it last came.
    pub(super) last: Instant,
    pub(super) micros: u32,
    /// Characters of text and of sound that came.
    text: usize,
    sound: usize,
    digester: Digester,
}

impl Turn {
    fn new(exchange: Exchange, event_id: String, input_tokens: u64) -> Self {
        let chain = exchange.caller.as_ref().map(|caller| caller.chain.clone()).unwrap_or_default();
        let tokens = exchange.tokens.clone();
        Self {
            hold: Hold::new(chain, Origin::Completion).restoring(tokens),
            exchange,
            response: None,
            event_id,
            input_tokens,
            usage: None,
            withheld: None,
            last: clock::now(),
            micros: 0,
            text: 0,
            sound: 0,
            digester: Digester::new(),
        }
    }

    /// Counts what came.
    pub(super) fn came(&mut self, event: &ServerEvent, bytes: usize) {
        use tidegate_protocol::realtime::ServerKind;
        self.last = clock::now();
        match event.kind {
            ServerKind::Piece => {
                self.text = self.text.saturating_add(event.segments().iter().map(|s| s.text.len()).sum())
            }
            ServerKind::Sound => self.sound = self.sound.saturating_add(bytes),
            _ => {}
        }
        if event.usage.is_some() {
            self.usage = event.usage;
        }
    }

    /// What leaves for the client.
    pub(super) fn leaves(&mut self, bytes: &Bytes) {
        self.digester.update(bytes);
        self.exchange.keep_response(bytes);
    }

    /// Ends it.
    pub(super) fn end(mut self, fault: Option<&Fault>, complete: bool, context: &Context) {
        let found = self.hold.verdicts().to_vec();
        let changed = found.iter().any(|verdict| verdict.action > GuardAction::Label);
        add(&mut self.exchange.story.verdicts, found);
        let verdict = if changed { StageVerdict::Changed } else { StageVerdict::Pass };
        let micros = self.micros;
        self.exchange.report(StageEvent { stage: Stage::GuardResponse, verdict, micros, detail: None });
        let usage = self.usage.unwrap_or_else(|| self.estimated());
        self.exchange.story.usage = Some(usage);
        self.exchange.story.response_digest = Some(std::mem::replace(&mut self.digester, Digester::new()).digest());
        if context.is_unread() {
            self.exchange.story.losses.push(Arc::from("not_inspected /sound_or_pictures_of_the_caller"));
        }
        if self.sound > 0 {
            self.exchange.story.losses.push(Arc::from("not_inspected /sound_of_the_model"));
        }
        self.exchange.end(&Ending { status: 200, fault, complete });
    }

    /// Ends it where the session ends first; without a fault, the client has left.
    pub(super) fn abandon(self, fault: Option<&Fault>, context: &Context) {
        let withheld = self.withheld.clone();
        match withheld.as_deref().or(fault) {
            Some(fault) => self.end(Some(fault), false, context),
            None => {
                let mut turn = self;
                turn.exchange.story.usage = Some(turn.usage.unwrap_or_else(|| turn.estimated()));
                turn.exchange.end(&Ending { status: 499, fault: None, complete: false });
            }
        }
    }

    /// Ends it where the server never began it: nothing was used.
    pub(super) fn unused(mut self) {
        self.exchange.story.usage = Some(Usage { source: UsageSource::Vendor, ..Usage::default() });
        self.exchange.end(&Ending { status: 200, fault: None, complete: true });
    }

    /// What it used where the server does not say so: all that it was asked with, a token for every four bytes of text
    /// that came, and one for each twentieth of a second of sound.
    fn estimated(&self) -> Usage {
        let tokens = |count: usize, each: usize| u64::try_from(count.div_ceil(each)).unwrap_or(u64::MAX);
        let audio_output = tokens(self.sound, 3_200);
        let output = tokens(self.text, 4).saturating_add(audio_output);
        Usage { input: self.input_tokens, output, audio_output, source: UsageSource::Estimated, ..Usage::default() }
    }
}

impl Session {
    /// Takes a turn through the pipeline. `Ok(Err(()))` where it was refused, and the client told so.
    pub(super) async fn begin(
        &mut self,
        task: Task,
        event: ClientEvent,
        about: Option<Arc<str>>,
    ) -> Result<Result<Turn, ()>, Goodbye> {
        let turning = self.context.turning(self.model.clone(), &event);
        let sender = self.sender.clone();
        match self.through(task, event, turning, sender).await {
            Ok(turn) => Ok(Ok(turn)),
            Err((call, fault)) => {
                self.tell(&fault, about.as_deref(), &call).await?;
                match fault.code {
                    FaultCode::Unauthenticated | FaultCode::Killed => Err(Goodbye::of(fault)),
                    _ => Ok(Err(())),
                }
            }
        }
    }

    /// A call of this session through the pipeline; it is ended where it is refused.
    pub(super) async fn through(
        &mut self,
        task: Task,
        event: ClientEvent,
        turning: Turning,
        sender: LegSender,
    ) -> Result<Turn, (String, Fault)> {
        let mut exchange = self.exchange();
        let event_id = event.event_id().map_or_else(|| exchange.id.to_string(), |id| id.to_string());
        let input_tokens = turning.input_tokens;
        let call = Call::Native(Box::new(NativeCall::turn(task, event, turning)));
        exchange.live = Some(sender);
        exchange.story.verdicts = std::mem::take(&mut self.verdicts);
        let (id, trace) = (exchange.id, exchange.trace);
        let (mut exchange, result) = OfCall::new(id, trace, async move {
            let result = passed(&mut exchange, call).await;
            (exchange, result)
        })
        .await;
        match result {
            Ok(()) => {
                if let Some(caller) = &exchange.caller {
                    self.caller = caller.clone();
                }
                Ok(Turn::new(exchange, event_id, input_tokens))
            }
            Err(fault) => {
                exchange.end(&Ending { status: fault.status, fault: Some(&fault), complete: true });
                Err((id.to_string(), fault))
            }
        }
    }
}

/// The stages before an answer, on a call that is read already.
async fn passed(exchange: &mut Exchange, call: Call) -> Result<(), Fault> {
    admit(exchange)?;
    let caller = identify(exchange)?;
    tell(exchange, &call);
    match onward(exchange, &caller, call).await? {
        Passed::Answer(answer) if matches!(answer.body, AnswerBody::Turn) => Ok(()),
        _ => Err(Fault::new(FaultCode::Internal, "A turn was answered by something else.")),
    }
}
