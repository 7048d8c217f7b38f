//! HTTP over the one connector: pooled connections, HTTP/1.1 and HTTP/2, and one request with its clocks.
//!
//! Sends exactly what it is given, once; never retries a request that may have left, never follows a redirect.
//! `attempt` and the MCP client call it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::capture_connection},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
};

use crate::{
    clocks::{Clock, Limits},
    connect::{ConnectError, Connector, InMemoryService, Reach},
    roots::Roots,
    target::Destination,
};

/// How long an idle connection is kept. Shorter than the usual idle limit of servers and balancers (60 s), so that a
/// request seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(45);

/// The same for servers that the configuration names on this machine or a private network: what people run there often
/// closes after five seconds, and another connection costs little.
const IDLE_NEAR: Duration = Duration::from_secs(4);

/// The most idle connections kept per upstream.
const MOST_IDLE: usize = 256;

/// The most bytes of an answer that are buffered ahead of its reader.
pub(crate) const READ_AHEAD: usize = 64 * 1024;

type HttpClient = Client<HttpsConnector<Connector>, Departing>;

/// Connections to everything.
pub(crate) struct Pool {
    public: HttpClient,
    named: HttpClient,
    metadata: HttpClient,
    /// For connections that become something else: only HTTP/1.1 lets them.
    public_sockets: HttpClient,
    named_sockets: HttpClient,
    memory: Option<Client<Connector, Departing>>,
    roots: Arc<Roots>,
}

/// TLS could not be set up at all.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsSetupError(#[from] rustls::Error);

/// One request did not reach an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// There was no connection; nothing left.
    #[error("{0}")]
    Connect(ConnectError),
    /// A clock ran out.
    #[error("{0}")]
    Clock(Clock),
    /// The connection broke.
    #[error("the connection broke before the answer: {0}")]
    Broken(String),
}

/// A [`SendError`] with what is known about the request's bytes.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: SendError,
    /// Whether the request's bytes may have reached the upstream.
    pub(crate) may_have_left: bool,
}

impl Pool {
    /// # Errors
    /// Where the protocol versions and ciphers do not go together.
    pub(crate) fn new(
        memory: Option<Arc<dyn InMemoryService>>,
        extra_roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(Roots::new(extra_roots, Arc::clone(&provider)));
        let tls = tls(Arc::clone(&roots), provider)?;
        let reaching = |reach, idle| {
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_or_http()
                .enable_all_versions()
                .wrap_connector(Connector::new(reach));
            client(connector, idle)
        };
        let upgrading = |reach| {
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_or_http()
                .enable_http1()
                .wrap_connector(Connector::new(reach));
            client(connector, IDLE_NEAR)
        };
        Ok(Self {
            public_sockets: upgrading(Reach::Network { allow_private: false }),
            named_sockets: upgrading(Reach::Network { allow_private: true }),
            public: reaching(Reach::Network { allow_private: false }, IDLE),
            named: reaching(Reach::Network { allow_private: true }, IDLE_NEAR),
            metadata: reaching(Reach::Metadata, IDLE_NEAR),
            memory: memory.map(|service| client(Connector::new(Reach::Memory(service)), IDLE)),
            roots,
        })
    }

    /// Reads the certificates that servers are verified by, so that no call waits for it. Blocks on the disk.
    pub(crate) fn read_roots(&self) {
        // What goes wrong was told, and is told again to whoever needs them.
        let _ = self.roots.read();
    }

    /// Sends `request` to `destination` and awaits the answer's headers.
    ///
    /// The request's future is dropped when a clock runs out or the caller drops this one; the connection is then
    /// closed (HTTP/1.1) or the stream reset (HTTP/2).
    pub(crate) async fn send(
        &self,
        destination: &Destination,
        request: Request<Bytes>,
        clocks: (Duration, Duration),
        limits: &Limits,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.exchange(destination, request, clocks, limits, false).await
    }

