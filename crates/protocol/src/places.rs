//! Where guards look: one place of a body, what it is called, and how it is shown and changed.
//!
//! Owns what model calls, tool calls and answers have in common. Never decides which places there are; the walks do.

use std::borrow::Cow;

use tidegate_core::segment::{Origin, Segment, SegmentKind, SegmentPath};

use crate::{
    body::EditableBody,
    json::{Kind, NodeId, Tape},
};

/// The shortest number that may be more than a count, in bytes.
const LEAST_NUMBER: usize = 7;
/// From how many bytes on a member's name of letters alone is looked at.
const LONG_NAME: usize = 16;
/// The shortest member's name that is looked at.
const LEAST_NAME: usize = 6;

/// One place: a string, a number or the name of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) origin: Origin,
    /// The name of the member that it is the value of, or that holds the list it stands in.
    pub(crate) name: Option<NodeId>,
    pub(crate) is_name: bool,
}

impl Place {
    /// A text that needs no name to be understood.
    pub(crate) fn text(node: NodeId, origin: Origin) -> Self {
        Self { node, origin, name: None, is_name: false }
    }

    /// The place as guards see it, as it stands now.
    pub(crate) fn segment<'body>(&self, body: &'body EditableBody) -> Option<Segment<'body>> {
        let kind = match body.tape().kind(self.node) {
            _ if self.is_name => SegmentKind::Name,
            Kind::Number => SegmentKind::Number,
            _ => SegmentKind::Text,
        };
        let text = match body.text(self.node) {
            Some(text) => text,
            None => Cow::Borrowed(std::str::from_utf8(body.tape().raw(body.original(), self.node)).ok()?),
        };
        let name = self.name.and_then(|name| body.text(name));
        Some(Segment { origin: self.origin, path: SegmentPath(self.node.index()), kind, name, text })
    }

    /// Puts a text in this place; says whether it did.
    pub(crate) fn replace(&self, body: &mut EditableBody, text: &str) -> bool {
        if self.is_name { body.rename(self.node, text) } else { body.replace_text(self.node, text) }
    }
}

/// The place of a path among places that are in order.
pub(crate) fn find(places: &[Place], path: SegmentPath) -> Option<Place> {
    let node = NodeId::from_index(path.0);
    let at = places.binary_search_by_key(&node, |place| place.node).ok()?;
    places.get(at).copied()
}

/// Brings places into the order of the text, each once.
pub(crate) fn sort(places: &mut Vec<Place>) {
    places.sort_unstable_by_key(|place| place.node);
    places.dedup_by_key(|place| place.node);
}

/// Whether a number has enough digits to be more than a count.
pub(crate) fn is_long_number(tape: &Tape, node: NodeId) -> bool {
    tape.kind(node) == Kind::Number && tape.span(node).len() >= LEAST_NUMBER
}

/// Whether a member's name may hold what guards look for: most names are a word or two.
pub(crate) fn is_telling_name(bytes: &[u8], tape: &Tape, key: NodeId) -> bool {
    let raw = tape.raw(bytes, key);
    let name = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let word =
        name.len() < LONG_NAME && name.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$'));
    name.len() >= LEAST_NAME && !word
}

/// Everything that a value holds that has no form of its own (arguments, metadata): strings and long numbers with the
/// names they stand under, and names. The scanner has bounded the depth.
pub(crate) fn free(
    bytes: &[u8],
    tape: &Tape,
    node: NodeId,
    origin: Origin,
    name: Option<NodeId>,
    see: &mut dyn FnMut(Place),
) {
    match tape.kind(node) {
        Kind::String => see(Place { node, origin, name, is_name: false }),
        Kind::Number if is_long_number(tape, node) => see(Place { node, origin, name, is_name: false }),
        Kind::Array => tape.elements(node).for_each(|element| free(bytes, tape, element, origin, name, see)),
        Kind::Object => {
            for member in tape.members(bytes, node) {
                if is_telling_name(bytes, tape, member.key) {
                    see(Place { node: member.key, origin, name: None, is_name: true });
                }
                free(bytes, tape, member.value, origin, Some(member.key), see);
            }
        }
        Kind::Null | Kind::Bool | Kind::Number => {}
    }
}
