//! What became of each place of a source.

use serde_json::Value;

use crate::node::join;

/// How well a place was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It means the same.
    Exact,
    /// It means nearly the same.
    Approximated,
    /// It means nothing any more.
    Dropped,
}

impl Outcome {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximated => "approximated",
            Self::Dropped => "dropped",
        }
    }
}

/// One place of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the source.
    pub path: String,
    /// How well it was carried over.
    pub outcome: Outcome,
    /// Where it stands now; empty where nowhere.
    pub to: String,
    /// Why it is not the same; empty where it is.
    pub why: String,
}

/// The most entries that are kept: a source with more is no configuration.
const MOST: usize = 20_000;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Entry>);

impl Report {
    pub(super) fn exact(&mut self, path: &str, to: impl Into<String>) {
        self.add(path, Outcome::Exact, to.into(), String::new());
    }

    pub(super) fn near(&mut self, path: &str, to: impl Into<String>, why: impl Into<String>) {
        self.add(path, Outcome::Approximated, to.into(), why.into());
    }

    pub(super) fn lost(&mut self, path: &str, why: impl Into<String>) {
        self.add(path, Outcome::Dropped, String::new(), why.into());
    }

    fn add(&mut self, path: &str, outcome: Outcome, to: String, why: String) {
        if self.0.len() < MOST {
            self.0.push(Entry { path: path.to_owned(), outcome, to, why });
        }
    }

    /// Tells of everything that nobody told of.
    pub(super) fn rest(&mut self, value: &Value, path: &str) {
        let told: std::collections::BTreeSet<String> = self.0.iter().map(|entry| entry.path.clone()).collect();
        self.rest_of(value, path, &told);
    }

    fn rest_of(&mut self, value: &Value, path: &str, told: &std::collections::BTreeSet<String>) {
        if told.contains(path) {
            return;
        }
        let below: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (join(path, name), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, value)| (format!("{path}[{at}]"), value)).collect()
            }
            _ => Vec::new(),
        };
        // A part that somebody looked into is told of piece by piece, one that nobody knows as a whole.
        let known = path.is_empty()
            || told
                .range(path.to_owned()..)
                .take_while(|one| one.starts_with(path))
                .any(|one| one.get(path.len()..).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('[')));
        if known && !below.is_empty() {
            for (path, value) in below {
                self.rest_of(value, &path, told);
            }
        } else if !path.is_empty() {
            self.lost(path, "not known here: nothing was made of it");
        }
    }

    pub(super) fn finish(mut self) -> Vec<Entry> {
        self.0.sort_by(|one, other| one.path.cmp(&other.path).then(other.outcome.cmp(&one.outcome)));
        // The worst that is told of a place counts.
        self.0.dedup_by(|later, first| later.path == first.path);
        self.0
    }
}
