//! Which named values are secrets.

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
fn only_the_value_is_found() {
    for (text, value) in [
        ("password = \"hunter2Xk9!\"", "hunter2Xk9!"),
        ("{\\\"api_key\\\":\\\"Tr0ub4dor3x9\\\"}", "Tr0ub4dor3x9"),
        ("DB_PASSWORD=k3Jf92mQpL.", "k3Jf92mQpL"),
        ("Authorization: Basic dXNlcjpwYXNzdzByZDEyMw==", "dXNlcjpwYXNzdzByZDEyMw=="),
    ] {
        assert_eq!(found("secrets", text), [value], "{text}");
    }
}

#[test]
fn placeholders_references_uuids_and_calls_are_none() {
    for text in [
        "password = \"${DB_PASSWORD_1}\"",
        "api_key: env:OPENAI_KEY_1",
        "secret = 550e8400-e29b-41d4-a716-446655440000",
        "token = parse1(input)",
        "token = 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "password == hunter2Xk9mm",
        "max_tokens: 123456789a",
    ] {
        assert!(found("secrets", text).is_empty(), "{text}");
    }
}
