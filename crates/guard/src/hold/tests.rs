//! What leaves a hold, and when.

use std::sync::Arc;

use proptest::prelude::*;
use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use super::*;
use crate::{
    finding::redact,
    spec::{DetectorName, GuardrailSpec, Phase},
};

fn chain(detect: &[&str], action: GuardAction) -> Arc<Chain> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: detect.iter().map(|name| DetectorName::from(*name)).collect(),
        on: vec![Phase::Response],
        action,
        limit: None,
        on_error: Default::default(),
    };
    Arc::new(Chain::compile(&[spec]).unwrap())
}

fn all() -> Arc<Chain> {
    chain(&["secrets", "pii", "ip"], GuardAction::Redact)
}

const AWS: &str = "AKIAIOSFODNN7EXAMPLE";
const JWT: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

fn pem(length: usize) -> String {
    format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA7bq9+/xY".repeat(length)
    )
}

/// Secrets and parts of them, and what stands around them.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        AWS.to_owned(),
        JWT.to_owned(),
        pem(8),
        pem(90),
        "-----BEGIN PRIVATE KEY-----".to_owned(),
        "-----".to_owned(),
        "alice@example.com".to_owned(),
        "jörg@bücher.example".to_owned(),
        "4111 1111 1111 1111".to_owned(),
        "4111111111111111".to_owned(),
        "DE89 3704 0044 0532 0130 00".to_owned(),
        "password=".to_owned(),
        "\"api_key\": \"".to_owned(),
        "hunter2Xk9mQ7".to_owned(),
        "aws secret ".to_owned(),
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        "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".to_owned(),
        "sk-proj-a8Kd93jSl20fKq71mZx6".to_owned(),
        "123456789:AAHk3Jx9Qw7Lm2Zp5Vt8Rb1Nc4Yd6Fg0S_e".to_owned(),
        "https://bob:s3cr3tPa55w0rd@host.example/x".to_owned(),
        "https://hooks.slack.com/services/T12345678/B1234567890/".to_owned(),
        "abcdefghijklmnopqrstuvwx".to_owned(),
        "eyJ".to_owned(),
        "ghp_".to_owned(),
        "Authorization: Bearer ".to_owned(),
        "@".to_owned(),
        ".".to_owned(),
        " ".to_owned(),
        "\n".to_owned(),
        "\\n".to_owned(),
        "\"".to_owned(),
        "= ".to_owned(),
        "请回复".to_owned(),
        "12".to_owned(),
        "+1 415 555 2671".to_owned(),
        "(415) 555-2671".to_owned(),
        "06 12 34 56 78".to_owned(),
        "\"phone\": \"".to_owned(),
        "4155552671".to_owned(),
        "0049 89 1234567".to_owned(),
        "AB 12 34 56 C".to_owned(),
        "X1234567L".to_owned(),
        "RSSMRA85T10A562S".to_owned(),
        "123-45-6789".to_owned(),
        "BSN ".to_owned(),
        "111222333".to_owned(),
        "7260 1815 9082".to_owned(),
        "10.20.30.40".to_owned(),
        "2001:db8::1".to_owned(),
        "::ffff:1.2.3.4".to_owned(),
        "version ".to_owned(),
        "+".to_owned(),
        "(".to_owned(),
        "-".to_owned(),
    ]);
    prop_oneof![6 => fixed, 2 => "[a-zA-Z0-9 ._:=/@-]{0,12}", 1 => "\\PC{0,6}", 1 => Just(" and then the ordinary words go on ".to_owned())]
}

