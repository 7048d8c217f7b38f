//! Which headers pass, per dialect and direction. What is on no list stops.
//!
//! Never lets a caller's credential, cookie or hop-by-hop header through to an upstream, whatever the surface handed
//! over; never lets an upstream set a header of the gateway's own. The lists are part of the documentation.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tidegate_core::trace::TraceContext;
use tidegate_protocol::llm::Dialect;

/// Headers that callers of every dialect may send on.
/// The call id is the gateway's own, set by the proxy over whatever a caller sent.
const REQUEST_COMMON: [&str; 5] = ["user-agent", "idempotency-key", "traceparent", "tracestate", "x-tidegate-call-id"];

/// Headers that callers may send on to an OpenAI-compatible upstream. Organisation and project are the account's own
/// affair and come from configuration, never from a caller.
const REQUEST_OPENAI: [&str; 2] = ["openai-beta", "x-client-request-id"];

/// Headers that callers may send on to an upstream that speaks OpenAI's Responses. What a coding agent tells of its
/// machine and its folders (`x-codex-turn-metadata`) is not among them.
const REQUEST_RESPONSES: [&str; 5] =
    ["openai-beta", "x-client-request-id", "x-openai-internal-codex-responses-lite", "session-id", "thread-id"];

/// Headers that callers may send on to an Anthropic-compatible upstream.
const REQUEST_ANTHROPIC: [&str; 3] =
    ["anthropic-version", "anthropic-beta", "anthropic-dangerous-direct-browser-access"];

/// Headers that callers may send on to Bedrock: what InvokeModel has no member in the body for.
const REQUEST_BEDROCK: [&str; 5] = [
    "x-amzn-bedrock-trace",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
];

/// Headers that callers may send on to a Gemini upstream: who calls, and how long he waits. Whose quota counts is the
/// account's own affair.
const REQUEST_GEMINI: [&str; 2] = ["x-goog-api-client", "x-server-timeout"];

/// Headers that callers may also send on to a vendor's own API.
const REQUEST_API: [&str; 3] = ["accept", "range", "if-none-match"];

/// Headers of an answer of a vendor's own API that also pass to callers.
const RESPONSE_API: [&str; 7] = [
    "content-type",
    "content-encoding",
    "content-length",
    "content-disposition",
    "content-range",
    "accept-ranges",
    "etag",
];

/// Headers of an answer that pass to callers whatever the dialect.
const RESPONSE_COMMON: [&str; 2] = ["retry-after", "retry-after-ms"];

/// Prefixes and names of headers of an OpenAI-compatible answer that pass to callers of the same dialect.
const RESPONSE_OPENAI: [&str; 5] =
    ["x-request-id", "x-ratelimit-", "openai-processing-ms", "openai-version", "openai-model"];

/// Prefixes and names of headers of an Anthropic-compatible answer that pass to callers of the same dialect.
const RESPONSE_ANTHROPIC: [&str; 2] = ["request-id", "anthropic-ratelimit-"];

/// Prefixes and names of headers of a Bedrock answer that pass to callers of the same dialect.
const RESPONSE_BEDROCK: [&str; 3] = ["x-amzn-requestid", "x-amzn-errortype", "x-amzn-bedrock-"];

/// Names of headers of a Gemini answer that pass to callers of the same dialect.
const RESPONSE_GEMINI: [&str; 2] = ["server-timing", "x-gemini-service-tier"];

/// The version of the Messages API that is asked for where the caller did not say.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Names of requests, not of what is asked: they change nothing about an answer.
const NAMES_OF_REQUESTS: [&str; 3] = ["x-client-request-id", "session-id", "thread-id"];

/// What a caller's headers ask of an upstream that speaks the same dialect, beside the body: two calls that differ in
/// one of them are two questions.
pub fn asked_beside(headers: &HeaderMap, dialect: Dialect) -> impl Iterator<Item = (&'static str, &HeaderValue)> {
    let telling = request_list(dialect).iter().filter(|name| !NAMES_OF_REQUESTS.contains(name));
    telling.flat_map(|name| headers.get_all(*name).iter().map(move |value| (*name, value)))
}

