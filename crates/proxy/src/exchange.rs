//! One call on its way: what is known of it so far, and what must happen when it ends.
//!
//! Every stage takes it by reference and adds to it. It travels inside the response body, and [`Exchange::end`], which
//! `finish` implements, runs exactly once: when the answer has left, or when everything is dropped before.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;
use tidegate_config::{document::Bodies, snapshot::Snapshot};
use tidegate_core::{
    clock::{self, UnixMillis},
    event::{Stage, StageEvent, StageVerdict},
    facts::{Action, Facts, GuardVerdict},
    fault::{AttemptReport, Fault, FaultOrigin},
    ids::{CallId, ModelName, RevisionId},
    money::NanoUsd,
    principal::Principal,
    trace::TraceId,
    usage::{Service, Usage},
};
use tidegate_guard::{Chain, Tokens};
use tidegate_ledger::Scope;
use tidegate_upstream::{LegSender, Provider, Target};
use tokio_util::sync::CancellationToken;

use crate::{
    answers::Keeping,
    federation::Federation,
    finish,
    gate::Gate,
    live::Entered,
    repeats::Running,
    results::Tally,
    stage::reserve::Place,
    surface::{Surface, realtime::Upgrading},
    traced::{self, Gathered},
};

/// The most of an answer that is kept, in bytes.
const LARGEST_KEPT: usize = 4 * 1024 * 1024;

/// Who calls, with everything that follows from it.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// The guardrails of the key, compiled.
    pub(crate) chain: Arc<Chain>,
    /// Whose budgets and limits count.
    pub(crate) scopes: Arc<[Scope]>,
}

/// What is told of the call when it has ended: the audit record and the summary are made from it.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) action: Option<Action>,
    pub(crate) is_tool: bool,
    /// What is done, as the OpenTelemetry conventions call it: `chat`, or the MCP method.
    pub(crate) operation: &'static str,
    /// The model as the caller named it.
    pub(crate) asked: Option<Arc<str>>,
    pub(crate) resource: Arc<str>,
    pub(crate) model: Option<ModelName>,
    pub(crate) stream: bool,
    pub(crate) session: Option<Arc<str>>,
    pub(crate) policies: Vec<String>,
    pub(crate) observed: Vec<String>,
    pub(crate) verdicts: Vec<GuardVerdict>,
    pub(crate) attempts: Vec<AttemptReport>,
    pub(crate) losses: Vec<Arc<str>>,
    pub(crate) stages: Vec<StageEvent>,
    pub(crate) facts: Vec<(Arc<str>, Arc<str>)>,
    /// What the conditions of the route came to.
    pub(crate) conditions: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) served_by: Option<Arc<str>>,
    pub(crate) request_digest: Option<tidegate_core::ids::Digest>,
    pub(crate) response_digest: Option<tidegate_core::ids::Digest>,
    pub(crate) receipt: Option<u64>,
    pub(crate) usage: Option<Usage>,
    /// The level of service that was asked for.
    pub(crate) service: Option<Service>,
    /// What the call costs where it is not paid for by the token; `Some(None)` where nobody knows.
    pub(crate) flat: Option<Option<NanoUsd>>,
    pub(crate) cost: Option<NanoUsd>,
    pub(crate) upstream: Duration,
    /// The bodies that are kept, as guards let them through; nothing where none are kept.
    pub(crate) request_body: Option<bytes::Bytes>,
    pub(crate) response_body: Option<bytes::BytesMut>,
    /// Whether the answer is one that was given before.
    pub(crate) again: bool,
    /// What a cache had to do with it.
    pub(crate) cache: Cached,
    /// Whether the reservation and the intent were handed to the dispatch.
    pub(crate) sent: bool,
}

/// What a cache had to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Cached {
    /// Nothing.
    #[default]
    Off,
    /// It had no answer, or was not to look for one.
    Miss,
    /// The answer came from it.
    Hit,
    /// So did this one, which was given to a similar question.
    SimilarHit,
}

impl Cached {
    /// As `x-tidegate-cache` says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::SimilarHit => "semantic-hit",
        }
    }
}

