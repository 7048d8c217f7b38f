//! The data plane: listener, surfaces, pipeline and stages. Start reading at [`pipeline`](crate) — `pipeline.rs`.
//!
//! Owns the way of a call from its first byte to its outcome. Never opens a connection to an upstream by itself (that is
//! `upstream`), never writes to a store, and serves no admin route.

mod batch;
mod client;
mod discovery;
mod exchange;
mod federation;
mod finish;
mod floods;
mod flow;
mod gate;
mod here;
mod live;
mod metrics;
mod pipeline;
mod raw_flow;
mod repeats;
mod replay;
mod respond;
mod server;
mod session;
mod stage;
mod surface;
mod tool_flow;
mod traced;

pub use crate::{
    discovery::Discovery,
    floods::Floods,
    gate::Gate,
    live::Registry,
    metrics::Metrics,
    repeats::Repeats,
    respond::Body,
    server::{Bounds, serve},
    session::Sessions,
};
