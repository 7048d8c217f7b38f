//! A client's WebSocket (RFC 6455), whatever is spoken on it: how it is agreed to, what a frame may be, whose key holds
//! it, by which clocks it ends, and how it is left.
//!
//! Owns nothing but these rules. Decides about no call. Called by the sessions that run on sockets: `live_flow` and
//! `responses_flow`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, FaultOrigin},
    principal::Principal,
};
use tidegate_upstream::task;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as SocketError, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Exchange,
    gate::Gate,
    respond::{self, Body},
    surface::realtime::Upgrading,
};

/// After this long without a word of either side, a session ends.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How often each side is asked for a sign of life, and how long it may give none.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(65);

/// Frames that a client may get wrong before the session ends.
pub(crate) const MOST_WRONG: u32 = 16;

/// How long saying goodbye may take.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a client's WebSocket gives next.
pub(crate) type Frame = Option<Result<Message, SocketError>>;

/// What is about the first request alone.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "upgrade",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "content-length",
    "idempotency-key",
    "x-tidegate-timeout-ms",
    "x-tidegate-cache",
    "x-tidegate-call-id",
];

/// The headers of the first request as far as they hold for the calls on its socket.
pub(crate) fn lasting(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers
}

/// A connection that cannot become a WebSocket.
pub(crate) fn no_socket() -> Fault {
    Fault::new(FaultCode::InvalidRequest, "This connection cannot become a WebSocket: use HTTP/1.1.")
}

/// A socket that was agreed to, for the session that runs on it.
pub(crate) struct Begun {
    pub(crate) socket: Socket,
    /// Somebody cuts the session from outside.
    pub(crate) cut: CancellationToken,
    /// The gateway stops.
    pub(crate) stop: CancellationToken,
    pub(crate) clocks: Clocks,
}

/// Agrees to the socket that `exchange` asks for, with the headers of a `vendor`, which ends the exchange; and runs what
/// `session` makes of it. A client that left before it began gives `None`.
pub(crate) fn open<S: Future<Output = ()> + Send + 'static>(
    exchange: &mut Exchange,
    vendor: HeaderMap,
    (name, bounds): (&'static str, WebSocketConfig),
    session: impl FnOnce(Option<Begun>) -> S + Send + 'static,
) -> Response<Body> {
    let Some(upgrading) = exchange.upgrading.take() else { return respond::refusal(exchange, no_socket()) };
    let Upgrading { on, key, named, kept } = *upgrading;
    // The session stays in the registry for as long as it lasts, so that it can be cut from outside.
    let (entered, cut) = (exchange.entered.take(), exchange.cut.clone());
    let response = agreed(exchange, vendor, &key, named);
    task::spawn(name, async move {
        let begun = match on.await {
            Ok(upgraded) => {
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(bounds)).await;
                Some(Begun { socket, cut, stop: kept.stop.clone(), clocks: Clocks::begin(clock::now()) })
            }
            Err(error) => {
                tracing::debug!(%error, "a client left before its session began");
                None
            }
        };
        session(begun).await;
        drop((entered, kept));
    });
    response
}

/// The agreement to a WebSocket whose client challenged with `key`, and wants its protocol named. Ends the exchange.
fn agreed(exchange: &mut Exchange, vendor: HeaderMap, key: &HeaderValue, named: bool) -> Response<Body> {
    let mut response = respond::switching(exchange, vendor);
    let headers = response.headers_mut();
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if named {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    }
    response
}

/// When a session began, when its client was last heard of, when anybody last said something, and when signs of life
/// were last asked for.
#[derive(Debug)]
pub(crate) struct Clocks {
    began: Instant,
    heard: Instant,
    spoke: Instant,
    pinged: Instant,
}

/// What a session's clocks say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has lasted as long as it may.
    Old,
    /// Nobody has said anything for too long.
    Idle,
    /// Its client gives no sign of life.
    Silent,
    /// Signs of life are to be asked for.
    Ping,
}

impl Clocks {
    fn begin(now: Instant) -> Self {
        Self { began: now, heard: now, spoke: now, pinged: now }
    }

    /// The client was heard of, be it only a sign of life.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Either side said something.
    pub(crate) fn spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// What is due at `now`. A session lasts for `longest` and may be idle only while it is `resting`, and a client can
    /// give signs of life only while it is listened to. That signs of life are due is said once.
    pub(crate) fn due(&mut self, now: Instant, longest: Duration, resting: bool, listening: bool) -> Option<Due> {
        let since = |then: Instant| now.saturating_duration_since(then);
        if resting && since(self.began) > longest {
            return Some(Due::Old);
        }
        if resting && since(self.spoke) > IDLE {
            return Some(Due::Idle);
        }
        if listening && since(self.heard) > SILENCE {
            return Some(Due::Silent);
        }
        if since(self.pinged) > PING {
            self.pinged = now;
            return Some(Due::Ping);
        }
        None
    }
}

