//! What passes and what stops, in both directions.

use super::*;

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn a_callers_credentials_cookies_and_hop_by_hop_headers_never_pass() {
    let hostile = map(&[
        ("authorization", "Bearer tg_x"),
        ("x-api-key", "tg_x"),
        ("x-goog-api-key", "tg_x"),
        ("api-key", "tg_x"),
        ("cookie", "a=b"),
        ("proxy-authorization", "x"),
        ("connection", "x-evil"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("host", "evil.example"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-tidegate-session", "s"),
        ("openai-organization", "org-other"),
        ("mcp-session-id", "other"),
    ]);
    for dialect in Dialect::ALL {
        let out = to_model(&hostile, &HeaderMap::new(), dialect, true, false);
        for name in hostile.keys() {
            assert!(!out.contains_key(name), "{name} passes to {dialect:?}");
        }
    }
    let out = to_server(&hostile, &HeaderMap::new());
    for name in hostile.keys() {
        assert!(!out.contains_key(name), "{name} passes to a server");
    }
}

#[test]
fn vendor_headers_pass_to_their_own_dialect_only() {
    let sent = map(&[("anthropic-beta", "context-1m"), ("anthropic-version", "2023-01-01"), ("openai-beta", "x=v2")]);
    let out = to_model(&sent, &HeaderMap::new(), Dialect::Anthropic, true, true);
    assert_eq!(out.get("anthropic-beta").unwrap(), "context-1m");
    assert_eq!(out.get("anthropic-version").unwrap(), "2023-01-01");
    assert!(!out.contains_key("openai-beta"));
    let out = to_model(&sent, &HeaderMap::new(), Dialect::OpenAiChat, false, true);
    assert!(!out.contains_key("anthropic-beta") && !out.contains_key("openai-beta"));
    let out = to_model(&HeaderMap::new(), &HeaderMap::new(), Dialect::Anthropic, false, true);
    assert_eq!(out.get("anthropic-version").unwrap(), ANTHROPIC_VERSION);
}

#[test]
fn what_an_agent_tells_of_its_machine_stops_here() {
    let sent = map(&[
        ("x-openai-internal-codex-responses-lite", "true"),
        ("session-id", "s"),
        ("x-codex-turn-metadata", "{\"workspaces\":[]}"),
    ]);
    let out = to_model(&sent, &HeaderMap::new(), Dialect::OpenAiResponses, true, true);
    assert_eq!(out.get("x-openai-internal-codex-responses-lite").unwrap(), "true");
    assert!(out.contains_key("session-id") && !out.contains_key("x-codex-turn-metadata"));
    let out = to_model(&sent, &HeaderMap::new(), Dialect::OpenAiResponses, false, true);
    assert!(!out.contains_key("session-id") && !out.contains_key("x-openai-internal-codex-responses-lite"));
}

#[test]
fn what_the_configuration_says_wins() {
    let sent = map(&[("user-agent", "client/1")]);
    let configured = map(&[("user-agent", "fixed/1"), ("openai-organization", "org-1")]);
    let out = to_model(&sent, &configured, Dialect::OpenAiChat, true, false);
    assert_eq!(out.get_all("user-agent").iter().collect::<Vec<_>>(), ["fixed/1"]);
    assert_eq!(out.get("openai-organization").unwrap(), "org-1");
}

#[test]
fn an_answers_headers_pass_by_the_dialects_list() {
    let answer = map(&[
        ("x-request-id", "r"),
        ("x-ratelimit-remaining-tokens", "9"),
        ("request-id", "a"),
        ("anthropic-ratelimit-requests-limit", "5"),
        ("retry-after", "3"),
        ("set-cookie", "a=b"),
        ("x-tidegate-call-id", "forged"),
        ("server", "x"),
        ("x-request-id-internal", "no"),
    ]);
    let names = |headers: HeaderMap| {
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(from_model(&answer, Dialect::OpenAiChat, true)),
        ["retry-after", "x-ratelimit-remaining-tokens", "x-request-id"]
    );
    assert_eq!(
        names(from_model(&answer, Dialect::Anthropic, true)),
        ["anthropic-ratelimit-requests-limit", "request-id", "retry-after"]
    );
    assert_eq!(names(from_model(&answer, Dialect::Anthropic, false)), ["retry-after"]);
}

#[test]
fn a_compressed_or_foreign_body_is_not_taken_for_what_was_asked() {
    assert!(is_media_type(&map(&[("content-type", "Text/Event-Stream; charset=utf-8")]), "text/event-stream"));
    assert!(!is_media_type(&map(&[("content-type", "text/html")]), "text/event-stream"));
    assert!(!is_media_type(&map(&[]), "application/json"));
    let gzip = map(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
    assert!(!is_media_type(&gzip, "application/json"));
}
