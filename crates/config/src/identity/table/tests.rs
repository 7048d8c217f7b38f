//! Whose key a call shows.

use super::*;
use crate::identity::{StoredRules, mint, mint_for};

fn table() -> KeyTable {
    KeyTable::new(Pepper::new(&[7; 32]).unwrap()).unwrap()
}

fn org() -> OrgId {
    OrgId::from("default")
}

fn stored(table: &KeyTable, name: &str) -> (StoredKey, Secret) {
    let (id, secret) = mint().unwrap();
    let key = StoredKey {
        id,
        name: name.into(),
        org: org(),
        team: None,
        digest: table.pepper().digest(secret.expose()),
        created: UnixMillis(1),
        expires: None,
        revoked: None,
        rules: Some(StoredRules::default()),
    };
    (key, secret)
}

fn declared(name: &str, secret: Option<&str>) -> Declared {
    Declared {
        name: name.into(),
        org: org(),
        team: Some("research".into()),
        expires: None,
        secret: secret.map(|secret| Secret::new(secret.to_owned())),
    }
}

const NOW: UnixMillis = UnixMillis(1_000);

#[test]
fn a_key_of_the_store_is_known_until_it_is_revoked() {
    let table = table();
    let (key, secret) = stored(&table, "ci");
    table.put_stored(key.clone());
    assert_eq!(table.authenticate(secret.expose(), NOW).unwrap().name.as_str(), "ci");
    assert!(!table.revoke(&OrgId::from("other"), key.id, NOW));
    assert!(table.revoke(&org(), key.id, NOW));
    assert_eq!(table.authenticate(secret.expose(), NOW), Err(NotAccepted::NotValid));
    assert_eq!(table.get(&org(), key.id).unwrap().revoked, Some(NOW));
}

/// A revoked key stays revoked, whatever comes after: reloads, rotations of others, a file that declares its secret.
#[test]
fn revocation_is_a_promise() {
    let table = table();
    let (key, secret) = stored(&table, "ci");
    table.put_stored(key.clone());
    table.revoke(&org(), key.id, NOW);
    table.set_declared(vec![declared("other", Some("0123456789abcdef-free-form"))], NOW);
    let (another, _) = stored(&table, "another");
    table.put_stored(another);
    assert!(table.authenticate(secret.expose(), NOW).is_err());
    table.set_declared(vec![declared("again", Some(secret.expose()))], NOW);
    assert!(table.authenticate(secret.expose(), NOW).is_err());
}

/// Keys that share all but their last characters are different keys, and no prefix of one is another.
#[test]
fn full_hash_identity_cache() {
    let table = table();
    let long = "a-shared-prefix-of-more-than-twenty-characters-";
    table.set_declared(
        vec![declared("one", Some(&format!("{long}1"))), declared("two", Some(&format!("{long}2")))],
        NOW,
    );
    assert_eq!(table.authenticate(&format!("{long}1"), NOW).unwrap().name.as_str(), "one");
    assert_eq!(table.authenticate(&format!("{long}2"), NOW).unwrap().name.as_str(), "two");
    for other in [long, &format!("{long}3"), &format!("{long}12")] {
        assert!(table.authenticate(other, NOW).is_err());
    }
}

#[test]
fn unknown_revoked_and_expired_keys_get_the_same_answer() {
    let table = table();
    let (mut revoked, revoked_secret) = stored(&table, "revoked");
    revoked.revoked = Some(UnixMillis(1));
    let (mut expired, expired_secret) = stored(&table, "expired");
    expired.expires = Some(NOW);
    table.set_stored(vec![revoked, expired]);
    let (_, unknown) = mint().unwrap();
    for secret in [&revoked_secret, &expired_secret, &unknown] {
        assert_eq!(table.authenticate(secret.expose(), NOW), Err(NotAccepted::NotValid));
    }
    assert!(table.authenticate(expired_secret.expose(), UnixMillis(999)).is_ok());
}

#[test]
fn malformed_credentials_are_refused_before_any_look_up() {
    for text in ["", "x", "tg_short", "with spaces that are long enough"] {
        assert!(matches!(table().authenticate(text, NOW), Err(NotAccepted::Malformed(_))));
    }
}

