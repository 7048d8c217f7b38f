//! The shared pass misses nothing, wherever it stands.

use proptest::prelude::*;
use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use super::*;
use crate::{
    Chain, DetectorName, GuardrailSpec, Phase, detectors,
    guard::{Detector, Sink},
};

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

/// Runs of token bytes, one byte after the other.
fn runs(text: &str, from: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match runs.last_mut() {
            Some((_, end)) if *end == at && Class::TOKEN.has(byte) => *end += 1,
            _ if Class::TOKEN.has(byte) => runs.push((at, at + 1)),
            _ => {}
        }
    }
    // What a run was in the context belongs to it, up to thirty-two bytes.
    if let Some((start, _)) = runs.first_mut().filter(|(start, _)| *start == from) {
        *start -= text[..from].bytes().rev().take_while(|byte| Class::TOKEN.has(*byte)).take(32).count();
    }
    runs
}

/// Every place that may trigger anything, block counts or not.
fn everywhere(input: &Input<'_>, mut look: impl FnMut(Trigger)) {
    let digit = |byte: Option<u8>| byte.is_some_and(|byte| Class::DIGIT.has(byte));
    for at in input.from()..input.len() {
        match input.byte(at) {
            b'@' => look(Trigger::At(at)),
            b'=' | b':' => look(Trigger::Assign(at)),
            b'0'..=b'9' if !digit(input.before(at)) => look(Trigger::Digits(at)),
            b'-' if input.before(at) != Some(b'-') => look(Trigger::Dashes(at)),
            _ => {}
        }
    }
    for (start, end) in runs(input.text(), input.from()) {
        if end - start >= TOKEN_RUN {
            look(Trigger::Token(start, end));
        }
    }
}

/// What a detector finds: where, and what.
fn hits(detector: &dyn Detector, input: &Input<'_>, quick: bool) -> Vec<(usize, usize, String)> {
    let mut sink = Sink::default();
    let mut look = |trigger| {
        if detector.triggers().want(trigger) {
            detector.look(input, trigger, &mut sink);
        }
    };
    if quick {
        run(input, detector.triggers(), &mut look)
    } else {
        everywhere(input, &mut look)
    }
    let mut hits: Vec<_> = sink.hits.iter().map(|hit| (hit.start, hit.end, hit.category.to_string())).collect();
    hits.sort();
    hits.dedup();
    hits
}

/// What detectors look for, parts of it, and what stands around it.
fn part() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "AKIAIOSFODNN7EXAMPLE",
        "sk-proj-a8Kd93jSl20fKq71mZx6",
        "123456789:AAHk3Jx9Qw7Lm2Zp5Vt8Rb1Nc4Yd6Fg0S_e",
        "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq9+/xYMIIEpAIBAAKCAQEA\n-----END PRIVATE KEY-----",
        "password=hunter2Xk9mQ7",
        "https://bob:s3cr3tPa55w0rd@host.example/x",
        "alice@example.com",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111111111111111",
        "378282246310005",
        "DE89 3704 0044 0532 0130 00",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "+1 415 555 2671",
        "+49 (0)89 1234567",
        "1 (415) 555-2671",
        "(415) 555-2671",
        "06 12 34 56 78",
        "8 (495) 123-45-67",
        "0(212) 555 12 34",
        "phone: 5551234",
        "tel 555 1234 x12",
        "0049 89 1234567",
        "AB 12 34 56 C",
        "X1234567L",
        "RSSMRA85T10A562S",
        "123-45-6789",
        "BSN 111222333",
        "7260 1815 9082",
        "10.20.30.40",
        "2001:db8::1",
        "12.5",
        "3,400",
        "abcdefghijklmnop",
        "潮汐",
    ]);
    prop_oneof![
        4 => fixed.prop_map(str::to_owned),
        2 => "[0-9 ()./+-]{0,12}",
        2 => "[a-zA-Z0-9 _:=/@+-]{0,24}",
        2 => "[a-z ]{0,70}",
        1 => Just(" ".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_passed_over_holds_nothing(parts in prop::collection::vec(part(), 0..12)) {
        let text = parts.concat();
        for detector in detectors::all().unwrap() {
            let quick = hits(detector.as_ref(), &Input::new(&text, 0, true), true);
            let slow = hits(detector.as_ref(), &Input::counting_all(&text), false);
            prop_assert_eq!(quick, slow, "{} in {:?}", detector.name(), text);
        }
    }

    #[test]
    fn runs_of_token_bytes_are_those_that_are_seen_one_by_one(
        parts in prop::collection::vec(prop_oneof!["[a-zA-Z0-9_/+-]{0,40}", "[a-z0-9]{60,70}", "[ .é]{0,3}", "[a-z ]{0,90}"], 0..8),
        from in 0_usize..200,
        complete: bool,
    ) {
        let text = parts.concat();
        let from = (0..=from.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let mut seen = Vec::new();
        let wanted = Triggers { token: true, ..Triggers::default() };
        run(&Input::new(&text, from, complete), wanted, &mut |trigger| {
            if let Trigger::Token(start, end) = trigger {
                seen.push((start, end));
            }
        });
        let mut plainly = runs(&text, from);
        plainly.retain(|(start, end)| end - start >= TOKEN_RUN && (complete || *end < text.len()));
        if !complete {
            let length = text[from..].bytes().rev().take_while(|byte| Class::TOKEN.has(*byte)).count();
            plainly.push((text.len() - length, text.len()));
        }
        prop_assert_eq!(seen, plainly);
    }
}
