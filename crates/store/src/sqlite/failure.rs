//! What goes wrong inside the engine, and how each port says it. Owns no resource; the ports' files use it.

use rusqlite::ErrorCode;
use tidegate_config::{identity::KeyStoreError, pins::PinStoreError};
use tidegate_core::{batches::BatchStoreError, calls::CallIndexError, made::MadeStoreError};
use tidegate_ledger::StoreError;

/// Why the engine did not do something. Never holds a value that was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// After `close`.
    #[error("the state file was closed")]
    Closed,
    /// SQLite said no.
    #[error("{0}")]
    Engine(#[from] rusqlite::Error),
    /// A row that this program cannot have written.
    #[error("a row of the table `{table}` is damaged: {what}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong, without the value.
        what: String,
    },
    /// Entries were lost, and nobody was told yet.
    #[error(
        "{0} entries could not be kept: the disk refused them for too long, or they came after the end; the audit log \
         has them"
    )]
    Lost(u64),
}

impl Failure {
    pub(crate) fn ledger(self, action: &'static str) -> StoreError {
        StoreError { action, source: Box::new(self) }
    }

    pub(crate) fn calls(self) -> CallIndexError {
        CallIndexError(format!("does not answer: {self}"))
    }

    pub(crate) fn pins(self) -> PinStoreError {
        PinStoreError(format!("does not answer: {self}"))
    }

    pub(crate) fn batches(self) -> BatchStoreError {
        BatchStoreError(format!("does not answer: {self}"))
    }

    pub(crate) fn made(self) -> MadeStoreError {
        MadeStoreError(format!("does not answer: {self}"))
    }

    pub(crate) fn keys(self) -> KeyStoreError {
        match self {
            Self::Engine(ref problem) if problem.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                KeyStoreError::Conflict
            }
            Self::Row { .. } => KeyStoreError::Unavailable(format!("is damaged: {self}")),
            Self::Closed | Self::Engine(_) | Self::Lost(_) => {
                KeyStoreError::Unavailable(format!("does not answer: {self}"))
            }
        }
    }
}

/// Whether only the item is to blame, so that trying it again is of no use.
pub(crate) fn is_of_the_item(problem: &rusqlite::Error) -> bool {
    match problem {
        rusqlite::Error::ToSqlConversionFailure(_) => true,
        _ => matches!(
            problem.sqlite_error_code(),
            Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
        ),
    }
}

/// A value as JSON for a column.
pub(crate) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|problem| rusqlite::Error::ToSqlConversionFailure(Box::new(problem)))
}

/// What a signed 64-bit column holds of an amount: beyond 9,223,372,036,854,775,807 (9.2 billion dollars; the year
/// 292 million) it is clamped to that.
pub(crate) fn clamp(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
