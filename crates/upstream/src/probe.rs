//! Questions that cost nothing: whether something answers at a provider's address, and what it says of itself.
//!
//! Shows no credential, follows no redirect, reads no more than it is told, and goes over the one connector. Finding
//! model servers on this machine and `doctor` use it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use tidegate_core::clock;

use crate::{Clock, Destination, Upstream, clocks::Limits};

/// What came back.
#[derive(Debug)]
pub struct Probed {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, where one was wanted.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The address and the path make no URI.
    #[error("the address makes no request: {0}")]
    Address(String),
    /// Nothing answered: no connection, an address that is not gone to, or a broken answer.
    #[error("{0}")]
    Unanswered(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Slow(Duration),
}

impl Upstream {
    /// Asks for `path` below `destination` with `GET`. Reads at most `most` bytes of the body, none where that is 0.
    ///
    /// # Errors
    /// Where nothing answers within `patience`, or the body is larger.
    pub async fn probe(
        &self,
        destination: &Destination,
        path: &str,
        patience: Duration,
        most: usize,
    ) -> Result<Probed, ProbeError> {
        let address = |error: &dyn std::fmt::Display| ProbeError::Address(error.to_string());
        let uri = destination.uri(path).map_err(|error| address(&error))?;
        let request = Request::builder().method(Method::GET).uri(uri).header(header::ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(|error| address(&error))?;
        let limits = Limits::new(clock::now(), patience, None);
        let sent = self.pool.send(destination, request, (patience, patience), &limits).await;
        let response = sent.map_err(|unanswered| match unanswered.error {
            crate::pool::SendError::Clock(_) => ProbeError::Slow(patience),
            error => ProbeError::Unanswered(error.to_string()),
        })?;
        let (parts, body) = response.into_parts();
        let body = if most == 0 {
            Bytes::new()
        } else {
            let read = limits.within(patience, Clock::Total(patience), Limited::new(body, most).collect()).await;
            let read = read.map_err(|_| ProbeError::Slow(patience))?;
            read.map_err(|error| ProbeError::Unanswered(format!("the answer broke off: {error}")))?.to_bytes()
        };
        Ok(Probed { status: parts.status, headers: parts.headers, body })
    }
}
