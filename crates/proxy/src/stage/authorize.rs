//! Stage 6: may they. Each candidate is decided by itself; the permit carries those that are allowed and can take the
//! call.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::{Action, Facts, Resource},
    fault::{Fault, FaultCode},
    ids::{ModelName, TargetId, ToolName},
};
use tidegate_policy::{Decision, Denial, DenyReason, Permit};
use tidegate_protocol::call::Call;

use crate::{
    discovery::refuse_changed,
    exchange::{Caller, Exchange},
    fit::fitting,
    stage::{
        guard_request::with_verdicts,
        route::{Routed, no_such_api, no_such_model},
    },
};

/// Most members of the metadata header, and most bytes of one.
const METADATA: (usize, usize) = (32, 512);

/// Decides on the call as it stands now.
pub(crate) fn authorize(
    exchange: &mut Exchange,
    caller: &Caller,
    call: &Call,
    routed: &Routed,
) -> Result<Permit, Fault> {
    let started = clock::now();
    let result = authorized(exchange, caller, call, routed).map(|permit| (permit, StageVerdict::Pass));
    exchange.stage(Stage::Authorize, started, result)
}

fn authorized(exchange: &mut Exchange, caller: &Caller, call: &Call, routed: &Routed) -> Result<Permit, Fault> {
    let mut facts = with_verdicts(call.facts(), &exchange.story.verdicts);
    facts.metadata = metadata(exchange)?;
    facts.session = session(exchange);
    facts.estimated_cost = routed.most(|_| true);
    if facts.model.is_some() {
        facts.model = exchange.story.model.clone();
        facts.input_tokens = routed.estimate.input_tokens;
        facts.max_output_tokens = routed.targets().iter().map(|target| routed.max_output(target)).max().unwrap_or(0);
    }
    exchange.tell_facts(&facts);
    exchange.story.session = facts.session.clone();
    exchange.story.request_digest = Some(call.digest());
    let permit = tidegate_policy::authorize(
        &exchange.policies(),
        exchange.id,
        call.version(),
        call.digest(),
        &caller.principal,
        &facts,
        &routed.candidates,
        exchange.at,
    );
    match permit {
        Ok(permit) => {
            tell(exchange, permit.decisions());
            let permit = match call {
                Call::Model(call) => match fitting(call, &routed.targets(), |resource| permit.allows(resource))? {
                    Some(fit) => {
                        exchange.tell_passed_over(&fit.passed_over);
                        permit.only(&fit.able)
                    }
                    None => permit,
                },
                _ => permit,
            };
            if facts.action == Action::CallTool {
                refuse_changed(exchange.gate.discovery.as_ref(), &exchange.snapshot, routed.candidates.first())?;
            }
            Ok(permit)
        }
        Err(denial) => {
            tell(exchange, &denial.decisions);
            Err(denied(exchange, caller, &facts, routed, &denial))
        }
    }
}

/// Notes which policies decided, and which would have, were they enforced.
fn tell(exchange: &mut Exchange, decisions: &[(Resource, Decision)]) {
    let mut policies: Vec<String> = Vec::new();
    let mut observed: Vec<String> = Vec::new();
    for (_, decision) in decisions {
        policies.extend(decision.determining.iter().map(ToString::to_string));
        observed.extend(decision.observed.iter().map(|seen| seen.policy.to_string()));
    }
    for list in [&mut policies, &mut observed] {
        list.sort();
        list.dedup();
    }
    exchange.story.policies = policies;
    exchange.story.observed = observed;
}

/// What is denied and could not be seen either does not exist for this caller.
fn denied(exchange: &Exchange, caller: &Caller, facts: &Facts, routed: &Routed, denial: &Denial) -> Fault {
    if denial.reason != DenyReason::EvaluationError && !visible(exchange, caller, facts, routed) {
        return match &facts.model {
            _ if facts.api.is_some() => no_such_api(),
            Some(model) => no_such_model(model.as_str()),
            None => Fault::new(
                FaultCode::NotFound,
                "This does not exist on the server or this key may not use it: the server's lists show what it may.",
            ),
        };
    }
    let mut fault = Fault::new(FaultCode::PolicyDenied, sentence(&denial.public_message()));
    fault.policies = denial.policies.clone();
    fault
}

fn visible(exchange: &Exchange, caller: &Caller, facts: &Facts, routed: &Routed) -> bool {
    let Some(resource) = routed.candidates.first() else { return false };
    let (list, of) = match (facts.action, resource) {
        (Action::InvokeModel, _) => (Action::ListModels, Resource::Gateway),
        (Action::CallTool, Resource::Tool(server, _)) => (Action::ListTools, Resource::Server(server.clone())),
        (Action::ReadResource, Resource::McpResource(server, _)) => {
            (Action::ListResources, Resource::Server(server.clone()))
        }
        (Action::GetPrompt, Resource::Prompt(server, _)) => (Action::ListPrompts, Resource::Server(server.clone())),
        _ => return false,
    };
    let list_facts = Facts { action: list, resource: of.clone(), arguments: None, ..facts.clone() };
    let permit = tidegate_policy::authorize(
        &exchange.policies(),
        exchange.id,
        0,
        tidegate_core::ids::Digest::of(b""),
        &caller.principal,
        &list_facts,
        &[of],
        exchange.at,
    );
    let Ok(permit) = permit else { return false };
    let Some(listing) = permit.listing() else { return false };
    match (&facts.model, resource) {
        (Some(model), _) => listing.visible_model(model, &targets(routed)),
        (None, resource) => listing.visible(resource),
    }
}

