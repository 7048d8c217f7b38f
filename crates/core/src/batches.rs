//! The gateway's own batches and the files that they read and leave: what is known of each, and the ports to where they
//! are kept.
//!
//! Owns names, states and the ports. Never decides who may see one, and never runs a line: the proxy does, through these
//! ports, which the store implements.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::UnixMillis,
    ids::{KeyId, KeyName, OrgId, TeamName},
    principal::Principal,
};

/// How the id of a file of the gateway's own begins. No provider's does.
pub const FILE_PREFIX: &str = "file-tg-";
/// How the id of a batch of the gateway's own begins.
pub const BATCH_PREFIX: &str = "batch_tg_";

/// A text that is no id of the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no id of this gateway")]
pub struct NotOurs;

macro_rules! own_id {
    ($(#[$doc:meta])* $name:ident, $prefix:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh one, later than every one made before it on this machine (to the millisecond).
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a fresh id is no default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = NotOurs;

            fn from_str(text: &str) -> Result<Self, NotOurs> {
                let hex = text.strip_prefix($prefix).ok_or(NotOurs)?;
                let plain = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
                if plain { Uuid::try_parse(hex).map(Self).map_err(|_| NotOurs) } else { Err(NotOurs) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

own_id! {
    /// A file of the gateway's own: `file-tg-` and 32 hexadecimal digits.
    FileId, FILE_PREFIX
}
own_id! {
    /// A batch of the gateway's own: `batch_tg_` and 32 hexadecimal digits.
    BatchId, BATCH_PREFIX
}

/// Who sees a file or a batch: the team of the key that made it, or where it has none, the keys of its name. Within one
/// tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant.
    pub org: OrgId,
    /// `team/NAME` or `key/NAME`.
    pub name: Arc<str>,
}

impl Owner {
    /// Whose the things are that `principal` makes.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        let name = match &principal.team {
            Some(team) => format!("team/{}", team.as_str()),
            None => format!("key/{}", principal.key_name.as_str()),
        };
        Self { org: principal.org.clone(), name: Arc::from(name) }
    }
}

/// The key that made something, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The tenant.
    pub org: OrgId,
    /// The key.
    pub key: KeyId,
    /// Its name.
    pub key_name: KeyName,
    /// Its team.
    pub team: Option<TeamName>,
    /// When the key was made: a rotated key keeps this and its name, and gets another id.
    pub key_created: UnixMillis,
    /// Where its request came from.
    pub address: IpAddr,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// What was uploaded.
    Uploaded,
    /// The lines of a batch that were answered.
    Answers(BatchId),
    /// The lines of a batch that were not.
    Failures(BatchId),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its id.
    pub id: FileId,
    /// Who sees it.
    pub owner: Owner,
    /// Its name as it was given, at most 256 bytes.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was made.
    pub created: UnixMillis,
    /// When it is erased.
    pub expires: UnixMillis,
    /// What is in it.
    pub content: Content,
}

/// What a batch asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchEndpoint {
    /// Chat completions.
    #[serde(rename = "/v1/chat/completions")]
    Chat,
    /// Completions of a text.
    #[serde(rename = "/v1/completions")]
    Completions,
    /// Numbers for texts.
    #[serde(rename = "/v1/embeddings")]
    Embeddings,
    /// Responses.
    #[serde(rename = "/v1/responses")]
    Responses,
    /// Moderations.
    #[serde(rename = "/v1/moderations")]
    Moderations,
}

impl BatchEndpoint {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses, Self::Moderations];

    /// Its path.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Moderations => "/v1/moderations",
        }
    }

    /// The one at `path`.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }
}

/// How a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Its lines are being read for the first time.
    Validating,
    /// Its lines cannot be run, or may not be run any more.
    Failed,
    /// Its lines are being run.
    InProgress,
    /// Every line has its end; the files are being made.
    Finalizing,
    /// Done.
    Completed,
    /// Its time was over before its lines were.
    Expired,
    /// No further line begins; those in flight end.
    Cancelling,
    /// It was cancelled.
    Cancelled,
}

