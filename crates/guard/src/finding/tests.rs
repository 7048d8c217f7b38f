//! Overlaps, marks and counts.

use super::*;

fn finding(range: Range<usize>, category: &str, action: GuardAction) -> Finding {
    Finding {
        range,
        detector: "secrets",
        category: Arc::from(category),
        guardrail: GuardrailName::from("g"),
        action,
        origin: Origin::Prompt,
        replacement: None,
    }
}

#[test]
fn overlapping_findings_leave_nothing_of_either() {
    let joined = resolve(vec![
        finding(0..10, "pii.email", GuardAction::Redact),
        finding(8..30, "pii.card", GuardAction::Redact),
        finding(40..50, "pii.iban", GuardAction::Redact),
    ]);
    let seen: Vec<_> = joined.iter().map(|f| (f.range.clone(), &*f.category)).collect();
    assert_eq!(seen, [(0..30, "pii.card"), (40..50, "pii.iban")]);
}

#[test]
fn the_strongest_action_names_what_is_joined() {
    let joined = resolve(vec![
        finding(0..30, "pii.card", GuardAction::Redact),
        finding(8..10, "pii.email", GuardAction::Block),
        finding(2..50, "pii.iban", GuardAction::Label),
    ]);
    assert_eq!(joined, [finding(0..30, "pii.email", GuardAction::Block)]);
}

#[test]
fn a_known_kind_goes_before_a_named_secret() {
    let joined = resolve(vec![
        finding(0..30, GENERIC, GuardAction::Redact),
        finding(4..30, "secret.github_token", GuardAction::Redact),
    ]);
    assert_eq!(joined, [finding(0..30, "secret.github_token", GuardAction::Redact)]);
}

#[test]
fn marks_stand_for_what_redacts_and_labels_change_nothing() {
    let found = [
        finding(0..1, "pii.email", GuardAction::Redact),
        finding(2..3, "pii.card", GuardAction::Label),
        finding(4..5, "secret.jwt", GuardAction::Block),
    ];
    assert_eq!(redact("a b c", &found), "[REDACTED:email] b [REDACTED:jwt]");
    assert_eq!(redact("é", &[finding(1..2, "pii.email", GuardAction::Redact)]), "é", "inside a character");
}

#[test]
fn verdicts_are_counted() {
    let found = [finding(0..1, "pii.email", GuardAction::Redact), finding(2..3, "pii.email", GuardAction::Redact)];
    let verdicts = verdicts(&found);
    assert_eq!((verdicts.len(), verdicts[0].count), (1, 2));
}
