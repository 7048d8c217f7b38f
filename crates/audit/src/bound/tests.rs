//! Whatever is put into a record, its entry fits, is JSON, and says what is missing.

use proptest::prelude::*;
use tidegate_core::{
    event::{Stage, StageEvent, StageVerdict},
    facts::{GuardAction, GuardVerdict},
    ids::{CallId, Digest},
    segment::Origin,
};

use super::*;
use crate::{
    record::{Entry, Record},
    support::{attempt, intent, outcome, summary},
};

fn verdicts(text: &str, count: usize) -> Vec<GuardVerdict> {
    let verdict = GuardVerdict {
        guardrail: text.into(),
        category: text.into(),
        origin: Origin::Prompt,
        action: GuardAction::Redact,
        count: u32::MAX,
    };
    vec![verdict; count]
}

fn stage_events(text: &str, count: usize) -> Vec<StageEvent> {
    let event = StageEvent {
        stage: Stage::GuardResponse,
        verdict: StageVerdict::Changed,
        micros: u32::MAX,
        detail: Some(text.into()),
    };
    vec![event; count]
}

fn big_intent(text: &str, count: usize) -> IntentRecord {
    let mut record = intent();
    record.caller.org = text.into();
    record.caller.key_name = text.into();
    record.caller.team = Some(text.into());
    record.caller.chain = vec![Delegate::Agent(text.into()); count];
    record.surface = text.into();
    record.resource = text.into();
    record.model = Some(text.into());
    record.session = Some(text.into());
    record.targets = vec![TargetId::new(text, text); count];
    record.policies = vec![text.into(); count];
    record.budgets = vec![text.into(); count];
    record.verdicts = verdicts(text, count);
    record.stages = stage_events(text, count);
    record
}

fn big_outcome(text: &str, count: usize) -> OutcomeRecord {
    let mut record = outcome();
    record.fault = Some(text.into());
    record.served_by = Some(text.into());
    record.verdicts = verdicts(text, count);
    record.losses = vec![text.into(); count];
    record.blobs = vec![Digest::of(b""); count];
    record.stages = stage_events(text, count);
    record.digests =
        record.digests.with_request(&Digest::of(b"")).with_arguments(&Digest::of(b"")).with_result(&Digest::of(b""));
    record
}

fn encoded<R: Bounded>(record: R) -> Entry {
    let mut bytes = b"before".to_vec();
    encode(record, &mut bytes).unwrap();
    assert!(bytes.len() - 6 <= R::MOST);
    assert!(!bytes.contains(&0), "no entry holds a zero byte");
    serde_json::from_slice(&bytes[6..]).unwrap()
}

fn all_fit(text: &str, count: usize) {
    let caller = intent().caller;
    let entry = encoded(big_intent(text, count));
    let Record::Intent(found) = entry.record else { panic!() };
    if text.len() >= 10_000 {
        assert!(found.omitted["text"] > 0);
    }
    if count > 1000 && !text.is_empty() {
        assert!(found.omitted["targets"] > 0);
    }
    encoded(AttemptEntry {
        call: CallId::new(),
        intent: u64::MAX,
        attempt: crate::record::AttemptRecord {
            number: u32::MAX,
            target: text.into(),
            fault: Some(text.into()),
            millis: u64::MAX,
            ..attempt(1)
        },
    });
    encoded(OutcomeEntry {
        call: CallId::new(),
        org: text.into(),
        key: caller.key,
        intent: u64::MAX,
        outcome: big_outcome(text, count),
    });
    encoded(RefusalRecord { call: big_intent(text, count), outcome: big_outcome(text, count) });
    encoded(ActivationRecord {
        revision: Digest::of(b""),
        previous: Some(Digest::of(b"")),
        by: text.into(),
        reason: Some(text.into()),
        changes: vec![text.into(); count],
        omitted: Omitted::new(),
    });
    let mut many = summary();
    many.source = text.into();
    many.counts = (0..count).map(|number| (format!("{number}{text}").into(), u64::MAX)).collect();
    encoded(many);
}

#[test]
fn the_largest_and_most_awkward_records_fit() {
    for text in ["", "x", "\u{1}", "\"", "\u{10ffff}"] {
        for (length, count) in [(1, 0), (1, 2000), (100, 40), (10_000, 40)] {
            all_fit(&text.repeat(length), count);
        }
    }
}

#[test]
fn a_record_that_fits_is_not_touched() {
    let record = big_intent("short", 10);
    let Record::Intent(found) = encoded(record.clone()).record else { panic!() };
    assert_eq!(*found, record);
}

#[test]
fn counts_that_a_vendor_made_up_stay_readable_for_every_json_reader() {
    let mut usage = Usage { input: u64::MAX, output: 7, ..Usage::default() };
    clamp_usage(&mut usage);
    assert_eq!((usage.input, usage.output), ((1 << 53) - 1, 7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_record_fits(text in "\\PC{0,400}|[\\x01-\\x1f]{0,300}", count in 0_usize..60) {
        all_fit(&text, count);
    }
}
