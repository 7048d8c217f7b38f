//! Answers and refusals as the caller gets them: the one place that knows how each surface shows a fault.
//!
//! Owns headers and shapes. Never decides; never reads a request's body. The pipeline ends here.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, FaultOrigin, Retry},
};
use tidegate_protocol::llm::{Dialect, ErrorView, Framing};

use crate::{
    array,
    exchange::{Ending, Exchange},
    repeats::Recorded,
    surface::{Surface, error_kind, mcp},
};

/// The body of every answer of the data plane.
pub type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer that is not whole: its connection is broken, so that it does not look as if it were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the upstream's answer broke off")
    }
}

impl std::error::Error for Broken {}

/// The header by which clients of AWS name a request.
const AMAZON_REQUEST_ID: &str = "x-amzn-requestid";

/// The largest unary body whose cost is worth a header.
const LARGEST_COSTED: usize = 1024 * 1024;

/// A whole body.
pub(crate) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A refusal in the surface's own shape. Ends the exchange.
pub(crate) fn refusal(exchange: &mut Exchange, mut fault: Fault) -> Response<Body> {
    if exchange.story.attempts.is_empty() {
        exchange.story.attempts = std::mem::take(&mut fault.attempts);
    } else {
        fault.attempts = Vec::new();
    }
    let bytes = fault_body(exchange, &fault);
    exchange.end(&Ending { status: fault.status, fault: Some(&fault), complete: true });
    let told = bytes.clone();
    let mut response = Response::new(whole(bytes));
    let status = if exchange.surface == Surface::Mcp { mcp::status(exchange, &fault) } else { fault.status };
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    put_common(headers, exchange);
    put_fault(headers, exchange, &fault);
    // What the first caller did wrong, or had no time for, need not be wrong for the others.
    if fault.origin() != FaultOrigin::Client
        && let Some(repeat) = &mut exchange.repeat
    {
        repeat.begin(response.status(), response.headers());
        repeat.push(&told);
        exchange.tell_others(false);
    }
    response
}

/// A whole answer of the upstream, or of the gateway itself. Ends the exchange before it leaves.
pub(crate) fn answer(exchange: &mut Exchange, status: u16, vendor: HeaderMap, bytes: Bytes) -> Response<Body> {
    exchange.keep_response(&bytes);
    exchange.end(&Ending { status, fault: None, complete: true });
    let length = bytes.len();
    let mut response = Response::new(whole(bytes));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = vendor;
    let headers = response.headers_mut();
    if !headers.contains_key(header::CONTENT_TYPE) && length > 0 {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    put_common(headers, exchange);
    if let Some(cost) = exchange.story.cost.filter(|_| length <= LARGEST_COSTED && !exchange.story.is_tool) {
        put(headers, "x-tidegate-cost-usd", &cost.to_usd());
    }
    if let Some(repeat) = &mut exchange.repeat {
        repeat.begin(response.status(), response.headers());
        exchange.tell_others(response.status().is_success());
    }
    response
}

/// An answer that was given before.
pub(crate) fn again(exchange: &Exchange, recorded: &Recorded) -> Response<Body> {
    let mut response = Response::new(whole(recorded.body.clone()));
    *response.status_mut() = recorded.status;
    let headers = response.headers_mut();
    *headers = recorded.headers.clone();
    // What these say is true of the first call only.
    for name in ["x-tidegate-attempts", "x-tidegate-cost-usd", "x-tidegate-receipt"] {
        headers.remove(name);
    }
    put_common(headers, exchange);
    put(headers, "x-tidegate-replayed", &recorded.call.to_string());
    response
}

/// The head of an answer that streams; its body is built by the caller, who owns the exchange from then on.
pub(crate) fn streaming(exchange: &Exchange, status: u16, vendor: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = vendor;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type(exchange));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    put(headers, "x-accel-buffering", "no");
    if exchange.surface == Surface::Model(Dialect::BedrockInvoke) {
        put(headers, "x-amzn-bedrock-content-type", "application/json");
    }
    put_common(headers, exchange);
    response
}

/// Whether the answer is to be one JSON array.
pub(crate) fn is_array(exchange: &Exchange) -> bool {
    exchange.as_array && exchange.surface == Surface::Model(Dialect::Gemini)
}

/// How the surface's streams are framed.
fn media_type(exchange: &Exchange) -> HeaderValue {
    match exchange.surface.dialect().map(Dialect::framing) {
        _ if is_array(exchange) => HeaderValue::from_static("application/json; charset=UTF-8"),
        None | Some(Framing::Sse) => HeaderValue::from_static("text/event-stream; charset=utf-8"),
        Some(framing @ (Framing::EventStream | Framing::EventChunks)) => HeaderValue::from_static(framing.media_type()),
    }
}

