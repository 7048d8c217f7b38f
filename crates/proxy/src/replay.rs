//! Streams that can be taken up again: the last events of a session's streams, for clients whose connection broke.
//!
//! Owns event ids and bounded memory. An id leads to a stream of the same session only, since it is looked up there.
//! Never speaks to a server; `tool_flow` writes and `resumed` reads.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame as BodyFrame;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    exchange::{Ending, Exchange},
    respond::{self, Body, Broken},
};

/// Most streams of a session that are remembered.
const MOST_STREAMS: usize = 4;

/// Most events of a stream, and bytes of them; the last one is kept up to [`LARGEST`].
const MOST: (usize, usize) = (256, 64 * 1024);

/// The largest event that is kept.
const LARGEST: usize = 1024 * 1024;

/// The streams of one session.
#[derive(Default)]
pub(crate) struct Replays {
    next: AtomicU64,
    streams: Mutex<VecDeque<Arc<Kept>>>,
}

/// One stream.
pub(crate) struct Kept {
    id: u64,
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    /// The number of the first event that is kept; the first of all has 1.
    first: u64,
    events: VecDeque<Bytes>,
    bytes: usize,
    over: bool,
    followed: usize,
}

impl Replays {
    /// Begins a stream.
    pub(crate) fn begin(&self) -> Arc<Kept> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let state = Mutex::new(State { first: 1, ..State::default() });
        let kept = Arc::new(Kept { id, state, more: Notify::new() });
        let mut streams = self.streams.lock();
        if streams.len() >= MOST_STREAMS {
            streams.pop_front();
        }
        streams.push_back(Arc::clone(&kept));
        kept
    }

    /// The stream and the number of the next event after the one of this id; `None` where it is not remembered.
    pub(crate) fn after(&self, event: &str) -> Option<(Arc<Kept>, u64)> {
        let (stream, number) = event.split_once('-')?;
        let (stream, number): (u64, u64) = (stream.parse().ok()?, number.parse().ok()?);
        let kept = self.streams.lock().iter().find(|kept| kept.id == stream).cloned()?;
        let next = number.saturating_add(1);
        let known = {
            let state = kept.state.lock();
            let end = state.first.saturating_add(u64::try_from(state.events.len()).unwrap_or(u64::MAX));
            (state.first..=end).contains(&next)
        };
        known.then_some((kept, next))
    }
}

impl Kept {
    /// The event that a stream begins with: it carries nothing but an id to resume from (revision 2025-11-25).
    pub(crate) fn priming(&self) -> Bytes {
        Bytes::from(format!("id: {}-0\ndata: \n\n", self.id))
    }

    /// Keeps an event and gives it with its id.
    pub(crate) fn push(&self, event: &[u8]) -> Bytes {
        let mut state = self.state.lock();
        let number = state.first.saturating_add(u64::try_from(state.events.len()).unwrap_or(u64::MAX));
        let mut bytes = format!("id: {}-{number}\n", self.id).into_bytes();
        bytes.extend_from_slice(event);
        let bytes = Bytes::from(bytes);
        state.bytes = state.bytes.saturating_add(bytes.len());
        state.events.push_back(bytes.clone());
        while state.events.len() > MOST.0 || (state.bytes > MOST.1 && state.events.len() > 1) || state.bytes > LARGEST {
            let Some(gone) = state.events.pop_front() else { break };
            state.bytes = state.bytes.saturating_sub(gone.len());
            state.first = state.first.saturating_add(1);
        }
        drop(state);
        self.more.notify_waiters();
        bytes
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        self.state.lock().over = true;
        self.more.notify_waiters();
    }

    /// Whether somebody has taken it up again.
    pub(crate) fn is_followed(&self) -> bool {
        self.state.lock().followed > 0
    }

    /// The event of this number, once there is one; `None` at the end, or where it has been let go.
    async fn event(&self, number: u64) -> Option<Bytes> {
        loop {
            let more = self.more.notified();
            {
                let state = self.state.lock();
                let at = usize::try_from(number.checked_sub(state.first)?).ok()?;
                if let Some(event) = state.events.get(at) {
                    return Some(event.clone());
                }
                if state.over {
                    return None;
                }
            }
            more.await;
        }
    }
}

/// Someone who follows.
struct Follower {
    kept: Arc<Kept>,
    next: u64,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.kept.state.lock();
        state.followed = state.followed.saturating_sub(1);
    }
}

/// Answers with the stream from `next` on.
pub(crate) fn resumed(mut exchange: Exchange, kept: Arc<Kept>, next: u64) -> Response<Body> {
    let head = respond::streaming(&exchange, 200, HeaderMap::new());
    exchange.end(&Ending { status: 200, fault: None, complete: true });
    {
        let mut state = kept.state.lock();
        state.followed = state.followed.saturating_add(1);
    }
    let events = stream::unfold(Follower { kept, next }, |mut follower| async move {
        let event = follower.kept.event(follower.next).await?;
        follower.next = follower.next.saturating_add(1);
        Some((Ok::<_, Broken>(BodyFrame::data(event)), follower))
    });
    head.map(|()| StreamBody::new(events).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_taken_up_where_it_stood_and_in_its_session_only() {
        let (replays, others) = (Replays::default(), Replays::default());
        let kept = replays.begin();
        assert_eq!(kept.priming(), "id: 0-0\ndata: \n\n");
        assert_eq!(kept.push(b"data: a\n\n"), "id: 0-1\ndata: a\n\n");
        kept.push(b"data: b\n\n");
        let (found, next) = replays.after("0-1").unwrap();
        assert_eq!(found.event(next).await.unwrap(), "id: 0-2\ndata: b\n\n");
        kept.end();
        assert_eq!(found.event(3).await, None);
        assert!(others.after("0-1").is_none());
        for unknown in ["1-0", "0-9", "0", "x-1", "0--1", ""] {
            assert!(replays.after(unknown).is_none(), "{unknown}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let replays = Replays::default();
        let kept = replays.begin();
        for _ in 0..1_000 {
            kept.push(&[b'x'; 1_000]);
        }
        assert!(kept.state.lock().bytes <= MOST.1);
        assert!(replays.after("0-1").is_none(), "what was let go cannot be resumed from");
        assert!(replays.after("0-999").is_some());
        kept.push(&vec![b'x'; 2 * LARGEST]);
        assert_eq!(kept.state.lock().bytes, 0);
        for _ in 0..MOST_STREAMS {
            replays.begin();
        }
        assert!(replays.after("0-1000").is_none(), "the oldest stream gives way");
    }
}
