//! Configuration and identity: from what people write to what the proxy runs by, and whose key a call shows.
//!
//! Owns the configuration's language, its diagnostics and its JSON Schema, the compiled snapshot with its content hash,
//! live reload, and the table of keys. Three types: [`document::Document`] (what is written, with places),
//! [`check::Checked`] (what is meant, every mistake found), [`snapshot::Snapshot`] (compiled; only this reaches the
//! proxy). Never sends anything to a network, never runs a command, never prints a secret.

#[cfg(test)]
mod broken;
pub mod check;
pub mod codes;
#[cfg(test)]
mod credentials;
pub mod document;
pub mod environment;
pub mod expect;
pub mod found;
pub mod identity;
pub mod import;
pub mod live;
mod node;
pub mod pins;
pub mod problem;
pub mod reference;
pub mod render;
mod revision;
pub mod schema;
pub mod snapshot;
pub mod source;
pub mod vendor;
pub mod watch;
