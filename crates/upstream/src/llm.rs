//! Model calls as the attempt engine sends them: prepare for the target's dialect, send, read the answer's beginning.
//!
//! One attempt is one request. Whether another follows is the engine's business; what a vendor's error means is told by
//! the dialect.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Phase, Retry, UpstreamAnswer},
    ids::{CallId, TargetId},
    trace::TraceContext,
    usage::{Usage, UsageSource},
};
use tidegate_protocol::llm::{
    Answer, Dialect, Lane, Loss, ModelCall, Operation, Outgoing, PrepareError, StreamTranslator, TargetWire,
    TranslateContext, translate_answer,
};

use crate::{
    attempt::{Begun, Candidate, Traffic},
    body,
    clocks::Limits,
    credential::Showing,
    events::{EventStream, Parts},
    failure::{Failure, Then},
    headers,
    pool::Pool,
    retry,
    scrub::{self, scrub},
    target::{Provider, Target},
};

/// A model call on its way.
pub(crate) struct ModelTraffic<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) call: &'a ModelCall,
    pub(crate) call_id: CallId,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) forward: &'a HeaderMap,
    pub(crate) trace: Option<TraceContext>,
}

/// A model's answer, as far as an attempt reads it.
pub(crate) struct ModelAnswer {
    pub(crate) headers: HeaderMap,
    pub(crate) lane: Lane,
    pub(crate) losses: Vec<Loss>,
    pub(crate) body: ModelBody,
    pub(crate) first_event: Duration,
}

pub(crate) enum ModelBody {
    Unary { answer: Box<Answer>, usage: Box<Usage> },
    Events(Box<EventStream>),
}

impl Traffic for ModelTraffic<'_> {
    type Answer = ModelAnswer;

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let (target, name) = self.targets.get(index).zip(self.names.get(index))?;
        let upstream = target.provider.name.as_str();
        let (retry, breaker, hedge) = (&target.retry, target.breaker, target.hedge);
        Some(Candidate { name: Arc::clone(name), upstream, retry, breaker, hedge })
    }

    fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    async fn attempt(
        &self,
        index: usize,
        limits: &Limits,
        span: Option<TraceContext>,
    ) -> Result<Begun<ModelAnswer>, Failure> {
        let Some(target) = self.targets.get(index) else {
            return Err(Failure::unsent(Fault::new(FaultCode::Internal, "no such target"), Then::End));
        };
        let since = clock::now();
        let scope = self.names.get(index).map(AsRef::as_ref);
        let dialect = target.provider.dialect_for(self.call.dialect());
        let same = self.call.dialect() == dialect;
        let outgoing = self.prepare(target, dialect, scope)?;
        let mut request = self.request(target, &outgoing, dialect)?;
        headers::trace(request.headers_mut(), span);
        let whom = ("provider", target.provider.name.as_str());
        let showing = Showing { pool: self.pool, connect: target.timeouts.connect, limits, whom };
        target.provider.auth.show(&mut request, &showing).await?;
        let clocks = (target.timeouts.connect, target.timeouts.first_event);
        let response =
            self.pool.send(&target.provider.base, request, clocks, limits).await.map_err(Failure::unanswered)?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let between = target.timeouts.between_events;
            let from = Refuser { provider: &target.provider, place: &target.id, dialect, same };
            return Err(refusal(&from, between, response, limits).await);
        }
        let headers = headers::from_model(response.headers(), dialect, same);
        let sent = Sent { target, outgoing: &outgoing, scope, dialect, same };
        // A server that answers whole what was asked for as a stream has answered: callers who speak its dialect get
        // what they would get of it directly.
        let whole = same && headers::is_media_type(response.headers(), "application/json");
        let (body, phase, more) = if self.streams() && !whole {
            (self.stream(&sent, response, limits).await?, Phase::Events, Vec::new())
        } else {
            let (body, losses) = self.unary(&sent, response, limits).await?;
            (body, Phase::Done, losses)
        };
        let mut losses = outgoing.losses;
        losses.extend(more);
        let first_event = clock::now().saturating_duration_since(since);
        let answer = ModelAnswer { headers, lane: outgoing.lane, losses, body, first_event };
        Ok(Begun { answer, status, phase })
    }
}

