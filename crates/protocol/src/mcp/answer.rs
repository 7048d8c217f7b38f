//! An answer of an MCP peer on its way to who asked.
//!
//! Owns what is changed in it: items taken out of lists, texts rewritten by guards, the id. Never changes another byte.
//! Called by the response stages of tool calls.

use std::borrow::Cow;

use tidegate_core::{
    ids::ToolName,
    segment::{Origin, Segment, SegmentPath},
};

use super::{
    capabilities::spoken_capabilities,
    list::{ListKind, ToolPin, items, removals},
    method::Method,
    segments,
};
use crate::{
    body::EditableBody,
    json::{Edit, NodeId, canonical, splice},
    jsonrpc::{Message, Parts},
    places::{self, Place},
};

/// The answer to a request of a known method: a result or an error.
#[derive(Debug, Clone)]
pub struct Answer {
    method: Method,
    message: Message,
    body: EditableBody,
    places: Vec<Place>,
    removed: Vec<NodeId>,
}

impl Answer {
    /// The answer to a request of `method`. A request or notification in its place has no segments and no items.
    #[must_use]
    pub fn new(method: Method, message: Message) -> Self {
        let body = EditableBody::from_parts(message.bytes().clone(), message.tape().clone());
        let (bytes, tape) = (message.bytes(), message.tape());
        let places = match message.parts() {
            Parts::Response { result, .. } => segments::of_result(bytes, tape, method, *result),
            // The words of an error are the server's own, as a result's are.
            Parts::ErrorResponse { error, .. } => {
                let mut places = Vec::new();
                let mut see = |place| places.push(place);
                places::free(message.bytes(), tape, *error, Origin::ToolResult, None, &mut see);
                places
            }
            _ => Vec::new(),
        };
        Self { method, message, body, places, removed: Vec::new() }
    }

    /// The method that is answered.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The message as it came.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Whether it is an error, or a tool's result that says `isError`.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self.message.parts() {
            Parts::Response { result, .. } => {
                self.message.member(*result, "isError").and_then(|node| self.message.tape().as_bool(node)) == Some(true)
            }
            _ => true,
        }
    }

    fn result(&self) -> Option<NodeId> {
        match self.message.parts() {
            Parts::Response { result, .. } => Some(*result),
            _ => None,
        }
    }

    /// What the items of a list are known by, in order; empty where this is no list. Items that cannot be told apart by
    /// a name are left out.
    #[must_use]
    pub fn items(&self) -> Vec<Cow<'_, str>> {
        let (Some(kind), Some(result)) = (ListKind::of(self.method), self.result()) else { return Vec::new() };
        items(self.message.bytes(), self.message.tape(), result, kind)
            .into_iter()
            .filter_map(|(_, name)| name)
            .collect()
    }

    /// Takes out of a list the items that `keep` does not want, and those that have no name to decide on. Says how many
    /// went. Not a list: nothing happens.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) -> usize {
        let (Some(kind), Some(result)) = (ListKind::of(self.method), self.result()) else { return 0 };
        let removed: Vec<NodeId> = items(self.message.bytes(), self.message.tape(), result, kind)
            .into_iter()
            .filter(|(item, name)| self.removed.binary_search(item).is_ok() || !name.as_deref().is_some_and(&mut keep))
            .map(|(item, _)| item)
            .collect();
        let count = removed.len().saturating_sub(self.removed.len());
        self.removed = removed;
        let tape = self.body.shared_tape();
        let removed = &self.removed;
        self.places.retain(|Place { node: place, .. }| {
            let at = removed.partition_point(|item| item <= place);
            let inside = at.checked_sub(1).and_then(|at| removed.get(at));
            inside.is_none_or(|item| *place >= tape.after(*item))
        });
        count
    }

    /// The tools of a tool list that are still in it, each with its definition. Tools without a name are left out.
    #[must_use]
    pub fn pins(&self) -> Vec<ToolPin<'_>> {
        let Some(result) = self.result().filter(|_| self.method == Method::ToolsList) else { return Vec::new() };
        let (bytes, tape) = (self.message.bytes(), self.message.tape());
        items(bytes, tape, result, ListKind::Tools)
            .into_iter()
            .filter(|(item, _)| self.removed.binary_search(item).is_err())
            .filter_map(|(item, name)| {
                Some(ToolPin {
                    name: ToolName::from(&*name?),
                    definition: tape.raw(bytes, item),
                    input_schema: tape.member(bytes, item, "inputSchema").map_or(&[], |node| tape.raw(bytes, node)),
                    canonical: canonical(bytes, tape, item),
                })
            })
            .collect()
    }

    /// The cursor of the next page of a list.
    #[must_use]
    pub fn next_cursor(&self) -> Option<Cow<'_, str>> {
        self.message.text(self.message.member(self.result()?, "nextCursor")?)
    }

    /// The texts for guards, as they stand; those of items that were taken out are not among them.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.places.iter().filter_map(|place| place.segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment. Says whether the path is one of this answer's segments; if not,
    /// nothing happens.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        places::find(&self.places, path).is_some_and(|place| place.replace(&mut self.body, text))
    }

    /// Where a segment stands, as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        self.body.pointer(NodeId::from_index(path.0))
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_original(&self) -> bool {
        self.body.is_original() && self.removed.is_empty()
    }

    /// The message to send on, with the id (JSON text) of the leg that asked; every byte that nothing changed is as it
    /// came.
    #[must_use]
    pub fn outgoing(&self, id: &[u8]) -> Vec<u8> {
        let mut edits: Vec<Edit> = self.message.id_edit(id).into_iter().collect();
        if self.method == Method::Initialize {
            edits.extend(spoken_capabilities(&self.message));
        }
        if self.removed.is_empty() {
            edits.extend(self.body.edits());
        } else {
            let going: Vec<_> = self.removed.iter().map(|item| self.message.tape().span(*item)).collect();
            edits.extend(self.body.edits().into_iter().filter(|edit| {
                let at = going.partition_point(|span| span.start <= edit.span.start);
                at.checked_sub(1).and_then(|at| going.get(at)).is_none_or(|span| edit.span.start >= span.end)
            }));
            edits.extend(self.list_edits());
        }
        // Strings, items and the id never overlap; were it not so, nothing is safer than a body without an edit.
        splice(self.message.bytes(), edits).unwrap_or_default()
    }

    fn list_edits(&self) -> Vec<Edit> {
        let list = ListKind::of(self.method)
            .zip(self.result())
            .and_then(|(kind, result)| self.message.member(result, kind.member()));
        list.map_or_else(Vec::new, |list| removals(self.message.tape(), list, &self.removed))
    }
}
