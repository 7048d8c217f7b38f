//! Calls of a vendor's own API as the attempt engine sends them: the request as it came, the answer as it comes.
//!
//! Never interprets a vendor's API. A request that may have left is not repeated, unless its method says that it may
//! be. JSON answers are read whole, so that guards see them; everything else streams through with its clocks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Phase},
    trace::TraceContext,
    usage::Usage,
};
use tidegate_protocol::{
    native::{Asked, Beside, NativeAnswer, NativeCall, Task, event_usage},
    sse::{DEFAULT_MAX_EVENT, SseParser},
};

use crate::{
    attempt::{Begun, Candidate, Traffic},
    body,
    breaker::BreakerPolicy,
    clocks::{Clock, Limits, Timeouts},
    credential::Showing,
    failure::{Failure, Then},
    headers,
    health::Admitted,
    llm::{Refuser, refusal},
    patience::Patience,
    pool::Pool,
    retry::RetryPolicy,
    target::{Destination, Provider, Target},
};

/// A call on its way.
pub(crate) struct NativeTraffic<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) call: &'a NativeCall,
    pub(crate) places: Vec<NativePlace>,
    pub(crate) forward: &'a HeaderMap,
    pub(crate) trace: Option<TraceContext>,
}

/// Where such a call can be sent.
pub(crate) struct NativePlace {
    name: Arc<str>,
    pub(crate) provider: Arc<Provider>,
    /// The model, where one is asked.
    pub(crate) target: Option<Arc<Target>>,
    retry: RetryPolicy,
    pub(crate) timeouts: Timeouts,
    breaker: BreakerPolicy,
}

/// How long pictures and speech may take to begin, where nobody set another time.
const UNHURRIED: Duration = Duration::from_secs(300);

impl NativePlace {
    /// A provider's own API.
    pub(crate) fn provider(provider: Arc<Provider>) -> Self {
        Self {
            name: Arc::from(provider.name.as_str()),
            provider,
            target: None,
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            breaker: BreakerPolicy::default(),
        }
    }

    /// A model of a provider, asked on a path of that API.
    pub(crate) fn model(target: Arc<Target>) -> Self {
        let mut timeouts = target.timeouts;
        if timeouts == Timeouts::default() {
            timeouts.first_event = UNHURRIED;
        }
        Self {
            name: Arc::from(target.id.to_string()),
            provider: Arc::clone(&target.provider),
            retry: target.retry.clone(),
            breaker: target.breaker,
            timeouts,
            target: Some(target),
        }
    }
}

/// An answer, as far as an attempt reads it.
pub(crate) struct NativeAnswered {
    pub(crate) headers: HeaderMap,
    pub(crate) body: NativeBody,
}

pub(crate) enum NativeBody {
    Document { answer: Box<NativeAnswer>, usage: Box<Usage> },
    Raw(Box<RawStream>),
}

impl Traffic for NativeTraffic<'_> {
    type Answer = NativeAnswered;

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        self.places.get(index).map(|place| Candidate {
            name: Arc::clone(&place.name),
            upstream: place.provider.name.as_str(),
            retry: &place.retry,
            breaker: place.breaker,
            hedge: None,
        })
    }

    fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    async fn attempt(
        &self,
        index: usize,
        limits: &Limits,
        span: Option<TraceContext>,
    ) -> Result<Begun<NativeAnswered>, Failure> {
        let Some(place) = self.places.get(index) else {
            return Err(Failure::unsent(Fault::new(FaultCode::Internal, "no such place"), Then::End));
        };
        let once = |failure: Failure| if self.call.is_idempotent() { failure } else { failure.once_only() };
        self.sent(place, limits, span).await.map_err(once)
    }
}

