//! What is wrong with a request, told in the shape of the surface it came to.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    gateway::{Gateway, Start, key},
    http::{Answer, send},
};

/// Where a request goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    OpenAi,
    Anthropic,
    Mcp,
}

impl Surface {
    const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Mcp];

    fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
            Self::Mcp => "/mcp/sim",
        }
    }

    /// What is wrong with the shape of an error.
    fn misshapen(self, body: &Value) -> Option<&'static str> {
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        match self {
            Self::OpenAi if !(text("/error/message") && text("/error/type")) => Some("no OpenAI error"),
            Self::Anthropic if !(body["type"] == "error" && text("/error/type") && text("/error/message")) => {
                Some("no Anthropic error")
            }
            Self::Mcp if !(body["jsonrpc"] == "2.0" && body["error"]["code"].is_i64() && text("/error/message")) => {
                Some("no JSON-RPC error")
            }
            Self::Mcp if body.get("id").is_none() => Some("no id in a JSON-RPC error"),
            _ => None,
        }
    }
}

/// A bad request: its name, who calls, the body, and the status and code that belong to it on the three surfaces.
struct Bad {
    name: &'static str,
    valid_key: bool,
    models: Vec<u8>,
    mcp: Vec<u8>,
    status: u16,
    mcp_status: u16,
    code: &'static str,
}

fn bad(name: &'static str, models: impl AsRef<[u8]>, mcp: impl AsRef<[u8]>, status: u16, code: &'static str) -> Bad {
    let (models, mcp) = (models.as_ref().to_vec(), mcp.as_ref().to_vec());
    Bad { name, valid_key: true, models, mcp, status, mcp_status: status, code }
}

fn call(members: &str) -> String {
    format!("{{\"max_tokens\": 9, \"messages\": [{{\"role\": \"user\", \"content\": \"x\"}}], {members}}}")
}

fn rpc(members: &str) -> String {
    format!("{{\"jsonrpc\": \"2.0\", \"id\": 7, {members}}}")
}

fn table() -> Vec<Bad> {
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(20_000), "]".repeat(20_000));
    let tool = |arguments: &str| rpc(&format!("\"method\": \"tools/call\", \"params\": {arguments}"));
    let good_model = "\"model\": \"sim/chat\"";
    vec![
        bad("malformed JSON", "{\"model\": \"sim/chat\", ", "{\"jsonrpc\": ", 400, "invalid_request"),
        bad("no JSON at all", "hello", "hello", 400, "invalid_request"),
        bad("nothing", "", "", 400, "invalid_request"),
        bad("more after the end", call(good_model) + "{}", rpc("\"method\": \"ping\"") + "{}", 400, "invalid_request"),
        bad(
            "duplicate members",
            call(&format!("{good_model}, \"model\": \"sim/leaky\"")),
            rpc("\"method\": \"ping\", \"method\": \"tools/call\""),
            400,
            "invalid_request",
        ),
        bad(
            "members that differ in case alone",
            call(&format!("{good_model}, \"Model\": \"sim/leaky\"")),
            rpc("\"method\": \"ping\", \"Method\": \"tools/call\""),
            400,
            "invalid_request",
        ),
        bad("deep nesting", call(&format!("{good_model}, \"x\": {}", deep("1"))), tool(&deep("1")), 400, "invalid_request"),
        bad(
            "bad UTF-8",
            [&b"{\"model\": \"sim/chat\", \"max_tokens\": 9, \"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}"[..]].concat(),
            [&b"{\"jsonrpc\": \"2.0\", \"id\": 7, \"method\": \"ping\xff\"}"[..]].concat(),
            400,
            "invalid_request",
        ),
        bad("oversize", vec![b' '; 70_000], vec![b' '; 70_000], 413, "too_large"),
        Bad {
            valid_key: false,
            ..bad("a key of nobody", call(good_model), rpc("\"method\": \"tools/list\""), 401, "unauthenticated")
        },
        bad("an unknown model", call("\"model\": \"nothing-such\""), "", 404, "not_found"),
        bad("an unknown provider", call("\"model\": \"nowhere/x\""), "", 404, "not_found"),
    ]
}

async fn start(folder: &std::path::Path, secret: &str) -> Gateway {
    let config = json!({
        "version": 1,
        "limits": {"body": "64KiB"},
        "mcp_servers": {"sim": {"url": "sim:mcp"}},
        "keys": {"k": {"secret": "env:K", "allow": {"models": "*", "mcp_servers": "*"}}},
    });
    Start::new("up", folder).config(config).env("K", secret).run().await
}

