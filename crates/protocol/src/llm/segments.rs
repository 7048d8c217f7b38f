//! What a walk over a body shows: the texts that guards look at and the things that tokens are counted of.
//!
//! Owns the walks that dialects share. Never decides anything about a text. Called by the dialects.

use tidegate_core::segment::Origin;

use crate::{
    json::{Kind, NodeId, Tape},
    llm::node::Node,
};

/// One thing a walk came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A string that guards see.
    Text { node: NodeId, origin: Origin },
    /// An image, a document or a sound that costs at most so many tokens.
    Media { tokens: u64 },
    /// A message begins.
    Message,
    /// The definitions of tools: their whole text goes into the prompt.
    Tools { node: NodeId },
}

/// Shows a string, where it is one.
pub(crate) fn text(node: Option<Node<'_, '_>>, origin: Origin, see: &mut dyn FnMut(Found)) {
    if let Some(node) = node.filter(|node| node.is_string()) {
        see(Found::Text { node: node.id(), origin });
    }
}

/// Shows every string of a value: arguments of a tool call.
pub(crate) fn strings(node: Option<Node<'_, '_>>, origin: Origin, see: &mut dyn FnMut(Found)) {
    for node in node.into_iter().flat_map(Node::strings) {
        see(Found::Text { node: node.id(), origin });
    }
}

/// Members that hold names, marks and ciphertext, never words.
const OPAQUE: [&str; 8] =
    ["type", "id", "tool_use_id", "signature", "encrypted_content", "encrypted_index", "media_type", "cache_control"];

/// Shows the strings of a part that no rule of the dialect covers, so that an unknown type is no way around guards.
/// The scanner has bounded the depth.
pub(crate) fn unknown(node: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    match node.kind() {
        Kind::String => see(Found::Text { node: node.id(), origin }),
        Kind::Array => node.items().for_each(|item| unknown(item, origin, see)),
        Kind::Object => {
            for (name, value) in node.members() {
                if !OPAQUE.contains(&&*name) {
                    unknown(value, origin, see);
                }
            }
        }
        Kind::Null | Kind::Bool | Kind::Number => {}
    }
}

/// Every string of a body that no dialect covers, apart from marks and ciphertext, in the order of the body.
pub(crate) fn texts_of(tape: &Tape, bytes: &[u8]) -> Vec<NodeId> {
    let mut texts = Vec::new();
    unknown(Node::new(tape, bytes, tape.root()), Origin::Prompt, &mut |found| {
        if let Found::Text { node, .. } = found {
            texts.push(node);
        }
    });
    texts.sort_unstable();
    texts
}

/// Shows the words of a tool's definition: every description and title in it, also of its parameters.
pub(crate) fn tool_words(node: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    match node.kind() {
        Kind::Array => node.items().for_each(|item| tool_words(item, see)),
        Kind::Object => {
            for (name, value) in node.members() {
                if value.is_string() {
                    if matches!(&*name, "description" | "title") {
                        see(Found::Text { node: value.id(), origin: Origin::ToolDescription });
                    }
                } else {
                    tool_words(value, see);
                }
            }
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => {}
    }
}
