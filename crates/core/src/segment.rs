//! Pieces of text that a guard looks at, free of any protocol.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Where a piece of text comes from. Guards choose by it what they look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// What the caller, or the conversation before, says to a model (system prompts and tool results in it included).
    Prompt,
    /// What a model answers: text, reasoning, and the arguments of tool calls that it proposes.
    Completion,
    /// A tool's own name, description and schema, as a server lists it.
    ToolDescription,
    /// An argument that a caller sends to a tool.
    ToolArgument,
    /// What a tool answers.
    ToolResult,
    /// A message between agents.
    AgentMessage,
}

impl Origin {
    /// Whether this text goes from the caller to the upstream.
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Self::Prompt | Self::ToolArgument)
    }
}

/// Which place of a body a segment stands at. Only the call or answer that gave it can say what it means; see its
/// `pointer` method for the JSON pointer (RFC 6901).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentPath(pub u32);

/// What sort of thing a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// A string.
    Text,
    /// A number: its digits as they are written. Another text in its place makes it a string.
    Number,
    /// The name of a member of an object. Another text in its place renames the member.
    Name,
}

/// One piece of text with its place. Borrowed from the body where the text holds no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'body> {
    /// Where the text comes from.
    pub origin: Origin,
    /// Where it stands.
    pub path: SegmentPath,
    /// What sort of thing it is.
    pub kind: SegmentKind,
    /// The name of the member that it is the value of, where that says more than the protocol does: of an argument, of
    /// metadata.
    pub name: Option<Cow<'body, str>>,
    /// The text itself, unescaped.
    pub text: Cow<'body, str>,
}
