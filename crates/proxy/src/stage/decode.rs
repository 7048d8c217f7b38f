//! Stage 3: what is asked. The body is read here, within its bounds, and understood once.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    fault::{Fault, FaultCode},
};
use tidegate_protocol::{
    call::{Call, Kind},
    llm::{Dialect, ModelCall},
    native::{NativeCall, NativePath, NativeRequest},
};

use crate::{
    batches::{claim::claim, receive::receive},
    client::Pace,
    exchange::Exchange,
    federation,
    here::Here,
    stage::admit::too_large,
    surface::{Endpoint, mcp},
};

/// What a request turned out to be.
pub(crate) enum Decoded {
    /// A call, which goes on through the pipeline.
    Call(Call),
    /// Something the gateway answers by itself, or relays within a protocol session.
    Here(Here),
}

/// Reads the body and makes a call of it. What is not read to its end stays where it is.
pub(crate) async fn decode(
    exchange: &mut Exchange,
    method: &Method,
    endpoint: Endpoint,
    body: &mut Option<Incoming>,
) -> Result<Decoded, Fault> {
    let started = clock::now();
    let endpoint = match endpoint {
        Endpoint::Proxied(path) => match path.resolve(exchange, method) {
            Ok(endpoint) => endpoint,
            Err(fault) => return exchange.stage(Stage::Decode, started, Err(fault)),
        },
        endpoint => endpoint,
    };
    if let Some(claim) = claim(exchange, method, &endpoint) {
        let result = match claim {
            Ok(claim) => Box::pin(receive(exchange, (method, endpoint), claim, body)).await,
            Err(fault) => Err(fault),
        };
        return exchange.stage(Stage::Decode, started, result);
    }
    let result = match endpoint {
        Endpoint::Mcp(_) | Endpoint::McpAll if !mcp::is_spoken(exchange) => Err(mcp::not_spoken()),
        Endpoint::Answers => Ok((Decoded::Here(Here::Answers), StageVerdict::Pass)),
        Endpoint::Models => Ok((Decoded::Here(Here::Models), StageVerdict::Pass)),
        Endpoint::OneModel(name) => Ok((Decoded::Here(Here::OneModel(name)), StageVerdict::Pass)),
        Endpoint::Mcp(server) if *method != Method::POST => {
            Here::of_session(method, server).map(|here| (Decoded::Here(here), StageVerdict::Pass))
        }
        Endpoint::McpAll if *method != Method::POST => {
            federation::of_session(exchange, method).map(|here| (Decoded::Here(here), StageVerdict::Pass))
        }
        Endpoint::McpAll => match read(body, exchange.snapshot.body_limit, exchange.snapshot.client_times.body).await {
            Ok(bytes) => Box::pin(federation::decode(exchange, bytes)).await.map(|found| (found, StageVerdict::Pass)),
            Err(fault) => Err(fault),
        },
        endpoint => {
            let (largest, patience) = (exchange.snapshot.body_limit, exchange.snapshot.client_times.body);
            let bytes = read(body, largest, patience).await;
            bytes.and_then(|bytes| understand(exchange, method, endpoint, bytes))
        }
    };
    exchange.stage(Stage::Decode, started, result)
}

/// Makes a call of a body that came otherwise than with its request.
pub(crate) fn decode_whole(exchange: &mut Exchange, endpoint: Endpoint, body: Bytes) -> Result<Call, Fault> {
    match whole(exchange, &Method::POST, endpoint, body)? {
        Decoded::Call(call) => Ok(call),
        Decoded::Here(_) => Err(Fault::new(FaultCode::Internal, "This is no call of a model.")),
    }
}

/// Makes a call of a whole body that no client is sending.
pub(crate) fn whole(
    exchange: &mut Exchange,
    method: &Method,
    endpoint: Endpoint,
    bytes: Bytes,
) -> Result<Decoded, Fault> {
    let started = clock::now();
    let fits = bytes.len() <= exchange.snapshot.body_limit;
    let too_large = || Err(too_large(u64::try_from(exchange.snapshot.body_limit).unwrap_or(u64::MAX)));
    let result = if fits { understand(exchange, method, endpoint, bytes) } else { too_large() };
    exchange.stage(Stage::Decode, started, result)
}

