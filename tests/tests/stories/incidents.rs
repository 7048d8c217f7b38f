//! What went wrong elsewhere, tried here.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    gateway::{Start, question},
    http,
};

/// Sends raw bytes and reads until the other side closes or falls silent.
async fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(count)) = timeout(Duration::from_millis(700), stream.read(&mut buffer)).await {
        if count == 0 {
            break;
        }
        heard.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// CVE-2025-4366, CVE-2026-2833, CVE-2026-2835, CVE-2026-2836: two readers of one connection must not disagree on where
/// a request ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_smuggling_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let body = question("sim/chat", "outer", false).to_string();
    let inner_body = question("sim/chat", "smuggled", false).to_string();
    let inner = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{inner_body}",
        gateway.key,
        inner_body.len()
    );
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = |more: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{more}\r\n\r\n",
            gateway.key
        )
    };
    let (length, whole) = (body.len(), body.len() + inner.len());
    let cases = [
        ("two lengths", head(&format!("content-length: {length}\r\ncontent-length: {whole}")) + &body + &inner),
        ("two lengths in one field", head(&format!("content-length: {length}, {whole}")) + &body + &inner),
        ("a signed length", head(&format!("content-length: +{length}")) + &body + &inner),
        ("a length in hexadecimal", head(&format!("content-length: 0x{length:x}")) + &body + &inner),
        ("chunked is not last", head("transfer-encoding: chunked, identity") + &chunked + &inner),
        ("an unknown coding", head("transfer-encoding: xchunked") + &chunked + &inner),
        ("a blank before the colon", head(&format!("content-length : {length}")) + &body + &inner),
        ("a folded field", head(&format!("x-a: b\r\n content-length: {whole}\r\ncontent-length: {length}")) + &body),
        (
            "a bare carriage return",
            head(&format!("x-a: b\rcontent-length: {whole}\r\ncontent-length: {length}")) + &body,
        ),
        (
            "a chunk of overflowing size",
            head("transfer-encoding: chunked") + "fffffffffffffffff\r\n" + &body + "\r\n0\r\n\r\n" + &inner,
        ),
        (
            "a chunk whose size is no number",
            head("transfer-encoding: chunked") + "zz\r\n" + &body + "\r\n0\r\n\r\n" + &inner,
        ),
    ];
    for (name, request) in cases {
        let heard = raw(&address, request.as_bytes()).await;
        assert!(!heard.contains("smuggled"), "{name}: {heard}");
    }
    // Where both framings stand, chunked counts, and nothing of the connection is used after it unless it is a request
    // of its own, which then is answered as such and once.
    let both = head(&format!("content-length: {whole}\r\ntransfer-encoding: chunked")) + &chunked;
    let heard = raw(&address, both.as_bytes()).await;
    assert!(heard.matches("HTTP/1.1 ").count() <= 1, "{heard}");
    let smuggled = gateway.sim_requests().await.len();
    assert!(smuggled <= 3, "{smuggled} requests reached the simulator");
}

/// CVE-2026-47102: a caller's key opens nothing on the control plane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_self_promotion() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let bearer = format!("Bearer {}", gateway.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = json!({"name": "better", "allow": {"models": ["*"], "mcp_servers": ["*"]}}).to_string();
    for (method, path) in [
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/keys"),
        ("POST", "/api/v1/keys"),
        ("POST", "/api/v1/keys/quick-start/rotate"),
        ("GET", "/api/v1/calls"),
        ("GET", "/api/v1/openapi.json"),
    ] {
        let answer = http::send(method, &format!("{}{path}", gateway.admin), &headers, body.clone()).await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
        let answer = http::send(method, &format!("{}{path}", gateway.url), &headers, body.clone()).await;
        assert_eq!(answer.status, 404, "the data plane has no {method} {path}: {}", answer.text());
    }
    let keys = gateway.show("/api/v1/keys").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
}

/// GHSA-g53w-w6mj-hrpp: every installation has secrets of its own, and none of them can be read from the list of
/// processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_default_secret_no_secret_in_argv() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Start::new("up", one.path()).run().await;
    let second = Start::new("up", other.path()).run().await;
    let secrets = |folder: &tempfile::TempDir| {
        ["pepper", "admin-token", "audit-log.key"]
            .map(|name| std::fs::read_to_string(folder.path().join("data/keys").join(name)).unwrap().trim().to_owned())
    };
    let (mine, theirs) = (secrets(&one), secrets(&other));
    for (a, b) in mine.iter().zip(&theirs) {
        assert!(a.len() >= 32 && a != b);
    }
    assert_ne!(first.key, second.key);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(one.path().join("data").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("keys"), mode("keys/pepper"), mode("keys/admin-token")), (0o700, 0o600, 0o600));
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(&first.key) && !mine.iter().any(|secret| line.contains(secret.as_str())));
    }
}
