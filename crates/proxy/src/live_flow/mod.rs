//! Live sessions: a client's WebSocket on one side, a provider's on the other, and every turn between them a call.
//!
//! Owns the session from the moment it is open: its clocks, its end, and what each side may send. What asks for a turn
//! goes through the pipeline, with a permit, a reservation and an intent of its own; so does, before the sound is passed
//! on, what a server that listens may begin by itself. Everything else a client sends is looked at by guards and is
//! relayed. Never sends anything to a provider by itself: `upstream` does.

mod client;
mod server;
mod turn;

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Response};
use tidegate_core::{
    clock,
    facts::{Action, GuardAction, GuardVerdict},
    fault::{Fault, FaultCode, FaultOrigin},
    ids::ModelName,
    segment::{Segment, SegmentPath},
};
use tidegate_guard::{Finding, redact, verdicts};
use tidegate_protocol::realtime::{Context, refusal_event};
use tidegate_upstream::{LegSender, LiveLeg, Said, Target, live::socket_bounds};
use tokio_tungstenite::tungstenite::{Bytes as SocketBytes, Message};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::{Caller, Ending, Exchange},
    gate::Gate,
    respond::{self, Body},
    socket::{
        self, Begun, Clocks, Due, Frame, GOODBYE, Goodbye, MOST_WRONG, Socket, heard, lasting, leave, no_socket,
        still_valid,
    },
    stage::{dispatch::killed, guard_request::add, identify::identify},
    surface::Surface,
};
use turn::Turn;

/// The longest session: vendors end theirs after an hour.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// How often clocks are looked at, with a turn under way and without.
const TICK: Duration = Duration::from_millis(500);
const SLOW_TICK: Duration = Duration::from_secs(5);

/// Events that may be refused before the session ends.
const MOST_REFUSED: u32 = 256;

/// Turns that may be under way at a time.
const MOST_TURNS: usize = 8;

/// One session.
struct Session {
    gate: Arc<Gate>,
    surface: Surface,
    headers: HeaderMap,
    address: IpAddr,
    caller: Caller,
    /// The model as the caller named it.
    model: ModelName,
    socket: Socket,
    leg: LiveLeg,
    sender: LegSender,
    context: Context,
    /// The model that writes down what is said.
    transcriber: Option<(ModelName, Arc<Target>)>,
    cut: CancellationToken,
    stop: CancellationToken,
    /// Asked for, and not yet begun.
    pending: Option<Turn>,
    /// Allowed, for the server to begin by itself.
    armed: Option<Turn>,
    turns: Vec<Turn>,
    /// What guards found since the last turn.
    verdicts: Vec<GuardVerdict>,
    wrong: u32,
    refused: u32,
    clocks: Clocks,
}

/// Agrees to the session that `leg` is one end of, and runs it.
pub(crate) fn open(mut exchange: Exchange, vendor: HeaderMap, leg: Box<LiveLeg>) -> Response<Body> {
    let (Some(caller), Some(model)) = (exchange.caller.clone(), exchange.story.asked.clone()) else {
        return respond::refusal(&mut exchange, no_socket());
    };
    let headers = lasting(&exchange.headers);
    let (gate, surface, address) = (Arc::clone(&exchange.gate), exchange.surface, exchange.address);
    let run = move |begun: Option<Begun>| async move {
        let sender = leg.sender();
        let Some(Begun { socket, cut, stop, clocks }) = begun else { return sender.close().await };
        let session = Session {
            gate,
            surface,
            headers,
            address,
            caller,
            model: ModelName::from(model),
            sender,
            leg: *leg,
            socket,
            context: Context::default(),
            transcriber: None,
            cut,
            stop,
            pending: None,
            armed: None,
            turns: Vec::new(),
            verdicts: Vec::new(),
            wrong: 0,
            refused: 0,
            clocks,
        };
        Box::pin(session.run()).await;
    };
    socket::open(&mut exchange, vendor, ("live session", socket_bounds()), run)
}

/// What guards found in an event that is looked at as a whole.
#[derive(Default)]
struct Looked {
    rewrites: Vec<(SegmentPath, String)>,
    blocked: Option<(Finding, SegmentPath)>,
}