    /// As [`Self::send`], over a connection that may become something else than HTTP (RFC 9110, section 7.8).
    pub(crate) async fn upgrade(
        &self,
        destination: &Destination,
        request: Request<Bytes>,
        clocks: (Duration, Duration),
        limits: &Limits,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.exchange(destination, request, clocks, limits, true).await
    }

    async fn exchange(
        &self,
        destination: &Destination,
        request: Request<Bytes>,
        clocks: (Duration, Duration),
        limits: &Limits,
        upgrades: bool,
    ) -> Result<Response<Incoming>, Unanswered> {
        let left = Arc::new(AtomicBool::new(false));
        let (parts, bytes) = request.into_parts();
        let body_is_empty = bytes.is_empty();
        let mut request = Request::from_parts(parts, Departing { bytes: Some(bytes), left: Arc::clone(&left) });
        let mut captured = capture_connection(&mut request);
        let mut answer = match (destination, &self.memory) {
            (Destination::Http { allow_private: false, .. }, _) if upgrades => self.public_sockets.request(request),
            (Destination::Http { allow_private: true, .. }, _) if upgrades => self.named_sockets.request(request),
            (Destination::Http { allow_private: false, .. }, _) => self.public.request(request),
            (Destination::Http { allow_private: true, .. }, _) => self.named.request(request),
            (Destination::Metadata(_), _) => self.metadata.request(request),
            (Destination::Sim, Some(memory)) => memory.request(request),
            (Destination::Program(_), _) => {
                let error = ConnectError::Network("a program is not reached over the network".to_owned());
                return Err(Unanswered { error: SendError::Connect(error), may_have_left: false });
            }
            (Destination::Sim, None) => {
                let error = ConnectError::Network("the built-in simulator is not running here".to_owned());
                return Err(Unanswered { error: SendError::Connect(error), may_have_left: false });
            }
        };
        let (connect, first_event) = clocks;
        let mut connected = false;
        let early = limits
            .within(connect, Clock::Connect(connect), async {
                tokio::select! {
                    biased;
                    answer = &mut answer => Some(answer),
                    () = connection(&mut captured) => None,
                }
            })
            .await;
        let result = match early {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                connected = true;
                limits.within(first_event, Clock::FirstEvent(first_event), &mut answer).await
            }
            Err(clock) => Err(clock),
        };
        let may_have_left = left.load(Ordering::Acquire) || (connected && body_is_empty);
        match result {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => {
                Err(Unanswered { error: SendError::Connect(ConnectError::find(&error)), may_have_left: false })
            }
            Ok(Err(error)) => Err(Unanswered { error: SendError::Broken(root_cause(&error)), may_have_left }),
            Err(clock) => Err(Unanswered { error: SendError::Clock(clock), may_have_left }),
        }
    }
}

/// Resolves once the request has a connection; never where it gets none.
async fn connection(captured: &mut hyper_util::client::legacy::connect::CaptureConnection) {
    if captured.wait_for_connection_metadata().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// The innermost error's own words.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut current = error;
    for _ in 0..16 {
        match current.source() {
            Some(source) => current = source,
            None => break,
        }
    }
    current.to_string()
}

fn client<C>(connector: C, idle: Duration) -> Client<C, Departing>
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(MOST_IDLE)
        .http1_max_buf_size(READ_AHEAD)
        .http1_max_headers(100)
        .http2_initial_stream_window_size(u32::try_from(READ_AHEAD).ok())
        .http2_initial_connection_window_size(Some(1024 * 1024))
        .http2_max_header_list_size(32 * 1024)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(connector)
}

fn tls(roots: Arc<Roots>, provider: Arc<CryptoProvider>) -> Result<ClientConfig, TlsSetupError> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(roots)
        .with_no_client_auth())
}

/// A request's body, in one piece, that notes when it is handed to a connection.
pub(crate) struct Departing {
    bytes: Option<Bytes>,
    left: Arc<AtomicBool>,
}

impl Body for Departing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.left.store(true, Ordering::Release);
        Poll::Ready(this.bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
    }
}
