//! Spans of finished calls: the call itself, each stage, each attempt.
//!
//! Owns names, kinds, parents, times and statuses as the conventions want them. A call is the server's side of what its
//! caller asked; its stages are the gateway's own work; an attempt is the client's side of what an upstream was asked,
//! and carries the GenAI or MCP attributes, so that backends count each inference once. Never runs on a request's path.

use std::time::Instant;

use tidegate_core::{
    event::{Stage, StageEvent, StageVerdict},
    facts::{Action, GuardAction},
    fault::{AttemptReport, FaultCode, FaultOrigin, Phase},
    trace::{SpanId, TraceContext},
};

use super::{
    attributes::{self as name, Attributes},
    content, encode,
    protobuf::Message,
    settings::{Place, Profile, Settings},
    trace::CallTrace,
};

/// The numbers of children from which stages count; attempts count from 1, and no call has as many.
const FIRST_STAGE: u32 = 1 << 16;

const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// `Span.flags`: the trace is sampled, and whether the parent is remote is known.
const FLAGS: u32 = 0x101;
/// `Span.flags`: the parent is remote.
const REMOTE: u32 = 0x200;

/// An export request of these calls, and how many spans it has.
pub(super) fn encode(settings: &Settings, calls: &[Box<CallTrace>]) -> (Vec<u8>, u64) {
    let mut spans = 0_u64;
    let bytes = encode::request(settings, |scope| {
        for call in calls {
            let mut of_call = OfCall { settings, call, scope, spans: 0 };
            of_call.root();
            of_call.stages();
            of_call.attempts();
            spans = spans.saturating_add(of_call.spans);
        }
    });
    (bytes, spans)
}

/// What every span has.
struct Head<'a> {
    id: SpanId,
    parent: Option<SpanId>,
    flags: u32,
    name: &'a str,
    kind: u64,
    from: Instant,
    to: Instant,
}

struct OfCall<'a> {
    settings: &'a Settings,
    call: &'a CallTrace,
    scope: &'a mut Message,
    spans: u64,
}

impl OfCall<'_> {
    /// A moment in nanoseconds since 1970: the wall clock's word for the call's beginning, and what passed since.
    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.call.began);
        let start = self.call.summary.at.0.saturating_mul(1_000_000);
        start.saturating_add(u64::try_from(since.as_nanos()).unwrap_or(0))
    }

    fn span(&mut self, head: &Head<'_>, fill: impl FnOnce(&mut Message)) {
        self.spans = self.spans.saturating_add(1);
        let (from, to) = (self.nanos(head.from), self.nanos(head.to.max(head.from)));
        let trace = self.call.context.trace;
        self.scope.message(2, |span| {
            span.blob(1, &trace.to_bytes());
            span.blob(2, &head.id.to_bytes());
            if let Some(parent) = head.parent {
                span.blob(4, &parent.to_bytes());
            }
            span.text(5, head.name);
            span.number(6, head.kind);
            span.fixed(7, from);
            span.fixed(8, to);
            fill(span);
            span.fixed_short(16, head.flags);
        });
    }

    /// The call as its caller sees it.
    fn root(&mut self) {
        let call = self.call;
        let TraceContext { span, .. } = call.context;
        let name = if call.details.is_tool {
            tool_name(call)
        } else {
            format!("{} {}", call.summary.surface, call.details.operation)
        };
        let remote = if call.parent.is_some() { REMOTE } else { 0 };
        let head = Head {
            id: span,
            parent: call.parent,
            flags: FLAGS | remote,
            name: &name,
            kind: SERVER,
            from: call.began,
            to: call.ended,
        };
        let ended = self.nanos(call.ended);
        self.span(&head, |span| {
            let mut attributes = Attributes::of(span, 9);
            of_root(&mut attributes, call);
            for verdict in &call.summary.verdicts {
                span.message(11, |event| {
                    event.fixed(1, ended);
                    event.text(2, "tidegate.guard.finding");
                    let action = match verdict.action {
                        GuardAction::Label => "label",
                        GuardAction::Tokenize => "tokenize",
                        GuardAction::Redact => "redact",
                        GuardAction::Block => "block",
                    };
                    Attributes::of(event, 3)
                        .text("tidegate.guardrail", verdict.guardrail.as_str())
                        .text("tidegate.guardrail.category", &verdict.category)
                        .text("tidegate.guardrail.action", action)
                        .number("tidegate.guardrail.count", u64::from(verdict.count));
                });
            }
            status(span, call.fault.filter(|code| is_error(*code)).map(FaultCode::as_str));
        });
    }

    fn stages(&mut self) {
        let call = self.call;
        for (number, (event, ended)) in (FIRST_STAGE..).zip(call.summary.stages.iter().zip(&call.stage_ends)) {
            let took = std::time::Duration::from_micros(u64::from(event.micros));
            let head = Head {
                id: call.context.span.child(number),
                parent: Some(call.context.span),
                flags: FLAGS,
                name: event.stage.as_str(),
                kind: INTERNAL,
                from: ended.checked_sub(took).unwrap_or(*ended).max(call.began),
                to: *ended,
            };
            self.span(&head, |span| of_stage(span, event));
        }
    }

    /// The span that attempts belong to: the dispatch, where there was one.
    fn dispatch(&self) -> SpanId {
        let stages = &self.call.summary.stages;
        let known = stages.len().min(self.call.stage_ends.len());
        let at = stages.iter().take(known).position(|event| event.stage == Stage::Dispatch);
        let number = at.and_then(|at| u32::try_from(at).ok()).map(|at| FIRST_STAGE.saturating_add(at));
        number.map_or(self.call.context.span, |number| self.call.context.span.child(number))
    }

    fn attempts(&mut self) {
        let call = self.call;
        let parent = self.dispatch();
        let last = call.summary.attempts.len();
        for (number, report) in (1_u32..).zip(&call.summary.attempts) {
            let Some(timing) = &report.timing else { continue };
            let answered = timing.fault.is_none() && usize::try_from(number).is_ok_and(|number| number == last);
            let name = if call.details.is_tool {
                tool_name(call)
            } else {
                format!("{} {}", call.details.operation, model_of(report))
            };
            // An answer that streams goes on until the call ends.
            let to = if answered && report.phase == Phase::Events { call.ended } else { timing.ended };
            let head = Head {
                id: call.context.span.child(number),
                parent: Some(parent),
                flags: FLAGS,
                name: &name,
                kind: CLIENT,
                from: timing.began,
                to,
            };
            let settings = self.settings;
            self.span(&head, |span| of_attempt(span, settings, call, report, (number, answered)));
        }
    }
}