/// What happens next.
enum Next {
    Cut,
    Stop,
    Tick,
    Server(Option<Result<Said, Fault>>),
    Client(Frame),
}

impl Session {
    async fn run(mut self) {
        let mut goodbye = self.converse().await;
        let ended = || Fault::new(FaultCode::UpstreamUnavailable, "The live session ended before this turn did.");
        let fault = goodbye.fault.take().unwrap_or_else(|| Box::new(ended()));
        let left = goodbye.is_gone();
        for turn in self.pending.take().into_iter().chain(self.turns.drain(..)) {
            turn.abandon(if left { None } else { Some(&fault) }, &self.context);
        }
        if let Some(armed) = self.armed.take() {
            armed.unused();
        }
        let killed = fault.code == FaultCode::Killed;
        let parting = async {
            if !left && killed && self.tell(&fault, None, "").await.is_err() {
                tracing::debug!("the client of a session that was cut takes nothing");
            }
            let Self { socket, sender, .. } = self;
            leave(socket, goodbye).await;
            sender.close().await;
        };
        // What takes longer is dropped with its sockets.
        let _ = tokio::time::timeout(GOODBYE, parting).await;
    }

    async fn converse(&mut self) -> Goodbye {
        let mut stopping = false;
        loop {
            if stopping && self.turns.is_empty() && self.pending.is_none() {
                return Goodbye::new(1001, "the gateway stops");
            }
            let busy = self.pending.is_some() || !self.turns.is_empty();
            let tick = if busy { TICK } else { SLOW_TICK };
            let (may_ask, listening) = (self.pending.is_none() && self.turns.len() < MOST_TURNS, !stopping);
            let next = tokio::select! {
                () = self.cut.cancelled() => Next::Cut,
                () = self.stop.cancelled(), if listening => Next::Stop,
                said = self.leg.next() => Next::Server(said),
                frame = self.socket.next(), if may_ask => Next::Client(frame),
                () = tokio::time::sleep(tick) => Next::Tick,
            };
            stopping |= matches!(next, Next::Stop);
            // Whoever takes nothing does not keep a session from being cut.
            let cut = self.cut.clone();
            let done = tokio::select! {
                biased;
                () = cut.cancelled() => Err(Goodbye::of(killed())),
                done = self.take(next) => done,
            };
            if let Err(goodbye) = done {
                return goodbye;
            }
        }
    }

    async fn take(&mut self, next: Next) -> Result<(), Goodbye> {
        match next {
            Next::Cut => Err(Goodbye::of(killed())),
            Next::Stop => Ok(()),
            Next::Tick => self.look_at_clocks().await,
            Next::Server(said) => self.heard_of_server(said).await,
            Next::Client(frame) => self.heard_of_client(frame).await,
        }
    }

