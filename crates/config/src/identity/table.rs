//! Every key in memory, and the look-up that each call begins with.
//!
//! A credential is looked up by its whole HMAC: a caller who does not know the pepper cannot choose where the look-up
//! goes, and no part of a credential ever stands for the whole. Unknown, revoked and expired keys take the same steps.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tidegate_core::{
    clock::UnixMillis,
    ids::{KeyId, KeyName, OrgId, TeamName},
    secret::Secret,
};

use super::{
    key::{KeyDigest, Malformed, Pepper, parse},
    record::{KeyOrigin, KeyRecord, StoredKey},
};

/// Why a credential is not accepted. A caller is told the same for every one but [`Self::Malformed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// It cannot be a key at all.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is not, or no longer, the key of anybody.
    #[error("the key is not valid")]
    NotValid,
}

/// A key that the configuration file declares, with its secret where the file refers to one.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Its name.
    pub name: KeyName,
    /// Its tenant.
    pub org: OrgId,
    /// Its team.
    pub team: Option<TeamName>,
    /// When it stops being valid.
    pub expires: Option<UnixMillis>,
    /// Its secret; `None` where the store keeps its digest.
    pub secret: Option<Secret>,
}

/// The most lent secrets that are valid at the same time; beyond it, the one that ends first ends at once.
pub const MOST_LENT: usize = 256;

/// Another secret of a key, for a while. Known to this process only.
#[derive(Debug, Clone)]
struct Lent {
    org: OrgId,
    id: KeyId,
    digest: KeyDigest,
    expires: UnixMillis,
}

/// What the table is made of.
#[derive(Debug, Default)]
struct Parts {
    declared: Vec<Declared>,
    stored: Vec<StoredKey>,
    lent: Vec<Lent>,
    since: UnixMillis,
}

/// What a credential's digest leads to.
#[derive(Debug)]
struct Known {
    record: Arc<KeyRecord>,
    /// Whether the digest is of a lent secret, whose key stands in the table by itself.
    lent: bool,
}

/// The keys that calls are looked up in.
#[derive(Debug)]
pub struct KeyTable {
    pepper: Pepper,
    dummy: KeyRecord,
    parts: Mutex<Parts>,
    by_digest: ArcSwap<HashMap<KeyDigest, Known>>,
}

impl KeyTable {
    /// A table without keys; `None` where the identifier of the stand-in could not be made, which no pepper causes.
    #[must_use]
    pub fn new(pepper: Pepper) -> Option<Self> {
        let digest = pepper.digest("the key of nobody");
        let dummy = KeyRecord {
            id: digest.derived_id()?,
            name: KeyName::from("nobody"),
            org: OrgId::from("nobody"),
            team: None,
            digest: KeyDigest([0; 32]),
            created: UnixMillis(0),
            expires: Some(UnixMillis(0)),
            revoked: Some(UnixMillis(0)),
            origin: KeyOrigin::File,
        };
        Some(Self { pepper, dummy, parts: Mutex::default(), by_digest: ArcSwap::default() })
    }

    /// The pepper that digests are made with.
    #[must_use]
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// Whose credential this is, at `now`.
    ///
    /// Every credential with a key's form takes the same path: one HMAC, one look-up, one comparison of whole digests
    /// (against a stand-in where there is no such key), one check of the key's state.
    ///
    /// # Errors
    /// That it is not accepted.
    pub fn authenticate(&self, credential: &str, now: UnixMillis) -> Result<Arc<KeyRecord>, NotAccepted> {
        let presented = parse(credential)?;
        let digest = self.pepper.digest(presented.text);
        let keys = self.by_digest.load();
        let found = keys.get(&digest).map(|known| &known.record);
        let record = found.map_or(&self.dummy, |found| &**found);
        let same = record.digest.same(&digest);
        let named = presented.id.is_none_or(|id| id == record.id);
        let valid = record.valid(now);
        match found {
            Some(record) if same & named & valid => Ok(Arc::clone(record)),
            _ => Err(NotAccepted::NotValid),
        }
    }

    /// Whether the key of this record is still valid at `now`, and still this one: for whoever authenticated it a moment
    /// ago. Costs a look-up and no HMAC.
    #[must_use]
    pub fn is_valid(&self, record: &KeyRecord, now: UnixMillis) -> bool {
        let keys = self.by_digest.load();
        keys.get(&record.digest).is_some_and(|known| known.record.id == record.id && known.record.valid(now))
    }

    /// The keys of one tenant, by name and then by age, revoked and expired ones too.
    #[must_use]
    pub fn list(&self, org: &OrgId) -> Vec<Arc<KeyRecord>> {
        let table = self.by_digest.load();
        let own = table.values().filter(|known| !known.lent && known.record.org == *org);
        let mut keys: Vec<_> = own.map(|known| Arc::clone(&known.record)).collect();
        keys.sort_by(|one, other| {
            one.name.cmp(&other.name).then(one.created.cmp(&other.created)).then(one.id.cmp(&other.id))
        });
        keys
    }

    /// The key `id` of one tenant.
    #[must_use]
    pub fn get(&self, org: &OrgId, id: KeyId) -> Option<Arc<KeyRecord>> {
        let table = self.by_digest.load();
        let mut own = table.values().filter(|known| !known.lent).map(|known| &known.record);
        own.find(|key| key.id == id && key.org == *org).map(Arc::clone)
    }

