//! What spans say of a request's parameters, and, where the configuration asks for it, of what was said.
//!
//! Owns the conventions' form of messages (`{role, parts}`). Reads bodies that guardrails have let through, never those
//! that came in; what it cannot read it leaves out. Runs in the exporter's task alone.

mod gemini;

use serde_json::{Map, Value, json};
use tidegate_protocol::llm::Dialect;

use super::{
    attributes::{self as name, Attributes},
    settings::Profile,
    trace::{CallTrace, Details},
};

/// The largest body whose content is sent, and the longest attribute that is made of it, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// The parameters of a request: numbers and stop sequences.
pub(super) fn parameters(attributes: &mut Attributes<'_>, profile: Profile, details: &Details) {
    let Some(Value::Object(body)) = details.request.as_deref().and_then(read) else { return };
    let body = gemini::flat(body);
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let float = |name: &str| body.get(name).and_then(Value::as_f64);
    let limits = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
    if let Some(most) = limits.iter().find_map(|name| number(name)) {
        attributes.number("gen_ai.request.max_tokens", most);
    }
    let floats = [
        ("temperature", "gen_ai.request.temperature"),
        ("top_p", "gen_ai.request.top_p"),
        ("frequency_penalty", "gen_ai.request.frequency_penalty"),
        ("presence_penalty", "gen_ai.request.presence_penalty"),
    ];
    for (field, name) in floats {
        if let Some(value) = float(field) {
            attributes.float(name, value);
        }
    }
    if let Some(top) = number("top_k") {
        match profile {
            #[expect(clippy::cast_precision_loss, reason = "profile A has a float here")]
            Profile::A => attributes.float("gen_ai.request.top_k", top as f64),
            Profile::B => attributes.number("gen_ai.request.top_k", top),
        };
    }
    if let Some(seed) = number("seed") {
        attributes.number("gen_ai.request.seed", seed);
    }
    if let Some(choices) = number("n").filter(|choices| *choices != 1) {
        attributes.number("gen_ai.request.choice.count", choices);
    }
    let stop = body.get("stop").or_else(|| body.get("stop_sequences"));
    let stop = stop.map(|stop| stop.as_array().map_or_else(|| vec![stop], |stops| stops.iter().collect()));
    attributes.texts("gen_ai.request.stop_sequences", stop.iter().flatten().filter_map(|stop| stop.as_str()));
    let format = body.get("response_format").or_else(|| body.get("text")?.get("format"));
    let format = format.and_then(|format| format.get("type")).and_then(Value::as_str);
    if let Some(kind) = format {
        attributes.text("gen_ai.output.type", if kind.starts_with("json") { "json" } else { "text" });
    }
}

/// The messages of a model call.
pub(super) fn of_model(attributes: &mut Attributes<'_>, details: &Details) {
    let Some(content) = &details.content else { return };
    if let Some(Value::Object(body)) = details.request.as_deref().and_then(read) {
        let system = body.get("system").or_else(|| body.get("instructions")).map(|system| parts(Some(system)));
        let system = system.or_else(|| gemini::system(&body));
        put(attributes, name::SYSTEM_INSTRUCTIONS, system.filter(|parts| !parts.is_empty()).map(Value::Array));
        let messages = match body.get("input") {
            Some(Value::String(text)) => Some(vec![message(&json!({ "role": "user", "content": text }))]),
            Some(Value::Array(items)) => Some(items.iter().map(item).collect()),
            _ => body.get("messages").and_then(Value::as_array).map(|all| all.iter().map(message).collect()),
        };
        put(attributes, name::INPUT_MESSAGES, messages.or_else(|| gemini::messages(&body)).map(Value::Array));
        put(attributes, name::TOOL_DEFINITIONS, body.get("tools").cloned());
    }
    let answer = if details.stream {
        content.dialect.map(|dialect| spoken(dialect, &content.answer))
    } else {
        read(&content.answer).map(|answer| answered(&answer))
    };
    let finish = details.finish_reason.as_deref().unwrap_or("stop");
    let answer = answer.filter(|parts| !parts.is_empty());
    let answer = answer.map(|parts| json!([{ "role": "assistant", "parts": parts, "finish_reason": finish }]));
    put(attributes, name::OUTPUT_MESSAGES, answer);
}

