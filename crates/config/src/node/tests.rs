//! The parser's bounds, and that places are exact.

use super::*;
use crate::source::Sources;

fn tree(text: &str) -> (Option<Node>, Vec<Problem>) {
    parse(0, &Sources::of_text("t.yaml", text).files()[0])
}

fn covered(text: &str, span: Span) -> &str {
    &text[span.start as usize..span.end as usize]
}

#[test]
fn spans_cover_exactly_what_was_written() {
    let text = "\u{feff}größe:\n  - \"zwei ü\"\n  - 'drei'\n  - vier # fünf\nzahl: 12\n";
    let (node, problems) = tree(text);
    assert!(problems.is_empty());
    let Value::Map(entries) = node.unwrap().value else { panic!() };
    assert_eq!(covered(text, entries[0].name_span), "größe");
    let Value::List(items) = &entries[0].value.value else { panic!() };
    assert_eq!(covered(text, items[0].span), "\"zwei ü\"");
    assert_eq!(covered(text, items[1].span), "'drei'");
    assert_eq!(covered(text, items[2].span), "vier");
    assert_eq!(covered(text, entries[1].value.span), "12");
    assert_eq!(entries[1].value.value, Value::Integer(12));
}

#[test]
fn scalars_have_the_types_of_yaml_1_2() {
    for (text, value) in [
        ("yes", Value::Text("yes".into())),
        ("NO", Value::Text("NO".into())),
        ("on", Value::Text("on".into())),
        ("true", Value::Bool(true)),
        ("\"true\"", Value::Text("true".into())),
        ("~", Value::Null),
        ("600/min", Value::Text("600/min".into())),
        ("1.5", Value::Number(1.5)),
        ("\"1\"", Value::Text("1".into())),
        ("2027-01-31T00:00:00Z", Value::Text("2027-01-31T00:00:00Z".into())),
        ("12:30", Value::Text("12:30".into())),
    ] {
        assert_eq!(tree(text).0.unwrap().value, value, "{text}");
    }
}

#[test]
fn an_alias_bomb_ends_at_once() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for at in 1..12 {
        let list = vec![format!("*a{}", at - 1); 10].join(",");
        text.push_str(&format!("a{at}: &a{at} [{list}]\n"));
    }
    let started = tidegate_core::clock::now();
    let (node, problems) = tree(&text);
    assert!(node.is_none());
    assert_eq!(problems[0].code, codes::ALIASES);
    assert!(started.elapsed().as_secs() < 2);
}

#[test]
fn deep_nesting_is_refused_in_every_style() {
    let flow = format!("a: {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let mut block = String::new();
    for level in 0..500 {
        block.push_str(&format!("{}a:\n", " ".repeat(level)));
    }
    let dashes = format!("{}x", "- ".repeat(5_000));
    for text in [flow, block, dashes] {
        let (node, problems) = tree(&text);
        assert!(node.is_none());
        assert_eq!(problems[0].code, codes::TOO_DEEP, "{}", problems[0]);
    }
}

#[test]
fn every_repeated_name_is_reported() {
    let (_, problems) = tree("a: 1\nb: { c: 1, c: 2 }\na: 2\n'a': 3\n");
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["b.c", "a", "a"]);
}

#[test]
fn paths_quote_what_would_be_misread() {
    assert_eq!(join("models", "chat"), "models.chat");
    assert_eq!(join("models", "gpt-4.1"), "models.\"gpt-4.1\"");
    assert_eq!(join("", "a b"), "\"a b\"");
}
