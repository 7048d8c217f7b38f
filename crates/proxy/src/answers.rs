//! Answers of models that are given again to the same question.
//!
//! Owns the answers that are kept, in memory and within a bound; all of them go when the process ends. They are kept as
//! the upstream gave them, in the caller's dialect and before any guard looked at them, so that guards look again each
//! time. Never asks an upstream, never decides who may have an answer. The stage `cache` looks here, `guard_response`
//! and `flow` tell what came.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use moka::{Expiry, sync::Cache};
use parking_lot::RwLock;
use tidegate_core::{
    clock,
    ids::{Digest, TargetId},
};

/// The largest answer that is kept, in bytes.
const LARGEST_KEPT: usize = 4 << 20;

/// What an entry takes besides its answer, roughly, in bytes.
const OVERHEAD: usize = 1_024;

/// An answer.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) status: u16,
    /// The vendor's headers.
    pub(crate) headers: HeaderMap,
    /// A whole answer, or all frames of a stream.
    pub(crate) body: Bytes,
    pub(crate) served_by: TargetId,
    pub(crate) since: Instant,
    ttl: Duration,
}

type ByQuestion = Cache<Digest, Arc<Kept>>;

/// The answers by the digests of their questions.
#[derive(Default)]
pub struct Answers {
    /// With the bound that they are kept within; another bound begins anew.
    kept: RwLock<Option<(usize, ByQuestion)>>,
}

impl Answers {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer to this question. `most` bounds in bytes what is kept.
    pub(crate) fn get(&self, question: &Digest, most: usize) -> Option<Arc<Kept>> {
        // Expiry is looked at here too: what is too old may not have been let go yet.
        let kept = self.within(most).get(question)?;
        (clock::now().saturating_duration_since(kept.since) < kept.ttl).then_some(kept)
    }

    fn within(&self, most: usize) -> ByQuestion {
        if let Some((bound, cache)) = &*self.kept.read()
            && *bound == most
        {
            return cache.clone();
        }
        let mut kept = self.kept.write();
        if let Some((bound, cache)) = &*kept
            && *bound == most
        {
            return cache.clone();
        }
        let cache = Cache::builder()
            .max_capacity(u64::try_from(most).unwrap_or(u64::MAX))
            .weigher(|_, kept: &Arc<Kept>| u32::try_from(kept.body.len().saturating_add(OVERHEAD)).unwrap_or(u32::MAX))
            .expire_after(ByItself)
            .build();
        *kept = Some((most, cache.clone()));
        cache
    }
}

/// Each answer says itself how long it is kept.
struct ByItself;

impl Expiry<Digest, Arc<Kept>> for ByItself {
    fn expire_after_create(&self, _: &Digest, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }
}

/// An answer on its way to the caller, which is kept once it is whole.
pub(crate) struct Keeping {
    question: Digest,
    ttl: Duration,
    most: usize,
    head: Option<(u16, HeaderMap, TargetId)>,
    /// The body so far; `None` once it is too large to be kept.
    body: Option<BytesMut>,
}

impl Keeping {
    pub(crate) fn new(question: Digest, ttl: Duration, most: usize) -> Self {
        Self { question, ttl, most, head: None, body: Some(BytesMut::new()) }
    }

    /// Notes the head of the answer.
    pub(crate) fn begin(&mut self, status: u16, headers: &HeaderMap, served_by: TargetId) {
        self.head = Some((status, headers.clone(), served_by));
    }

    /// Notes a piece of the answer.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if let Some(body) = &mut self.body {
            if body.len().saturating_add(piece.len()) > LARGEST_KEPT {
                self.body = None;
            } else {
                body.extend_from_slice(piece);
            }
        }
    }

    /// The answer is whole.
    pub(crate) fn keep(self, answers: &Answers) {
        let (Some(body), Some((status, headers, served_by))) = (self.body, self.head) else { return };
        let body = Bytes::copy_from_slice(&body);
        let kept = Kept { status, headers, body, served_by, since: clock::now(), ttl: self.ttl };
        answers.within(self.most).insert(self.question, Arc::new(kept));
    }
}
