//! What a walk over a body shows: the texts that guards look at and the things that tokens are counted of.
//!
//! Owns the walks that dialects share. Never decides anything about a text. Called by the dialects.

use tidegate_core::{capability::Capability, segment::Origin};

use crate::{
    json::{Kind, NodeId, Tape},
    llm::node::Node,
    places::Place,
};

/// What a medium is, as far as a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Sound,
    Document,
    /// A film, or something that its vendor keeps.
    Other,
}

impl MediaKind {
    /// What a model has to have to take it.
    pub(crate) fn needs(self) -> Option<Capability> {
        match self {
            Self::Image => Some(Capability::Vision),
            Self::Sound => Some(Capability::Audio),
            Self::Document => Some(Capability::Documents),
            Self::Other => None,
        }
    }
}

/// One thing a walk came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A string that guards see.
    Text { node: NodeId, origin: Origin },
    /// A string or number that guards see with its name, or a name: inside arguments and parts of unknown form.
    Value(Place),
    /// An image, a document or a sound that costs at most so many tokens.
    Media { kind: MediaKind, tokens: u64 },
    /// A message begins.
    Message,
    /// The definitions of tools: their whole text goes into the prompt.
    Tools { node: NodeId },
}

impl Found {
    /// Where guards look, if it is something to look at.
    pub(crate) fn place(self) -> Option<Place> {
        match self {
            Self::Text { node, origin } => Some(Place::text(node, origin)),
            Self::Value(place) => Some(place),
            Self::Media { .. } | Self::Message | Self::Tools { .. } => None,
        }
    }
}

/// Shows a string, where it is one.
pub(crate) fn text(node: Option<Node<'_, '_>>, origin: Origin, see: &mut dyn FnMut(Found)) {
    if let Some(node) = node.filter(|node| node.is_string()) {
        see(Found::Text { node: node.id(), origin });
    }
}

/// Shows everything in a value that has no form of its own: arguments of a tool call.
pub(crate) fn arguments(node: Option<Node<'_, '_>>, origin: Origin, see: &mut dyn FnMut(Found)) {
    if let Some(node) = node {
        node.free(origin, &mut |place| see(Found::Value(place)));
    }
}

/// Members that hold names, marks and ciphertext, never words.
const OPAQUE: [&str; 17] = [
    "type",
    "id",
    "tool_use_id",
    "call_id",
    "item_id",
    "signature",
    "thoughtSignature",
    "thought_signature",
    "encrypted_content",
    "encrypted_index",
    "media_type",
    "mimeType",
    "mime_type",
    "cache_control",
    "toolUseId",
    "redactedContent",
    "cachePoint",
];

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
        Kind::Number if node.is_long_number() => see(Found::Value(Place::text(node.id(), origin))),
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

/// Members whose numbers and strings the gateway itself reads, or that hold no words: marks, pictures and sounds.
const READ: [&str; 20] = [
    "model",
    "role",
    "name",
    "stream",
    "max_tokens",
    "max_completion_tokens",
    "budget_tokens",
    "maxOutputTokens",
    "max_output_tokens",
    "n",
    "tool_call_id",
    "object",
    "data",
    "file_data",
    "detail",
    "format",
    "$schema",
    "$ref",
    "bytes",
    "maxTokens",
];
/// Members of a request in which callers write what they like.
const FREE: [&str; 4] = ["metadata", "logit_bias", "input", "extra_body"];
/// Members of a request that define tools or the form of an answer.
const DEFINITIONS: [&str; 7] =
    ["tools", "functions", "response_format", "output_config", "output_format", "toolConfig", "outputConfig"];

/// Shows what the dialect's own walk has passed over in a request: `stop`, `user`, `metadata`, addresses of images,
/// numbers, what tools' schemas hold besides words. `known` is what has been shown, in order.
pub(crate) fn rest(root: Node<'_, '_>, known: &[NodeId], see: &mut dyn FnMut(Place)) {
    let mut rest = Rest { known, see };
    for (key, value) in root.keyed_members() {
        let name = key.text().unwrap_or_default();
        let origin = if DEFINITIONS.contains(&&*name) { Origin::ToolDescription } else { Origin::Prompt };
        // The conversation of some dialects: its parts have forms of their own.
        if name == "input" {
            rest.value(value, origin, key.id());
        } else {
            rest.member(key, value, origin);
        }
    }
}

struct Rest<'known, 'see> {
    known: &'known [NodeId],
    see: &'see mut dyn FnMut(Place),
}

impl Rest<'_, '_> {
    fn member(&mut self, key: Node<'_, '_>, value: Node<'_, '_>, origin: Origin) {
        let name = key.text().unwrap_or_default();
        let container = matches!(value.kind(), Kind::Array | Kind::Object);
        if FREE.contains(&&*name) && container {
            value.free(origin, &mut |place| self.show(place));
        } else if container || !(OPAQUE.contains(&&*name) || READ.contains(&&*name)) {
            // What is called `type` or `name` may be a property of a schema; its value is an object then.
            self.value(value, origin, key.id());
        }
    }

    fn value(&mut self, node: Node<'_, '_>, origin: Origin, name: NodeId) {
        match node.kind() {
            Kind::String if node.is_embedded() => {}
            Kind::String => self.show(Place { node: node.id(), origin, name: Some(name), is_name: false }),
            Kind::Number if node.is_long_number() => {
                self.show(Place { node: node.id(), origin, name: Some(name), is_name: false });
            }
            Kind::Array => node.items().for_each(|item| self.value(item, origin, name)),
            Kind::Object => {
                for (key, value) in node.keyed_members() {
                    if key.is_telling_name() {
                        self.show(Place { node: key.id(), origin, name: None, is_name: true });
                    }
                    self.member(key, value, origin);
                }
            }
            Kind::Null | Kind::Bool | Kind::Number => {}
        }
    }

    fn show(&mut self, place: Place) {
        // Nodes come in the order of the text, and so does what is known.
        while let Some((first, further)) = self.known.split_first()
            && *first < place.node
        {
            self.known = further;
        }
        if self.known.first() != Some(&place.node) {
            (self.see)(place);
        }
    }
}