fn of_root(attributes: &mut Attributes<'_>, call: &CallTrace) {
    let summary = &call.summary;
    attributes
        .text("tidegate.call.id", &summary.id.to_string())
        .text("tidegate.surface", &summary.surface)
        .text("tidegate.action", summary.action.map_or("", Action::as_str))
        .text("tidegate.resource", &summary.resource)
        .text("tidegate.org", summary.org.as_str())
        .text("tidegate.key", summary.key.as_ref().map_or("", |key| key.as_str()))
        .text("tidegate.team", summary.team.as_ref().map_or("", |team| team.as_str()))
        .text("tidegate.revision", &summary.revision)
        .text("tidegate.served_by", summary.served_by.as_deref().unwrap_or_default())
        .text("tidegate.session", call.details.session.as_deref().unwrap_or_default())
        .texts("tidegate.policies", summary.policies.iter().map(String::as_str))
        .texts("tidegate.observed_policies", summary.observed.iter().map(String::as_str))
        .number("tidegate.attempts", u64::try_from(summary.attempts.len()).unwrap_or(u64::MAX))
        .number(name::STATUS_CODE, u64::from(summary.status))
        .flag("tidegate.complete", call.complete);
    if let Some(cost) = summary.cost {
        attributes.number("tidegate.cost.nano_usd", cost.0);
    }
    if let Some(receipt) = summary.receipt {
        attributes.number("tidegate.receipt", receipt);
    }
    if call.details.is_tool {
        of_tool(attributes, call);
    }
    let error = match call.fault {
        Some(code) => code.as_str(),
        None if !call.complete => "caller_gone",
        None => "",
    };
    attributes.text(name::ERROR_TYPE, error);
}

fn of_stage(span: &mut Message, event: &StageEvent) {
    let verdict = match event.verdict {
        StageVerdict::Pass => "pass",
        StageVerdict::Changed => "changed",
        StageVerdict::Refused => "refused",
        StageVerdict::Failed => "failed",
    };
    let detail = event.detail.as_deref().unwrap_or_default();
    let ends = matches!(event.verdict, StageVerdict::Refused | StageVerdict::Failed);
    Attributes::of(span, 9)
        .text("tidegate.stage", event.stage.as_str())
        .text("tidegate.stage.verdict", verdict)
        .text(if ends { name::ERROR_TYPE } else { "tidegate.stage.detail" }, detail);
    status(span, (event.verdict == StageVerdict::Failed).then_some(detail));
}

fn of_attempt(
    span: &mut Message,
    settings: &Settings,
    call: &CallTrace,
    report: &AttemptReport,
    (number, answered): (u32, bool),
) {
    let provider = report.target.split('/').next().unwrap_or_default();
    let place = settings.places.get(provider);
    // What broke off after it began is told by the call, not by the attempt's own report.
    let late = answered.then_some(call.fault).flatten().filter(|code| code.origin() == FaultOrigin::Upstream);
    let early = report.timing.as_ref().and_then(|timing| timing.fault.as_deref());
    let fault = early.or(late.map(FaultCode::as_str));
    let mut attributes = Attributes::of(span, 9);
    attributes
        .text("tidegate.provider", provider)
        .number("tidegate.attempt.number", u64::from(number))
        .text("tidegate.attempt.phase", phase(report.phase))
        .text(name::ERROR_TYPE, fault.unwrap_or_default());
    if let Some(status) = report.status {
        attributes.number(name::STATUS_CODE, u64::from(status));
    }
    if let Some(place) = place.filter(|place| !place.address.is_empty()) {
        attributes.text(name::SERVER_ADDRESS, &place.address).number(name::SERVER_PORT, u64::from(place.port));
    }
    if call.details.is_tool {
        of_tool(&mut attributes, call);
        attributes.text(name::TRANSPORT, "tcp");
        if answered {
            content::of_tool(&mut attributes, call);
        }
    } else {
        of_model(&mut attributes, settings, call, (report, place, answered));
    }
    // What failed is told in the words of the report, which hold no secret.
    status(span, fault.map(|code| if early.is_some() { report.outcome.as_str() } else { code }));
}

