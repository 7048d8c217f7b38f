//! Stage 9: was the same question answered before, or one that is similar enough. Only for models whose entry says so,
//! and only for whom it says.
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
    stage::{dispatch::Answer, route::Routed, similar},
};

/// The answer that was given before to the same question, where there is one; else this one's is to be kept.
pub(crate) async fn cache(
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
    let kept = if refresh { None } else { exchange.gate.answers.find(&question, caching.keep, most).await };
    let mut answer = kept.and_then(|kept| given_again(exchange, call, routed, permit, &kept));
    let mut keeping = Keeping::new(question, caching.ttl, most).kept(caching.keep);
    let mut cached = if answer.is_some() { Cached::Hit } else { Cached::Miss };
    let mut detail = None;
    if answer.is_none()
        && let Some(similar) = &caching.similar
        && let Some(likeness) = call.likeness()
    {
        let context = context(exchange, caller, call, caching, &likeness.context);
        match similar::numbers(exchange, caller, &similar.by, &likeness.words).await {
            Ok(numbers) => {
                let found = exchange.gate.answers.similar(&context, &numbers, similar.least, most);
                if let Some((kept, closeness)) = found.filter(|_| !refresh) {
                    answer = given_again(exchange, call, routed, permit, &kept);
                    if answer.is_some() {
                        cached = Cached::SimilarHit;
                        detail = Some(format!("{} {closeness:.3}", cached.as_str()));
                    }
                }
                keeping = keeping.like(context, numbers);
            }
            Err(why) => detail = Some(format!("miss, not compared: {why}")),
        }
    }
    let result = if answer.is_none() && refresh { "refresh" } else { cached.as_str() };
    let verdict = if answer.is_some() { StageVerdict::Changed } else { StageVerdict::Pass };
    exchange.gate.metrics.cache_looked_up(result);
    exchange.story.cache = cached;
    exchange.story.again = answer.is_some();
    if answer.is_none() {
        exchange.keeping = Some(Box::new(keeping));
    }
    let detail = Some(detail.map_or_else(|| Arc::from(result), Arc::from));
    exchange.report(StageEvent { stage: Stage::Cache, verdict, micros: clock::micros_since(started), detail });
    answer
}

/// What was asked, of which model, and for whom: no part of it can stand for another.
fn question(exchange: &Exchange, caller: &Caller, call: &ModelCall, caching: &Caching) -> Digest {
    asked("question", exchange, caller, call, caching, &call.digest())
}

/// What is the same in similar questions: all of it but the last words.
fn context(exchange: &Exchange, caller: &Caller, call: &ModelCall, caching: &Caching, rest: &Digest) -> Digest {
    asked("context", exchange, caller, call, caching, rest)
}

fn asked(
    what: &str,
    exchange: &Exchange,
    caller: &Caller,
    call: &ModelCall,
    caching: &Caching,
    body: &Digest,
) -> Digest {
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
    for part in [what, org, &whose, &model, dialect, call.operation().as_str(), stream] {
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
    digester.update(body.as_bytes());
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
        AnswerBody::Unary { answer: Box::new(answer), usage: Box::default() }
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