/// Arguments and result of a tool call.
pub(super) fn of_tool(attributes: &mut Attributes<'_>, call: &CallTrace) {
    let Some(content) = &call.details.content else { return };
    let arguments = call.details.request.as_deref().and_then(read);
    let arguments = arguments.as_ref().and_then(|request| request.pointer("/params/arguments")).cloned();
    put(attributes, name::TOOL_ARGUMENTS, arguments);
    let result = read(&content.answer).and_then(|answer| answer.get("result").cloned());
    put(attributes, name::TOOL_RESULT, result);
}

fn put(attributes: &mut Attributes<'_>, name: &str, value: Option<Value>) {
    let text = value.map(|value| value.to_string());
    if let Some(text) = text.filter(|text| text.len() <= LARGEST) {
        attributes.whole_text(name, &text);
    }
}

fn read(body: &[u8]) -> Option<Value> {
    if body.len() > LARGEST { None } else { serde_json::from_slice(body).ok() }
}

/// One message of either dialect.
fn message(message: &Value) -> Value {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
    let mut parts = parts(message.get("content"));
    if role == "tool" {
        let result = message.get("content").cloned().unwrap_or_default();
        parts = vec![json!({ "type": "tool_call_response", "id": message.get("tool_call_id"), "response": result })];
    }
    parts.extend(message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().map(tool_call));
    json!({ "role": role, "parts": parts })
}

/// One item of OpenAI's Responses, of a request or an answer: a message, or what stands beside messages.
fn item(item: &Value) -> Value {
    match item.get("type").and_then(Value::as_str).unwrap_or("message") {
        "message" => message(item),
        kind if kind.ends_with("_call_output") => {
            let result = item.get("output").cloned().unwrap_or_default();
            json!({ "role": "tool",
                "parts": [{ "type": "tool_call_response", "id": item.get("call_id"), "response": result }] })
        }
        _ => json!({ "role": "assistant", "parts": item_parts(item) }),
    }
}

/// What an item of an answer says.
fn item_parts(item: &Value) -> Vec<Value> {
    let of = |name: &str| item.get(name).cloned().unwrap_or_default();
    match item.get("type").and_then(Value::as_str).unwrap_or("message") {
        "message" => parts(item.get("content")),
        "function_call" | "custom_tool_call" => {
            let arguments = item.get("arguments").or_else(|| item.get("input")).cloned().unwrap_or_default();
            let arguments = match arguments {
                Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                other => other,
            };
            vec![json!({ "type": "tool_call", "id": of("call_id"), "name": of("name"), "arguments": arguments })]
        }
        "reasoning" => {
            let said = ["summary", "content"].iter().filter_map(|name| item.get(name)?.as_array()).flatten();
            said.map(|part| json!({ "type": "reasoning", "content": part.get("text") })).collect()
        }
        other => vec![json!({ "type": other })],
    }
}

/// Content of either dialect: a text, or a list of parts.
fn parts(content: Option<&Value>) -> Vec<Value> {
    match content {
        Some(Value::String(text)) => vec![json!({ "type": "text", "content": text })],
        Some(Value::Array(parts)) => parts.iter().map(part).collect(),
        _ => Vec::new(),
    }
}

fn part(part: &Value) -> Value {
    let of = |name: &str| part.get(name).cloned().unwrap_or_default();
    match part.get("type").and_then(Value::as_str).unwrap_or("text") {
        "text" | "input_text" | "output_text" => json!({ "type": "text", "content": of("text") }),
        "thinking" => json!({ "type": "reasoning", "content": of("thinking") }),
        "tool_use" => json!({ "type": "tool_call", "id": of("id"), "name": of("name"), "arguments": of("input") }),
        "tool_result" => {
            json!({ "type": "tool_call_response", "id": of("tool_use_id"), "response": of("content") })
        }
        // What is no text is named and not sent: a picture is large, and no detector has looked at it.
        other => json!({ "type": other }),
    }
}

