//! The data plane's listener: accepts connections, bounds what a client may do to one, and hands each request to the
//! pipeline.
//!
//! Owns sockets and HTTP framing limits. Never looks into a body. Called by the binary.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use socket2::SockRef;
use tidegate_config::snapshot::ClientTimes;
use tidegate_core::fault::FaultCode;
use tidegate_upstream::task;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Paced, watched},
    gate::Gate,
    pipeline,
    respond::{self, Body},
};

/// Most header fields of a request.
const MOST_HEADERS: usize = 100;

/// Most bytes of a request's head.
const LARGEST_HEAD: usize = 32 * 1024;

/// Concurrent streams on one HTTP/2 connection.
const MOST_STREAMS: u32 = 256;

/// Streams of one HTTP/2 connection that its client may reset before they were looked at; one more ends the connection.
const MOST_RESETS: usize = 20;

/// Streams of one HTTP/2 connection that may be refused as malformed; one more ends the connection.
const MOST_MALFORMED: usize = 64;

/// Bytes of an answer that wait for one client: beyond them its upstream is paused.
const MOST_UNSENT: usize = 64 * 1024;

/// Bytes of answers that wait in the system for one client. Left to itself, it would let them grow to megabytes.
const MOST_IN_SOCKET: usize = 128 * 1024;

/// How long accepting pauses when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the listener may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most connections of clients at the same time; further ones wait to be accepted.
    pub connections: usize,
    /// How long calls in flight may take to end when the gateway stops.
    pub drain: Duration,
}

/// Serves the data plane until `stop` is cancelled, then lets calls in flight end for as long as `bounds` say.
///
/// # Errors
/// Never while serving: a failed accept pauses and is tried again.
pub async fn serve(gate: Arc<Gate>, listener: TcpListener, stop: CancellationToken, bounds: Bounds) -> io::Result<()> {
    // Connections take it over from the listener.
    if let Err(error) = SockRef::from(&listener).set_send_buffer_size(MOST_IN_SOCKET) {
        tracing::warn!(%error, "what waits in sockets could not be bounded");
    }
    let graceful = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS)));
    let mut short = false;
    let places = bounds.connections.min(Semaphore::MAX_PERMITS);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &free) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                short = false;
                let kept = Kept { place: Arc::new(place), stop: stop.clone() };
                connection(&gate, stream, peer, kept, &graceful);
            }
            Err(error) => {
                // It is tried again ten times a second, and told once.
                if !std::mem::replace(&mut short, true) {
                    tracing::warn!(%error, "connections cannot be accepted at the moment");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drain = bounds.drain;
    let ended = async {
        graceful.shutdown().await;
        // Connections that became live sessions are watched by nobody else: each gives its place back at its end.
        let all = u32::try_from(places).unwrap_or(u32::MAX);
        drop(free.acquire_many(all).await);
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!(seconds = drain.as_secs(), "some calls had not ended when the time to drain was over");
    }
    Ok(())
}

/// What a connection keeps for as long as it lasts, also where it becomes a live session.
#[derive(Clone)]
pub(crate) struct Kept {
    #[expect(dead_code, reason = "it is held, and given back when it is dropped")]
    place: Arc<OwnedSemaphorePermit>,
    /// Cancelled when the gateway stops.
    pub(crate) stop: CancellationToken,
}

/// The next connection, once there is a place for it: until then it waits in the system's queue.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

fn connection(gate: &Arc<Gate>, stream: TcpStream, peer: SocketAddr, kept: Kept, graceful: &GracefulShutdown) {
    let times = gate.live.current().snapshot.client_times;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let gate = Arc::clone(gate);
    let address = peer.ip();
    let with = kept.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(with.clone());
        answer(Arc::clone(&gate), request, address, times)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(times.headers)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(MOST_MALFORMED)
        .max_send_buf_size(MOST_UNSENT)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let served = builder.serve_connection_with_upgrades(TokioIo::new(Paced::new(stream, times.send)), service);
    let served = graceful.watch(served.into_owned());
    task::spawn("client connection", async move {
        let _kept = kept;
        if let Err(error) = served.await {
            tracing::debug!(%error, %peer, "a client's connection ended early");
        }
    });
}

async fn answer(
    gate: Arc<Gate>,
    mut request: Request<Incoming>,
    address: IpAddr,
    times: ClientTimes,
) -> Result<Response<Body>, Infallible> {
    let http2 = request.version() == http::Version::HTTP_2;
    if request.headers().len() > MOST_HEADERS {
        return Ok(head_too_large());
    }
    if http2 {
        name_host(&mut request);
    }
    // On the heap, since hyper moves the future of each request several times before it first polls it.
    let response = Box::pin(pipeline::run(gate, request, address)).await;
    Ok(if http2 { response.map(|body| watched(body, times.send)) } else { response })
}

/// HTTP/2 names the host beside the headers (RFC 9113, section 8.3.1): whoever asks for it finds it among them.
fn name_host(request: &mut Request<Incoming>) {
    if !request.headers().contains_key(header::HOST)
        && let Some(host) = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// More fields than a head may have, which HTTP/2 does not count by itself.
fn head_too_large() -> Response<Body> {
    let mut response = Response::new(respond::whole(Bytes::new()));
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let code = HeaderValue::from_static(FaultCode::HeadersTooLarge.as_str());
    response.headers_mut().insert("x-tidegate-error", code);
    response
}
