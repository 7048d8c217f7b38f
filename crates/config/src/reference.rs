//! References to secrets (`env:NAME`, `file:PATH`), and telling a secret from other text.
//!
//! Owns which schemes there are and how they are resolved. Never prints what a reference resolves to. Called by the
//! reader, by `check` and by diagnostics.

use std::{fmt, path::Path};

use tidegate_core::secret::Secret;

use crate::environment::Environment;

/// The largest file that a `file:` reference may name, in bytes.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// The schemes of the configuration's language that this version does not resolve.
const LATER: [&str; 6] = ["vault", "aws-sm", "gcp-sm", "azure-kv", "k8s", "keyring"];

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// An environment variable.
    Variable(String),
    /// A file, relative to the configuration file.
    File(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReference {
    /// It has no scheme: it is the value itself.
    Literal,
    /// Its scheme is known but not available yet.
    Later(&'static str),
    /// Its scheme is known, and what follows is not right.
    Malformed(&'static str),
}

impl Reference {
    /// Reads a reference: a whole scalar.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, NotReference> {
        if let Some(name) = text.strip_prefix("env:") {
            let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
            return if letters && first && name.len() <= 128 {
                Ok(Self::Variable(name.to_owned()))
            } else {
                Err(NotReference::Malformed("`env:` is followed by a variable's name: letters, digits and `_`"))
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            let good = !path.trim().is_empty() && path.len() <= 1024 && !path.chars().any(char::is_control);
            return if good {
                Ok(Self::File(path.to_owned()))
            } else {
                Err(NotReference::Malformed("`file:` is followed by a path"))
            };
        }
        for scheme in LATER {
            if text.strip_prefix(scheme).is_some_and(|rest| rest.starts_with(':')) {
                return Err(NotReference::Later(scheme));
            }
        }
        Err(NotReference::Literal)
    }

    /// The secret itself. Of a file, one final line break is not part of it.
    ///
    /// # Errors
    /// What is missing, without any of the secret.
    pub fn resolve(&self, folder: &Path, environment: &dyn Environment) -> Result<Secret, Missing> {
        match self {
            Self::Variable(name) => match environment.variable(name) {
                Some(value) if !value.is_empty() => Ok(Secret::new(value)),
                Some(_) => Err(Missing::Variable(format!("environment variable `{name}` is empty"))),
                None => Err(Missing::Variable(format!("environment variable `{name}` is not set"))),
            },
            Self::File(path) => {
                let at = folder.join(path);
                let mut text = environment.read(&at, MAX_SECRET_BYTES).map_err(|error| {
                    Missing::File(format!("cannot read the secret's file `{}`: {error}", at.display()))
                })?;
                let kept = text.strip_suffix('\n').unwrap_or(&text);
                let kept = kept.strip_suffix('\r').unwrap_or(kept).len();
                text.truncate(kept);
                if text.is_empty() {
                    return Err(Missing::File(format!("the secret's file `{}` is empty", at.display())));
                }
                Ok(Secret::new(text))
            }
        }
    }
}

/// What a reference names and is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A variable.
    #[error("{0}")]
    Variable(String),
    /// A file.
    #[error("{0}")]
    File(String),
}

/// How keys of common vendors start, with the fewest characters that such a key has.
const PREFIXES: [(&str, usize); 31] = [
    ("sk-", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("tg_", 20),
    ("gsk_", 16),
    ("xai-", 16),
    ("AIza", 30),
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("hf_", 20),
    ("r8_", 20),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xapp-", 16),
    ("pplx-", 16),
    ("nvapi-", 16),
    ("fw_", 16),
    ("tgp_v1_", 16),
    ("npm_", 20),
    ("pypi-", 20),
    ("dop_v1_", 20),
    ("SG.", 30),
    ("eyJ", 40),
    ("-----BEGIN", 20),
];

/// Whether a text looks like a secret: it starts like a vendor's key, or is long, unbroken and random.
#[must_use]
pub fn looks_secret(text: &str) -> bool {
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    if PREFIXES.iter().any(|(prefix, least)| text.len() >= *least && text.starts_with(prefix)) {
        return text.starts_with("-----BEGIN") || !text.contains(char::is_whitespace);
    }
    random(text)
}

/// Whether a text is 32 to 512 letters and digits that no one would have thought up.
fn random(text: &str) -> bool {
    let fits = (32..=512).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'='));
    if !fits || text.starts_with('/') || text.contains("//") {
        return false;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let upper = text.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = text.bytes().filter(u8::is_ascii_lowercase).count();
    let marks = text.len().saturating_sub(digits).saturating_sub(upper).saturating_sub(lower);
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mixed = digits >= 4 && upper >= 4 && lower >= 4 && marks <= text.len() / 10;
    (hexadecimal || mixed) && entropy(text) >= if hexadecimal { 3.0 } else { 4.0 }
}

/// Shannon's entropy in bits for each character.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count = count.saturating_add(1);
        }
    }
    let total = u32::try_from(text.len()).map_or(1.0, f64::from);
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

/// The byte ranges of a line that hold something like a secret: words that look like one, and whatever stands after
/// `key:`, `secret:`, `token:` or `password:` and is no reference. For texts that could not be parsed.
pub(crate) fn secret_ranges(line: &str) -> Vec<(usize, usize)> {
    let ends =
        |letter: char| letter.is_whitespace() || matches!(letter, ',' | '{' | '}' | '[' | ']' | '"' | '\'' | '`');
    let mut ranges = Vec::new();
    let mut named = false;
    let mut at = 0_usize;
    for word in line.split(ends) {
        let end = at.saturating_add(word.len());
        let bare = word.trim_end_matches(':');
        if !word.is_empty() && word != ":" {
            if (named && matches!(Reference::parse(word), Err(NotReference::Literal))) || looks_secret(word) {
                ranges.push((at, end));
            }
            named = matches!(bare.to_ascii_lowercase().as_str(), "key" | "secret" | "token" | "password" | "api_key");
        }
        at = end.saturating_add(line.get(end..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    }
    ranges
}

#[cfg(test)]
mod tests;
