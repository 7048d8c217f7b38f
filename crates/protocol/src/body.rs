//! A JSON body with edits: the bytes as they came, their tape, and what is to be sent instead.
//!
//! Owns the version of a body. Never changes a byte that no edit names, never scans a body twice. Model calls and tool
//! calls are built on it.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tidegate_core::{ids::Digest, value::Value};

use crate::json::{
    Edit, JsonError, Kind, Limits, NodeId, SpliceError, Tape, canonical, canonical_with, scan, splice, write_text,
};

/// What stands in the place of one value.
#[derive(Debug, Clone)]
struct Replacement {
    node: NodeId,
    /// The text, where the replacement is a string.
    text: Option<Box<str>>,
    written: Vec<u8>,
}

/// A body that may have been rewritten in places. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EditableBody {
    bytes: Bytes,
    tape: Arc<Tape>,
    replacements: Vec<Replacement>,
    /// The names that members were given, and how many got each.
    renamed: HashMap<Box<str>, u32>,
    version: u32,
    current: OnceLock<Bytes>,
    digest: OnceLock<Digest>,
}

impl EditableBody {
    /// Scans a body.
    ///
    /// # Errors
    /// When it is not strict JSON within the limits.
    pub fn read(bytes: Bytes, limits: &Limits) -> Result<Self, JsonError> {
        let tape = scan(&bytes, limits)?;
        Ok(Self::from_parts(bytes, Arc::new(tape)))
    }

    /// A body whose tape was made before, from exactly these bytes.
    #[must_use]
    pub fn from_parts(bytes: Bytes, tape: Arc<Tape>) -> Self {
        Self {
            bytes,
            tape,
            replacements: Vec::new(),
            renamed: HashMap::new(),
            version: 0,
            current: OnceLock::new(),
            digest: OnceLock::new(),
        }
    }

    /// A body in which nothing is looked at and nothing changes: its tape is that of `null`.
    ///
    /// # Errors
    /// Never: the type is the scanner's.
    pub fn opaque(bytes: Bytes) -> Result<Self, JsonError> {
        Ok(Self::from_parts(bytes, Arc::new(scan(b"null", &Limits::default())?)))
    }

    /// The bytes as they came, without edits.
    #[must_use]
    pub fn original(&self) -> &Bytes {
        &self.bytes
    }

    /// The tape of the original bytes.
    #[must_use]
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The tape of the original bytes, to be kept.
    #[must_use]
    pub fn shared_tape(&self) -> Arc<Tape> {
        Arc::clone(&self.tape)
    }

    /// How often the body was changed; 0 for one that is as it came.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the body is as it came.
    #[must_use]
    pub fn is_original(&self) -> bool {
        self.replacements.is_empty()
    }

    /// Puts another text in the place of a string or a number and counts the version up. The last text that a node was
    /// given holds. Says whether the node is one that still stands in this body; if not, nothing happens.
    pub fn replace_text(&mut self, node: NodeId, text: &str) -> bool {
        if !matches!(self.tape.kind(node), Kind::String | Kind::Number) {
            return false;
        }
        let mut written = Vec::new();
        write_text(&mut written, text);
        self.replace(Replacement { node, text: Some(text.into()), written })
    }

    /// Gives a member another name, as [`Self::replace_text`] does with its node. A name that was given before gets a
    /// number, so that no two members of an object are called the same.
    pub fn rename(&mut self, key: NodeId, name: &str) -> bool {
        let count = self.renamed.entry(name.into()).or_insert(0);
        *count = count.saturating_add(1);
        if *count == 1 {
            return self.replace_text(key, name);
        }
        let numbered = format!("{name} {count}");
        self.replace_text(key, &numbered)
    }

