//! Forms of tools that only the caller's dialect has, and under which plain names another dialect knows them.
//!
//! Owns the names. A tool in a namespace, or one whose input is free text, is declared to other dialects as a function
//! of one name; its calls in the answer take their form again by that name. Never decides which tools there are. Called
//! by the dialect that has such tools, on the translated lane.

use crate::llm::names;

/// One tool that has a form of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolForm {
    /// The name that the upstream was told.
    pub(crate) told: String,
    /// The namespace that the caller declared it in.
    pub(crate) namespace: Option<String>,
    /// The name that the caller declared.
    pub(crate) name: String,
    /// Whether its input is free text, not an object.
    pub(crate) custom: bool,
}

/// The one name of a tool in a namespace: the same wherever the conversation speaks of it.
pub(crate) fn told(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => fitting(&format!("{namespace}__{name}"), "tool"),
        None => name.to_owned(),
    }
}

/// The form of the tool that the upstream calls `told`.
pub(crate) fn find<'form>(forms: &'form [ToolForm], told: &str) -> Option<&'form ToolForm> {
    forms.iter().find(|form| form.told == told)
}

/// An id or name as every dialect takes it: at most 64 letters, digits, `_` and `-`. One that is longer or has others
/// becomes `PREFIX_` and its digest, so that what was the same stays the same and what was not does not.
pub(crate) fn fitting(text: &str, prefix: &str) -> String {
    if names::fits(text) { text.to_owned() } else { format!("{prefix}_{}", names::digest(text, 40)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_stay_and_others_are_told_apart() {
        assert_eq!(told(None, "f"), "f");
        assert_eq!(told(Some("shell"), "exec"), "shell__exec");
        assert_eq!(fitting("call_1-a", "call"), "call_1-a");
        let long = "x".repeat(65);
        let (one, other) = (fitting(&long, "call"), fitting("call:1", "call"));
        assert_ne!(one, other);
        assert!([&one, &other].iter().all(|id| id.len() <= 64 && id.starts_with("call_")));
        assert_eq!(one, fitting(&long, "call"));
        assert_ne!(fitting("", "call"), "");
    }
}
