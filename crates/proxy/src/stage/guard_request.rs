//! Stage 8: what guards say to the request. A rewrite or a verdict changes the facts, so policy decides once more, and
//! only that last decision is the permit.

use std::sync::Arc;

use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::{Facts, GuardAction, GuardVerdict},
    fault::{Fault, FaultCode},
    segment::SegmentPath,
};
use tidegate_guard::{Failure, Finding, Tokens, redact, verdicts};
use tidegate_policy::Permit;
use tidegate_protocol::call::{Call, Kind};

use crate::{
    exchange::{Caller, Exchange},
    stage::{authorize, route::Routed},
};

/// Lets the guards look at everything that is sent to an upstream.
pub(crate) fn guard_request(
    exchange: &mut Exchange,
    caller: &Caller,
    call: &mut Call,
    routed: &Routed,
    permit: Permit,
) -> Result<Permit, Fault> {
    let started = clock::now();
    let mut tokens = tokens(exchange, caller, call);
    let looked = look(caller, call, tokens.as_mut());
    exchange.tokens = tokens.map(Arc::new);
    let (found, rewritten) = match looked {
        Ok(looked) => looked,
        Err((fault, found)) => {
            exchange.story.verdicts.extend(found);
            return exchange.stage(Stage::GuardRequest, started, Err(fault));
        }
    };
    if found.is_empty() {
        return exchange.stage(Stage::GuardRequest, started, Ok((permit, StageVerdict::Pass)));
    }
    let verdict = if rewritten { StageVerdict::Changed } else { StageVerdict::Pass };
    exchange.story.verdicts.extend(found);
    exchange.stage(Stage::GuardRequest, started, Ok(((), verdict)))?;
    drop(permit);
    authorize::authorize(exchange, caller, call, routed)
}

type Looked = (Vec<GuardVerdict>, bool);

/// Where the values of a call to a model are kept while it sees tokens of them.
fn tokens(exchange: &Exchange, caller: &Caller, call: &Call) -> Option<Tokens> {
    let guardrail = caller.chain.tokenizes().filter(|_| call.kind() != Kind::Tool)?;
    let (keys, org) = (Arc::clone(&exchange.gate.keys), caller.principal.org.clone());
    let seal = move |kind: &str, value: &str| keys.pepper().token(org.as_str(), kind, value);
    Some(Tokens::new(guardrail.clone(), Box::new(seal)))
}

fn look(
    caller: &Caller,
    call: &mut Call,
    mut tokens: Option<&mut Tokens>,
) -> Result<Looked, (Fault, Vec<GuardVerdict>)> {
    let chain = &caller.chain;
    // Texts are taken out of a body for guards alone.
    if chain.is_empty() {
        return Ok((Vec::new(), false));
    }
    let watch = chain.watch();
    let mut found: Vec<GuardVerdict> = Vec::new();
    let mut rewrites: Vec<(SegmentPath, String)> = Vec::new();
    let mut blocked: Option<(Finding, SegmentPath)> = None;
    for segment in call.segments() {
        if !chain.applies(segment.origin) {
            continue;
        }
        let mut findings = chain.scan_named(segment.origin, segment.name.as_deref(), &segment.text, &watch);
        // Tokens go to models only.
        findings.retain(|finding| finding.action != GuardAction::Tokenize || tokens.is_some());
        if findings.is_empty() {
            continue;
        }
        add(&mut found, verdicts(&findings));
        if let Some(finding) = findings.iter().find(|finding| finding.action == GuardAction::Block) {
            blocked.get_or_insert((finding.clone(), segment.path));
        } else if findings.iter().any(Finding::is_enforced) {
            if let Some(tokens) = tokens.as_deref_mut() {
                tokens.issue(&segment.text, &mut findings);
            }
            rewrites.push((segment.path, redact(&segment.text, &findings)));
        }
    }
    if let Some((finding, path)) = blocked {
        let mut fault = blocked_fault(&finding);
        fault.pointer = Some(call.pointer(path));
        return Err((fault, found));
    }
    let rewritten = !rewrites.is_empty();
    let mut segments = call.segments_mut();
    for (path, text) in rewrites {
        if !segments.replace(path, &text) {
            let fault =
                Fault::new(FaultCode::Internal, "What a guardrail found could not be taken out of the request.");
            return Err((fault, found));
        }
    }
    Ok((found, rewritten))
}

/// Adds verdicts, counting those of one kind together.
pub(crate) fn add(all: &mut Vec<GuardVerdict>, more: Vec<GuardVerdict>) {
    for verdict in more {
        let same = all.iter_mut().find(|known| {
            known.guardrail == verdict.guardrail
                && known.category == verdict.category
                && known.origin == verdict.origin
                && known.action == verdict.action
        });
        match same {
            Some(known) => known.count = known.count.saturating_add(verdict.count),
            None => all.push(verdict),
        }
    }
}

/// The refusal for what was found: it names the guardrail and the category, never the text.
pub(crate) fn blocked_fault(finding: &Finding) -> Fault {
    if finding.is_failure() {
        return failed_fault(finding);
    }
    Fault::new(
        FaultCode::GuardrailBlocked,
        format!(
            "The guardrail `{}` found {} in the {} and does not let it pass: take it out and send the call again.",
            finding.guardrail,
            finding.category,
            place(finding.origin)
        ),
    )
}

/// The refusal where a guardrail failed that lets nothing pass which it has not seen.
fn failed_fault(finding: &Finding) -> Fault {
    let (guardrail, place) = (&finding.guardrail, place(finding.origin));
    let said = if finding.category.as_ref() == Failure::Timeout.category() {
        format!("The guardrail `{guardrail}` had no time to look at the whole {place}: send less text at once.")
    } else {
        format!("The guardrail `{guardrail}` failed on the {place}, and lets nothing pass that it has not seen.")
    };
    Fault::new(FaultCode::GuardrailBlocked, said)
}

fn place(origin: tidegate_core::segment::Origin) -> &'static str {
    use tidegate_core::segment::Origin;
    match origin {
        Origin::Prompt => "prompt",
        Origin::Completion => "model's answer",
        Origin::ToolDescription => "tool's description",
        Origin::ToolArgument => "tool's arguments",
        Origin::ToolResult => "tool's result",
        Origin::AgentMessage => "agent's message",
    }
}

/// The facts with what guards have found so far.
pub(crate) fn with_verdicts(mut facts: Facts, verdicts: &[GuardVerdict]) -> Facts {
    facts.verdicts = verdicts.to_vec();
    facts
}
