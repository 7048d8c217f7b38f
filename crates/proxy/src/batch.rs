//! Batches of revision 2025-03-26: several messages in one request, each an exchange of its own.
//!
//! Owns how the answers come together: as an array where each is whole, as one stream where a server says something
//! before its answer. Decides nothing; each message goes through the pipeline by itself.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream, FuturesUnordered},
};
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame as BodyFrame;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::Action,
    fault::Fault,
    ids::ServerName,
};
use tidegate_protocol::{
    call::Call,
    jsonrpc::{Message, Parts},
    mcp::Revision,
    sse::Frame,
};

use crate::{
    exchange::{Caller, Ending, Exchange},
    federation, here,
    pipeline::{Passed, onward},
    respond::{self, Body, Broken},
    stage::{
        decode::{Decoded, tell},
        guard_response::guard_response,
        idempotency::again,
        identify::identify,
    },
    surface::{Surface, mcp},
};

/// Most messages of a batch.
const MOST: usize = 32;

/// An answer that is on its way.
pub(crate) type Whole = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

type Answering = Pin<Box<dyn Future<Output = (bool, Response<Body>)> + Send>>;

/// Answers each message, and puts the answers together. Boxed, since a message's own answer may come from the caller.
pub(crate) fn answer(exchange: Exchange, caller: Caller, server: Option<ServerName>, messages: Vec<Message>) -> Whole {
    Box::pin(answered(exchange, caller, server, messages))
}

async fn answered(
    mut exchange: Exchange,
    caller: Caller,
    server: Option<ServerName>,
    messages: Vec<Message>,
) -> Response<Body> {
    if let Err(fault) = check(&mut exchange, &caller, server.as_ref(), &messages) {
        return respond::refusal(&mut exchange, fault);
    }
    let mut answers: FuturesUnordered<Answering> = messages
        .into_iter()
        .map(|message| {
            let mut own =
                Exchange::begin(Arc::clone(&exchange.gate), Surface::Mcp, exchange.headers.clone(), exchange.address);
            own.snapshot = Arc::clone(&exchange.snapshot);
            own.deadline = exchange.deadline;
            let is_request = matches!(message.parts(), Parts::Request { .. });
            let server = server.clone();
            Box::pin(async move { (is_request, one(own, server, message).await) }) as Answering
        })
        .collect();
    let mut whole: Vec<Bytes> = Vec::new();
    while let Some((is_request, response)) = answers.next().await {
        if is_stream(&response) {
            return streamed(exchange, whole, response, answers);
        }
        if let Some(bytes) = bytes_of(is_request, response).await {
            whole.push(bytes);
        }
    }
    if whole.is_empty() {
        return respond::answer(&mut exchange, 202, HeaderMap::new(), Bytes::new());
    }
    let mut array = vec![b'['];
    for (at, bytes) in whole.iter().enumerate() {
        if at > 0 {
            array.push(b',');
        }
        array.extend_from_slice(bytes);
    }
    array.push(b']');
    respond::answer(&mut exchange, 200, HeaderMap::new(), Bytes::from(array))
}

fn check(
    exchange: &mut Exchange,
    caller: &Caller,
    server: Option<&ServerName>,
    messages: &[Message],
) -> Result<(), Fault> {
    exchange.story.is_tool = true;
    exchange.story.action = Some(Action::UseServer);
    exchange.story.resource = Arc::from(server.map_or("mcp", ServerName::as_str));
    let (session, owner) = (exchange.header("mcp-session-id"), caller.principal.key);
    let sessions = &exchange.gate.sessions;
    let revision = match server {
        Some(server) => sessions.leg(session, owner, server).map(|leg| leg.revision()),
        None => sessions.federation(session, owner).map(|federation| Some(federation.revision())),
    };
    exchange.outside_session = revision.is_err();
    if !revision?.is_some_and(Revision::allows_batches) {
        let words = "Batches are taken in sessions of revision 2025-03-26 only: send one message a request.";
        return Err(Fault::invalid("", words));
    }
    if messages.len() > MOST {
        return Err(Fault::invalid("", format!("A batch must hold at most {MOST} messages.")));
    }
    if messages.iter().any(|message| message.method() == Some("initialize")) {
        return Err(Fault::invalid("", "`initialize` must not be part of a batch."));
    }
    Ok(())
}

