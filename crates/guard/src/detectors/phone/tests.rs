//! What counts as a telephone number.

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{Chain, DetectorName, GuardrailSpec, Phase};

fn found(text: &str) -> Vec<String> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: vec![DetectorName::from("phone")],
        on: vec![Phase::Request],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    let chain = Chain::compile(&[spec]).unwrap();
    chain.scan(Origin::Prompt, text).into_iter().map(|finding| text[finding.range].to_owned()).collect()
}

#[test]
fn only_the_number_is_found() {
    for (text, number) in [
        ("call +1 415 555 2671 or write", "+1 415 555 2671"),
        ("(+49 (0)89 1234567)", "+49 (0)89 1234567"),
        ("tel:+442079460958;x", "+442079460958"),
        ("in 2024 +1-415-555-2671 12 times", "+1-415-555-2671"),
        ("(415) 555-2671 x12", "(415) 555-2671"),
        ("415.555.2671.", "415.555.2671"),
        ("\"phone\": \"4155552671\"", "4155552671"),
        ("phone 4155552671 2 items", "4155552671"),
        ("my number on WhatsApp is 0176 1234 5678!", "0176 1234 5678"),
        ("0049 89 1234567", "0049 89 1234567"),
        ("06.12.34.56.78", "06.12.34.56.78"),
        ("手机号：13812345678。", "13812345678"),
    ] {
        assert_eq!(found(text), [number], "{text}");
    }
}

#[test]
fn digits_that_no_sign_word_or_grouping_tells_are_none() {
    for text in [
        "4155552671",
        "1700000000",
        "+0100 and +1234567 and +12345678901234567890",
        "415-555-26711",
        "1415-555-2671-9",
        "415 555 2671 8 9",
        "a415-555-2671",
        "01 02 03 04 05",
        "phone_id: 4155552671",
        "0415555267.5",
        "123-456-789",
    ] {
        assert!(found(text).is_empty(), "{text}: {:?}", found(text));
    }
}