/// The agreement to a live session. Ends the exchange: what follows are calls of their own.
pub(crate) fn switching(exchange: &mut Exchange, vendor: HeaderMap) -> Response<Body> {
    let status = StatusCode::SWITCHING_PROTOCOLS;
    exchange.end(&Ending { status: status.as_u16(), fault: None, complete: true });
    let mut response = passing(exchange, status.as_u16(), vendor).map(|()| whole(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// The head of an answer whose body passes as it comes.
pub(crate) fn passing(exchange: &Exchange, status: u16, vendor: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = vendor;
    put_common(response.headers_mut(), exchange);
    response
}

/// The body of a fault in the shape of the exchange's surface.
fn fault_body(exchange: &Exchange, fault: &Fault) -> Bytes {
    match exchange.surface {
        Surface::Model(dialect) => {
            let kept = fault.upstream.as_ref().and_then(|upstream| upstream.body.clone());
            let body = kept.unwrap_or_else(|| with_view(exchange, fault, |view| dialect.error_body(view)));
            if is_array(exchange) { array::of_one(&body) } else { body }
        }
        Surface::Mcp => mcp::fault_body(exchange, fault),
    }
}

/// The event that ends a stream of `dialect` with a fault.
pub(crate) fn fault_event(exchange: &Exchange, dialect: Dialect, fault: &Fault) -> Bytes {
    with_view(exchange, fault, |view| dialect.error_event(view)).raw
}

fn with_view<T>(exchange: &Exchange, fault: &Fault, write: impl FnOnce(&ErrorView<'_>) -> T) -> T {
    let message = message(exchange, fault);
    let call_id = exchange.id.to_string();
    write(&ErrorView {
        status: fault.status,
        kind: error_kind(fault),
        message: &message,
        code: fault.code.as_str(),
        param: fault.pointer.as_deref().filter(|pointer| !pointer.is_empty()),
        call_id: &call_id,
    })
}

/// The sentence of a fault with what was tried, the place, and the call id.
pub(crate) fn message(exchange: &Exchange, fault: &Fault) -> String {
    use std::fmt::Write as _;
    let mut text =
        fault.upstream.as_ref().map_or_else(|| fault.public_message.clone(), |answer| answer.message.clone());
    if let Some(pointer) = fault.pointer.as_ref().filter(|pointer| !pointer.is_empty()) {
        let _ = write!(text, " (at {pointer})");
    }
    if fault.code == FaultCode::UpstreamUnavailable {
        let attempts = if fault.attempts.is_empty() { &exchange.story.attempts } else { &fault.attempts };
        for attempt in attempts.iter().take(8) {
            let status = attempt.status.map(|status| format!(" status {status}")).unwrap_or_default();
            let _ = write!(text, " [{}:{status} {}, {} ms]", attempt.target, attempt.outcome, attempt.millis);
        }
    }
    let _ = write!(text, " [{}]", exchange.id);
    text
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// What every answer says of the call.
fn put_common(headers: &mut HeaderMap, exchange: &Exchange) {
    let story = &exchange.story;
    put(headers, "x-tidegate-call-id", &exchange.id.to_string());
    // Its clients show this one to their users; where the vendor gave one, it stands already.
    if exchange.surface.as_str() == Dialect::Bedrock.surface() && !headers.contains_key(AMAZON_REQUEST_ID) {
        put(headers, AMAZON_REQUEST_ID, &exchange.id.to_string());
    }
    put(headers, "x-tidegate-revision", &exchange.snapshot.revision.to_string());
    put(headers, "x-tidegate-cache", story.cache.as_str());
    if let Some(target) = &exchange.target {
        put(headers, "x-tidegate-served-by", &target.id.to_string());
    } else if let Some(served_by) = &story.served_by {
        put(headers, "x-tidegate-served-by", served_by);
    }
    if !story.attempts.is_empty() {
        put(headers, "x-tidegate-attempts", &story.attempts.len().to_string());
    }
    if let Some(receipt) = story.receipt {
        put(headers, "x-tidegate-receipt", &receipt.to_string());
    }
    if !story.losses.is_empty() {
        let losses: Vec<&str> = story.losses.iter().take(16).map(AsRef::as_ref).collect();
        put(headers, "x-tidegate-loss", &losses.join(", "));
    }
    let whole = clock::now().saturating_duration_since(exchange.started);
    let own = whole.saturating_sub(story.upstream);
    put(headers, "server-timing", &format!("gateway;dur={}, upstream;dur={}", millis(own), millis(story.upstream)));
}

/// Milliseconds with three decimal places.
fn millis(duration: Duration) -> String {
    let micros = duration.as_micros();
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

fn put_fault(headers: &mut HeaderMap, exchange: &Exchange, fault: &Fault) {
    put(headers, "x-tidegate-error", fault.code.as_str());
    if fault.code == FaultCode::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
    }
    if !fault.policies.is_empty() {
        put(headers, "x-tidegate-policies", &fault.policies.join(", "));
    }
    let retry = match fault.retry {
        Retry::No => false,
        Retry::Yes => true,
        Retry::After(pause) => {
            let seconds = pause.as_millis().div_ceil(1_000).max(1);
            put(headers, "retry-after", &seconds.to_string());
            true
        }
    };
    if let Surface::Model(dialect) = exchange.surface {
        for (name, value) in with_view(exchange, fault, |view| dialect.error_headers(view)) {
            put(headers, name, &value);
        }
        put(headers, "x-should-retry", if retry { "true" } else { "false" });
    }
}
