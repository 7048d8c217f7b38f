//! What is decoded, and what is left alone.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{Chain, DetectorName, GuardrailSpec, Phase};

fn found(text: &str) -> Vec<(String, String)> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: vec![DetectorName::from("secrets")],
        on: vec![Phase::Request],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    let chain = Chain::compile(&[spec]).unwrap();
    let found = chain.scan(Origin::Prompt, text);
    found.into_iter().map(|finding| (finding.category.to_string(), text[finding.range].to_owned())).collect()
}

#[test]
fn a_secret_inside_base64_is_found_as_the_whole_encoding() {
    let plain = ["AKIA", "Q3EGZV7XJ5WKT2PB"].concat();
    let encoded = BASE64_STANDARD.encode(format!("aws id {plain} and more"));
    let run = encoded.trim_end_matches('=').to_owned();
    let text = format!("data: {encoded} end");
    assert_eq!(found(&text), [("secret.aws_access_key_id".to_owned(), run)]);
}

#[test]
fn encodings_of_ordinary_text_and_a_second_encoding_are_none() {
    let twice = BASE64_STANDARD.encode(BASE64_STANDARD.encode(["AKIA", "Q3EGZV7XJ5WKT2PB", " is it"].concat()));
    for text in [BASE64_STANDARD.encode("the committee met on a rainy morning"), twice] {
        assert!(found(&text).is_empty(), "{text}");
    }
}