/// What was sent, for reading what comes back.
struct Sent<'a> {
    target: &'a Arc<Target>,
    outgoing: &'a Outgoing,
    scope: Option<&'a str>,
    /// The dialect that the upstream was spoken to in.
    dialect: Dialect,
    /// Whether that is the caller's.
    same: bool,
}

impl ModelTraffic<'_> {
    fn streams(&self) -> bool {
        self.call.stream() && matches!(self.call.operation(), Operation::Generate | Operation::Complete)
    }

    pub(crate) fn prepare(&self, target: &Target, dialect: Dialect, scope: Option<&str>) -> Result<Outgoing, Failure> {
        let wire = TargetWire {
            dialect,
            model: &target.id.model,
            default_max_output: target.max_output,
            quirks: &target.provider.quirks,
            reasoning_scope: scope,
        };
        let prepared = self.call.prepare(&wire).and_then(|outgoing| self.call.tune(outgoing, &wire, &target.params));
        prepared.map_err(|error| {
            let fault = match error {
                PrepareError::Unsupported(why) => Fault::new(FaultCode::InvalidRequest, why),
                PrepareError::Invalid { pointer, message } => Fault::invalid(pointer, message),
            };
            Failure::unsent(fault, Then::NextTarget)
        })
    }

    pub(crate) fn request(
        &self,
        target: &Target,
        outgoing: &Outgoing,
        dialect: Dialect,
    ) -> Result<Request<Bytes>, Failure> {
        let provider = &target.provider;
        let misconfigured = |why: String| {
            let words = format!("the provider `{}` is misconfigured: {why}", provider.name);
            Failure::unsent(Fault::new(FaultCode::Internal, words), Then::NextTarget)
        };
        let (operation, stream) = (self.call.operation(), self.streams());
        let own = provider.paths.of(operation, stream, &target.id.model).filter(|_| provider.dialect == dialect);
        let path = own.as_deref().unwrap_or(&outgoing.path);
        let uri = provider.base.uri(path).map_err(|error| misconfigured(error.to_string()))?;
        let mut request = Request::new(outgoing.body.clone());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        let same = self.call.dialect() == dialect;
        *request.headers_mut() = headers::to_model(self.forward, &provider.headers, dialect, same, self.streams());
        Ok(request)
    }

    async fn stream(
        &self,
        sent: &Sent<'_>,
        response: Response<Incoming>,
        limits: &Limits,
    ) -> Result<ModelBody, Failure> {
        let status = response.status().as_u16();
        if !headers::is_media_type(response.headers(), sent.dialect.framing().media_type()) {
            return Err(no_answer(status, "a stream was asked for, and what came is none"));
        }
        let call_id = self.call_id.to_string();
        let translator = (!sent.same)
            .then(|| StreamTranslator::new(sent.dialect, self.call.dialect(), &self.context(&call_id, sent)));
        let mut stream = EventStream::new(Parts {
            body: response.into_body(),
            target: Arc::clone(sent.target),
            dialect: sent.dialect,
            translator,
            surface: self.call.dialect(),
            limits: *limits,
            hide_usage: sent.outgoing.asked_usage,
            request_bytes: sent.outgoing.body.len(),
        });
        match stream.begin().await {
            Ok(()) => Ok(ModelBody::Events(Box::new(stream))),
            Err(fault) if fault.code == FaultCode::UpstreamError => Err(Failure::refusal(fault, None, true)),
            Err(fault) => Err(Failure::broken_answer(status, fault)),
        }
    }

    async fn unary(
        &self,
        sent: &Sent<'_>,
        response: Response<Incoming>,
        limits: &Limits,
    ) -> Result<(ModelBody, Vec<Loss>), Failure> {
        let status = response.status().as_u16();
        if !headers::is_media_type(response.headers(), "application/json") {
            return Err(no_answer(status, "its body is no JSON"));
        }
        let between = sent.target.timeouts.between_events;
        let bytes = body::whole(response.into_body(), body::MOST_UNARY, between, limits)
            .await
            .map_err(|error| Failure::broken_answer(status, error.fault()))?;
        let malformed = |error: tidegate_protocol::llm::AnswerError| no_answer(status, &error.to_string());
        let answer = Answer::read_for(sent.dialect, self.call.operation(), bytes).map_err(malformed)?;
        let usage = Box::new(answer.usage().unwrap_or_else(|| estimated(&answer, sent.outgoing.body.len())));
        if sent.same {
            return Ok((ModelBody::Unary { answer: Box::new(answer), usage }, Vec::new()));
        }
        let call_id = self.call_id.to_string();
        let context = self.context(&call_id, sent);
        let (bytes, losses) = translate_answer(&answer, self.call.dialect(), &context).map_err(malformed)?;
        let answer = Box::new(Answer::read(self.call.dialect(), bytes).map_err(malformed)?);
        Ok((ModelBody::Unary { answer, usage }, losses))
    }

    fn context<'b>(&'b self, call_id: &'b str, sent: &'b Sent<'_>) -> TranslateContext<'b> {
        TranslateContext {
            model: self.call.model().as_str(),
            client_wants_usage: self.call.wants_usage(),
            call_id,
            created: clock::wall().0 / 1000,
            reasoning_scope: sent.scope,
            tools: self.call.tools(),
            forms: &sent.outgoing.forms,
        }
    }
}

