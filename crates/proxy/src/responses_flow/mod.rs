//! The Responses API over a client's WebSocket: each `response.create` is a call like any other, and its events leave as
//! frames.
//!
//! Owns the socket from the moment it is agreed to: its clocks, its end, the queue of what is asked, and the memory of
//! what was answered. What goes on from an answer of this socket is asked with the whole conversation, so that policy,
//! guards and budgets see all of it and any provider can answer. Decides nothing itself: every call passes the pipeline.

mod answer;

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, header};
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
};
use tidegate_protocol::llm::socket::{Create, Ended, Memory, NoCreate, on_lane, too_old};
use tidegate_upstream::Provider;
use tokio_tungstenite::tungstenite::{Bytes as SocketBytes, Message, protocol::WebSocketConfig};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::{Caller, Exchange},
    gate::Gate,
    respond::Body,
    socket::{
        self, Begun, Clocks, Due, Frame, GOODBYE, Goodbye, MOST_WRONG, Socket, heard, lasting, leave, still_valid,
    },
    stage::dispatch::killed,
    surface::Surface,
};
use answer::{Answering, Asked, Said};

/// The longest session: the vendor ends its own after an hour.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How often clocks are looked at.
const TICK: Duration = Duration::from_secs(5);

/// The most frames that wait while an answer is given; more are not read until there is room.
const MOST_WAITING: usize = 16;

/// The most that a session remembers of what it answered, in bytes.
const MOST_REMEMBERED: usize = 16 * 1024 * 1024;

/// The header that asks for this form of the API, which means nothing over HTTP.
const BETA: &str = "openai-beta";

/// Agrees to the socket, and runs it.
pub(crate) fn open(mut exchange: Exchange, caller: Caller) -> Response<Body> {
    let largest = exchange.snapshot.body_limit;
    let calls = Calls {
        gate: Arc::clone(&exchange.gate),
        surface: exchange.surface,
        headers: of_each_call(&exchange.headers),
        address: exchange.address,
        pinned: exchange.pinned.clone(),
    };
    let run = move |begun: Option<Begun>| async move {
        let Some(Begun { socket, cut, stop, clocks }) = begun else { return };
        let (memory, waiting) = (Memory::new(MOST_REMEMBERED.min(largest)), VecDeque::new());
        let session =
            Session { calls, caller, socket, largest, cut, stop, waiting, answering: None, memory, wrong: 0, clocks };
        Box::pin(session.run()).await;
    };
    socket::open(&mut exchange, HeaderMap::new(), ("session of answers", bounds(largest)), run)
}

/// What a frame may be: as large as a body over HTTP.
fn bounds(largest: usize) -> WebSocketConfig {
    let mut bounds = WebSocketConfig::default();
    bounds.max_message_size = Some(largest);
    bounds.max_frame_size = Some(largest);
    bounds.read_buffer_size = 16 * 1024;
    bounds.write_buffer_size = 0;
    bounds
}