async fn ask(gateway: &Gateway, surface: Surface, key: &str, body: Vec<u8>) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    send("POST", &format!("{}{}", gateway.url, surface.path()), &headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_in_the_shape_of_its_surface() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, nobody) = (key(), key());
    let gateway = start(folder.path(), &secret).await;
    let mut problems = Vec::new();
    for bad in table() {
        for surface in Surface::ALL {
            let body = if surface == Surface::Mcp { &bad.mcp } else { &bad.models };
            if surface == Surface::Mcp && body.is_empty() && bad.name != "nothing" {
                continue;
            }
            let key = if bad.valid_key { &secret } else { &nobody };
            let answer = ask(&gateway, surface, key, body.clone()).await;
            let status = if surface == Surface::Mcp { bad.mcp_status } else { bad.status };
            let what = if answer.status != status {
                Some(format!("status {} instead of {status}", answer.status))
            } else if answer.header("x-tidegate-error") != bad.code {
                Some(format!("code {:?} instead of {}", answer.header("x-tidegate-error"), bad.code))
            } else if !answer.header("x-tidegate-call-id").starts_with("call_") {
                Some("no call id".to_owned())
            } else {
                serde_json::from_slice(&answer.body)
                    .map_or(Some("no JSON".to_owned()), |body| surface.misshapen(&body).map(str::to_owned))
            };
            if let Some(what) = what {
                let shown: String = answer.text().chars().take(300).collect();
                problems.push(format!("{} on {surface:?}: {what}: {shown}", bad.name));
            }
        }
    }
    assert!(problems.is_empty(), "{}\n{}", problems.len(), problems.join("\n"));
    let reached = gateway.sim_requests().await;
    assert!(reached.is_empty(), "a bad request reached the upstream: {reached:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_call_without_a_session_and_to_an_unknown_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let gateway = start(folder.path(), &secret).await;
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json, text/event-stream")];
    let body = rpc("\"method\": \"tools/call\", \"params\": {\"name\": \"echo\", \"arguments\": {}}");
    for (server, codes) in [("nowhere", ["not_found", "not_found"]), ("sim", ["not_found", "invalid_request"])] {
        let answer = send("POST", &format!("{}/mcp/{server}", gateway.url), &headers, body.clone()).await;
        let code = answer.header("x-tidegate-error");
        assert!(codes.contains(&code), "{server}: {} {code} {}", answer.status, answer.text());
        assert_eq!(Surface::Mcp.misshapen(&answer.json()), None, "{}", answer.text());
        assert_eq!(answer.json()["id"], 7);
    }
    assert!(gateway.sim_requests().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_are_given_up_and_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let gateway = start(folder.path(), &secret).await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(stream);
    }
    let body = call("\"model\": \"sim/chat\"").into_bytes();
    assert_eq!(ask(&gateway, Surface::OpenAi, &secret, body).await.status, 200);
    let closed = async {
        for stream in &mut slow {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let head = String::from_utf8_lossy(&rest).into_owned();
            assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
        }
    };
    timeout(Duration::from_secs(20), closed).await.expect("a client that never ends its headers is let go");
}

/// The head of the next answer on a connection, with its status and whether the connection goes on.
async fn next_answer(stream: &mut TcpStream) -> (u16, bool) {
    let mut read = Vec::new();
    loop {
        let mut some = [0; 4096];
        let length = timeout(Duration::from_secs(10), stream.read(&mut some)).await.expect("an answer").unwrap();
        assert!(length > 0, "the connection was closed: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..length]);
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let told = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if body.len() >= told("content-length").unwrap().parse::<usize>().unwrap() {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            return (status, told("connection") != Some("close"));
        }
    }
}

#[tokio::test]
async fn a_request_that_is_refused_unread_does_not_spoil_the_next_on_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let gateway = start(folder.path(), &secret).await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let head = |path: &str, key: &str, length: usize| {
        let wants = format!("host: {address}\r\nauthorization: Bearer {key}\r\ncontent-length: {length}");
        format!("POST {path} HTTP/1.1\r\n{wants}\r\n\r\n")
    };
    let body = call("\"model\": \"sim/chat\"");
    let unknown = key();
    for (path, shown, status) in [("/v1/messages", &*unknown, 401), ("/nowhere", &*secret, 404)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for _ in 0..3 {
            // The body comes after the head, as most clients send it.
            stream.write_all(head(path, shown, body.len()).as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(body.as_bytes()).await.unwrap();
            assert_eq!(next_answer(&mut stream).await, (status, true), "{path}");
        }
        let good = format!("{}{body}", head("/v1/chat/completions", &secret, body.len()));
        stream.write_all(good.as_bytes()).await.unwrap();
        assert_eq!(next_answer(&mut stream).await, (200, true), "{path}");
        // What is large, or does not come, is not waited for, and the client is told that the connection ends.
        stream.write_all(head(path, shown, 1 << 20).as_bytes()).await.unwrap();
        assert!(!next_answer(&mut stream).await.1, "{path}");
    }
}