#[test]
fn a_key_that_the_file_declares_gets_its_secret_from_the_store() {
    let table = table();
    let (mut issued, secret) = stored(&table, "team-a");
    issued.rules = None;
    table.set_stored(vec![issued]);
    assert!(table.authenticate(secret.expose(), NOW).is_err());
    table.set_declared(vec![declared("team-a", None)], NOW);
    let record = table.authenticate(secret.expose(), NOW).unwrap();
    assert_eq!(record.origin, KeyOrigin::File);
    assert_eq!(record.team.as_ref().unwrap().as_str(), "research");
    table.set_declared(Vec::new(), NOW);
    assert!(table.authenticate(secret.expose(), NOW).is_err());
}

#[test]
fn a_declared_key_of_the_tidegate_form_keeps_its_id_and_others_get_one() {
    let table = table();
    let (id, secret) = mint().unwrap();
    table.set_declared(vec![declared("a", Some(secret.expose())), declared("b", Some("another-form-of-secret"))], NOW);
    assert_eq!(table.authenticate(secret.expose(), NOW).unwrap().id, id);
    assert_ne!(table.authenticate("another-form-of-secret", NOW).unwrap().id, id);
    assert_eq!(table.list(&org()).len(), 2);
    assert!(table.list(&OrgId::from("other")).is_empty());
}

/// SQL, path and header metacharacters in a credential are nothing but bytes of an HMAC.
#[test]
fn auth_path_injection() {
    let table = table();
    for text in ["'-OR-1=1--aaaaaaaaa", "../../../../etc/passwd", "\";DROP-TABLE-keys;--", "%00%00%00%00%00%00%00"] {
        assert_eq!(table.authenticate(text, NOW), Err(NotAccepted::NotValid), "{text}");
    }
}

/// A lent secret is its key for a while: the same identifier, so that sessions, budgets and revocation are the key's.
#[test]
fn a_lent_secret_is_its_key_until_it_ends_or_the_key_does() {
    let table = table();
    let (key, own) = stored(&table, "ci");
    table.put_stored(key.clone());
    let lend = |until: u64| {
        let secret = mint_for(key.id).unwrap();
        let digest = table.pepper().digest(secret.expose());
        assert!(table.lend(&org(), key.id, digest, UnixMillis(until), NOW));
        secret
    };
    let (short, long) = (lend(2_000), lend(9_000));
    let at = |secret: &Secret, at: u64| table.authenticate(secret.expose(), UnixMillis(at)).map(|record| record.id);
    assert_eq!((at(&short, 1_999), at(&long, 1_999), at(&own, 1_999)), (Ok(key.id), Ok(key.id), Ok(key.id)));
    assert_eq!(at(&short, 2_000), Err(NotAccepted::NotValid));
    // It is no key of its own: neither listed nor found in the key's place.
    assert_eq!(table.list(&org()).len(), 1);
    assert_eq!(table.get(&org(), key.id).unwrap().digest, key.digest);
    // A change of others leaves it, the key's own end does not.
    let (other, _) = stored(&table, "other");
    table.put_stored(other);
    let record = table.authenticate(long.expose(), NOW).unwrap();
    assert!(table.is_valid(&record, NOW));
    table.revoke(&org(), key.id, NOW);
    assert_eq!(at(&long, 1_500), Err(NotAccepted::NotValid));
    assert!(!table.is_valid(&record, NOW));
    let digest = table.pepper().digest(mint_for(key.id).unwrap().expose());
    assert!(!table.lend(&org(), key.id, digest, UnixMillis(9_000), NOW), "a revoked key is not lent");
}

#[test]
fn a_rotated_or_expired_key_takes_what_was_lent_along_and_only_so_many_are_lent() {
    let table = table();
    let (mut key, _) = stored(&table, "ci");
    key.expires = Some(UnixMillis(5_000));
    table.put_stored(key.clone());
    let lend = |until: u64| {
        let secret = mint_for(key.id).unwrap();
        assert!(table.lend(&org(), key.id, table.pepper().digest(secret.expose()), UnixMillis(until), NOW));
        secret
    };
    let first = lend(8_000);
    assert!(table.authenticate(first.expose(), UnixMillis(4_999)).is_ok());
    assert!(table.authenticate(first.expose(), UnixMillis(5_000)).is_err(), "it outlives its key");
    let others: Vec<Secret> = (0..MOST_LENT).map(|_| lend(9_000)).collect();
    assert!(table.authenticate(first.expose(), NOW).is_err(), "the one that ends first gave way");
    assert!(others.iter().all(|other| table.authenticate(other.expose(), NOW).is_ok()));
    let (id, _) = mint().unwrap();
    table.set_stored(vec![StoredKey { id, ..key }]);
    assert!(others.iter().all(|other| table.authenticate(other.expose(), NOW).is_err()), "the key was rotated");
}