/// One message, from its caller to its answer.
async fn one(mut exchange: Exchange, server: Option<ServerName>, message: Message) -> Response<Body> {
    let decoded = async {
        let caller = identify(&mut exchange)?;
        let started = clock::now();
        let decoded = match server {
            Some(server) => understood(&mut exchange, server, message),
            None => Box::pin(federation::one(&mut exchange, message)).await,
        };
        let decoded = decoded.map(|decoded| (decoded, StageVerdict::Pass));
        let decoded = exchange.stage(Stage::Decode, started, decoded)?;
        Ok::<_, Fault>((caller, decoded))
    };
    match decoded.await {
        Ok((caller, Decoded::Call(call))) => match Box::pin(onward(&mut exchange, &caller, call)).await {
            Ok(Passed::Answer(answer)) => guard_response(exchange, answer).await,
            Ok(Passed::Again(recorded)) => again(&mut exchange, &recorded),
            Ok(Passed::Here(caller, here)) => {
                let answering: Whole = Box::pin(here::answer(exchange, caller, here));
                answering.await
            }
            Err(fault) => respond::refusal(&mut exchange, fault),
        },
        Ok((caller, Decoded::Here(here))) => {
            let answering: Whole = Box::pin(here::answer(exchange, caller, here));
            answering.await
        }
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

fn understood(exchange: &mut Exchange, server: ServerName, message: Message) -> Result<Decoded, Fault> {
    Ok(match mcp::one(exchange, server, message)? {
        mcp::Read::Call(call) => {
            let call = Call::Tool(call);
            tell(exchange, &call);
            Decoded::Call(call)
        }
        mcp::Read::Frame(here) => Decoded::Here(here),
    })
}

fn is_stream(response: &Response<Body>) -> bool {
    let media = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.is_some_and(|media| media.starts_with("text/event-stream"))
}

/// A whole answer; `None` for what answers nothing.
async fn bytes_of(is_request: bool, response: Response<Body>) -> Option<Bytes> {
    // A tool's answer never breaks off: what does would be no answer.
    let bytes = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (is_request && !bytes.is_empty()).then_some(bytes)
}

/// All answers as one stream, each as it comes.
fn streamed(
    mut exchange: Exchange,
    whole: Vec<Bytes>,
    first: Response<Body>,
    rest: FuturesUnordered<Answering>,
) -> Response<Body> {
    let head = respond::streaming(&exchange, 200, HeaderMap::new());
    exchange.end(&Ending { status: 200, fault: None, complete: true });
    let ready: VecDeque<Bytes> = whole.into_iter().map(|bytes| Frame::build(Some("message"), &bytes).raw).collect();
    let answers = stream::once(std::future::ready((true, first))).chain(rest);
    let events = answers.map(|(is_request, response)| events_of(is_request, response)).flatten_unordered(None);
    let events = stream::iter(ready).chain(events);
    head.map(|()| StreamBody::new(events.map(|bytes| Ok::<_, Broken>(BodyFrame::data(bytes)))).boxed_unsync())
}

/// The events of one answer. Each piece of a stream's body is one event.
fn events_of(is_request: bool, response: Response<Body>) -> BoxStream<'static, Bytes> {
    if is_stream(&response) {
        let frames = response.into_body().into_data_stream();
        return Box::pin(frames.filter_map(|piece| std::future::ready(piece.ok())));
    }
    let whole = stream::once(bytes_of(is_request, response));
    Box::pin(whole.filter_map(|bytes| std::future::ready(bytes.map(|bytes| Frame::build(Some("message"), &bytes).raw))))
}
