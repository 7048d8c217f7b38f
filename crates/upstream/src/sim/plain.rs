//! OpenAI's completions and embeddings: reading the question, writing the answer.

use serde_json::{Value, json};

use super::{
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, tokens},
    body::Piece,
    openai::CREATED,
};

/// The numbers of an embedding.
const DIMENSIONS: usize = 8;

/// One text, or the tokens of one.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) tokens: u64,
}

/// The texts of `input` or `prompt`: a string, an array of strings, tokens, or an array of such.
fn texts(value: Option<&Value>) -> Option<Vec<Text>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(Text { text: text.clone(), tokens: tokens(text) }),
        Value::Array(items) if items.iter().all(Value::is_u64) => Some(Text {
            text: items.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
            tokens: u64::try_from(items.len()).unwrap_or(u64::MAX),
        }),
        _ => None,
    };
    match value? {
        Value::Array(items) if !items.first().is_some_and(Value::is_u64) => items.iter().map(one).collect(),
        value => Some(vec![one(value)?]),
    }
}

fn question(body: &Value, texts: &[Text]) -> Option<Question> {
    let prompt = texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n");
    Some(Question {
        model: body.get("model")?.as_str()?.to_owned(),
        last_user_text: prompt.clone(),
        prompt,
        max_tokens: body.get("max_tokens").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_TOKENS),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        ..Question::default()
    })
}

pub(super) fn read(body: &[u8]) -> Option<Question> {
    let body: Value = serde_json::from_slice(body).ok()?;
    question(&body, &texts(body.get("prompt"))?)
}

pub(super) fn read_embed(body: &[u8]) -> Option<(Question, Vec<Text>)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let texts = texts(body.get("input"))?;
    Some((question(&body, &texts)?, texts))
}

fn usage(input: u64, output: u64) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output)})
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.cut_short { "length" } else { "stop" }
}

pub(super) fn unary(question: &Question, answer: &Answer) -> Vec<u8> {
    json!({
        "id": "cmpl-sim", "object": "text_completion", "created": CREATED, "model": question.model,
        "choices": [{"index": 0, "text": answer.pieces.concat(), "logprobs": null,
            "finish_reason": finish_reason(answer)}],
        "usage": usage(answer.input_tokens, answer.output_tokens),
    })
    .to_string()
    .into_bytes()
}

pub(super) fn stream(question: &Question, answer: &Answer, wants_usage: bool) -> Vec<Piece> {
    let frame = |choices: Value, usage: Option<Value>, tokens: u64, content: bool| {
        let mut value = json!({
            "id": "cmpl-sim", "object": "text_completion", "created": CREATED, "model": question.model,
            "choices": choices,
        });
        if let (Some(usage), Some(object)) = (usage, value.as_object_mut()) {
            object.insert("usage".to_owned(), usage);
        }
        Piece { bytes: format!("data: {value}\n\n").into(), tokens, content }
    };
    let mut running = Running::default();
    let mut pieces: Vec<Piece> = answer
        .pieces
        .iter()
        .map(|text| {
            let choice = json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": null}]);
            frame(choice, None, running.add(text), true)
        })
        .collect();
    let last = json!([{"index": 0, "text": "", "logprobs": null, "finish_reason": finish_reason(answer)}]);
    pieces.push(frame(last, None, 0, false));
    if wants_usage {
        pieces.push(frame(json!([]), Some(usage(answer.input_tokens, answer.output_tokens)), 0, false));
    }
    pieces.push(Piece { bytes: "data: [DONE]\n\n".into(), tokens: 0, content: false });
    pieces
}

/// Numbers that depend on the text alone: each a digest's byte, between -1 and 1.
pub(super) fn numbers(text: &str) -> Vec<f64> {
    let digest = tidegate_core::ids::Digest::of(text.as_bytes());
    digest.as_bytes().iter().take(DIMENSIONS).map(|byte| (f64::from(*byte) - 128.0) / 128.0).collect()
}

pub(super) fn embeddings(model: &str, texts: &[Text], input: u64) -> Vec<u8> {
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": numbers(&text.text)}))
        .collect();
    json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": input, "total_tokens": input}})
        .to_string()
        .into_bytes()
}
