//! The API's description in OpenAPI.
//!
//! Owns what is said about every operation alike: who may call it and what a refusal looks like. Made from the router's
//! own list of handlers and the access table; never written by hand.

use std::sync::OnceLock;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use utoipa::openapi::{
    ContentBuilder, Info, OpenApi, Ref, RefOr, ResponseBuilder,
    path::{Operation, PathItem},
    schema::ComponentsBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use crate::{
    access::{self, Role},
    answer::{ErrorBody, ErrorDetail},
    api,
};

/// How the admin token is called in the description.
const TOKEN: &str = "admin_token";

/// The description of the control plane's API: OpenAPI 3.1 as indented JSON, the same text for the same program.
#[must_use]
pub fn openapi() -> String {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| described().to_pretty_json().unwrap_or_default()).clone()
}

pub(crate) fn described() -> OpenApi {
    let mut api = api::described().into_openapi();
    let mut info = Info::new("Tidegate control plane", env!("CARGO_PKG_VERSION"));
    info.description = Some("Keys, calls, spend, policies and the state of the gateway.".to_owned());
    api.info = info;
    let mut components = api.components.take().unwrap_or_default();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The admin token")).build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    let errors = ComponentsBuilder::new().schema_from::<ErrorBody>().schema_from::<ErrorDetail>().build();
    components.schemas.extend(errors.schemas);
    api.components = Some(components);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete(operation, access::role(&method, path));
        }
    }
    api
}

/// Says who may call an operation, and what a refusal looks like.
fn complete(operation: &mut Operation, role: Option<Role>) {
    if role == Some(Role::Public) {
        operation.security = Some(vec![SecurityRequirement::default()]);
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new(TOKEN, std::iter::empty::<String>())]);
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    let refusal = ResponseBuilder::new().description("Not done: the code says why").content("application/json", body);
    operation.responses.responses.insert("default".to_owned(), RefOr::T(refusal.build()));
}

/// The operations of a path.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, item.get.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
        (Method::OPTIONS, item.options.as_mut()),
        (Method::HEAD, item.head.as_mut()),
        (Method::PATCH, item.patch.as_mut()),
        (Method::TRACE, item.trace.as_mut()),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "meta", responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(crate) async fn document() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], openapi()).into_response()
}
