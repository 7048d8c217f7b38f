//! What counts as an address.

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
fn only_the_address_is_found() {
    for (text, address) in [
        ("<a.b+c@example.co.uk>.", "a.b+c@example.co.uk"),
        ("'quoted@example.com'", "quoted@example.com"),
        ("...dots@example.com...", "dots@example.com"),
        ("联系我foo@example.com请回复", "foo@example.com"),
        ("jörg@bücher.example", "jörg@bücher.example"),
        ("\\nnext@example.com", "next@example.com"),
    ] {
        assert_eq!(found("email", text), [address]);
    }
}

#[test]
fn of_a_longer_run_the_last_64_bytes_count() {
    let text = format!("{}@example.com", "a".repeat(200));
    assert_eq!(found("email", &text), [format!("{}@example.com", "a".repeat(64))]);
}

#[test]
fn noise_is_no_address() {
    for text in
        ["user@localhost", "icon@2x.png", "lodash@4.17.21", "git@github.com:a/b", "a.@example.com", "@example.com"]
    {
        assert!(found("email", text).is_empty(), "{text}");
    }
}
