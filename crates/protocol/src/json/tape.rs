//! The flat tape: one small node per value and per member name, in the order of the text.
//!
//! Owns reading by position. Never copies text that holds no escapes, never looks outside the bytes it was made from
//! (the caller passes the same bytes again). Made by the scanner only.

use std::{borrow::Cow, fmt::Write as _, ops::Range, sync::Arc};

use tidegate_core::value::Value;

use super::text::{push_token, text};

/// A node of a tape. Means nothing on another tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The position on the tape, from 0 for the root.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0
    }

    /// The node at a position that [`NodeId::index`] gave.
    #[must_use]
    pub fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// What sort of value a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// null.
    Null,
    /// true or false.
    Bool,
    /// A number.
    Number,
    /// A string; member names are strings as well.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Null,
    False,
    True,
    Integer,
    Decimal,
    Text,
    EscapedText,
    Array,
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The index after the last node of the subtree.
    pub(super) next: u32,
    pub(super) tag: Tag,
}

/// What a scan found. Every method that takes bytes wants exactly those that were scanned; with others, or with a node
/// of another tape, it answers as if nothing were there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'body> {
    /// The name, unescaped.
    pub name: Cow<'body, str>,
    /// The node of the name.
    pub key: NodeId,
    /// The node of the value.
    pub value: NodeId,
}

impl Tape {
    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node at all; never so after a scan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    fn tag(&self, id: NodeId) -> Tag {
        self.node(id).map_or(Tag::Null, |node| node.tag)
    }

    /// What sort of value it is.
    #[must_use]
    pub fn kind(&self, id: NodeId) -> Kind {
        match self.tag(id) {
            Tag::Null => Kind::Null,
            Tag::False | Tag::True => Kind::Bool,
            Tag::Integer | Tag::Decimal => Kind::Number,
            Tag::Text | Tag::EscapedText => Kind::String,
            Tag::Array => Kind::Array,
            Tag::Object => Kind::Object,
        }
    }

    /// The bytes of the value, quotes and brackets included.
    #[must_use]
    pub fn span(&self, id: NodeId) -> Range<usize> {
        self.node(id).map_or(0..0, |node| node.start as usize..node.end as usize)
    }

    /// The node after this one and all that stands inside it.
    #[must_use]
    pub fn after(&self, id: NodeId) -> NodeId {
        NodeId(self.node(id).map_or(u32::MAX, |node| node.next))
    }

