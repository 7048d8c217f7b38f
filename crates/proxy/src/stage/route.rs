//! Stage 4: where the call could go. Nothing is chosen yet: policy decides each candidate, the dispatch their order.

use std::sync::Arc;

use http::header;
use tidegate_config::snapshot::Caching;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::{Facts, Resource},
    fault::{Fault, FaultCode},
    money::NanoUsd,
    segment::Origin,
    unit::{Picture, Units},
    usage::Service,
};
use tidegate_ledger::{Most, upper_bound};
use tidegate_protocol::{
    call::{Call, Estimate},
    llm::Dialect,
    native::{Asked, NativeCall, Task, tells_batches},
};
use tidegate_upstream::{LegSender, Provider, Route, Target, mcp::Leg};

use crate::{
    exchange::{Caller, Exchange},
    results::Tally,
    stage::authorize::{metadata, session},
};

/// Tokens reserved for an answer where neither the caller nor the catalogue sets a limit.
const UNKNOWN_MAX_OUTPUT: u64 = 32_768;

/// Where a call could go.
pub(crate) struct Routed {
    /// What policy decides on, one by one.
    pub(crate) candidates: Vec<Resource>,
    pub(crate) way: Way,
    pub(crate) estimate: Estimate,
    /// The level of service that is asked for.
    pub(crate) service: Service,
    /// Whether sounds or images are in the call or asked for.
    pub(crate) media: bool,
    /// What the call may use beside tokens, and what sort of pictures it asks for.
    beside: Beside,
    /// Whether the same question gets the same answer again.
    pub(crate) cache: Option<Caching>,
}

/// What a call may use beside tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Beside {
    units: Units,
    picture: Picture,
    /// The dialect whose vendors' own tools the units are the fees for, where they are: what the call is translated for
    /// does not get them.
    fees_of: Option<Dialect>,
}

impl Beside {
    /// What may be used at `target`.
    fn at(&self, target: &Target) -> Units {
        match self.fees_of {
            Some(dialect) if !target.provider.speaks(dialect) => Units::NONE,
            _ => self.units,
        }
    }
}

/// The kinds of places.
pub(crate) enum Way {
    Models(Arc<Route>),
    Server(Arc<Leg>),
    /// A provider's own API, and what the call may cost there.
    Provider(Arc<Provider>, Option<NanoUsd>),
    /// A live session that is open.
    Live(LegSender),
}

/// Finds the places that the call's name stands for.
pub(crate) fn route(exchange: &mut Exchange, caller: &Caller, call: &Call) -> Result<Routed, Fault> {
    let started = clock::now();
    let result = routed(exchange, caller, call).map(|routed| (routed, StageVerdict::Pass));
    exchange.stage(Stage::Route, started, result)
}

fn routed(exchange: &mut Exchange, caller: &Caller, call: &Call) -> Result<Routed, Fault> {
    match call {
        Call::Model(call) => {
            exchange.story.stream = call.stream();
            exchange.story.resource = Arc::from(call.model().as_str());
            exchange.story.asked = Some(Arc::clone(&exchange.story.resource));
            let asked = call.model().as_str();
            let found = found(exchange, asked)?;
            exchange.story.model = Some(found.name);
            let route = decided(exchange, caller, &found.route, call.facts())?;
            let candidates = resources(&route.targets());
            let estimate = Estimate {
                input_tokens: call.estimate(),
                max_output_tokens: call.max_output_tokens(),
                choices: call.choices(),
            };
            exchange.story.service = call.service();
            let service = exchange.story.service.unwrap_or(Service::Standard);
            let (way, media) = (Way::Models(route), call.has_media());
            let beside = Beside { units: call.fees(), fees_of: Some(call.dialect()), ..Beside::default() };
            Ok(Routed { candidates, way, estimate, service, media, beside, cache: found.cache })
        }
        Call::Tool(tool) => {
            let Some(server) = exchange.snapshot.server(tool.server().as_str()) else {
                exchange.outside_session = true;
                return Err(no_such_server(tool.server().as_str()));
            };
            if let Some(federation) = &exchange.federation {
                let leg = federation.leg(server);
                return Ok(Routed::to(vec![tool.resource()], Way::Server(leg), call.estimate()));
            }
            let session = exchange.header("mcp-session-id");
            let leg = exchange.gate.sessions.leg(session, caller.principal.key, tool.server());
            exchange.outside_session = leg.is_err();
            let leg = leg?;
            Ok(Routed::to(vec![tool.resource()], Way::Server(leg), call.estimate()))
        }
        Call::Native(native) if let Some(asked) = native.asked() => of_model(exchange, caller, native, asked),
        Call::Native(native) => {
            // What a model call left at a provider is asked for there.
            let owner = exchange.gate.owners.of_path(&native.path());
            let owner = owner.and_then(|name| exchange.snapshot.providers().find(|provider| provider.name == name));
            let default = || exchange.snapshot.api_provider(native.dialect(), native.model().as_deref());
            let pinned = exchange.pinned.as_ref();
            let provider = Arc::clone(pinned.or(owner).or_else(default).ok_or_else(no_such_api)?);
            exchange.adds_to =
                native.adds_to().map(|collection| Box::new((Arc::from(collection), Arc::clone(&provider))));
            exchange.story.resource = Arc::from(format!("{} {} {}", provider.name, native.method(), native.path()));
            of_batches(exchange, native, &provider);
            exchange.story.stream = native.stream();
            if native.stream() && caller.chain.applies(Origin::Completion) {
                return Err(unguarded_stream());
            }
            let cost = if native.is_free() { Some(NanoUsd::ZERO) } else { provider.api_call };
            exchange.story.flat = Some(cost);
            let candidates = vec![Resource::Provider(provider.name.clone())];
            Ok(Routed::to(candidates, Way::Provider(provider, cost), call.estimate()))
        }
    }
}

