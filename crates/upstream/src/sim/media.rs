//! Pictures, sound, moderation and ranking as the sim answers them: always the same, and counted.
//!
//! Owns these answers. Reads forms as loosely as servers do; the gateway is the strict one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    Sim,
    answer::{Answer, Question, tokens},
    body::{Body, json as json_answer, whole},
    ledger::End,
    openai::{self, CREATED},
    script::Script,
    serve::{call_id, fail_openai, open, read_body},
};

/// The tokens of one picture.
const PICTURE: u64 = 100;

/// A picture of one point.
const POINT: [u8; 66] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 31, 21, 196,
    137, 0, 0, 0, 10, 73, 68, 65, 84, 120, 156, 99, 0, 1, 0, 0, 5, 0, 1, 13, 10, 45, 180, 0, 0, 0, 0, 73, 69, 78, 68,
    174, 66, 96,
];

/// Whether a path is answered here.
pub(super) fn is_known(path: &str) -> bool {
    matches!(
        path,
        "/images/generations"
            | "/images/edits"
            | "/images/variations"
            | "/audio/speech"
            | "/audio/transcriptions"
            | "/audio/translations"
            | "/moderations"
            | "/rerank"
    )
}

/// A request: JSON, or the fields of a form with the bytes of its files.
pub(super) struct Asked {
    fields: Value,
    file: usize,
    /// What is in the last file.
    pub(super) content: Vec<u8>,
}

impl Asked {
    pub(super) fn read(is_form: bool, body: &[u8]) -> Option<Self> {
        if !is_form {
            return Some(Self { fields: serde_json::from_slice(body).ok()?, file: 0, content: Vec::new() });
        }
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let boundary = body.get(..end)?;
        let mut asked = Self { fields: json!({}), file: 0, content: Vec::new() };
        for part in split(body, boundary) {
            let Some(at) = part.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(part.get(..at)?).into_owned();
            let value = part.get(at.saturating_add(4)..part.len().saturating_sub(2)).unwrap_or_default();
            let name = head.split("name=\"").nth(1)?.split('"').next()?.to_owned();
            if head.contains("filename=") {
                asked.file = asked.file.saturating_add(value.len());
                asked.content = value.to_vec();
            } else if let Some(fields) = asked.fields.as_object_mut() {
                fields.insert(name, String::from_utf8_lossy(value).into_owned().into());
            }
        }
        Some(asked)
    }

    pub(super) fn text(&self, name: &str) -> String {
        match self.fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().or_else(|| item.get("text")?.as_str()).map(str::to_owned);
                items.iter().filter_map(text).collect::<Vec<_>>().join("\n")
            }
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

fn split<'body>(body: &'body [u8], boundary: &[u8]) -> Vec<&'body [u8]> {
    let (mut parts, mut from) = (Vec::new(), None);
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| rest.len() >= boundary.len()) {
        if rest.starts_with(boundary) {
            if let Some(from) = from {
                parts.extend(body.get(from..at));
            }
            at = at.saturating_add(boundary.len());
            from = Some(at);
        } else {
            at = at.saturating_add(1);
        }
    }
    parts
}

/// Answers it.
pub(super) async fn serve(sim: Sim, request: Request<Incoming>, path: String) -> Response<Body> {
    let call_id = call_id(&request);
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
    let asked = read_body(request).await.and_then(|body| Asked::read(is_form, &body));
    let Some(asked) = asked else {
        return json_answer(StatusCode::BAD_REQUEST, openai::error(400, "the body could not be read"));
    };
    let prompt = ["prompt", "input", "query"].iter().map(|name| asked.text(name)).collect::<Vec<_>>().concat();
    let question = Question { model: asked.text("model"), prompt, ..Question::default() };
    let count = asked.text("n").parse().unwrap_or(1_u64);
    let heard = u64::try_from(asked.file.div_ceil(4_800)).unwrap_or(u64::MAX);
    let documents = asked.fields.get("documents").and_then(Value::as_array).cloned().unwrap_or_default();
    let ranked: u64 = documents.iter().map(|text| tokens(&text.to_string())).sum();
    let (more, output) = match path.as_str() {
        "/images/generations" => (0, count.saturating_mul(PICTURE)),
        "/images/edits" | "/images/variations" => (PICTURE, count.saturating_mul(PICTURE)),
        "/audio/transcriptions" | "/audio/translations" => (heard, 5),
        "/audio/speech" => (0, tokens(&question.prompt)),
        _ => (ranked, 0),
    };
    let input = tokens(&question.prompt).saturating_add(more);
    let counted = Answer { input_tokens: input, output_tokens: output, ..Answer::nothing() };
    let mut entry = open(&sim, format!("/v1{path}"), call_id, &question, &counted);
    if !super::MODELS.contains(&question.model.as_str()) {
        return fail_openai(entry, 404, "the sim has no such model");
    }
    let script = Script::read(&question.prompt);
    if let Some((status, times)) = script.fail
        && sim.fails_now(&question.prompt, times)
    {
        return fail_openai(entry, status, "failed as the script wanted");
    }
    entry.status(StatusCode::OK);
    entry.sent(output);
    entry.end(End::Complete);
    let used = json!({"input_tokens": input, "output_tokens": output, "total_tokens": input.saturating_add(output),
        "input_tokens_details": {"text_tokens": input.saturating_sub(more), "image_tokens": more}});
    let answer = match path.as_str() {
        "/audio/speech" => return sound(&question.prompt),
        "/audio/transcriptions" | "/audio/translations" => {
            let text = script.say.unwrap_or_else(|| format!("{} bytes of sound", asked.file));
            if asked.text("response_format") == "text" {
                return plain(text);
            }
            json!({"text": text, "usage": {"type": "tokens", "input_tokens": input, "output_tokens": output,
                "total_tokens": input.saturating_add(output),
                "input_token_details": {"text_tokens": input.saturating_sub(more), "audio_tokens": more}}})
        }
        "/moderations" => {
            let flagged = question.prompt.contains("harm");
            json!({"id": "modr-sim", "model": question.model, "results": [{"flagged": flagged,
                "categories": {"violence": flagged}, "category_scores": {"violence": if flagged { 0.9 } else { 0.1 }},
                "category_applied_input_types": {"violence": ["text"]}}]})
        }
        "/rerank" => {
            let results: Vec<Value> = (0..documents.len())
                .rev()
                .map(|index| json!({"index": index, "relevance_score": 0.5, "document": documents.get(index)}))
                .collect();
            json!({"id": "rerank-sim", "model": question.model, "results": results, "usage": {"total_tokens": input}})
        }
        _ => {
            let picture = json!({"b64_json": STANDARD.encode(POINT)});
            let count = usize::try_from(count).unwrap_or(1);
            json!({"created": CREATED, "data": vec![picture; count.min(16)], "usage": used})
        }
    };
    json_answer(StatusCode::OK, answer.to_string())
}

fn sound(text: &str) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from(format!("sound of: {text}"))));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("audio/mpeg"));
    response
}

fn plain(text: String) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from(text)));
    let media = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
