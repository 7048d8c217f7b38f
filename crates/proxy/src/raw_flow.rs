//! Answers of a vendor's own API: JSON whole and guarded, everything else as bytes that pass as they come.
//!
//! Owns the exchange from the first byte on. Guards see JSON alone, so a stream of events is refused to a key whose
//! guardrails look at answers. An answer that
//! breaks is broken for the caller too, since half a file must not look like a whole one; only a stream of events ends
//! with the surface's error event.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tidegate_core::{
    batches::Maker,
    clock,
    event::Stage,
    fault::{Fault, FaultCode},
    ids::{Digest, Digester},
    made::Made,
    segment::Origin,
    usage::Usage,
};
use tidegate_guard::Chain;
use tidegate_protocol::{llm::Dialect, native::NativeAnswer};
use tidegate_upstream::RawStream;

use crate::{
    exchange::{Ending, Exchange},
    respond::{self, Body, Broken},
    stage::{
        guard_response::{Looked, conclude, look},
        route::unguarded_stream,
    },
};

struct RawFlow {
    exchange: Exchange,
    raw: Box<RawStream>,
    dialect: Dialect,
    digester: Digester,
    status: u16,
    ended: bool,
}

/// The answer that is `answer`, guarded.
pub(crate) async fn document(
    mut exchange: Exchange,
    (status, mut headers): (u16, HeaderMap),
    mut answer: Box<NativeAnswer>,
    usage: Usage,
) -> Response<Body> {
    exchange.story.usage = Some(usage);
    if let (Some((collection, provider)), Some(id)) = (exchange.adds_to.clone(), answer.id()) {
        let made = Made { provider: provider.name.clone(), maker: maker(&exchange), results: None };
        let gate = Arc::clone(&exchange.gate);
        gate.owners.keep(&collection, &id, made).await;
    }
    let started = clock::now();
    let chain = chain(&exchange);
    let tokens = exchange.tokens.clone();
    let applies = tokens.is_some() || chain.applies(Origin::Completion);
    let looked = if applies { look(&chain, answer.segments(), tokens.as_deref()) } else { Looked::default() };
    let result = conclude(&mut exchange, looked, |path, text| answer.replace_segment(path, text));
    if let Err(fault) = exchange.stage(Stage::GuardResponse, started, result) {
        return respond::refusal(&mut exchange, fault);
    }
    let bytes = answer.body();
    exchange.story.response_digest = Some(Digest::of(&bytes));
    headers.remove(http::header::CONTENT_LENGTH);
    respond::answer(&mut exchange, status, headers, bytes)
}

/// The key that makes something by this call.
fn maker(exchange: &Exchange) -> Option<Maker> {
    let principal = &exchange.caller.as_ref()?.principal;
    let key = exchange.gate.keys.get(&principal.org, principal.key)?;
    Some(Maker {
        org: principal.org.clone(),
        key: principal.key,
        key_name: principal.key_name.clone(),
        team: principal.team.clone(),
        key_created: key.created,
        address: principal.address,
    })
}

fn chain(exchange: &Exchange) -> Arc<Chain> {
    exchange.caller.as_ref().map(|caller| caller.chain.clone()).unwrap_or_default()
}

/// The answer whose body is `raw`.
pub(crate) fn respond(mut exchange: Exchange, status: u16, vendor: HeaderMap, raw: Box<RawStream>) -> Response<Body> {
    if raw.is_events() && chain(&exchange).applies(Origin::Completion) {
        return respond::refusal(&mut exchange, unguarded_stream());
    }
    let dialect = exchange.surface.dialect().unwrap_or(Dialect::OpenAiChat);
    let head = respond::passing(&exchange, status, vendor);
    let flow = RawFlow { exchange, raw, dialect, digester: Digester::new(), status, ended: false };
    head.map(|()| StreamBody::new(stream::unfold(Box::new(flow), step)).boxed_unsync())
}

async fn step(mut flow: Box<RawFlow>) -> Option<(Result<Frame<Bytes>, Broken>, Box<RawFlow>)> {
    if flow.ended {
        return None;
    }
    let cut = flow.exchange.cut.clone();
    let next = tokio::select! {
        biased;
        () = cut.cancelled() => Some(Err(killed())),
        next = flow.raw.next() => next,
    };
    match next {
        Some(Ok(bytes)) => {
            flow.digester.update(&bytes);
            flow.exchange.keep_response(&bytes);
            Some((Ok(Frame::data(bytes)), flow))
        }
        None => {
            flow.end(&Ending { status: flow.status, fault: None, complete: true });
            None
        }
        Some(Err(fault)) => {
            let last = flow.raw.is_events().then(|| respond::fault_event(&flow.exchange, flow.dialect, &fault));
            let status = flow.status;
            flow.end(&Ending { status, fault: Some(&fault), complete: false });
            Some((last.map(Frame::data).ok_or(Broken), flow))
        }
    }
}

impl RawFlow {
    fn end(&mut self, ending: &Ending<'_>) {
        self.ended = true;
        self.exchange.story.response_digest = Some(self.digester.digest());
        self.exchange.story.usage = Some(self.raw.usage());
        self.exchange.end(ending);
    }
}

impl Drop for RawFlow {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&Ending { status: 499, fault: None, complete: false });
        }
    }
}

fn killed() -> Fault {
    Fault::new(FaultCode::Killed, "This call was ended from outside: its key was revoked or an operator cut it.")
}