fn targets(routed: &Routed) -> Vec<TargetId> {
    routed.targets().iter().map(|target| target.id.clone()).collect()
}

/// Which of the models that the configuration names this caller may see.
pub(crate) fn visible_models(
    exchange: &mut Exchange,
    caller: &Caller,
    names: &[(ModelName, Vec<TargetId>)],
) -> Vec<ModelName> {
    let started = clock::now();
    let facts = Facts::new(exchange.surface.as_str(), Action::ListModels, Resource::Gateway);
    let permit = tidegate_policy::authorize(
        &exchange.policies(),
        exchange.id,
        0,
        tidegate_core::ids::Digest::of(b""),
        &caller.principal,
        &facts,
        &[Resource::Gateway],
        exchange.at,
    );
    // A key that may use nothing sees an empty list, as one whose models were all taken away does.
    let seen = match &permit {
        Ok(permit) => {
            tell(exchange, permit.decisions());
            permit.listing().map(|listing| {
                names
                    .iter()
                    .filter(|(name, targets)| listing.visible_model(name, targets))
                    .map(|(name, _)| name.clone())
                    .collect()
            })
        }
        Err(_) => None,
    };
    let reported = exchange.stage(Stage::Authorize, started, Ok((seen.unwrap_or_default(), StageVerdict::Pass)));
    reported.unwrap_or_default()
}

/// Whether this caller may keep files and have batches run. What each line asks is decided when it is run.
pub(crate) fn may_use_batches(exchange: &mut Exchange, caller: &Caller) -> Result<(), Fault> {
    exchange.story.action = Some(Action::UseBatches);
    exchange.story.resource = Arc::from("batches");
    let facts = Facts::new(exchange.surface.as_str(), Action::UseBatches, Resource::Gateway);
    let decision = exchange.policies().decide(&caller.principal, &facts, &Resource::Gateway, exchange.at);
    exchange.story.policies = decision.determining.iter().map(ToString::to_string).collect();
    if decision.is_allowed() {
        return Ok(());
    }
    let words = "This key may not keep files or have batches run here: that takes a policy that permits `use_batches`, as \
         an `allow` list with models does.";
    let mut fault = Fault::new(FaultCode::PolicyDenied, words);
    fault.policies = exchange.story.policies.clone();
    Err(fault)
}

/// Whether a model's answer may propose a call of `tool`: yes, unless a policy forbids it. Running it is decided again,
/// where it is run.
pub(crate) fn may_propose(exchange: &Exchange, tool: &str) -> Result<(), Fault> {
    let Some(caller) = &exchange.caller else { return Ok(()) };
    let resource = Resource::ProposedTool(ToolName::from(tool));
    let mut facts = Facts::new(exchange.surface.as_str(), Action::ProposeTool, resource.clone());
    facts.model = exchange.story.model.clone();
    facts.session = exchange.story.session.clone();
    let decision = exchange.policies().decide(&caller.principal, &facts, &resource, exchange.at);
    if decision.is_allowed() {
        return Ok(());
    }
    let mut fault = Fault::new(
        FaultCode::PolicyDenied,
        "The model proposed a tool call that a policy forbids, so its answer was withheld.",
    );
    fault.policies = decision.determining.iter().map(ToString::to_string).collect();
    Err(fault)
}

/// The first letter large, a full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// The caller's own session, as `x-tidegate-session` or the protocol names it.
pub(crate) fn session(exchange: &Exchange) -> Option<Arc<str>> {
    let name = exchange.header("x-tidegate-session").or_else(|| exchange.header("mcp-session-id"))?;
    (!name.is_empty() && name.len() <= 256).then(|| Arc::from(name))
}

/// What `x-tidegate-metadata` says: a JSON object of texts.
pub(crate) fn metadata(exchange: &Exchange) -> Result<BTreeMap<Arc<str>, Arc<str>>, Fault> {
    let Some(text) = exchange.header("x-tidegate-metadata") else { return Ok(BTreeMap::new()) };
    let refuse = || {
        Fault::new(
            FaultCode::InvalidRequest,
            "The header x-tidegate-metadata takes a JSON object of at most 32 texts of at most 512 bytes each.",
        )
    };
    let members: BTreeMap<Arc<str>, Arc<str>> = serde_json::from_str(text).map_err(|_| refuse())?;
    let fits = members.iter().all(|(name, value)| name.len() <= METADATA.1 && value.len() <= METADATA.1);
    if members.len() > METADATA.0 || !fits {
        return Err(refuse());
    }
    Ok(members)
}
