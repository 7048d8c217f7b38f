//! Receipts (C2SP tlog-proof): that one entry stands in the log, checkable without the log.
//!
//! Owns the text form and the check. Never changes a file. Called by `tidegate audit prove` and the admin API.

use std::{fmt, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    checkpoint::Checkpoint,
    note::{MAX_NOTE, NoteError, VerifierKey},
    read,
    tiles::{LEVELS, Tile, WIDTH},
    tree::{Hash, Subtrees, fold, inclusion_proof, leaf_hash, root_from_proof},
};

const TITLE: &str = "c2sp.org/tlog-proof@v1";
/// The most hashes of a proof: one per level of a tree of 2^64 leaves.
const MAX_HASHES: usize = 64;

/// Why a proof could not be made or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{0}: run `tidegate audit verify`")]
    Damaged(String),
    /// The leaf is not in the signed tree, or not yet.
    #[error("leaf {leaf} is not in the signed log of {size} leaves; a new leaf is signed within a second")]
    NotYet {
        /// The leaf.
        leaf: u64,
        /// The size of the signed tree.
        size: u64,
    },
    /// The text is no proof.
    #[error("this is no tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint is not signed by the log.
    #[error("the proof's checkpoint does not hold: {0}")]
    Checkpoint(#[from] NoteError),
    /// The entry is another one, or stands elsewhere.
    #[error("the entry is not at leaf {0} of the log that the checkpoint commits to")]
    NotIncluded(u64),
}

/// A receipt. Prints as the text of a `.tlog-proof` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The leaf.
    pub index: u64,
    /// The inclusion proof, from the leaf up.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\nindex {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl std::str::FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        if text.len() > MAX_NOTE {
            return Err(ProofError::Malformed("larger than 64 KiB"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofError::Malformed("no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(TITLE) {
            return Err(ProofError::Malformed("the first line is not its title"));
        }
        // What else a proof may carry has a meaning for others only.
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(|digits| digits.parse::<u64>().ok().filter(|index| index.to_string() == digits))
            .ok_or(ProofError::Malformed("no index"))?;
        let hashes: Vec<Hash> = lines
            .map(|line| STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok()))
            .collect::<Option<_>>()
            .ok_or(ProofError::Malformed("a hash is not base64 of 32 bytes"))?;
        if hashes.len() > MAX_HASHES {
            return Err(ProofError::Malformed("more hashes than any tree needs"));
        }
        Ok(Self { index, hashes, checkpoint: checkpoint.to_owned() })
    }
}

/// The tiles of a log on disk, for a tree of a known size.
struct Files<'a> {
    dir: &'a Path,
    size: u64,
    last: Option<(Tile, Vec<Hash>)>,
}

impl Files<'_> {
    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], ProofError> {
        let nodes = self.size >> (8 * u32::from(level));
        let width = if nodes / WIDTH > index { WIDTH } else { nodes % WIDTH };
        let tile = Tile { level: Some(level), index, width: u16::try_from(width).unwrap_or(256) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != tile) {
            let path = self.dir.join(tile.to_string());
            let bytes = fs::read(&path).map_err(|source| ProofError::Io { path, source })?;
            let (hashes, rest) = bytes.as_chunks::<32>();
            if !rest.is_empty() || hashes.len() as u64 != width {
                return Err(ProofError::Damaged(format!("{tile} has the wrong size")));
            }
            self.last = Some((tile, hashes.to_vec()));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, hashes)| hashes.as_slice()))
    }
}

impl Subtrees for Files<'_> {
    type Error = ProofError;

    fn perfect(&mut self, level: u8, index: u64) -> Result<Hash, ProofError> {
        let row = (level / 8).min(LEVELS - 1);
        let inner = u32::from(level - 8 * row);
        let first = index << inner;
        let start = usize::try_from(first % WIDTH).unwrap_or(0);
        let hashes = self.tile(row, first / WIDTH)?;
        hashes
            .get(start..start + (1_usize << inner))
            .and_then(fold)
            .ok_or_else(|| ProofError::Damaged(format!("tile/{row} has no node {first}")))
    }
}

/// The receipt for leaf `leaf` of the log in `dir`, under its present checkpoint, and the entry it is for. Reads the
/// files only, so the log may be running.
///
/// # Errors
/// Where the leaf is not in the signed tree, a file cannot be read, or the files do not fit the checkpoint.
pub fn prove(dir: &Path, leaf: u64) -> Result<(Proof, Vec<u8>), ProofError> {
    let mut tries = 0;
    loop {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| ProofError::Io { path, source })
        };
        let key = VerifierKey::parse(read("log.pub")?.trim_end())?;
        let note = read("checkpoint")?;
        let checkpoint = Checkpoint::open(&note, &key)?;
        let size = checkpoint.size;
        if leaf >= size {
            return Err(ProofError::NotYet { leaf, size });
        }
        let made = inclusion_proof(&mut Files { dir, size, last: None }, leaf, size).and_then(|hashes| {
            let entry = read::from_bundle(dir, leaf, size).map_err(|error| ProofError::Damaged(error.to_string()))?;
            Ok((hashes, entry))
        });
        let (hashes, entry) = match made {
            Ok(made) => made,
            // A running log replaced the right edge in between.
            Err(_) if tries < 5 && read("checkpoint")? != note => {
                tries += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let proof = Proof { index: leaf, hashes, checkpoint: note };
        verify_proof(&proof, &entry, &key)?;
        return Ok((proof, entry));
    }
}

/// Checks that `entry` stands at `proof.index` of the log whose key is `key`, and returns the checkpoint that commits
/// to it.
///
/// # Errors
/// Where the checkpoint is not signed by that log, or the proof does not lead from the entry to its root.
pub fn verify_proof(proof: &Proof, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofError> {
    let checkpoint = Checkpoint::open(&proof.checkpoint, key)?;
    let root = root_from_proof(leaf_hash(entry), proof.index, checkpoint.size, &proof.hashes);
    if root == Some(checkpoint.root) { Ok(checkpoint) } else { Err(ProofError::NotIncluded(proof.index)) }
}

#[cfg(test)]
mod tests;