/// The next bytes of a body that keeps coming; `None` at its end.
pub(crate) async fn next_data(body: &mut Incoming, pace: &mut Pace) -> Result<Option<Bytes>, Fault> {
    loop {
        let asked = clock::now();
        let frame = match tokio::time::timeout(pace.left(), body.frame()).await {
            Err(_) => {
                return Err(Fault::new(
                    FaultCode::CallerTimeout,
                    "The body came more slowly than 1 KiB a second for longer than limits.body_timeout allows.",
                ));
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => {
                return Err(Fault::invalid("", "The body ended before its announced end.").with_source(error));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            pace.moved(clock::now().saturating_duration_since(asked), data.len());
            return Ok(Some(data));
        }
    }
}

/// Reads a body of at most `largest` bytes that keeps coming.
pub(crate) async fn read(unread: &mut Option<Incoming>, largest: usize, patience: Duration) -> Result<Bytes, Fault> {
    let Some(body) = unread else { return Ok(Bytes::new()) };
    let mut pace = Pace::new(patience);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0_usize;
    while let Some(data) = next_data(body, &mut pace).await? {
        length = length.saturating_add(data.len());
        if length > largest {
            return Err(too_large(u64::try_from(largest).unwrap_or(u64::MAX)));
        }
        // Most bodies come in one piece, which is then used as it is.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    *unread = None;
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

pub(crate) fn understand(
    exchange: &mut Exchange,
    method: &Method,
    endpoint: Endpoint,
    bytes: Bytes,
) -> Result<(Decoded, StageVerdict), Fault> {
    let call = match endpoint {
        Endpoint::Model(operation, named) => {
            let dialect = exchange.surface.dialect().unwrap_or(Dialect::OpenAiChat);
            match (
                ModelCall::read_named(dialect, operation, named, bytes.clone()),
                dialect.path_without_model(operation),
            ) {
                (Ok(call), _) => Call::Model(Box::new(call)),
                (Err(_), Some(path)) if !ModelCall::names_model(&bytes) => {
                    let path = NativePath::parse(path).map_err(|error| Fault::invalid("", error.to_string()))?;
                    Call::Native(Box::new(native(exchange, method, (path, None), bytes)?))
                }
                (Err(error), _) => return Err(Fault::invalid(error.pointer, error.message)),
            }
        }
        Endpoint::Native(path, query) => Call::Native(Box::new(native(exchange, method, (path, query), bytes)?)),
        Endpoint::Live(model) => Call::Native(Box::new(NativeCall::connect(&model))),
        Endpoint::Mcp(server) => match mcp::read(exchange, server, bytes)? {
            mcp::Read::Call(call) => Call::Tool(call),
            mcp::Read::Frame(here) => return Ok((Decoded::Here(here), StageVerdict::Pass)),
        },
        Endpoint::Models | Endpoint::OneModel(_) | Endpoint::McpAll | Endpoint::Answers | Endpoint::Proxied(_) => {
            return Err(Fault::new(FaultCode::Internal, "This path has no body to decode."));
        }
    };
    tell(exchange, &call);
    Ok((Decoded::Call(call), StageVerdict::Pass))
}

/// Notes what is called.
pub(crate) fn tell(exchange: &mut Exchange, call: &Call) {
    exchange.story.is_tool = call.kind() == Kind::Tool;
    exchange.story.operation = match call {
        Call::Model(_) | Call::Native(_) => call.operation(),
        Call::Tool(call) => call.method().as_str(),
    };
    exchange.story.action = Some(call.action());
    exchange.story.resource = Arc::from(call.resource().to_string());
}

/// A call of a vendor's own API. What no guard could read since it is packed, and what is no plain request, is refused.
fn native(
    exchange: &Exchange,
    method: &Method,
    (path, query): (NativePath, Option<String>),
    body: Bytes,
) -> Result<NativeCall, Fault> {
    let refuse = |why: &str| Err(Fault::new(FaultCode::InvalidRequest, why.to_owned()));
    if !matches!(*method, Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return refuse("A vendor's own API is called with GET, HEAD, POST, PUT, PATCH or DELETE.");
    }
    if exchange.header("upgrade").is_some() {
        return refuse("This gateway does not pass WebSockets to a vendor's own API.");
    }
    if exchange.header("content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return refuse("Send the body without compression (content-encoding).");
    }
    let content_type = exchange.headers.get(http::header::CONTENT_TYPE).cloned();
    let request = NativeRequest { method: method.clone(), path, query, content_type, body };
    let dialect = exchange.surface.dialect().unwrap_or(Dialect::OpenAiChat);
    NativeCall::read(dialect, request).map_err(|error| Fault::invalid(error.pointer, error.message))
}