/// Sends `text` in chunks through a hold; gives what left, and checks that frames left in order, none lost.
fn stream(chain: &Arc<Chain>, text: &str, cuts: &[usize]) -> (String, Vec<GuardVerdict>) {
    let mut hold = Hold::new(Arc::clone(chain), Origin::Completion);
    let mut out = String::new();
    let mut frames = 0;
    let mut next = 0;
    let mut rest = text;
    let mut sent: Vec<String> = Vec::new();
    let mut cuts = cuts.iter().cycle();
    let mut take = |step: Step<usize>, sent: &[String]| {
        let Step::Released(released) = step else { panic!("nothing blocks here") };
        for release in released {
            assert_eq!(release.frame, next);
            next += 1;
            match release.rewritten {
                Some(rewritten) => {
                    assert_eq!(rewritten.len(), 1);
                    out.push_str(&rewritten[0].1);
                }
                None => out.push_str(&sent[release.frame]),
            }
        }
    };
    while !rest.is_empty() {
        let mut cut = (*cuts.next().unwrap()).clamp(1, rest.len());
        while !rest.is_char_boundary(cut) {
            cut += 1;
        }
        let (chunk, after) = rest.split_at(cut);
        rest = after;
        sent.push(chunk.to_owned());
        let step = hold.push(frames, &[(7, chunk)]);
        assert!(hold.held() <= MAX_HELD);
        frames += 1;
        take(step, &sent);
    }
    let step = hold.flush();
    take(step, &sent);
    assert_eq!(next, frames, "a frame was lost");
    assert_eq!(hold.held(), 0);
    (out, hold.verdicts().to_vec())
}

proptest! {
    #[test]
    fn released_text_is_the_redacted_text_whatever_the_chunks(
        pieces in prop::collection::vec(piece(), 0..14),
        cuts in prop::collection::vec(prop_oneof![3 => 1_usize..8, 1 => 1_usize..200], 1..12),
    ) {
        let text = pieces.concat();
        let chain = all();
        let findings = chain.scan(Origin::Completion, &text);
        let (out, verdicts) = stream(&chain, &text, &cuts);
        prop_assert_eq!(out, redact(&text, &findings));
        let count = |verdicts: &[GuardVerdict]| {
            let mut counts: Vec<_> = verdicts.iter().map(|v| (v.category.to_string(), v.count)).collect();
            counts.sort();
            counts
        };
        prop_assert_eq!(count(&verdicts), count(&crate::finding::verdicts(&findings)));
    }

    #[test]
    fn marks_are_never_found_again(pieces in prop::collection::vec(piece(), 0..10)) {
        let text = pieces.join(" ");
        let chain = all();
        let once = redact(&text, &chain.scan(Origin::Completion, &text));
        for finding in chain.scan(Origin::Completion, &once) {
            prop_assert!(!once[finding.range.clone()].contains("[REDACTED:"), "{finding:?} in {once}");
        }
    }
}

#[test]
fn secret_split_at_every_border_never_leaves() {
    let chain = all();
    for secret in [AWS, JWT, "alice@example.com", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"] {
        let text = format!("before {secret} after");
        let whole = redact(&text, &chain.scan(Origin::Completion, &text));
        assert!(whole.contains("[REDACTED:") && !whole.contains(secret));
        for first in 1..text.len() {
            for second in [1, 2, 3, text.len()] {
                let (out, _) = stream(&chain, &text, &[first, second]);
                assert_eq!(out, whole, "cut at {first}, then {second}");
            }
        }
    }
}

#[test]
fn ordinary_words_leave_at_once_but_for_the_last() {
    let mut hold = Hold::new(all(), Origin::Completion);
    for (number, word) in ["The ", "quick ", "brown ", "fox; ", "in 1984 ", "it jumped, "].into_iter().enumerate() {
        let step = hold.push(number, &[(0, word)]);
        assert_eq!(step, Step::Released(vec![Release { frame: number, rewritten: None }]), "{word}");
    }
    assert_eq!(hold.push(6, &[(0, "over")]), Step::Released(vec![]));
    let Step::Released(released) = hold.push(7, &[(0, " the")]) else { panic!() };
    assert_eq!(released.len(), 1);
    let Step::Released(released) = hold.flush() else { panic!() };
    assert_eq!(released.len(), 1);
}

#[test]
fn a_long_word_is_held_for_no_more_than_a_local_part() {
    let mut hold = Hold::new(chain(&["email"], GuardAction::Redact), Origin::Completion);
    let mut left = 0;
    for number in 0..500 {
        let Step::Released(released) = hold.push(number, &[(0, "a")]) else { panic!() };
        left += released.len();
        assert!(number + 1 - left <= 64);
    }
}

