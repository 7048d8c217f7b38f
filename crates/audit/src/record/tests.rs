//! The form of records.

use tidegate_core::principal::Delegate;

use super::*;
use crate::{
    bound::encode,
    support::{intent, outcome, refusal},
};

#[test]
fn a_record_reads_back_as_it_was_written() {
    let mut record = intent();
    record.session = Some("s-1".into());
    record.caller.chain = vec![Delegate::User("ann".into()), Delegate::Agent("bot".into())];
    let mut bytes = Vec::new();
    encode(record.clone(), &mut bytes).unwrap();
    let entry: Entry = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((entry.v, entry.record), (VERSION, Record::Intent(Box::new(record))));

    let mut bytes = Vec::new();
    encode(refusal(), &mut bytes).unwrap();
    assert!(matches!(serde_json::from_slice::<Entry>(&bytes).unwrap().record, Record::Refusal(_)));
}

#[test]
fn money_is_written_as_a_string() {
    let mut record = outcome();
    record.cost = Some(NanoUsd(9_007_199_254_740_993));
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.contains(r#""cost":"9007199254740993""#), "{text}");
}

#[test]
fn equal_bodies_have_different_digests_in_different_records_and_can_be_checked_with_the_salt() {
    let body = Digest::of(b"the same body");
    let (a, b) = (Digests::default().with_request(&body), Digests::default().with_request(&body));
    assert_ne!(a.request, b.request);
    assert_eq!(a.request, Some(a.salt.over(&body)));
    assert!(!serde_json::to_string(&a).unwrap().contains(&body.to_string()));
}

#[test]
fn no_salt_is_given_twice() {
    let draw = || (0..3 * DRAWN + 1).map(|_| Salt::random().0).collect::<Vec<_>>();
    let mut all = draw();
    all.extend(std::thread::spawn(draw).join().unwrap());
    let count = all.len();
    assert!(!all.contains(&[0; 16]));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn members_that_a_later_version_adds_are_no_hindrance() {
    let text =
        r#"{"v":1,"at":5,"later":true,"record":{"summary":{"since":1,"until":2,"source":"x","counts":{},"more":[]}}}"#;
    let entry: Entry = serde_json::from_str(text).unwrap();
    assert_eq!(entry.record.call(), None);
}
