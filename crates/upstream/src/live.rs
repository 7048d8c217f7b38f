//! Live sessions with a model over a WebSocket (RFC 6455): opened like any call, by the attempt engine over the one
//! connector; then one turn after the other, each dispatched with proofs of its own.
//!
//! Owns the connection to the provider. What asks for a turn leaves through [`crate::Upstream::dispatch`] alone;
//! [`LegSender::relay`] carries everything else and refuses it. Never interprets what a server says.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Phase},
    ids::CallId,
    trace::TraceContext,
};
use tidegate_protocol::{
    llm::Dialect,
    native::{NativeCall, Task},
    realtime::{ClientEvent, ClientKind, LARGEST_EVENT},
};
use tokio::sync::Mutex;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as SocketError, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{
    attempt::{Begun, Candidate, Traffic},
    clocks::Limits,
    credential::Showing,
    failure::{Failure, Then},
    headers,
    health::Admitted,
    llm::{Refuser, refusal},
    pool::Pool,
    scrub::{self, scrub},
    target::{Provider, Target},
};

/// How long a frame may take to be taken by the other side.
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The bounds of a WebSocket, on either side of the gateway.
#[must_use]
pub fn socket_bounds() -> WebSocketConfig {
    let mut bounds = WebSocketConfig::default();
    bounds.max_message_size = Some(LARGEST_EVENT);
    bounds.max_frame_size = Some(LARGEST_EVENT);
    bounds.read_buffer_size = 16 * 1024;
    bounds.write_buffer_size = 0;
    bounds.max_write_buffer_size = 2 * LARGEST_EVENT;
    bounds
}

/// The opening of a session on its way.
pub(crate) struct ConnectTraffic<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) call: &'a NativeCall,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) forward: &'a HeaderMap,
    pub(crate) trace: Option<TraceContext>,
}

impl Traffic for ConnectTraffic<'_> {
    type Answer = (HeaderMap, Socket);

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let (target, name) = self.targets.get(index).zip(self.names.get(index))?;
        let upstream = target.provider.name.as_str();
        let (retry, breaker) = (&target.retry, target.breaker);
        Some(Candidate { name: Arc::clone(name), upstream, retry, breaker, hedge: None })
    }

    fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    async fn attempt(
        &self,
        index: usize,
        limits: &Limits,
        span: Option<TraceContext>,
    ) -> Result<Begun<Self::Answer>, Failure> {
        let Some(target) = self.targets.get(index) else {
            return Err(Failure::unsent(Fault::new(FaultCode::Internal, "no such target"), Then::End));
        };
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        let mut request = self.request(target, &key)?;
        headers::trace(request.headers_mut(), span);
        let whom = ("provider", target.provider.name.as_str());
        let showing = Showing { pool: self.pool, connect: target.timeouts.connect, limits, whom };
        target.provider.auth.show(&mut request, &showing).await?;
        let clocks = (target.timeouts.connect, target.timeouts.first_event);
        let response =
            self.pool.upgrade(&target.provider.base, request, clocks, limits).await.map_err(Failure::unanswered)?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS && !status.is_success() {
            let dialect = Dialect::OpenAiChat;
            let from = Refuser { provider: &target.provider, place: &target.id, dialect, same: true };
            return Err(refusal(&from, target.timeouts.between_events, response, limits).await);
        }
        if !agreed(&response, &key) {
            let words = format!("the upstream answered {}, and opened no WebSocket", status.as_u16());
            let fault = Fault::new(FaultCode::UpstreamUnavailable, words);
            return Err(Failure::broken_answer(status.as_u16(), fault));
        }
        let passed = headers::from_model(response.headers(), Dialect::OpenAiChat, true);
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| {
            let words = "the upstream's connection broke when the session was opened";
            let fault = Fault::new(FaultCode::UpstreamUnavailable, words).with_source(error);
            Failure::broken_answer(status.as_u16(), fault)
        })?;
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(socket_bounds())).await;
        Ok(Begun { answer: (passed, socket), status: status.as_u16(), phase: Phase::Events })
    }
}

impl ConnectTraffic<'_> {
    fn request(&self, target: &Target, key: &str) -> Result<Request<Bytes>, Failure> {
        let provider: &Provider = &target.provider;
        let misconfigured = |why: String| {
            let words = format!("the provider `{}` is misconfigured: {why}", provider.name);
            Failure::unsent(Fault::new(FaultCode::Internal, words), Then::NextTarget)
        };
        let path = format!("/realtime?model={}", crate::target::segment(&target.id.model));
        let uri = provider.base.uri(&path).map_err(|error| misconfigured(error.to_string()))?;
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri;
        let mut headers = headers::to_provider(self.forward, &provider.headers, self.call.dialect(), None);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key = HeaderValue::from_str(key).map_err(|error| misconfigured(error.to_string()))?;
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Whether the server agreed to what was asked, and to nothing else (RFC 6455, section 4.1).
fn agreed(response: &Response<Incoming>, key: &str) -> bool {
    let headers = response.headers();
    let is = |name: header::HeaderName, expected: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(expected.as_bytes()))
    };
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && is(header::UPGRADE, "websocket")
        && accept == Some(derive_accept_key(key.as_bytes()).as_bytes())
        && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
        && !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)
}

/// What comes of a server.
#[derive(Debug)]
pub enum Said {
    /// An event.
    Event(Bytes),
    /// The end of the session: its code and reason.
    Closed(u16, String),
}

/// A session's connection to its provider. Dropping it closes it.
pub struct LiveLeg {
    sender: LegSender,
    stream: SplitStream<Socket>,
    admitted: Option<Admitted>,
}

