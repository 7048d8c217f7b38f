//! What is written is what `serde_json` writes, byte for byte.

use proptest::prelude::*;
use serde_json::Value;
use tidegate_core::{clock::UnixMillis, ids::Digest};

use super::*;
use crate::{
    record::{ActivationRecord, AttemptEntry, Entry, OutcomeEntry, Record, VERSION},
    support::{attempt, intent, outcome, refusal, summary},
};

fn written<T: Serialize>(value: &T) -> String {
    let mut out = Vec::new();
    write(&mut out, value).unwrap();
    String::from_utf8(out).unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\u{0}-\u{1f}\u{7f}\u{e9}]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_written_as_serde_json_writes_it(value in value()) {
        prop_assert_eq!(written(&value), serde_json::to_string(&value).unwrap());
    }
}

/// Every form that serde knows and records may take.
#[derive(Serialize)]
enum Forms {
    Unit,
    New(u8),
    Tuple(i8, char),
    Struct { a: Option<u16>, b: (bool, &'static str) },
}

#[test]
fn every_form_is_written_as_serde_json_writes_it() {
    let forms = [
        Forms::Unit,
        Forms::New(255),
        Forms::Tuple(-128, '"'),
        Forms::Struct { a: Some(u16::MAX), b: (true, "x") },
        Forms::Struct { a: None, b: (false, "") },
    ];
    assert_eq!(written(&forms), serde_json::to_string(&forms).unwrap());
    assert_eq!(written(&(0_u64, u64::MAX, i64::MIN)), serde_json::to_string(&(0_u64, u64::MAX, i64::MIN)).unwrap());
}

#[test]
fn every_kind_of_record_is_written_as_serde_json_writes_it() {
    let mut odd = intent();
    odd.session = Some("line\nbreak \"quoted\" \\ \u{1} \u{7f} \u{6f6e}".into());
    odd.omitted.insert("te\"xt".into(), 3);
    let (call, org, key) = (odd.call, odd.caller.org.clone(), odd.caller.key);
    let attempt = AttemptEntry { call, intent: 7, attempt: attempt(1) };
    let outcome = OutcomeEntry { call, org, key, intent: 7, outcome: outcome() };
    let activation = ActivationRecord {
        revision: Digest::of(b"revision"),
        previous: Some(Digest::of(b"before")),
        by: "system:file".into(),
        reason: Some("a \"reason\"".into()),
        changes: vec!["models: 1 added".into(), "\t".into()],
        omitted: Default::default(),
    };
    for record in [
        Record::Intent(Box::new(odd)),
        Record::Attempt(Box::new(attempt)),
        Record::Outcome(Box::new(outcome)),
        Record::Refusal(Box::new(refusal())),
        Record::Activation(Box::new(activation)),
        Record::Summary(Box::new(summary())),
    ] {
        let entry = Entry { v: VERSION, at: UnixMillis(1_795_536_000_000), record };
        assert_eq!(written(&entry), serde_json::to_string(&entry).unwrap());
    }
}

#[test]
fn what_has_no_form_is_an_error_and_not_half_a_record() {
    let mut out = Vec::new();
    for wrong in [write(&mut out, &1.5_f64), write(&mut out, &std::collections::BTreeMap::from([(1, 2)]))] {
        assert!(wrong.unwrap_err().to_string().starts_with("a record cannot be written: it holds"));
    }
}