#[test]
fn frames_without_text_wait_behind_held_ones() {
    let mut hold = Hold::new(all(), Origin::Completion);
    assert_eq!(hold.push("a", &[(0, "AKIAIOSF")]), Step::Released(vec![]));
    assert_eq!(hold.push("ping", &[]), Step::Released(vec![]));
    let Step::Released(released) = hold.push("b", &[(0, "ODNN7EXAMPLE ok. ")]) else { panic!() };
    let frames: Vec<_> = released.iter().map(|release| release.frame).collect();
    assert_eq!(frames, ["a", "ping", "b"]);
    assert_eq!(released[0].rewritten, Some(vec![(0, "[REDACTED:aws_access_key_id]".to_owned())]));
    assert_eq!(released[2].rewritten, Some(vec![(0, " ok. ".to_owned())]));
}

#[test]
fn a_block_ends_the_stream_before_the_secret() {
    let mut hold = Hold::new(chain(&["secrets"], GuardAction::Block), Origin::Completion);
    assert!(matches!(hold.push(0, &[(0, "fine, ")]), Step::Released(released) if released.len() == 1));
    assert_eq!(hold.push(1, &[(0, "AKIAIOSFOD")]), Step::Released(vec![]));
    let Step::Blocked { finding, released } = hold.push(2, &[(0, "NN7EXAMPLE.")]) else { panic!() };
    assert_eq!((&*finding.category, finding.range), ("secret.aws_access_key_id", 6..26));
    assert!(released.is_empty());
    assert!(matches!(hold.push(3, &[(0, "more")]), Step::Blocked { released, .. } if released.is_empty()));
    assert!(matches!(hold.flush(), Step::Blocked { .. }));
    assert_eq!(hold.verdicts().len(), 1);
}

#[test]
fn a_private_key_blocks_before_it_ends() {
    let mut hold = Hold::new(chain(&["secrets"], GuardAction::Block), Origin::Completion);
    let key = pem(8);
    assert!(matches!(hold.push(0, &[(0, &key[..80])]), Step::Blocked { .. }));
}

#[test]
fn labels_hold_nothing_back() {
    let mut hold = Hold::new(chain(&["pii"], GuardAction::Label), Origin::Completion);
    for (number, text) in ["alice@exam", "ple.com"].into_iter().enumerate() {
        assert_eq!(hold.push(number, &[(0, text)]), Step::Released(vec![Release { frame: number, rewritten: None }]));
    }
    assert_eq!(hold.flush(), Step::Released(vec![]));
    assert_eq!(&*hold.verdicts()[0].category, "pii.email");
}

#[test]
fn closing_a_channel_decides_its_tail() {
    let mut hold = Hold::new(all(), Origin::Completion);
    assert_eq!(hold.push(0, &[(0, "alice@example.com")]), Step::Released(vec![]));
    assert_eq!(hold.push(1, &[(1, "other. ")]), Step::Released(vec![]));
    let Step::Released(released) = hold.close_channels(0..=0) else { panic!() };
    assert_eq!(released.len(), 2);
    assert_eq!(released[0].rewritten, Some(vec![(0, "[REDACTED:email]".to_owned())]));
}

#[test]
fn a_whole_text_is_decided_as_it_stands_however_long_it_is() {
    // What ends it could go on as an address, if more came.
    let long = format!("{}and bob@example", "so many words ".repeat(20_000));
    for action in [GuardAction::Redact, GuardAction::Block] {
        let mut hold = Hold::new(chain(&["pii", "secrets"], action), Origin::Completion);
        for frame in 0..3 {
            let step = hold.push_whole(frame, &[(9, &long), (10, "short")]);
            assert_eq!(step, Step::Released(vec![Release { frame, rewritten: None }]), "{action:?}");
        }
        assert!(hold.held() == 0 && hold.verdicts().is_empty());
    }
    let mut hold = Hold::new(all(), Origin::Completion);
    let leaky = format!("{long} card 4111 1111 1111 1111");
    let rewritten = Some(vec![(1, format!("{long} card [REDACTED:card]"))]);
    let step = hold.push_whole(0, &[(9, "a"), (10, &leaky)]);
    assert_eq!(step, Step::Released(vec![Release { frame: 0, rewritten }]));
    // Behind what still waits, it waits too, and is rewritten all the same.
    assert_eq!(hold.push(1, &[(0, "write to alice@exam")]), Step::Released(Vec::new()));
    assert_eq!(hold.push_whole(2, &[(9, "4111 1111 1111 1111")]), Step::Released(Vec::new()));
    let Step::Released(released) = hold.flush() else { panic!("nothing blocks") };
    let frames: Vec<_> = released.into_iter().map(|release| (release.frame, release.rewritten)).collect();
    assert_eq!(frames, [(1, None), (2, Some(vec![(0, "[REDACTED:card]".to_owned())]))]);
}

