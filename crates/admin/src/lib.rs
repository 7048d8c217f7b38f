//! The control plane's API: keys, calls, spend, policies, revisions and the state of the gateway, over HTTP.
//!
//! Owns the routes of the admin listener, who may use them, and the answers' shapes; console and command line are its
//! clients. Never serves a caller's traffic, never starts a process, never reaches out to a network itself, never tells a
//! secret but the key that it has just made. The binary serves [`router`] on a listener of its own.

mod access;
mod answer;
mod api;
mod auth;
mod control;
mod feed;
mod handlers;
mod host;
mod moment;
mod openapi;
mod pins;

pub use crate::{
    access::{MATRIX, Role, Route},
    api::router,
    control::{ApplyError, Control, apply_stored_keys},
    feed::Feed,
    openapi::openapi,
    pins::{PinChange, PinState, PinsChanged, PinsError, PinsFuture, ToolPins},
};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
