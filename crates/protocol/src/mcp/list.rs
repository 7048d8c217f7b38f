//! Lists: which items one has, which of them go, and the tool definitions to pin.
//!
//! Owns how an item is named and removed. Never reorders, never touches an item that stays. Called by answers.

use std::borrow::Cow;

use tidegate_core::ids::ToolName;

use super::method::Method;
use crate::json::{Edit, NodeId, Tape};

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// Tools, known by their name.
    Tools,
    /// Resources, known by their URI.
    Resources,
    /// Resource templates, known by their URI template.
    ResourceTemplates,
    /// Prompts, known by their name.
    Prompts,
}

impl ListKind {
    /// The kind of list that a method answers with.
    #[must_use]
    pub fn of(method: Method) -> Option<Self> {
        match method {
            Method::ToolsList => Some(Self::Tools),
            Method::ResourcesList => Some(Self::Resources),
            Method::ResourceTemplatesList => Some(Self::ResourceTemplates),
            Method::PromptsList => Some(Self::Prompts),
            _ => None,
        }
    }

    /// The member of the result that holds the items.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// The member of an item that a policy knows it by.
    #[must_use]
    pub fn identity(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
}

/// A tool's definition, to be compared with the one that was pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPin<'body> {
    /// The tool's name.
    pub name: ToolName,
    /// The whole definition as it is written.
    pub definition: &'body [u8],
    /// The input schema as it is written; empty where there is none.
    pub input_schema: &'body [u8],
    /// The canonical form of the definition (see [`crate::json::canonical`]): what a pin's digest is taken of.
    pub canonical: Vec<u8>,
}

/// The items of a list, each with what it is known by; `None` for one that cannot be told.
pub(super) fn items<'body>(
    bytes: &'body [u8],
    tape: &Tape,
    result: NodeId,
    kind: ListKind,
) -> Vec<(NodeId, Option<Cow<'body, str>>)> {
    let Some(list) = tape.member(bytes, result, kind.member()) else { return Vec::new() };
    tape.elements(list)
        .map(|item| {
            let name = tape.member(bytes, item, kind.identity()).and_then(|name| tape.text(bytes, name));
            (item, name)
        })
        .collect()
}

/// The edits that take some elements, given in order, out of an array.
pub(super) fn removals(tape: &Tape, array: NodeId, removed: &[NodeId]) -> Vec<Edit> {
    let mut edits = Vec::with_capacity(removed.len());
    let mut going = removed.iter().copied().peekable();
    let mut elements = tape.elements(array).peekable();
    let mut previous_end: Option<usize> = None;
    let mut kept_one = false;
    while let Some(element) = elements.next() {
        let span = tape.span(element);
        if going.next_if_eq(&element).is_none() {
            kept_one = true;
        } else if let Some(comma) = previous_end.filter(|_| kept_one) {
            edits.push(Edit { span: comma..span.end, replacement: Vec::new() });
        } else {
            let end = elements.peek().map_or(span.end, |next| tape.span(*next).start);
            edits.push(Edit { span: span.start..end, replacement: Vec::new() });
        }
        previous_end = Some(span.end);
    }
    edits
}
