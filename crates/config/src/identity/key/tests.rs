//! The key's form and its HMAC.

use super::*;

fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).unwrap()
}

/// A key from bytes that count up, so that it is the same on every run.
fn fixed() -> (KeyId, String) {
    let mut next = 0_u8;
    let (id, key) = mint_with(&mut |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
        Ok(())
    })
    .unwrap();
    (id, key.expose().to_owned())
}

#[test]
fn the_form_is_that_of_the_contract() {
    let (id, key) = fixed();
    assert_eq!(id.as_str(), "01234567");
    assert_eq!(key, "tg_01234567_89ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef1cchS7");
    assert_eq!(parse(&key).unwrap().id, Some(id));
}

/// Computed with `zlib.crc32` of Python.
#[test]
fn checksums_agree_with_another_implementation() {
    for (body, check) in [
        ("tg_00000000_0000000000000000000000000000000000", "04aA8B"),
        ("tg_AAAAAAAA_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", "0tLQqM"),
        ("tg_zzzzzzzz_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "0FlLR5"),
    ] {
        assert_eq!(checksum(body), check);
        assert!(parse(&format!("{body}{check}")).is_ok());
    }
}

#[test]
fn any_changed_character_is_noticed() {
    let (_, key) = fixed();
    for at in 0..key.len() {
        for with in ["0", "z", "_", "-"] {
            let mut changed = key.clone();
            changed.replace_range(at..=at, with);
            if changed != key && changed.starts_with("tg_") {
                assert!(parse(&changed).is_err(), "{changed}");
            }
        }
    }
}

#[test]
fn what_cannot_be_a_key_is_malformed() {
    let (_, key) = fixed();
    for text in [
        "",
        "short",
        "tg_",
        &key[..key.len() - 1],
        &format!("{key}0"),
        "with a space in it, long",
        "ümlaut-ümlaut-ümlaut",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse(&"x".repeat(513)).is_err());
    assert_eq!(parse("a-secret-of-another-form").unwrap().id, None);
}

#[test]
fn minted_keys_differ_and_are_evenly_made() {
    let mut seen = std::collections::HashSet::new();
    let mut digits = std::collections::HashSet::new();
    for _ in 0..200 {
        let (_, key) = mint().unwrap();
        digits.extend(key.expose().bytes());
        assert!(parse(key.expose()).is_ok());
        assert!(seen.insert(key.expose().to_owned()));
    }
    assert_eq!(digits.len(), 63);
}

#[test]
fn a_source_without_randomness_makes_no_key() {
    assert!(mint_with(&mut |_| Err(MintError)).is_err());
    assert!(
        mint_with(&mut |bytes: &mut [u8]| {
            bytes.fill(255);
            Ok(())
        })
        .is_err()
    );
}

#[test]
fn key_domain_separation() {
    let (_, key) = fixed();
    let plain = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), key.as_bytes());
    assert_ne!(pepper().digest(&key).0.as_slice(), plain.as_ref());
    assert_ne!(pepper().digest(&key), Pepper::new(&[8; 32]).unwrap().digest(&key));
    assert!(Pepper::new(&[7; 31]).is_none());

    // Tokens that stand for values are under the same pepper, and of use for nothing else: not as the digest of a key,
    // not for another organisation or kind, and not where the parts are cut otherwise.
    let token = |org: &str, kind: &str, value: &str| pepper().token(org, kind, value);
    let value = "alice@example.com";
    let known = token("acme", "email", value);
    assert_eq!(known, token("acme", "email", value));
    let framed = |text: &str| [&8_u64.to_be_bytes()[..], text.as_bytes()].concat();
    let digests = [value.to_owned(), format!("acmeemail{value}"), String::from_utf8_lossy(&framed(value)).into_owned()];
    for text in digests {
        assert_ne!(known.as_slice(), pepper().digest(&text).0.get(..8).unwrap());
    }
    assert_ne!(
        known.as_slice(),
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), value.as_bytes()).as_ref().get(..8).unwrap()
    );
    assert_ne!(known, Pepper::new(&[8; 32]).unwrap().token("acme", "email", value));
    for (org, kind, text) in [
        ("other", "email", value),
        ("acme", "card", value),
        ("acme", "email", "Alice@example.com"),
        ("acmee", "mail", value),
        ("acme", "emaila", "lice@example.com"),
        ("", "acmeemail", value),
    ] {
        assert_ne!(known, token(org, kind, text), "{org} {kind} {text}");
    }
    assert!(!TOKEN_DOMAIN.starts_with(DOMAIN) && !DOMAIN.starts_with(TOKEN_DOMAIN));
}

#[test]
fn neither_pepper_nor_digest_print_themselves() {
    assert_eq!(format!("{:?}", pepper()), "Pepper([secret])");
    assert!(format!("{:?}", pepper().digest("x")).len() < 24);
}