    /// Puts JSON text in the place of a value and of all that stands inside it, and counts the version up. Says whether
    /// it did: not where the text is no single value, nor where the node stands in this body no longer.
    pub fn replace_raw(&mut self, node: NodeId, written: Vec<u8>) -> bool {
        let Ok(tape) = scan(&written, &Limits::default()) else { return false };
        let text = tape.text(&written, tape.root()).map(|text| text.into_owned().into());
        self.replace(Replacement { node, text, written })
    }

    fn replace(&mut self, replacement: Replacement) -> bool {
        let node = replacement.node;
        let at = self.replacements.partition_point(|earlier| earlier.node < node);
        let before = at.checked_sub(1).and_then(|before| self.replacements.get(before));
        let gone = before.is_some_and(|before| node < self.tape.after(before.node));
        if gone || self.tape.span(node).is_empty() {
            return false;
        }
        // Guards rewrite in the order of the text, so the place is nearly always the end.
        let after = self.tape.after(node);
        let end = self.replacements.partition_point(|earlier| earlier.node < after);
        self.replacements.splice(at..end, [replacement]);
        self.version = self.version.saturating_add(1);
        self.current = OnceLock::new();
        self.digest = OnceLock::new();
        true
    }

    fn replacement(&self, node: NodeId) -> Option<&Replacement> {
        let at = self.replacements.binary_search_by_key(&node, |replacement| replacement.node).ok()?;
        self.replacements.get(at)
    }

    /// The text of a string as it stands, edits included.
    #[must_use]
    pub fn text(&self, node: NodeId) -> Option<Cow<'_, str>> {
        match self.replacement(node) {
            Some(replacement) => replacement.text.as_deref().map(Cow::Borrowed),
            None => self.tape.text(&self.bytes, node),
        }
    }

    /// The value as policies see it, edits included.
    #[must_use]
    pub fn value(&self, node: NodeId) -> Value {
        self.tape.value_with(&self.bytes, node, &|node| {
            let replacement = self.replacement(node)?;
            match &replacement.text {
                Some(text) => Some(Value::Text(Arc::from(&**text))),
                None => scan(&replacement.written, &Limits::default())
                    .ok()
                    .map(|tape| tape.value(&replacement.written, tape.root())),
            }
        })
    }

    /// The canonical form of a value (see [`crate::json::canonical`]), edits included.
    #[must_use]
    pub fn canonical(&self, node: NodeId) -> Vec<u8> {
        canonical_with(&self.bytes, &self.tape, node, &|node| {
            let written = &self.replacement(node)?.written;
            scan(written, &Limits::default()).ok().map(|tape| canonical(written, &tape, tape.root()))
        })
    }

    /// The JSON pointer of a node in the original body.
    #[must_use]
    pub fn pointer(&self, node: NodeId) -> String {
        self.tape.pointer(&self.bytes, node)
    }

    /// The edits so far.
    #[must_use]
    pub fn edits(&self) -> Vec<Edit> {
        self.replacements
            .iter()
            .map(|replacement| Edit {
                span: self.tape.span(replacement.node),
                replacement: replacement.written.clone(),
            })
            .collect()
    }

    /// The body as it stands: the original bytes where nothing was edited. Built once per version.
    #[must_use]
    pub fn current(&self) -> Bytes {
        if self.replacements.is_empty() {
            return self.bytes.clone();
        }
        // Replacements never overlap; were it not so, an empty body is safer than one without an edit.
        self.current.get_or_init(|| self.with(Vec::new()).map_or_else(|_| Bytes::new(), Bytes::from)).clone()
    }

    /// The body as it stands with further edits that hold for one sending only: a model's name, an id. The version
    /// stays.
    ///
    /// # Errors
    /// When a further edit overlaps another one.
    pub fn with(&self, further: Vec<Edit>) -> Result<Vec<u8>, SpliceError> {
        let mut edits = self.edits();
        edits.extend(further);
        splice(&self.bytes, edits)
    }

    /// The SHA-256 of the body as it stands. Computed once per version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::of(&self.current()))
    }
}
