//! What a translation could not carry over: kept with its place and the reason, for the audit record, a response
//! header, and strict routes that refuse.
//!
//! Owns the type alone. A loss never holds content, only names and places.

use std::borrow::Cow;

/// Something of a request or an answer that the other dialect cannot express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood in the source body, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What it is, in the words of the source dialect: `logprobs`, `cache_control`.
    pub what: Cow<'static, str>,
    /// What became of it and why, in one clause.
    pub why: &'static str,
}

impl Loss {
    pub(crate) fn new(pointer: impl Into<String>, what: impl Into<Cow<'static, str>>, why: &'static str) -> Self {
        Self { pointer: pointer.into(), what: what.into(), why }
    }
}
