//! The client's side of MCP over Streamable HTTP (revisions 2025-03-26 to 2025-11-25) and standard streams, on raw JSON.
//!
//! Owns sessions with servers (one leg per client session), ids, and streams of messages. Never drops a field of a
//! payload, never mixes two legs. `dispatch` sends calls with it; `relay` and `control` are here.

mod events;
mod http;
mod piped;
mod relay;
mod session;
mod stdio;
mod traffic;

#[cfg(test)]
mod tests;

pub(crate) use self::traffic::{ToolBody, ToolTraffic};
pub use self::{
    events::{McpEvent, McpEvents},
    relay::Relayed,
    session::Leg,
    stdio::Program,
};
