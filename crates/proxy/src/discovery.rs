//! The port through which tool definitions are told that a server listed.
//!
//! Owns how definitions become pins. Never waits for what becomes of them. Called where a list of tools passes; the
//! binary keeps them.

use tidegate_config::pins::{MAX_TOOLS, PinnedTool, can_be_pinned};
use tidegate_core::{clock, ids::ServerName};
use tidegate_protocol::mcp::{Answer, Method};

/// Takes note of the tools that servers list. Neither method blocks.
pub trait Discovery: Send + Sync {
    /// Whether this tool of `server` is not pinned yet and [`Self::tools`] would see to it.
    fn is_new(&self, server: &ServerName, tool: &str) -> bool;

    /// Pins the tools of `server` that have no pin yet, some time from now.
    fn tools(&self, server: &ServerName, pins: Vec<PinnedTool>);
}

/// Hands on the tools of a list that has not been filtered yet; any other answer is left alone.
pub(crate) fn learn(discovery: &dyn Discovery, server: &ServerName, answer: &Answer) {
    if answer.method() != Method::ToolsList || answer.is_error() {
        return;
    }
    // Making pins costs a pass over every definition: not where there is nothing new, as almost always.
    let is_new = |name: &str| can_be_pinned(name) && discovery.is_new(server, name);
    if !answer.items().iter().take(MAX_TOOLS).any(|name| is_new(name)) {
        return;
    }
    let at = clock::wall();
    let pins = answer.pins().into_iter().take(MAX_TOOLS);
    let pins = pins.filter_map(|pin| PinnedTool::new(server.clone(), pin.name, pin.input_schema, &pin.canonical, at));
    discovery.tools(server, pins.collect());
}

#[cfg(test)]
mod tests;
