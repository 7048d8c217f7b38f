//! An MCP server over Streamable HTTP (revisions 2025-03-26 to 2025-11-25) with a handful of tools that show what a
//! gateway does: reading, writing, failing, being slow, leaking.

use std::{collections::HashSet, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tidegate_core::clock;

use super::{
    Sim,
    answer::tokens,
    body::{Body, Entry, Piece, json as json_answer, streamed, whole},
    ledger::{End, LedgerEntry},
    script::Script,
    serve::{call_id, read_body},
};

/// The newest revision that is spoken, and answered to those that ask for one that is unknown.
const REVISION: &str = "2025-11-25";

/// Revisions that are spoken.
const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", REVISION];

/// Most sessions that are remembered.
const MOST_SESSIONS: usize = 100_000;

#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashSet<String>>,
}

impl Sessions {
    fn start(&self) -> String {
        let id = tidegate_core::ids::CallId::new().to_string().replace("call_", "sim-");
        let mut open = self.open.lock();
        if open.len() >= MOST_SESSIONS {
            open.clear();
        }
        open.insert(id.clone());
        id
    }
}

pub(super) async fn serve(sim: Sim, request: Request<Incoming>) -> Response<Body> {
    let session = request.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    match *request.method() {
        Method::DELETE => {
            let known = session.is_some_and(|id| sim.state.sessions.open.lock().remove(&id));
            empty(if known { StatusCode::OK } else { StatusCode::NOT_FOUND })
        }
        Method::POST => post(sim, request, session).await,
        _ => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(""));
    *response.status_mut() = status;
    response
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

async fn post(sim: Sim, request: Request<Incoming>, session: Option<String>) -> Response<Body> {
    let call_id = call_id(&request);
    let Some(message) = read_body(request).await.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) else {
        return json_answer(StatusCode::BAD_REQUEST, error(&Value::Null, -32700, "this is no JSON").to_string());
    };
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(id) = message.get("id").cloned() else { return empty(StatusCode::ACCEPTED) };
    let params = message.get("params").cloned().unwrap_or_else(|| json!({}));
    if method == "initialize" {
        return initialize(&sim, &id, &params);
    }
    let known = session.is_some_and(|session| sim.state.sessions.open.lock().contains(&session));
    if !known {
        return json_answer(StatusCode::NOT_FOUND, error(&id, -32001, "no such session: initialize first").to_string());
    }
    if method == "tools/call" {
        return call_tool(sim, call_id, &id, &params).await;
    }
    let result = match method.as_str() {
        "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => Ok(json!({})),
        "tools/list" => Ok(page("tools", tools(), &params)),
        "resources/list" => Ok(page("resources", resources(), &params)),
        "resources/templates/list" => Ok(json!({"resourceTemplates": []})),
        "resources/read" => read_resource(&params),
        "prompts/list" => Ok(page("prompts", prompts(), &params)),
        "prompts/get" => get_prompt(&params),
        "completion/complete" => Ok(json!({"completion": {"values": ["Rome", "Riga"], "hasMore": false}})),
        _ => Err((-32601, "no such method")),
    };
    let answer = match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err((code, message)) => error(&id, code, message),
    };
    json_answer(StatusCode::OK, answer.to_string())
}

fn initialize(sim: &Sim, id: &Value, params: &Value) -> Response<Body> {
    let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let revision = if REVISIONS.contains(&asked) { asked } else { REVISION };
    let result = json!({
        "protocolVersion": revision,
        "capabilities": {"tools": {"listChanged": false}, "resources": {"subscribe": true}, "prompts": {}, "logging": {}, "completions": {}},
        "serverInfo": {"name": "sim", "version": env!("CARGO_PKG_VERSION")},
        "instructions": "A scripted server: nothing that it says or does is real.",
    });
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    let mut response = json_answer(StatusCode::OK, answer.to_string());
    if let Ok(session) = HeaderValue::from_str(&sim.state.sessions.start()) {
        response.headers_mut().insert("mcp-session-id", session);
    }
    response
}

/// Three items a page, the cursor being the index of the next one.
fn page(name: &str, items: Vec<Value>, params: &Value) -> Value {
    let start: usize = params.get("cursor").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(0);
    let page: Vec<&Value> = items.iter().skip(start).take(3).collect();
    let next = start.saturating_add(3);
    if next < items.len() { json!({name: page, "nextCursor": next.to_string()}) } else { json!({name: page}) }
}

fn tool(name: &str, description: &str, properties: &Value, required: &[&str], read_only: bool) -> Value {
    json!({
        "name": name, "title": name.replace('_', " "), "description": description,
        "inputSchema": {"type": "object", "properties": properties, "required": required},
        "annotations": {"readOnlyHint": read_only},
    })
}

