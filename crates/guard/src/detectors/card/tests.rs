//! What counts as a card.

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{Chain, DetectorName, GuardrailSpec, Phase};

use super::luhn;

fn found(detect: &str, text: &str) -> Vec<String> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: vec![DetectorName::from(detect)],
        on: vec![Phase::Request],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    let chain = Chain::compile(&[spec]).unwrap();
    chain.scan(Origin::Prompt, text).into_iter().map(|finding| text[finding.range].to_owned()).collect()
}

#[test]
fn luhn_digit_is_checked() {
    assert!(luhn(b"4111111111111111"));
    assert!(!luhn(b"4111111111111112"));
}

#[test]
fn printed_groups_count_among_other_numbers() {
    let text = "in 2024 4111 1111 1111 1111 123 12/27";
    assert_eq!(found("card", text), ["4111 1111 1111 1111"]);
}

#[test]
fn tables_longer_runs_and_decimals_are_no_cards() {
    for text in ["41 11 11 11 11 11 11 11 99 99 99", "94111111111111111", "0.4111111111111111", "4111111111111111.25"] {
        assert!(found("card", text).is_empty(), "{text}");
    }
}

#[test]
fn a_sentence_may_end_after_a_card() {
    assert_eq!(found("card", "It is 4111111111111111."), ["4111111111111111"]);
}
