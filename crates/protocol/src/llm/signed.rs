//! Signed reasoning on its way through a caller who speaks another dialect than the model that signed it: the signature,
//! with a note of who may be shown it again.
//!
//! Owns the wrapping. Never changes a byte of what it wraps. A caller can write such a note himself; what he gains is that
//! the vendor judges the signature, as it does whenever it is asked directly. Called by dialects that have no member of
//! their own for the note.

/// What everything begins with that is wrapped. Nine bytes, so that its base64 is the same whatever follows.
const MARK: &str = "tidegate;";

/// What was wrapped, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed<'text> {
    /// Who may be shown it; `None` where it was not wrapped.
    pub(crate) scope: Option<&'text str>,
    /// The vendor's own bytes.
    pub(crate) data: &'text str,
}

/// `data` with a note that `scope` may be shown it.
pub(crate) fn wrap(scope: &str, data: &str) -> String {
    format!("{MARK}{};{scope}{data}", scope.len())
}

/// Whether it is wrapped.
pub(crate) fn is_wrapped(text: &str) -> bool {
    text.starts_with(MARK)
}

/// Takes the wrapping off. What is not wrapped, or not well, is the vendor's own.
pub(crate) fn open(text: &str) -> Signed<'_> {
    let wrapped = || {
        let (length, rest) = text.strip_prefix(MARK)?.split_once(';')?;
        let (scope, data) = rest.split_at_checked(length.parse().ok()?)?;
        Some(Signed { scope: Some(scope), data })
    };
    wrapped().unwrap_or(Signed { scope: None, data: text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_wrapped_comes_back_byte_for_byte(scope in "\\PC{0,20}", data in "\\PC{0,40}") {
            let wrapped = wrap(&scope, &data);
            prop_assert!(is_wrapped(&wrapped));
            prop_assert_eq!(open(&wrapped), Signed { scope: Some(&scope), data: &data });
        }

        #[test]
        fn no_text_is_lost_that_was_never_wrapped(text in "(tidegate;)?[0-9]{0,3};?\\PC{0,40}") {
            let opened = open(&text);
            prop_assert!(text.ends_with(opened.data));
        }
    }
}