fn tools() -> Vec<Value> {
    let text = json!({"type": "string"});
    vec![
        tool("echo", "Answers with what it was given.", &json!({"message": text}), &["message"], true),
        tool(
            "add",
            "Adds two whole numbers.",
            &json!({"a": {"type": "integer"}, "b": {"type": "integer"}}),
            &["a", "b"],
            true,
        ),
        tool("get_weather", "The weather of a city, which is always fine.", &json!({"city": text}), &["city"], true),
        tool("search_notes", "Finds notes by a word.", &json!({"query": text}), &["query"], true),
        tool("read_note", "Reads one note.", &json!({"id": {"type": "integer"}}), &["id"], true),
        tool(
            "send_mail",
            "Sends a mail to nobody.",
            &json!({"to": text, "subject": text, "body": text}),
            &["to", "body"],
            false,
        ),
        tool("fail", "Fails.", &json!({}), &[], true),
        tool("slow", "Answers after some progress.", &json!({"steps": {"type": "integer"}}), &[], true),
        tool("leak", "Answers with a card number and a key, both of nobody.", &json!({}), &[], true),
    ]
}

fn resources() -> Vec<Value> {
    (1..=4)
        .map(|id| json!({"uri": format!("note://{id}"), "name": format!("note {id}"), "mimeType": "text/plain"}))
        .collect()
}

fn read_resource(params: &Value) -> Result<Value, (i64, &'static str)> {
    let uri = params.get("uri").and_then(Value::as_str).unwrap_or_default();
    let known =
        uri.strip_prefix("note://").and_then(|id| id.parse::<u32>().ok()).is_some_and(|id| (1..=4).contains(&id));
    if !known {
        return Err((-32002, "no such resource"));
    }
    Ok(json!({"contents": [{"uri": uri, "mimeType": "text/plain", "text": format!("The text of {uri}.")}]}))
}

fn prompts() -> Vec<Value> {
    vec![json!({"name": "greet", "description": "Greets a city.", "arguments": [{"name": "city", "required": true}]})]
}

fn get_prompt(params: &Value) -> Result<Value, (i64, &'static str)> {
    if params.get("name").and_then(Value::as_str) != Some("greet") {
        return Err((-32602, "no such prompt"));
    }
    let city = params.pointer("/arguments/city").and_then(Value::as_str).unwrap_or("nowhere");
    let content = json!({"type": "text", "text": format!("Say hello to {city}.")});
    Ok(json!({"messages": [{"role": "user", "content": content}]}))
}

async fn call_tool(sim: Sim, call_id: Option<String>, id: &Value, params: &Value) -> Response<Body> {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let arguments = params.get("arguments").cloned().unwrap_or_else(|| json!({}));
    let text = |member: &str| arguments.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |member: &str| arguments.get(member).and_then(Value::as_i64).unwrap_or_default();
    let mut entry = open(&sim, call_id, name, &arguments);
    let script = Script::read(&arguments.to_string());
    if script.stall_after.is_some() {
        std::future::pending::<()>().await;
    }
    if let Some((status, times)) = script.fail
        && sim.fails_now(&arguments.to_string(), times)
    {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        entry.status(status);
        entry.end(End::Failed);
        return empty(status);
    }
    entry.status(StatusCode::OK);
    let said = match name {
        "echo" => text("message"),
        "add" => number("a").wrapping_add(number("b")).to_string(),
        "get_weather" => format!("It is fine in {}.", text("city")),
        "search_notes" => format!("Notes that hold \"{}\": 1, 3.", text("query")),
        "read_note" => format!("Note {} says: buy bread.", number("id")),
        "send_mail" => format!("Sent to {}.", text("to")),
        "leak" => "card 4111 1111 1111 1111, key AKIAIOSFODNN7CANARYQ".to_owned(),
        "slow" => return slow(id, params, number("steps"), &script, entry),
        "fail" => "This tool always fails.".to_owned(),
        _ => {
            entry.end(End::Failed);
            return json_answer(StatusCode::OK, error(id, -32602, "no such tool").to_string());
        }
    };
    let result = json!({"content": [{"type": "text", "text": said}], "isError": name == "fail"});
    entry.sent(tokens(&said));
    entry.end(End::Complete);
    json_answer(StatusCode::OK, json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

fn open(sim: &Sim, call_id: Option<String>, name: &str, arguments: &Value) -> Entry {
    let sequence = sim.state.ledger.open(LedgerEntry {
        sequence: 0,
        at: clock::wall(),
        call_id,
        path: "/mcp".to_owned(),
        model: "tools/call".to_owned(),
        tool: Some(name.chars().take(128).collect()),
        status: 0,
        input_tokens: tokens(&arguments.to_string()),
        output_tokens: 0,
        pieces: 0,
        end: End::Open,
    });
    Entry::new(sim.clone(), sequence)
}

/// Answers as a stream: a progress notification a step, then the result.
fn slow(id: &Value, params: &Value, steps: i64, script: &Script, entry: Entry) -> Response<Body> {
    let steps = steps.clamp(1, 1_000);
    let token = params.pointer("/_meta/progressToken").cloned();
    let message = |value: &Value| format!("event: message\ndata: {value}\n\n").into();
    let mut pieces: Vec<Piece> = Vec::new();
    for step in 1..=steps {
        let Some(token) = &token else { break };
        let params = json!({"progressToken": token, "progress": step, "total": steps});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        pieces.push(Piece { bytes: message(&note), tokens: 0, content: true });
    }
    let result = json!({"content": [{"type": "text", "text": format!("{steps} steps done")}]});
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    pieces.push(Piece { bytes: message(&answer), tokens: 4, content: true });
    let mut response = Response::new(streamed(pieces, Duration::from_millis(20), script, entry));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
