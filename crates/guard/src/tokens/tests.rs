//! What goes out as a token comes back as the value, however the answer is cut.

use super::*;
use crate::{Chain, DetectorName, GuardrailSpec, Hold, Phase, Step, redact};

fn chain() -> Arc<Chain> {
    let spec = |name: &str, detect: &str, action| GuardrailSpec {
        name: GuardrailName::from(name),
        detect: vec![DetectorName::from(detect)],
        on: vec![Phase::Request, Phase::Response],
        action,
        limit: None,
        on_error: Default::default(),
    };
    let specs = [spec("pii", "pii", GuardAction::Tokenize), spec("leaks", "secrets", GuardAction::Redact)];
    Arc::new(Chain::compile(&specs).unwrap())
}

fn seal(kind: &str, value: &str) -> [u8; 8] {
    let mut hash = [kind.len() as u8; 8];
    value.bytes().enumerate().for_each(|(at, byte)| hash[at % 8] = hash[at % 8].wrapping_mul(31) ^ byte);
    hash
}

fn tokens(chain: &Chain) -> Tokens {
    Tokens::new(chain.tokenizes().unwrap().clone(), Box::new(seal))
}

fn asked(chain: &Chain, tokens: &mut Tokens, text: &str) -> String {
    let mut found = chain.scan(Origin::Prompt, text);
    tokens.issue(text, &mut found);
    redact(text, &found)
}

fn heard(chain: &Arc<Chain>, tokens: &Arc<Tokens>, chunks: &[&str]) -> (String, usize) {
    let mut hold = Hold::new(Arc::clone(chain), Origin::Completion).restoring(Some(Arc::clone(tokens)));
    let mut out = String::new();
    let mut steps: Vec<_> = chunks.iter().map(|chunk| hold.push((*chunk).to_owned(), &[(0, chunk)])).collect();
    steps.push(hold.flush());
    for step in steps {
        let Step::Released(released) = step else { panic!() };
        for release in released {
            let rewritten = release.rewritten.and_then(|texts| texts.into_iter().next());
            out.push_str(&rewritten.map_or(release.frame, |(_, text)| text));
        }
    }
    (out, hold.verdicts().iter().map(|verdict| verdict.count as usize).sum())
}

#[test]
fn a_model_sees_tokens_and_the_caller_the_values() {
    let chain = chain();
    let mut tokens = tokens(&chain);
    let question = "mail alice@example.com, then bob@example.com and alice@example.com";
    let sent = asked(&chain, &mut tokens, question);
    assert!(!sent.contains('@') && sent.matches("[email#").count() == 3, "{sent}");
    assert!(chain.scan(Origin::Completion, &sent).is_empty());
    let mut found = chain.scan(Origin::Completion, &sent);
    tokens.restore(Origin::Completion, &sent, &mut found);
    assert_eq!(redact(&sent, &found), question);
    assert!(crate::verdicts(&found).is_empty());
}

#[test]
fn values_of_others_and_tokens_of_others_are_redacted() {
    let chain = chain();
    let mut tokens = tokens(&chain);
    asked(&chain, &mut tokens, "alice@example.com");
    let answer = "alice@example.com knows eve@example.com and [email#aaaabbbbccccdddd], not [x] or [email#no]";
    let mut found = chain.scan(Origin::Completion, answer);
    tokens.restore(Origin::Completion, answer, &mut found);
    let out = redact(answer, &found);
    assert_eq!(out, "alice@example.com knows [REDACTED:email] and [REDACTED:email], not [x] or [email#no]");
}

#[test]
fn tokens_are_restored_wherever_a_stream_cuts_them() {
    let chain = chain();
    let mut own = tokens(&chain);
    let sent = asked(&chain, &mut own, "to alice@example.com or 4111 1111 1111 1111!");
    let own = Arc::new(own);
    let answer = format!("I wrote {sent} but not to eve@example.com.");
    let whole = "I wrote to alice@example.com or 4111 1111 1111 1111! but not to [REDACTED:email].";
    for cut in 1..answer.len() {
        let (head, tail) = answer.split_at(cut);
        assert_eq!(heard(&chain, &own, &[head, tail]), (whole.to_owned(), 1), "{cut}");
    }
    let letters: Vec<String> = answer.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(heard(&chain, &own, &letters).0, whole);
}

#[test]
fn a_bracket_that_is_no_token_waits_for_nothing() {
    let chain = chain();
    let own = Arc::new(tokens(&chain));
    let mut hold = Hold::new(chain, Origin::Completion).restoring(Some(own));
    assert_eq!(hold.push(0, &[(0, "see [1] and [ x")]), Step::Released(vec![]));
    let Step::Released(released) = hold.push(1, &[(0, ". ")]) else { panic!() };
    assert_eq!(released.len(), 2);
}

#[test]
fn what_json_would_escape_gets_no_token() {
    let chain = chain();
    let mut own = tokens(&chain);
    let mut found = chain.scan(Origin::Prompt, "alice@example.com");
    found[0].range = 0..3;
    own.issue("a\"b", &mut found);
    assert_eq!(found[0].mark(), "[REDACTED:email]");
}
