//! Who gets in.

use std::{collections::BTreeSet, fs, path::Path};

use http::{HeaderValue, Method, StatusCode, header};
use tidegate_config::check::Mode;
use tidegate_core::secret::Secret;

use crate::{
    MATRIX, Role,
    openapi::{described, openapi, operations},
    testing::{Plane, TOKEN, request},
};

/// Every method and path that the router's own description has.
fn described_routes() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for (path, item) in &mut described().paths.paths {
        for (method, _) in operations(item) {
            routes.insert((method.to_string(), path.clone()));
        }
    }
    routes
}

fn concrete(path: &str) -> String {
    path.replace("{id}", "none").replace("{server}", "none").replace("{tool}", "none")
}

#[tokio::test]
async fn every_admin_route_has_a_role() {
    let matrix: BTreeSet<(String, String)> =
        MATRIX.iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(matrix.len(), MATRIX.len(), "a route stands twice in the matrix");
    assert_eq!(described_routes(), matrix);

    let plane = Plane::new(Mode::Up);
    // Its stream would not end otherwise.
    plane.control.feed.close();
    let public: Vec<&str> = MATRIX.iter().filter(|route| route.role == Role::Public).map(|route| route.path).collect();
    assert_eq!(public, ["/healthz", "/readyz", "/metrics"]);
    for route in &MATRIX {
        let path = concrete(route.path);
        for token in
            [None, Some(""), Some("wrong"), Some("the-admin-token-of-the-test"), Some("the-admin-token-of-the-tests1")]
        {
            let answer = plane.send(request(route.method.as_str(), &path, token, "")).await;
            match route.role {
                Role::Public => assert_eq!(answer.status, StatusCode::OK, "{route:?}"),
                Role::Admin => {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route:?} {token:?}");
                    assert_eq!(answer.code(), "unauthenticated");
                    assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
                }
            }
        }
        let answer = plane.send(request(route.method.as_str(), &path, Some(TOKEN), "")).await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{route:?}");
    }
}

