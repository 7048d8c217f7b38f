//! The content hash.

use crate::snapshot::tests_support::compiled;

const WHOLE: &str = include_str!("../check/tests/whole.yaml");

fn revision(text: &str) -> String {
    compiled(text).revision.to_string()
}

#[test]
fn order_whitespace_comments_and_spelling_of_units_do_not_change_it() {
    let one = "version: 1\nproviders:\n  sim: {}\n  openai: {}\nmodels:\n  a: [sim/chat]\n  b: { fallback: [sim/chat], timeouts: { total: 60s } }\n";
    let other = "# a comment\nmodels: { b: { timeouts: { total: 1m }, route: { fallback: [ sim/chat ] } }, a: { fallback: [\"sim/chat\"] } }\n\nproviders: { openai: {}, sim: {} }\nversion: 1\n";
    assert_eq!(revision(one), revision(other));
}

/// Every line of a configuration that has everything decides: without it, or with another value, the revision differs.
#[test]
fn whatever_decides_changes_it() {
    let whole = revision(WHOLE);
    for (from, to) in [
        ("https://gateway.example", "https://gateway.example:8443"),
        ("hosts: [gateway.example]", "hosts: [gateway.example, 'gateway.example:8443']"),
        ("key: env:OPENAI_API_KEY", "key: env:ANTHROPIC_API_KEY"),
        ("context-1m", "context-2m"),
        (":8080/v1", ":8081/v1"),
        ("default_provider: openai", "default_provider: local"),
        ("openai/gpt-5.2, anthropic", "openai/gpt-5.1, anthropic"),
        ("gpt-5.2: 3", "gpt-5.2: 4"),
        ("attempts: 2", "attempts: 3"),
        ("[429, 503]", "[429]"),
        ("0.15 usd", "0.16 usd"),
        ("total: 10m", "total: 11m"),
        ("max_output: 4096", "max_output: 4097"),
        ("[email, card, iban]", "[email, card]"),
        ("on: [request, response]", "on: [request]"),
        ("action: redact", "action: label"),
        ("https://notes.example/mcp", "https://notes.example/mcp2"),
        ("tools: [search, read]", "tools: [search]"),
        ("idempotent: true", "idempotent: false"),
        ("500 usd/month", "501 usd/month"),
        ("600/min", "601/min"),
        ("concurrent: 50 ", "concurrent: 51 "),
        ("secret: env:GOOD_KEY", "secret: env:OPENAI_API_KEY"),
        ("models: [chat, openai/gpt-5.2]", "models: [chat]"),
        ("mcp_servers: \"*\"", "mcp_servers: [notes]"),
        ("guardrails: [pii]", "guardrails: []"),
        ("1 usd/day", "2 usd/day"),
        ("2030-01-31", "2031-01-31"),
        ("policies: policies", ""),
        ("model_calls: buffered", "model_calls: off"),
        ("tool_calls: durable", "tool_calls: buffered"),
        ("bodies: redacted", "bodies: off"),
        ("retention: 30d", "retention: 31d"),
        ("16MiB", "17MiB"),
        ("5000", "5001"),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        assert_ne!(revision(&WHOLE.replace(from, to)), whole, "{from}");
    }
}

#[test]
fn parts_cannot_run_into_one_another() {
    let digest = |parts: &[(&str, &str)]| {
        let mut out = super::Parts::default();
        parts.iter().for_each(|(name, text)| out.add(name, text.as_bytes()));
        out.digest()
    };
    assert_ne!(digest(&[("a", "bc")]), digest(&[("ab", "c")]));
    assert_ne!(digest(&[("a", "b"), ("c", "d")]), digest(&[("a", "bcd")]));
}
