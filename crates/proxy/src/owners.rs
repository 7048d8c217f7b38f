//! Which provider keeps what was made there: stored responses, files, batches and the like are asked for later by their
//! ids.
//!
//! Owns the memory of ids, bounded, of this process alone: what it has forgotten is asked of the default provider of the
//! dialect, as everything else of a vendor's own API. Never decides who may ask. Fed where answers leave, read where
//! calls of a vendor's own API are routed.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tidegate_core::ids::ProviderName;

/// The most ids that are remembered.
const MOST: usize = 65_536;

/// The longest id that is remembered, in bytes.
const LONGEST: usize = 256;

/// The memory.
#[derive(Default)]
pub struct Owners {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<Arc<str>, ProviderName>,
    /// Ids in the order in which they came, for forgetting the oldest.
    order: VecDeque<Arc<str>>,
}

impl Owners {
    /// Notes that `provider` keeps `id` of a collection (`responses`, `files`).
    pub(crate) fn note(&self, collection: &str, id: &str, provider: &ProviderName) {
        if id.is_empty() || id.len() > LONGEST || collection.len() > LONGEST {
            return;
        }
        let mut inner = self.inner.lock();
        let id: Arc<str> = Arc::from(format!("{collection}/{id}"));
        if inner.by_id.insert(Arc::clone(&id), provider.clone()).is_some() {
            return;
        }
        inner.order.push_back(id);
        if inner.order.len() > MOST
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.by_id.remove(&oldest);
        }
    }

    /// The provider that keeps what this path of a vendor's own API names: `/v1/COLLECTION/ID` and what is below it.
    pub(crate) fn of_path(&self, path: &str) -> Option<ProviderName> {
        let (collection, below) = path.strip_prefix("/v1/")?.split_once('/')?;
        let id = below.split('/').next()?;
        self.inner.lock().by_id.get(&*format!("{collection}/{id}")).cloned()
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