#[tokio::test]
async fn no_fail_open_dashboard() {
    // No token was set: nothing opens, the empty one least of all.
    let plane = Plane::with(Mode::Up, |control| control.admin_token = Secret::new(String::new()));
    for token in [None, Some(""), Some(" "), Some("null"), Some(TOKEN)] {
        for path in ["/api/v1/status", "/api/v1/keys", "/api/v1/nothing"] {
            assert_eq!(plane.send(request("GET", path, token, "")).await.status, StatusCode::UNAUTHORIZED, "{token:?}");
        }
    }
    let plane = Plane::new(Mode::Up);
    // What there is not, and what is spelled otherwise, is not open either.
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/status/",
        "/API/v1/status",
        "//api/v1/status",
        "/healthz/../api/v1/status",
        "/api/v1/%73tatus",
        "/api/v1/keys/%2e%2e",
        "/console",
        "/v1/models",
    ] {
        let answer = plane.send(request("GET", path, None, "")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    // Other methods on open paths.
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(plane.send(request(method, "/readyz", None, "")).await.status, StatusCode::UNAUTHORIZED, "{method}");
    }
    // Other places and schemes for the token.
    for (name, value) in [
        ("x-api-key", TOKEN.to_owned()),
        ("cookie", format!("token={TOKEN}")),
        ("authorization", TOKEN.to_owned()),
        ("authorization", format!("Basic {TOKEN}")),
        ("authorization", format!("Bearer{TOKEN}")),
        ("x-forwarded-user", "admin".to_owned()),
    ] {
        let mut asked = request("GET", "/api/v1/status", None, "");
        asked.headers_mut().insert(header::HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        assert_eq!(plane.send(asked).await.status, StatusCode::UNAUTHORIZED, "{name}");
    }
    let query = format!("/api/v1/status?token={TOKEN}&access_token={TOKEN}");
    assert_eq!(plane.send(request("GET", &query, None, "")).await.status, StatusCode::UNAUTHORIZED);
    let mut twice = request("GET", "/api/v1/status", Some(TOKEN), "");
    twice.headers_mut().append(header::AUTHORIZATION, HeaderValue::from_static("Bearer other"));
    assert_eq!(plane.send(twice).await.status, StatusCode::UNAUTHORIZED);
    // A caller's key opens the data plane only.
    let (_, key) = plane.key(r#"{"name":"caller"}"#).await;
    assert_eq!(plane.send(request("GET", "/api/v1/status", Some(&key), "")).await.status, StatusCode::UNAUTHORIZED);
}

/// Everything under the crate's `src`.
fn sources(dir: &Path, texts: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else {
            texts.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn no_spawn_from_api() {
    // Nothing in this crate can start a process.
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    assert!(texts.len() > 15);
    let banned = [["process", "::Command"].concat(), ["Command", "::new"].concat(), ["lib", "c::"].concat()];
    for (file, text) in &texts {
        for word in &banned {
            assert!(!text.contains(word), "{file} has {word}");
        }
    }
    // No operation takes a command, an argument list or a server's definition.
    let described: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
    let schemas = described["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
            assert!(!["command", "args", "env", "exec", "shell", "script"].contains(&field.as_str()), "{name}.{field}");
        }
    }
    let plane = Plane::new(Mode::Up);
    for body in [
        r#"{"name":"a","command":["touch","/tmp/x"]}"#,
        r#"{"name":"a","mcp_servers":{"x":{"command":["sh"]}}}"#,
        r#"{"name":"a","allow":{"models":[],"command":"sh"}}"#,
    ] {
        assert_eq!(plane.post("/api/v1/keys", body).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    for path in ["/api/v1/mcp_servers", "/api/v1/mcp_servers/test", "/api/v1/mcp/test", "/mcp-rest/test/connection"] {
        assert_eq!(plane.post(path, r#"{"command":"sh"}"#).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn dns_rebinding_host_and_origin() {
    let plane = Plane::new(Mode::Up);
    for route in &MATRIX {
        for (host, origin) in [
            ("evil.example", None),
            ("127.0.0.1.evil.example:8788", None),
            ("127.0.0.1:8788", Some("http://evil.example:8788")),
            ("127.0.0.1:8788", Some("null")),
        ] {
            let mut asked = request(route.method.as_str(), &concrete(route.path), Some(TOKEN), "");
            asked.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                asked.headers_mut().insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let answer = plane.send(asked).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?} {host} {origin:?}");
            assert_eq!(answer.code(), "forbidden_host");
            assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        }
    }
    for host in ["localhost:9", "[::1]:8788", "gateway.example"] {
        let mut asked = request("GET", "/api/v1/status", Some(TOKEN), "");
        asked.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
        asked.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("http://localhost:5173"));
        assert_eq!(plane.send(asked).await.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn every_answer_has_security_headers() {
    let plane = Plane::new(Mode::Up);
    for (path, token) in
        [("/healthz", None), ("/api/v1/status", Some(TOKEN)), ("/api/v1/status", None), ("/x", Some(TOKEN))]
    {
        let answer = plane.send(request("GET", path, token, "")).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers.get(name).unwrap(), value, "{path}");
        }
    }
    // Unknown paths and methods answer in the same shape.
    let missing = plane.get("/api/v1/nothing").await;
    assert_eq!((missing.status, missing.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
    let wrong = plane.post("/api/v1/status", "").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
}

#[tokio::test]
async fn the_description_is_stable_and_says_who_may_call() {
    assert_eq!(described().to_pretty_json().unwrap(), openapi());
    let described: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    for route in &MATRIX {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &described["paths"][route.path][method.as_str()];
        match route.role {
            Role::Public => assert_eq!(operation["security"], serde_json::json!([{}]), "{route:?}"),
            Role::Admin => {
                assert_eq!(operation["security"], serde_json::json!([{ "admin_token": [] }]), "{route:?}");
                let body = &operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(body, "#/components/schemas/ErrorBody", "{route:?}");
            }
        }
    }
    // Every reference leads somewhere.
    let text = openapi();
    for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(described["components"]["schemas"].get(name).is_some(), "{name}");
    }
    let plane = Plane::new(Mode::Up);
    assert_eq!(plane.get("/api/v1/openapi.json").await.text, text);
    assert_eq!(MATRIX.iter().filter(|route| route.method == Method::DELETE).count(), 3);
}
