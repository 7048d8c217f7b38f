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

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tidegate_upstream::task;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{gate::Gate, pipeline, respond::Body};

/// Time for a client to send its headers.
const HEADER_DEADLINE: Duration = Duration::from_secs(15);

/// Most header fields of a request.
const MOST_HEADERS: usize = 100;

/// Most bytes of a request's head.
const LARGEST_HEAD: usize = 32 * 1024;

/// Concurrent streams on one HTTP/2 connection.
const MOST_STREAMS: u32 = 256;

/// How long accepting pauses when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the data plane until `stop` is cancelled, then lets calls in flight end for at most `drain`.
///
/// # Errors
/// Never while serving: a failed accept pauses and is tried again.
pub async fn serve(gate: Arc<Gate>, listener: TcpListener, stop: CancellationToken, drain: Duration) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => connection(&gate, stream, peer, &graceful),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = drain.as_secs(), "some calls had not ended when the time to drain was over");
    }
    Ok(())
}

fn connection(gate: &Arc<Gate>, stream: TcpStream, peer: SocketAddr, graceful: &GracefulShutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let gate = Arc::clone(gate);
    let address = peer.ip();
    let service = service_fn(move |request| answer(Arc::clone(&gate), request, address));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let served = builder.serve_connection(TokioIo::new(stream), service);
    let served = graceful.watch(served.into_owned());
    task::spawn("client connection", async move {
        if let Err(error) = served.await {
            tracing::debug!(%error, %peer, "a client's connection ended early");
        }
    });
}

async fn answer(gate: Arc<Gate>, request: Request<Incoming>, address: IpAddr) -> Result<Response<Body>, Infallible> {
    Ok(pipeline::run(gate, request, address).await)
}
