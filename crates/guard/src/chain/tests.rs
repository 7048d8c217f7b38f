//! Which rules apply where.

use std::time::Duration;

use tidegate_core::clock;

use super::*;
use crate::spec::OnError;

fn spec(name: &str, detect: &[&str], on: &[Phase], action: GuardAction) -> GuardrailSpec {
    GuardrailSpec {
        name: GuardrailName::from(name),
        detect: detect.iter().map(|name| (*name).into()).collect(),
        on: on.to_vec(),
        action,
        limit: None,
        on_error: Default::default(),
    }
}

#[test]
fn rules_apply_on_their_phases_only() {
    let chain = Chain::compile(&[spec("a", &["pii"], &[Phase::ToolArguments], GuardAction::Label)]).unwrap();
    assert!(chain.applies(Origin::ToolArgument) && !chain.enforces(Origin::ToolArgument));
    assert!(!chain.applies(Origin::Prompt) && !chain.applies(Origin::Completion));
    assert!(chain.scan(Origin::Prompt, "a@example.com").is_empty());
    assert_eq!(chain.scan(Origin::ToolArgument, "a@example.com").len(), 1);
}

#[test]
fn the_strongest_of_several_guardrails_counts() {
    let chain = Chain::compile(&[
        spec("weak", &["pii"], &[Phase::Request], GuardAction::Label),
        spec("strong", &["email"], &[Phase::Request], GuardAction::Block),
        spec("late", &["email"], &[Phase::Request], GuardAction::Block),
    ])
    .unwrap();
    let found = chain.scan(Origin::Prompt, "a@example.com 4111111111111111");
    let seen: Vec<_> = found.iter().map(|f| (f.guardrail.as_str(), f.action)).collect();
    assert_eq!(seen, [("strong", GuardAction::Block), ("weak", GuardAction::Label)]);
}

#[test]
fn a_name_says_what_a_text_is() {
    let specs = [spec("a", &["pii", "secrets"], &[Phase::ToolArguments], GuardAction::Redact)];
    let chain = Chain::compile(&specs).unwrap();
    let found = |name, text: &str| {
        let found = chain.scan_named(Origin::ToolArgument, name, text, &chain.watch());
        found
            .into_iter()
            .map(|finding| (finding.category.to_string(), text[finding.range].to_owned()))
            .collect::<Vec<_>>()
    };
    let one = |category: &str, text: &str| vec![(category.to_owned(), text.to_owned())];
    assert!(found(None, "4155552671").is_empty());
    assert_eq!(found(Some("phone"), "4155552671"), one("pii.phone", "4155552671"));
    assert_eq!(found(Some("ssn"), "123456789"), one("pii.us_ssn", "123456789"));
    assert_eq!(found(Some("password"), "hunter2Xk9mQ7"), one("secret.generic", "hunter2Xk9mQ7"));
    assert!(found(Some("nextPageToken"), "q8Zk2LmX9Rt4Yw1Pb5Nc").is_empty());
    assert!(found(Some("a@example.com"), "x").is_empty());
    assert_eq!(found(Some("to"), "é a@example.com"), one("pii.email", "a@example.com"));
}

#[test]
fn mistakes_are_named() {
    let error = Chain::compile(&[spec("a", &["emial"], &[Phase::Request], GuardAction::Label)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "guardrail `a`: detector `emial` does not exist; there are {}",
            detector_names().collect::<Vec<_>>().join(", ")
        )
    );
    assert!(Chain::compile(&[spec("a", &[], &[Phase::Request], GuardAction::Label)]).is_err());
    assert!(Chain::compile(&[spec("a", &["email"], &[], GuardAction::Label)]).is_err());
}

#[test]
fn open_tail_says_from_where_text_is_undecided() {
    let registry = detectors::all().unwrap();
    for (name, text, open) in [
        ("secrets", "see AKIAIO", 4),
        ("secrets", "see it. ", 8),
        ("email", "write to bob@exam", 9),
        ("card", "pay 4111 1", 4),
        ("card", "in 2024", 7),
        ("iban", "to DE", 3),
        ("iban", "the word", 8),
    ] {
        let detector = registry.iter().find(|detector| detector.name() == name).unwrap();
        assert_eq!(detector.open_tail(text), open, "{name}: {text}");
    }
}

#[test]
fn names_and_registry_are_in_one_order() {
    let registry = detectors::all().unwrap();
    assert_eq!(registry.iter().map(|detector| detector.name()).collect::<Vec<_>>(), DETECTORS);
    assert!(places("pii").len() == 16 && places("national_id").len() == 12 && places("piii").is_empty());
}

thread_local! {
    /// The detector that gives up in this test, by its place in the registry.
    static GIVES_UP: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
}

/// Called before each look.
pub(super) fn may_give_up(place: usize) {
    assert!(GIVES_UP.get() != Some(place), "a detector gave up");
}

fn timed(name: &str, detect: &str, action: GuardAction, limit: Option<Duration>, on_error: OnError) -> GuardrailSpec {
    GuardrailSpec { limit, on_error, ..spec(name, &[detect], &Phase::ALL, action) }
}

/// What was found, as guardrail, category and action.
fn told(found: &[Finding]) -> Vec<(String, String, GuardAction)> {
    let of = |finding: &Finding| (finding.guardrail.to_string(), finding.category.to_string(), finding.action);
    found.iter().map(of).collect()
}

