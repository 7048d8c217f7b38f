//! Notes against the specification's example and against another implementation.

use signed_note::{Note, StandardVerifier, VerifierList};

use super::*;

const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_published_example_holds() {
    let key = VerifierKey::parse(VKEY).unwrap();
    assert_eq!(key.to_string(), VKEY);
    assert!(key.open(NOTE).unwrap().ends_with("your problem is.\n"));
}

#[test]
fn every_changed_byte_of_a_note_is_refused() {
    let key = VerifierKey::parse(VKEY).unwrap();
    for at in 0..NOTE.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= flip;
            if let Ok(changed) = std::str::from_utf8(&bytes) {
                assert!(key.open(changed).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }
    for cut in 0..NOTE.len() {
        if let Some(part) = NOTE.get(..cut) {
            assert!(key.open(part).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn another_implementation_accepts_our_notes_and_keys() {
    let seed = [7; 32];
    let text = SigningKey::text("tidegate/test", &seed).unwrap();
    let key = SigningKey::parse(&text).unwrap();
    let note = key.sign("tidegate/test\n1\nAAAA\n");
    let vkey = key.verifier().to_string();
    let verifier = StandardVerifier::new(&vkey).unwrap();
    let parsed = Note::from_bytes(note.as_bytes()).unwrap();
    assert_eq!(parsed.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap().0.len(), 1);
    assert!(signed_note::StandardSigner::new(&text).is_ok());
    assert_eq!(VerifierKey::parse(&vkey).unwrap().open(&note).unwrap(), "tidegate/test\n1\nAAAA\n");
}

#[test]
fn a_signature_by_another_key_of_the_same_name_does_not_count() {
    let ours = SigningKey::from_seed("log", &[1; 32]).unwrap();
    let theirs = SigningKey::from_seed("log", &[2; 32]).unwrap();
    assert_eq!(ours.verifier().open(&theirs.sign("x\n")), Err(NoteError::Unsigned("log".into())));
}

#[test]
fn a_cosignature_of_another_key_beside_ours_is_no_hindrance() {
    let ours = SigningKey::from_seed("log", &[1; 32]).unwrap();
    let theirs = SigningKey::from_seed("witness", &[2; 32]).unwrap();
    let both = ours.sign("x\n") + theirs.sign("x\n").strip_prefix("x\n\n").unwrap();
    assert_eq!(ours.verifier().open(&both), Ok("x\n"));
    assert_eq!(theirs.verifier().open(&both), Ok("x\n"));
}

#[test]
fn keys_that_are_not_what_they_say_are_refused() {
    for text in [
        "",
        "a",
        "a+b",
        "a+b+c",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "x+c74f20a3+ARpc2Q==",
        "a b+00000000+AAAA",
    ] {
        assert!(VerifierKey::parse(text).is_err(), "{text}");
        assert!(SigningKey::parse(&format!("PRIVATE+KEY+{text}")).is_err(), "{text}");
    }
    for name in ["", "with space", "with+plus", "new\nline"] {
        assert_eq!(SigningKey::from_seed(name, &[1; 32]).err(), Some(NoteError::Name));
    }
}

#[test]
fn a_signing_key_is_never_printed() {
    let key = SigningKey::from_seed("log", &[0x41; 32]).unwrap();
    let text = SigningKey::text("log", &[0x41; 32]).unwrap();
    let secret = text.rsplit('+').next().unwrap();
    assert!(!format!("{key:?}").contains(secret));
}
