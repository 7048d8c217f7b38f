//! A JSON value as policies see it: integers that stay integers, no floating point, members in the order they came.
//!
//! Made only by the strict scanner of the protocol crate, so a record never holds one name twice.

use std::sync::Arc;

/// A value of a tool argument or of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// JSON null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number without fraction or exponent that fits 64 bits with sign.
    Integer(i64),
    /// Any other number, as it was written.
    Number(Arc<str>),
    /// A text, unescaped.
    Text(Arc<str>),
    /// An array.
    List(Vec<Value>),
    /// An object; names are unique, in their order of appearance.
    Record(Vec<(Arc<str>, Value)>),
}

impl Value {
    /// The member `name` of a record.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(members) => members.iter().find(|(key, _)| &**key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, where this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}