/// Notes whether the call tells of batches at the provider, or fetches results of one that are to be counted: those are
/// asked for whole, as a server may give them (RFC 9110, sections 13.1 and 14.2).
fn of_batches(exchange: &mut Exchange, call: &NativeCall, provider: &Arc<Provider>) {
    let path = call.path();
    exchange.tells_batches = tells_batches(&path).then(|| Arc::clone(provider));
    if *call.method() == http::Method::GET {
        exchange.tally = Tally::of(&exchange.gate, &exchange.snapshot, &provider.name, &path);
    }
    if exchange.tally.is_some() {
        for name in [header::RANGE, header::IF_NONE_MATCH] {
            exchange.headers.remove(name);
        }
    }
}

/// What a model's name stands for; at the provider that the path names, where it names one.
fn found(exchange: &Exchange, name: &str) -> Result<tidegate_config::snapshot::Routed, Fault> {
    let found = match &exchange.pinned {
        Some(provider) => exchange.snapshot.at(provider.name.as_str(), name),
        None => exchange.snapshot.route(name, exchange.surface.as_str()),
    };
    found.ok_or_else(|| no_such_model(name))
}

/// Where a call of a vendor's own API could go that asks a model: to that model.
fn of_model(exchange: &mut Exchange, caller: &Caller, native: &NativeCall, asked: &Asked) -> Result<Routed, Fault> {
    let name = asked.model.as_str();
    exchange.story.stream = native.stream();
    exchange.story.resource = Arc::from(name);
    exchange.story.asked = Some(Arc::clone(&exchange.story.resource));
    let estimate = Estimate { input_tokens: asked.input_tokens, max_output_tokens: asked.max_output, choices: 1 };
    let found = found(exchange, name)?;
    exchange.story.model = Some(found.name);
    if native.stream() && exchange.live.is_none() && caller.chain.applies(Origin::Completion) {
        return Err(unguarded_stream());
    }
    if let Some(leg) = exchange.live.clone() {
        let candidates = vec![Resource::Model(leg.target().id.clone())];
        return Ok(Routed { media: true, ..Routed::to(candidates, Way::Live(leg), estimate) });
    }
    let route = decided(exchange, caller, &found.route, native.facts())?;
    let able = |target: &Arc<Target>| match asked.task {
        Task::Connect => target.provider.realtime,
        Task::Turn | Task::Heard => false,
        Task::DrawImages
        | Task::EditImages
        | Task::Speak
        | Task::Transcribe
        | Task::Moderate
        | Task::Rerank
        | Task::ReadDocument => target.provider.speaks(native.dialect()),
    };
    let targets: Vec<_> = route.targets().into_iter().filter(able).collect();
    let candidates = resources(&targets);
    if candidates.is_empty() {
        return Err(Fault::new(
            FaultCode::InvalidRequest,
            format!("The model `{name}` is at no provider that does this ({}): ask another.", asked.task.as_str()),
        ));
    }
    let beside = Beside { units: asked.units, picture: asked.assumed.picture, fees_of: None };
    Ok(Routed { media: true, beside, ..Routed::to(candidates, Way::Models(route), estimate) })
}

/// What policy decides on: each target once, whatever is said of it where.
fn resources(targets: &[Arc<Target>]) -> Vec<Resource> {
    let mut all: Vec<Resource> = Vec::with_capacity(targets.len());
    for target in targets {
        let resource = Resource::Model(target.id.clone());
        if !all.contains(&resource) {
            all.push(resource);
        }
    }
    all
}

