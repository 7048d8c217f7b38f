//! Decoding a chat request, preparing what is sent on, and reading the answer.

use std::hint::black_box;

use anyhow::{Context, Result};
use bytes::Bytes;
use tidegate_bench::body;
use tidegate_protocol::llm::{Answer, Dialect, ModelCall, Operation as Kind, Quirks, TargetWire};

use crate::Operation;

/// What the mock answers, as the rig's does.
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Ships of up to 12.5 metres may use the inner harbour until noon; after that the pilot has to be asked. The ledger shows three late cargoes and no open claims. Anything else about the charts?","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":40,"total_tokens":60}}"#;

/// A request of so many KiB, as bytes and as a call.
pub(crate) fn request(kib: usize) -> Result<(Bytes, ModelCall)> {
    let bytes = Bytes::from(body::chat("gpt-4o-mini", kib, false));
    let call =
        ModelCall::read(Dialect::OpenAiChat, Kind::Generate, bytes.clone()).context("the request is not read")?;
    Ok((bytes, call))
}

/// The answer of an upstream.
pub(crate) fn answered() -> Result<Answer> {
    Answer::read(Dialect::OpenAiChat, Bytes::from_static(ANSWER.as_bytes())).context("the answer is not read")
}

/// Strict reading, facts, estimate and digest.
pub(crate) fn decode(kib: usize) -> Result<Operation> {
    let (bytes, _) = request(kib)?;
    Ok(Box::new(move || {
        let call = ModelCall::read(Dialect::OpenAiChat, Kind::Generate, black_box(bytes.clone()))?;
        black_box((call.facts(), call.estimate(), call.digest()));
        Ok(())
    }))
}

/// The body that goes to the target.
pub(crate) fn prepare() -> Result<Operation> {
    let (_, call) = request(1)?;
    let quirks = Quirks::default();
    Ok(Box::new(move || {
        let wire = TargetWire {
            dialect: Dialect::OpenAiChat,
            model: "gpt-4o-mini-2024-07-18",
            default_max_output: None,
            quirks: &quirks,
            reasoning_scope: None,
        };
        black_box(black_box(&call).prepare(&wire)?);
        Ok(())
    }))
}

/// Reading an answer, its usage, and guarding its text.
pub(crate) fn answer() -> Result<Operation> {
    let chain = crate::guards::chain()?;
    Ok(Box::new(move || {
        let answer = black_box(answered()?);
        crate::guards::look(&chain, answer.segments())?;
        black_box((answer.usage(), answer.proposed_calls().len(), answer.body()));
        Ok(())
    }))
}
