//! Reasoning that one dialect signs or encrypts, carried through another as a text that nobody reads.
//!
//! Owns the form of that text. It says whose reasoning it is and who may be shown it again, and never holds words: those
//! stay beside it, where guards see them. Called by the dialects that hold foreign reasoning, and by those that must not
//! take it for their own.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// How every such text begins. No vendor's signature does.
const MARK: &str = "tidegate1.";

/// How the base64 of every such text begins: that of the mark's first nine bytes, whatever follows.
const MARK_IN_BASE64: &str = "dGlkZWdhdGUx";

/// Whose reasoning it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Readable reasoning with a signature.
    Signed,
    /// Reasoning that only its vendor reads.
    Redacted,
    /// An item of OpenAI's Responses: its id and what is encrypted.
    Item,
    /// Any of the others, with the scope that it may be shown in: for dialects that have no place beside a signature.
    Scoped,
}

impl Kind {
    fn letter(self) -> &'static str {
        match self {
            Self::Signed => "s",
            Self::Redacted => "r",
            Self::Item => "i",
            Self::Scoped => "x",
        }
    }

    fn of(letter: &str) -> Option<Self> {
        [Self::Signed, Self::Redacted, Self::Item, Self::Scoped].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// What such a text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opaque<'text> {
    pub(crate) kind: Kind,
    /// The scope of reasoning, or the item's id.
    pub(crate) label: &'text str,
    pub(crate) data: &'text str,
}

/// `tidegate1.KIND.LENGTH.LABEL DATA`, without the space: the length, in bytes, is the label's.
pub(crate) fn wrap(kind: Kind, label: &str, data: &str) -> String {
    format!("{MARK}{}.{}.{label}{data}", kind.letter(), label.len())
}

/// Reads what [`wrap`] wrote.
pub(crate) fn unwrap(text: &str) -> Option<Opaque<'_>> {
    let (kind, rest) = text.strip_prefix(MARK)?.split_once('.')?;
    let (length, rest) = rest.split_once('.')?;
    let (label, data) = rest.split_at_checked(length.parse().ok()?)?;
    Some(Opaque { kind: Kind::of(kind)?, label, data })
}

/// A signature as a dialect shows it that has no place for a scope beside it: what another vendor
/// signed takes it inside.
pub(crate) fn scoped<'text>(signature: &'text str, scope: Option<&str>) -> Cow<'text, str> {
    match scope.filter(|_| !signature.is_empty()) {
        Some(scope) => Cow::Owned(wrap(Kind::Scoped, scope, signature)),
        None => Cow::Borrowed(signature),
    }
}

/// The signature and the scope in what [`scoped`] wrote.
pub(crate) fn unscoped(signature: &str) -> (&str, Option<&str>) {
    match unwrap(signature) {
        Some(inner) if inner.kind == Kind::Scoped => (inner.data, Some(inner.label)),
        _ => (signature, None),
    }
}

/// Whether a signature or ciphertext is one of the gateway's own wrappers, which no vendor takes.
pub(crate) fn is_wrapped(text: &str) -> bool {
    text.starts_with(MARK)
}

/// What was wrapped, for dialects whose signatures are base64.
pub(crate) fn to_base64(wrapped: &str) -> String {
    STANDARD.encode(wrapped)
}

/// Whether it is what [`to_base64`] wrote; nothing else is decoded.
pub(crate) fn is_in_base64(text: &str) -> bool {
    text.starts_with(MARK_IN_BASE64)
}

/// What was wrapped, from its base64; `None` where it is none of the gateway's.
pub(crate) fn from_base64(text: &str) -> Option<String> {
    let bytes = is_in_base64(text).then(|| STANDARD.decode(text).ok())??;
    String::from_utf8(bytes).ok().filter(|text| is_wrapped(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_wrapped_is_read_as_it_was(label in "\\PC{0,20}", data in "\\PC{0,40}") {
            for kind in [Kind::Signed, Kind::Redacted, Kind::Item, Kind::Scoped] {
                let text = wrap(kind, &label, &data);
                prop_assert!(is_wrapped(&text));
                prop_assert_eq!(unwrap(&text), Some(Opaque { kind, label: &label, data: &data }));
                let encoded = to_base64(&text);
                prop_assert!(is_in_base64(&encoded) && !is_wrapped(&encoded));
                prop_assert_eq!(from_base64(&encoded), Some(text));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "(tidegate1\\.)?[sirx]?\\.?[0-9]{0,30}\\.?\\PC{0,9}") {
            let _ = unwrap(&text);
            let _ = from_base64(&text);
        }

        #[test]
        fn what_was_scoped_comes_back_byte_for_byte_and_nothing_else_is_lost(
            scope in "\\PC{0,20}", data in "\\PC{1,40}", other in "(tidegate1\\.x\\.)?[0-9]{0,3}\\.?\\PC{0,40}",
        ) {
            let told = scoped(&data, Some(&scope));
            prop_assert_eq!(unscoped(&told), (&*data, Some(&*scope)));
            prop_assert!(other.ends_with(unscoped(&other).0));
        }
    }
}