    /// Replaces the keys that the file declares; `now` is when their revision was activated.
    pub fn set_declared(&self, declared: Vec<Declared>, now: UnixMillis) {
        let mut parts = self.parts.lock();
        parts.declared = declared;
        parts.since = now;
        self.rebuild(&parts);
    }

    /// Replaces the keys of the store. Call it after every change there; a revoked key is refused from here on.
    pub fn set_stored(&self, stored: Vec<StoredKey>) {
        let mut parts = self.parts.lock();
        parts.stored = stored;
        self.rebuild(&parts);
    }

    /// Adds or replaces one key of the store.
    pub fn put_stored(&self, key: StoredKey) {
        let mut parts = self.parts.lock();
        parts.stored.retain(|known| known.id != key.id);
        parts.stored.push(key);
        self.rebuild(&parts);
    }

    /// Revokes a key of the store in memory, at once; false where there is none such.
    pub fn revoke(&self, org: &OrgId, id: KeyId, at: UnixMillis) -> bool {
        let mut parts = self.parts.lock();
        let Some(key) = parts.stored.iter_mut().find(|key| key.id == id && key.org == *org) else { return false };
        key.revoked.get_or_insert(at);
        self.rebuild(&parts);
        true
    }

    /// Lets the secret of this digest in as the key `id` of `org` until `expires`; false where there is no such key, or
    /// it is not valid at `now`. The key's own end counts too: revoked, rotated or expired, it takes what was lent along.
    /// Nothing of it outlives the process.
    pub fn lend(&self, org: &OrgId, id: KeyId, digest: KeyDigest, expires: UnixMillis, now: UnixMillis) -> bool {
        let mut parts = self.parts.lock();
        if !self.get(org, id).is_some_and(|key| key.valid(now)) {
            return false;
        }
        parts.lent.retain(|lent| now < lent.expires);
        while parts.lent.len() >= MOST_LENT {
            let first = parts.lent.iter().enumerate().min_by_key(|(_, lent)| lent.expires).map(|(at, _)| at);
            let Some(first) = first else { break };
            parts.lent.swap_remove(first);
        }
        parts.lent.push(Lent { org: org.clone(), id, digest, expires });
        self.rebuild(&parts);
        true
    }

    /// The whole table anew. A digest belongs to one key: where two claim it, a revoked one wins, and so on to the
    /// one that lets less through.
    fn rebuild(&self, parts: &Parts) {
        let mut keys: HashMap<KeyDigest, Known> = HashMap::new();
        let mut add = |record: KeyRecord| {
            let known = keys.get(&record.digest).map(|known| &known.record);
            if known.is_none_or(|known| known.revoked.is_none() && record.revoked.is_some()) {
                keys.insert(record.digest, Known { record: Arc::new(record), lent: false });
            }
        };
        for key in &parts.stored {
            let declared = parts.declared.iter().find(|declared| declared.name == key.name && declared.org == key.org);
            match (&key.rules, declared) {
                (Some(_), _) => add(record_of_store(key)),
                (None, Some(declared)) => add(record_of_both(key, declared)),
                // The file no longer declares it: nothing says what it may do.
                (None, None) => {}
            }
        }
        for declared in &parts.declared {
            let Some(secret) = &declared.secret else { continue };
            let digest = self.pepper.digest(secret.expose());
            let id = parse(secret.expose()).ok().and_then(|key| key.id).or_else(|| digest.derived_id());
            let Some(id) = id else { continue };
            add(KeyRecord {
                id,
                name: declared.name.clone(),
                org: declared.org.clone(),
                team: declared.team.clone(),
                digest,
                created: parts.since,
                expires: declared.expires,
                revoked: None,
                origin: KeyOrigin::File,
            });
        }
        let own: HashMap<KeyId, Arc<KeyRecord>> =
            keys.values().map(|known| (known.record.id, Arc::clone(&known.record))).collect();
        for lent in &parts.lent {
            let key = own.get(&lent.id).filter(|record| record.org == lent.org);
            let Some(record) = key.map(|record| KeyRecord::clone(record)) else { continue };
            let expires = Some(record.expires.map_or(lent.expires, |own| own.min(lent.expires)));
            let record = Arc::new(KeyRecord { digest: lent.digest, expires, ..record });
            keys.entry(lent.digest).or_insert(Known { record, lent: true });
        }
        self.by_digest.store(Arc::new(keys));
    }
}

fn record_of_store(key: &StoredKey) -> KeyRecord {
    KeyRecord {
        id: key.id,
        name: key.name.clone(),
        org: key.org.clone(),
        team: key.team.clone(),
        digest: key.digest,
        created: key.created,
        expires: key.expires,
        revoked: key.revoked,
        origin: KeyOrigin::Store,
    }
}

/// A key that the file declares and whose digest the store keeps: the earlier of the two ends counts.
fn record_of_both(key: &StoredKey, declared: &Declared) -> KeyRecord {
    let expires = match (key.expires, declared.expires) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    KeyRecord { team: declared.team.clone(), expires, origin: KeyOrigin::File, ..record_of_store(key) }
}

#[cfg(test)]
mod tests;
