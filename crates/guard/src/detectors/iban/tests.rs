//! What counts as an IBAN.

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{Chain, DetectorName, GuardrailSpec, Phase};

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
fn every_country_of_the_registry_samples_is_found() {
    for text in [
        "GB82 WEST 1234 5698 7654 32",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "BR1800360305000010009795493C1",
    ] {
        assert_eq!(found("iban", text), [text]);
    }
}

#[test]
fn wrong_check_digits_lengths_and_countries_are_none() {
    for text in [
        "GB83 WEST 1234 5698 7654 32",
        "DE8937040044053201300",
        "XX82 WEST 1234 5698 7654 32",
        "DE89  370400440532013000",
    ] {
        assert!(found("iban", text).is_empty(), "{text}");
    }
}
