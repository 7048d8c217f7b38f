//! The tree against RFC 6962 as it is written down, without shortcuts.

use proptest::prelude::*;

use super::*;
use crate::tiles::Edge;

/// MTH of RFC 6962 section 2.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..middle]), &naive_root(&leaves[middle..]))
        }
    }
}

/// PATH of RFC 6962 section 2.1.1.
fn naive_proof(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    let (mut path, other) =
        if index < middle { (naive_proof(index, left), right) } else { (naive_proof(index - middle, right), left) };
    path.push(naive_root(other));
    path
}

struct Leaves<'a>(&'a [Hash]);

impl Subtrees for Leaves<'_> {
    type Error = std::convert::Infallible;

    fn perfect(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let low = usize::try_from(index << level).unwrap();
        Ok(naive_root(&self.0[low..low + (1 << level)]))
    }
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect()
}

#[test]
fn hashes_are_those_of_rfc_6962() {
    let hex = |hash: Hash| hex::encode(hash);
    assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    let (a, b) = (leaf_hash(b""), leaf_hash(b"\0"));
    assert_eq!(hex(node_hash(&a, &b)), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
}

#[test]
fn the_edge_has_the_root_of_the_whole_tree_at_every_boundary() {
    let all = leaves(65_536 + 300);
    let boundaries = [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 4096, 65_535, 65_536, 65_537, 65_793, 65_836];
    let mut edge = Edge::new();
    for size in 0..=all.len() {
        if boundaries.contains(&size) {
            assert_eq!(edge.root(), naive_root(&all[..size]), "size {size}");
        }
        edge.push(&(size as u64).to_be_bytes(), &mut |_| {});
    }
}

#[test]
fn every_proof_of_small_trees_is_the_naive_one_and_holds() {
    for size in 1..70_u64 {
        let all = leaves(size);
        let root = naive_root(&all);
        for index in 0..size {
            let at = usize::try_from(index).unwrap();
            let proof = inclusion_proof(&mut Leaves(&all), index, size).unwrap();
            assert_eq!(proof, naive_proof(at, &all), "{index} of {size}");
            assert_eq!(root_from_proof(all[at], index, size, &proof), Some(root));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn proofs_hold_for_their_leaf_only(size in 2_u64..1500, a in any::<u64>(), b in any::<u64>(), flip in any::<u8>()) {
        let all = leaves(size);
        let (index, other) = (a % size, b % size);
        let at = usize::try_from(index).unwrap();
        let mut proof = inclusion_proof(&mut Leaves(&all), index, size).unwrap();
        let root = naive_root(&all);
        prop_assert_eq!(root_from_proof(all[at], index, size, &proof), Some(root));
        if other != index {
            prop_assert_ne!(root_from_proof(all[at], other, size, &proof), Some(root));
        }
        prop_assert_ne!(root_from_proof(all[at], index, size, &proof[1..]), Some(root));
        let changed = usize::from(flip) % proof.len();
        proof[changed][usize::from(flip) % 32] ^= 1;
        prop_assert_ne!(root_from_proof(all[at], index, size, &proof), Some(root));
    }

    #[test]
    fn hostile_proofs_never_panic(index in any::<u64>(), size in any::<u64>(), count in 0_usize..80) {
        let _ = root_from_proof([1; 32], index, size, &vec![[2; 32]; count]);
    }
}