    async fn heard_of_server(&mut self, said: Option<Result<Said, Fault>>) -> Result<(), Goodbye> {
        self.clocks.spoke(clock::now());
        match said {
            Some(Ok(Said::Event(bytes))) => self.server_event(bytes).await,
            Some(Ok(Said::Closed(code, reason))) => {
                let fault = Fault::new(FaultCode::UpstreamUnavailable, "The upstream ended the live session.");
                // Codes that no frame may carry are ours to name.
                let code = if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) { code } else { 1011 };
                let reason = self.sender.scrub(&reason).chars().take(100).collect();
                Err(Goodbye { code, reason, fault: Some(Box::new(fault)) })
            }
            Some(Err(fault)) => {
                self.tell(&fault, None, "").await?;
                Err(Goodbye::of(fault))
            }
            None => Err(Goodbye::of(Fault::new(
                FaultCode::UpstreamUnavailable,
                "The upstream's connection broke in the live session.",
            ))),
        }
    }

    async fn heard_of_client(&mut self, frame: Frame) -> Result<(), Goodbye> {
        let now = clock::now();
        self.clocks.heard(now);
        let Some(event) = heard(frame, "an event may have 4 MiB")? else { return Ok(()) };
        self.clocks.spoke(now);
        self.client_event(event).await
    }

    async fn look_at_clocks(&mut self) -> Result<(), Goodbye> {
        let now = clock::now();
        // While a turn waits to begin, the client is not listened to.
        let due = self.clocks.due(now, LONGEST, true, self.pending.is_none());
        match due {
            Some(Due::Old) => return Err(Goodbye::new(1001, "a session may last two hours")),
            Some(Due::Idle) => return Err(Goodbye::idle()),
            Some(Due::Silent) => return Err(Goodbye::gone()),
            Some(Due::Ping) | None => self.turn_clocks(now).await?,
        }
        if due == Some(Due::Ping) {
            still_valid(&self.gate, &self.caller.principal)?;
            self.sender.ping().await.map_err(Goodbye::of)?;
            self.push(Message::Ping(SocketBytes::new())).await?;
        }
        Ok(())
    }

    async fn push(&mut self, message: Message) -> Result<(), Goodbye> {
        self.socket.send(message).await.map_err(|_| Goodbye::gone())
    }

    /// Lets the guards look at texts of an event of no turn. What was found is told with the next turn. What would be a
    /// token for a model is taken out: no turn would give it back.
    fn look(&mut self, segments: Vec<Segment<'_>>) -> Looked {
        let chain = Arc::clone(&self.caller.chain);
        let watch = chain.watch();
        let mut looked = Looked::default();
        for segment in segments {
            if !chain.applies(segment.origin) {
                continue;
            }
            let findings = chain.scan_named(segment.origin, segment.name.as_deref(), &segment.text, &watch);
            if findings.is_empty() {
                continue;
            }
            add(&mut self.verdicts, verdicts(&findings));
            if let Some(finding) = findings.iter().find(|finding| finding.action == GuardAction::Block) {
                looked.blocked.get_or_insert_with(|| (finding.clone(), segment.path));
            } else if findings.iter().any(Finding::is_enforced) {
                looked.rewrites.push((segment.path, redact(&segment.text, &findings)));
            }
        }
        looked
    }

    /// Tells the client of a fault, in the form of an event.
    async fn tell(&mut self, fault: &Fault, about: Option<&str>, call: &str) -> Result<(), Goodbye> {
        let kind = match fault.origin() {
            FaultOrigin::Client | FaultOrigin::Policy => "invalid_request_error",
            FaultOrigin::Upstream | FaultOrigin::Internal => "server_error",
        };
        let mut message = fault.public_message.clone();
        if let Some(pointer) = fault.pointer.as_ref().filter(|pointer| !pointer.is_empty()) {
            message.push_str(&format!(" (at {pointer})"));
        }
        if !call.is_empty() {
            message.push_str(&format!(" [{call}]"));
        }
        let id = format!("event_{}", tidegate_core::ids::CallId::new());
        let event = refusal_event(kind, fault.code.as_str(), &message, about, &id);
        self.push(Message::text(event)).await
    }

    /// Puts on record that an event was refused, and tells the client.
    async fn refuse(&mut self, fault: Fault, about: Option<&str>) -> Result<(), Goodbye> {
        let mut exchange = self.exchange();
        exchange.story.action = Some(Action::InvokeModel);
        exchange.story.operation = "realtime";
        exchange.story.resource = Arc::from(self.model.as_str());
        exchange.story.verdicts = std::mem::take(&mut self.verdicts);
        let known = identify(&mut exchange);
        let call = exchange.id.to_string();
        let fault = known.err().unwrap_or(fault);
        exchange.end(&Ending { status: fault.status, fault: Some(&fault), complete: true });
        drop(exchange);
        self.tell(&fault, about, &call).await?;
        self.refused = self.refused.saturating_add(1);
        if self.refused >= MOST_REFUSED {
            return Err(Goodbye::new(1008, "too much was refused"));
        }
        match fault.code {
            FaultCode::Unauthenticated | FaultCode::Killed => Err(Goodbye::of(fault)),
            _ => Ok(()),
        }
    }

    /// A call of this session.
    fn exchange(&self) -> Exchange {
        Exchange::begin(Arc::clone(&self.gate), self.surface, self.headers.clone(), self.address)
    }
}
