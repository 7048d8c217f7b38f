//! Where a private key starts and ends.

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

const BODY: &str = "MIIEpAIBAAKCAQEA7bq9+/xYMIIEpAIBAAKCAQEA";

#[test]
fn the_whole_block_is_found() {
    let key = format!("-----BEGIN EC PRIVATE KEY-----\n{BODY}\n-----END EC PRIVATE KEY-----");
    assert_eq!(found("secrets", &format!("see {key}, ok")), [key]);
}

#[test]
fn a_cut_block_counts_up_to_what_no_key_holds() {
    let key = format!("-----BEGIN PRIVATE KEY-----\\n{BODY}");
    assert_eq!(found("secrets", &format!("{{\"k\":\"{key}\"}}")), [key]);
}

#[test]
fn public_keys_and_lone_first_lines_are_none() {
    for text in [
        format!("-----BEGIN PUBLIC KEY-----\n{BODY}\n-----END PUBLIC KEY-----"),
        "the line -----BEGIN PRIVATE KEY----- starts it".to_owned(),
    ] {
        assert!(found("secrets", &text).is_empty(), "{text}");
    }
}
