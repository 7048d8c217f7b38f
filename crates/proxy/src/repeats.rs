//! Answers that are given again to whoever asks the same under the same `idempotency-key`.
//!
//! Owns the answers that are kept, in memory and within a bound: the oldest leave first, and all of them when the
//! process ends. Never asks an upstream. The stage `idempotency` looks here, `respond` and `flow` tell what was answered.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tidegate_core::{
    clock,
    ids::{CallId, Digest},
};
use tokio::sync::watch;

use crate::surface::Surface;

/// How long an answer is given again.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest answer that is kept, in bytes.
const LARGEST_KEPT: usize = 256 * 1024;

/// What an entry takes besides its answer, roughly, in bytes.
const OVERHEAD: usize = 1_024;

/// What was answered.
pub(crate) struct Recorded {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The call that was answered first.
    pub(crate) call: CallId,
}

/// What was asked: the surface, and the digest of the body.
pub(crate) type Question = (Surface, Digest);

/// The answers by their callers' keys.
#[derive(Default)]
pub struct Repeats {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Digest, Entry>,
    /// The answers that are kept, oldest first; whoever stands here without an entry of that number is gone already.
    order: VecDeque<(Digest, u64, Instant)>,
    bytes: usize,
    number: u64,
}

struct Entry {
    number: u64,
    question: Question,
    state: State,
}

enum State {
    Running(watch::Receiver<Option<Arc<Recorded>>>),
    Kept(Arc<Recorded>),
}

/// What is known of a question.
pub(crate) enum Known {
    /// Nothing: whoever asked is the first, and tells the others.
    First(Running),
    /// It is being answered.
    Running(watch::Receiver<Option<Arc<Recorded>>>),
    /// It was answered.
    Kept(Arc<Recorded>),
    /// The key was used for another question.
    Other,
}

impl Repeats {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of `question` under `name`. `most` bounds in bytes what is kept, here and from now on.
    pub(crate) fn ask(&self, name: Digest, question: Question, call: CallId, most: usize) -> Known {
        let now = clock::now();
        let mut inner = self.inner.lock();
        inner.shrink(most, now);
        match inner.entries.get(&name) {
            Some(entry) if entry.question != question => return Known::Other,
            Some(Entry { state: State::Running(waiting), .. }) => return Known::Running(waiting.clone()),
            Some(Entry { state: State::Kept(recorded), .. }) => return Known::Kept(Arc::clone(recorded)),
            None => {}
        }
        inner.number = inner.number.wrapping_add(1);
        let number = inner.number;
        let (teller, waiting) = watch::channel(None);
        inner.entries.insert(name, Entry { number, question, state: State::Running(waiting) });
        drop(inner);
        let kept = Some(BytesMut::new());
        Known::First(Running { inner: Arc::clone(&self.inner), name, number, call, most, teller, kept, head: None })
    }
}

impl Inner {
    /// Lets go of what is too old, and of the oldest until no more than `most` bytes are kept.
    fn shrink(&mut self, most: usize, now: Instant) {
        while let Some(&(name, number, since)) = self.order.front() {
            if self.bytes <= most && now.saturating_duration_since(since) < KEPT_FOR {
                return;
            }
            self.order.pop_front();
            self.remove(name, number);
        }
    }

    fn remove(&mut self, name: Digest, number: u64) {
        if self.entries.get(&name).is_none_or(|entry| entry.number != number) {
            return;
        }
        if let Some(Entry { state: State::Kept(recorded), .. }) = self.entries.remove(&name) {
            self.bytes = self.bytes.saturating_sub(size(&recorded));
        }
    }
}

fn size(recorded: &Recorded) -> usize {
    recorded.body.len().saturating_add(OVERHEAD)
}

/// The first to ask, who tells the others. Dropped without telling, the next of them is the first.
pub(crate) struct Running {
    inner: Arc<Mutex<Inner>>,
    name: Digest,
    number: u64,
    call: CallId,
    most: usize,
    teller: watch::Sender<Option<Arc<Recorded>>>,
    /// The body so far; `None` once it is too large to be kept.
    kept: Option<BytesMut>,
    head: Option<(StatusCode, HeaderMap)>,
}

impl Running {
    /// Notes the head of the answer.
    pub(crate) fn begin(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.head = Some((status, headers.clone()));
    }

    /// Notes a piece of the answer.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if let Some(kept) = &mut self.kept {
            if kept.len().saturating_add(piece.len()) > LARGEST_KEPT {
                self.kept = None;
            } else {
                kept.extend_from_slice(piece);
            }
        }
    }

    /// The answer is whole: those who wait get it, and with `keep` those who ask later.
    pub(crate) fn tell(mut self, keep: bool) {
        let (Some(body), Some((status, headers))) = (self.kept.take(), self.head.take()) else { return };
        let recorded = Arc::new(Recorded { status, headers, body: Bytes::copy_from_slice(&body), call: self.call });
        if keep {
            let now = clock::now();
            let mut inner = self.inner.lock();
            if let Some(entry) = inner.entries.get_mut(&self.name).filter(|entry| entry.number == self.number) {
                entry.state = State::Kept(Arc::clone(&recorded));
                inner.bytes = inner.bytes.saturating_add(size(&recorded));
                inner.order.push_back((self.name, self.number, now));
                inner.shrink(self.most, now);
            }
        }
        self.teller.send_replace(Some(recorded));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        let running = inner
            .entries
            .get(&self.name)
            .is_some_and(|entry| entry.number == self.number && matches!(entry.state, State::Running(_)));
        if running {
            inner.entries.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests;
