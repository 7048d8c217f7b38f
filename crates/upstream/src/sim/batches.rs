//! Files and batches as the sim keeps them, in OpenAI's form and Anthropic's: every line is answered at once, and told
//! when the batch is looked up for the first time.
//!
//! Owns these files and batches, in memory and bounded: the oldest are forgotten. Each line is in the ledger as a call.

use std::{collections::VecDeque, sync::atomic::Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    Sim,
    answer::{Answer, answer},
    anthropic,
    body::{Body, json as json_answer, whole},
    ledger::End,
    media::Asked,
    openai::{self, CREATED},
    plain, responses,
    script::Script,
    serve::{Wire, call_id, open, read, read_body},
};

/// The most files, and the most batches, that are kept.
const MOST: usize = 64;

/// What is kept.
#[derive(Default)]
pub(super) struct Kept {
    files: Mutex<VecDeque<File>>,
    batches: Mutex<VecDeque<Batch>>,
}

#[derive(Clone)]
struct File {
    id: String,
    shown: Value,
    content: Bytes,
}

struct Batch {
    id: String,
    /// As it is shown at first.
    begun: Value,
    /// As it is shown from the first look-up on.
    done: Value,
    seen: bool,
    /// The results, where they are no file.
    results: Bytes,
}

fn put<T>(kept: &Mutex<VecDeque<T>>, one: T) {
    let mut kept = kept.lock();
    kept.push_back(one);
    if kept.len() > MOST {
        kept.pop_front();
    }
}

