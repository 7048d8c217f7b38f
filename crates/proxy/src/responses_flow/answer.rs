//! One answer on a socket: a call through the pipeline, and what leaves of it as frames.
//!
//! Owns the call from its frame to its last event. When it is dropped, the call ends as one whose client has left. It is
//! polled by the session alone, so nothing is read from the upstream before the client has taken what came before.

use std::{collections::VecDeque, pin::Pin};

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::BodyExt as _;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
};
use tidegate_protocol::{
    llm::{
        Operation,
        socket::{Create, Ended, error_event, remembered, whole},
    },
    sse::{DEFAULT_MAX_EVENT, SseParser},
};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Exchange,
    pipeline::{Passed, onward},
    respond::{self, Body},
    stage::{
        admit::admit, decode::decode_whole, guard_response::guard_response, idempotency::again, identify::identify,
    },
    surface::Endpoint,
    traced::OfCall,
};

/// What a client's frame came to.
pub(super) enum Asked {
    /// A call, and the conversation that it goes on from, where the session remembers it.
    Create(Box<Create>, Option<Bytes>),
    /// Nothing that can be answered, and the lane on which it is to be said.
    Refused(Fault, Option<String>),
}

/// What leaves for the client.
pub(super) struct Said {
    pub(super) event: Bytes,
    /// The end of the answer, where the event is one.
    pub(super) ended: Option<Ended>,
}

/// What a call was answered with.
enum Begun {
    Events(Body),
    Whole(u16, HeaderMap, Bytes),
}

type Beginning = Pin<Box<dyn Future<Output = Begun> + Send>>;

enum Stage {
    Asking(Beginning),
    Streaming(Body),
    Over,
}

/// One answer.
pub(super) struct Answering {
    /// What was asked, and what came before it; nothing where it was refused at once.
    create: Option<(Box<Create>, Option<Bytes>)>,
    lane: Option<String>,
    cut: CancellationToken,
    stage: Stage,
    parser: SseParser,
    ready: VecDeque<Said>,
    unauthenticated: bool,
}

/// Headers of a refusal that its event tells too.
const TOLD: [&str; 5] =
    ["retry-after", "x-should-retry", "x-tidegate-call-id", "x-tidegate-error", "x-tidegate-policies"];

impl Answering {
    /// Begins to answer what was asked.
    pub(super) fn begin(mut exchange: Exchange, asked: Asked) -> Self {
        let (cut, mut ready) = (exchange.cut.clone(), VecDeque::new());
        let (create, lane, body) = match asked {
            Asked::Refused(fault, lane) => (None, lane, Err(fault)),
            Asked::Create(create, before) => {
                let lane = create.lane().map(ToOwned::to_owned);
                let body = Bytes::from(create.body(before.as_deref()));
                (Some((create, before)), lane, Ok(body))
            }
        };
        let silent = create.as_ref().filter(|(create, _)| !create.generates());
        let stage = match silent.map(|(create, _)| only_remembered(&mut exchange, create)) {
            Some(Ok(said)) => {
                ready.extend(said);
                // Nothing was called.
                exchange.forget();
                Stage::Over
            }
            Some(Err(fault)) => Stage::Asking(asking(exchange, Err(fault))),
            None => Stage::Asking(asking(exchange, body)),
        };
        let parser = SseParser::new(DEFAULT_MAX_EVENT);
        Self { create, lane, cut, stage, parser, ready, unauthenticated: false }
    }

    /// The lane that its events name.
    pub(super) fn lane(&self) -> Option<&str> {
        self.lane.as_deref()
    }

    /// Whether it was refused since the key is no longer one.
    pub(super) fn is_unauthenticated(&self) -> bool {
        self.unauthenticated
    }

    /// The conversation that ends with this output.
    pub(super) fn conversation(&self, output: &[u8]) -> Option<Vec<u8>> {
        self.create.as_ref().map(|(create, before)| create.conversation(before.as_deref(), output))
    }