/// Tokens where the vendor counts none: one for every four bytes that passed.
fn estimated(answer: &Answer, request_bytes: usize) -> Usage {
    let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
    if answer.counted_tokens().is_some() {
        return Usage::default();
    }
    let generated = answer.segments().iter().map(|segment| segment.text.len()).sum();
    Usage {
        input: tokens(request_bytes),
        output: tokens(generated),
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

fn no_answer(status: u16, why: &str) -> Failure {
    let words = format!("the upstream answered {status}, but not in its dialect: {why}");
    Failure::broken_answer(status, Fault::new(FaultCode::UpstreamUnavailable, words))
}

/// Who answered with an error.
pub(crate) struct Refuser<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) place: &'a TargetId,
    /// The dialect it is written in.
    pub(crate) dialect: Dialect,
    /// Whether the caller speaks it too.
    pub(crate) same: bool,
}

/// Reads an error answer.
pub(crate) async fn refusal(
    from: &Refuser<'_>,
    between: Duration,
    response: Response<Incoming>,
    limits: &Limits,
) -> Failure {
    let Refuser { provider, place, dialect, same } = *from;
    let status = response.status().as_u16();
    let retry_after = retry::retry_after(response.headers(), clock::wall());
    if response.status().is_redirection() {
        let led = response.headers().contains_key(header::LOCATION);
        let why = if led { "redirects are never followed" } else { "nothing to take from it" };
        let words = format!("the upstream answered {status} instead of the call's answer: {why}; correct its base URL");
        return Failure::refusal(upstream_fault(place, 502, words, None, None), None, false);
    }
    // What cannot be read of an error's body does not change that it is one.
    let bytes = body::whole(response.into_body(), body::MOST_ERROR, between, limits).await.unwrap_or_default();
    let error = dialect.read_error(status, &bytes);
    let secrets = scrub::secrets(&provider.auth, &provider.headers);
    let message = scrub(&error.message, &secrets).into_owned();
    let kept = same.then(|| Bytes::from(scrub(&String::from_utf8_lossy(&bytes), &secrets).into_owned().into_bytes()));
    let kind = error.type_name.as_deref().map(|kind| scrub(kind, &secrets).into_owned());
    let mut fault = upstream_fault(place, status, message, kind, kept.filter(|body| !body.is_empty()));
    fault.retry = match (status, retry_after) {
        (429 | 500..=599, Some(pause)) => Retry::After(pause),
        (408 | 409 | 429 | 500..=599, _) => Retry::Yes,
        _ => Retry::No,
    };
    Failure::refusal(fault, retry_after, false)
}

fn upstream_fault(place: &TargetId, status: u16, message: String, kind: Option<String>, body: Option<Bytes>) -> Fault {
    let mut fault = Fault::new(FaultCode::UpstreamError, message.clone());
    fault.status = status;
    fault.upstream = Some(Box::new(UpstreamAnswer { target: place.clone(), message, kind, body }));
    fault
}
