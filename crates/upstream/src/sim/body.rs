//! Bodies of answers: whole, streamed piece by piece, cut, or stalled; each keeps the ledger true as it goes.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;

use super::{Sim, ledger::End, script::Script};

/// How long a cut waits for what was sent before it.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// The body type of every answer.
pub(super) type Body = BoxBody<Bytes, io::Error>;

/// One thing to send: its bytes and the tokens they count for (zero for framing).
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) tokens: u64,
    /// Whether this is content, which scripts count and which waits for the pause.
    pub(super) content: bool,
}

/// A whole body.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Keeps one entry of the ledger true; an answer that is dropped unfinished was abandoned by the other side.
pub(super) struct Entry {
    sim: Sim,
    sequence: u64,
    ended: bool,
}

impl Entry {
    pub(super) fn new(sim: Sim, sequence: u64) -> Self {
        Self { sim, sequence, ended: false }
    }

    pub(super) fn sent(&self, tokens: u64) {
        self.sim.state.ledger.change(self.sequence, |entry| {
            entry.output_tokens = entry.output_tokens.saturating_add(tokens);
            entry.pieces = entry.pieces.saturating_add(1);
        });
    }

    pub(super) fn status(&self, status: StatusCode) {
        self.sim.state.ledger.change(self.sequence, |entry| entry.status = status.as_u16());
    }

    pub(super) fn end(&mut self, end: End) {
        self.ended = true;
        self.sim.state.ledger.change(self.sequence, |entry| entry.end = end);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ended {
            self.end(End::Abandoned);
        }
    }
}

struct Sending {
    pieces: std::vec::IntoIter<Piece>,
    pause: Duration,
    sent: usize,
    cut_after: Option<usize>,
    stall_after: Option<usize>,
    entry: Entry,
    over: bool,
}

/// Streams `pieces`, waiting `pause` before each piece of content, and breaks off or stalls where the script says so.
pub(super) fn streamed(pieces: Vec<Piece>, pause: Duration, script: &Script, entry: Entry) -> Body {
    let sending = Sending {
        pieces: pieces.into_iter(),
        pause,
        sent: 0,
        cut_after: script.cut_after,
        stall_after: script.stall_after,
        entry,
        over: false,
    };
    StreamBody::new(stream::unfold(sending, next)).boxed()
}

async fn next(mut sending: Sending) -> Option<(Result<Frame<Bytes>, io::Error>, Sending)> {
    if sending.over {
        return None;
    }
    if sending.cut_after.is_some_and(|after| sending.sent >= after) {
        // What was sent must have left before the connection breaks, or the ledger would count what nobody got.
        tokio::time::sleep(BEFORE_CUT).await;
        sending.over = true;
        sending.entry.end(End::Cut);
        return Some((Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the script")), sending));
    }
    if sending.stall_after.is_some_and(|after| sending.sent >= after) {
        std::future::pending::<()>().await;
    }
    let Some(piece) = sending.pieces.next() else {
        sending.entry.end(End::Complete);
        return None;
    };
    if piece.content {
        if !sending.pause.is_zero() {
            tokio::time::sleep(sending.pause).await;
        }
        sending.sent = sending.sent.saturating_add(1);
        sending.entry.sent(piece.tokens);
    }
    Some((Ok(Frame::data(piece.bytes)), sending))
}
