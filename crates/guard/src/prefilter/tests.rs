//! The shared pass misses nothing, wherever it stands.

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
fn nothing_is_missed_at_any_offset_of_a_block() {
    for (detect, text) in [
        ("secrets", "AKIAIOSFODNN7EXAMPLE"),
        ("secrets", "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"),
        ("secrets", "123456789:AAHk3Jx9Qw7Lm2Zp5Vt8Rb1Nc4Yd6Fg0S_e"),
        ("secrets", "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq9+/xYMIIEpAIBAAKCAQEA"),
        ("email", "alice@example.com"),
        ("card", "4111 1111 1111 1111"),
        ("card", "4-2222222222-22"),
        ("iban", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
    ] {
        for before in 0..140 {
            for after in [0, 1, 63, 64, 140] {
                let whole = format!("{}{text}{}", " ".repeat(before), ";".repeat(after));
                assert_eq!(found(detect, &whole), [text], "after {before}, before {after}");
            }
        }
    }
}
