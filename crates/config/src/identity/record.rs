//! What is known about a key, and the port through which keys are kept.

use serde::{Deserialize, Serialize};
use tidegate_core::{
    clock::UnixMillis,
    ids::{KeyId, KeyName, OrgId, TeamName},
};
use tidegate_ledger::ScopeRules;

use super::key::KeyDigest;

/// Where a key is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// The configuration file: rules change there only.
    File,
    /// The store: made with `tidegate key create`.
    Store,
}

/// A key in the table: who shows it, and until when it counts. What it may do stands in the snapshot, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its identifier.
    pub id: KeyId,
    /// Its name.
    pub name: KeyName,
    /// Its tenant.
    pub org: OrgId,
    /// Its team.
    pub team: Option<TeamName>,
    /// The HMAC of the whole key.
    pub digest: KeyDigest,
    /// When it was made; for a key of the file, when its revision was first activated.
    pub created: UnixMillis,
    /// When it stops being valid.
    pub expires: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked: Option<UnixMillis>,
    /// Where it is owned.
    pub origin: KeyOrigin,
}

impl KeyRecord {
    /// Whether it is valid at `now`.
    #[must_use]
    pub fn valid(&self, now: UnixMillis) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

/// What a key of the store may do and spend. A key of the file has its rules there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredRules {
    /// Models that it may ask, by the names that callers use; `*` for all.
    #[serde(default)]
    pub models: Vec<String>,
    /// MCP servers that it may use; `*` for all.
    #[serde(default)]
    pub mcp_servers: Vec<String>,
    /// The guardrails that look at its calls.
    #[serde(default)]
    pub guardrails: Vec<String>,
    /// Its budgets and limits.
    #[serde(default)]
    pub limits: ScopeRules,
}

/// A key as the store keeps it. For a key that the file declares without a secret, the store keeps the digest alone:
/// `rules` is `None`, and the file's count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its identifier, unique within the installation.
    pub id: KeyId,
    /// Its name, unique within its tenant among keys that are not revoked.
    pub name: KeyName,
    /// Its tenant.
    pub org: OrgId,
    /// Its team.
    pub team: Option<TeamName>,
    /// The HMAC of the whole key, unique within the installation.
    pub digest: KeyDigest,
    /// When it was made.
    pub created: UnixMillis,
    /// When it stops being valid.
    pub expires: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked: Option<UnixMillis>,
    /// Its rules; `None` where the file declares the key.
    pub rules: Option<StoredRules>,
}

/// What the store of keys could not do.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The store does not answer or is damaged.
    #[error("the key store {0}")]
    Unavailable(String),
    /// A valid key of that name, or any key of that identifier or digest, is there already.
    #[error("there is a key of this name already: revoke it, or use another name")]
    Conflict,
    /// No such key in this tenant.
    #[error("no such key")]
    NotFound,
}

/// The port through which keys are kept. Every method but [`Self::all`] is bounded to one tenant.
pub trait KeyStore: Send + Sync {
    /// Every key of every tenant, revoked ones too: for filling the table at a start.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn all(&self) -> Result<Vec<StoredKey>, KeyStoreError>;

    /// The keys of one tenant, revoked ones too, by name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn list(&self, org: &OrgId) -> Result<Vec<StoredKey>, KeyStoreError>;

    /// Keeps a new key. Returns once it would outlive a crash.
    ///
    /// # Errors
    /// `Conflict` where name, identifier or digest are taken; where the store cannot be written.
    fn insert(&self, key: &StoredKey) -> Result<(), KeyStoreError>;

    /// Gives the key `id` of `org` another identifier and digest, at once: the old key is void from then on.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where the new ones are taken; where the store cannot be written.
    fn rotate(&self, org: &OrgId, id: KeyId, new_id: KeyId, digest: &KeyDigest) -> Result<(), KeyStoreError>;

    /// Keeps another team, end and rules of the key with this identifier and tenant. Name, digest and moments stay.
    ///
    /// # Errors
    /// `NotFound`, also for a revoked key; where the store cannot be written.
    fn update(&self, key: &StoredKey) -> Result<(), KeyStoreError>;

    /// Forgets the key `id` of `org`.
    ///
    /// # Errors
    /// `NotFound`; where the store cannot be written.
    fn remove(&self, org: &OrgId, id: KeyId) -> Result<(), KeyStoreError>;

    /// Marks the key `id` of `org` as revoked at `at`. Revoking twice keeps the first moment.
    ///
    /// # Errors
    /// `NotFound`; where the store cannot be written.
    fn revoke(&self, org: &OrgId, id: KeyId, at: UnixMillis) -> Result<(), KeyStoreError>;
}
