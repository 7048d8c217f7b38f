//! Names and ids that another dialect cannot hold: shorter and plainer ones in their place, and the way back.
//!
//! Owns that mapping. It keeps nothing: the same text always becomes the same, and the names of tools find back through
//! the tools that the caller declared. Called where calls are written in another dialect, and where answers come back.

use tidegate_core::ids::{Digest, ToolName};

/// The longest name that every dialect takes.
const MOST: usize = 64;
/// How much of a name stays readable before its digest.
const READABLE: usize = 40;

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// `text` as every dialect takes it: at most 64 letters, digits, `_` and `-`. One that is longer or has others becomes
/// as much of it as is plain and its digest, so that what was the same stays the same and what was not does not.
/// `prefix` stands where nothing of it is plain.
pub(crate) fn fitting(text: &str, prefix: &str) -> String {
    if fits(text) {
        return text.to_owned();
    }
    let mut out: String = text.bytes().filter(|byte| is_plain(*byte)).take(READABLE).map(char::from).collect();
    if out.is_empty() {
        out.push_str(prefix);
    }
    out.push('_');
    out.push_str(&digest(text, 20));
    out
}

/// Whether every dialect takes it as it is.
pub(crate) fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST && text.bytes().all(is_plain)
}

/// So many hexadecimal digits that are the same for the same text.
pub(crate) fn digest(text: &str, digits: usize) -> String {
    Digest::of(text.as_bytes()).to_string().chars().take(digits).collect()
}

/// The declared tools whose names do not fit, with what an upstream is told instead.
#[derive(Debug, Default)]
pub(crate) struct Renamed(Vec<(String, String)>);

impl Renamed {
    pub(crate) fn new(tools: &[ToolName]) -> Self {
        let told = tools.iter().map(|tool| (fitting(tool.as_str(), "tool"), tool.as_str().to_owned()));
        Self(told.filter(|(told, name)| told != name).collect())
    }

    /// Puts the caller's own name in the place of the one the upstream was told.
    pub(crate) fn restore(&self, name: &mut String) {
        if let Some((_, own)) = self.0.iter().find(|(told, _)| told == name) {
            name.clone_from(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_is_told_apart() {
        assert_eq!(fitting("call_1-a", "call"), "call_1-a");
        let (one, other) = (fitting("files.read", "tool"), fitting("files/read", "tool"));
        assert_ne!(one, other);
        assert!(one.starts_with("filesread_"));
        assert!(fitting("\u{e9}", "tool").starts_with("tool_"));
    }

    proptest! {
        #[test]
        fn every_name_fits_and_finds_back(name in "\\PC{1,90}", other in "\\PC{1,90}") {
            let told = fitting(&name, "tool");
            prop_assert!(told.len() <= MOST && told.bytes().all(is_plain) && !told.is_empty());
            prop_assert_eq!(told == fitting(&other, "tool"), name == other);
            let mut back = told;
            Renamed::new(&[ToolName::from(&*other), ToolName::from(&*name)]).restore(&mut back);
            prop_assert_eq!(back, name);
        }
    }
}
