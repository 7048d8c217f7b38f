//! References, and telling secrets from other text.

use super::*;
use crate::environment::Fixed;

#[test]
fn references_are_read_and_printed() {
    for text in ["env:OPENAI_API_KEY", "env:_x", "file:/run/secrets/openai", "file:keys/a b"] {
        assert_eq!(Reference::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_reference_says_why() {
    for text in ["env:", "env:A-B", "env:1A", "env:A B", "env:$A", "file:", "file: ", "file:a\nb"] {
        assert!(matches!(Reference::parse(text), Err(NotReference::Malformed(_))), "{text}");
    }
    for text in ["vault:a#b", "aws-sm:x", "gcp-sm:x", "azure-kv:x", "k8s:ns/x#y", "keyring:x"] {
        assert!(matches!(Reference::parse(text), Err(NotReference::Later(_))), "{text}");
    }
    for text in ["", "hunter2", "environment", "${env:A}", "ENV:A"] {
        assert_eq!(Reference::parse(text), Err(NotReference::Literal), "{text}");
    }
}

#[test]
fn a_files_last_line_break_is_no_part_of_the_secret() {
    let environment = Fixed::default().file("dir/a", "s3cret\r\n").file("dir/empty", "\n");
    let folder = Path::new("dir");
    let resolve = |name: &str| Reference::File(name.to_owned()).resolve(folder, &environment);
    assert_eq!(resolve("a").unwrap().expose(), "s3cret");
    assert!(matches!(resolve("empty"), Err(Missing::File(_))));
    assert!(matches!(resolve("none"), Err(Missing::File(_))));
}

#[test]
fn secrets_are_told_from_names_and_addresses() {
    for text in [
        "sk-proj-abcdefghijkl",
        "sk-ant-api03-xxxxxxxxxxxxxxxx",
        "Bearer sk-abcdefghijklmnop",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.x",
        "wJalrXUtnFEMI9K7MDENGbPxRfiCYzEXAMPLE2KEY8",
        "d41d8cd98f00b204e9800998ecf8427e",
    ] {
        assert!(looks_secret(text), "{text}");
    }
    for text in [
        "openai/gpt-5.2",
        "anthropic/claude-sonnet-4-6-20260101",
        "https://gateway.example/v1/some/rather/long/path/to/somewhere",
        "/var/lib/tidegate/keys/and/some/more/Folders/2026/11/24",
        "env:OPENAI_API_KEY",
        "a-perfectly-ordinary-name-that-is-long",
        "10 usd/month",
        "accounts/fireworks/models/llama-v3p1-405b-instruct",
        "sk-short",
    ] {
        assert!(!looks_secret(text), "{text}");
    }
}

#[test]
fn a_line_that_could_not_be_parsed_hides_what_follows_key() {
    let line = r#"  openai: { key: hunter2, type: openai, "secret": "abc", other: env:X, key: env:Y"#;
    let hidden: Vec<&str> = secret_ranges(line).into_iter().map(|(start, end)| &line[start..end]).collect();
    assert_eq!(hidden, ["hunter2", "abc"]);
}
