//! The HTTP side: which path is answered by what, over memory or over a port.

use std::{convert::Infallible, io};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_core::clock;
use tokio::{io::DuplexStream, net::TcpListener};

use super::{
    Sim,
    answer::{Answer, Question, answer},
    anthropic, batches, bedrock,
    body::{Body, Entry, Piece, json, streamed, whole},
    gemini,
    ledger::{End, LedgerEntry},
    live, mcp, media, openai, plain, responses,
    script::Script,
};

/// Largest body that is read.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// Bytes that wait between the gateway and this upstream in memory.
const DUPLEX_BYTES: usize = 64 * 1024;

/// Which wire format an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    OpenAi,
    Anthropic,
    /// OpenAI's older one, `/completions`.
    Plain,
    Gemini,
    /// OpenAI's newer one, `/responses`.
    Responses,
    /// Bedrock's, of this action.
    Bedrock(bedrock::Action),
}

impl crate::connect::InMemoryService for Sim {
    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        let sim = self.clone();
        crate::task::spawn("sim connection", async move {
            serve_connection(sim, far).await;
        });
        near
    }
}

/// Serves the upstream on `listener` until the task is dropped.
///
/// # Errors
/// Where the listener itself fails.
pub async fn serve(sim: Sim, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sim = sim.clone();
        crate::task::spawn("sim connection", async move {
            serve_connection(sim, stream).await;
        });
    }
}

async fn serve_connection<S>(sim: Sim, stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let sim = sim.clone();
        async move { Ok::<_, Infallible>(route(sim, request).await) }
    });
    let served = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the sim ended early");
    }
}

async fn route(sim: Sim, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let gemini = path.starts_with("/v1beta/") || request.headers().contains_key("x-goog-api-key");
    let path = below_version(&path);
    if let Some(asked) = bedrock::asked(request.method(), path) {
        return generate(sim, request, Wire::Bedrock(asked.action)).await;
    }
    let anthropic = request.headers().contains_key("anthropic-version");
    match (request.method(), path) {
        (&Method::GET, "/__sim/ledger") => json(StatusCode::OK, serde_json::to_vec(&sim.ledger()).unwrap_or_default()),
        (&Method::DELETE, "/__sim/ledger") => {
            sim.clear_ledger();
            json(StatusCode::OK, "{}")
        }
        (&Method::GET, "/models") if gemini => json(StatusCode::OK, gemini::models()),
        (&Method::GET, "/models") if anthropic => json(StatusCode::OK, anthropic::models()),
        (&Method::GET, "/models") => json(StatusCode::OK, openai::models()),
        (&Method::POST, "/chat/completions") => generate(sim, request, Wire::OpenAi).await,
        (&Method::POST, "/completions") => generate(sim, request, Wire::Plain).await,
        (&Method::POST, "/embeddings") => embed(sim, request).await,
        (&Method::POST, "/responses") => generate(sim, request, Wire::Responses).await,
        (&Method::POST, "/responses/input_tokens") => count_tokens(sim, request, Wire::Responses).await,
        (&Method::POST, "/messages") => generate(sim, request, Wire::Anthropic).await,
        (&Method::POST, "/messages/count_tokens") => count_tokens(sim, request, Wire::Anthropic).await,
        (&Method::POST, path) if gemini::named(path).is_some() => of_gemini(sim, request).await,
        (&Method::POST, path) if media::is_known(path) => {
            let path = path.to_owned();
            media::serve(sim, request, path).await
        }
        (_, path) if batches::is_known(path) => {
            let path = path.to_owned();
            batches::serve(sim, request, path).await
        }
        (&Method::GET, "/realtime") => live::serve(sim, request),
        // Reached through memory, the server has no path of its own.
        (_, "/mcp" | "/") => mcp::serve(sim, request).await,
        _ => json(StatusCode::NOT_FOUND, openai::error(404, "the sim has no such route")),
    }
}

/// A path without its version, where it has one.
fn below_version(path: &str) -> &str {
    path.strip_prefix("/v1beta").or_else(|| path.strip_prefix("/v1")).unwrap_or(path)
}

async fn of_gemini(sim: Sim, request: Request<Incoming>) -> Response<Body> {
    let path = below_version(request.uri().path()).to_owned();
    match gemini::named(&path).map(|(_, method)| method) {
        Some("generateContent" | "streamGenerateContent") => generate(sim, request, Wire::Gemini).await,
        Some("countTokens") => count_tokens(sim, request, Wire::Gemini).await,
        Some("embedContent" | "batchEmbedContents") => embed_gemini(sim, request).await,
        _ => json(StatusCode::NOT_FOUND, gemini::error(404, "the sim has no such method")),
    }
}

/// The call id that the gateway sends along.
pub(super) fn call_id(request: &Request<Incoming>) -> Option<String> {
    let value = request.headers().get("x-tidegate-call-id")?.to_str().ok()?;
    Some(value.chars().take(64).collect())
}

