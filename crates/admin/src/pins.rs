//! The port through which the control plane sees and changes pinned tools.
//!
//! Owns the words of it. Never speaks to a server itself; the binary implements it over the data plane's way out.

use std::{future::Future, pin::Pin, sync::Arc};

use tidegate_config::{pins::PinnedTool, problem::Problem};
use tidegate_core::ids::{ServerName, ToolName};

use crate::control::in_words;

/// A pinned tool as it stands.
#[derive(Debug, Clone)]
pub struct PinState {
    /// Its pin.
    pub pin: Arc<PinnedTool>,
    /// The definition that was last seen in its place; its `pinned_at` is when that was first seen.
    pub seen: Option<Arc<PinnedTool>>,
}

/// What a refresh does, or would do, with one tool.
#[derive(Debug, Clone)]
pub struct PinChange {
    /// The pin that its tool had; `None` for a new one.
    pub before: Option<Arc<PinnedTool>>,
    /// The definition that its server gives now; `None` where the server does not list the tool any more: its pin stays.
    pub now: Option<PinnedTool>,
}

/// What a change of pins came to.
#[derive(Debug, Clone)]
pub struct PinsChanged {
    /// The tools that differ from their pins.
    pub changes: Vec<PinChange>,
    /// How many tools are as pinned.
    pub unchanged: usize,
    /// The number of the revision that is active now.
    pub number: u64,
}

/// Why pins were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// The configuration names no such server.
    #[error("there is no MCP server `{0}` in the active revision")]
    NoServer(ServerName),
    /// The tool has no pin, or its server does not list it.
    #[error("the MCP server `{0}` has no tool `{1}`")]
    NoTool(ServerName, ToolName),
    /// The server does not tell its tools.
    #[error("the MCP server `{server}` does not list its tools: {why}")]
    Unreachable {
        /// The server.
        server: ServerName,
        /// In words.
        why: String,
    },
    /// The policies in force do not compile with the pins as they would be.
    #[error("the policies in force do not fit these tools: {}", in_words(.0))]
    Policies(Vec<Problem>),
    /// The pins cannot be kept.
    #[error("{0}")]
    Store(String),
}

/// What a change of pins gives, some time from now.
pub type PinsFuture<'a> = Pin<Box<dyn Future<Output = Result<PinsChanged, PinsError>> + Send + 'a>>;

/// Pinned tools, for the control plane.
pub trait ToolPins: Send + Sync {
    /// Every pin, by server and tool.
    fn list(&self) -> Vec<PinState>;

    /// Asks a server for its tools and pins them as they are now, all or `tool` alone, in a revision of its own; with
    /// `dry_run`, says what that would do.
    fn refresh(&self, server: ServerName, tool: Option<ToolName>, dry_run: bool) -> PinsFuture<'_>;

    /// Forgets the pin of a tool, in a revision of its own. The next list that names the tool pins it anew.
    fn forget(&self, server: ServerName, tool: ToolName) -> PinsFuture<'_>;
}
