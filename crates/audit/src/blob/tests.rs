//! Bodies are unreadable without the key, noticed when changed, and gone when their time is over.

use super::*;
use tidegate_core::clock;

fn blobs() -> (tempfile::TempDir, Blobs) {
    let root = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(root.path().join("blobs"), &root.path().join("keys")).unwrap();
    (root, blobs)
}

#[test]
fn a_body_comes_back_and_its_file_tells_nothing() {
    let (root, blobs) = blobs();
    let body = b"the canary sings at dawn".repeat(10);
    let (a, b) = (blobs.put(&body).unwrap(), blobs.put(&body).unwrap());
    assert_ne!(a, b, "equal bodies have different names");
    assert_eq!(**blobs.get(&a).unwrap().unwrap(), body);
    let file = fs::read(blobs.path(&a)).unwrap();
    assert!(!file.windows(6).any(|part| part == b"canary"));
    assert_eq!(Digest::of(&file), a);
    assert!(blobs.get(&blobs.put(b"").unwrap()).unwrap().unwrap().is_empty());
    let again = Blobs::open(root.path().join("blobs"), &root.path().join("keys")).unwrap();
    assert_eq!(**again.get(&a).unwrap().unwrap(), body);
}

#[test]
fn a_changed_or_foreign_blob_is_refused() {
    let (root, blobs) = blobs();
    let name = blobs.put(b"body").unwrap();
    let good = fs::read(blobs.path(&name)).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        // Under its own name, and under the one that a forger would give it.
        fs::write(blobs.path(&name), &bad).unwrap();
        assert!(matches!(blobs.get(&name), Err(BlobError::Damaged(_))), "byte {at}");
        let forged = Digest::of(&bad);
        fs::create_dir_all(blobs.path(&forged).parent().unwrap()).unwrap();
        fs::write(blobs.path(&forged), &bad).unwrap();
        assert!(matches!(blobs.get(&forged), Err(BlobError::Damaged(_))), "byte {at}");
    }
    fs::write(blobs.path(&name), &good).unwrap();
    let other = Blobs::open(root.path().join("blobs"), &root.path().join("other-keys")).unwrap();
    assert!(matches!(other.get(&name), Err(BlobError::Damaged(_))));
}

#[test]
fn what_is_older_than_its_retention_is_erased() {
    let (_root, blobs) = blobs();
    let (old, new) = (blobs.put(b"old").unwrap(), blobs.put(b"new").unwrap());
    let now = clock::wall();
    let day = Duration::from_secs(24 * 3600);
    let file = fs::File::options().write(true).open(blobs.path(&old)).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(now.0) - 2 * day).unwrap();
    assert_eq!(blobs.sweep(day, now).unwrap(), Swept { erased: 1, kept: 1 });
    assert!(blobs.get(&old).unwrap().is_none());
    assert!(blobs.get(&new).unwrap().is_some());
    assert!(blobs.erase(&new).unwrap());
    assert!(!blobs.erase(&new).unwrap());
}
