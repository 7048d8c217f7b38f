//! The engine that keeps everything in the process: for trial runs and tests. Owns a few maps; never does I/O. What
//! it keeps of money grows for as long as the process lives, so a gateway that stays up uses another engine.

mod batches;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, btree_map},
};

use parking_lot::Mutex;
use tidegate_config::{
    identity::{KeyDigest, KeyStore, KeyStoreError, StoredKey},
    pins::{PinStore, PinStoreError, PinnedTool},
};
use tidegate_core::{
    batches::{BatchId, FileId, StoredBatch, StoredFile},
    calls::{CallIndex, CallIndexError, CallQuery, CallSummary},
    clock::UnixMillis,
    ids::{CallId, KeyId, OrgId, ServerName, ToolName},
    made::Made,
    money::NanoUsd,
};
use tidegate_ledger::{Balance, Entry, LedgerStore, Scope, SpendQuery, SpendRow, StoreError, ports::summarize};

/// How many calls the index keeps.
const CALLS_KEPT: usize = 10_000;
/// The most calls that one list gives.
pub(crate) const MOST_LISTED: usize = 1_000;

/// Everything in memory, gone with the process. Any number of threads may use it.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<HashMap<CallId, Entry>>,
    keys: Mutex<Vec<StoredKey>>,
    calls: Mutex<Calls>,
    pins: Mutex<BTreeMap<(ServerName, ToolName), PinnedTool>>,
    changed: Mutex<BTreeMap<(ServerName, ToolName), PinnedTool>>,
    files: Mutex<BTreeMap<FileId, StoredFile>>,
    batches: Mutex<BTreeMap<BatchId, StoredBatch>>,
    made: Mutex<Vec<(String, Made)>>,
}

