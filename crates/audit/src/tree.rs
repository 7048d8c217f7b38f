//! The Merkle tree of RFC 6962 section 2.1 over SHA-256: hashes, roots, inclusion proofs.
//!
//! Owns arithmetic only: it never reads a file. Called by the integration thread, the prover and the verifier.

use aws_lc_rs::digest::{Context, SHA256};

/// One node of the tree.
pub type Hash = [u8; 32];

fn finish(context: Context) -> Hash {
    let mut out = [0_u8; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    finish(context)
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut joined = [1_u8; 65];
    for (to, from) in joined.iter_mut().skip(1).zip(left.iter().chain(right)) {
        *to = *from;
    }
    let mut context = Context::new(&SHA256);
    context.update(&joined);
    finish(context)
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    finish(Context::new(&SHA256))
}

/// The root over `hashes`, each the root of an equally large perfect subtree. `None` for no hashes.
#[must_use]
pub fn fold(hashes: &[Hash]) -> Option<Hash> {
    let mut level: Vec<Hash> = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                [odd] => Some(*odd),
                _ => None,
            })
            .collect();
    }
    level.first().copied()
}

/// The largest power of two that is less than `size`; `size` is at least two.
fn split(size: u64) -> u64 {
    1 << (63 - size.saturating_sub(1).max(1).leading_zeros())
}

/// Where an inclusion proof gets its subtree roots from.
pub trait Subtrees {
    /// Why a subtree could not be had.
    type Error;

    /// The root of the perfect subtree of `1 << level` leaves that begins at leaf `index << level`.
    ///
    /// # Errors
    /// What the source says.
    fn perfect(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the leaves `low..high` (RFC 6962 section 2.1), `low < high`, `low` a multiple of the largest power
/// of two that fits.
///
/// # Errors
/// What the source says.
pub fn range_root<S: Subtrees>(source: &mut S, low: u64, high: u64) -> Result<Hash, S::Error> {
    let size = high.saturating_sub(low);
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return source.perfect(u8::try_from(level).unwrap_or(63), low >> level);
    }
    let middle = low.saturating_add(split(size));
    let left = range_root(source, low, middle)?;
    let right = range_root(source, middle, high)?;
    Ok(node_hash(&left, &right))
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves, from the leaf up (RFC 6962 section 2.1.1).
/// `index` must be below `size`; else the proof is empty.
///
/// # Errors
/// What the source says.
pub fn inclusion_proof<S: Subtrees>(source: &mut S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while index < size && high.saturating_sub(low) > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range_root(source, middle, high)?);
            high = middle;
        } else {
            path.push(range_root(source, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The root that an inclusion proof leads to from the leaf hash `leaf` (RFC 9162 section 2.1.3.2); `None` where the
/// proof has the wrong length for `index` and `size`, or `index` is not below `size`.
#[must_use]
pub fn root_from_proof(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut root) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests;
