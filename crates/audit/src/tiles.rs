//! The files of a log in C2SP tlog-tiles form: paths, and the growing right edge of the tree.
//!
//! Owns names and hashes; never reads or writes a file. Called by the integration thread, the prover and the verifier.

use std::fmt;

use crate::tree::{Hash, empty_root, fold, leaf_hash, node_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;
/// The largest entry that a bundle can hold, in bytes.
pub const MAX_ENTRY: usize = 65_535;
/// Levels of tiles that a tree of 2^64 leaves needs.
pub const LEVELS: u8 = 8;

/// Which file under `tile/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// A level of hashes, or `None` for an entry bundle.
    pub level: Option<u8>,
    /// Which one of its level.
    pub index: u64,
    /// How many hashes or entries it holds: 1 to 256.
    pub width: u16,
}

impl Tile {
    /// How many leaves one element of this tile stands for.
    #[must_use]
    pub fn span(&self) -> u64 {
        1_u64.checked_shl(8 * u32::from(self.level.unwrap_or(0))).unwrap_or(u64::MAX)
    }

    /// How many leaves the log must hold for this tile to exist; saturating.
    #[must_use]
    pub fn needs(&self) -> u64 {
        self.index.saturating_mul(WIDTH).saturating_add(u64::from(self.width)).saturating_mul(self.span())
    }

    /// Whether the tile holds all 256 of its elements.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// Reads a path below the log's directory, such as `tile/0/x001/234.p/5`; `None` where it is not the canonical
    /// name of a tile.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (level, rest) = rest.split_once('/')?;
        let level = if level == "entries" { None } else { Some(level.parse::<u8>().ok().filter(|l| *l < LEVELS)?) };
        let (name, width) = match rest.split_once(".p/") {
            Some((name, width)) => (name, width.parse::<u16>().ok().filter(|w| (1..256).contains(w))?),
            None => (rest, 256),
        };
        let mut index: u64 = 0;
        for part in name.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { level, index, width };
        (tile.to_string() == path).then_some(tile)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "tile/{level}/")?,
            None => f.write_str("tile/entries/")?,
        }
        let mut groups = Vec::with_capacity(7);
        let mut rest = self.index;
        loop {
            groups.push(rest % 1000);
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() {
                write!(f, "{group:03}")?;
            } else {
                write!(f, "x{group:03}/")?;
            }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// The files that a log of `size` leaves must have for its right edge: the partial bundle and the partial tiles.
#[must_use]
pub fn partials(size: u64) -> Vec<Tile> {
    let mut all = Vec::new();
    for level in 0..LEVELS {
        let nodes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let width = u16::try_from(nodes % WIDTH).unwrap_or(0);
        if width > 0 {
            let index = nodes / WIDTH;
            if level == 0 {
                all.push(Tile { level: None, index, width });
            }
            all.push(Tile { level: Some(level), index, width });
        }
    }
    all
}

/// The entries of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    bytes: Vec<u8>,
    count: u16,
}

impl Bundle {
    /// The bundle as its file holds it: each entry behind its length as a big-endian 16-bit integer.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries it holds.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    fn push(&mut self, entry: &[u8]) {
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(entry.get(..usize::from(length)).unwrap_or(entry));
        self.count += 1;
    }
}

/// The entries of a bundle's bytes, in order. Yields `None` once, and ends, where the bytes do not add up.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let Some((length, after)) = bytes.split_first_chunk::<2>() else { return Some(None) };
        let Some((entry, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return Some(None);
        };
        rest = Some(after);
        Some(Some(entry))
    })
}

/// A tile that has just got its 256th element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Which one.
    pub tile: Tile,
    /// Its file's bytes.
    pub bytes: Vec<u8>,
}