#[test]
fn channels_do_not_mix() {
    let mut hold = Hold::new(all(), Origin::Completion);
    assert_eq!(hold.push(0, &[(0, "AKIAIOSF"), (1, "AKIA ")]), Step::Released(vec![]));
    let Step::Released(released) = hold.push(1, &[(1, "ODNN7EXAMPLE "), (0, "ODNN7EXAMPLE ")]) else { panic!() };
    assert_eq!(released[0].rewritten, Some(vec![(0, "[REDACTED:aws_access_key_id]".to_owned())]));
    assert_eq!(released[1].rewritten, Some(vec![(1, " ".to_owned())]));
}

#[test]
fn memory_is_bounded_and_what_is_undecided_is_cut() {
    let mut hold = Hold::new(all(), Origin::Completion);
    assert_eq!(hold.push(0, &[(0, "sk-proj-a8Kd93jSl20fK")]), Step::Released(vec![]));
    let mut first = None;
    for number in 1..5_000 {
        let Step::Released(released) = hold.push(number, &[(1, "ordinary words go on. ")]) else { panic!() };
        assert!(hold.held() <= MAX_HELD);
        first = first.or_else(|| released.into_iter().next());
    }
    assert_eq!(first.unwrap().rewritten, Some(vec![(0, "[REDACTED:openai_key]".to_owned())]));
    let Step::Released(released) = hold.push(5_000, &[(0, "q71mZx6 rest. ")]) else { panic!() };
    assert_eq!(released[0].rewritten, Some(vec![(0, " rest. ".to_owned())]));
}

#[test]
fn an_endless_private_key_passes_as_one_mark() {
    let key = pem(20_000);
    let text = format!("see {key} end");
    let (out, verdicts) = stream(&all(), &text, &[4096]);
    assert_eq!(out, "see [REDACTED:private_key] end");
    assert_eq!(verdicts[0].count, 1);
}

#[test]
fn a_chain_without_rules_passes_everything() {
    let mut hold = Hold::new(all(), Origin::Prompt);
    assert_eq!(hold.push(0, &[(0, AWS)]), Step::Released(vec![Release { frame: 0, rewritten: None }]));
}

#[test]
fn a_finding_that_runs_into_a_long_key_does_not_leave() {
    let text = format!("{JWT}{} end", pem(90));
    let chain = all();
    for cut in [1, 7, 64] {
        let (out, _) = stream(&chain, &text, &[cut]);
        assert_eq!(out, "[REDACTED:private_key] end", "cut at {cut}");
    }
}

#[test]
fn a_label_lets_nothing_out_that_another_rule_holds() {
    let spec = |name: &str, detect: &str, action| GuardrailSpec {
        name: GuardrailName::from(name),
        detect: vec![DetectorName::from(detect)],
        on: vec![Phase::Response],
        action,
        limit: None,
        on_error: Default::default(),
    };
    let specs = [spec("a", "secrets", GuardAction::Label), spec("b", "email", GuardAction::Redact)];
    let chain = Arc::new(Chain::compile(&specs).unwrap());
    let text =
        format!("{}alice@example.com {}", pem(90).replace("-----END RSA PRIVATE KEY-----", ""), "word ".repeat(9));
    let (out, _) = stream(&chain, &text, &[1, 3]);
    assert!(out.contains("[REDACTED:email]") && !out.contains("alice@"), "{out}");
}

#[test]
fn labels_alone_keep_no_endless_window() {
    let mut hold = Hold::new(chain(&["secrets"], GuardAction::Label), Origin::Completion);
    for (number, part) in pem(20_000).as_bytes().chunks(512).enumerate() {
        let step = hold.push(number, &[(0, std::str::from_utf8(part).unwrap())]);
        assert!(matches!(step, Step::Released(released) if released.len() == 1));
    }
    assert_eq!(hold.verdicts().iter().map(|verdict| verdict.count).sum::<u32>(), 1);
}
