//! Answers of models that are given again to the same question.
//!
//! Owns the answers that are kept, in memory and within a bound; `stored.rs` has those that a model's entry wants to
//! outlive the process. They are kept as the upstream gave them, in the caller's dialect and before any guard looked at
//! them, so that guards look again each time. Never asks an upstream, never decides who may have an answer. The stage
//! `cache` looks here, `guard_response` and `flow` tell what came.

mod stored;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use moka::{Expiry, sync::Cache};
use parking_lot::RwLock;
use tidegate_config::document::CacheKeep;
use tidegate_core::{
    clock,
    ids::{Digest, TargetId},
};

use stored::Stored;
pub use stored::{AnswerStore, LARGEST_STORED};

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

/// A question that was answered, by the numbers of its last words.
#[derive(Debug, Clone)]
struct Like {
    numbers: Arc<[f32]>,
    question: Digest,
}

/// The most questions that one is compared with.
const MOST_LIKE: usize = 256;

/// Both by what is asked: the answers by the whole question, the questions by what is the same in similar ones.
#[derive(Clone)]
struct Both {
    answers: Cache<Digest, Arc<Kept>>,
    likes: Cache<Digest, Arc<[Like]>>,
}

/// The answers by the digests of their questions.
#[derive(Default)]
pub struct Answers {
    /// With the bound that they are kept within; another bound begins anew.
    kept: RwLock<Option<(usize, Both)>>,
    stored: Option<Stored>,
}

impl Answers {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is kept in memory yet; `store` has what models want stored.
    #[must_use]
    pub fn over(store: Arc<dyn AnswerStore>) -> Self {
        Self { kept: RwLock::default(), stored: Some(Stored::new(store)) }
    }

    /// The answer to this question, from memory, or from the store where it may be there.
    pub(crate) async fn find(&self, question: &Digest, keep: CacheKeep, most: usize) -> Option<Arc<Kept>> {
        if let Some(kept) = self.get(question, most) {
            return Some(kept);
        }
        let stored = self.stored.as_ref().filter(|_| keep == CacheKeep::Store)?;
        // Boxed, so that calls that ask no store carry none of its size.
        let kept = Arc::new(Box::pin(stored.get(*question)).await?);
        self.within(most).answers.insert(*question, Arc::clone(&kept));
        Some(kept)
    }

    /// The answer to this question. `most` bounds in bytes what is kept.
    pub(crate) fn get(&self, question: &Digest, most: usize) -> Option<Arc<Kept>> {
        // Expiry is looked at here too: what is too old may not have been let go yet.
        let kept = self.within(most).answers.get(question)?;
        (clock::now().saturating_duration_since(kept.since) < kept.ttl).then_some(kept)
    }

    /// The answer to the question whose numbers are closest to these, and how close they are: at least `least`.
    pub(crate) fn similar(
        &self,
        context: &Digest,
        numbers: &[f32],
        least: f32,
        most: usize,
    ) -> Option<(Arc<Kept>, f32)> {
        let likes = self.within(most).likes.get(context)?;
        let mut close: Vec<(f32, &Like)> = likes
            .iter()
            .map(|like| (closeness(&like.numbers, numbers), like))
            .filter(|(closeness, _)| *closeness >= least)
            .collect();
        close.sort_by(|one, other| other.0.total_cmp(&one.0));
        // Where the closest one's answer is gone, the next is as good.
        close.into_iter().find_map(|(closeness, like)| Some((self.get(&like.question, most)?, closeness)))
    }

    fn within(&self, most: usize) -> Both {
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
        let capacity = u64::try_from(most).unwrap_or(u64::MAX);
        let answers = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, kept: &Arc<Kept>| u32::try_from(kept.body.len().saturating_add(OVERHEAD)).unwrap_or(u32::MAX))
            .expire_after(ByItself)
            .build();
        let likes = Cache::builder().max_capacity(capacity / 4).weigher(|_, likes: &Arc<[Like]>| weight(likes)).build();
        let both = Both { answers, likes };
        *kept = Some((most, both.clone()));
        both
    }
}

/// What a list of questions takes, in bytes.
fn weight(likes: &[Like]) -> u32 {
    let bytes: usize = likes.iter().map(|like| size_of_val(&*like.numbers) + size_of::<Like>()).sum();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The cosine of the angle between two lists of numbers of length 1; as far apart as can be where they are of two models.
fn closeness(one: &[f32], other: &[f32]) -> f32 {
    if one.len() != other.len() {
        return -1.0;
    }
    one.iter().zip(other).map(|(one, other)| one * other).sum()
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
    /// Whether the answer is stored too.
    store: bool,
    head: Option<(u16, HeaderMap, TargetId)>,
    /// The body so far; `None` once it is too large to be kept.
    body: Option<BytesMut>,
    /// What is the same in similar questions, and the numbers of this one.
    like: Option<(Digest, Arc<[f32]>)>,
}

impl Keeping {
    pub(crate) fn new(question: Digest, ttl: Duration, most: usize) -> Self {
        Self { question, ttl, most, store: false, head: None, body: Some(BytesMut::new()), like: None }
    }

    /// The answer is kept where the model's entry says.
    pub(crate) fn kept(mut self, keep: CacheKeep) -> Self {
        self.store = keep == CacheKeep::Store;
        self
    }

    /// The answer is also one to similar questions: those with the same `context`, by their `numbers`.
    pub(crate) fn like(mut self, context: Digest, numbers: Vec<f32>) -> Self {
        self.like = Some((context, numbers.into()));
        self
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
        if let Some(stored) = answers.stored.as_ref().filter(|_| self.store) {
            stored.put(self.question, &kept);
        }
        let both = answers.within(self.most);
        both.answers.insert(self.question, Arc::new(kept));
        if let Some((context, numbers)) = self.like {
            let known = both.likes.get(&context).unwrap_or_default();
            // Whatever has no answer any more, and the oldest, make room.
            let live =
                known.iter().filter(|like| like.question != self.question && both.answers.contains_key(&like.question));
            let mut likes: Vec<Like> = live.cloned().collect();
            let surplus = likes.len().saturating_add(1).saturating_sub(MOST_LIKE);
            likes.drain(..surplus);
            likes.push(Like { numbers, question: self.question });
            both.likes.insert(context, likes.into());
        }
    }
}
