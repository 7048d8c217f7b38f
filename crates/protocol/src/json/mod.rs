//! The one strict JSON reader (RFC 8259) of the product, and the writers that go with it.
//!
//! Owns scanning, the flat tape, splicing and canonical form. Never builds a tree, never repairs what is wrong, never
//! accepts what two readers could understand differently: duplicate and case-variant names are refused. Called by every
//! codec of this crate.

mod fold;
mod scan;
mod splice;
mod tape;
mod text;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use fold::is_same as is_same_name;
pub(crate) use scan::is_plain;
pub use scan::scan;
pub use splice::{Edit, SpliceError, splice};
pub use tape::{Elements, Kind, Member, Members, NodeId, Tape};
pub use write::{canonical, write_text};

pub(crate) use write::canonical_with;

/// Names whose value is a JSON Schema or holds definitions of one: below them, names that differ only in case are the
/// author's own vocabulary and are let through. Exact duplicates are refused there too.
pub const SCHEMA_ZONES: [&str; 8] =
    ["parameters", "input_schema", "inputSchema", "outputSchema", "schema", "$defs", "definitions", "json_schema"];

/// How much JSON a scan accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a body. Whatever is given here, 4 GiB is the end.
    pub max_bytes: usize,
    /// The most containers inside each other.
    pub max_depth: usize,
    /// The most nodes: values and member names together. A node costs 16 bytes of memory.
    pub max_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_depth: 128, max_nodes: 1 << 20 }
    }
}

/// What is wrong with a text that should be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// Nothing there but white space.
    #[error("the body is empty; send one JSON value")]
    Empty,
    /// The text ends inside a value.
    #[error("the text ends inside a value")]
    UnexpectedEnd,
    /// A byte that cannot stand here.
    #[error("unexpected byte 0x{0:02x}")]
    UnexpectedByte(u8),
    /// The text starts with U+FEFF.
    #[error("a byte order mark stands before the value; send UTF-8 without one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("the text is not valid UTF-8")]
    InvalidUtf8,
    /// A control character inside a string.
    #[error("control character 0x{0:02x} in a string; write it as an escape")]
    ControlCharacter(u8),
    /// An escape that RFC 8259 does not know.
    #[error("invalid escape in a string")]
    InvalidEscape,
    /// An escape that names half of a surrogate pair.
    #[error("lone surrogate escape in a string")]
    LoneSurrogate,
    /// A number that does not follow the grammar.
    #[error("malformed number")]
    InvalidNumber,
    /// `true`, `false` or `null` misspelt.
    #[error("malformed literal; only true, false and null are known")]
    InvalidLiteral,
    /// Something other than white space after the value.
    #[error("more text after the value; send exactly one JSON value")]
    TrailingBytes,
    /// One name twice in an object.
    #[error("duplicate member name")]
    DuplicateName,
    /// Two names in an object that differ only in case.
    #[error("two member names differ only in letter case")]
    CaseVariantName,
    /// More containers inside each other than allowed.
    #[error("nested too deeply")]
    TooDeep,
    /// More nodes than allowed.
    #[error("too many values")]
    TooManyNodes,
    /// More bytes than allowed.
    #[error("too many bytes")]
    TooLarge,
}

/// Why a text was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// The byte at which it was seen, from 0.
    pub offset: usize,
    pointer: String,
}

impl JsonError {
    pub(crate) fn new(kind: JsonErrorKind, offset: usize, pointer: String) -> Self {
        Self { kind, offset, pointer }
    }

    /// The JSON pointer (RFC 6901) of the innermost value that was open, cut to about 200 bytes; empty for the root.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)?;
        if self.pointer.is_empty() { Ok(()) } else { write!(f, " (in `{}`)", self.pointer) }
    }
}

impl std::error::Error for JsonError {}
