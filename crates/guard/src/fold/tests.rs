//! Disguises are seen through, and exactly the bytes that stand there are found.

use std::sync::Arc;

use proptest::prelude::*;
use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use super::*;
use crate::{Chain, DetectorName, GuardrailSpec, Hold, Phase, Step};

fn chain() -> Arc<Chain> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: vec![DetectorName::from("secrets"), DetectorName::from("pii")],
        on: vec![Phase::Response],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    Arc::new(Chain::compile(&[spec]).unwrap())
}

const DISGUISED: [(&str, &str, &str); 12] = [
    ("id ", "AK\u{200b}IAIOSF\u{ad}ODNN7EXAM\u{2060}PLE", " end"),
    ("id ", "\u{410}\u{41a}I\u{410}IOSFODNN7EXAMPLE", " end"),
    ("id ", "ＡＫＩＡＩＯＳＦＯＤＮＮ７ＥＸＡＭＰＬＥ", " end"),
    ("id ", "𝐀𝐊𝐈𝐀𝐈𝐎𝐒𝐅𝐎𝐃𝐍𝐍𝟕𝐄𝐗𝐀𝐌𝐏𝐋𝐄", " end"),
    ("card ", "４１１１ １１１１ １１１１ １１１１", "。"),
    ("card ", "4111\u{a0}1111\u{a0}1111\u{a0}1111", " end"),
    ("card ", "4\u{200d}1\u{200d}1\u{200d}1111111111111", " end"),
    ("card ", "٤١١١١١١١١١١١١١١١", " end"),
    ("to ", "al\u{200b}ice＠example.com", " end"),
    ("to ", "alice@ex\u{430}mple.com", " end"),
    ("to ", "DE89\u{200b}3704\u{200b}0044\u{200b}0532\u{200b}0130\u{200b}00", " end"),
    ("call ", "+1\u{2011}415\u{2011}555\u{2011}2671", " end"),
];

#[test]
fn disguises_are_found_with_what_is_invisible_inside_them() {
    let chain = chain();
    for (before, disguised, after) in DISGUISED {
        for padding in ["", "请回复，", "Plain words. "] {
            let text = format!("{padding}{before}{disguised}{after}");
            let found = chain.scan(Origin::Completion, &text);
            let parts: Vec<_> = found.iter().map(|finding| &text[finding.range.clone()]).collect();
            assert_eq!(parts, [disguised], "{text}");
        }
    }
}

#[test]
fn disguises_are_found_across_the_borders_of_chunks() {
    let chain = chain();
    for (before, disguised, after) in DISGUISED {
        let text = format!("{before}{disguised}{after}");
        let whole = crate::redact(&text, &chain.scan(Origin::Completion, &text));
        for first in text.char_indices().map(|(at, _)| at) {
            let mut hold = Hold::new(Arc::clone(&chain), Origin::Completion);
            let (head, tail) = text.split_at(first);
            let mut out = String::new();
            for step in [hold.push(head, &[(0, head)]), hold.push(tail, &[(0, tail)]), hold.flush()] {
                let Step::Released(released) = step else { panic!() };
                for release in released {
                    let rewritten = release.rewritten.and_then(|texts| texts.into_iter().next());
                    out.push_str(&rewritten.map_or(release.frame.to_owned(), |(_, text)| text));
                }
            }
            assert_eq!(out, whole, "{text} cut at {first}");
        }
    }
}

#[test]
fn other_languages_and_emoji_are_left_alone() {
    let chain = chain();
    for text in [
        "Съешь же ещё этих мягких французских булок, да выпей чаю: 12 раз.",
        "Ο καιρός σήμερα είναι καλός, 25 βαθμοί.",
        "👩\u{200d}👩\u{200d}👧 family ❤\u{fe0f} at 10\u{a0}000\u{a0}EUR",
        "请在２０２４年１１月前回复，谢谢！",
    ] {
        assert!(chain.scan(Origin::Completion, text).is_empty(), "{text}");
    }
}

#[test]
fn places_lead_back_to_the_original() {
    let text = "a\u{200b}ｂc\u{200b}é\u{430}d";
    let folded = Folded::of(text, 0..text.len());
    assert_eq!(folded.text(), "abcéad");
    let back = |from, to| &text[folded.start(from)..folded.end(text, to)];
    assert_eq!((back(0, 1), back(1, 2), back(1, 3)), ("a", "ｂ", "ｂc"));
    assert_eq!((back(2, 5), back(5, 6), back(0, 7)), ("c\u{200b}é", "\u{430}", text));
    assert_eq!((folded.find(0), folded.find(1), folded.find(4), folded.find(text.len())), (0, 1, 1, 7));
}

#[test]
fn tables_are_in_order() {
    assert!(ALIKE.is_sorted_by_key(|(known, _)| *known) && DIGITS.is_sorted());
    for (character, byte) in [('\u{664}', b'4'), ('９', b'9'), ('𝟘', b'0'), ('𝔷', b'z'), ('Ⓐ', b'A'), ('²', b'2')]
    {
        assert_eq!(reading(character), Reading::Ascii(byte), "{character}");
    }
}

#[test]
fn no_character_is_passed_over_by_its_first_byte_that_disguises_something() {
    for character in '\u{80}'..=char::MAX {
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).as_bytes();
        if let Some(length) = plain_length(bytes[0]) {
            assert!(length == bytes.len() && !is_disguise(character), "{character:?}");
        }
    }
}

proptest! {
    #[test]
    fn disguises_are_those_that_are_seen_one_by_one(text in "([a-z ]{0,40}[\u{e9}\u{6f6e}\u{200b}\u{430}\u{ff14}\u{1d41a}\u{ad}]|\\PC{0,9}){0,6}") {
        let plainly: Vec<usize> = text
            .char_indices()
            .filter(|(_, character)| !character.is_ascii() && is_disguise(*character))
            .map(|(at, _)| at)
            .collect();
        prop_assert_eq!(disguises(&text, 0, || true).collect::<Vec<_>>(), plainly);
    }
}
