//! Stories of the whole gateway, told from outside: the binary is started, called over HTTP, killed, and read back.
//!
//! Owns no part of the product and reaches into none: what it knows it learns from answers, the simulator's ledger, the
//! state file and the audit log. Every wait has an end.

#[cfg(test)]
#[path = "stories/mod.rs"]
mod stories;
