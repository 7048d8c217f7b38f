//! The Model Context Protocol: revisions, methods, what a message does to what, and the texts in it.
//!
//! Owns the mapping from MCP to the product's vocabulary. Never keeps a session, never sends. Called by the MCP
//! surface, the tool stages of the pipeline and the MCP upstream.

mod answer;
mod capabilities;
mod correlate;
mod list;
mod method;
mod revision;
mod segments;
mod target;
mod tool_call;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use capabilities::{Capabilities, spoken_capabilities};
pub use correlate::{cancelled_request, progress_token, protocol_version};
pub use list::{ListKind, ToolPin};
pub use method::{Direction, Method};
pub use revision::Revision;
pub use target::{McpError, Target};
pub use tool_call::{ToolCall, ToolCallError};
