//! Who may do what on the control plane: every route and method with the role that it takes.
//!
//! Owns the table, which `auth` enforces and OpenAPI shows. A route that is not in it is open to nobody; a test walks
//! the router's own description and fails where one is missing.

use http::Method;

/// What a request must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing: liveness, readiness, metrics.
    Public,
    /// The admin token.
    Admin,
}

/// One route and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method. `HEAD` goes with `GET`.
    pub method: Method,
    /// The path as the router has it, parameters in braces.
    pub path: &'static str,
    /// What it takes.
    pub role: Role,
}

const fn route(method: Method, path: &'static str, role: Role) -> Route {
    Route { method, path, role }
}

/// Every route and method of the control plane's API.
pub static MATRIX: [Route; 30] = [
    route(Method::GET, "/healthz", Role::Public),
    route(Method::GET, "/readyz", Role::Public),
    route(Method::GET, "/metrics", Role::Public),
    route(Method::GET, "/api/v1/status", Role::Admin),
    route(Method::GET, "/api/v1/keys", Role::Admin),
    route(Method::POST, "/api/v1/keys", Role::Admin),
    route(Method::GET, "/api/v1/keys/{id}", Role::Admin),
    route(Method::PATCH, "/api/v1/keys/{id}", Role::Admin),
    route(Method::DELETE, "/api/v1/keys/{id}", Role::Admin),
    route(Method::POST, "/api/v1/keys/{id}/issue", Role::Admin),
    route(Method::POST, "/api/v1/keys/{id}/lend", Role::Admin),
    route(Method::POST, "/api/v1/keys/{id}/rotate", Role::Admin),
    route(Method::POST, "/api/v1/keys/{id}/revoke", Role::Admin),
    route(Method::GET, "/api/v1/calls", Role::Admin),
    route(Method::GET, "/api/v1/calls/live", Role::Admin),
    route(Method::GET, "/api/v1/calls/stream", Role::Admin),
    route(Method::GET, "/api/v1/calls/{id}", Role::Admin),
    route(Method::POST, "/api/v1/calls/{id}/cut", Role::Admin),
    route(Method::GET, "/api/v1/spend", Role::Admin),
    route(Method::GET, "/api/v1/budgets", Role::Admin),
    route(Method::GET, "/api/v1/policies", Role::Admin),
    route(Method::GET, "/api/v1/mcp/pins", Role::Admin),
    route(Method::GET, "/api/v1/mcp/pins/export", Role::Admin),
    route(Method::POST, "/api/v1/mcp/pins/{server}/refresh", Role::Admin),
    route(Method::DELETE, "/api/v1/mcp/pins/{server}/{tool}", Role::Admin),
    route(Method::GET, "/api/v1/audit", Role::Admin),
    route(Method::GET, "/api/v1/revisions/current", Role::Admin),
    route(Method::GET, "/api/v1/sim/ledger", Role::Admin),
    route(Method::DELETE, "/api/v1/sim/ledger", Role::Admin),
    route(Method::GET, "/api/v1/openapi.json", Role::Admin),
];

/// The role that a route takes; `None` where the table does not have it.
pub(crate) fn role(method: &Method, path: &str) -> Option<Role> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    MATRIX.iter().find(|route| route.method == *method && route.path == path).map(|route| route.role)
}