/// One call.
pub(crate) struct Exchange {
    pub(crate) gate: Arc<Gate>,
    /// The revision that this call is decided by, whatever is activated meanwhile.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) id: CallId,
    pub(crate) surface: Surface,
    pub(crate) address: IpAddr,
    pub(crate) headers: HeaderMap,
    /// The trace that the call belongs to, sent or not.
    pub(crate) trace: TraceId,
    /// What is gathered for the call's spans, where they are to be sent.
    pub(crate) gathered: Option<Box<Gathered>>,
    pub(crate) at: UnixMillis,
    pub(crate) started: Instant,
    /// The most bytes that its body may have.
    pub(crate) body_limit: usize,
    /// When the caller's own patience ends.
    pub(crate) deadline: Option<Instant>,
    pub(crate) caller: Option<Caller>,
    pub(crate) story: Story,
    /// The reservation and the intent, from dispatch until the end.
    pub(crate) running: Option<tidegate_upstream::Running>,
    /// The values that the model sees as tokens; nothing where no guardrail tokenizes.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// Where the call may go, once the money for it is set aside.
    pub(crate) places: Vec<Place>,
    /// Who serves the call: its price decides what it cost.
    pub(crate) target: Option<Arc<Target>>,
    /// Cancelled when the call is to be cut from outside.
    pub(crate) cut: CancellationToken,
    pub(crate) entered: Option<Entered>,
    /// Others may be waiting for the same answer.
    pub(crate) repeat: Option<Running>,
    /// The answer is to be kept for the same question.
    pub(crate) keeping: Option<Box<Keeping>>,
    /// The session with all MCP servers that the call belongs to.
    pub(crate) federation: Option<Arc<Federation>>,
    /// Whether a stream is to be one JSON array.
    pub(crate) as_array: bool,
    /// The connection, where it may become a live session.
    pub(crate) upgrading: Option<Box<Upgrading>>,
    /// The provider that the path names: the call goes there or nowhere.
    pub(crate) pinned: Option<Arc<Provider>>,
    /// The collection of a provider that the call adds to, and the provider.
    pub(crate) adds_to: Option<Box<(Arc<str>, Arc<Provider>)>>,
    /// The provider of whose batches the answer tells.
    pub(crate) tells_batches: Option<Arc<Provider>>,
    /// The count of a provider's batch whose results are fetched.
    pub(crate) tally: Option<Box<Tally>>,
    /// The live session that the call is a turn of.
    pub(crate) live: Option<LegSender>,
    /// The id of the JSON-RPC request, as it was written.
    pub(crate) rpc_id: Option<bytes::Bytes>,
    /// Whether the protocol session, or the server that was named, does not exist for this caller: then the HTTP status
    /// says so too, and not the JSON-RPC error alone.
    pub(crate) outside_session: bool,
    ended: bool,
}

/// How a call ends.
pub(crate) struct Ending<'a> {
    /// The HTTP status that the caller gets.
    pub(crate) status: u16,
    /// What went wrong, if something did.
    pub(crate) fault: Option<&'a Fault>,
    /// Whether all of the answer came.
    pub(crate) complete: bool,
}

impl Exchange {
    /// A call that has just come in.
    pub(crate) fn begin(gate: Arc<Gate>, surface: Surface, mut headers: HeaderMap, address: IpAddr) -> Self {
        let id = CallId::new();
        // Upstreams see the gateway's id of the call, and never one that a caller made up.
        if let Ok(value) = http::HeaderValue::from_str(&id.to_string()) {
            headers.insert("x-tidegate-call-id", value);
        }
        let snapshot = Arc::clone(&gate.live.current().snapshot);
        gate.metrics.in_flight.inc();
        let (trace, gathered) = traced::begin(&gate.export, id, &headers);
        Self {
            body_limit: snapshot.body_limit,
            snapshot,
            gate,
            id,
            surface,
            address,
            headers,
            trace,
            gathered,
            at: clock::wall(),
            started: clock::now(),
            deadline: None,
            caller: None,
            story: Story { stages: Vec::with_capacity(Stage::ALL.len()), ..Story::default() },
            running: None,
            tokens: None,
            places: Vec::new(),
            target: None,
            cut: CancellationToken::new(),
            entered: None,
            repeat: None,
            keeping: None,
            federation: None,
            as_array: false,
            upgrading: None,
            pinned: None,
            adds_to: None,
            tells_batches: None,
            tally: None,
            live: None,
            rpc_id: None,
            outside_session: false,
            ended: false,
        }
    }

    /// The revision that decides this call.
    pub(crate) fn revision(&self) -> RevisionId {
        self.snapshot.revision
    }

    /// The policies that decide this call.
    pub(crate) fn policies(&self) -> Arc<tidegate_policy::Policies> {
        Arc::clone(&self.snapshot.policies)
    }

