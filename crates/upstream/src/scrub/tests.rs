//! What an upstream's text looks like once secrets are out of it.

use tidegate_core::secret::Secret;

use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn what_came_from_references_is_a_secret_and_a_plain_header_is_not() {
    let mut headers = HeaderMap::new();
    headers.insert("x-plain", http::HeaderValue::from_static("not-a-secret-value"));
    let mut value = http::HeaderValue::from_static("secret-of-a-header");
    value.set_sensitive(true);
    headers.insert("x-extra", value);
    let auth = Auth::Bearer(secret("secret-of-the-key"));
    let secrets = secrets(&auth, &headers);
    let out = scrub("secret-of-a-header secret-of-the-key not-a-secret-value", &secrets);
    assert_eq!(out, "[removed] [removed] not-a-secret-value");
}

#[test]
fn upstream_key_echo_is_scrubbed() {
    let key = secret("my-own-provider-key-1234");
    let text = r#"{"error":{"message":"Incorrect API key provided: my-own-provider-key-1234. Find it at x."}}"#;
    let out = scrub(text, &[key.expose()]);
    assert!(!out.contains("my-own-provider-key"), "{out}");
    assert!(out.contains("Incorrect API key provided: [removed]"), "{out}");
}

#[test]
fn anything_that_looks_like_a_key_is_masked() {
    for (text, expected) in [
        ("key sk-proj-abcdefgh1234 is bad", "key [removed] is bad"),
        ("sk-ant-api03-AAAA***zzzz", "[removed]"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: [removed]"),
        ("\"AIzaSyA1234567890\"", "\"[removed]\""),
        ("two sk-aaaaaaaaaa sk-bbbbbbbbbb", "two [removed] [removed]"),
    ] {
        assert_eq!(scrub(text, &[""; 0]), expected);
    }
}

#[test]
fn what_is_no_key_stays_and_is_not_copied() {
    for text in ["", "a task-oriented answer", "risk-adjusted-returns", "sk-short", "prompt is too long: 9 > 8", "pk-é"]
    {
        assert!(matches!(scrub(text, &[""; 0]), Cow::Borrowed(same) if same == text), "{text}");
    }
}

#[test]
fn an_escaped_echo_is_found() {
    let key = secret("quo\"ted-secret");
    let out = scrub(r#"{"m":"quo\"ted-secret"}"#, &[key.expose()]);
    assert_eq!(out, r#"{"m":"[removed]"}"#);
}
