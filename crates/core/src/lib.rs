//! The vocabulary that every other crate shares: who calls, what is called, what it costs, what went wrong.
//!
//! Owns plain types and pure functions. Never does I/O, never starts a task, knows no protocol and no vendor.
//! Everything above this crate may use it; it uses none of them.

pub mod batches;
pub mod blocks;
pub mod calls;
pub mod capability;
pub mod clock;
pub mod control;
pub mod event;
pub mod facts;
pub mod fault;
pub mod ids;
pub mod made;
pub mod metric;
pub mod money;
pub mod principal;
pub mod secret;
pub mod segment;
pub mod trace;
pub mod unit;
pub mod usage;
pub mod value;
