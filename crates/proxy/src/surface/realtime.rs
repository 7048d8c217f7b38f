//! OpenAI's Realtime API over a WebSocket: `/v1/realtime?model=…`.
//!
//! Owns the handshake's form (RFC 6455, section 4.2) and what browsers, which can set no headers, say in the list of
//! protocols: the key, which is moved into its header before anything else sees the request. Called by the surfaces'
//! table and, for the key, before it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use tidegate_core::fault::{Fault, FaultCode};
use tidegate_protocol::llm::Dialect;

use super::{Endpoint, Entrance, Surface, only, percent_decoded};
use crate::server::Kept;

const SURFACE: Surface = Surface::Model(Dialect::OpenAiChat);

/// The protocol that both sides speak.
const PROTOCOL: &str = "realtime";

/// How a browser says its key, and which version it wants.
const KEY: &str = "openai-insecure-api-key.";
const VERSION: &str = "openai-beta.";

/// A connection that becomes a live session once the call is allowed.
pub(crate) struct Upgrading {
    pub(crate) on: OnUpgrade,
    /// The client's challenge.
    pub(crate) key: HeaderValue,
    /// Whether the client offered the protocol by its name, and so wants it named.
    pub(crate) named: bool,
    pub(crate) kept: Kept,
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

/// Moves what a browser says in the list of protocols into the headers where others say it.
pub(super) fn take_key(headers: &mut HeaderMap) {
    if !is_upgrade(headers) {
        return;
    }
    let mut found: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for protocol in protocols(headers) {
        if let Some(key) = protocol.strip_prefix(KEY)
            && let Ok(mut value) = HeaderValue::from_str(key)
        {
            value.set_sensitive(true);
            found.push((HeaderName::from_static("x-api-key"), value));
        }
        let version = protocol.strip_prefix(VERSION).and_then(|version| version.split_once('-'));
        if let Some((name, version)) = version
            && let Ok(value) = HeaderValue::from_str(&format!("{name}={version}"))
        {
            found.push((HeaderName::from_static("openai-beta"), value));
        }
    }
    let named = protocols(headers).any(|protocol| protocol == PROTOCOL);
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if named {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    for (name, value) in found {
        headers.append(name, value);
    }
}

/// A path of this surface; `None` where it is one of another.
pub(super) fn classify(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Result<Entrance, (Surface, Fault)>> {
    // However it is spelt, it is no path of the vendor's own API.
    if !percent_decoded(uri.path()).eq_ignore_ascii_case("/v1/realtime") {
        return None;
    }
    Some(asked(method, uri, || shaken(headers)).map_err(|fault| (SURFACE, fault)))
}

/// What the path asks, where it is asked as it must be and the handshake is `shaken`.
pub(super) fn asked(method: &Method, uri: &Uri, shaken: impl FnOnce() -> Result<(), Fault>) -> Result<Entrance, Fault> {
    if *method != Method::GET {
        return Err(only(uri.path(), &Method::GET));
    }
    shaken()?;
    let mut model = None;
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "model" || model.is_some() {
            return Err(Fault::new(
                FaultCode::InvalidRequest,
                "A live session takes `model` in its address, once, and nothing else.",
            ));
        }
        model = Some(percent_decoded(value));
    }
    let model = model.filter(|model| !model.is_empty() && model.len() <= 256 && !model.contains(char::is_control));
    let model = model.ok_or_else(|| {
        Fault::new(FaultCode::InvalidRequest, "A live session needs a model: add `?model=…` to the address.")
    })?;
    Ok(Entrance { surface: SURFACE, endpoint: Endpoint::Live(model) })
}

/// Refuses what is no handshake that can be answered.
pub(super) fn shaken(headers: &HeaderMap) -> Result<(), Fault> {
    if is_upgrade(headers) && is_handshake(headers) { Ok(()) } else { Err(no_handshake()) }
}

/// A path of a WebSocket that is asked for otherwise.
pub(super) fn no_handshake() -> Fault {
    let mut fault = Fault::new(
        FaultCode::InvalidRequest,
        "This path is a WebSocket's: open one (RFC 6455, version 13, over HTTP/1.1).",
    );
    fault.status = 426;
    fault
}

/// Whether the headers are those of a handshake that can be answered.
fn is_handshake(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks = connection.flat_map(|list| list.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().is_some_and(|key| key.len() == 24) && keys.next().is_none();
    asks && key && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
}

/// Takes the connection out of a request that asks for a WebSocket, and the headers that are about the connection alone.
pub(crate) fn upgrading(head: &mut Parts) -> Option<Box<Upgrading>> {
    let kept = head.extensions.remove::<Kept>()?;
    if !is_upgrade(&head.headers) || !is_handshake(&head.headers) {
        return None;
    }
    let on = head.extensions.remove::<OnUpgrade>()?;
    let key = head.headers.remove(header::SEC_WEBSOCKET_KEY)?;
    let named = head.headers.remove(header::SEC_WEBSOCKET_PROTOCOL).is_some();
    Some(Box::new(Upgrading { on, key, named, kept }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &'static str) -> HeaderMap {
        let pairs = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", protocols),
        ];
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_browsers_key_is_moved_and_is_seen_by_nobody_else() {
        let mut headers = headers("realtime, openai-insecure-api-key.tg_a, openai-beta.realtime-v1");
        take_key(&mut headers);
        assert_eq!(headers.get("x-api-key").unwrap(), "tg_a");
        assert_eq!(headers.get("openai-beta").unwrap(), "realtime=v1");
        assert_eq!(headers.get("sec-websocket-protocol").unwrap(), "realtime");
        assert!(headers.get("x-api-key").unwrap().is_sensitive());
    }

    #[test]
    fn a_session_names_one_model_and_nothing_else() {
        let at = |uri: &'static str| classify(&Method::GET, &Uri::from_static(uri), &headers("realtime")).unwrap();
        let entrance = at("/v1/realtime?model=openai%2Fgpt-realtime").unwrap();
        assert_eq!(entrance.endpoint, Endpoint::Live("openai/gpt-realtime".to_owned()));
        assert!(at("/v1/%72ealtime?model=m").is_ok(), "another spelling is no other path");
        for uri in [
            "/v1/realtime",
            "/v1/realtime?model=",
            "/v1/realtime?model=a&model=b",
            "/v1/realtime?model=a&call_id=rtc_1",
            "/v1/realtime?model=a&intent=transcription",
            "/v1/realtime?model=a%00",
        ] {
            assert_eq!(at(uri).unwrap_err().1.status, 400, "{uri}");
        }
        let uri = Uri::from_static("/v1/realtime?model=a");
        let plain = classify(&Method::GET, &uri, &HeaderMap::new()).unwrap();
        assert_eq!(plain.unwrap_err().1.status, 426);
        let posted = classify(&Method::POST, &uri, &headers("realtime")).unwrap();
        assert_eq!(posted.unwrap_err().1.status, 405);
        assert!(classify(&Method::GET, &Uri::from_static("/v1/realtime/sessions"), &headers("realtime")).is_none());
    }
}
