//! Gemini's bodies in the conventions' form.
//!
//! Owns that form alone. Reads the usual spelling of names; what it cannot read it leaves out.

use serde_json::{Map, Value, json};

/// A request's parameters under the names that the other dialects share.
pub(super) fn flat(mut body: Map<String, Value>) -> Map<String, Value> {
    let config = body.get("generationConfig").or_else(|| body.get("generation_config")).and_then(Value::as_object);
    let Some(config) = config.cloned() else { return body };
    for (from, to) in [
        ("maxOutputTokens", "max_tokens"),
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("topK", "top_k"),
        ("seed", "seed"),
        ("candidateCount", "n"),
        ("stopSequences", "stop"),
        ("presencePenalty", "presence_penalty"),
        ("frequencyPenalty", "frequency_penalty"),
    ] {
        if let Some(value) = config.get(from) {
            body.insert(to.to_owned(), value.clone());
        }
    }
    if config.get("responseMimeType").and_then(Value::as_str) == Some("application/json") {
        body.insert("response_format".to_owned(), json!({ "type": "json" }));
    }
    body
}

pub(super) fn system(body: &Map<String, Value>) -> Option<Vec<Value>> {
    body.get("systemInstruction").or_else(|| body.get("system_instruction")).map(parts)
}

pub(super) fn messages(body: &Map<String, Value>) -> Option<Vec<Value>> {
    let message = |content: &Value| {
        let model = content.get("role").and_then(Value::as_str) == Some("model");
        json!({ "role": if model { "assistant" } else { "user" }, "parts": parts(content) })
    };
    body.get("contents").and_then(Value::as_array).map(|contents| contents.iter().map(message).collect())
}

/// The parts of a content.
pub(super) fn parts(content: &Value) -> Vec<Value> {
    content.get("parts").and_then(Value::as_array).into_iter().flatten().map(part).collect()
}

fn part(part: &Value) -> Value {
    let of = |pointer: &str| part.pointer(pointer).cloned().unwrap_or_default();
    if let Some(text) = part.get("text") {
        let thought = part.get("thought").and_then(Value::as_bool) == Some(true);
        return json!({ "type": if thought { "reasoning" } else { "text" }, "content": text });
    }
    if let Some(call) = part.get("functionCall") {
        return tool_call(call);
    }
    if part.get("functionResponse").is_some() {
        let (id, response) = (of("/functionResponse/id"), of("/functionResponse/response"));
        return json!({ "type": "tool_call_response", "id": id, "response": response });
    }
    // What is no text is named and not sent.
    let kind = part.as_object().and_then(|part| part.keys().find(|name| !name.starts_with("thought")));
    json!({ "type": kind.map_or("unknown", String::as_str) })
}

fn tool_call(call: &Value) -> Value {
    let of = |name: &str| call.get(name).cloned().unwrap_or_default();
    json!({ "type": "tool_call", "id": of("id"), "name": of("name"), "arguments": of("args") })
}

/// What a piece of a stream says.
pub(super) fn piece(event: &Value, text: &mut String, calls: &mut Vec<Map<String, Value>>) {
    let Some(content) = event.pointer("/candidates/0/content") else { return };
    for part in content.get("parts").and_then(Value::as_array).into_iter().flatten() {
        if part.get("thought").and_then(Value::as_bool) != Some(true) {
            text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
        }
        if let Some(Value::Object(call)) = part.get("functionCall").map(tool_call) {
            calls.push(call);
        }
    }
}
