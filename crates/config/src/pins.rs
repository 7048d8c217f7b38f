//! Pinned tool definitions: what an MCP server said of a tool when it was first seen, and the port that keeps it.
//!
//! A pin is what policies' typed arguments are made of, and what later lists are compared with. Owns the bounds of one,
//! and in which parts two definitions differ. Never follows a definition that changed: what was pinned stays until
//! somebody accepts the other. The proxy makes pins, the store keeps them, the snapshot compiles policies with them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_core::{
    clock::UnixMillis,
    ids::{Digest, ServerName, ToolName},
};

/// The longest name of a tool that is pinned, in bytes.
pub const MAX_TOOL_NAME: usize = 256;
/// The largest input schema that is kept, in bytes.
pub const MAX_INPUT_SCHEMA: usize = 64 * 1024;
/// The largest definition whose text is kept, in bytes; of a larger one, its digest alone.
pub const MAX_DEFINITION: usize = 64 * 1024;
/// The most parts of a difference that are named.
const MOST_PARTS: usize = 32;
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
    /// When it was pinned; of a definition that is none yet, when it was first seen.
    pub pinned_at: UnixMillis,
    /// The definition in its canonical form, at most [`MAX_DEFINITION`] bytes: for people, and to say what changed.
    /// Empty where it is larger, or was pinned before definitions were kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub definition: String,
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
        let definition = if canonical.len() > MAX_DEFINITION { &[] } else { canonical };
        let definition = std::str::from_utf8(definition).unwrap_or_default().to_owned();
        Some(Self { server, name, input_schema, digest: Digest::of(canonical), pinned_at, definition })
    }

    /// How many bytes of text it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.input_schema.len().saturating_add(self.definition.len())
    }

    /// The members of the definition in which `other` differs, by name, such as `description`; `definition` where the
    /// texts do not tell. Empty where both are the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        if self.digest == other.digest {
            return Vec::new();
        }
        type Members<'a> = BTreeMap<String, &'a RawValue>;
        let (Ok(one), Ok(two)) = (
            serde_json::from_str::<Members<'_>>(&self.definition),
            serde_json::from_str::<Members<'_>>(&other.definition),
        ) else {
            return vec![String::from("definition")];
        };
        let text = |members: &Members<'_>, name: &str| members.get(name).map(|value| value.get().to_owned());
        let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
        names.into_iter().filter(|name| text(&one, name) != text(&two, name)).take(MOST_PARTS).cloned().collect()
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

/// The port through which pins are kept, and definitions that differ from theirs.
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

    /// Keeps these pins in place of those that their tools have, and forgets what differed from them. All or nothing;
    /// returns once they would outlive a crash.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn accept(&self, pins: &[PinnedTool]) -> Result<(), PinStoreError>;

    /// Forgets the pin of a tool and what differed from it; false where it has none. As durable as [`Self::pin`].
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn forget(&self, server: &ServerName, tool: &ToolName) -> Result<bool, PinStoreError>;

    /// The definitions that were last seen in place of pinned ones, by server and tool.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn changed(&self) -> Result<Vec<PinnedTool>, PinStoreError>;

    /// Notes what was seen in place of the pin of a tool; `None` where it is as pinned again. A tool without a pin has
    /// nothing to differ from: nothing happens. As durable as [`Self::pin`].
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn note(&self, server: &ServerName, tool: &ToolName, seen: Option<&PinnedTool>) -> Result<(), PinStoreError>;
}

#[cfg(test)]
mod tests;