    /// The value as it is written.
    #[must_use]
    pub fn raw<'body>(&self, bytes: &'body [u8], id: NodeId) -> &'body [u8] {
        bytes.get(self.span(id)).unwrap_or_default()
    }

    /// The text of a string, unescaped; borrowed where it holds no escapes.
    #[must_use]
    pub fn text<'body>(&self, bytes: &'body [u8], id: NodeId) -> Option<Cow<'body, str>> {
        text(self.node(id), bytes)
    }

    /// The text of a string that needs no unescaping, as bytes of the body.
    pub(super) fn plain<'body>(&self, bytes: &'body [u8], id: NodeId) -> Option<&'body [u8]> {
        if self.tag(id) != Tag::Text {
            return None;
        }
        let span = self.span(id);
        bytes.get(span.start.checked_add(1)?..span.end.checked_sub(1)?)
    }

    /// Whether a string reads `expected`. Spares the copy that [`Tape::text`] makes of escaped strings where it can.
    #[must_use]
    pub fn text_is(&self, bytes: &[u8], id: NodeId, expected: &str) -> bool {
        match self.plain(bytes, id) {
            Some(plain) => plain == expected.as_bytes(),
            None => self.text(bytes, id).is_some_and(|text| text == expected),
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.tag == Tag::Null)
    }

    /// true or false, where it is one of them.
    #[must_use]
    pub fn as_bool(&self, id: NodeId) -> Option<bool> {
        match self.tag(id) {
            Tag::True => Some(true),
            Tag::False => Some(false),
            _ => None,
        }
    }

    /// A number without fraction or exponent that fits.
    #[must_use]
    pub fn as_i64(&self, bytes: &[u8], id: NodeId) -> Option<i64> {
        self.integer(bytes, id)?.parse().ok()
    }

    /// A number without fraction or exponent that fits and is not negative.
    #[must_use]
    pub fn as_u64(&self, bytes: &[u8], id: NodeId) -> Option<u64> {
        self.integer(bytes, id)?.parse().ok()
    }

    fn integer<'body>(&self, bytes: &'body [u8], id: NodeId) -> Option<&'body str> {
        if self.tag(id) == Tag::Integer { std::str::from_utf8(self.raw(bytes, id)).ok() } else { None }
    }

    /// Whether a number is written without fraction and exponent, however long it is.
    #[must_use]
    pub fn is_integer(&self, id: NodeId) -> bool {
        self.tag(id) == Tag::Integer
    }

    /// The members of an object, in order; nothing for any other value.
    #[must_use]
    pub fn members<'tape, 'body>(&'tape self, bytes: &'body [u8], object: NodeId) -> Members<'tape, 'body> {
        let end = if self.tag(object) == Tag::Object { self.after(object).0 } else { 0 };
        Members { tape: self, bytes, at: object.0.saturating_add(1), end }
    }

    /// The elements of an array, in order; nothing for any other value.
    #[must_use]
    pub fn elements(&self, array: NodeId) -> Elements<'_> {
        let end = if self.tag(array) == Tag::Array { self.after(array).0 } else { 0 };
        Elements { tape: self, at: array.0.saturating_add(1), end }
    }

    /// The value of the member `name` of an object. Walks the members: for objects that a protocol defines.
    #[must_use]
    pub fn member(&self, bytes: &[u8], object: NodeId, name: &str) -> Option<NodeId> {
        let end = if self.tag(object) == Tag::Object { self.after(object).0 } else { 0 };
        let wanted = u32::try_from(name.len()).unwrap_or(u32::MAX).saturating_add(2);
        let mut at = object.0.saturating_add(1);
        while at < end {
            let (key, value) = (self.node(NodeId(at))?, NodeId(at.saturating_add(1)));
            // Most names are told apart by their length alone.
            let found = match key.tag {
                Tag::Text => key.end - key.start == wanted && self.text_is(bytes, NodeId(at), name),
                _ => self.text_is(bytes, NodeId(at), name),
            };
            if found {
                return Some(value);
            }
            at = self.after(value).0;
        }
        None
    }

    /// The value at a JSON pointer (RFC 6901).
    #[must_use]
    pub fn lookup(&self, bytes: &[u8], pointer: &str) -> Option<NodeId> {
        if pointer.is_empty() {
            return Some(self.root());
        }
        let mut at = self.root();
        for token in pointer.strip_prefix('/')?.split('/') {
            at = match self.tag(at) {
                Tag::Object if token.contains('~') => {
                    self.member(bytes, at, &token.replace("~1", "/").replace("~0", "~"))?
                }
                Tag::Object => self.member(bytes, at, token)?,
                Tag::Array => {
                    let canonical = token == "0" || !token.starts_with(['0', '+']);
                    self.elements(at).nth(token.parse().ok().filter(|_| canonical)?)?
                }
                _ => return None,
            };
        }
        Some(at)
    }

    /// The JSON pointer (RFC 6901) of a value. Walks from the root: for messages, not for every node.
    #[must_use]
    pub fn pointer(&self, bytes: &[u8], id: NodeId) -> String {
        let mut out = String::new();
        let mut at = self.root();
        while at < id {
            let mut child = None;
            match self.tag(at) {
                Tag::Object => {
                    if let Some(member) =
                        self.members(bytes, at).find(|member| member.key <= id && id < self.after(member.value))
                    {
                        push_token(&mut out, &member.name);
                        child = Some(if member.key == id { id } else { member.value });
                    }
                }
                Tag::Array => {
                    if let Some((index, element)) =
                        self.elements(at).enumerate().find(|(_, element)| id < self.after(*element))
                    {
                        let _ = write!(out, "/{index}");
                        child = Some(element);
                    }
                }
                _ => {}
            }
            let Some(child) = child else { break };
            at = child;
        }
        out
    }

    /// The value as policies see it.
    #[must_use]
    pub fn value(&self, bytes: &[u8], id: NodeId) -> Value {
        self.value_with(bytes, id, &|_| None)
    }

    /// The value as policies see it, with others in the place of some.
    #[must_use]
    pub fn value_with(&self, bytes: &[u8], id: NodeId, replaced: &dyn Fn(NodeId) -> Option<Value>) -> Value {
        if let Some(value) = replaced(id) {
            return value;
        }
        match self.tag(id) {
            Tag::Null => Value::Null,
            Tag::False => Value::Bool(false),
            Tag::True => Value::Bool(true),
            Tag::Integer | Tag::Decimal => self
                .as_i64(bytes, id)
                .map_or_else(|| Value::Number(String::from_utf8_lossy(self.raw(bytes, id)).into()), Value::Integer),
            Tag::Text | Tag::EscapedText => Value::Text(self.text(bytes, id).unwrap_or_default().into()),
            Tag::Array => {
                Value::List(self.elements(id).map(|element| self.value_with(bytes, element, replaced)).collect())
            }
            Tag::Object => Value::Record(
                self.members(bytes, id)
                    .map(|member| {
                        let name = match replaced(member.key) {
                            Some(Value::Text(name)) => name,
                            _ => Arc::from(&*member.name),
                        };
                        (name, self.value_with(bytes, member.value, replaced))
                    })
                    .collect(),
            ),
        }
    }

    /// The part of the tape below a node, as a tape of its own over [`Tape::raw`] of that node.
    #[must_use]
    pub fn below(&self, id: NodeId) -> Self {
        let (start, first, end) = (self.node(id).map_or(0, |node| node.start), id.0, self.after(id).0);
        let nodes = self.nodes.get(first as usize..end as usize).unwrap_or_default();
        Self {
            nodes: nodes
                .iter()
                .map(|node| Node {
                    start: node.start - start,
                    end: node.end - start,
                    next: node.next - first,
                    tag: node.tag,
                })
                .collect(),
        }
    }

    /// Every string value inside a node, itself included; names of members are not among them.
    pub fn strings(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut stack = Vec::new();
        let mut next = Some(id);
        std::iter::from_fn(move || {
            loop {
                let at = match next.take() {
                    Some(at) => at,
                    None => self.step(&mut stack)?,
                };
                match self.tag(at) {
                    Tag::Text | Tag::EscapedText => return Some(at),
                    Tag::Array => stack.push((at.0.saturating_add(1), self.after(at).0, false)),
                    Tag::Object => stack.push((at.0.saturating_add(1), self.after(at).0, true)),
                    _ => {}
                }
            }
        })
    }

    fn step(&self, stack: &mut Vec<(u32, u32, bool)>) -> Option<NodeId> {
        loop {
            let (at, end, keyed) = stack.last_mut()?;
            if at < end {
                let value = NodeId(at.saturating_add(u32::from(*keyed)));
                *at = self.after(value).0;
                return Some(value);
            }
            stack.pop();
        }
    }
}

/// The members of an object.
#[derive(Debug, Clone)]
pub struct Members<'tape, 'body> {
    tape: &'tape Tape,
    bytes: &'body [u8],
    at: u32,
    end: u32,
}

impl<'body> Iterator for Members<'_, 'body> {
    type Item = Member<'body>;

    fn next(&mut self) -> Option<Member<'body>> {
        if self.at >= self.end {
            return None;
        }
        let (key, value) = (NodeId(self.at), NodeId(self.at.saturating_add(1)));
        self.at = self.tape.after(value).0;
        Some(Member { name: self.tape.text(self.bytes, key).unwrap_or_default(), key, value })
    }
}

/// The elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'tape> {
    tape: &'tape Tape,
    at: u32,
    end: u32,
}

impl Iterator for Elements<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        if self.at >= self.end {
            return None;
        }
        let element = NodeId(self.at);
        self.at = self.tape.after(element).0;
        Some(element)
    }
}
