//! Which rules apply where.

use super::*;

fn spec(name: &str, detect: &[&str], on: &[Phase], action: GuardAction) -> GuardrailSpec {
    GuardrailSpec {
        name: GuardrailName::from(name),
        detect: detect.iter().map(|name| (*name).into()).collect(),
        on: on.to_vec(),
        action,
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
        let found = chain.scan_named(Origin::ToolArgument, name, text);
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