impl std::fmt::Debug for LiveLeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveLeg").field("target", &self.sender.target.id).finish_non_exhaustive()
    }
}

impl LiveLeg {
    pub(crate) fn new(socket: Socket, target: Arc<Target>, admitted: Admitted) -> Self {
        let (sink, stream) = socket.split();
        let sender = LegSender { sink: Arc::new(Mutex::new(sink)), target };
        Self { sender, stream, admitted: Some(admitted) }
    }

    /// The way to the server.
    #[must_use]
    pub fn sender(&self) -> LegSender {
        self.sender.clone()
    }

    /// What the server says next; `None` once it has closed. May be dropped and asked again.
    ///
    /// # Errors
    /// Where the connection broke, or what came is no event.
    pub async fn next(&mut self) -> Option<Result<Said, Fault>> {
        loop {
            let fault = match self.stream.next().await? {
                Ok(Message::Text(text)) => return Some(Ok(Said::Event(text.into()))),
                Ok(Message::Close(frame)) => {
                    if let Some(admitted) = self.admitted.take() {
                        admitted.succeeded(clock::now());
                    }
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (u16::from(frame.code), frame.reason.as_str().to_owned())
                    });
                    return Some(Ok(Said::Closed(code, reason)));
                }
                // Answered by the library.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Binary(_)) => {
                    Fault::new(FaultCode::UpstreamUnavailable, "The upstream sent bytes where events are spoken.")
                }
                Err(SocketError::Capacity(why)) => Fault::new(
                    FaultCode::UpstreamUnavailable,
                    format!("The upstream sent an event that is larger than this gateway takes: {why}."),
                ),
                Err(error) => {
                    Fault::new(FaultCode::UpstreamUnavailable, "The upstream's connection broke.").with_source(error)
                }
            };
            if let Some(admitted) = self.admitted.take() {
                admitted.failed(clock::now());
            }
            return Some(Err(fault));
        }
    }
}

/// The way to a session's server. Clones share it.
#[derive(Clone)]
pub struct LegSender {
    sink: Arc<Mutex<SplitSink<Socket, Message>>>,
    target: Arc<Target>,
}

impl std::fmt::Debug for LegSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegSender").field("target", &self.target.id).finish_non_exhaustive()
    }
}

impl LegSender {
    /// The model at the other end.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The same way, for what another model of the provider does in the session.
    #[must_use]
    pub fn of(&self, target: Arc<Target>) -> Self {
        Self { sink: Arc::clone(&self.sink), target }
    }

    /// `text` without the secrets that the server was shown.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let provider = &self.target.provider;
        scrub(text, &scrub::secrets(&provider.auth, &provider.headers)).into_owned()
    }

    /// Sends an event that asks for no turn.
    ///
    /// # Errors
    /// Where it asks for one, or the server takes nothing.
    pub async fn relay(&self, event: &ClientEvent) -> Result<(), Fault> {
        if event.kind() == ClientKind::CreateResponse {
            return Err(Fault::new(FaultCode::Internal, "A turn is dispatched, and not relayed."));
        }
        self.send(event.body()).await
    }

    /// Has the server end a turn.
    ///
    /// # Errors
    /// Where the server takes nothing.
    pub async fn cancel(&self, response: &str) -> Result<(), Fault> {
        let event = serde_json::json!({"type": "response.cancel", "response_id": response});
        self.send(event.to_string().into()).await
    }

    /// Says goodbye.
    pub async fn close(&self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // Whoever has left needs no goodbye.
        let _ = self.push(Message::Close(Some(goodbye))).await;
    }

    /// Shows that the session is still wanted.
    ///
    /// # Errors
    /// Where the server takes nothing.
    pub async fn ping(&self) -> Result<(), Fault> {
        self.push(Message::Ping(Bytes::new())).await
    }

    async fn send(&self, event: Bytes) -> Result<(), Fault> {
        let text = event.try_into().map_err(|error| {
            Fault::new(FaultCode::Internal, "An event that is no text cannot be sent.").with_source(error)
        })?;
        self.push(Message::Text(text)).await
    }

    async fn push(&self, message: Message) -> Result<(), Fault> {
        let sent = tokio::time::timeout(PATIENCE, async { self.sink.lock().await.send(message).await }).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                Err(Fault::new(FaultCode::UpstreamUnavailable, "The upstream's connection broke.").with_source(error))
            }
            Err(_) => Err(Fault::new(FaultCode::UpstreamTimeout, "The upstream took nothing for 30 seconds.")),
        }
    }
}

/// A turn on its way.
pub(crate) struct TurnTraffic<'a> {
    pub(crate) call: &'a NativeCall,
    pub(crate) call_id: CallId,
    pub(crate) leg: &'a LegSender,
    pub(crate) name: Arc<str>,
    pub(crate) trace: Option<TraceContext>,
}

impl Traffic for TurnTraffic<'_> {
    type Answer = ();

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let target = &self.leg.target;
        (index == 0).then(|| Candidate {
            name: Arc::clone(&self.name),
            upstream: target.provider.name.as_str(),
            retry: &target.retry,
            breaker: target.breaker,
            hedge: None,
        })
    }

    fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    async fn attempt(&self, _: usize, _: &Limits, _: Option<TraceContext>) -> Result<Begun<()>, Failure> {
        // What the server begins by itself is not asked for.
        if self.call.asked().is_some_and(|asked| asked.task == Task::Turn) {
            let event = self.call.event(&self.call_id.to_string());
            self.leg.send(event).await.map_err(|fault| Failure::broken_answer(0, fault).once_only())?;
        }
        Ok(Begun { answer: (), status: StatusCode::OK.as_u16(), phase: Phase::Events })
    }
}
