//! Evidence: every call's intent, attempts and outcome as leaves of a signed, tamper-evident log.
//!
//! Owns the write-ahead log, the Merkle tree in C2SP tlog-tiles form, its signed checkpoints, the encrypted bodies
//! beside it, and the offline verifier. Never decides whether a call may go, never talks to a network, never holds a
//! body in a leaf. The proxy writes to it, the binary opens and verifies it, the store rebuilds its indexes from it.

pub mod blob;
pub mod checkpoint;
pub mod log;
pub mod note;
pub mod ports;
pub mod prove;
pub mod record;
pub mod seal;
pub mod tiles;
pub mod tree;
pub mod verify;

mod bound;
mod integrate;
mod intent;
mod json;
mod keys;
mod read;
mod recover;
mod wal;

#[cfg(test)]
mod support;

pub use intent::{AuditOff, AuditPlan, AuditUnavailable, Class, Intent};
pub use keys::KeyError;
pub use log::{Audit, OpenError, OpenOptions, Status};
pub use read::{ReadError, RecordsFrom};
pub use recover::{IntentSummary, Recovery};
