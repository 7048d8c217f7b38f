//! A value of a scanned body together with its tape and bytes, so that dialects read members by name.
//!
//! Owns nothing: it only points. Never copies what needs no unescaping. Called by every reader of the dialects.

use std::borrow::Cow;

use tidegate_core::segment::Origin;

use crate::{
    json::{Elements, JsonError, Kind, Limits, NodeId, Tape, scan},
    llm::error::ReadError,
    places::{self, Place},
};

/// A scanned text.
#[derive(Debug)]
pub(crate) struct Document<'body> {
    bytes: &'body [u8],
    tape: Tape,
}

impl<'body> Document<'body> {
    pub(crate) fn parse(bytes: &'body [u8]) -> Result<Self, JsonError> {
        Ok(Self { bytes, tape: scan(bytes, &Limits::default())? })
    }

    pub(crate) fn root(&self) -> Node<'_, 'body> {
        Node::new(&self.tape, self.bytes, self.tape.root())
    }
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'tape, 'body> {
    tape: &'tape Tape,
    bytes: &'body [u8],
    id: NodeId,
}

impl<'tape, 'body> Node<'tape, 'body> {
    pub(crate) fn new(tape: &'tape Tape, bytes: &'body [u8], id: NodeId) -> Self {
        Self { tape, bytes, id }
    }

    pub(crate) fn at(self, id: NodeId) -> Self {
        Self { id, ..self }
    }

    pub(crate) fn id(self) -> NodeId {
        self.id
    }

    pub(crate) fn kind(self) -> Kind {
        self.tape.kind(self.id)
    }

    pub(crate) fn is_null(self) -> bool {
        self.tape.is_null(self.id)
    }

    pub(crate) fn is_string(self) -> bool {
        self.kind() == Kind::String
    }

    pub(crate) fn text(self) -> Option<Cow<'body, str>> {
        self.tape.text(self.bytes, self.id)
    }

    pub(crate) fn text_is(self, expected: &str) -> bool {
        self.tape.text_is(self.bytes, self.id, expected)
    }

    pub(crate) fn as_u64(self) -> Option<u64> {
        self.tape.as_u64(self.bytes, self.id)
    }

    pub(crate) fn as_bool(self) -> Option<bool> {
        self.tape.as_bool(self.id)
    }

    pub(crate) fn span(self) -> std::ops::Range<usize> {
        self.tape.span(self.id)
    }

    /// The value as it is written; the scanner has seen that it is UTF-8.
    pub(crate) fn raw(self) -> &'body str {
        simdutf8::basic::from_utf8(self.tape.raw(self.bytes, self.id)).unwrap_or_default()
    }

    pub(crate) fn get(self, name: &str) -> Option<Self> {
        self.tape.member(self.bytes, self.id, name).map(|id| self.at(id))
    }

    /// The member, unless it is absent or null.
    pub(crate) fn present(self, name: &str) -> Option<Self> {
        self.get(name).filter(|node| !node.is_null())
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (Cow<'body, str>, Self)> {
        self.tape.members(self.bytes, self.id).map(move |member| (member.name, self.at(member.value)))
    }

    /// Members with the node of their name.
    pub(crate) fn keyed_members(self) -> impl Iterator<Item = (Self, Self)> {
        self.tape.members(self.bytes, self.id).map(move |member| (self.at(member.key), self.at(member.value)))
    }

    pub(crate) fn items(self) -> Items<'tape, 'body> {
        Items { elements: self.tape.elements(self.id), node: self }
    }

    /// Everything inside that has no form of its own (see [`places::free`]).
    pub(crate) fn free(self, origin: Origin, see: &mut dyn FnMut(Place)) {
        places::free(self.bytes, self.tape, self.id, origin, None, see);
    }

    /// Whether `id`, a node of the same tape, is a string: what a stream's frames are rewritten at.
    pub(crate) fn is_text(self, id: NodeId) -> bool {
        self.tape.kind(id) == Kind::String
    }

    /// Whether `id`, a string of the same tape, is `""`.
    pub(crate) fn is_empty_text(self, id: NodeId) -> bool {
        self.tape.span(id).len() <= 2
    }

    pub(crate) fn is_long_number(self) -> bool {
        places::is_long_number(self.tape, self.id)
    }

    pub(crate) fn is_telling_name(self) -> bool {
        places::is_telling_name(self.bytes, self.tape, self.id)
    }

    /// Whether this string is a picture, a sound or a file written as a `data:` address (RFC 2397).
    pub(crate) fn is_embedded(self) -> bool {
        // A long text is not looked at to learn that it is none.
        if !self.tape.raw(self.bytes, self.id).starts_with(b"\"data:") {
            return false;
        }
        let head = self.raw().get(..128).unwrap_or(self.raw());
        head.contains(";base64,")
    }

    pub(crate) fn pointer(self) -> String {
        self.tape.pointer(self.bytes, self.id)
    }

    pub(crate) fn error(self, message: impl Into<String>) -> ReadError {
        ReadError::new(self.pointer(), message)
    }

    /// The text, or an error that names the place.
    pub(crate) fn expect_text(self) -> Result<Cow<'body, str>, ReadError> {
        self.text().ok_or_else(|| self.error("must be a string"))
    }

    pub(crate) fn expect_bool(self) -> Result<bool, ReadError> {
        self.as_bool().ok_or_else(|| self.error("must be true or false"))
    }

    pub(crate) fn expect_object(self) -> Result<Self, ReadError> {
        if self.kind() == Kind::Object { Ok(self) } else { Err(self.error("must be an object")) }
    }

    pub(crate) fn expect_array(self) -> Result<Self, ReadError> {
        if self.kind() == Kind::Array { Ok(self) } else { Err(self.error("must be an array")) }
    }

    /// A whole number that is at least `least`.
    pub(crate) fn expect_count(self, least: u64) -> Result<u64, ReadError> {
        self.as_u64().filter(|count| *count >= least).ok_or_else(|| {
            self.error(if least == 0 {
                "must be a whole number that is not negative"
            } else {
                "must be a whole number of at least 1"
            })
        })
    }

    pub(crate) fn expect_number(self) -> Result<&'body str, ReadError> {
        if self.kind() == Kind::Number { Ok(self.raw()) } else { Err(self.error("must be a number")) }
    }

    /// The member `name` as text, or an error.
    pub(crate) fn required_text(self, name: &str) -> Result<Cow<'body, str>, ReadError> {
        match self.get(name) {
            Some(node) => node.expect_text(),
            None => Err(self.error(format!("`{name}` is missing; it must be a string"))),
        }
    }

    /// The member `name` as text, where it is there and not null.
    pub(crate) fn optional_text(self, name: &str) -> Result<Option<Cow<'body, str>>, ReadError> {
        self.present(name).map(Self::expect_text).transpose()
    }
}

/// The elements of an array.
#[derive(Debug, Clone)]
pub(crate) struct Items<'tape, 'body> {
    elements: Elements<'tape>,
    node: Node<'tape, 'body>,
}

impl<'tape, 'body> Iterator for Items<'tape, 'body> {
    type Item = Node<'tape, 'body>;

    fn next(&mut self) -> Option<Self::Item> {
        self.elements.next().map(|id| self.node.at(id))
    }
}

/// The text, where it is one JSON object; no text at all is an empty one.
pub(crate) fn object_text(text: &str) -> Option<&str> {
    if text.trim().is_empty() {
        return Some("{}");
    }
    let document = Document::parse(text.as_bytes()).ok()?;
    document.root().expect_object().ok().map(|_| text.trim())
}

/// The JSON pointer of a member of the outermost object.
pub(crate) fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