/// The headers of the calls on a socket.
fn of_each_call(headers: &HeaderMap) -> HeaderMap {
    let mut headers = lasting(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let betas = headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let others: Vec<&str> =
        betas.map(str::trim).filter(|beta| !beta.is_empty() && !beta.starts_with("responses_websockets")).collect();
    let others = HeaderValue::from_str(&others.join(",")).ok().filter(|value| !value.is_empty());
    headers.remove(BETA);
    if let Some(others) = others {
        headers.insert(BETA, others);
    }
    headers
}

/// What all calls of a session have in common.
struct Calls {
    gate: Arc<Gate>,
    surface: Surface,
    headers: HeaderMap,
    address: IpAddr,
    pinned: Option<Arc<Provider>>,
}

impl Calls {
    fn begin(&self) -> Exchange {
        let mut exchange = Exchange::begin(Arc::clone(&self.gate), self.surface, self.headers.clone(), self.address);
        exchange.pinned = self.pinned.clone();
        exchange
    }
}

/// One session.
struct Session {
    calls: Calls,
    caller: Caller,
    socket: Socket,
    /// The largest frame, in bytes.
    largest: usize,
    cut: CancellationToken,
    stop: CancellationToken,
    /// Asked for, and not yet begun.
    waiting: VecDeque<Result<Create, NoCreate>>,
    answering: Option<Answering>,
    memory: Memory,
    wrong: u32,
    clocks: Clocks,
}

/// What happens next.
enum Next {
    Cut,
    Stop,
    Tick,
    Said(Option<Said>),
    Client(Frame),
}

impl Session {
    async fn run(mut self) {
        let goodbye = self.converse().await;
        let parting = async {
            if goodbye.fault.as_ref().is_some_and(|fault| fault.code == FaultCode::Killed) {
                self.let_it_end().await;
            }
            // What is under way ends with its session.
            self.answering = None;
            leave(self.socket, goodbye).await;
        };
        // What takes longer is dropped with its socket.
        let _ = tokio::time::timeout(GOODBYE, parting).await;
    }

    async fn converse(&mut self) -> Goodbye {
        let mut stopping = false;
        loop {
            if self.answering.is_none() {
                if stopping {
                    return Goodbye::new(1001, "the gateway stops");
                }
                self.begin();
            }
            let waits: usize = self.waiting.iter().map(|asked| asked.as_ref().map_or(0, Create::length)).sum();
            let may_ask = self.waiting.len() < MOST_WAITING && waits < self.largest;
            let Self { cut, stop, socket, answering, .. } = self;
            let next = tokio::select! {
                () = cut.cancelled() => Next::Cut,
                () = stop.cancelled(), if !stopping => Next::Stop,
                said = next_of(answering) => Next::Said(said),
                frame = socket.next(), if may_ask => Next::Client(frame),
                () = tokio::time::sleep(TICK) => Next::Tick,
            };
            stopping |= matches!(next, Next::Stop);
            // Whoever takes nothing does not keep a session from being cut.
            let cut = self.cut.clone();
            let done = tokio::select! {
                biased;
                () = cut.cancelled() => Err(Goodbye::of(killed())),
                done = self.take(next, may_ask) => done,
            };
            if let Err(goodbye) = done {
                return goodbye;
            }
        }
    }

    async fn take(&mut self, next: Next, listening: bool) -> Result<(), Goodbye> {
        match next {
            Next::Cut => Err(Goodbye::of(killed())),
            Next::Stop => Ok(()),
            Next::Tick => self.look_at_clocks(listening).await,
            Next::Said(said) => self.said(said).await,
            Next::Client(frame) => self.asked(frame),
        }
    }

    /// Begins the next answer that was asked for, if one was.
    fn begin(&mut self) {
        let Some(asked) = self.waiting.pop_front() else { return };
        let asked = match asked {
            Err(NoCreate { error, lane }) => Asked::Refused(Fault::invalid(error.pointer, error.message), lane),
            Ok(create) => {
                let before = create.previous().and_then(|id| self.memory.find(id));
                Asked::Create(Box::new(create), before)
            }
        };
        self.answering = Some(Answering::begin(self.calls.begin(), asked));
    }

    /// Takes a frame of the client.
    fn asked(&mut self, frame: Frame) -> Result<(), Goodbye> {
        let now = clock::now();
        self.clocks.heard(now);
        let largest = "a frame may be as large as a body (limits.body)";
        let Some(bytes) = heard(frame, largest)? else { return Ok(()) };
        self.clocks.spoke(now);
        let create = Create::read(bytes);
        if create.is_err() {
            self.wrong = self.wrong.saturating_add(1);
            if self.wrong > MOST_WRONG {
                return Err(Goodbye::new(1008, "too much went wrong"));
            }
        }
        self.waiting.push_back(create);
        Ok(())
    }

    /// Sends what an answer says, and remembers how it ends.
    async fn said(&mut self, said: Option<Said>) -> Result<(), Goodbye> {
        self.clocks.spoke(clock::now());
        let Some(answering) = &mut self.answering else { return Ok(()) };
        match said {
            Some(Said { event, ended }) => {
                if let Some(Ended { id, output }) = ended
                    && let Some(conversation) = answering.conversation(&output)
                {
                    self.memory.keep(id, conversation);
                }
                let event = on_lane(event, answering.lane());
                self.push_event(event).await
            }
            None => {
                let unauthenticated = answering.is_unauthenticated();
                self.answering = None;
                if unauthenticated {
                    let words = "The key of this session is no longer valid.";
                    return Err(Goodbye::of(Fault::new(FaultCode::Unauthenticated, words)));
                }
                Ok(())
            }
        }
    }

    /// Lets what is under way say why it ends, where the session was cut.
    async fn let_it_end(&mut self) {
        let Some(mut answering) = self.answering.take() else { return };
        answering.cut();
        while let Some(said) = answering.next().await {
            let event = on_lane(said.event, answering.lane());
            if self.push_event(event).await.is_err() {
                return;
            }
        }
    }

    async fn look_at_clocks(&mut self, listening: bool) -> Result<(), Goodbye> {
        match self.clocks.due(clock::now(), LONGEST, self.answering.is_none(), listening) {
            Some(Due::Old) => {
                let words = "A connection lasts an hour: open another, and send the whole conversation.";
                self.push_event(too_old(words).into()).await?;
                Err(Goodbye::new(1001, "a session may last an hour"))
            }
            Some(Due::Idle) => Err(Goodbye::idle()),
            Some(Due::Silent) => Err(Goodbye::gone()),
            Some(Due::Ping) => {
                still_valid(&self.calls.gate, &self.caller.principal)?;
                self.push(Message::Ping(SocketBytes::new())).await
            }
            None => Ok(()),
        }
    }

    async fn push_event(&mut self, event: Bytes) -> Result<(), Goodbye> {
        let text = event.try_into().map_err(|_| Goodbye::new(1011, "an event is no text"))?;
        self.push(Message::Text(text)).await
    }

    async fn push(&mut self, message: Message) -> Result<(), Goodbye> {
        self.socket.send(message).await.map_err(|_| Goodbye::gone())
    }
}

/// What the answer under way says next; without one, nothing ever.
async fn next_of(answering: &mut Option<Answering>) -> Option<Said> {
    match answering {
        Some(answering) => answering.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_on_a_socket_keep_what_is_not_the_connections() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("upgrade", "websocket"),
            ("idempotency-key", "x"),
            ("openai-beta", "responses_websockets=2026-02-06, other=v1"),
            ("x-tidegate-session", "s"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let kept = of_each_call(&headers);
        assert_eq!(kept.get(BETA).unwrap(), "other=v1");
        assert_eq!(kept.get("x-tidegate-session").unwrap(), "s");
        assert!(!kept.contains_key("upgrade") && !kept.contains_key("idempotency-key"));
        headers.insert(BETA, HeaderValue::from_static("responses_websockets=v2"));
        assert!(!of_each_call(&headers).contains_key(BETA));
    }
}