impl BatchStatus {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more comes of it.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

/// Why a batch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    /// A word for programs.
    pub code: Arc<str>,
    /// A sentence for people.
    pub message: String,
    /// The field.
    pub param: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
}

/// When a batch came to each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the moment of the state of its name")]
pub struct BatchMoments {
    pub in_progress: Option<UnixMillis>,
    pub finalizing: Option<UnixMillis>,
    pub completed: Option<UnixMillis>,
    pub failed: Option<UnixMillis>,
    pub expired: Option<UnixMillis>,
    pub cancelling: Option<UnixMillis>,
    pub cancelled: Option<UnixMillis>,
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBatch {
    /// Its id.
    pub id: BatchId,
    /// Who sees it.
    pub owner: Owner,
    /// The key that its lines run as.
    pub maker: Maker,
    /// The session that its lines belong to, as the request that made it said.
    pub session: Option<Arc<str>>,
    /// What that request said in `x-tidegate-metadata`.
    pub labels: Option<Arc<str>>,
    /// The file with its lines.
    pub input: FileId,
    /// What its lines ask.
    pub endpoint: BatchEndpoint,
    /// The maker's own words on it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// How it stands.
    pub status: BatchStatus,
    /// Its lines; zero until they were read.
    pub total: u32,
    /// Lines that were answered.
    pub completed: u32,
    /// Lines that were not.
    pub failed: u32,
    /// The file with the answers, once there is one.
    pub output: Option<FileId>,
    /// The file with the failures, once there is one.
    pub error: Option<FileId>,
    /// Why it failed.
    pub errors: Vec<BatchError>,
    /// When it was made.
    pub created: UnixMillis,
    /// When its time is over.
    pub expires: UnixMillis,
    /// When it came to each state.
    pub moments: BatchMoments,
}

/// Which files or batches to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// Only those behind this one in the order of the list.
    pub after: Option<Id>,
    /// At most so many; at most 10,000.
    pub most: usize,
    /// Whether the newest come first.
    pub newest_first: bool,
}

/// What the store of batches could not do.
#[derive(Debug, thiserror::Error)]
#[error("the store of batches {0}")]
pub struct BatchStoreError(pub String);

/// The port through which files and batches are known. Every method blocks on the disk, and returns from a change once
/// it would outlive a crash.
pub trait BatchStore: Send + Sync {
    /// Keeps a batch and these files, in place of what was kept under their ids: all of them or nothing.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn keep(&self, batch: Option<&StoredBatch>, files: &[StoredFile]) -> Result<(), BatchStoreError>;

    /// A file of this owner.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn file(&self, owner: &Owner, id: FileId) -> Result<Option<StoredFile>, BatchStoreError>;

    /// The files of this owner.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn files(&self, owner: &Owner, page: Page<FileId>) -> Result<Vec<StoredFile>, BatchStoreError>;

    /// Forgets a file; false where there is none.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn forget_file(&self, id: FileId) -> Result<bool, BatchStoreError>;

    /// Files of any owner whose time was over at `now`, at most 1,000.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn over(&self, now: UnixMillis) -> Result<Vec<StoredFile>, BatchStoreError>;

    /// Whether there is such a file, whoever owns it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn has_file(&self, id: FileId) -> Result<bool, BatchStoreError>;

    /// The bytes of all files together.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn bytes(&self) -> Result<u64, BatchStoreError>;

    /// A batch of this owner.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn batch(&self, owner: &Owner, id: BatchId) -> Result<Option<StoredBatch>, BatchStoreError>;

    /// The batches of this owner.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn batches(&self, owner: &Owner, page: Page<BatchId>) -> Result<Vec<StoredBatch>, BatchStoreError>;

    /// The batches of every owner that have not ended, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn unended(&self) -> Result<Vec<StoredBatch>, BatchStoreError>;

