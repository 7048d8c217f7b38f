//! Which provider keeps what was made there: stored responses, files, batches and the like are asked for later by their
//! ids.
//!
//! Owns the memory of ids, bounded: what it has forgotten is asked of the default provider of the dialect, as everything
//! else of a vendor's own API. What was made on purpose (files, batches, vector stores) outlives the process; a stored
//! response, which every call may leave, does not. Never decides who may ask. Fed where answers leave, read where calls
//! of a vendor's own API are routed.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tidegate_core::{
    ids::ProviderName,
    made::{Made, MadeStore, MadeStoreError},
};

/// The most ids that are remembered.
const MOST: usize = 65_536;

/// The longest id that is remembered, in bytes.
const LONGEST: usize = 256;

/// The memory.
#[derive(Default)]
pub struct Owners {
    inner: Mutex<Inner>,
    /// Where it outlives the process; `None` where it does not.
    store: Option<Arc<dyn MadeStore>>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<Arc<str>, ProviderName>,
    /// Ids in the order in which they came, for forgetting the oldest.
    order: VecDeque<Arc<str>>,
}

impl Owners {
    /// What `store` remembers. Blocks on the disk.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn load(store: Arc<dyn MadeStore>) -> Result<Self, MadeStoreError> {
        let mut inner = Inner::default();
        for (path, made) in store.newest_made(MOST)? {
            inner.put(Arc::from(path), made.provider);
        }
        Ok(Self { inner: Mutex::new(inner), store: Some(store) })
    }

    /// Notes that a provider keeps `id` of a collection, and returns once that would outlive a crash. Where it cannot be
    /// kept, this process knows it all the same, and the log says so.
    pub(crate) async fn keep(&self, collection: &str, id: &str, made: Made) {
        self.note(collection, id, &made.provider);
        let Some(store) = self.store.clone().filter(|_| fits(collection, id)) else { return };
        let path = format!("{collection}/{id}");
        let kept = tokio::task::spawn_blocking(move || store.note_made(&path, &made, MOST)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "which provider keeps what was made is not remembered beyond this process");
        }
    }

    /// Notes that `provider` keeps `id` of a collection (`responses`, `files`).
    pub(crate) fn note(&self, collection: &str, id: &str, provider: &ProviderName) {
        if fits(collection, id) {
            self.inner.lock().put(Arc::from(format!("{collection}/{id}")), provider.clone());
        }
    }

    /// The provider that keeps what this path of a vendor's own API names: `/v1/COLLECTION/ID` and what is below it.
    pub(crate) fn of_path(&self, path: &str) -> Option<ProviderName> {
        let (collection, below) = path.strip_prefix("/v1/")?.split_once('/')?;
        let id = below.split('/').next()?;
        self.inner.lock().by_id.get(&*format!("{collection}/{id}")).cloned()
    }
}

fn fits(collection: &str, id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST && collection.len() <= LONGEST
}

impl Inner {
    fn put(&mut self, path: Arc<str>, provider: ProviderName) {
        if self.by_id.insert(Arc::clone(&path), provider).is_some() {
            return;
        }
        self.order.push_back(path);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
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
        owners.note("files", "file-1", &b);
        assert_eq!(owners.of_path("/v1/files/file-1/content"), Some(b));
        for number in 0..MOST {
            owners.note("responses", &format!("later_{number}"), &a);
        }
        assert_eq!(owners.of_path("/v1/responses/resp_1"), None);
        assert_eq!(owners.inner.lock().by_id.len(), MOST);
    }
}
