//! Where state is kept: one engine a folder, each implementing the ports that other crates declare.
//!
//! Owns the engines [`Memory`] (nothing outlives the process) and [`Sqlite`] (one file), for finished calls' money
//! ([`tidegate_ledger::LedgerStore`]), keys ([`tidegate_config::identity::KeyStore`]), pinned tools
//! ([`tidegate_config::pins::PinStore`]), the index of calls ([`tidegate_core::calls::CallIndex`]), files and batches
//! ([`tidegate_core::batches::BatchStore`]) and what was made at providers ([`tidegate_core::made::MadeStore`]); and
//! [`Contents`] and [`AnswerFiles`], folders with what is in files and with answers that are given again. Never decides anything, never sees a key itself, never opens a socket.
//! The binary makes an engine and hands it to the ledger, the table of keys, the proxy and the admin API. Every engine
//! passes the same suite.

mod answers;
#[cfg(test)]
mod conformance;
mod contents;
mod memory;
mod sqlite;

pub use crate::{
    answers::{AnswerFileError, AnswerFiles},
    contents::Contents,
    memory::Memory,
    sqlite::{Limits, OpenError, Sqlite, Standing, sqlite_version},
};
