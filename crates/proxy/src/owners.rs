//! Which provider keeps what was made there: stored responses, files, batches and the like are asked for later by their
//! ids; and what is known of a provider's batches.
//!
//! Owns the memory of ids, bounded: what it has forgotten is asked of the default provider of the dialect, as everything
//! else of a vendor's own API. What was made on purpose (files, batches, vector stores) outlives the process; a stored
//! response, which every call may leave, does not, and takes no room from the others. Never decides who may ask. Fed
//! where answers leave, read where calls of a vendor's own API are routed.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tidegate_core::{
    ids::{CallId, ProviderName},
    made::{Due, Made, MadeStore, MadeStoreError, Results},
};
use tidegate_protocol::native::kept_at;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most ids that are remembered, of what outlives the process and of what does not.
const MOST: usize = 65_536;

/// The longest id that is remembered, in bytes.
const LONGEST: usize = 256;

/// The most files of results that are read to their end at the same time without a client.
const MOST_READ: usize = 16;

/// The memory.
pub struct Owners {
    /// What was made on purpose.
    made: Mutex<Remembered<Made>>,
    /// Where answers are stored.
    answers: Mutex<Remembered<ProviderName>>,
    /// Where the first outlives the process; `None` where it does not.
    store: Option<Arc<dyn MadeStore>>,
    reading: Arc<Semaphore>,
}

/// Things by their path, `COLLECTION/ID`.
struct Remembered<T> {
    by_path: HashMap<Arc<str>, T>,
    /// Paths in the order in which they came, for forgetting the oldest.
    order: VecDeque<Arc<str>>,
}

impl Default for Owners {
    fn default() -> Self {
        let (made, answers) = (Mutex::default(), Mutex::default());
        Self { made, answers, store: None, reading: Arc::new(Semaphore::new(MOST_READ)) }
    }
}

impl Owners {
    /// What `store` remembers. Blocks on the disk.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn load(store: Arc<dyn MadeStore>) -> Result<Self, MadeStoreError> {
        let mut made = Remembered::default();
        for (path, known) in store.newest_made(MOST)? {
            made.put(Arc::from(path), known);
        }
        Ok(Self { made: Mutex::new(made), store: Some(store), ..Self::default() })
    }

    /// Notes that a provider keeps `id` of a collection, and returns once that would outlive a crash. Where it cannot be
    /// kept, this process knows it all the same, and the log says so.
    pub(crate) async fn keep(&self, collection: &str, id: &str, made: Made) {
        if !fits(collection, id) {
            return;
        }
        let path = format!("{collection}/{id}");
        self.made.lock().put(Arc::from(path.as_str()), made.clone());
        if let Err(error) = self.write(path, made).await {
            tracing::error!(%error, "which provider keeps what was made is not remembered beyond this process");
        }
    }

    async fn write(&self, path: String, made: Made) -> Result<(), MadeStoreError> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || store.note_made(&path, &made, MOST)).await;
        written.unwrap_or_else(|error| Err(MadeStoreError(format!("did not end its work: {error}"))))
    }

    /// Notes that `provider` keeps `id` of a collection (`responses`).
    pub(crate) fn note(&self, collection: &str, id: &str, provider: &ProviderName) {
        if fits(collection, id) {
            self.answers.lock().put(Arc::from(format!("{collection}/{id}")), provider.clone());
        }
    }

    /// The provider that keeps what this path of a vendor's own API names: `/v1/COLLECTION/ID` and what is below it.
    pub(crate) fn of_path(&self, path: &str) -> Option<ProviderName> {
        let (collection, id) = kept_at(path)?;
        let path = format!("{collection}/{id}");
        let made = self.made.lock().by_path.get(&*path).map(|made| made.provider.clone());
        made.or_else(|| self.answers.lock().by_path.get(&*path).cloned())
    }

    /// What is known of `id` of a collection that was made on purpose.
    pub(crate) fn made(&self, collection: &str, id: &str) -> Option<Made> {
        self.made.lock().by_path.get(&*format!("{collection}/{id}")).cloned()
    }

    /// Notes that the results at `path` (`COLLECTION/ID`) came to `due`, and returns once that would outlive a crash.
    /// False where they were settled before, and where it cannot be kept: then it is as if they had not been read.
    pub(crate) async fn settle(&self, path: &str, of: &Made, due: Vec<Due>) -> bool {
        let settled = {
            let mut remembered = self.made.lock();
            if !remembered.by_path.contains_key(path) {
                remembered.put(Arc::from(path), of.clone());
            }
            let made = remembered.by_path.get_mut(path);
            let Some((made, results)) = made.map(|made| (made.clone(), &mut made.results)) else { return false };
            let Some(results) = results.as_mut().filter(|results| results.settled.is_none()) else { return false };
            results.settled = Some(due.first().map_or_else(CallId::new, |due| due.call));
            results.due = due;
            Made { results: Some(results.clone()), ..made }
        };
        let Err(error) = self.write(path.to_owned(), settled).await else { return true };
        tracing::error!(%error, path, "what a batch came to cannot be kept, so it is not paid for until it is read again");
        self.with_results(path, |results| *results = Results::unread(&results.batch));
        false
    }

    /// Notes that what was due for the results at `path` is on record.
    pub(crate) async fn paid(&self, path: &str) {
        let Some(made) = self.with_results(path, |results| results.due.clear()) else { return };
        if let Err(error) = self.write(path.to_owned(), made).await {
            tracing::warn!(%error, path, "that a batch is paid for is not kept: the next start looks at it again");
        }
    }

    fn with_results(&self, path: &str, change: impl FnOnce(&mut Results)) -> Option<Made> {
        let mut remembered = self.made.lock();
        let made = remembered.by_path.get_mut(path)?;
        made.results.as_mut().map(change)?;
        Some(made.clone())
    }

    /// What was due when the last process ended and may not be on record, each with its path.
    pub(crate) fn owed(&self) -> Vec<(Arc<str>, Made)> {
        let remembered = self.made.lock();
        let owed = |made: &Made| made.results.as_ref().is_some_and(|results| !results.due.is_empty());
        let found = remembered.by_path.iter().filter(|(_, made)| owed(made));
        found.map(|(path, made)| (Arc::clone(path), made.clone())).collect()
    }

    /// A place among the files that are read without a client, where one is free.
    pub(crate) fn reader(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.reading).try_acquire_owned().ok()
    }
}