impl NativeTraffic<'_> {
    async fn sent(
        &self,
        at: &NativePlace,
        limits: &Limits,
        span: Option<TraceContext>,
    ) -> Result<Begun<NativeAnswered>, Failure> {
        let mut request = self.request(at)?;
        headers::trace(request.headers_mut(), span);
        let whom = ("provider", at.provider.name.as_str());
        let showing = Showing { pool: self.pool, connect: at.timeouts.connect, limits, whom };
        at.provider.auth.show(&mut request, &showing).await?;
        let clocks = (at.timeouts.connect, at.timeouts.first_event);
        let response = self.pool.send(self.base(at), request, clocks, limits).await.map_err(Failure::unanswered)?;
        let status = response.status().as_u16();
        let between = at.timeouts.between_events;
        if !response.status().is_success() {
            let path = || tidegate_core::ids::TargetId {
                provider: at.provider.name.clone(),
                model: Arc::from(self.call.target().split('?').next().unwrap_or_default().trim_start_matches('/')),
            };
            let place = at.target.as_ref().map_or_else(path, |target| target.id.clone());
            let from = Refuser { provider: &at.provider, place: &place, dialect: self.call.dialect(), same: true };
            return Err(refusal(&from, between, response, limits).await);
        }
        let headers = headers::from_provider(response.headers(), self.call.dialect());
        // What has no body has no document.
        let empty = *self.call.method() == Method::HEAD || matches!(status, 204 | 205 | 304);
        if !empty && headers::is_media_type(response.headers(), "application/json") {
            let body = self.document(at, status, response, limits).await?;
            return Ok(Begun { answer: NativeAnswered { headers, body }, status, phase: Phase::Done });
        }
        let events = headers::is_media_type(response.headers(), "text/event-stream");
        let raw = RawStream {
            body: response.into_body(),
            limits: *limits,
            patience: Patience::default(),
            between,
            events,
            passed: 0,
            admitted: None,
            asked: self.call.asked().cloned().map(Box::new),
            told: None,
            reader: (events && self.call.asked().is_some()).then(|| SseParser::new(DEFAULT_MAX_EVENT)),
        };
        let body = NativeBody::Raw(Box::new(raw));
        Ok(Begun { answer: NativeAnswered { headers, body }, status, phase: Phase::Events })
    }

    /// Where a place takes the call.
    fn base<'at>(&self, at: &'at NativePlace) -> &'at Destination {
        at.provider.rerank.as_ref().filter(|_| self.ranks()).unwrap_or(&at.provider.base)
    }

    fn ranks(&self) -> bool {
        self.call.asked().is_some_and(|asked| asked.task == Task::Rerank)
    }

    fn request(&self, at: &NativePlace) -> Result<Request<Bytes>, Failure> {
        let provider = &at.provider;
        let misconfigured = |why: String| {
            let words = format!("the provider `{}` is misconfigured: {why}", provider.name);
            Failure::unsent(Fault::new(FaultCode::Internal, words), Then::End)
        };
        let (target, body) = match &at.target {
            Some(target) => (self.call.asking_target(), self.call.asking(&target.id.model)),
            None => (self.call.target(), self.call.outgoing(provider.name.as_str())),
        };
        // An address for ranking is a whole one.
        let path = if provider.rerank.is_some() && self.ranks() { "" } else { target.as_str() };
        let uri = self.base(at).uri(path).map_err(|error| misconfigured(error.to_string()))?;
        let mut request = Request::new(body);
        *request.method_mut() = self.call.method().clone();
        *request.uri_mut() = uri;
        *request.headers_mut() =
            headers::to_provider(self.forward, &provider.headers, self.call.dialect(), self.call.content_type());
        Ok(request)
    }

    async fn document(
        &self,
        at: &NativePlace,
        status: u16,
        response: Response<Incoming>,
        limits: &Limits,
    ) -> Result<NativeBody, Failure> {
        let broken = |fault| Failure::broken_answer(status, fault);
        let bytes = body::whole(response.into_body(), body::MOST_UNARY, at.timeouts.between_events, limits)
            .await
            .map_err(|error| broken(error.fault()))?;
        let answer = NativeAnswer::read(self.call.dialect(), bytes).map_err(|error| {
            let words = format!("the upstream answered {status} with JSON that cannot be read: {error}");
            broken(Fault::new(FaultCode::UpstreamUnavailable, words))
        })?;
        let usage = match self.call.asked() {
            Some(asked) => asked.used(answer.usage(), answer.beside(asked.task)),
            // What is looked up says what it used when it was made.
            None if self.call.is_free() => Usage::default(),
            None => answer.usage().unwrap_or_default(),
        };
        Ok(NativeBody::Document { answer: Box::new(answer), usage: Box::new(usage) })
    }
}