/// Calls by the order in which they were recorded.
#[derive(Debug, Default)]
struct Calls {
    next: u64,
    kept: BTreeMap<u64, CallSummary>,
    places: HashMap<CallId, u64>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl LedgerStore for Memory {
    fn record(&self, entry: Entry) {
        self.entries.lock().insert(entry.call, entry);
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn load(&self, since: UnixMillis) -> Result<Vec<Entry>, StoreError> {
        Ok(self.entries.lock().values().filter(|entry| entry.at >= since).cloned().collect())
    }

    fn balances(&self, before: UnixMillis) -> Result<Vec<Balance>, StoreError> {
        let mut sums: BTreeMap<Scope, NanoUsd> = BTreeMap::new();
        for entry in self.entries.lock().values().filter(|entry| entry.at < before) {
            for scope in entry.scopes.iter() {
                let sum = sums.entry(scope.clone()).or_default();
                *sum = sum.saturating_add(entry.charged());
            }
        }
        Ok(sums.into_iter().map(|(scope, charged)| Balance { scope, charged }).collect())
    }

    fn spend(&self, query: SpendQuery) -> Result<Vec<SpendRow>, StoreError> {
        Ok(summarize(self.entries.lock().values(), query))
    }
}

impl KeyStore for Memory {
    fn all(&self) -> Result<Vec<StoredKey>, KeyStoreError> {
        Ok(self.keys.lock().clone())
    }

    fn list(&self, org: &OrgId) -> Result<Vec<StoredKey>, KeyStoreError> {
        let mut keys: Vec<StoredKey> = self.keys.lock().iter().filter(|key| key.org == *org).cloned().collect();
        keys.sort_by(|one, other| (&one.name, one.created, one.id).cmp(&(&other.name, other.created, other.id)));
        Ok(keys)
    }

    fn insert(&self, key: &StoredKey) -> Result<(), KeyStoreError> {
        let mut keys = self.keys.lock();
        let taken = |other: &StoredKey| {
            other.id == key.id
                || other.digest.same(&key.digest)
                || (other.revoked.is_none() && key.revoked.is_none() && other.org == key.org && other.name == key.name)
        };
        if keys.iter().any(taken) {
            return Err(KeyStoreError::Conflict);
        }
        keys.push(key.clone());
        Ok(())
    }

    fn update(&self, key: &StoredKey) -> Result<(), KeyStoreError> {
        let mut keys = self.keys.lock();
        let same = |known: &&mut StoredKey| known.org == key.org && known.id == key.id && known.revoked.is_none();
        let known = keys.iter_mut().find(same).ok_or(KeyStoreError::NotFound)?;
        known.team.clone_from(&key.team);
        known.expires = key.expires;
        known.rules.clone_from(&key.rules);
        Ok(())
    }

    fn remove(&self, org: &OrgId, id: KeyId) -> Result<(), KeyStoreError> {
        let mut keys = self.keys.lock();
        let before = keys.len();
        keys.retain(|key| key.org != *org || key.id != id);
        if keys.len() == before { Err(KeyStoreError::NotFound) } else { Ok(()) }
    }

    fn rotate(&self, org: &OrgId, id: KeyId, new_id: KeyId, digest: &KeyDigest) -> Result<(), KeyStoreError> {
        let mut keys = self.keys.lock();
        let at = keys
            .iter()
            .position(|key| key.org == *org && key.id == id && key.revoked.is_none())
            .ok_or(KeyStoreError::NotFound)?;
        let taken = |other: &StoredKey| other.id == new_id || other.digest.same(digest);
        if keys.iter().enumerate().any(|(place, other)| place != at && taken(other)) {
            return Err(KeyStoreError::Conflict);
        }
        let key = keys.get_mut(at).ok_or(KeyStoreError::NotFound)?;
        key.id = new_id;
        key.digest = *digest;
        Ok(())
    }

    fn revoke(&self, org: &OrgId, id: KeyId, at: UnixMillis) -> Result<(), KeyStoreError> {
        let mut keys = self.keys.lock();
        let key = keys.iter_mut().find(|key| key.org == *org && key.id == id).ok_or(KeyStoreError::NotFound)?;
        key.revoked.get_or_insert(at);
        Ok(())
    }
}

impl PinStore for Memory {
    fn all(&self) -> Result<Vec<PinnedTool>, PinStoreError> {
        Ok(self.pins.lock().values().cloned().collect())
    }

    fn pin(&self, pins: &[PinnedTool]) -> Result<Vec<PinnedTool>, PinStoreError> {
        let mut kept = self.pins.lock();
        let mut fresh = Vec::new();
        for pin in pins {
            if let btree_map::Entry::Vacant(place) = kept.entry((pin.server.clone(), pin.name.clone())) {
                place.insert(pin.clone());
                fresh.push(pin.clone());
            }
        }
        Ok(fresh)
    }

    fn accept(&self, pins: &[PinnedTool]) -> Result<(), PinStoreError> {
        let (mut kept, mut changed) = (self.pins.lock(), self.changed.lock());
        for pin in pins {
            changed.remove(&(pin.server.clone(), pin.name.clone()));
            kept.insert((pin.server.clone(), pin.name.clone()), pin.clone());
        }
        Ok(())
    }

    fn forget(&self, server: &ServerName, tool: &ToolName) -> Result<bool, PinStoreError> {
        let name = (server.clone(), tool.clone());
        let (mut kept, mut changed) = (self.pins.lock(), self.changed.lock());
        changed.remove(&name);
        Ok(kept.remove(&name).is_some())
    }

    fn changed(&self) -> Result<Vec<PinnedTool>, PinStoreError> {
        Ok(self.changed.lock().values().cloned().collect())
    }

    fn note(&self, server: &ServerName, tool: &ToolName, seen: Option<&PinnedTool>) -> Result<(), PinStoreError> {
        let name = (server.clone(), tool.clone());
        let (kept, mut changed) = (self.pins.lock(), self.changed.lock());
        match seen.filter(|_| kept.contains_key(&name)) {
            Some(seen) => changed.insert(name, seen.clone()),
            None => changed.remove(&name),
        };
        Ok(())
    }
}

impl CallIndex for Memory {
    fn record(&self, call: CallSummary) {
        let mut calls = self.calls.lock();
        let fresh = calls.next;
        let place = *calls.places.entry(call.id).or_insert(fresh);
        if place == fresh {
            calls.next = calls.next.saturating_add(1);
        }
        calls.kept.insert(place, call);
        if calls.kept.len() > CALLS_KEPT
            && let Some((_, oldest)) = calls.kept.pop_first()
        {
            calls.places.remove(&oldest.id);
        }
    }

    fn list(&self, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, CallIndexError> {
        let calls = self.calls.lock();
        let mut found: Vec<&CallSummary> =
            calls.kept.values().filter(|call| call.org == *org && matches(call, query)).collect();
        found.sort_by_key(|call| Reverse((call.at, call.id)));
        Ok(found.into_iter().take(query.most.min(MOST_LISTED)).cloned().collect())
    }

    fn get(&self, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, CallIndexError> {
        let calls = self.calls.lock();
        let call = calls.places.get(&id).and_then(|place| calls.kept.get(place));
        Ok(call.filter(|call| call.org == *org).cloned())
    }

    fn flush(&self) -> Result<(), CallIndexError> {
        Ok(())
    }
}

/// Whether a list that `query` asks for has `call`.
pub(crate) fn matches(call: &CallSummary, query: &CallQuery) -> bool {
    let key = query.key.as_deref().is_none_or(|key| call.key.as_ref().is_some_and(|name| name.as_str() == key));
    let error = match query.error.as_deref() {
        None => true,
        Some("any") => call.error.is_some(),
        Some(code) => call.error.as_deref() == Some(code),
    };
    key && error && query.before.is_none_or(|before| call.at < before)
}