/// How a session ends: the code and the words of the last frame (RFC 6455, section 7.4), and what became of what was
/// under way.
pub(crate) struct Goodbye {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) fault: Option<Box<Fault>>,
}

impl Goodbye {
    pub(crate) fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), fault: None }
    }

    /// The end for a fault: whoever is not allowed is told so, and what broke is told as such.
    pub(crate) fn of(fault: Fault) -> Self {
        let code = match fault.origin() {
            FaultOrigin::Client | FaultOrigin::Policy => 1008,
            FaultOrigin::Upstream | FaultOrigin::Internal => 1011,
        };
        Self { code, reason: fault.code.as_str().to_owned(), fault: Some(Box::new(fault)) }
    }

    /// The client is not there any more.
    pub(crate) fn gone() -> Self {
        Self::new(1006, "")
    }

    /// Nobody has said anything for too long.
    pub(crate) fn idle() -> Self {
        Self::new(1001, "nobody said anything for fifteen minutes")
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.code == 1006
    }
}

/// The text of a frame; nothing where it is no message.
pub(crate) fn heard(frame: Frame, largest: &str) -> Result<Option<Bytes>, Goodbye> {
    match frame {
        Some(Ok(Message::Text(text))) => Ok(Some(text.into())),
        Some(Ok(Message::Binary(_))) => Err(Goodbye::new(1003, "events are JSON texts")),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Close(_))) => Err(Goodbye::new(1000, "")),
        Some(Err(SocketError::Capacity(_))) => Err(Goodbye::new(1009, largest)),
        Some(Err(SocketError::Protocol(_) | SocketError::Utf8(_))) => Err(Goodbye::new(1002, "no WebSocket frame")),
        Some(Err(_)) | None => Err(Goodbye::gone()),
    }
}

/// Whether the key that opened the session is still one.
pub(crate) fn still_valid(gate: &Arc<Gate>, principal: &Principal) -> Result<(), Goodbye> {
    let known = gate.keys.get(&principal.org, principal.key);
    if known.is_some_and(|key| gate.keys.is_valid(&key, clock::wall())) {
        return Ok(());
    }
    Err(Goodbye::of(Fault::new(FaultCode::Unauthenticated, "The key of this session is no longer valid.")))
}

/// Says goodbye, and waits for the other side's. Whoever has left needs none.
pub(crate) async fn leave(mut socket: Socket, goodbye: Goodbye) {
    if goodbye.is_gone() {
        return;
    }
    let frame = CloseFrame { code: goodbye.code.into(), reason: goodbye.reason.into() };
    let _ = socket.close(Some(frame)).await;
    while let Some(Ok(_)) = socket.next().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// What is due of a session that rests and is listened to, every five seconds for `seconds`; signs of life left out.
    fn first(
        clocks: &mut Clocks,
        began: Instant,
        seconds: u64,
        said: impl Fn(&mut Clocks, Instant),
    ) -> Option<(u64, Due)> {
        (0..=seconds).step_by(5).find_map(|second| {
            let now = began + Duration::from_secs(second);
            said(clocks, now);
            let due = clocks.due(now, HOUR, true, true).filter(|due| *due != Due::Ping)?;
            Some((second, due))
        })
    }

    #[test]
    fn a_session_ends_after_its_hour_its_idle_time_or_without_a_sign_of_life() {
        let began = clock::now();
        let begin = || Clocks::begin(began);
        assert_eq!(first(&mut begin(), began, 4_000, |_, _| {}), Some((70, Due::Silent)));
        let alive = |clocks: &mut Clocks, now| clocks.heard(now);
        assert_eq!(first(&mut begin(), began, 4_000, alive), Some((905, Due::Idle)));
        let talking = |clocks: &mut Clocks, now| {
            clocks.heard(now);
            clocks.spoke(now);
        };
        assert_eq!(first(&mut begin(), began, 4_000, talking), Some((3_605, Due::Old)));
        // What is under way is ended by neither, and whoever is not listened to can give no sign.
        let late = began + 2 * HOUR;
        assert_eq!(begin().due(late, HOUR, false, true), Some(Due::Silent));
        assert_eq!(begin().due(late, HOUR, false, false), Some(Due::Ping));
    }

    #[test]
    fn signs_of_life_are_asked_for_every_twenty_seconds() {
        let began = clock::now();
        let mut clocks = Clocks::begin(began);
        let asked: Vec<u64> = (0..=65)
            .filter(|second| clocks.due(began + Duration::from_secs(*second), HOUR, true, true) == Some(Due::Ping))
            .collect();
        assert_eq!(asked, [21, 42, 63]);
    }
}
