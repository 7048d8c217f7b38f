//! The way through: every call of every kind passes these stages in this order, one line each.
//!
//! What a stage returns is the proof that the next one needs: `dispatch` takes a `Permit`, a `Reservation` and an
//! `Intent`, and only the stages before it make them. There is no branch on the kind of traffic here. Whatever leaves
//! early leaves through [`respond::refusal`]; settling and the outcome run when the answer has left, in `finish`.

use std::{net::IpAddr, sync::Arc};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tidegate_core::fault::Fault;
use tidegate_protocol::call::Call;

use crate::{
    exchange::{Caller, Exchange},
    gate::Gate,
    here::{self, Here},
    repeats::Recorded,
    respond::{self, Body},
    stage::{
        admit::admit,
        authorize::authorize,
        cache::cache,
        decode::{Decoded, decode},
        dispatch::{Answer, dispatch},
        guard_request::guard_request,
        guard_response::guard_response,
        idempotency::{again, idempotency},
        identify::identify,
        intent::intent,
        reserve::reserve,
        route::route,
    },
    surface::{self, Endpoint},
    traced::OfCall,
    unread,
};

/// Answers one request of the data plane.
pub(crate) async fn run(gate: Arc<Gate>, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    if surface::is_knock(&head.method, &head.uri) {
        return unread::pass_over(Some(body), Response::new(respond::whole(bytes::Bytes::new()))).await;
    }
    surface::take_key(&mut head.uri, &mut head.headers);
    let entrance = match surface::classify(&head.method, &head.uri, &head.headers) {
        Ok(entrance) => entrance,
        Err((surface, fault)) => {
            let refused = respond::refusal(&mut Exchange::begin(gate, surface, head.headers, address), fault);
            return unread::pass_over(Some(body), refused).await;
        }
    };
    let upgrading = surface::realtime::upgrading(&mut head);
    let as_array = surface::gemini::wants_array(&head.uri);
    let mut exchange = Exchange::begin(gate, entrance.surface, head.headers, address);
    (exchange.upgrading, exchange.as_array) = (upgrading, as_array);
    exchange.body_limit = surface::largest_body(&exchange.snapshot, &head.method, &entrance.endpoint);
    OfCall::new(exchange.id, exchange.trace, async move {
        let mut body = Some(body);
        let response = match through(&mut exchange, &head.method, entrance.endpoint, &mut body).await {
            Ok(Passed::Answer(answer)) => guard_response(exchange, answer).await,
            Ok(Passed::Here(caller, here)) => Box::pin(here::answer(exchange, caller, here)).await,
            Ok(Passed::Again(recorded)) => again(&mut exchange, &recorded),
            Err(fault) => respond::refusal(&mut exchange, fault),
        };
        unread::pass_over(body, response).await
    })
    .await
}

/// How far a request went.
pub(crate) enum Passed {
    /// All the way to an upstream, or to an answer that one gave before.
    Answer(Answer),
    /// Not beyond its decoding: the gateway answers it, or relays it within a session.
    Here(Caller, Here),
    /// It was asked and answered before.
    Again(Arc<Recorded>),
}

/// From the first byte to the upstream's answer.
async fn through(
    exchange: &mut Exchange,
    method: &Method,
    at: Endpoint,
    body: &mut Option<Incoming>,
) -> Result<Passed, Fault> {
    admit(exchange)?;
    let caller = identify(exchange)?;
    match decode(exchange, method, at, body).await? {
        Decoded::Call(call) => onward(exchange, &caller, call).await,
        Decoded::Here(here) => Ok(Passed::Here(caller, here)),
    }
}

/// From the decoded call to the upstream's answer. A request to several servers is one call to each of them.
pub(crate) async fn onward(exchange: &mut Exchange, caller: &Caller, mut call: Call) -> Result<Passed, Fault> {
    let routed = route(exchange, caller, &call)?;
    let permit = authorize(exchange, caller, &call, &routed)?;
    if let Some(recorded) = idempotency(exchange, caller, &call).await? {
        return Ok(Passed::Again(recorded));
    }
    let reservation = reserve(exchange, caller, &routed, &permit)?;
    let permit = guard_request(exchange, caller, &mut call, &routed, permit)?;
    if let Some(kept) = cache(exchange, caller, &call, &routed, &permit).await {
        return Ok(Passed::Answer(kept));
    }
    let intent = intent(exchange, &call, &routed, &permit, &reservation).await?;
    dispatch(exchange, permit, reservation, intent, call, routed).await.map(Passed::Answer)
}
