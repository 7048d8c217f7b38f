//! Answers that outlive the process: what is asked of whoever stores them, and the form that they have there.
//!
//! Owns the form and the patience: a store that is slow, busy, broken or full never holds up a call, which then is one that
//! was not asked before. Never decides who may have an answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tidegate_core::{
    clock::{self, UnixMillis},
    ids::{Digest, ProviderName, TargetId},
};
use tokio::sync::Semaphore;

use super::{Kept, LARGEST_KEPT};

/// How long a call waits for the store.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many calls may wait for it at the same time; further ones do not look.
const MOST_WAITING: usize = 32;

/// What stands before a body: headers of a vendor are at most this long together.
const LARGEST_HEAD: usize = 128 << 10;

/// The most bytes of a stored answer.
pub const LARGEST_STORED: usize = LARGEST_KEPT + LARGEST_HEAD;

/// Where answers are stored.
pub trait AnswerStore: Send + Sync {
    /// What is stored under this name; blocks. `None` where there is nothing that can be read.
    fn get(&self, name: &Digest) -> Option<Vec<u8>>;

    /// Stores an answer until about `until`. Never blocks: what there is no room for is left out.
    fn put(&self, name: Digest, answer: Vec<u8>, until: UnixMillis);
}

/// A store, and how many calls ask it.
pub(super) struct Stored {
    store: Arc<dyn AnswerStore>,
    room: Arc<Semaphore>,
}

impl Stored {
    pub(super) fn new(store: Arc<dyn AnswerStore>) -> Self {
        Self { store, room: Arc::new(Semaphore::new(MOST_WAITING)) }
    }

    /// The answer to this question, if the store has it in time.
    pub(super) async fn get(&self, question: Digest) -> Option<Kept> {
        // What was given up keeps its place until the store has answered, so that a store that hangs is asked no more.
        let place = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || {
            let found = store.get(&question);
            drop(place);
            found
        });
        let found = tokio::time::timeout(PATIENCE, reading).await.ok()?.ok()??;
        read(found)
    }

    pub(super) fn put(&self, question: Digest, kept: &Kept) {
        let since = clock::wall();
        if let Some(answer) = written(kept, since) {
            self.store.put(question, answer, ends(since, kept.ttl));
        }
    }
}

fn ends(since: UnixMillis, ttl: Duration) -> UnixMillis {
    UnixMillis(since.0.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
}

/// What stands before the body, on a line of its own.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u8,
    status: u16,
    headers: Vec<(String, String)>,
    provider: String,
    model: String,
    since: u64,
    ttl: u64,
}

const VERSION: u8 = 1;

fn written(kept: &Kept, since: UnixMillis) -> Option<Vec<u8>> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    let head = Head {
        version: VERSION,
        status: kept.status,
        headers: kept.headers.iter().filter_map(text).collect(),
        provider: kept.served_by.provider.as_str().to_owned(),
        model: kept.served_by.model.to_string(),
        since: since.0,
        ttl: u64::try_from(kept.ttl.as_millis()).unwrap_or(u64::MAX),
    };
    let mut bytes = serde_json::to_vec(&head).ok().filter(|head| head.len() < LARGEST_HEAD)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&kept.body);
    Some(bytes)
}

/// What was stored; `None` where it is of another form, or past its time.
fn read(bytes: Vec<u8>) -> Option<Kept> {
    let line = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(bytes.get(..line)?).ok().filter(|head: &Head| head.version == VERSION)?;
    let (since, ttl) = (UnixMillis(head.since), Duration::from_millis(head.ttl));
    let (now, wall) = (clock::now(), clock::wall());
    let age = Duration::from_millis(wall.0.saturating_sub(since.0));
    // A clock that was set back makes nothing young.
    if since > wall || age >= ttl {
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    let body = Bytes::from(bytes).slice(line.saturating_add(1)..);
    let served_by = TargetId { provider: ProviderName::from(&*head.provider), model: Arc::from(&*head.model) };
    // Where the machine runs for less time than the answer is old, what is left of its time counts.
    let (since, ttl) = match now.checked_sub(age) {
        Some(since) => (since, ttl),
        None => (now, ttl.saturating_sub(age)),
    };
    Some(Kept { status: head.status, headers, body, served_by, since, ttl })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;

    fn kept(ttl: Duration) -> Kept {
        let mut headers = HeaderMap::new();
        headers.append("x-one", HeaderValue::from_static("1"));
        headers.append("x-one", HeaderValue::from_static("2"));
        let served_by = TargetId { provider: ProviderName::from("p"), model: "m".into() };
        Kept { status: 200, headers, body: Bytes::from_static(b"a\nb"), served_by, since: clock::now(), ttl }
    }

    #[test]
    fn a_stored_answer_is_what_it_was_and_one_past_its_time_is_none() {
        let hour = Duration::from_secs(3_600);
        let now = clock::wall();
        let again = read(written(&kept(hour), now).unwrap()).unwrap();
        assert_eq!((again.status, &*again.body, again.served_by.to_string()), (200, &b"a\nb"[..], "p/m".to_owned()));
        assert_eq!(again.headers.get_all("x-one").iter().count(), 2);
        let bytes = |since: u64| written(&kept(hour), UnixMillis(since)).unwrap();
        assert!(read(bytes(now.0 - 3_599_000)).is_some());
        assert!(read(bytes(now.0 - 3_601_000)).is_none(), "too old");
        assert!(read(bytes(now.0 + 60_000)).is_none(), "from the future");
        for damaged in [&b""[..], b"\n", b"{}\nabc", b"{\"version\":9}\n"] {
            assert!(read(damaged.to_vec()).is_none(), "{damaged:?}");
        }
    }

    #[derive(Default)]
    struct Slow(Mutex<HashMap<Digest, Vec<u8>>>, Duration);

    impl AnswerStore for Slow {
        fn get(&self, name: &Digest) -> Option<Vec<u8>> {
            std::thread::sleep(self.1);
            self.0.lock().get(name).cloned()
        }

        fn put(&self, name: Digest, answer: Vec<u8>, _: UnixMillis) {
            self.0.lock().insert(name, answer);
        }
    }

    #[tokio::test]
    async fn a_store_that_is_slow_is_not_waited_for_and_then_not_asked() {
        let question = Digest::of(b"q");
        let quick = Stored::new(Arc::new(Slow::default()));
        quick.put(question, &kept(Duration::from_secs(60)));
        assert!(quick.get(question).await.is_some());
        assert!(quick.get(Digest::of(b"other")).await.is_none());

        let slow = Stored::new(Arc::new(Slow(Mutex::default(), Duration::from_secs(2))));
        slow.put(question, &kept(Duration::from_secs(60)));
        let started = clock::now();
        let asked = (0..MOST_WAITING).map(|_| slow.get(question));
        assert!(futures_util::future::join_all(asked).await.iter().all(Option::is_none));
        assert_eq!(slow.room.available_permits(), 0);
        assert!(slow.get(question).await.is_none());
        assert!(clock::now().saturating_duration_since(started) < Duration::from_secs(1));
    }
}