pub(super) async fn read_body(request: Request<Incoming>) -> Option<Bytes> {
    Limited::new(request.into_body(), LARGEST_BODY).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

fn error(wire: Wire, status: u16, message: &str) -> Vec<u8> {
    match wire {
        Wire::Bedrock(_) => bedrock::error(status, message).1,
        Wire::OpenAi | Wire::Plain | Wire::Responses => openai::error(status, message),
        Wire::Anthropic => anthropic::error(status, message),
        Wire::Gemini => gemini::error(status, message),
    }
}

async fn generate(sim: Sim, request: Request<Incoming>, wire: Wire) -> Response<Body> {
    let (path, call_id) = (request.uri().path().to_owned(), call_id(&request));
    let Some(body) = read_body(request).await else {
        return json(StatusCode::BAD_REQUEST, error(wire, 400, "the body could not be read"));
    };
    let Some(question) = read(wire, &path, &body) else {
        return json(StatusCode::BAD_REQUEST, error(wire, 400, "the body is no request of this dialect"));
    };
    let script = Script::read(&question.prompt);
    let mut answer = answer(&question, &script);
    if wire == Wire::Bedrock(bedrock::Action::Count) {
        answer = Answer { input_tokens: answer.input_tokens, ..Answer::nothing() };
    }
    let mut entry = open(&sim, path, call_id, &question, &answer);
    if !super::MODELS.contains(&question.model.as_str()) {
        return fail(entry, wire, 404, "the sim has no such model");
    }
    if let Some((status, times)) = script.fail {
        if sim.fails_now(&question.prompt, times) {
            return fail(entry, wire, status, "failed as the script wanted");
        }
    } else if question.model == "flaky" && sim.flaky_fails_now() {
        return fail(entry, wire, 503, "every third call of this model fails");
    }
    entry.status(StatusCode::OK);
    if question.stream {
        return stream(wire, &question, &answer, &script, entry, &body);
    }
    if script.stall_after.is_some() {
        std::future::pending::<()>().await;
    }
    if !answer.pause.is_zero() {
        tokio::time::sleep(answer.pause.saturating_mul(u32::try_from(answer.pieces.len()).unwrap_or(u32::MAX))).await;
    }
    let bytes = match wire {
        Wire::OpenAi => openai::unary(&question, &answer),
        Wire::Plain => plain::unary(&question, &answer),
        Wire::Anthropic => anthropic::unary(&question, &answer),
        Wire::Gemini => gemini::unary(&question, &answer),
        Wire::Responses => responses::unary(&question, &answer, &body),
        Wire::Bedrock(action) => bedrock::unary(action, &question, &answer),
    };
    if let Some(after) = script.cut_after {
        return cut_unary(bytes, after, entry);
    }
    entry.sent(answer.output_tokens);
    entry.end(End::Complete);
    json(StatusCode::OK, bytes)
}

pub(super) fn read(wire: Wire, path: &str, body: &[u8]) -> Option<Question> {
    match wire {
        Wire::OpenAi => openai::read(body),
        Wire::Plain => plain::read(body),
        Wire::Anthropic => anthropic::read(body),
        Wire::Responses => responses::read(body),
        Wire::Bedrock(_) => bedrock::read(body, below_version(path)),
        Wire::Gemini => {
            let (model, method) = gemini::named(below_version(path))?;
            gemini::read(model, method == "streamGenerateContent", body)
        }
    }
}

/// Promises the whole body, sends its first `after` bytes and breaks the connection.
fn cut_unary(bytes: Vec<u8>, after: usize, entry: Entry) -> Response<Body> {
    let length = bytes.len();
    let first = bytes.get(..after.min(length)).unwrap_or_default().to_vec();
    let script = Script { cut_after: Some(1), ..Script::default() };
    let pieces = vec![Piece { bytes: first.into(), tokens: 0, content: true }];
    let mut response = json(StatusCode::OK, "");
    *response.body_mut() = streamed(pieces, std::time::Duration::ZERO, &script, entry);
    response.headers_mut().insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(length));
    response
}

pub(super) fn open(sim: &Sim, path: String, call_id: Option<String>, question: &Question, answer: &Answer) -> Entry {
    let sequence = sim.state.ledger.open(LedgerEntry {
        sequence: 0,
        at: clock::wall(),
        call_id,
        path,
        model: question.model.clone(),
        tool: None,
        status: 0,
        input_tokens: answer.input_tokens,
        output_tokens: 0,
        pieces: 0,
        end: End::Open,
    });
    Entry::new(sim.clone(), sequence)
}

/// The error of a request in OpenAI's shape.
pub(super) fn fail_openai(entry: Entry, status: u16, message: &str) -> Response<Body> {
    fail(entry, Wire::OpenAi, status, message)
}

