//! Stage 9: was the same question answered before. Only for models whose entry says so, and only for whom it says.
//!
//! Stands behind policy, limits and what guards say to the request, and before anything is sent: a hit skips the intent
//! and the dispatch, never the rest. What it cost is nothing, and the money set aside is given back.

use std::sync::Arc;

use tidegate_config::{document::CacheShare, snapshot::Caching};
use tidegate_core::{
    clock,
    event::{Stage, StageEvent, StageVerdict},
    facts::Resource,
    ids::{Digest, Digester},
    usage::Usage,
};
use tidegate_policy::Permit;
use tidegate_protocol::{
    call::Call,
    llm::{self, ModelCall, Operation},
};
use tidegate_upstream::{AnswerBody, AnswerHead, EventStream, ServedBy, asked_beside};

use crate::{
    answers::{Keeping, Kept},
    exchange::{Cached, Caller, Exchange},
    stage::{dispatch::Answer, route::Routed},
};

/// The answer that was given before to the same question, where there is one; else this one's is to be kept.
pub(crate) fn cache(
    exchange: &mut Exchange,
    caller: &Caller,
    call: &Call,
    routed: &Routed,
    permit: &Permit,
) -> Option<Answer> {
    let (Call::Model(call), Some(caching)) = (call, &routed.cache) else { return None };
    let wish = exchange.header("x-tidegate-cache").unwrap_or_default();
    if call.operation() == Operation::CountTokens || !call.is_repeatable() || wish.eq_ignore_ascii_case("off") {
        return None;
    }
    let refresh = wish.eq_ignore_ascii_case("refresh");
    let started = clock::now();
    let question = question(exchange, caller, call, caching);
    let most = exchange.snapshot.cache_memory;
    let kept = if refresh { None } else { exchange.gate.answers.get(&question, most) };
    let answer = kept.and_then(|kept| given_again(exchange, call, routed, permit, &kept));
    let (result, verdict) = match (&answer, refresh) {
        (Some(_), _) => ("hit", StageVerdict::Changed),
        (None, true) => ("refresh", StageVerdict::Pass),
        (None, false) => ("miss", StageVerdict::Pass),
    };
    exchange.gate.metrics.cache_looked_up(result);
    exchange.story.cache = if answer.is_some() { Cached::Hit } else { Cached::Miss };
    exchange.story.again = answer.is_some();
    if answer.is_none() {
        exchange.keeping = Some(Keeping::new(question, caching.ttl, most));
    }
    let detail = Some(Arc::from(result));
    exchange.report(StageEvent { stage: Stage::Cache, verdict, micros: clock::micros_since(started), detail });
    answer
}

/// What was asked, of which model, and for whom: no part of it can stand for another.
fn question(exchange: &Exchange, caller: &Caller, call: &ModelCall, caching: &Caching) -> Digest {
    let principal = &caller.principal;
    let whose = match (caching.share, &principal.team) {
        (CacheShare::Org, _) => "org".to_owned(),
        (CacheShare::Team, Some(team)) => format!("team {team}"),
        (CacheShare::Key, _) | (CacheShare::Team, None) => format!("key {}", principal.key),
    };
    let model = exchange.story.model.as_ref().map(ToString::to_string).unwrap_or_default();
    let dialect = call.dialect().name();
    let stream = if call.stream() { "stream" } else { "whole" };
    let org: &str = principal.org.as_ref();
    let mut digester = Digester::new();
    for part in [org, &whose, &model, dialect, call.operation().as_str(), stream] {
        digester.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digester.update(part.as_bytes());
    }
    for (name, value) in asked_beside(&exchange.headers, call.dialect()) {
        for part in [name.as_bytes(), value.as_bytes()] {
            digester.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digester.update(part);
        }
    }
    digester.update(caching.of.as_bytes());
    digester.update(call.digest().as_bytes());
    digester.digest()
}

/// The answer, if whoever gave it may still be asked.
fn given_again(
    exchange: &mut Exchange,
    call: &ModelCall,
    routed: &Routed,
    permit: &Permit,
    kept: &Kept,
) -> Option<Answer> {
    let target = routed.targets().into_iter().find(|target| target.id == kept.served_by)?;
    if !permit.allows(&Resource::Model(target.id.clone())) {
        return None;
    }
    let (dialect, bytes) = (call.dialect(), kept.body.clone());
    let streams = call.stream() && matches!(call.operation(), Operation::Generate | Operation::Complete);
    let body = if streams {
        AnswerBody::Events(Box::new(EventStream::kept(dialect, bytes)))
    } else {
        let answer = llm::Answer::read_for(dialect, call.operation(), bytes).ok()?;
        AnswerBody::Unary { answer: Box::new(answer), usage: Usage::default() }
    };
    exchange.story.served_by = Some(Arc::from(target.id.to_string()));
    exchange.target = Some(Arc::clone(&target));
    let mut headers = kept.headers.clone();
    headers.insert(http::header::AGE, clock::now().saturating_duration_since(kept.since).as_secs().into());
    let head = AnswerHead {
        status: kept.status,
        headers,
        served_by: ServedBy::Model(target),
        attempts: Vec::new(),
        lane: None,
        losses: Vec::new(),
        upstream_millis: 0,
    };
    Some(Answer { head, body, request: None })
}
