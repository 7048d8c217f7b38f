//! Live sessions over a WebSocket, as OpenAI's Realtime API speaks them: what a client's event asks, what a server's
//! event says, and what a session has come to so far.
//!
//! Owns the reading of both sides' events and the figures that a turn is reserved by. Never opens a socket, never holds
//! an event back: the proxy's session does. Events of a client that are on no list are refused, since what is not known
//! cannot be governed; events of a server pass, and every text in them is shown to guards.

mod client;
mod context;
mod server;
#[cfg(test)]
mod tests;

use tidegate_core::ids::{ModelName, ToolName};

use crate::json::Limits;

pub use client::{ClientEvent, ClientKind};
pub use context::Context;
pub use server::{Ended, ServerEvent, ServerKind, failed_response, refusal_event};

/// The largest event that is taken of either side, in bytes. OpenAI takes 15 MiB of audio at once; a second of it is
/// 64 KB, so that this is more than a minute.
pub const LARGEST_EVENT: usize = 4 * 1024 * 1024;

/// What a turn is asked under.
#[derive(Debug, Clone)]
pub struct Turning {
    /// The model as the caller named it.
    pub model: ModelName,
    /// The names of the tools that the model is offered.
    pub tools: Vec<ToolName>,
    /// An upper bound of the conversation's tokens.
    pub input_tokens: u64,
    /// The most tokens that may be generated; `None` where nobody set a bound.
    pub max_output: Option<u64>,
}

/// How much JSON an event may be.
fn limits() -> Limits {
    Limits { max_bytes: LARGEST_EVENT, max_depth: 64, max_nodes: 1 << 16 }
}
