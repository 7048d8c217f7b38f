//! Bedrock's Converse and its count of tokens, and InvokeModel with Anthropic's bodies: reading the question, writing
//! the answer.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tidegate_protocol::{
    eventstream,
    llm::{Dialect, invoke_chunk},
    sse::DEFAULT_MAX_EVENT,
};

use super::{
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, tokens},
    anthropic,
    body::Piece,
    openai::halves,
};

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Converse,
    Invoke,
    Count,
}

/// Reads `/model/{id}/{action}`; of an id that names a provider, the model.
pub(super) fn asked(method: &Method, path: &str) -> Option<Asked> {
    let (id, action) = path.strip_prefix("/model/").filter(|_| *method == Method::POST)?.rsplit_once('/')?;
    let (action, stream) = match action {
        "converse" => (Action::Converse, false),
        "converse-stream" => (Action::Converse, true),
        "invoke" => (Action::Invoke, false),
        "invoke-with-response-stream" => (Action::Invoke, true),
        "count-tokens" => (Action::Count, false),
        _ => return None,
    };
    Some(Asked { model: id.replace("%2F", "/"), stream, action })
}

pub(super) fn read(body: &[u8], path: &str) -> Option<Question> {
    let asked = asked(&Method::POST, path)?;
    let mut body: Value = serde_json::from_slice(body).ok()?;
    if asked.action == Action::Invoke {
        let whole = body.as_object_mut()?;
        whole.insert("model".to_owned(), json!(asked.model));
        whole.insert("stream".to_owned(), json!(asked.stream));
        return anthropic::read(body.to_string().as_bytes());
    }
    if let Some(converse) = body.pointer("/input/converse") {
        body = converse.clone();
    }
    let messages = body.get("messages")?.as_array()?;
    let mut texts = vec![text(body.get("system"))];
    texts.extend(messages.iter().map(|message| text(message.get("content"))));
    let last_user = messages.iter().rfind(|message| message.get("role").and_then(Value::as_str) == Some("user"));
    let has_tool_result = last_user
        .and_then(|message| message.get("content")?.as_array())
        .is_some_and(|blocks| blocks.iter().any(|block| block.get("toolResult").is_some()));
    texts.retain(|text| !text.is_empty());
    let tools = body.pointer("/toolConfig/tools").and_then(Value::as_array).into_iter().flatten();
    Some(Question {
        model: asked.model.clone(),
        prompt: texts.join("\n"),
        last_user_text: last_user.map(|message| text(message.get("content"))).unwrap_or_default(),
        has_tool_result,
        tools: tools.filter_map(|tool| Some(tool.pointer("/toolSpec/name")?.as_str()?.to_owned())).collect(),
        max_tokens: body.pointer("/inferenceConfig/maxTokens").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_TOKENS),
        stream: asked.stream,
    })
}

/// The text of blocks, those inside tool results included.
fn text(content: Option<&Value>) -> String {
    let blocks = content.and_then(Value::as_array).into_iter().flatten();
    let texts = blocks.map(|block| match block.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => text(block.pointer("/toolResult/content")),
    });
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

fn usage(answer: &Answer) -> Value {
    let total = answer.input_tokens.saturating_add(answer.output_tokens);
    json!({"inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens, "totalTokens": total})
}

pub(super) fn unary(action: Action, question: &Question, answer: &Answer) -> Vec<u8> {
    match action {
        Action::Count => return json!({"inputTokens": answer.input_tokens}).to_string().into_bytes(),
        Action::Invoke => return anthropic::unary(question, answer),
        Action::Converse => {}
    }
    let mut content = Vec::new();
    if answer.tools.is_empty() || !answer.pieces.is_empty() {
        content.push(json!({"text": answer.pieces.concat()}));
    }
    for (index, (name, arguments)) in answer.tools.iter().enumerate() {
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        content.push(json!({"toolUse": {"toolUseId": format!("tooluse_sim_{index}"), "name": name, "input": input}}));
    }
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": anthropic::stop_reason(answer), "usage": usage(answer), "metrics": {"latencyMs": 1},
    })
    .to_string()
    .into_bytes()
}

fn event(name: &str, value: &Value, tokens: u64, content: bool) -> Piece {
    Piece { bytes: eventstream::event(name, value.to_string().as_bytes()).raw, tokens, content }
}

pub(super) fn stream(action: Action, question: &Question, answer: &Answer) -> Vec<Piece> {
    if action == Action::Invoke {
        return anthropic::stream(question, answer).into_iter().map(packed).collect();
    }
    let mut pieces = vec![event("messageStart", &json!({"role": "assistant"}), 0, false)];
    let mut index = 0_usize;
    let stop = |index: usize| event("contentBlockStop", &json!({"contentBlockIndex": index}), 0, false);
    if answer.tools.is_empty() || !answer.pieces.is_empty() {
        let mut running = Running::default();
        for text in &answer.pieces {
            let value = json!({"delta": {"text": text}, "contentBlockIndex": 0});
            pieces.push(event("contentBlockDelta", &value, running.add(text), true));
        }
        pieces.push(stop(0));
        index = 1;
    }
    for (nth, (name, arguments)) in answer.tools.iter().enumerate() {
        let call = json!({"toolUseId": format!("tooluse_sim_{nth}"), "name": name});
        let start = json!({"start": {"toolUse": call}, "contentBlockIndex": index});
        pieces.push(event("contentBlockStart", &start, tokens(name), true));
        let (head, tail) = halves(arguments);
        let mut running = Running::default();
        for part in [head, tail] {
            let value = json!({"delta": {"toolUse": {"input": part}}, "contentBlockIndex": index});
            pieces.push(event("contentBlockDelta", &value, running.add(part), true));
        }
        pieces.push(stop(index));
        index = index.saturating_add(1);
    }
    pieces.push(event("messageStop", &json!({"stopReason": anthropic::stop_reason(answer)}), 0, false));
    let metadata = json!({"usage": usage(answer), "metrics": {"latencyMs": 1}});
    pieces.push(event("metadata", &metadata, 0, false));
    pieces
}

/// An event of Anthropic's as InvokeModel packs it.
fn packed(piece: Piece) -> Piece {
    let mut parser = Dialect::Anthropic.framing().parser(DEFAULT_MAX_EVENT);
    parser.push(piece.bytes);
    let data = match parser.next_frame() {
        Some(Ok(frame)) => frame.data.unwrap_or_default(),
        _ => Bytes::new(),
    };
    Piece { bytes: invoke_chunk(&data).raw, ..piece }
}

/// The type of an error and its body.
pub(super) fn error(status: u16, message: &str) -> (&'static str, Vec<u8>) {
    let kind = match status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    (kind, json!({"message": message}).to_string().into_bytes())
}
