//! Gemini's `generateContent`: reading the question, writing the answer.

use serde_json::{Value, json};

use super::{
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, tokens},
    body::Piece,
};

/// What a path below the version asks of which model: `/models/chat:generateContent`.
pub(super) fn named(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/models/")?.split_once(':')
}

/// The question of a body, for the model and the method that its path names.
pub(super) fn read(model: &str, stream: bool, body: &[u8]) -> Option<Question> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let body = body.get("generateContentRequest").unwrap_or(&body);
    let contents = body.get("contents")?.as_array()?;
    let is_user = |content: &&Value| content.get("role").and_then(Value::as_str) != Some("model");
    let last_user = contents.iter().rfind(is_user);
    let mut texts = vec![text(body.get("systemInstruction"))];
    texts.extend(contents.iter().map(|content| text(Some(content))));
    texts.retain(|text| !text.is_empty());
    let has_tool_result = contents
        .last()
        .and_then(|content| content.get("parts")?.as_array())
        .is_some_and(|parts| parts.iter().any(|part| part.get("functionResponse").is_some()));
    let declared = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    let functions = declared.filter_map(|tool| tool.get("functionDeclarations")?.as_array()).flatten();
    Some(Question {
        model: model.to_owned(),
        prompt: texts.join("\n"),
        last_user_text: text(last_user),
        has_tool_result,
        tools: functions.filter_map(|function| Some(function.get("name")?.as_str()?.to_owned())).collect(),
        max_tokens: body
            .pointer("/generationConfig/maxOutputTokens")
            .and_then(Value::as_u64)
            .unwrap_or(DEFAULT_MAX_TOKENS),
        stream,
    })
}

/// The text parts of a content, and what functions said.
fn text(content: Option<&Value>) -> String {
    let parts = content.and_then(|content| content.get("parts")?.as_array()).into_iter().flatten();
    let said = |part: &Value| match part.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => part.pointer("/functionResponse/response").map(Value::to_string).unwrap_or_default(),
    };
    parts.map(said).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.cut_short { "MAX_TOKENS" } else { "STOP" }
}

fn call(name: &str, arguments: &str) -> Value {
    let args: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
    json!({"functionCall": {"name": name, "args": args}})
}

fn response(question: &Question, answer: &Answer, parts: &[Value], last: bool) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(object) = candidate.as_object_mut().filter(|_| last) {
        object.insert("finishReason".to_owned(), finish_reason(answer).into());
    }
    let output = if last { answer.output_tokens } else { 0 };
    json!({
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": answer.input_tokens, "candidatesTokenCount": output,
            "totalTokenCount": answer.input_tokens.saturating_add(output)},
        "modelVersion": question.model, "responseId": "resp_sim",
    })
}

pub(super) fn unary(question: &Question, answer: &Answer) -> Vec<u8> {
    let mut parts = Vec::new();
    if !answer.pieces.is_empty() {
        parts.push(json!({"text": answer.pieces.concat()}));
    }
    parts.extend(answer.tools.iter().map(|(name, arguments)| call(name, arguments)));
    response(question, answer, &parts, true).to_string().into_bytes()
}

pub(super) fn stream(question: &Question, answer: &Answer) -> Vec<Piece> {
    let frame = |parts: &[Value], last: bool, tokens: u64| {
        let value = response(question, answer, parts, last);
        Piece { bytes: format!("data: {value}\r\n\r\n").into(), tokens, content: !last }
    };
    let mut running = Running::default();
    let mut pieces: Vec<Piece> =
        answer.pieces.iter().map(|text| frame(&[json!({"text": text})], false, running.add(text))).collect();
    for (name, arguments) in &answer.tools {
        let count = tokens(name).saturating_add(tokens(arguments));
        pieces.push(frame(&[call(name, arguments)], false, count));
    }
    pieces.push(frame(&[json!({"text": ""})], true, 0));
    pieces
}

pub(super) fn models() -> Vec<u8> {
    let models: Vec<Value> =
        super::MODELS.iter().map(|model| json!({"name": format!("models/{model}"), "displayName": model})).collect();
    json!({"models": models}).to_string().into_bytes()
}

pub(super) fn count(tokens: u64) -> Vec<u8> {
    json!({"totalTokens": tokens}).to_string().into_bytes()
}

/// The texts of a request for embeddings, one for each; `many` says whether it is one for several.
pub(super) fn read_embed(many: bool, body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let one = |request: &Value| request.get("content").map(|content| text(Some(content)));
    if many { body.get("requests")?.as_array()?.iter().map(one).collect() } else { Some(vec![one(&body)?]) }
}

pub(super) fn embeddings(many: bool, numbers: &[Vec<f64>], input: u64) -> Vec<u8> {
    let usage = json!({"promptTokenCount": input, "totalTokenCount": input});
    let mut all: Vec<Value> = numbers.iter().map(|values| json!({"values": values})).collect();
    let value = if many {
        json!({"embeddings": all, "usageMetadata": usage})
    } else {
        json!({"embedding": all.pop(), "usageMetadata": usage})
    };
    value.to_string().into_bytes()
}

pub(super) fn error(status: u16, message: &str) -> Vec<u8> {
    let (code, name) = match status {
        400 => (400, "INVALID_ARGUMENT"),
        404 => (404, "NOT_FOUND"),
        429 => (429, "RESOURCE_EXHAUSTED"),
        503 | 529 => (503, "UNAVAILABLE"),
        other => (other, "INTERNAL"),
    };
    json!({"error": {"code": code, "message": message, "status": name}}).to_string().into_bytes()
}
