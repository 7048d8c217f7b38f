//! A client's WebSocket (RFC 6455), whatever is spoken on it: how it is agreed to, what a frame may be, whose key holds
//! it, and how it is left.
//!
//! Owns nothing but these rules. Decides about no call. Called by the sessions that run on sockets: `live_flow` and
//! `responses_flow`.

use std::{sync::Arc, time::Duration};

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
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as SocketError, Message, handshake::derive_accept_key, protocol::CloseFrame},
};

use crate::{
    exchange::Exchange,
    gate::Gate,
    respond::{self, Body},
};

/// After this long without a word of either side, a session ends.
pub(crate) const IDLE: Duration = Duration::from_secs(15 * 60);

/// How often each side is asked for a sign of life, and how long it may give none.
pub(crate) const PING: Duration = Duration::from_secs(20);
pub(crate) const SILENCE: Duration = Duration::from_secs(65);

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

/// The agreement to a WebSocket whose client challenged with `key`, and wants its protocol named. Ends the exchange.
pub(crate) fn agreed(exchange: &mut Exchange, vendor: HeaderMap, key: &HeaderValue, named: bool) -> Response<Body> {
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