/// The right edge of a growing tree: the unfinished bundle and the unfinished tile of every level. At most 256 entries
/// and 2,048 hashes, whatever the size of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    bundle: Bundle,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The unfinished bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The hashes of the unfinished tile of `level`.
    #[must_use]
    pub fn hashes(&self, level: u8) -> &[Hash] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// The bytes of one of [`partials`] of this tree, or of a narrower one of the same index.
    #[must_use]
    pub fn partial(&self, tile: &Tile) -> Option<Vec<u8>> {
        let width = usize::from(tile.width);
        match tile.level {
            Some(level) => {
                let hashes = self.hashes(level).get(..width)?;
                Some(hashes.concat())
            }
            None => {
                let mut bytes = Vec::new();
                let mut left = width;
                for entry in entries(&self.bundle.bytes).take(width) {
                    let entry = entry?;
                    bytes.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
                    bytes.extend_from_slice(entry);
                    left -= 1;
                }
                (left == 0).then_some(bytes)
            }
        }
    }

    /// Adds one leaf, at most [`MAX_ENTRY`] bytes, and hands every tile that this completes to `completed`, the
    /// bundle first and then the levels from the bottom.
    pub fn push(&mut self, entry: &[u8], completed: &mut impl FnMut(Completed)) {
        let index = self.size / WIDTH;
        self.size += 1;
        self.bundle.push(entry);
        if u64::from(self.bundle.count) == WIDTH {
            let bytes = std::mem::take(&mut self.bundle).bytes;
            completed(Completed { tile: Tile { level: None, index, width: 256 }, bytes });
        }
        self.push_hash(0, leaf_hash(entry), completed);
    }

    fn push_hash(&mut self, level: u8, hash: Hash, completed: &mut impl FnMut(Completed)) {
        let at = usize::from(level);
        while self.levels.len() <= at {
            self.levels.push(Vec::with_capacity(8));
        }
        let Some(hashes) = self.levels.get_mut(at) else { return };
        hashes.push(hash);
        if hashes.len() as u64 == WIDTH {
            let bytes = hashes.concat();
            let root = fold(hashes);
            hashes.clear();
            let nodes = self.size >> (8 * u32::from(level));
            completed(Completed { tile: Tile { level: Some(level), index: nodes / WIDTH - 1, width: 256 }, bytes });
            if let Some(root) = root {
                self.push_hash(level + 1, root, completed);
            }
        }
    }

    /// Rebuilds the edge of a tree of `size` leaves from the bytes of its partial files, as `read` gives them. The
    /// level-0 hashes come from the bundle, not from the tile. `None` where a file does not fit its name.
    ///
    /// # Errors
    /// What `read` says.
    pub fn restore<E>(size: u64, mut read: impl FnMut(&Tile) -> Result<Vec<u8>, E>) -> Result<Option<Self>, E> {
        let mut edge = Self { size, bundle: Bundle::default(), levels: vec![Vec::new()] };
        for tile in partials(size) {
            let bytes = read(&tile)?;
            let Some(level) = tile.level else {
                let mut level0 = Vec::new();
                for entry in entries(&bytes) {
                    let Some(entry) = entry else { return Ok(None) };
                    level0.push(leaf_hash(entry));
                }
                if level0.len() != usize::from(tile.width) {
                    return Ok(None);
                }
                edge.bundle = Bundle { bytes, count: tile.width };
                edge.levels = vec![level0];
                continue;
            };
            let (hashes, rest) = bytes.as_chunks::<32>();
            if !rest.is_empty() || hashes.len() != usize::from(tile.width) {
                return Ok(None);
            }
            if level == 0 {
                if edge.hashes(0) != hashes {
                    return Ok(None);
                }
            } else {
                while edge.levels.len() <= usize::from(level) {
                    edge.levels.push(Vec::new());
                }
                if let Some(slot) = edge.levels.get_mut(usize::from(level)) {
                    *slot = hashes.to_vec();
                }
            }
        }
        Ok(Some(edge))
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            for bit in 0..9_u32 {
                if (hashes.len() >> bit) & 1 == 1 {
                    let (before, subtree) = rest.split_at(rest.len().saturating_sub(1 << bit));
                    rest = before;
                    if let Some(left) = fold(subtree) {
                        root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                    }
                }
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
mod tests;
