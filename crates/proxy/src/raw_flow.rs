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
    made::{Made, Results},
    segment::Origin,
    usage::Usage,
};
use tidegate_guard::Chain;
use tidegate_protocol::{llm::Dialect, native::NativeAnswer};
use tidegate_upstream::{RawStream, task};

use crate::{
    exchange::{Ending, Exchange},
    respond::{self, Body, Broken},
    results::{self, Tally},
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
    /// The count of a batch whose results these are.
    tally: Option<Box<Tally>>,
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
    // Apart, since few calls make or fetch anything of the kind.
    Box::pin(of_batches(&mut exchange, status, &mut answer)).await;
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

/// Notes what the answer tells of what was made at its provider, batches and their results above all.
async fn of_batches(exchange: &mut Exchange, status: u16, answer: &mut NativeAnswer) {
    let gate = Arc::clone(&exchange.gate);
    if let (Some(added), Some(id)) = (exchange.adds_to.take(), answer.id()) {
        let (collection, provider) = *added;
        // Where a batch leads to its own results and not to a file of them, they are known from the start.
        let results = (&*collection == "messages/batches").then(|| Results::unread(&id));
        let made = Made { provider: provider.name.clone(), maker: maker(exchange), results };
        gate.owners.keep(&collection, &id, made).await;
    }
    if let Some(mut tally) = exchange.tally.take().filter(|_| status == 200) {
        tally.push(&answer.body());
        tally.settle(&gate).await;
    }
    if let Some(provider) = exchange.tells_batches.take() {
        results::note(&gate, &provider.name, answer).await;
        let pinned = exchange.pinned.as_ref().map(|provider| format!("/proxy/{}", provider.name)).unwrap_or_default();
        // Without an address of its own the gateway is where the client found it: its SDKs read a path so.
        let base = exchange.snapshot.public_url.as_deref().map(|url| format!("{url}{pinned}")).unwrap_or_default();
        answer.lead_to_results(|batch| format!("{base}/v1/messages/batches/{batch}/results"));
    }
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
    let mut tally = exchange.tally.take().filter(|_| status == 200);
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if let (Some(tally), false) = (&mut tally, vendor.get(http::header::CONTENT_ENCODING).is_none_or(plain)) {
        // It was asked for plain.
        tally.unreadable();
    }
    let head = respond::passing(&exchange, status, vendor);
    let flow = RawFlow { exchange, raw, dialect, digester: Digester::new(), status, tally, ended: false };
    head.map(|()| StreamBody::new(stream::unfold(Outlet(Some(Box::new(flow))), step)).boxed_unsync())
}

/// The flow while a client reads it.
struct Outlet(Option<Box<RawFlow>>);

impl Drop for Outlet {
    fn drop(&mut self) {
        let Some(mut flow) = self.0.take() else { return };
        // A client may not read what it has to pay for without its end, and pay nothing.
        let reader = flow.tally.as_ref().filter(|_| !flow.ended).and_then(|_| flow.exchange.gate.owners.reader());
        if let Some(reader) = reader {
            flow.left();
            task::spawn("read results whose client has left", async move {
                linger(flow).await;
                drop(reader);
            });
        }
    }
}

/// Reads the results of a batch to their end, within the clocks of their call.
async fn linger(mut flow: Box<RawFlow>) {
    let cut = flow.exchange.cut.clone();
    loop {
        let next = tokio::select! {
            biased;
            () = cut.cancelled() => return,
            next = flow.raw.next() => next,
        };
        match (next, flow.tally.as_mut()) {
            (Some(Ok(bytes)), Some(tally)) => tally.push(&bytes),
            (Some(_), _) => return,
            (None, _) => break,
        }
    }
    flow.settle().await;
}

async fn step(mut outlet: Outlet) -> Option<(Result<Frame<Bytes>, Broken>, Outlet)> {
    let flow = outlet.0.as_mut().filter(|flow| !flow.ended)?;
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
            if let Some(tally) = &mut flow.tally {
                tally.push(&bytes);
            }
            if flow.raw.is_over() {
                // Nobody asks again once as many bytes are there as were announced.
                flow.whole().await;
            }
            Some((Ok(Frame::data(bytes)), outlet))
        }
        None => {
            flow.whole().await;
            None
        }
        Some(Err(fault)) => {
            let last = flow.raw.is_events().then(|| respond::fault_event(&flow.exchange, flow.dialect, &fault));
            let status = flow.status;
            flow.end(&Ending { status, fault: Some(&fault), complete: false });
            Some((last.map(Frame::data).ok_or(Broken), outlet))
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

    /// All of it came.
    async fn whole(&mut self) {
        self.settle().await;
        self.end(&Ending { status: self.status, fault: None, complete: true });
    }

    async fn settle(&mut self) {
        if let Some(tally) = self.tally.take() {
            tally.settle(&self.exchange.gate).await;
        }
    }

    /// The client has left before the end.
    fn left(&mut self) {
        if !self.ended {
            self.end(&Ending { status: 499, fault: None, complete: false });
        }
    }
}

impl Drop for RawFlow {
    fn drop(&mut self) {
        self.left();
    }
}

fn killed() -> Fault {
    Fault::new(FaultCode::Killed, "This call was ended from outside: its key was revoked or an operator cut it.")
}