/// A tool call as OpenAI writes it.
fn tool_call(call: &Value) -> Value {
    let of = |pointer: &str| call.pointer(pointer).cloned().unwrap_or_default();
    let arguments = match of("/function/arguments") {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    };
    json!({ "type": "tool_call", "id": of("/id"), "name": of("/function/name"), "arguments": arguments })
}

/// What a whole answer says.
fn answered(answer: &Value) -> Vec<Value> {
    if let Some(message) = answer.pointer("/choices/0/message") {
        let mut said = parts(message.get("content"));
        said.extend(message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().map(tool_call));
        return said;
    }
    if let Some(content) = answer.pointer("/candidates/0/content") {
        return gemini::parts(content);
    }
    if let Some(items) = answer.get("output").and_then(Value::as_array) {
        return items.iter().flat_map(item_parts).collect();
    }
    parts(answer.get("content"))
}

/// What a stream said: its texts joined, then its tool calls.
fn spoken(dialect: Dialect, frames: &[u8]) -> Vec<Value> {
    if dialect == Dialect::OpenAiResponses {
        return last_said(frames);
    }
    let mut text = String::new();
    let mut calls: Vec<Map<String, Value>> = Vec::new();
    for line in String::from_utf8_lossy(frames).lines() {
        let Some(event) = line.strip_prefix("data:").and_then(|data| read(data.trim().as_bytes())) else { continue };
        match dialect {
            Dialect::Anthropic => anthropic(&event, &mut text, &mut calls),
            Dialect::Gemini => gemini::piece(&event, &mut text, &mut calls),
            _ => openai(&event, &mut text, &mut calls),
        }
    }
    let mut said = Vec::new();
    if !text.is_empty() {
        said.push(json!({ "type": "text", "content": text }));
    }
    said.extend(calls.into_iter().map(Value::Object));
    said
}

/// What the last event of a Responses stream says: the whole answer.
fn last_said(frames: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(frames);
    let data = text.lines().rev().find_map(|line| line.strip_prefix("data:"));
    let event = data.and_then(|data| read(data.trim().as_bytes()));
    event.and_then(|event| event.get("response").map(answered)).unwrap_or_default()
}

fn openai(event: &Value, text: &mut String, calls: &mut Vec<Map<String, Value>>) {
    let Some(delta) = event.pointer("/choices/0/delta") else { return };
    text.push_str(delta.get("content").and_then(Value::as_str).unwrap_or_default());
    for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        if let Some(id) = call.get("id").and_then(Value::as_str) {
            begin(calls, id, call.pointer("/function/name"));
        }
        go_on(calls, call.pointer("/function/arguments"));
    }
}

fn anthropic(event: &Value, text: &mut String, calls: &mut Vec<Map<String, Value>>) {
    text.push_str(event.pointer("/delta/text").and_then(Value::as_str).unwrap_or_default());
    if event.pointer("/content_block/type").and_then(Value::as_str) == Some("tool_use") {
        let id = event.pointer("/content_block/id").and_then(Value::as_str).unwrap_or_default();
        begin(calls, id, event.pointer("/content_block/name"));
    }
    go_on(calls, event.pointer("/delta/partial_json"));
}

fn begin(calls: &mut Vec<Map<String, Value>>, id: &str, name: Option<&Value>) {
    let call = json!({ "type": "tool_call", "id": id, "name": name, "arguments": "" });
    if let Value::Object(call) = call {
        calls.push(call);
    }
}

fn go_on(calls: &mut [Map<String, Value>], fragment: Option<&Value>) {
    let arguments = calls.last_mut().and_then(|call| call.get_mut("arguments"));
    if let (Some(Value::String(arguments)), Some(Value::String(fragment))) = (arguments, fragment) {
        arguments.push_str(fragment);
    }
}
