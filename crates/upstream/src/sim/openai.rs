//! OpenAI chat completions: reading the question, writing the answer.

use serde_json::{Value, json};

use super::{
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, tokens},
    body::Piece,
};

/// A fixed moment, so that answers are the same each time: 2026-01-01T00:00:00Z.
pub(super) const CREATED: u64 = 1_767_225_600;

pub(super) fn read(body: &[u8]) -> Option<Question> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let messages = body.get("messages")?.as_array()?;
    let texts: Vec<String> = messages.iter().map(|message| text(message.get("content"))).collect();
    let role = |message: &Value| message.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    let last_user_text = messages
        .iter()
        .zip(&texts)
        .rfind(|(message, _)| role(message) == "user")
        .map(|(_, text)| text.clone())
        .unwrap_or_default();
    let limit = |name: &str| body.get(name).and_then(Value::as_u64);
    Some(Question {
        model: body.get("model")?.as_str()?.to_owned(),
        prompt: texts.join("\n"),
        last_user_text,
        has_tool_result: messages.last().is_some_and(|message| role(message) == "tool"),
        tools: body
            .get("tools")
            .and_then(Value::as_array)
            .map(|tools| {
                tools.iter().filter_map(|tool| Some(tool.pointer("/function/name")?.as_str()?.to_owned())).collect()
            })
            .unwrap_or_default(),
        max_tokens: limit("max_completion_tokens").or_else(|| limit("max_tokens")).unwrap_or(DEFAULT_MAX_TOKENS),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
    })
}

pub(super) fn wants_usage(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|body| body.pointer("/stream_options/include_usage")?.as_bool())
        .unwrap_or(false)
}

/// The text of a message's content: a string, or the text parts of a list.
fn text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn finish_reason(answer: &Answer) -> &'static str {
    match (answer.tools.is_empty(), answer.cut_short) {
        (false, _) => "tool_calls",
        (true, true) => "length",
        (true, false) => "stop",
    }
}

fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens.saturating_add(answer.output_tokens),
    })
}

fn tool_call(index: usize, name: &str, arguments: &str) -> Value {
    json!({"id": format!("call_sim_{index}"), "type": "function", "function": {"name": name, "arguments": arguments}})
}

pub(super) fn unary(question: &Question, answer: &Answer) -> Vec<u8> {
    let tools: Vec<Value> =
        answer.tools.iter().enumerate().map(|(index, (name, arguments))| tool_call(index, name, arguments)).collect();
    let mut message = json!({"role": "assistant", "content": answer.pieces.concat()});
    if !tools.is_empty() {
        message = json!({"role": "assistant", "content": null, "tool_calls": tools});
    }
    json!({
        "id": "chatcmpl-sim", "object": "chat.completion", "created": CREATED, "model": question.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(answer)}],
        "usage": usage(answer),
    })
    .to_string()
    .into_bytes()
}

pub(super) fn stream(question: &Question, answer: &Answer, wants_usage: bool) -> Vec<Piece> {
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": CREATED, "model": question.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    let piece = |value: &Value, tokens: u64, content: bool| Piece {
        bytes: format!("data: {value}\n\n").into(),
        tokens,
        content,
    };
    let mut pieces = vec![piece(&chunk(json!({"role": "assistant", "content": ""}), Value::Null), 0, false)];
    let mut running = Running::default();
    for text in &answer.pieces {
        let count = running.add(text);
        pieces.push(piece(&chunk(json!({"content": text}), Value::Null), count, true));
    }
    for (index, (name, arguments)) in answer.tools.iter().enumerate() {
        let mut first = tool_call(index, name, "");
        if let Some(call) = first.as_object_mut() {
            call.insert("index".to_owned(), json!(index));
        }
        pieces.push(piece(&chunk(json!({"tool_calls": [first]}), Value::Null), tokens(name), true));
        let (head, tail) = halves(arguments);
        let mut running = Running::default();
        for part in [head, tail] {
            let delta = json!({"tool_calls": [{"index": index, "function": {"arguments": part}}]});
            pieces.push(piece(&chunk(delta, Value::Null), running.add(part), true));
        }
    }
    pieces.push(piece(&chunk(json!({}), json!(finish_reason(answer))), 0, false));
    if wants_usage {
        let last = json!({
            "id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": CREATED, "model": question.model,
            "choices": [], "usage": usage(answer),
        });
        pieces.push(piece(&last, 0, false));
    }
    pieces.push(Piece { bytes: "data: [DONE]\n\n".into(), tokens: 0, content: false });
    pieces
}

/// Two halves of a text, cut at a character's border.
pub(super) fn halves(text: &str) -> (&str, &str) {
    let mut middle = text.len() / 2;
    while !text.is_char_boundary(middle) {
        middle = middle.saturating_sub(1);
    }
    text.split_at_checked(middle).unwrap_or((text, ""))
}

pub(super) fn models() -> Vec<u8> {
    let models: Vec<Value> = super::MODELS
        .iter()
        .map(|model| json!({"id": model, "object": "model", "created": CREATED, "owned_by": "sim"}))
        .collect();
    json!({"object": "list", "data": models}).to_string().into_bytes()
}

pub(super) fn error(status: u16, message: &str) -> Vec<u8> {
    let kind = match status {
        400 | 404 => "invalid_request_error",
        429 => "rate_limit_error",
        _ => "server_error",
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}}).to_string().into_bytes()
}