/// What callers of a dialect may send on to an upstream that speaks it too.
fn request_list(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAiChat => &REQUEST_OPENAI,
        Dialect::OpenAiResponses => &REQUEST_RESPONSES,
        Dialect::Anthropic => &REQUEST_ANTHROPIC,
        Dialect::Bedrock | Dialect::BedrockInvoke => &REQUEST_BEDROCK,
        Dialect::Gemini => &REQUEST_GEMINI,
    }
}

/// What passes of an answer to callers of the same dialect.
fn response_list(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => &RESPONSE_OPENAI,
        Dialect::Anthropic => &RESPONSE_ANTHROPIC,
        Dialect::Bedrock | Dialect::BedrockInvoke => &RESPONSE_BEDROCK,
        Dialect::Gemini => &RESPONSE_GEMINI,
    }
}

/// The headers of a request to a model, without the credential. `same` says whether caller and upstream speak the same
/// dialect: a vendor's headers mean nothing to another vendor.
pub(crate) fn to_model(
    forward: &HeaderMap,
    configured: &HeaderMap,
    dialect: Dialect,
    same: bool,
    stream: bool,
) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(12);
    copy(forward, &REQUEST_COMMON, &mut out);
    if same {
        copy(forward, request_list(dialect), &mut out);
    }
    if dialect == Dialect::Anthropic {
        let version = HeaderName::from_static("anthropic-version");
        out.entry(version).or_insert(HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if stream { dialect.framing().media_type() } else { "application/json" };
    out.insert(header::ACCEPT, HeaderValue::from_static(accept));
    finish(&mut out, configured);
    out
}

/// The headers of a request to a vendor's own API, without the credential.
pub(crate) fn to_provider(
    forward: &HeaderMap,
    configured: &HeaderMap,
    dialect: Dialect,
    content_type: Option<&HeaderValue>,
) -> HeaderMap {
    let mut out = to_model(forward, &HeaderMap::new(), dialect, true, false);
    out.remove(header::CONTENT_TYPE);
    out.remove(header::ACCEPT);
    if let Some(content_type) = content_type {
        out.insert(header::CONTENT_TYPE, content_type.clone());
    }
    copy(forward, &REQUEST_API, &mut out);
    finish(&mut out, configured);
    out
}

/// The headers of a vendor's own API that pass to the caller: those of its dialect, and what says how a body is read.
pub(crate) fn from_provider(answer: &HeaderMap, dialect: Dialect) -> HeaderMap {
    let mut out = from_model(answer, dialect, true);
    copy(answer, &RESPONSE_API, &mut out);
    out
}

/// The headers of a request to an MCP server, without the credential and the session's own.
pub(crate) fn to_server(forward: &HeaderMap, configured: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(10);
    copy(forward, &["user-agent", "traceparent", "tracestate", "x-tidegate-call-id"], &mut out);
    finish(&mut out, configured);
    out
}

/// What every request ends with: no compression that the gateway would have to undo, and what the configuration says.
fn finish(out: &mut HeaderMap, configured: &HeaderMap) {
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    out.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
    for name in configured.keys() {
        out.remove(name);
        for value in configured.get_all(name) {
            out.append(name.clone(), value.clone());
        }
    }
}

/// Names the attempt's own span to whoever gets the request, instead of the one the caller named.
pub(crate) fn trace(headers: &mut HeaderMap, span: Option<TraceContext>) {
    let value = span.and_then(|span| HeaderValue::from_str(&span.header()).ok());
    if let Some(value) = value {
        headers.insert(HeaderName::from_static("traceparent"), value);
    }
}

/// The headers of an upstream's answer that pass to the caller.
pub(crate) fn from_model(answer: &HeaderMap, dialect: Dialect, same: bool) -> HeaderMap {
    let own = if same { response_list(dialect) } else { &[] };
    let passes = |name: &str| {
        RESPONSE_COMMON.contains(&name)
            || own.iter().any(|known| if known.ends_with('-') { name.starts_with(known) } else { name == *known })
    };
    answer.iter().filter(|(name, _)| passes(name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn copy(from: &HeaderMap, names: &[&'static str], to: &mut HeaderMap) {
    for name in names {
        for value in from.get_all(*name) {
            to.append(HeaderName::from_static(name), value.clone());
        }
    }
}

/// Whether an answer's body is of media type `expected`, parameters apart, and not compressed.
pub(crate) fn is_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let plain =
        headers.get(header::CONTENT_ENCODING).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    plain && essence.is_some_and(|essence| essence.eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests;
