//! What is wrong on the wire, and the end that it has, in every dialect: streams cut anywhere are `matrix`'s.
//!
//! | what is wrong | its end |
//! | --- | --- |
//! | an event of an unknown type | passes where the dialect is the caller's, says nothing where it is not |
//! | events out of order | a well-formed stream in the caller's dialect, or an error |
//! | an end that comes first, words after the reason to stop | an error |
//! | an unknown reason to stop | passes; where it is translated, the caller's dialect has an end that it knows |
//! | arguments cut by the limit | the cut text and the limit as the reason, in every dialect |
//! | a frame larger than allowed, in pieces or whole | one error, and nothing after it |
//! | base64 that is none | passes to a vendor as it is; inside a stream's envelope, an error |

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    CONTEXT,
    corpus::{Case, all},
    fold::{data, fold, frames_of},
    wire,
};
use crate::{
    eventstream,
    llm::{
        Answer, Dialect, Framing, ModelCall, Operation, PrepareError, StopReason, StreamError, StreamReader,
        StreamTranslator, translate_answer,
    },
    sse::Frame,
};

fn translated(from: Dialect, to: Dialect, input: &[Frame]) -> Result<Vec<Frame>, StreamError> {
    let mut translator = StreamTranslator::new(from, to, &CONTEXT);
    let mut out = Vec::new();
    for frame in input {
        out.extend(translator.push(frame)?);
    }
    out.extend(translator.finish()?);
    Ok(out)
}

