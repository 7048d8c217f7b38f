//! What callers made at providers (files, batches, vector stores): who keeps it, and whose doing it was.
//!
//! Owns the type and the port. Never decides who may ask for it; the proxy routes by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    batches::Maker,
    ids::{CallId, ProviderName},
};

/// Something that a provider keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The provider, by its name in the configuration.
    pub provider: ProviderName,
    /// The key that made it; `None` where that is not of account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<Maker>,
    /// What the file tells, where it is one with the results of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
}

/// A file with the results of a provider's batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The batch, by the provider's id.
    pub batch: Arc<str>,
    /// The call that the lines were paid for under, once they were.
    pub settled: Option<CallId>,
}

/// What the store of things that were made could not do.
#[derive(Debug, thiserror::Error)]
#[error("the store of what was made {0}")]
pub struct MadeStoreError(pub String);

/// The port through which it is kept. Every method blocks on the disk.
pub trait MadeStore: Send + Sync {
    /// The newest things, at most `most`, oldest first, each with its path (`COLLECTION/ID`).
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn newest_made(&self, most: usize) -> Result<Vec<(String, Made)>, MadeStoreError>;

    /// Keeps a thing under its path, in place of what was there, as the newest; the oldest beyond `most` are forgotten.
    /// Returns once it would outlive a crash.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn note_made(&self, path: &str, made: &Made, most: usize) -> Result<(), MadeStoreError>;

    /// Forgets a thing.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn forget_made(&self, path: &str) -> Result<(), MadeStoreError>;
}
