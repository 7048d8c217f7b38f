//! Calls through the whole crate, against scripted upstreams.

mod attempts;
mod destinations;
mod hedges;
mod streams;