/// An event of a type that no vendor has yet.
fn unknown(dialect: Dialect) -> Frame {
    let event = json!({"type": "future.event", "index": 9, "contentBlockIndex": 9, "novel": {"y": [null, "z"]}});
    let bytes = event.to_string().into_bytes();
    match dialect {
        Dialect::OpenAiChat | Dialect::Gemini => Frame::build(None, br#"{"novel":{"y":[null,"z"]}}"#),
        Dialect::Anthropic | Dialect::OpenAiResponses => Frame::build(Some("future.event"), &bytes),
        Dialect::Bedrock => eventstream::event("futureEvent", &bytes),
        Dialect::BedrockInvoke => crate::llm::invoke_chunk(&bytes),
    }
}

#[test]
fn an_event_of_an_unknown_type_passes_or_says_nothing() {
    for case in all() {
        let input = frames_of(case.dialect, &case.stream);
        for at in 1..input.len() {
            let mut more = input.clone();
            more.insert(at, unknown(case.dialect));
            let mut reader = StreamReader::new(case.dialect);
            for (place, frame) in more.iter().enumerate() {
                let facts = reader.read(frame).unwrap();
                assert!(place != at || !(facts.terminator || facts.error.is_some()), "{} at {at}", case.name);
            }
            for to in Dialect::ALL.into_iter().filter(|to| *to != case.dialect) {
                let (plain, with) = (translated(case.dialect, to, &input), translated(case.dialect, to, &more));
                let told = |frames: Result<Vec<Frame>, StreamError>| fold_known(to, &frames.unwrap());
                assert_eq!(told(plain), told(with), "{} of {:?} to {to:?} at {at}", case.name, case.dialect);
            }
        }
    }
}

/// The answer that frames come to, but for events that the same dialect in another envelope carries on.
fn fold_known(to: Dialect, frames: &[Frame]) -> Value {
    let known: Vec<Frame> = frames
        .iter()
        .filter(|frame| !frame.raw.windows(12).any(|window| window == b"future.event"))
        .filter(|frame| **frame != unknown(to))
        .cloned()
        .collect();
    fold(to, &known)
}

#[test]
fn events_out_of_order_come_to_a_well_formed_stream_or_an_error() {
    let mut refused = 0;
    for case in all() {
        let input = frames_of(case.dialect, &case.stream);
        let mut orders: Vec<Vec<Frame>> = (1..input.len())
            .map(|at| {
                let mut order = input.clone();
                order.swap(at - 1, at);
                order
            })
            .collect();
        orders.push(input.iter().rev().cloned().collect());
        for (number, order) in orders.iter().enumerate() {
            for to in Dialect::ALL.into_iter().filter(|to| *to != case.dialect) {
                if is_envelope(case.dialect, to) {
                    continue;
                }
                match translated(case.dialect, to, order) {
                    Err(_) => refused += 1,
                    Ok(out) => {
                        let folded = catch_unwind(AssertUnwindSafe(|| fold(to, &out)));
                        assert!(folded.is_ok(), "{} of {:?} to {to:?}, order {number}", case.name, case.dialect);
                    }
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_model_that_goes_on_after_it_has_stopped_is_an_error() {
    let case = all().into_iter().find(|case| case.dialect == Dialect::OpenAiChat && case.name == "text").unwrap();
    let mut input = frames_of(case.dialect, &case.stream);
    let stop = input.iter().position(|frame| frame.raw.windows(15).any(|it| it == b"\"finish_reason\"")).unwrap();
    let stop =
        input[stop..].iter().position(|frame| data(frame)["choices"][0]["finish_reason"].is_string()).unwrap() + stop;
    input.swap(stop - 1, stop);
    for to in Dialect::ALL.into_iter().filter(|to| *to != case.dialect) {
        assert!(translated(case.dialect, to, &input).is_err(), "{to:?}");
    }
}

/// Whether one is the other in another envelope: then events pass as they are.
fn is_envelope(from: Dialect, to: Dialect) -> bool {
    let pair = [from, to];
    pair.contains(&Dialect::Anthropic) && pair.contains(&Dialect::BedrockInvoke)
}

#[test]
fn an_end_that_comes_first_is_no_end() {
    for case in all() {
        let input = frames_of(case.dialect, &case.stream);
        // In these the end is the reason to stop, or the body's own: a lone last event is a whole, empty answer.
        if case.dialect.ends_with_body() {
            continue;
        }
        let last = &input[input.len() - 1..];
        for to in Dialect::ALL.into_iter().filter(|to| *to != case.dialect && !is_envelope(case.dialect, *to)) {
            let out = translated(case.dialect, to, last);
            let responses = case.dialect == Dialect::OpenAiResponses;
            // The last event of Responses says the whole answer once more, so nothing of it is missing.
            assert!(out.is_err() || responses, "{} of {:?} to {to:?}: {out:?}", case.name, case.dialect);
        }
    }
}

/// A whole answer and a stream that stopped for a reason of tomorrow.
fn with_reason(case: &Case) -> Option<(String, Vec<Frame>)> {
    let (known, novel) = match case.dialect {
        Dialect::OpenAiChat => (r#""finish_reason":"stop""#, r#""finish_reason":"novel_reason""#),
        Dialect::Anthropic | Dialect::BedrockInvoke => {
            (r#""stop_reason":"end_turn""#, r#""stop_reason":"novel_reason""#)
        }
        Dialect::Bedrock => (r#""stopReason":"end_turn""#, r#""stopReason":"novel_reason""#),
        Dialect::Gemini => (r#""finishReason":"STOP""#, r#""finishReason":"NOVEL_REASON""#),
        Dialect::OpenAiResponses => (r#""reason":"max_output_tokens""#, r#""reason":"novel_reason""#),
    };
    if !case.unary.contains(known) {
        return None;
    }
    let frames = frames_of(case.dialect, &case.stream);
    let changed = frames.into_iter().map(|frame| {
        let text = String::from_utf8(frame.data.clone().unwrap_or_default().to_vec()).unwrap().replace(known, novel);
        match case.dialect {
            Dialect::Bedrock => {
                eventstream::event(std::str::from_utf8(frame.event.as_deref().unwrap()).unwrap(), text.as_bytes())
            }
            Dialect::BedrockInvoke => crate::llm::invoke_chunk(text.as_bytes()),
            _ if text.is_empty() => frame,
            _ => Frame::build(frame.event.as_deref().and_then(|name| std::str::from_utf8(name).ok()), text.as_bytes()),
        }
    });
    Some((case.unary.replace(known, novel), changed.collect()))
}

#[test]
fn an_unknown_reason_to_stop_passes_and_has_an_end_in_every_dialect() {
    let mut seen = std::collections::BTreeSet::new();
    for case in all() {
        let Some((unary, stream)) = with_reason(&case) else { continue };
        seen.insert(format!("{:?}", case.dialect));
        let answer = Answer::read(case.dialect, Bytes::from(unary.clone())).unwrap();
        assert_eq!(answer.body(), unary, "the caller's own dialect is not touched");
        let novel =
            |reason: &StopReason| matches!(reason, StopReason::Other(name) if name.to_lowercase() == "novel_reason");
        assert!(answer.stop_reason().is_some_and(novel), "{}: {:?}", case.name, answer.stop_reason());
        let mut reader = StreamReader::new(case.dialect);
        let stops: Vec<StopReason> = stream.iter().filter_map(|frame| reader.read(frame).unwrap().stop).collect();
        assert!(stops.iter().any(novel), "{}: {stops:?}", case.name);
        for to in Dialect::ALL.into_iter().filter(|to| *to != case.dialect) {
            let (body, _) = translate_answer(&answer, to, &CONTEXT).unwrap();
            let whole: Value = serde_json::from_slice(&body).unwrap();
            let out = translated(case.dialect, to, &stream).unwrap();
            assert_eq!(fold(to, &out), whole, "{} of {:?} to {to:?}", case.name, case.dialect);
            let read = Answer::read(to, body).unwrap();
            assert!(read.stop_reason().is_some(), "{} of {:?} to {to:?} has no end", case.name, case.dialect);
        }
    }
    assert_eq!(seen.len(), Dialect::ALL.len(), "{seen:?}");
}

/// A stream whose call was cut by the limit: `{"city":"Ro`.
fn cut_call(dialect: Dialect) -> Vec<Frame> {
    let converse = |events: &[(&str, &str)]| -> Vec<Frame> {
        events.iter().map(|(name, data)| eventstream::event(name, data.as_bytes())).collect()
    };
    let messages = [
        super::corpus::MESSAGE_START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c1","name":"look","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Ro"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let find = |dialect| all().into_iter().find(|case| case.dialect == dialect && case.name.contains("cut"));
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => frames_of(dialect, find(dialect).unwrap().stream),
        Dialect::Anthropic => frames_of(dialect, super::corpus::messages_stream(&messages)),
        Dialect::BedrockInvoke => messages.iter().map(|event| crate::llm::invoke_chunk(event.as_bytes())).collect(),
        Dialect::Bedrock => converse(&[
            ("messageStart", r#"{"role":"assistant"}"#),
            ("contentBlockStart", r#"{"start":{"toolUse":{"toolUseId":"c1","name":"look"}},"contentBlockIndex":0}"#),
            ("contentBlockDelta", r#"{"delta":{"toolUse":{"input":"{\"city\":\"Ro"}},"contentBlockIndex":0}"#),
            ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
            ("messageStop", r#"{"stopReason":"max_tokens"}"#),
            ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#),
        ]),
        // Its calls come whole, or are marked as cut.
        Dialect::Gemini => Vec::new(),
    }
}

#[test]
fn arguments_that_the_limit_cut_are_cut_in_every_dialect_and_say_so() {
    for from in Dialect::ALL {
        let input = cut_call(from);
        if input.is_empty() {
            continue;
        }
        for to in Dialect::ALL {
            let out = if from == to { input.clone() } else { translated(from, to, &input).unwrap() };
            let mut reader = StreamReader::new(to);
            let stops: Vec<StopReason> = out.iter().filter_map(|frame| reader.read(frame).unwrap().stop).collect();
            assert!(stops.contains(&StopReason::MaxTokens), "{from:?} to {to:?}: {stops:?}");
            let told: String = out.iter().map(|frame| data_of(to, frame).to_string()).collect();
            let said = ["Ro", "unfin"].into_iter().find(|words| told.contains(words));
            let said = said.unwrap_or_else(|| panic!("{from:?} to {to:?}: {told}"));
            // Nobody closed what was left open.
            assert!(!told.contains(&format!("{said}\\\"}}")), "{from:?} to {to:?}: {told}");
        }
    }
}

fn data_of(dialect: Dialect, frame: &Frame) -> Value {
    if dialect != Dialect::BedrockInvoke || frame.data.is_none() {
        return data(frame);
    }
    serde_json::from_slice(frame.data.as_deref().unwrap_or(b"null")).unwrap_or(Value::Null)
}

#[test]
fn a_giant_frame_is_one_error_and_nothing_after_it() {
    for dialect in Dialect::ALL {
        let long = json!({"type": "x", "text": "a".repeat(4_096)}).to_string();
        let giant = match dialect.framing() {
            Framing::Sse => Frame::build(None, long.as_bytes()).raw,
            Framing::EventStream | Framing::EventChunks => eventstream::event("x", long.as_bytes()).raw,
        };
        let good = unknown(dialect).raw;
        for size in [giant.len(), 1_000, 7, 1] {
            let mut parser = dialect.framing().parser(1_024);
            let (mut whole, mut errors, mut after) = (0, 0, 0);
            let stream = [&good[..], &giant, &good].concat();
            for piece in stream.chunks(size.max(1)) {
                parser.push(Bytes::copy_from_slice(piece));
                while let Some(frame) = parser.next_frame() {
                    match frame {
                        Ok(_) if errors == 0 => whole += 1,
                        Ok(_) => after += 1,
                        Err(_) => errors += 1,
                    }
                }
            }
            assert_eq!((whole, errors, after), (1, 1, 0), "{dialect:?} in pieces of {size}");
        }
        // Without an end it is refused as soon as it is too long, and not kept until then.
        let mut endless = dialect.framing().parser(1_024);
        let piece = Bytes::copy_from_slice(giant.get(..2_048).unwrap());
        endless.push(piece);
        assert!(matches!(endless.next_frame(), Some(Err(_))), "{dialect:?}");
    }
}

#[test]
fn base64_that_is_none_is_not_mended_and_not_read() {
    let broken = "%%% not base64 ===";
    let url = format!("data:image/png;base64,{broken}");
    for (from, body) in [
        (
            Dialect::OpenAiChat,
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}),
        ),
        (
            Dialect::OpenAiResponses,
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}),
        ),
        (
            Dialect::Anthropic,
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": broken}}]}]}),
        ),
        (
            Dialect::Gemini,
            json!({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": broken}}]}]}),
        ),
        (
            Dialect::Bedrock,
            json!({"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": broken}}}]}]}),
        ),
    ] {
        let named = body.get("model").is_none().then(|| crate::llm::Named { model: "m".to_owned(), stream: false });
        let call = ModelCall::read_named(from, Operation::Generate, named, body.to_string().into()).unwrap();
        for to in Dialect::ALL {
            match call.prepare(&wire(to, "up")) {
                Ok(sent) => {
                    let sent = String::from_utf8(sent.body.to_vec()).unwrap();
                    assert!(sent.contains(broken), "{from:?} to {to:?}: {sent}");
                }
                Err(PrepareError::Invalid { pointer, .. }) => {
                    assert!(pointer.starts_with('/'), "{from:?} to {to:?} is refused without its place");
                }
                Err(PrepareError::Unsupported(words)) => assert!(!words.is_empty()),
            }
        }
    }
    // In the envelope of a stream it is the transport's, and an error.
    for payload in [r#"{"bytes":"%%%"}"#, r#"{"bytes":"QQ"}"#, r#"{"bytes":7}"#, r#"{}"#] {
        let mut parser = Framing::EventChunks.parser(1 << 20);
        parser.push(eventstream::event("chunk", payload.as_bytes()).raw);
        let read = parser.next_frame();
        let refused = match read {
            Some(Ok(frame)) => {
                StreamReader::new(Dialect::BedrockInvoke).read(&frame).is_err()
                    || translated(Dialect::BedrockInvoke, Dialect::OpenAiChat, &[frame]).is_err()
            }
            Some(Err(_)) => true,
            None => false,
        };
        assert!(refused, "{payload}");
    }
}
