//! What is wrong with a configuration: one problem with its code, place, words and remedy.
//!
//! Never holds a secret: texts that users wrote go through [`quote`]. Made by the parser and by `check`; printed by
//! `render`.

use std::fmt;

use crate::{
    codes::Code,
    reference,
    source::{Position, Span},
};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken; the words are for whoever wrote it.
    Warning,
}

impl Severity {
    /// The word that a diagnostic starts with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in a text that is none of the configuration's own, such as a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The file's name.
    pub file: String,
    /// The place in it.
    pub at: Position,
    /// The line that the place is in.
    pub line: String,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.at.line, self.at.column)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its code, as `tidegate explain` takes it.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands; `None` where it concerns no place in a text, such as a file that cannot be read.
    pub span: Option<Span>,
    /// Where it stands, if that is in another text than the configuration's.
    pub elsewhere: Option<Box<Elsewhere>>,
    /// The configuration path, such as `models.chat.fallback[1]`; empty for the whole.
    pub path: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, in one line.
    pub hint: Option<String>,
}

impl Problem {
    /// An error without a hint.
    #[must_use]
    pub fn new(code: Code, span: Option<Span>, path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self { code, severity: Severity::Error, span, elsewhere: None, path, message, hint: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same at a place in another text than the configuration's.
    #[must_use]
    pub(crate) fn at(mut self, place: Elsewhere) -> Self {
        self.elsewhere = Some(Box::new(place));
        self
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

impl fmt::Display for Problem {
    /// Code, path and message in one line, without a place in the configuration and hint; see [`crate::render`] for the
    /// whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.severity.as_str(), self.code)?;
        if let Some(place) = &self.elsewhere {
            write!(f, " {place}")?;
        }
        if self.path.is_empty() {
            write!(f, ": {}", self.message)
        } else {
            write!(f, " {}: {}", self.path, self.message)
        }
    }
}

/// A text that a user wrote, between backticks: at most 60 characters, control characters shown as `·`, and
/// `[secret]` where it looks like one.
#[must_use]
pub fn quote(text: &str) -> String {
    if reference::looks_secret(text) {
        return String::from("`[secret]`");
    }
    let mut shown: String =
        text.chars().take(60).map(|letter| if letter.is_control() { '·' } else { letter }).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Names in words: `` `a`, `b` or `c` ``; at most eight, then how many more.
#[must_use]
pub(crate) fn one_of<'text>(names: impl IntoIterator<Item = &'text str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown: Vec<String> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    match shown.split_last() {
        _ if more > 0 => format!("{} and {more} more", shown.join(", ")),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::from("nothing"),
    }
}

/// The name that `wrong` was probably meant to be; `None` where none is near. Looks at the first 10,000 names.
#[must_use]
pub fn nearest<'text>(wrong: &str, names: impl IntoIterator<Item = &'text str>) -> Option<&'text str> {
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.to_ascii_lowercase();
    let within = (wrong.chars().count() / 3).clamp(1, 3);
    names
        .into_iter()
        .take(10_000)
        .filter(|name| name.len() <= 96)
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= within)
        .min()
        .map(|(_, name)| name)
}
