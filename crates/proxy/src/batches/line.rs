//! One line of a batch: a call through the pipeline, as the key that made the batch, and the line that is told of it.
//!
//! Owns how a line is asked and how its end is written. Whether it may go, the stages say, as for every call.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{json, value::RawValue};
use tidegate_core::{
    batches::StoredBatch,
    fault::{Fault, FaultCode},
};
use tidegate_protocol::call::Call;

use crate::{
    exchange::Exchange,
    gate::Gate,
    pipeline::{Passed, onward},
    respond::{self, Body},
    stage::{
        admit::admit,
        decode::{Decoded, whole},
        guard_response::guard_response,
        identify::identify_maker,
    },
    surface::{self, Endpoint},
    traced::OfCall,
};

/// The largest answer to a line, in bytes.
const LARGEST: usize = 32 << 20;
/// The longest pause before a line is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What came of a line.
pub(super) enum Ran {
    /// An answer, or a refusal.
    Answered { status: u16, call: String, body: Bytes },
    /// It was not run, since there was no room for it: again after this pause, where the answer names one. `true` where
    /// it was a provider that had none.
    Again(Option<Duration>, bool, Box<Ran>),
    /// The key that made the batch is no more.
    KeyIsGone,
}

/// Runs `body` as a call of `batch`.
pub(super) async fn run(gate: &Arc<Gate>, batch: &StoredBatch, body: Bytes) -> Ran {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let kept = [("x-tidegate-session", &batch.session), ("x-tidegate-metadata", &batch.labels)];
    for (name, value) in kept {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    let uri = Uri::from_static(batch.endpoint.path());
    let (surface, classified) = match surface::classify(&Method::POST, &uri, &headers) {
        Ok(entrance) => (entrance.surface, Ok(entrance.endpoint)),
        Err((surface, fault)) => (surface, Err(fault)),
    };
    let exchange = Exchange::begin(Arc::clone(gate), surface, headers, batch.maker.address);
    let call = exchange.id.to_string();
    let (id, trace) = (exchange.id, exchange.trace);
    let (gone, response) = OfCall::new(id, trace, async move {
        let (mut exchange, mut gone) = (exchange, false);
        let response = match through(&mut exchange, batch, classified, body, &mut gone).await {
            Ok(Passed::Answer(answer)) => guard_response(exchange, answer).await,
            Ok(Passed::Here(..) | Passed::Again(_)) => {
                let words = "A line of a batch has no such answer.";
                respond::refusal(&mut exchange, Fault::new(FaultCode::Internal, words))
            }
            Err(fault) => respond::refusal(&mut exchange, fault),
        };
        (gone, response)
    })
    .await;
    if gone { Ran::KeyIsGone } else { told(response, call).await }
}

async fn through(
    exchange: &mut Exchange,
    batch: &StoredBatch,
    endpoint: Result<Endpoint, Fault>,
    body: Bytes,
    gone: &mut bool,
) -> Result<Passed, Fault> {
    admit(exchange)?;
    let caller = identify_maker(exchange, &batch.maker).inspect_err(|_| *gone = true)?;
    let call = match whole(exchange, &Method::POST, endpoint?, body)? {
        Decoded::Call(call) => call,
        Decoded::Here(_) => return Err(Fault::new(FaultCode::Internal, "A line of a batch asks a model.")),
    };
    let streams = match &call {
        Call::Model(call) => call.stream(),
        Call::Native(call) => call.stream(),
        Call::Tool(_) => false,
    };
    if streams {
        return Err(Fault::invalid("/stream", "The answers of a batch come whole: leave `stream` out."));
    }
    onward(exchange, &caller, call).await
}

async fn told(response: Response<Body>, call: String) -> Ran {
    let status = response.status().as_u16();
    let (head, body) = response.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = text("x-tidegate-error").to_owned();
    let pause = text("retry-after").parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
    let body = match Limited::new(body, LARGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let words =
                json!({"error": {"message": "The answer broke off or was too large.", "code": "upstream_error"}});
            return Ran::Answered { status: 502, call, body: Bytes::from(words.to_string()) };
        }
    };
    let answered = Ran::Answered { status, call, body };
    match code.as_str() {
        "rate_limited" | "overloaded" | "audit_unavailable" => Ran::Again(pause, false, Box::new(answered)),
        "upstream_error" if matches!(status, 429 | 529) => Ran::Again(pause, true, Box::new(answered)),
        _ => answered,
    }
}

/// The line of the file of answers or failures for an answer; whether it is one of answers.
pub(super) fn of_answer(custom_id: &str, status: u16, call: &str, body: &[u8]) -> (Vec<u8>, bool) {
    let id = call.replace("call_", "batch_req_");
    // Within JSON a line end is white space, and only within.
    let plain: Vec<u8> = body.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let raw = String::from_utf8(plain).ok().and_then(|text| RawValue::from_string(text).ok());
    let body = raw.unwrap_or_else(|| RawValue::NULL.to_owned());
    #[derive(serde::Serialize)]
    struct Answer<'a> {
        status_code: u16,
        request_id: &'a str,
        body: &'a RawValue,
    }
    #[derive(serde::Serialize)]
    struct Told<'a> {
        id: &'a str,
        custom_id: &'a str,
        response: Answer<'a>,
        error: Option<()>,
    }
    let response = Answer { status_code: status, request_id: call, body: &body };
    let told = Told { id: &id, custom_id, response, error: None };
    (serde_json::to_vec(&told).unwrap_or_default(), (200..300).contains(&status))
}

/// The line of the file of failures for a line that has no answer.
pub(super) fn of_failure(custom_id: &str, id: &str, code: &str, message: &str) -> Vec<u8> {
    let told = json!({
        "id": id, "custom_id": custom_id, "response": null, "error": {"code": code, "message": message},
    });
    told.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_and_keeps_every_digit() {
        let (line, good) =
            of_answer("a\nb", 200, "call_7", b"{\n  \"n\": 1.00000000000000000001,\r\n \"t\": \"x\\ny\"}");
        let text = String::from_utf8(line).unwrap();
        assert!(good && !text.contains('\n') && text.contains("1.00000000000000000001") && text.contains(r"x\ny"));
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&told["id"], &told["custom_id"]), (&json!("batch_req_7"), &json!("a\nb")));
        assert_eq!((&told["response"]["request_id"], &told["error"]), (&json!("call_7"), &json!(null)));
        assert!(!of_answer("a", 402, "call_7", b"{}").1);
        assert!(of_answer("a", 200, "call_7", b"no json").0.ends_with(b"\"body\":null},\"error\":null}"));
    }
}
