//! Hostile text costs time in proportion to its length, and clean text hardly any.

use std::time::Duration;

use tidegate_core::{clock, facts::GuardAction, ids::GuardrailName, segment::Origin};
use tidegate_guard::{Chain, CompileError, DetectorName, GuardrailSpec, Hold, Phase};

fn chain() -> Result<Chain, CompileError> {
    chain_of(&["secrets", "pii", "ip"])
}

fn chain_of(detect: &[&str]) -> Result<Chain, CompileError> {
    Chain::compile(&[GuardrailSpec {
        name: GuardrailName::from("all"),
        detect: detect.iter().map(|name| DetectorName::from(*name)).collect(),
        on: Phase::ALL.to_vec(),
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    }])
}

const HOSTILE: [&str; 56] = [
    "a",
    "A",
    "1",
    "12 ",
    "1-",
    "4111 ",
    "4",
    "@",
    "a@",
    "a@a.",
    "a.",
    "@a",
    "DE89",
    "DE89 ",
    "-",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq9+/xYMIIEpAIBAAKCAQEA",
    "-----BEGIN PRIVATE KEY-----MIIEpAIBAAKCAQEA7bq9+/xYMIIEpAIBAAKCAQEA-----END ",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJ-",
    "eyJ.",
    "sk-",
    "sk-proj-",
    "AKIA",
    "SG.",
    "xoxb-1",
    "password=",
    "password=\"",
    "secret:'",
    "http://",
    "http://a:b",
    "aws /",
    "\u{200b}\u{430}",
    "请",
    "+1 ",
    "+1(",
    "(0)",
    "phone 1",
    "tel 1 number ",
    "06 12 34 ",
    "415-555-",
    "1.2.3.",
    "2001:",
    "::",
    "ABCDEF",
    "AB 12 34 56 ",
    "123-45-",
    "7260 1815 ",
    "\u{200b}",
    "a\u{200b}",
    "\u{430}",
    "４",
    "AKIA\u{ad}",
    "é ",
    "dGhlIGNvbW1pdHRlZSBtZXQg",
    "a\u{200b}bcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
];

#[test]
fn hostile_text_takes_linear_time() {
    let chain = chain().unwrap();
    let bytes = if cfg!(debug_assertions) { 64 << 10 } else { 10 << 20 };
    for unit in HOSTILE {
        let text = unit.repeat(bytes / unit.len());
        let start = clock::now();
        let found = chain.scan(Origin::Completion, &text).len();
        let took = start.elapsed();
        println!("{unit:?}: {found} in {took:?}");
        assert!(took < Duration::from_secs(4), "{unit:?} took {took:?}");
    }
}

#[test]
fn hostile_stream_takes_linear_time() {
    let bytes = if cfg!(debug_assertions) { 1_000 } else { 40_000 };
    let chain = std::sync::Arc::new(chain().unwrap());
    for unit in HOSTILE {
        let mut hold = Hold::new(chain.clone(), Origin::Completion);
        let text = unit.repeat(bytes / unit.len());
        let start = clock::now();
        for at in text.chars() {
            hold.push((), &[(0, at.encode_utf8(&mut [0; 4]))]);
        }
        hold.flush();
        let took = start.elapsed();
        println!("{unit:?}: {took:?}");
        assert!(took < Duration::from_secs(4), "{unit:?} took {took:?}");
    }
}

/// Prints its speed: `cargo test --release -p tidegate-guard --test linear clean -- --nocapture`.
#[test]
fn clean_text_has_no_finding_and_waits_for_nothing() {
    let prose = "The committee met on a rainy morning to discuss the plans for the new library, and it was soon \
                 agreed that the old hall should be kept; nobody objected to the cost of the repairs.\n";
    let json = "{\"city\":\"Rome\",\"temperature\":21.5,\"conditions\":[\"sunny\",\"dry\"],\"wind\":{\"speed\":12,\"unit\":\"km/h\"}},\n";
    let code = "    let total: u64 = items.iter().filter(|item| item.price > limit).map(|item| item.price).sum();\n";
    for (name, unit) in [("prose", prose), ("json", json), ("code", code)] {
        let text = unit.repeat((256 << 10) / unit.len());
        for detect in ["secrets", "email", "phone", "card", "iban", "national_id", "ip", "all"] {
            let chain = if detect == "all" { chain() } else { chain_of(&[detect]) }.unwrap();
            let start = clock::now();
            assert!(chain.scan(Origin::Completion, &text).is_empty());
            let took = start.elapsed().as_secs_f64();
            println!("{name}, {detect}: {:.2} GB/s", text.len() as f64 / took / 1e9);
        }
    }
    let mut hold = Hold::new(std::sync::Arc::new(chain().unwrap()), Origin::Completion);
    let start = clock::now();
    let words: Vec<_> = prose.split_inclusive(' ').collect();
    for number in 0..20_000 {
        hold.push(number, &[(0, words[number % words.len()])]);
    }
    assert!(hold.held() < 1024 && hold.verdicts().is_empty());
    println!("stream: {:.0} ns an event", start.elapsed().as_secs_f64() * 1e9 / 20_000.0);
}
