//! A call's place in its distributed trace, and what is gathered for its spans while it runs.
//!
//! Owns the gathering: nothing is rendered here, and where telemetry is off nothing is gathered. `exchange` begins it,
//! `finish` hands it to the exporter.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use http::HeaderMap;
use tidegate_core::{
    calls::CallSummary,
    clock,
    ids::CallId,
    trace::{TraceContext, TraceId, within},
};
use tidegate_protocol::{
    call::Call,
    llm::{self, StopReason},
};
use tidegate_upstream::export::{CallTrace, Content, Details, Exporter, Traced};

use crate::exchange::{Ending, Exchange};

/// What is gathered of a traced call.
pub(crate) struct Gathered {
    pub(crate) traced: Traced,
    stage_ends: Vec<Instant>,
    details: Details,
}

/// The caller's place in a trace. Two `traceparent` headers that differ say nothing (W3C Trace Context, 3.2).
pub(crate) fn callers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all("traceparent").iter();
    let first = all.next()?;
    if all.any(|other| other != first) {
        return None;
    }
    TraceContext::parse(first.to_str().ok()?)
}

/// The trace that a call belongs to, for logs; and what is gathered of it, where it is to be sent.
pub(crate) fn begin(exporter: &Exporter, call: CallId, headers: &HeaderMap) -> (TraceId, Option<Box<Gathered>>) {
    let parent = callers(headers);
    let trace = parent.map_or_else(|| TraceId::of_call(call), |parent| parent.trace);
    let gathered = exporter.begin(call, parent).map(|traced| {
        let stage_ends = Vec::with_capacity(tidegate_core::event::Stage::ALL.len());
        Box::new(Gathered { traced, stage_ends, details: Details::default() })
    });
    (trace, gathered)
}

impl Gathered {
    /// Notes that a stage was over just now.
    pub(crate) fn stage_over(&mut self) {
        self.stage_ends.push(clock::now());
    }

    /// Keeps what is about to be sent, for its parameters, where there is room.
    pub(crate) fn sending(&mut self, exporter: &Exporter, call: &Call) {
        let body = match call {
            Call::Model(call) => call.body(),
            Call::Native(call) if exporter.wants_content() => call.body(),
            Call::Tool(call) if exporter.wants_content() => call.body(),
            Call::Tool(_) | Call::Native(_) => return,
        };
        self.details.request = exporter.may_keep(body.len()).then_some(body);
    }

    /// Notes what a whole answer says of itself.
    pub(crate) fn answered(&mut self, answer: &llm::Answer) {
        self.details.response_id = answer.id().map(str::to_owned);
        self.details.response_model = answer.model().map(str::to_owned);
        self.details.finish_reason = answer.stop_reason().map(finish_reason);
    }
}

/// The reason's name in the conventions.
fn finish_reason(reason: &StopReason) -> String {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => "stop",
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::ToolUse => "tool_call",
        StopReason::Refusal => "content_filter",
        StopReason::Pause => "pause",
        StopReason::Other(name) => name,
    }
    .to_owned()
}

/// Hands an ended call to the exporter, where it is traced.
pub(crate) fn record(exchange: &mut Exchange, summary: &CallSummary, ending: &Ending<'_>) {
    let Some(gathered) = exchange.gathered.take() else { return };
    let Gathered { traced, stage_ends, mut details } = *gathered;
    let story = &exchange.story;
    details.is_tool = story.is_tool;
    details.operation = story.operation;
    details.model.clone_from(&story.asked);
    details.stream = story.stream;
    details.session = story.session.clone().or_else(|| exchange.header("mcp-session-id").map(Into::into));
    details.rpc_id.clone_from(&exchange.rpc_id);
    if exchange.gate.export.wants_content() {
        let dialect = exchange.surface.dialect();
        let answer = exchange.story.response_body.take().map(bytes::BytesMut::freeze);
        details.content = answer.map(|answer| Content { dialect, answer });
    }
    exchange.gate.export.record(Box::new(CallTrace {
        context: traced.context,
        parent: traced.parent,
        began: exchange.started,
        ended: clock::now(),
        summary: summary.clone(),
        stage_ends,
        fault: ending.fault.map(|fault| fault.code),
        complete: ending.complete,
        details,
    }));
}

/// A future that works on one call: what it logs is told to be of that call.
pub(crate) struct OfCall<F> {
    call: CallId,
    trace: TraceId,
    work: Pin<Box<F>>,
}

impl<F: Future> OfCall<F> {
    pub(crate) fn new(call: CallId, trace: TraceId, work: F) -> Self {
        Self { call, trace, work: Box::pin(work) }
    }
}

impl<F: Future> Future for OfCall<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let (call, trace) = (self.call, self.trace);
        within(call, trace, || self.work.as_mut().poll(context))
    }
}
