//! What both of the bench's programs need: bodies to send, and the arithmetic of what was measured.
//!
//! Owns nothing that runs in the gateway. `tidegate-rig` (mock upstream, load, figures of a process) and
//! `tidegate-stages` (the pure stages of a call, counted and timed) use it; `cargo xtask bench` and `cargo xtask
//! instructions` run those two.

pub mod body;
pub mod options;
pub mod quantile;
