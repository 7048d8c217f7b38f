//! The door of the control plane: host, origin and token are checked here, before any handler.
//!
//! Owns the one place that compares the admin token. Fails closed: what the access table does not have needs the token
//! and finds nothing behind it. The router lays it around everything.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use subtle::ConstantTimeEq;
use tidegate_core::{ids::Digest, secret::Secret};

use crate::{
    access::{self, Role},
    answer::Refusal,
    control::Control,
    host::Names,
};

/// What every answer carries: it is data, for one reader, not to be kept, framed or guessed at.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Lets a request through that may do what it asks.
pub(crate) async fn door(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let mut response = match may(&control, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn may(control: &Control, request: &Request) -> Result<(), Refusal> {
    let active = control.live.current();
    let names = Names {
        hosts: &active.snapshot.hosts,
        public_url: active.snapshot.public_url.as_deref(),
        loopback: control.loopback,
    };
    names.check(request.uri(), request.headers())?;
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match path.and_then(|path| access::role(request.method(), path)) {
        Some(Role::Public) => Ok(()),
        Some(Role::Admin) | None if token_fits(&control.admin_token, request.headers()) => Ok(()),
        Some(Role::Admin) | None => Err(Refusal::unauthenticated()),
    }
}

/// Whether the request has exactly one credential and it is the admin token. Digests are compared, so that neither
/// place of a difference nor length shows in the time it takes.
fn token_fits(token: &Secret, headers: &HeaderMap) -> bool {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(credential), None) = (credentials.next(), credentials.next()) else { return false };
    let Some((scheme, shown)) = credential.to_str().ok().and_then(|text| text.split_once(' ')) else { return false };
    let same = Digest::of(shown.trim().as_bytes()).as_bytes().ct_eq(Digest::of(token.expose().as_bytes()).as_bytes());
    scheme.eq_ignore_ascii_case("bearer") && !token.expose().is_empty() && bool::from(same)
}