/// The conventions' attributes of an inference.
fn of_model(
    attributes: &mut Attributes<'_>,
    settings: &Settings,
    call: &CallTrace,
    (report, place, answered): (&AttemptReport, Option<&Place>, bool),
) {
    let details = &call.details;
    attributes
        .text(name::OPERATION, details.operation)
        .text(name::PROVIDER, place.map_or("", |place| &place.vendor))
        .text(name::REQUEST_MODEL, model_of(report))
        .text(name::CONVERSATION, details.session.as_deref().unwrap_or_default());
    if details.stream {
        attributes.flag(name::REQUEST_STREAM, true);
    }
    content::parameters(attributes, settings.profile, details);
    if !answered {
        return;
    }
    attributes
        .text(name::RESPONSE_ID, details.response_id.as_deref().unwrap_or_default())
        .text(name::RESPONSE_MODEL, details.response_model.as_deref().unwrap_or_default())
        .texts(name::FINISH_REASONS, details.finish_reason.as_deref().into_iter());
    if let Some(timing) = report.timing.as_ref().filter(|_| details.stream) {
        let first = timing.ended.saturating_duration_since(timing.began);
        attributes.float(name::FIRST_CHUNK, first.as_secs_f64());
    }
    usage(attributes, settings.profile, &call.summary.usage);
    content::of_model(attributes, details);
}

fn usage(attributes: &mut Attributes<'_>, profile: Profile, usage: &tidegate_core::usage::Usage) {
    if usage.total() == 0 {
        return;
    }
    attributes.number(name::INPUT_TOKENS, usage.prompt_total()).number(name::OUTPUT_TOKENS, usage.output);
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
    let more = [
        (name::CACHE_READ, usage.cache_read),
        (profile.pick(name::CACHE_WRITE_A, name::CACHE_WRITE_B), written),
        (name::REASONING_TOKENS, usage.reasoning),
    ];
    for (name, tokens) in more.into_iter().filter(|(_, tokens)| *tokens > 0) {
        attributes.number(name, tokens);
    }
}

/// The conventions' attributes of an MCP request.
fn of_tool(attributes: &mut Attributes<'_>, call: &CallTrace) {
    let details = &call.details;
    let (server, item) = item_of(call);
    attributes
        .text(name::MCP_METHOD, details.operation)
        .text(name::MCP_SESSION, details.session.as_deref().unwrap_or_default())
        .text(name::RPC_ID, details.rpc_id.as_deref().and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default())
        .text("tidegate.server", server);
    match call.summary.action {
        Some(Action::CallTool) => {
            attributes.text(name::OPERATION, "execute_tool").text(name::TOOL_NAME, item);
        }
        Some(Action::ReadResource) => {
            attributes.text(name::MCP_RESOURCE, item);
        }
        _ => {}
    }
}

/// `{method} {tool or prompt}`; a resource's URI is not for names.
fn tool_name(call: &CallTrace) -> String {
    let (_, item) = item_of(call);
    match call.summary.action {
        Some(Action::CallTool | Action::GetPrompt) if !item.is_empty() => format!("{} {item}", call.details.operation),
        _ => call.details.operation.to_owned(),
    }
}

/// Server and item of an MCP request's resource, `server/item`.
fn item_of(call: &CallTrace) -> (&str, &str) {
    let resource: &str = &call.summary.resource;
    resource.split_once('/').unwrap_or((resource, ""))
}

/// The model of an attempt's target, `provider/model`.
fn model_of(report: &AttemptReport) -> &str {
    report.target.split_once('/').map_or("", |(_, model)| model)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Refused => "refused",
        Phase::Connect => "connect",
        Phase::FirstEvent => "first_event",
        Phase::Events => "events",
        Phase::Done => "done",
    }
}

/// Whether a call's failure is the server's side's, and so an error of its span: what callers and rules refuse is none.
fn is_error(code: FaultCode) -> bool {
    matches!(code.origin(), FaultOrigin::Internal | FaultOrigin::Upstream)
}

/// `Span.status`: an error with its words, else unset.
fn status(span: &mut Message, error: Option<&str>) {
    if let Some(words) = error {
        span.message(15, |status| {
            status.text(2, words);
            status.number(3, 2);
        });
    }
}
