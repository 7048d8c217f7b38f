use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;
use crate::connect::InMemoryService;

async fn send(sim: &Sim, request: Request<Full<Bytes>>) -> (StatusCode, http::HeaderMap, Result<Bytes, hyper::Error>) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(sim.connect())).await.unwrap();
    crate::task::spawn("test connection", async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.map(|body| body.to_bytes()))
}

fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "sim").body(Full::new(Bytes::from(body.to_string()))).unwrap()
}

fn chat(model: &str, prompt: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": prompt}]});
    post("/v1/chat/completions", &body)
}

#[tokio::test]
async fn an_echo_counts_four_bytes_a_token() {
    let sim = Sim::new();
    let (status, _, body) = send(&sim, chat("chat", "hello", false)).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body.pointer("/choices/0/message/content"), Some(&json!("echo: hello")));
    assert_eq!(body.pointer("/usage/prompt_tokens"), Some(&json!(2)));
    assert_eq!(body.pointer("/usage/completion_tokens"), Some(&json!(3)));
    let ledger = sim.ledger();
    assert_eq!((ledger.calls, ledger.input_tokens, ledger.output_tokens), (1, 2, 3));
    assert_eq!(ledger.requests.first().unwrap().end, ledger::End::Complete);
}

#[tokio::test]
async fn a_scripted_stream_has_its_pieces_and_its_terminator() {
    let sim = Sim::new();
    let (_, _, body) = send(&sim, chat("chat", "[[sim: stream 5 chunks, 0ms]]", true)).await;
    let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
    assert_eq!(body.matches("piece ").count(), 5);
    assert!(body.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_cut_stream_breaks_the_connection_after_its_pieces() {
    let sim = Sim::new();
    let (status, _, body) = send(&sim, chat("chat", "[[sim: stream 9 chunks, 0ms]][[sim: cut after 3]]", true)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.is_err());
    let entry = sim.ledger().requests.first().cloned().unwrap();
    assert_eq!((entry.pieces, entry.end), (3, ledger::End::Cut));
}

#[tokio::test]
async fn a_script_fails_as_often_as_it_says() {
    let sim = Sim::new();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(send(&sim, chat("chat", "[[sim: fail 503 twice]]", false)).await.0.as_u16());
    }
    assert_eq!(statuses, [503, 503, 200]);
}

#[tokio::test]
async fn max_tokens_cut_the_echo_in_both_dialects() {
    let sim = Sim::new();
    let prompt = "a long prompt that does not fit";
    let openai = json!({"model": "chat", "max_tokens": 2, "messages": [{"role": "user", "content": prompt}]});
    let (_, _, body) = send(&sim, post("/v1/chat/completions", &openai)).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body.pointer("/choices/0/finish_reason"), Some(&json!("length")));
    let (_, _, body) = send(&sim, post("/v1/messages", &openai)).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body.pointer("/stop_reason"), Some(&json!("max_tokens")));
    assert_eq!(body.pointer("/usage/output_tokens"), Some(&json!(2)));
}

#[tokio::test]
async fn responses_are_the_same_whole_and_as_the_last_of_their_events() {
    let sim = Sim::new();
    let tools = json!([{"type": "namespace", "name": "shell", "tools": [{"type": "custom", "name": "exec"}]}]);
    let ask = |prompt: &str, stream: bool| {
        let input = json!([{"type": "additional_tools", "tools": tools}, {"role": "user", "content": prompt}]);
        post("/v1/responses", &json!({"model": "chat", "stream": stream, "max_output_tokens": 9, "input": input}))
    };
    for (prompt, kind, status) in [
        ("hello", "message", "completed"),
        ("a prompt that is too long for so few tokens", "message", "incomplete"),
        ("[[sim: tool shell__exec {\"input\":\"ls\"}]]", "custom_tool_call", "completed"),
    ] {
        let (_, _, whole) = send(&sim, ask(prompt, false)).await;
        let whole: Value = serde_json::from_slice(&whole.unwrap()).unwrap();
        assert_eq!((&whole["status"], &whole["output"][0]["type"]), (&json!(status), &json!(kind)));
        let (_, _, streamed) = send(&sim, ask(prompt, true)).await;
        let streamed = String::from_utf8(streamed.unwrap().to_vec()).unwrap();
        let last = streamed.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!((&last["type"], &last["response"]), (&json!(format!("response.{status}")), &whole));
        if kind == "message" {
            let counted = sim.ledger().requests.last().unwrap().output_tokens;
            assert_eq!(whole["usage"]["output_tokens"], counted);
        }
    }
}

