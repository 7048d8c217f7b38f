//! Anthropic messages: reading the question, writing the answer.

use serde_json::{Value, json};

use super::{
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, tokens},
    body::Piece,
    openai::halves,
};

pub(super) fn read(body: &[u8]) -> Option<Question> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let messages = body.get("messages")?.as_array()?;
    let mut texts = vec![text(body.get("system"))];
    texts.extend(messages.iter().map(|message| text(message.get("content"))));
    let last_user = messages.iter().rfind(|message| message.get("role").and_then(Value::as_str) == Some("user"));
    let has_tool_result = last_user
        .and_then(|message| message.get("content")?.as_array())
        .is_some_and(|parts| parts.iter().any(|part| part.get("type").and_then(Value::as_str) == Some("tool_result")));
    texts.retain(|text| !text.is_empty());
    Some(Question {
        model: body.get("model")?.as_str()?.to_owned(),
        prompt: texts.join("\n"),
        last_user_text: last_user.map(|message| text(message.get("content"))).unwrap_or_default(),
        has_tool_result,
        tools: body
            .get("tools")
            .and_then(Value::as_array)
            .map(|tools| tools.iter().filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect())
            .unwrap_or_default(),
        max_tokens: body.get("max_tokens").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_TOKENS),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// The text of a content: a string, or the text blocks of a list, those inside tool results included.
fn text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => blocks
            .iter()
            .map(|block| match block.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => text(block.get("content")),
            })
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

pub(super) fn stop_reason(answer: &Answer) -> &'static str {
    match (answer.tools.is_empty(), answer.cut_short) {
        (false, _) => "tool_use",
        (true, true) => "max_tokens",
        (true, false) => "end_turn",
    }
}

pub(super) fn unary(question: &Question, answer: &Answer) -> Vec<u8> {
    let mut content = Vec::new();
    if answer.tools.is_empty() || !answer.pieces.is_empty() {
        content.push(json!({"type": "text", "text": answer.pieces.concat()}));
    }
    for (index, (name, arguments)) in answer.tools.iter().enumerate() {
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        content.push(json!({"type": "tool_use", "id": format!("toolu_sim_{index}"), "name": name, "input": input}));
    }
    json!({
        "id": "msg_sim", "type": "message", "role": "assistant", "model": question.model, "content": content,
        "stop_reason": stop_reason(answer), "stop_sequence": null,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
    })
    .to_string()
    .into_bytes()
}

fn event(value: &Value, tokens: u64, content: bool) -> Piece {
    let name = value.get("type").and_then(Value::as_str).unwrap_or("ping");
    Piece { bytes: format!("event: {name}\ndata: {value}\n\n").into(), tokens, content }
}

pub(super) fn stream(question: &Question, answer: &Answer) -> Vec<Piece> {
    let message = json!({
        "id": "msg_sim", "type": "message", "role": "assistant", "model": question.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": 0},
    });
    let mut pieces = vec![event(&json!({"type": "message_start", "message": message}), 0, false)];
    pieces.push(event(&json!({"type": "ping"}), 0, false));
    let mut index = 0_usize;
    if answer.tools.is_empty() || !answer.pieces.is_empty() {
        let block = json!({"type": "text", "text": ""});
        pieces.push(event(&json!({"type": "content_block_start", "index": 0, "content_block": block}), 0, false));
        let mut running = Running::default();
        for text in &answer.pieces {
            let delta = json!({"type": "text_delta", "text": text});
            let value = json!({"type": "content_block_delta", "index": 0, "delta": delta});
            pieces.push(event(&value, running.add(text), true));
        }
        pieces.push(event(&json!({"type": "content_block_stop", "index": 0}), 0, false));
        index = 1;
    }
    for (nth, (name, arguments)) in answer.tools.iter().enumerate() {
        let block = json!({"type": "tool_use", "id": format!("toolu_sim_{nth}"), "name": name, "input": {}});
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        pieces.push(event(&start, tokens(name), true));
        let (head, tail) = halves(arguments);
        let mut running = Running::default();
        for part in [head, tail] {
            let delta = json!({"type": "input_json_delta", "partial_json": part});
            let value = json!({"type": "content_block_delta", "index": index, "delta": delta});
            pieces.push(event(&value, running.add(part), true));
        }
        pieces.push(event(&json!({"type": "content_block_stop", "index": index}), 0, false));
        index = index.saturating_add(1);
    }
    let end = json!({
        "type": "message_delta", "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
        "usage": {"output_tokens": answer.output_tokens},
    });
    pieces.push(event(&end, 0, false));
    pieces.push(event(&json!({"type": "message_stop"}), 0, false));
    pieces
}

pub(super) fn models() -> Vec<u8> {
    let models: Vec<Value> = super::MODELS
        .iter()
        .map(|model| json!({"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"}))
        .collect();
    json!({"data": models, "has_more": false, "first_id": super::MODELS.first(), "last_id": super::MODELS.last()})
        .to_string()
        .into_bytes()
}

pub(super) fn error(status: u16, message: &str) -> Vec<u8> {
    let kind = match status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}}).to_string().into_bytes()
}
