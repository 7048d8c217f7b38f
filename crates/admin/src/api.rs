//! The router: every handler at its path.
//!
//! Owns the list of handlers and what lies around them. Router and OpenAPI are made from the same list, so that neither
//! has what the other has not. The binary serves it.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{MOST_BODY, Refusal},
    auth,
    control::Control,
    handlers::{calls, health, keys, money, pins, policies, records, sim, status, watch},
};

/// The routes and their description.
pub(crate) fn described() -> OpenApiRouter<Arc<Control>> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(status::status))
        .routes(routes!(status::revision))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::get, keys::edit, keys::remove))
        .routes(routes!(keys::issue))
        .routes(routes!(keys::lend))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(calls::list))
        .routes(routes!(calls::live))
        .routes(routes!(watch::stream))
        .routes(routes!(calls::get))
        .routes(routes!(calls::cut))
        .routes(routes!(money::spend))
        .routes(routes!(money::budgets))
        .routes(routes!(policies::list))
        .routes(routes!(pins::list))
        .routes(routes!(pins::export))
        .routes(routes!(pins::refresh))
        .routes(routes!(pins::forget))
        .routes(routes!(records::audit))
        .routes(routes!(sim::ledger, sim::clear))
        .routes(routes!(crate::openapi::document))
}

/// The control plane's API, ready to be served on its own listener. Bodies are bounded to 1 MiB; headers and idle
/// connections are the listener's to bound.
pub fn router(control: Arc<Control>) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .method_not_allowed_fallback(|| async { Refusal::no_such_method() })
        .fallback(|| async { Refusal::not_found("the control plane has no such path") })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&control), auth::door))
        .with_state(control)
}