/// Whether a path is answered here.
pub(super) fn is_known(path: &str) -> bool {
    ["/files", "/batches", "/messages/batches"].into_iter().any(|collection| {
        let below = path.strip_prefix(collection);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

/// Answers it.
pub(super) async fn serve(sim: Sim, request: Request<Incoming>, path: String) -> Response<Body> {
    let method = request.method().clone();
    let (call_id, host) = (call_id(&request), host(&request));
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
    let body = read_body(request).await.unwrap_or_default();
    let answered = match (&method, path.split('/').skip(1).collect::<Vec<_>>().as_slice()) {
        (&Method::POST, ["files"]) => upload(&sim, is_form, &body),
        (&Method::GET, ["files"]) => Some(list(sim.state.kept.files.lock().iter().map(|file| file.shown.clone()))),
        (&Method::GET, ["files", id]) => sim.file(id).map(|file| file.shown),
        (&Method::GET, ["files", id, "content"]) => match sim.file(id) {
            Some(file) => return lines(file.content),
            None => None,
        },
        (&Method::DELETE, ["files", id]) => sim.delete(id),
        (&Method::POST, ["batches"]) => begin(&sim, &body, call_id),
        (&Method::GET, ["batches"]) => Some(list(sim.begun("batch_"))),
        (&Method::POST, ["messages", "batches"]) => begin_messages(&sim, &body, call_id, &host),
        (&Method::GET, ["messages", "batches"]) => Some(list(sim.begun("msgbatch_"))),
        (&Method::GET, ["messages", "batches", id, "results"]) => match sim.results(id) {
            Some(results) => return lines(results),
            None => None,
        },
        (&Method::GET, ["batches", id] | ["messages", "batches", id])
        | (&Method::POST, ["batches", id, "cancel"] | ["messages", "batches", id, "cancel"]) => sim.looked_up(id),
        _ => None,
    };
    match answered {
        Some(answer) => json_answer(StatusCode::OK, answer.to_string().into_bytes()),
        None if path.starts_with("/messages") => {
            json_answer(StatusCode::NOT_FOUND, anthropic::error(404, "the sim has no such batch, or cannot read it"))
        }
        None => json_answer(StatusCode::NOT_FOUND, openai::error(404, "the sim has no such thing, or cannot read it")),
    }
}

/// Where the sim was asked at, for addresses that lead back to it.
fn host(request: &Request<Incoming>) -> String {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("sim").to_owned()
}

fn lines(content: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(content));
    let media_type = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

fn list(data: impl Iterator<Item = Value>) -> Value {
    let data: Vec<Value> = data.collect();
    let at = |end: Option<&Value>| end.and_then(|one| one.get("id")).cloned().unwrap_or_default();
    json!({"object": "list", "first_id": at(data.first()), "last_id": at(data.last()), "data": data, "has_more": false})
}

impl Sim {
    fn number(&self) -> u64 {
        self.state.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn keep(&self, name: &str, purpose: &str, content: Bytes) -> String {
        let id = format!("file-sim-{}", self.number());
        let shown = json!({"id": id, "object": "file", "bytes": content.len(), "created_at": CREATED,
            "filename": name, "purpose": purpose, "status": "processed"});
        put(&self.state.kept.files, File { id: id.clone(), shown, content });
        id
    }

    fn file(&self, id: &str) -> Option<File> {
        self.state.kept.files.lock().iter().find(|file| file.id == id).cloned()
    }

    fn delete(&self, id: &str) -> Option<Value> {
        let mut files = self.state.kept.files.lock();
        let at = files.iter().position(|file| file.id == id)?;
        files.remove(at)?;
        Some(json!({"id": id, "object": "file", "deleted": true}))
    }

    fn begun(&self, prefix: &str) -> impl Iterator<Item = Value> {
        let batches = self.state.kept.batches.lock();
        let of = batches.iter().filter(|batch| batch.id.starts_with(prefix));
        let shown: Vec<Value> = of.map(|batch| if batch.seen { &batch.done } else { &batch.begun }.clone()).collect();
        shown.into_iter()
    }

    fn looked_up(&self, id: &str) -> Option<Value> {
        let mut batches = self.state.kept.batches.lock();
        let batch = batches.iter_mut().find(|batch| batch.id == id)?;
        batch.seen = true;
        Some(batch.done.clone())
    }

    fn results(&self, id: &str) -> Option<Bytes> {
        let batches = self.state.kept.batches.lock();
        let batch = batches.iter().find(|batch| batch.id == id && batch.seen)?;
        Some(batch.results.clone()).filter(|results| !results.is_empty())
    }
}

fn upload(sim: &Sim, is_form: bool, body: &[u8]) -> Option<Value> {
    let asked = Asked::read(is_form, body).filter(|_| is_form)?;
    let id = sim.keep("lines.jsonl", &asked.text("purpose"), Bytes::from(asked.content));
    sim.file(&id).map(|file| file.shown)
}

/// One answer, as it would be given to a call of its own: its status and its body.
fn one(sim: &Sim, wire: Option<Wire>, path: &str, call_id: Option<String>, body: &Value) -> Option<(u16, Value)> {
    let bytes = body.to_string().into_bytes();
    let (question, texts) = match wire {
        Some(wire) => (read(wire, path, &bytes)?, Vec::new()),
        None => plain::read_embed(&bytes)?,
    };
    let script = Script::read(&question.prompt);
    let mut answered = answer(&question, &script);
    if wire.is_none() {
        let input = texts.iter().map(|text| text.tokens).sum();
        answered = Answer { input_tokens: input, ..Answer::nothing() };
    }
    let mut entry = open(sim, path.to_owned(), call_id, &question, &answered);
    let failed = script.fail.filter(|(_, times)| sim.fails_now(&question.prompt, *times)).map(|(status, _)| status);
    let failed = failed.or_else(|| (!super::MODELS.contains(&question.model.as_str())).then_some(404));
    let status = failed.unwrap_or(200);
    entry.status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    entry.end(if failed.is_some() { End::Failed } else { End::Complete });
    let told = match (failed, wire) {
        (Some(status), Some(Wire::Anthropic)) => anthropic::error(status, "failed as the script wanted"),
        (Some(status), _) => openai::error(status, "failed as the script wanted"),
        (None, Some(Wire::Anthropic)) => anthropic::unary(&question, &answered),
        (None, Some(Wire::Responses)) => responses::unary(&question, &answered, &bytes),
        (None, Some(Wire::Plain)) => plain::unary(&question, &answered),
        (None, Some(_)) => openai::unary(&question, &answered),
        (None, None) => plain::embeddings(&question.model, &texts, answered.input_tokens),
    };
    entry.sent(answered.output_tokens);
    Some((status, serde_json::from_slice(&told).ok()?))
}

fn joined(lines: &[Value]) -> Bytes {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into()
}

/// A batch of a file's lines.
fn begin(sim: &Sim, body: &[u8], call_id: Option<String>) -> Option<Value> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    let endpoint = asked.get("endpoint")?.as_str()?;
    let wire = match endpoint {
        "/v1/chat/completions" => Some(Wire::OpenAi),
        "/v1/completions" => Some(Wire::Plain),
        "/v1/responses" => Some(Wire::Responses),
        "/v1/embeddings" => None,
        _ => return None,
    };
    let input = sim.file(asked.get("input_file_id")?.as_str()?)?;
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(&input.content).lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).ok()?;
        let (status, told) = one(sim, wire, endpoint, call_id.clone(), line.get("body")?)?;
        let answer = json!({"id": format!("batch_req_{}", sim.number()), "custom_id": line.get("custom_id"),
            "response": {"status_code": status, "request_id": "sim", "body": told}, "error": null});
        if status == 200 { answers.push(answer) } else { failures.push(answer) }
    }
    let file = |name: &str, lines: &[Value]| match lines {
        [] => Value::Null,
        lines => sim.keep(name, "batch_output", joined(lines)).into(),
    };
    let id = format!("batch_sim_{}", sim.number());
    let total = answers.len().saturating_add(failures.len());
    let begun = json!({"id": id, "object": "batch", "endpoint": endpoint, "errors": null, "status": "in_progress",
        "input_file_id": input.id, "completion_window": "24h", "output_file_id": null, "error_file_id": null,
        "created_at": CREATED, "metadata": asked.get("metadata"),
        "request_counts": {"total": total, "completed": 0, "failed": 0}});
    let mut done = begun.clone();
    if let Some(done) = done.as_object_mut() {
        done.insert("status".to_owned(), "completed".into());
        done.insert("output_file_id".to_owned(), file("output.jsonl", &answers));
        done.insert("error_file_id".to_owned(), file("errors.jsonl", &failures));
        let counts = json!({"total": total, "completed": answers.len(), "failed": failures.len()});
        done.insert("request_counts".to_owned(), counts);
    }
    put(&sim.state.kept.batches, Batch { id, begun: begun.clone(), done, seen: false, results: Bytes::new() });
    Some(begun)
}

/// A batch of messages.
fn begin_messages(sim: &Sim, body: &[u8], call_id: Option<String>, host: &str) -> Option<Value> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    let (mut results, mut failed) = (Vec::new(), 0_u64);
    for request in asked.get("requests")?.as_array()? {
        let params = request.get("params")?;
        let (status, mut told) = one(sim, Some(Wire::Anthropic), "/v1/messages", call_id.clone(), params)?;
        if let Some(usage) = told.get_mut("usage").and_then(Value::as_object_mut) {
            usage.insert("service_tier".to_owned(), "batch".into());
        }
        failed = failed.saturating_add(u64::from(status != 200));
        let result = if status == 200 {
            json!({"type": "succeeded", "message": told})
        } else {
            json!({"type": "errored", "error": told})
        };
        results.push(json!({"custom_id": request.get("custom_id"), "result": result}));
    }
    let id = format!("msgbatch_sim{}", sim.number());
    let counts = |processing: usize, succeeded: u64, errored: u64| json!({"processing": processing, "succeeded": succeeded, "errored": errored, "canceled": 0, "expired": 0});
    let moment = "2026-01-01T00:00:00Z";
    let begun = json!({"id": id, "type": "message_batch", "processing_status": "in_progress", "results_url": null,
        "request_counts": counts(results.len(), 0, 0), "created_at": moment, "expires_at": moment, "ended_at": null,
        "archived_at": null, "cancel_initiated_at": null});
    let mut done = begun.clone();
    if let Some(done) = done.as_object_mut() {
        let succeeded = u64::try_from(results.len()).unwrap_or(u64::MAX).saturating_sub(failed);
        done.insert("processing_status".to_owned(), "ended".into());
        done.insert("ended_at".to_owned(), moment.into());
        done.insert("request_counts".to_owned(), counts(0, succeeded, failed));
        done.insert("results_url".to_owned(), format!("http://{host}/v1/messages/batches/{id}/results").into());
    }
    put(&sim.state.kept.batches, Batch { id, begun: begun.clone(), done, seen: false, results: joined(&results) });
    Some(begun)
}
