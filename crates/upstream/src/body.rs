//! Reading an answer's body: bounded, and with its clocks.
//!
//! Pulls, never pushes: what nobody reads stays in the connection's buffer (64 KiB) and then at the upstream. Dropping
//! a body that is not read to its end closes its connection (HTTP/1.1) or resets its stream (HTTP/2).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tidegate_core::fault::{Fault, FaultCode};

use crate::{
    clocks::{Clock, Limits},
    patience::Patience,
    pool::root_cause,
};

/// The largest answer that is read whole.
pub(crate) const MOST_UNARY: usize = 32 * 1024 * 1024;

/// The largest error answer that is read.
pub(crate) const MOST_ERROR: usize = 64 * 1024;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// A clock ran out.
    #[error("{0}")]
    Clock(Clock),
    /// The connection broke.
    #[error("the upstream closed the connection inside its answer: {0}")]
    Broken(String),
    /// More than the bound.
    #[error("the upstream's answer is larger than {0} bytes, the most that is read")]
    TooLarge(usize),
}

impl BodyError {
    /// The fault that it is.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Clock(clock) => clock.fault(),
            Self::Broken(_) | Self::TooLarge(_) => Fault::new(FaultCode::UpstreamUnavailable, self.to_string()),
        }
    }
}

/// The next piece of a body; `None` at its end. `silence` bounds how long it may take.
pub(crate) async fn next(
    body: &mut Incoming,
    silence: (Duration, Clock),
    limits: &Limits,
    patience: &mut Patience,
) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = limits.piece(silence, patience, body.frame()).await.map_err(BodyError::Clock)?;
        match frame {
            None => return Ok(None),
            // Trailers say nothing that is passed on.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                Ok(_) | Err(_) => {}
            },
            Some(Err(error)) => return Err(BodyError::Broken(root_cause(&error))),
        }
    }
}

/// The whole body, at most `most` bytes.
pub(crate) async fn whole(
    mut body: Incoming,
    most: usize,
    between: Duration,
    limits: &Limits,
) -> Result<Bytes, BodyError> {
    let (silence, mut patience) = ((between, Clock::BetweenEvents(between)), Patience::default());
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge(most));
    }
    let Some(first) = next(&mut body, silence, limits, &mut patience).await? else { return Ok(Bytes::new()) };
    let mut all: Option<BytesMut> = None;
    let mut length = first.len();
    while length <= most {
        let Some(more) = next(&mut body, silence, limits, &mut patience).await? else {
            return Ok(all.map_or(first, BytesMut::freeze));
        };
        length = length.saturating_add(more.len());
        all.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&more);
    }
    Err(BodyError::TooLarge(most))
}