fn fits(collection: &str, id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST && collection.len() <= LONGEST
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { by_path: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Remembered<T> {
    fn put(&mut self, path: Arc<str>, what: T) {
        if self.by_path.insert(Arc::clone(&path), what).is_some() {
            return;
        }
        self.order.push_back(path);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_path.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_found_by_its_path_and_the_oldest_is_forgotten() {
        let owners = Owners::default();
        let (a, b) = (ProviderName::from("a"), ProviderName::from("b"));
        owners.note("responses", "resp_1", &a);
        owners.note("responses", "resp_2", &b);
        assert_eq!(owners.of_path("/v1/responses/resp_1"), Some(a.clone()));
        assert_eq!(owners.of_path("/v1/responses/resp_2/input_items"), Some(b.clone()));
        assert_eq!(owners.of_path("/v1/responses/resp_3"), None);
        assert_eq!(owners.of_path("/v1/files/resp_1"), None);
        assert_eq!(owners.of_path("/v1/responses"), None);
        for number in 0..MOST {
            owners.note("responses", &format!("later_{number}"), &a);
        }
        assert_eq!(owners.of_path("/v1/responses/resp_1"), None);
        assert_eq!(owners.answers.lock().by_path.len(), MOST);
    }

    fn batch() -> Made {
        Made { provider: ProviderName::from("b"), maker: None, results: Some(Results::unread("msgbatch_1")) }
    }

    fn due() -> Vec<Due> {
        let (call, at) = (CallId::new(), tidegate_core::clock::UnixMillis(7));
        vec![Due { call, at, model: None, lines: 1, usage: tidegate_core::usage::Usage::default(), cost: None }]
    }

    #[tokio::test]
    async fn answers_that_are_stored_take_no_room_from_what_was_made() {
        let owners = Owners::default();
        owners.keep("messages/batches", "msgbatch_1", batch()).await;
        for number in 0..=MOST {
            owners.note("responses", &format!("resp_{number}"), &ProviderName::from("a"));
        }
        let path = "/v1/messages/batches/msgbatch_1/results";
        assert_eq!(owners.of_path(path), Some(ProviderName::from("b")));
        assert_eq!(owners.made("messages/batches", "msgbatch_1"), Some(batch()));
    }

    /// A store that keeps what it is told, or nothing.
    #[derive(Default)]
    struct Store {
        kept: Mutex<Vec<(String, Made)>>,
        broken: std::sync::atomic::AtomicBool,
    }

    impl MadeStore for Store {
        fn newest_made(&self, _: usize) -> Result<Vec<(String, Made)>, MadeStoreError> {
            Ok(self.kept.lock().clone())
        }

        fn note_made(&self, path: &str, made: &Made, _: usize) -> Result<(), MadeStoreError> {
            if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(MadeStoreError("is full".to_owned()));
            }
            let mut kept = self.kept.lock();
            kept.retain(|(known, _)| known != path);
            kept.push((path.to_owned(), made.clone()));
            Ok(())
        }

        fn forget_made(&self, path: &str) -> Result<(), MadeStoreError> {
            self.kept.lock().retain(|(known, _)| known != path);
            Ok(())
        }
    }

    #[tokio::test]
    async fn results_are_settled_once_and_what_is_owed_outlives_the_process() {
        let store = Arc::new(Store::default());
        let owners = Owners::load(Arc::clone(&store) as Arc<dyn MadeStore>).unwrap();
        owners.keep("messages/batches", "m", batch()).await;
        store.broken.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(!owners.settle("messages/batches/m", &batch(), due()).await, "what cannot be kept is not paid for");
        assert_eq!(owners.made("messages/batches", "m"), Some(batch()));
        store.broken.store(false, std::sync::atomic::Ordering::Relaxed);
        let due = due();
        assert!(owners.settle("messages/batches/m", &batch(), due.clone()).await);
        assert!(!owners.settle("messages/batches/m", &batch(), due.clone()).await, "once");

        let next = Owners::load(Arc::clone(&store) as Arc<dyn MadeStore>).unwrap();
        let owed = next.owed();
        assert_eq!(owed.len(), 1);
        assert_eq!(owed[0].1.results.as_ref().unwrap().due, due);
        assert!(!next.settle("messages/batches/m", &batch(), due.clone()).await, "once, also after a crash");
        next.paid("messages/batches/m").await;
        assert_eq!(next.owed(), []);
        let last = Owners::load(store as Arc<dyn MadeStore>).unwrap();
        assert_eq!(last.owed(), []);
        assert_eq!(last.made("messages/batches", "m").unwrap().results.unwrap().settled, Some(due[0].call));
    }

    #[tokio::test]
    async fn what_was_forgotten_while_it_was_read_is_settled_once_all_the_same() {
        let owners = Owners::default();
        assert!(owners.settle("files/f", &batch(), due()).await);
        assert!(!owners.settle("files/f", &batch(), due()).await);
        let nothing = Made { results: None, ..batch() };
        assert!(!owners.settle("files/g", &nothing, due()).await, "no file of results");
    }
}