    /// Forgets batches that were made before `before`, have ended, and have no file left.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn forget_batches(&self, before: UnixMillis) -> Result<u64, BatchStoreError>;
}

/// What is known of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineState {
    /// It is about to be run, or was.
    Begun,
    /// It was not run after all, and is as if it had not begun.
    Withdrawn,
    /// It was answered.
    Answered,
    /// It was not, and is not run again.
    Failed,
}

/// What is noted of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNote {
    /// The line, from 1.
    pub line: u32,
    /// What became of it.
    pub state: LineState,
    /// The line of the file of answers or failures, without its end; empty for the other states.
    pub text: Vec<u8>,
}

/// The lines of a batch, noted one after the other.
pub trait LineLog: Send {
    /// Adds notes: all are on the disk when it returns, or none counts.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn add(&mut self, notes: &[LineNote]) -> Result<(), BatchStoreError>;
}

/// Pieces of a file, in their order.
pub trait Pieces: Send {
    /// The next piece, at most 64 MiB; `None` at the end.
    ///
    /// # Errors
    /// Where it cannot be read or was changed.
    fn next(&mut self) -> Result<Option<Vec<u8>>, BatchStoreError>;
}

/// A file that is being written. Dropped before it is finished, nothing of it stays.
pub trait Draft: Send {
    /// Adds a piece of at most 1 MiB.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn add(&mut self, piece: &[u8]) -> Result<(), BatchStoreError>;

    /// The end: the file outlives a crash when this returns.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn finish(self: Box<Self>) -> Result<(), BatchStoreError>;
}

/// The log of a batch as it was found: who writes on, and every note's line and state with the bytes of its text.
pub type OpenedLog = (Box<dyn LineLog>, Vec<(u32, LineState, u64)>);

/// The port to what is in files, encrypted where it lies. Every method blocks on the disk.
pub trait ContentStore: Send + Sync {
    /// Begins the file `id`.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn draft(&self, id: FileId) -> Result<Box<dyn Draft>, BatchStoreError>;

    /// What was uploaded as `id`.
    ///
    /// # Errors
    /// Where it is not there or cannot be read.
    fn uploaded(&self, id: FileId) -> Result<Box<dyn Pieces>, BatchStoreError>;

    /// The texts of every line of `batch` that came to `state`, each with a line end.
    ///
    /// # Errors
    /// Where they are not there or cannot be read.
    fn lines(&self, batch: BatchId, state: LineState) -> Result<Box<dyn Pieces>, BatchStoreError>;

    /// The log of a batch, made where it is missing. A note that a crash left half written does not count.
    ///
    /// # Errors
    /// Where it cannot be read or written, or was changed.
    fn log(&self, batch: BatchId) -> Result<OpenedLog, BatchStoreError>;

    /// Erases what was uploaded as `id`.
    ///
    /// # Errors
    /// Where it cannot be erased.
    fn erase(&self, id: FileId) -> Result<(), BatchStoreError>;

    /// Erases the log of a batch.
    ///
    /// # Errors
    /// Where it cannot be erased.
    fn erase_log(&self, batch: BatchId) -> Result<(), BatchStoreError>;

    /// Erases drafts that were never finished, and files that `known` does not know: at a start.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    fn tidy(&self, known: &dyn Fn(FileId) -> bool) -> Result<(), BatchStoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_printed_and_no_provider_s_is_one() {
        let (file, batch) = (FileId::new(), BatchId::new());
        assert_eq!(file.to_string().parse(), Ok(file));
        assert_eq!(batch.to_string().parse(), Ok(batch));
        for text in ["file-abc", "batch_abc", "file-tg-", "file-tg-../../etc/passwd", "file-tg-0123"] {
            assert_eq!(text.parse::<FileId>(), Err(NotOurs), "{text}");
        }
        let upper = file.to_string().to_uppercase().replace("FILE-TG-", FILE_PREFIX);
        assert!(upper == file.to_string() || upper.parse::<FileId>().is_err());
    }
}