    /// A header of the request as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reports what a stage concluded, and hands its result on.
    pub(crate) fn stage<T>(
        &mut self,
        stage: Stage,
        started: Instant,
        result: Result<(T, StageVerdict), Fault>,
    ) -> Result<T, Fault> {
        let (verdict, detail) = match &result {
            Ok((_, verdict)) => (*verdict, None),
            Err(fault) if matches!(fault.origin(), FaultOrigin::Client | FaultOrigin::Policy) => {
                (StageVerdict::Refused, Some(Arc::from(fault.code.as_str())))
            }
            Err(fault) => (StageVerdict::Failed, Some(Arc::from(fault.code.as_str()))),
        };
        self.report(StageEvent { stage, verdict, micros: clock::micros_since(started), detail });
        result.map(|(value, _)| value)
    }

    /// Reports one stage's event to the metrics and the story.
    pub(crate) fn report(&mut self, event: StageEvent) {
        tracing::trace!(call = %self.id, stage = event.stage.as_str(), micros = event.micros, "stage");
        self.gate.metrics.stage(&event);
        self.story.stages.push(event);
        if let Some(gathered) = &mut self.gathered {
            gathered.stage_over();
        }
    }

    /// Whether bodies are kept.
    pub(crate) fn keeps_bodies(&self) -> bool {
        self.gate.blobs.is_some() && self.snapshot.bodies == Bodies::Redacted
    }

    /// Keeps a piece of the answer, where bodies are kept, or sent with traces, and there is room for it.
    pub(crate) fn keep_response(&mut self, piece: &[u8]) {
        if let Some(repeat) = &mut self.repeat {
            repeat.push(piece);
        }
        if self.keeps_bodies() || (self.gathered.is_some() && self.gate.export.wants_content()) {
            let kept = self.story.response_body.get_or_insert_default();
            let room = LARGEST_KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        }
    }

    /// Keeps the answer for the same question, now that it is whole.
    pub(crate) fn keep_answer(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            keeping.keep(&self.gate.answers);
        }
    }

    /// Tells those who asked the same; with `keep`, also those who will.
    pub(crate) fn tell_others(&mut self, keep: bool) {
        if let Some(repeat) = self.repeat.take() {
            repeat.tell(keep);
        }
    }

    /// Notes the facts that a decision was made on, without content.
    pub(crate) fn tell_facts(&mut self, facts: &Facts) {
        let mut told: Vec<(Arc<str>, Arc<str>)> = Vec::with_capacity(8);
        let mut tell = |name: &str, value: String| told.push((Arc::from(name), Arc::from(value)));
        tell("surface", facts.surface.to_owned());
        tell("stream", facts.stream.to_string());
        if let Some(model) = &facts.model {
            tell("model", model.to_string());
        }
        if facts.input_tokens > 0 {
            tell("input_tokens", facts.input_tokens.to_string());
            tell("max_output_tokens", facts.max_output_tokens.to_string());
        }
        if let Some(cost) = facts.estimated_cost {
            tell("estimated_cost_usd", cost.to_usd());
        }
        if !facts.tools.is_empty() {
            let names: Vec<&str> = facts.tools.iter().take(32).map(AsRef::as_ref).collect();
            tell("tools", names.join(", "));
        }
        if let Some(tidegate_core::value::Value::Record(members)) = &facts.arguments {
            let names: Vec<&str> = members.iter().take(32).map(|(name, _)| &**name).collect();
            tell("arguments", names.join(", "));
        }
        told.extend(self.story.conditions.iter().cloned());
        self.story.facts = told;
    }

    /// Notes which targets were passed over since they cannot take the call, beside the facts that it was decided on.
    pub(crate) fn tell_passed_over(&mut self, targets: &[String]) {
        let passed = targets.iter().map(|words| (Arc::from("passed_over"), Arc::from(words.as_str())));
        self.story.facts.extend(passed);
    }

    /// Takes it back: it was no call, and leaves no trace.
    pub(crate) fn forget(mut self) {
        self.ended = true;
        self.gate.metrics.in_flight.dec();
    }

    /// Ends the call: settles what it used, records how it ended. Runs once; later calls do nothing.
    pub(crate) fn end(&mut self, ending: &Ending<'_>) {
        if !std::mem::replace(&mut self.ended, true) {
            let (call, trace) = (self.id, self.trace);
            // Also where the answer's body is dropped outside of the call's own future, the log is to name it.
            tidegate_core::trace::within(call, trace, || finish::finish(self, ending));
            self.gate.metrics.in_flight.dec();
            self.entered = None;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Whoever drops a call without ending it saw the client leave (or panicked on the way).
        self.end(&Ending { status: 499, fault: None, complete: false });
    }
}
