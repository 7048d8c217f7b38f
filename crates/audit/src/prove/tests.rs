//! Receipts hold for their entry, offline, and for nothing else.

use super::*;
use crate::support::{Place, summary};

fn log(leaves: u64) -> (Place, VerifierKey) {
    let place = Place::new();
    let (audit, _) = place.open();
    for _ in 0..leaves {
        audit.summary(summary()).unwrap();
    }
    let key = audit.key().clone();
    audit.close();
    (place, key)
}

#[test]
fn every_leaf_has_a_receipt_that_holds_without_the_log() {
    for size in [1, 2, 257, 600] {
        let (place, key) = log(size);
        let step = if size > 300 { 37 } else { 1 };
        for leaf in (0..size).step_by(step) {
            let (proof, entry) = prove(&place.dir(), leaf).unwrap();
            let read: Proof = proof.to_string().parse().unwrap();
            assert_eq!(read, proof);
            assert_eq!(verify_proof(&read, &entry, &key).unwrap().size, size);
        }
        assert!(matches!(prove(&place.dir(), size), Err(ProofError::NotYet { .. })));
    }
}

#[test]
fn another_implementation_accepts_our_proofs() {
    let (place, key) = log(300);
    for leaf in [0, 1, 255, 256, 299] {
        let (proof, entry) = prove(&place.dir(), leaf).unwrap();
        let checkpoint = Checkpoint::open(&proof.checkpoint, &key).unwrap();
        let hashes = proof.hashes.iter().copied().map(tlog_tiles::Hash).collect();
        tlog_tiles::check_record(
            &hashes,
            checkpoint.size,
            tlog_tiles::Hash(checkpoint.root),
            leaf,
            tlog_tiles::record_hash(&entry),
        )
        .unwrap();
    }
}

#[test]
fn a_receipt_is_refused_when_anything_in_it_was_changed() {
    let (place, key) = log(70);
    let (proof, entry) = prove(&place.dir(), 33).unwrap();
    let text = proof.to_string();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let holds = changed.parse::<Proof>().and_then(|proof| verify_proof(&proof, &entry, &key));
        assert!(holds.is_err(), "byte {at}");
    }
    let mut other = entry.clone();
    other[3] ^= 1;
    assert!(matches!(verify_proof(&proof, &other, &key), Err(ProofError::NotIncluded(33))));
    let (_, stranger) = log(1);
    assert!(matches!(verify_proof(&proof, &entry, &stranger), Err(ProofError::Checkpoint(_))));
}

#[test]
fn extra_data_for_others_is_passed_over() {
    let (place, key) = log(3);
    let (proof, entry) = prove(&place.dir(), 1).unwrap();
    let text = proof.to_string().replacen("\nindex", "\nextra YWJj\nindex", 1);
    assert!(verify_proof(&text.parse().unwrap(), &entry, &key).is_ok());
}

#[test]
fn no_receipt_is_made_from_tiles_that_do_not_fit_the_checkpoint() {
    let (place, _) = log(70);
    let path = place.dir().join("tile/0/000.p/70");
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(prove(&place.dir(), 0).is_err());
}
