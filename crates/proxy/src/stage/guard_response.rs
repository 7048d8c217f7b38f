//! Stage 12: what guards say to the answer. A whole answer is looked at here, a stream event by event in `flow`.

use http::Response;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::GuardAction,
    fault::{Fault, FaultCode},
    ids::Digest,
    segment::{Origin, Segment, SegmentPath},
};
use tidegate_guard::{Chain, Finding, Tokens, redact, verdicts};
use tidegate_protocol::llm;
use tidegate_upstream::AnswerBody;

use crate::{
    array,
    exchange::Exchange,
    flow, live_flow as live, raw_flow,
    respond::{self, Body},
    stage::{
        authorize::may_propose,
        dispatch::Answer,
        guard_request::{add, blocked_fault},
    },
    tool_flow::{self, Asked},
};

/// Guards the answer and makes the response of it.
pub(crate) async fn guard_response(mut exchange: Exchange, answer: Answer) -> Response<Body> {
    let Answer { head, body, request } = answer;
    match body {
        AnswerBody::Unary { mut answer, usage } => {
            exchange.story.usage = Some(*usage);
            if let Some(gathered) = &mut exchange.gathered {
                gathered.answered(&answer);
            }
            if exchange.story.stream {
                // It was asked for as a stream and came whole: as such it is not given again.
                exchange.keeping = None;
            }
            if let Some(keeping) = &mut exchange.keeping {
                if let Some(target) = head.served_by.target() {
                    keeping.begin(head.status, &head.headers, target.clone());
                }
                keeping.push(&answer.body());
            }
            note_owner(&exchange, answer.id());
            let proposed =
                answer.proposed_calls().iter().try_for_each(|call| may_propose(&exchange, call.name.as_str()));
            match proposed.and_then(|()| guard_model(&mut exchange, &mut answer)) {
                Ok(()) => {
                    let bytes = answer.body();
                    exchange.story.response_digest = Some(Digest::of(&bytes));
                    exchange.keep_answer();
                    let bytes = if respond::is_array(&exchange) { array::of_one(&bytes) } else { bytes };
                    respond::answer(&mut exchange, head.status, head.headers, bytes)
                }
                Err(fault) => respond::refusal(&mut exchange, fault),
            }
        }
        AnswerBody::Events(events) => match exchange.surface.dialect() {
            Some(dialect) => {
                if let (Some(keeping), Some(target)) = (&mut exchange.keeping, head.served_by.target()) {
                    keeping.begin(head.status, &head.headers, target.clone());
                }
                flow::respond(exchange, dialect, head.status, head.headers, events)
            }
            None => {
                respond::refusal(&mut exchange, Fault::new(FaultCode::Internal, "A model's events have no place here."))
            }
        },
        AnswerBody::Document { answer, usage } => {
            raw_flow::document(exchange, (head.status, head.headers), answer, *usage).await
        }
        AnswerBody::Raw(raw) => raw_flow::respond(exchange, head.status, head.headers, raw),
        AnswerBody::Messages(messages) => match request {
            Some(request) => {
                let (call, permit) = *request;
                let asked = Asked {
                    method: call.method(),
                    id: bytes::Bytes::copy_from_slice(call.raw_id()),
                    server: call.server().clone(),
                    permit: Some(permit),
                    opened: None,
                };
                tool_flow::respond(exchange, asked, messages).await
            }
            None => respond::refusal(
                &mut exchange,
                Fault::new(FaultCode::Internal, "A server's messages have no place here."),
            ),
        },
        AnswerBody::Live(leg) => live::open(exchange, head.headers, leg),
        AnswerBody::Turn => respond::refusal(
            &mut exchange,
            Fault::new(FaultCode::Internal, "A turn of a live session has no place here."),
        ),
        AnswerBody::Accepted => respond::answer(&mut exchange, 202, http::HeaderMap::new(), bytes::Bytes::new()),
    }
}

/// Remembers where an answer is kept that its vendor may keep: stored responses are asked for later by their ids.
pub(crate) fn note_owner(exchange: &Exchange, id: Option<&str>) {
    if let (Some(id), Some(target), Some(dialect)) = (id, &exchange.target, exchange.surface.dialect())
        && dialect.keeps_answers()
        && target.provider.speaks(dialect)
    {
        exchange.gate.owners.note("responses", id, &target.provider.name);
    }
}

fn guard_model(exchange: &mut Exchange, answer: &mut llm::Answer) -> Result<(), Fault> {
    let started = clock::now();
    let chain = exchange.caller.as_ref().map(|caller| caller.chain.clone()).unwrap_or_default();
    let tokens = exchange.tokens.clone();
    let applies = tokens.is_some() || chain.applies(Origin::Completion);
    let looked = if applies { look(&chain, answer.segments(), tokens.as_deref()) } else { Looked::default() };
    let result = conclude(exchange, looked, |path, text| {
        answer.replace_segment(path, text);
        true
    });
    exchange.stage(Stage::GuardResponse, started, result)
}

/// What was found in a whole answer.
#[derive(Default)]
pub(crate) struct Looked {
    found: Vec<tidegate_core::facts::GuardVerdict>,
    rewrites: Vec<(SegmentPath, String)>,
    blocked: Option<Finding>,
}

/// Looks at each segment.
pub(crate) fn look(chain: &Chain, segments: Vec<Segment<'_>>, tokens: Option<&Tokens>) -> Looked {
    let mut looked = Looked::default();
    let watch = chain.watch();
    for segment in segments.iter().filter(|segment| tokens.is_some() || chain.applies(segment.origin)) {
        let mut findings = chain.scan_named(segment.origin, segment.name.as_deref(), &segment.text, &watch);
        match tokens {
            Some(tokens) => tokens.restore(segment.origin, &segment.text, &mut findings),
            // What a server says goes to the caller; tokens are for models.
            None => findings.retain(|finding| finding.action != GuardAction::Tokenize),
        }
        if findings.is_empty() {
            continue;
        }
        add(&mut looked.found, verdicts(&findings));
        if let Some(finding) = findings.iter().find(|finding| finding.action == GuardAction::Block) {
            looked.blocked.get_or_insert_with(|| finding.clone());
        } else if findings.iter().any(Finding::is_enforced) {
            looked.rewrites.push((segment.path, redact(&segment.text, &findings)));
        }
    }
    looked
}

/// Notes what was found, and rewrites or refuses.
pub(crate) fn conclude(
    exchange: &mut Exchange,
    looked: Looked,
    mut replace: impl FnMut(SegmentPath, &str) -> bool,
) -> Result<((), StageVerdict), Fault> {
    let Looked { found, rewrites, blocked } = looked;
    add(&mut exchange.story.verdicts, found);
    if let Some(finding) = blocked {
        return Err(blocked_fault(&finding));
    }
    let verdict = if rewrites.is_empty() { StageVerdict::Pass } else { StageVerdict::Changed };
    for (path, text) in rewrites {
        if !replace(path, &text) {
            return Err(Fault::new(
                FaultCode::Internal,
                "What a guardrail found could not be taken out of the answer, so it was withheld.",
            ));
        }
    }
    Ok(((), verdict))
}