/// The route with its conditions decided, on the facts as they stand before guardrails and targets. One that cannot be
/// evaluated does not hold, and the call's story says so.
fn decided(
    exchange: &mut Exchange,
    caller: &Caller,
    route: &Arc<Route>,
    mut facts: Facts,
) -> Result<Arc<Route>, Fault> {
    if !route.has_conditions() {
        return Ok(Arc::clone(route));
    }
    facts.model = exchange.story.model.clone();
    facts.metadata = metadata(exchange)?;
    facts.session = session(exchange);
    let policies = exchange.policies();
    let mut told = Vec::new();
    let route = route.resolve(&mut |condition| {
        let holds = policies.holds(condition, &caller.principal, &facts, exchange.at);
        let words = match &holds {
            Ok(holds) => format!("{}: {holds}", condition.text()),
            Err(why) => {
                tracing::warn!(call = %exchange.id, condition = condition.text(), why, "a route's condition failed");
                format!("{}: does not hold, since it cannot be evaluated: {why}", condition.text())
            }
        };
        told.push((Arc::from("condition"), Arc::from(words)));
        holds.unwrap_or(false)
    });
    let route = Arc::new(route.into_owned());
    exchange.story.conditions = told;
    Ok(route)
}

impl Routed {
    /// A way of a call that names no level of service.
    fn to(candidates: Vec<Resource>, way: Way, estimate: Estimate) -> Self {
        let (service, beside) = (Service::Standard, Beside::default());
        Self { candidates, way, estimate, service, media: false, beside, cache: None }
    }

    /// The targets of a model call, in no particular order; none for other kinds.
    pub(crate) fn targets(&self) -> Vec<Arc<Target>> {
        match &self.way {
            Way::Models(route) => route.targets(),
            Way::Live(leg) => vec![Arc::clone(leg.target())],
            Way::Server(_) | Way::Provider(..) => Vec::new(),
        }
    }

    /// The most tokens that `target` may generate for this call.
    pub(crate) fn max_output(&self, target: &Target) -> u64 {
        let fixed = target.params.max_tokens().map(|most| most.saturating_mul(self.estimate.choices.max(1)));
        // Where nothing is generated, nothing can be set to be.
        let asked = self.estimate.max_output_tokens;
        fixed.filter(|_| asked != Some(0)).or(asked).unwrap_or_else(|| {
            let each = target.max_output.unwrap_or(UNKNOWN_MAX_OUTPUT);
            each.saturating_mul(self.estimate.choices.max(1))
        })
    }

    /// The most that the call may cost with the dearest of the targets that `chosen` picks; `None` where one of them
    /// has no price. What needs no target costs nothing.
    pub(crate) fn most(&self, chosen: impl Fn(&Target) -> bool) -> Option<NanoUsd> {
        if let Way::Provider(_, cost) = &self.way {
            return *cost;
        }
        let mut most = NanoUsd::ZERO;
        for target in self.targets().iter().filter(|target| chosen(target)) {
            let price = target.price.as_ref()?;
            let call = Most {
                input: self.estimate.input_tokens,
                output: self.max_output(target),
                cache_write: true,
                media: self.media,
                service: self.service,
                units: self.beside.at(target),
                picture: self.beside.picture,
            };
            let cost = upper_bound(price, &call)?;
            most = most.max(cost);
        }
        Some(most)
    }

    /// The most tokens that the call may use, prompt and answer.
    pub(crate) fn most_tokens(&self) -> u64 {
        let output = self.targets().iter().map(|target| self.max_output(target)).max().unwrap_or(0);
        self.estimate.input_tokens.saturating_add(output)
    }
}

/// The answer for a model that does not exist, and for one that the caller may not see: the same.
pub(crate) fn no_such_model(name: &str) -> Fault {
    Fault::new(
        FaultCode::NotFound,
        format!("The model `{name}` does not exist or this key may not use it: GET /v1/models lists those it may."),
    )
}

/// The answer for a server that does not exist, and for one that the caller may not see: the same.
pub(crate) fn no_such_server(name: &str) -> Fault {
    Fault::new(FaultCode::NotFound, format!("The MCP server `{name}` does not exist or this key may not use it."))
}

/// The answer for a path of a vendor's own API that does not exist here, and for one that the caller may not use.
pub(crate) fn no_such_api() -> Fault {
    Fault::new(
        FaultCode::NotFound,
        "This path does not exist or this key may not use it: a vendor's own API is used where a policy permits \
         `call_provider_api`, at the default provider of its dialect.",
    )
}

/// The refusal of a stream that guardrails are to look into and cannot read; also of one that came unasked.
pub(crate) fn unguarded_stream() -> Fault {
    Fault::new(
        FaultCode::GuardrailBlocked,
        "This key's guardrails look at answers, and cannot look into a stream of a vendor's own API: ask without \
         `stream`.",
    )
}
