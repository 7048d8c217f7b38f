//! What callers made at providers (files, batches, vector stores): who keeps it, and whose doing it was.
//!
//! Owns the type and the port. Never decides who may ask for it; the proxy routes by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    batches::Maker,
    clock::UnixMillis,
    ids::{CallId, ProviderName},
    money::NanoUsd,
    usage::Usage,
};

/// Something that a provider keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The provider, by its name in the configuration.
    pub provider: ProviderName,
    /// The key that made it; `None` where that is not of account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<Maker>,
    /// What is known of the results of a batch, where they are fetched from this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
}

/// The results of a batch that a provider ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The batch, by the provider's id.
    pub batch: Arc<str>,
    /// The first of the calls that it was paid for under, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<CallId>,
    /// What is to be paid for it and may not be on record yet: none once all of it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<Due>,
}

impl Results {
    /// Those of a batch that nobody has read yet.
    #[must_use]
    pub fn unread(batch: &str) -> Self {
        Self { batch: Arc::from(batch), settled: None, due: Vec::new() }
    }
}

/// What the answers of one model in a batch came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The call that they are on record as.
    pub call: CallId,
    /// When they were read.
    pub at: UnixMillis,
    /// The model by the provider's name; `None` for answers that name none, and for lines that could not be read.
    pub model: Option<Arc<str>>,
    /// Lines of results.
    pub lines: u64,
    /// What they used together.
    pub usage: Usage,
    /// What they cost; `None` where nobody knows.
    pub cost: Option<NanoUsd>,
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
