//! The control plane as its clients see it.

mod door;
mod keys;
mod pins;
mod reports;
mod watch;
