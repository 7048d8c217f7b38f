//! Checkpoints (C2SP tlog-checkpoint): the size and root of the log, signed.
//!
//! Owns the form; never decides when one is signed. Called by the integration thread, the prover and the verifier.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    note::{NoteError, SigningKey, VerifierKey},
    tree::Hash,
};

/// What a log commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        key.sign(&self.text())
    }

    /// Reads a signed checkpoint of the log whose key is `key`.
    ///
    /// # Errors
    /// Where the note is malformed or not signed by `key`, or its text is no canonical checkpoint of that log.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let text = key.open(note)?;
        let malformed = |what| move || NoteError::Malformed(what);
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|line| *line == key.name()).ok_or_else(malformed("not this log's origin"))?;
        let size = lines
            .next()
            .and_then(|line| line.parse::<u64>().ok().filter(|size| size.to_string() == line))
            .ok_or_else(malformed("the second line is no size"))?;
        let root = lines
            .next()
            .and_then(|line| STANDARD.decode(line).ok())
            .and_then(|root| root.try_into().ok())
            .ok_or_else(malformed("the third line is no root hash"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}