    /// Ends the call: it says so itself.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// What leaves next; `None` where it is over. Nothing is lost where this is not awaited to its end.
    pub(super) async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return Some(said);
            }
            match &mut self.stage {
                Stage::Over => return None,
                Stage::Asking(beginning) => match beginning.await {
                    Begun::Events(body) => self.stage = Stage::Streaming(body),
                    Begun::Whole(status, headers, bytes) => {
                        self.stage = Stage::Over;
                        self.came_whole(status, &headers, &bytes);
                    }
                },
                Stage::Streaming(body) => match body.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            self.parser.push(data);
                            self.came();
                        }
                    }
                    None => self.stage = Stage::Over,
                    Some(Err(_)) => self.broke("The upstream's answer broke off."),
                },
            }
        }
    }

    /// Takes the events that are whole by now.
    fn came(&mut self) {
        while let Some(frame) = self.parser.next_frame() {
            let Ok(frame) = frame else { return self.broke("An event of the upstream is too large.") };
            let ended = Ended::of(&frame);
            match frame.data {
                // Signs of life are the socket's own, and its events end without a mark.
                Some(data) if data.trim_ascii() != b"[DONE]" => self.ready.push_back(Said { event: data, ended }),
                _ => {}
            }
        }
    }

    fn came_whole(&mut self, status: u16, headers: &HeaderMap, bytes: &[u8]) {
        if (200..300).contains(&status) {
            let ended = Ended::of_whole(bytes);
            self.ready.push_back(Said { event: whole(bytes).into(), ended });
            return;
        }
        self.unauthenticated = headers.get("x-tidegate-error").is_some_and(|code| code == "unauthenticated");
        let told = TOLD.iter().filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?)));
        let told: Vec<(&str, &str)> = told.collect();
        self.ready.push_back(Said { event: error_event(status, bytes, &told).into(), ended: None });
    }

    /// An answer that has no end of its own.
    fn broke(&mut self, words: &str) {
        self.stage = Stage::Over;
        let fault = Fault::new(FaultCode::UpstreamUnavailable, words);
        let body = error_body(&fault);
        self.ready.push_back(Said { event: error_event(fault.status, &body, &[]).into(), ended: None });
    }
}

/// The error of a fault that no exchange is left to show.
fn error_body(fault: &Fault) -> Vec<u8> {
    use tidegate_protocol::llm::{Dialect, ErrorView};
    let view = ErrorView {
        status: fault.status,
        kind: crate::surface::error_kind(fault),
        message: &fault.public_message,
        code: fault.code.as_str(),
        param: None,
        call_id: "",
    };
    Dialect::OpenAiResponses.error_body(&view).to_vec()
}

/// What is only to be remembered, for whoever may ask at all.
fn only_remembered(exchange: &mut Exchange, create: &Create) -> Result<[Said; 2], Fault> {
    admit(exchange)?;
    identify(exchange)?;
    let id = format!("resp_{}", exchange.id);
    let created = clock::wall().0 / 1_000;
    let [first, last] = remembered(&id, &create.model(), created);
    let ended = Some(Ended { id, output: Vec::new() });
    Ok([Said { event: first.into(), ended: None }, Said { event: last.into(), ended }])
}

/// The call on its way to its answer.
fn asking(mut exchange: Exchange, body: Result<Bytes, Fault>) -> Beginning {
    let (id, trace) = (exchange.id, exchange.trace);
    Box::pin(OfCall::new(id, trace, async move {
        let response = match passed(&mut exchange, body).await {
            Ok(Passed::Answer(answer)) => guard_response(exchange, answer).await,
            Ok(Passed::Again(recorded)) => again(&mut exchange, &recorded),
            Ok(Passed::Here(..)) => {
                let fault = Fault::new(FaultCode::Internal, "This is answered on no socket.");
                respond::refusal(&mut exchange, fault)
            }
            Err(fault) => respond::refusal(&mut exchange, fault),
        };
        begun(response).await
    }))
}

/// The stages before an answer. What cannot be read is refused to those alone who may ask.
async fn passed(exchange: &mut Exchange, body: Result<Bytes, Fault>) -> Result<Passed, Fault> {
    admit(exchange)?;
    let caller = identify(exchange)?;
    let call = decode_whole(exchange, Endpoint::Model(Operation::Generate, None), body?)?;
    onward(exchange, &caller, call).await
}

async fn begun(response: Response<Body>) -> Begun {
    let (head, body) = response.into_parts();
    let media = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if head.status.is_success() && media.starts_with("text/event-stream") {
        return Begun::Events(body);
    }
    // What broke is no answer; it is told as such by being none.
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Begun::Whole(head.status.as_u16(), head.headers, bytes)
}