const NO_TIME: Option<Duration> = Some(Duration::from_nanos(1));

#[test]
fn a_guardrail_whose_time_is_over_lets_pass_or_not_as_it_is_told() {
    for (on_error, action) in [(OnError::Closed, GuardAction::Block), (OnError::Open, GuardAction::Label)] {
        let chain = Chain::compile(&[timed("pii", "email", GuardAction::Redact, NO_TIME, on_error)]).unwrap();
        let watch = chain.watch();
        let found = chain.scan_named(Origin::Prompt, Some("to"), "write to a@example.com", &watch);
        assert_eq!(told(&found), [("pii".to_owned(), "guardrail.timeout".to_owned(), action)]);
        assert!(found.iter().all(Finding::is_failure));
        // It is told once, and stays out for what else is looked at.
        assert_eq!(chain.scan_named(Origin::Prompt, None, "write to a@example.com", &watch), []);
        let hour = Some(Duration::from_secs(3_600));
        let chain = Chain::compile(&[timed("pii", "email", GuardAction::Redact, hour, on_error)]).unwrap();
        let found = chain.scan_named(Origin::Prompt, None, "write to a@example.com", &chain.watch());
        assert_eq!(told(&found), [("pii".to_owned(), "pii.email".to_owned(), GuardAction::Redact)]);
    }
}

#[test]
fn what_another_guardrail_looks_for_too_is_found_when_the_first_has_no_time() {
    let chain = Chain::compile(&[
        timed("hasty", "email", GuardAction::Block, NO_TIME, OnError::Open),
        timed("patient", "email", GuardAction::Redact, None, OnError::Closed),
    ])
    .unwrap();
    let found = chain.scan_named(Origin::Prompt, None, "write to a@example.com", &chain.watch());
    assert_eq!(
        told(&found),
        [
            ("patient".to_owned(), "pii.email".to_owned(), GuardAction::Redact),
            ("hasty".to_owned(), "guardrail.timeout".to_owned(), GuardAction::Label)
        ]
    );
}

#[test]
fn time_is_bounded_however_long_the_text_is() {
    let limit = Some(Duration::from_millis(5));
    let chain = Chain::compile(&[
        timed("pii", "pii", GuardAction::Redact, limit, OnError::Closed),
        timed("leaks", "secrets", GuardAction::Redact, limit, OnError::Open),
    ])
    .unwrap();
    for piece in
        ["4111 1111 1111 1111 a@b.example password=\"hunter\" ", "Привет, a\u{200b}bc 12 34 56 78 90 ", "請 a@ "]
    {
        for megabytes in [8, 32] {
            let text = piece.repeat((megabytes << 20) / piece.len());
            let started = clock::now();
            let found = chain.scan_named(Origin::Prompt, None, &text, &chain.watch());
            let took = clock::now().saturating_duration_since(started);
            assert!(took < Duration::from_secs(2), "{megabytes} MB of {piece}: {took:?}");
            let failed: Vec<_> =
                told(&found).into_iter().filter(|(_, category, _)| category == "guardrail.timeout").collect();
            assert_eq!(failed.len(), 2, "{failed:?}");
        }
    }
}

#[test]
fn a_detector_that_gives_up_fails_its_guardrail_and_no_other() {
    let place = DETECTORS.iter().position(|name| *name == "email");
    let text = "write to a@example.com about 4111111111111111";
    for (on_error, action) in [(OnError::Closed, GuardAction::Block), (OnError::Open, GuardAction::Label)] {
        let chain = Chain::compile(&[
            timed("mail", "email", GuardAction::Redact, None, on_error),
            timed("cards", "card", GuardAction::Redact, None, OnError::Closed),
        ])
        .unwrap();
        GIVES_UP.set(place);
        let found = chain.scan_named(Origin::Prompt, None, text, &chain.watch());
        GIVES_UP.set(None);
        assert_eq!(
            told(&found),
            [
                ("cards".to_owned(), "pii.card".to_owned(), GuardAction::Redact),
                ("mail".to_owned(), "guardrail.error".to_owned(), action)
            ]
        );
    }
}

#[test]
fn a_stream_is_cut_or_passes_when_a_guardrail_fails_in_it() {
    let hold = |on_error| {
        let spec = timed("pii", "email", GuardAction::Redact, NO_TIME, on_error);
        crate::Hold::new(Arc::new(Chain::compile(&[spec]).unwrap()), Origin::Completion)
    };
    let mut closed = hold(OnError::Closed);
    match closed.push(1, &[(0, "a@example.com ")]) {
        crate::Step::Blocked { finding, released } => {
            assert_eq!((&*finding.category, released.len()), ("guardrail.timeout", 0));
        }
        crate::Step::Released(released) => panic!("{released:?}"),
    }
    let mut open = hold(OnError::Open);
    for frame in 0..3 {
        let step = open.push(frame, &[(0, "a@example.com ")]);
        assert_eq!(step, crate::Step::Released(vec![crate::Release { frame, rewritten: None }]));
    }
    let verdicts: Vec<_> = open.verdicts().iter().map(|one| (&*one.category, one.action, one.count)).collect();
    assert_eq!(verdicts, [("guardrail.timeout", GuardAction::Label, 1)]);
}