#[tokio::test]
async fn mcp_lists_in_pages_and_calls_tools_in_a_session() {
    let sim = Sim::new();
    let initialize =
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}});
    let (_, headers, body) = send(&sim, post("/mcp", &initialize)).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body.pointer("/result/protocolVersion"), Some(&json!("2025-06-18")));
    let session = headers.get("mcp-session-id").unwrap().clone();
    let call = |body: Value| {
        let mut request = post("/mcp", &body);
        request.headers_mut().insert("mcp-session-id", session.clone());
        request
    };
    let mut names = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
        let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": params});
        let (_, _, body) = send(&sim, call(list)).await;
        let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        names
            .extend(body.pointer("/result/tools").unwrap().as_array().unwrap().iter().map(|tool| tool["name"].clone()));
        cursor = body.pointer("/result/nextCursor").cloned().unwrap_or_default();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(names.len(), 9);
    let add = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "add", "arguments": {"a": 2, "b": 3}}});
    let (_, _, body) = send(&sim, call(add)).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body.pointer("/result/content/0/text"), Some(&json!("5")));
    assert_eq!(sim.ledger().calls, 1);
}

#[tokio::test]
async fn a_request_without_a_session_is_told_to_initialize() {
    let sim = Sim::new();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(send(&sim, post("/mcp", &list)).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn gemini_is_spoken_whole_streamed_counted_and_embedded() {
    let sim = Sim::new();
    let content = json!({"role": "user", "parts": [{"text": "[[sim: tool look {\"a\":1}]]"}]});
    let body = json!({"contents": [content], "tools": [{"functionDeclarations": [{"name": "look"}]}]});
    let (status, _, whole) = send(&sim, post("/v1beta/models/chat:generateContent", &body)).await;
    let whole: Value = serde_json::from_slice(&whole.unwrap()).unwrap();
    assert_eq!(status, StatusCode::OK);
    let call = json!({"functionCall": {"name": "look", "args": {"a": 1}}});
    assert_eq!(whole.pointer("/candidates/0/content/parts/0"), Some(&call));
    assert_eq!(whole.pointer("/candidates/0/finishReason"), Some(&json!("STOP")));
    let hello = json!({"contents": [{"parts": [{"text": "hello"}]}]});
    let (_, _, stream) = send(&sim, post("/models/chat:streamGenerateContent?alt=sse", &hello)).await;
    let stream = String::from_utf8(stream.unwrap().to_vec()).unwrap();
    assert!(stream.contains("\"text\":\"echo: \"") && stream.matches("finishReason").count() == 1, "{stream}");
    let (_, _, count) = send(&sim, post("/v1beta/models/chat:countTokens", &hello)).await;
    assert_eq!(count.unwrap(), r#"{"totalTokens":2}"#);
    let many = json!({"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]});
    let (_, _, embedded) = send(&sim, post("/v1beta/models/embed:batchEmbedContents", &many)).await;
    let embedded: Value = serde_json::from_slice(&embedded.unwrap()).unwrap();
    assert_eq!(embedded["embeddings"].as_array().map(Vec::len), Some(2));
    let (status, _, missing) = send(&sim, post("/v1beta/models/nobody:generateContent", &hello)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(String::from_utf8_lossy(&missing.unwrap()).contains("NOT_FOUND"));
}