/// The body of an answer that is no JSON, piece by piece. Pulls: nothing is read before it is asked for. Dropping it
/// cancels the upstream's request.
pub struct RawStream {
    body: Incoming,
    limits: Limits,
    patience: Patience,
    between: std::time::Duration,
    events: bool,
    passed: u64,
    admitted: Option<Admitted>,
    /// What was asked of a model, and what the stream says it used.
    asked: Option<Box<Asked>>,
    told: Option<Usage>,
    reader: Option<SseParser>,
}

impl std::fmt::Debug for RawStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawStream").field("passed", &self.passed).finish_non_exhaustive()
    }
}

impl RawStream {
    /// From here on the stream reports to the breaker how it ended.
    pub(crate) fn watch(&mut self, admitted: Admitted) {
        self.admitted = Some(admitted);
    }

    /// Whether it is a stream of server-sent events.
    #[must_use]
    pub fn is_events(&self) -> bool {
        self.events
    }

    /// What was used: as the stream says; where it says nothing, what is taken to be used for such a call.
    #[must_use]
    pub fn usage(&self) -> Usage {
        match &self.asked {
            Some(asked) => asked.used(self.told, Beside::default()),
            None => self.told.unwrap_or_default(),
        }
    }

    /// Looks for what was used, in streams of events that tell it.
    fn read_usage(&mut self, bytes: &Bytes) {
        let Some(reader) = &mut self.reader else { return };
        reader.push(bytes.clone());
        while let Some(frame) = reader.next_frame() {
            match frame {
                Ok(frame) => self.told = frame.data.as_deref().and_then(event_usage).or(self.told),
                Err(_) => {
                    self.reader = None;
                    return;
                }
            }
        }
    }

    fn succeeded(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            admitted.succeeded(clock::now());
        }
    }

    /// Whether all bytes that the upstream announced are there. False says nothing: it may have announced none.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Bytes that came so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// The next bytes; `None` at the end that the upstream announced.
    ///
    /// # Errors
    /// A clock, or a connection that broke: the answer is then not whole.
    pub async fn next(&mut self) -> Option<Result<Bytes, Fault>> {
        let silence = (self.between, Clock::BetweenEvents(self.between));
        match body::next(&mut self.body, silence, &self.limits, &mut self.patience).await {
            Ok(Some(bytes)) => {
                self.passed = self.passed.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                self.read_usage(&bytes);
                if self.is_over() {
                    self.succeeded();
                }
                Some(Ok(bytes))
            }
            Ok(None) => {
                self.succeeded();
                None
            }
            Err(error) => {
                let fault = error.fault();
                match self.admitted.take() {
                    Some(admitted) if fault.code != FaultCode::CallerTimeout => admitted.failed(clock::now()),
                    admitted => drop(admitted),
                }
                Some(Err(fault))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        llm::Dialect,
        native::{NativePath, NativeRequest},
    };

    use super::*;
    use crate::testing::target;

    #[test]
    fn documents_are_ranked_where_the_vendor_does_so() {
        let body = |path: &str| {
            let body = Bytes::from_static(br#"{"model":"m","input":"x","query":"q","documents":["a"]}"#);
            let path = NativePath::parse(path).unwrap();
            let request = NativeRequest { method: Method::POST, path, query: None, content_type: None, body };
            NativeCall::read(Dialect::OpenAiChat, request).unwrap()
        };
        let mut known = target("x", Dialect::OpenAiChat, "https://api.example/compatible/v1");
        let provider = Arc::get_mut(&mut known.provider).unwrap();
        provider.rerank = Some(Destination::http("https://rank.example/v2/rerank", false).unwrap());
        let (pool, forward, target) =
            (Arc::new(Pool::new(None, Vec::new()).unwrap()), HeaderMap::new(), Arc::new(known));
        for (path, uri) in [
            ("/rerank", "https://rank.example/v2/rerank"),
            ("/moderations", "https://api.example/compatible/v1/moderations"),
        ] {
            let call = body(path);
            let places = vec![NativePlace::model(Arc::clone(&target))];
            let traffic = NativeTraffic { pool: &pool, call: &call, places, forward: &forward, trace: None };
            let request = traffic.request(&traffic.places[0]).unwrap_or_else(|_| panic!("{path}"));
            assert_eq!(request.uri().to_string(), uri);
        }
    }
}
