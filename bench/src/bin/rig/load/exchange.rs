//! One request and its answer, over a connection that is kept.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tidegate_core::clock;
use tokio::net::TcpStream;

use super::Target;
use crate::{mock::HELLO, watch::Watch};

/// A connection, or the place of one.
#[derive(Default)]
pub(crate) struct Lane(Option<SendRequest<Full<Bytes>>>);

/// What became of a request: a stream was watched, a whole answer was not.
pub(crate) type Outcome = Result<Option<Watch>, Failure>;

/// Why a request failed, in few words; the status where there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Connect,
    Send,
    Status(u16),
    Cut,
    OtherAnswer,
    Patience,
    Unfinished,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Send => f.write_str("send"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Cut => f.write_str("answer cut"),
            Self::OtherAnswer => f.write_str("another answer than the mock's"),
            Self::Patience => f.write_str("took longer than 30 s"),
            Self::Unfinished => f.write_str("unfinished"),
        }
    }
}

impl Lane {
    /// Sends a request that was due at `due` and takes its whole answer.
    pub(crate) async fn run(&mut self, target: &Target, stream: bool, due: Instant) -> Outcome {
        let outcome = match tokio::time::timeout(target.patience, self.exchange(target, stream, due)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Patience),
        };
        if !matches!(outcome, Ok(_) | Err(Failure::Status(_) | Failure::OtherAnswer)) {
            self.0 = None;
        }
        outcome
    }

    async fn exchange(&mut self, target: &Target, stream: bool, due: Instant) -> Outcome {
        let sender = self.ready(target).await?;
        let body = if stream { target.stream.clone() } else { target.whole.clone() };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.path.clone();
        *request.headers_mut() = target.headers.clone();
        let response = sender.send_request(request).await.map_err(|_| Failure::Send)?;
        let status = response.status();
        let mut body = response.into_body();
        if status.is_success() && stream {
            let mut watch = Watch::new(due);
            read(&mut body, |data| watch.frame(data, clock::now())).await?;
            return Ok(Some(watch));
        }
        let bytes = body.collect().await.map_err(|_| Failure::Cut)?.to_bytes();
        if !status.is_success() {
            return Err(Failure::Status(status.as_u16()));
        }
        match memmem::find(&bytes, HELLO.as_bytes()) {
            Some(_) => Ok(None),
            None => Err(Failure::OtherAnswer),
        }
    }

    async fn ready(&mut self, target: &Target) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        let usable = match &mut self.0 {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let socket = TcpStream::connect(target.address).await.map_err(|_| Failure::Connect)?;
            let _ = socket.set_nodelay(true);
            let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|_| Failure::Connect)?;
            tokio::task::spawn_local(async move {
                // What goes wrong here is told to the sender as well.
                let _ = connection.await;
            });
            self.0 = Some(sender);
        }
        self.0.as_mut().ok_or(Failure::Connect)
    }
}

async fn read(body: &mut Incoming, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Failure::Cut)?.into_data() {
            take(&data);
        }
    }
    Ok(())
}
