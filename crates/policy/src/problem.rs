//! What is wrong with a policy, and where. Made by `compile`; rendered by the configuration crate.

use std::{fmt, sync::Arc};

/// One problem of one policy, or of what policies are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// The policy file; empty where no file is at fault.
    pub file: String,
    /// The line, from 1; 0 where no file is at fault.
    pub line: u32,
    /// The column in characters, from 1; 0 where no file is at fault.
    pub column: u32,
    /// The policy's id, where the text could be read that far.
    pub policy_id: Option<Arc<str>>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        }
        if let Some(id) = &self.policy_id {
            write!(f, "policy `{id}`: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PolicyProblem {}

impl PolicyProblem {
    /// A problem that stands in no file.
    pub(crate) fn unplaced(message: String, hint: Option<String>) -> Self {
        Self { file: String::new(), line: 0, column: 0, policy_id: None, message, hint }
    }

    /// A problem at byte `offset` of a file's text.
    pub(crate) fn at(file: &str, text: &str, offset: usize, policy_id: Option<Arc<str>>, message: String) -> Self {
        let (line, column) = place(text, offset);
        Self { file: file.to_owned(), line, column, policy_id, message, hint: None }
    }

    /// The same problem with a hint.
    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// Line and column, both from 1, of byte `offset` in `text`.
fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (
        u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1),
        u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
    )
}

/// The candidate that `text` most likely meant, if any is close.
pub(crate) fn did_you_mean<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let most = (text.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}