fn fail(mut entry: Entry, wire: Wire, status: u16, message: &str) -> Response<Body> {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    entry.status(code);
    entry.end(End::Failed);
    let mut response = json(code, error(wire, status, message));
    if matches!(wire, Wire::Bedrock(_)) {
        let kind = http::HeaderValue::from_static(bedrock::error(status, message).0);
        response.headers_mut().insert("x-amzn-errortype", kind);
    }
    response
}

fn stream(
    wire: Wire,
    question: &Question,
    answer: &Answer,
    script: &Script,
    entry: Entry,
    body: &[u8],
) -> Response<Body> {
    let pieces = match wire {
        Wire::OpenAi => openai::stream(question, answer, openai::wants_usage(body)),
        Wire::Plain => plain::stream(question, answer, openai::wants_usage(body)),
        Wire::Anthropic => anthropic::stream(question, answer),
        Wire::Gemini => gemini::stream(question, answer),
        Wire::Responses => responses::stream(question, answer, body),
        Wire::Bedrock(action) => bedrock::stream(action, question, answer),
    };
    let media_type = match wire {
        Wire::Bedrock(_) => "application/vnd.amazon.eventstream",
        _ => "text/event-stream; charset=utf-8",
    };
    let mut response = Response::new(whole(""));
    *response.body_mut() = streamed(pieces, answer.pause, script, entry);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(media_type));
    response
}

async fn embed(sim: Sim, request: Request<Incoming>) -> Response<Body> {
    let (path, call_id) = (request.uri().path().to_owned(), call_id(&request));
    let read = read_body(request).await.and_then(|body| plain::read_embed(&body));
    let Some((question, texts)) = read else {
        return json(StatusCode::BAD_REQUEST, openai::error(400, "the body is no request for embeddings"));
    };
    let answer = Answer { input_tokens: texts.iter().map(|text| text.tokens).sum(), ..Answer::nothing() };
    let mut entry = open(&sim, path, call_id, &question, &answer);
    if question.model != "embed" {
        return fail(entry, Wire::OpenAi, 404, "the sim has no such model for embeddings; ask sim/embed");
    }
    let script = Script::read(&question.prompt);
    if let Some((status, times)) = script.fail
        && sim.fails_now(&question.prompt, times)
    {
        return fail(entry, Wire::OpenAi, status, "failed as the script wanted");
    }
    entry.status(StatusCode::OK);
    entry.end(End::Complete);
    json(StatusCode::OK, plain::embeddings(&question.model, &texts, answer.input_tokens))
}

async fn embed_gemini(sim: Sim, request: Request<Incoming>) -> Response<Body> {
    let (path, call_id) = (request.uri().path().to_owned(), call_id(&request));
    let (model, method) = gemini::named(below_version(&path)).unwrap_or_default();
    let many = method == "batchEmbedContents";
    let Some(texts) = read_body(request).await.and_then(|body| gemini::read_embed(many, &body)) else {
        return json(StatusCode::BAD_REQUEST, gemini::error(400, "the body is no request for embeddings"));
    };
    let question = Question { model: model.to_owned(), prompt: texts.join("\n"), ..Question::default() };
    let input = texts.iter().map(|text| super::answer::tokens(text)).sum();
    let answer = Answer { input_tokens: input, ..Answer::nothing() };
    let mut entry = open(&sim, path.clone(), call_id, &question, &answer);
    if question.model != "embed" {
        return fail(entry, Wire::Gemini, 404, "the sim has no such model for embeddings; ask for `embed`");
    }
    entry.status(StatusCode::OK);
    entry.end(End::Complete);
    let numbers: Vec<Vec<f64>> = texts.iter().map(|text| plain::numbers(text)).collect();
    json(StatusCode::OK, gemini::embeddings(many, &numbers, input))
}

async fn count_tokens(sim: Sim, request: Request<Incoming>, wire: Wire) -> Response<Body> {
    let (path, call_id) = (request.uri().path().to_owned(), call_id(&request));
    let Some(question) = read_body(request).await.and_then(|body| read(wire, &path, &body)) else {
        return json(StatusCode::BAD_REQUEST, error(wire, 400, "the body is no request of this dialect"));
    };
    let answer = Answer { input_tokens: super::answer::tokens(&question.prompt), ..Answer::nothing() };
    let mut entry = open(&sim, path, call_id, &question, &answer);
    entry.status(StatusCode::OK);
    entry.end(End::Complete);
    let counted = match wire {
        Wire::Gemini => gemini::count(answer.input_tokens),
        Wire::Responses => serde_json::json!({"object": "response.input_tokens", "input_tokens": answer.input_tokens})
            .to_string()
            .into_bytes(),
        _ => serde_json::json!({"input_tokens": answer.input_tokens}).to_string().into_bytes(),
    };
    json(StatusCode::OK, counted)
}
