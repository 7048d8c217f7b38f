//! Pinned tool definitions: what an MCP server said of a tool when it was first seen, and the port that keeps it.
//!
//! A pin is what policies' typed arguments are made of. Owns the bounds of one. Never follows a definition that
//! changed: what was pinned stays. The proxy makes pins, the store keeps them, the snapshot compiles policies with them.

use serde::{Deserialize, Serialize};
use tidegate_core::{
    clock::UnixMillis,
    ids::{Digest, ServerName, ToolName},
};

/// The longest name of a tool that is pinned, in bytes.
pub const MAX_TOOL_NAME: usize = 256;
/// The largest input schema that is kept, in bytes.
pub const MAX_INPUT_SCHEMA: usize = 64 * 1024;
/// The most tools of one server that are pinned.
pub const MAX_TOOLS: usize = 1_000;

/// The definition of a tool as it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedTool {
    /// The server, by its name in the configuration.
    pub server: ServerName,
    /// The tool's name as its server gives it, at most [`MAX_TOOL_NAME`] bytes.
    pub name: ToolName,
    /// The tool's `inputSchema`: JSON text, at most [`MAX_INPUT_SCHEMA`] bytes. Empty where the definition has none, or
    /// a larger one: such a tool has no typed arguments.
    pub input_schema: String,
    /// SHA-256 of the canonical form of the whole definition.
    pub digest: Digest,
    /// When it was pinned.
    pub pinned_at: UnixMillis,
}

impl PinnedTool {
    /// Pins a definition. `None` where the name is empty or too long to be pinned.
    #[must_use]
    pub fn new(
        server: ServerName,
        name: ToolName,
        input_schema: &[u8],
        canonical: &[u8],
        pinned_at: UnixMillis,
    ) -> Option<Self> {
        if !can_be_pinned(name.as_str()) {
            return None;
        }
        let input_schema = if input_schema.len() > MAX_INPUT_SCHEMA { &[] } else { input_schema };
        let input_schema = std::str::from_utf8(input_schema).unwrap_or_default().to_owned();
        Some(Self { server, name, input_schema, digest: Digest::of(canonical), pinned_at })
    }
}

/// Whether a tool of this name can be pinned.
#[must_use]
pub fn can_be_pinned(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_TOOL_NAME
}

/// What the store of pins could not do.
#[derive(Debug, thiserror::Error)]
#[error("the store of pinned tools {0}")]
pub struct PinStoreError(pub String);

/// The port through which pins are kept.
pub trait PinStore: Send + Sync {
    /// Every pin, by server and tool.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn all(&self) -> Result<Vec<PinnedTool>, PinStoreError>;

    /// Keeps the pins of tools that have none yet, and gives those back; a tool that has one keeps it. All or nothing;
    /// returns once they would outlive a crash.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn pin(&self, pins: &[PinnedTool]) -> Result<Vec<PinnedTool>, PinStoreError>;
}
