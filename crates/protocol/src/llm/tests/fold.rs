//! Streams folded into whole answers the way the vendors' own clients do it: an oracle that shares no code with the
//! codecs.

mod responses;

use serde_json::{Value, json};

use crate::{
    llm::Dialect,
    sse::{Frame, SseParser},
};

pub(crate) fn frames(text: &str) -> Vec<Frame> {
    chunked(text.as_bytes(), &[text.len()])
}

/// Parses `bytes` cut at sizes taken from `sizes` in turn.
pub(crate) fn chunked(bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let mut parser = SseParser::new(crate::sse::DEFAULT_MAX_EVENT);
    let mut frames = Vec::new();
    let (mut at, mut turn) = (0, 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + sizes[turn % sizes.len()].max(1));
        parser.push(bytes::Bytes::copy_from_slice(&bytes[at..end]));
        while let Some(frame) = parser.next_frame() {
            frames.push(frame.unwrap());
        }
        (at, turn) = (end, turn + 1);
    }
    frames
}

pub(crate) fn data(frame: &Frame) -> Value {
    serde_json::from_slice(frame.data.as_deref().unwrap_or(b"null")).unwrap_or(Value::Null)
}

pub(crate) fn fold(dialect: Dialect, frames: &[Frame]) -> Value {
    match dialect {
        Dialect::OpenAiChat => fold_chat(frames),
        Dialect::Anthropic => fold_messages(frames),
        Dialect::Gemini => fold_gemini(frames),
        Dialect::OpenAiResponses => responses::fold(frames),
    }
}

fn append(target: &mut Value, text: &Value) {
    if let Some(text) = text.as_str() {
        let so_far = target.as_str().unwrap_or_default();
        *target = json!(format!("{so_far}{text}"));
    }
}

/// The stream has no terminator: what counts is that a reason to finish came, and that it came last.
fn fold_gemini(frames: &[Frame]) -> Value {
    let mut out = json!({});
    let mut parts: Vec<Value> = Vec::new();
    let mut candidate = Value::Null;
    let mut finished = false;
    for chunk in frames.iter().filter(|frame| frame.data.is_some()).map(data) {
        assert!(chunk.get("error").is_none(), "an error event");
        assert!(!finished, "a piece after the reason to finish");
        for (name, value) in chunk.as_object().unwrap() {
            if name != "candidates" {
                out[name] = value.clone();
            }
        }
        finished = chunk["promptFeedback"]["blockReason"].is_string();
        let Some(piece) = chunk["candidates"].get(0) else { continue };
        for part in piece["content"]["parts"].as_array().into_iter().flatten() {
            let spoken = part.get("functionCall").is_none() && part.get("executableCode").is_none();
            if spoken && part["text"] == "" && part.get("thoughtSignature").is_none() {
                continue;
            }
            match parts.last_mut().filter(|last| {
                spoken
                    && last.get("text").is_some()
                    && last["thought"] == part["thought"]
                    && last["thoughtSignature"].is_null()
            }) {
                Some(last) => {
                    append(&mut last["text"], &part["text"]);
                    match part.get("thoughtSignature") {
                        Some(signature) => last["thoughtSignature"] = signature.clone(),
                        None => {
                            last.as_object_mut().unwrap().retain(|_, value| !value.is_null());
                        }
                    }
                }
                None => parts.push(part.clone()),
            }
        }
        finished |= piece["finishReason"].is_string();
        candidate = piece.clone();
    }
    assert!(finished, "no reason to finish");
    if !candidate.is_null() {
        parts.iter_mut().for_each(|part| part.as_object_mut().unwrap().retain(|_, value| !value.is_null()));
        candidate["content"]["parts"] = json!(parts);
        out["candidates"] = json!([candidate]);
    }
    out
}

fn fold_chat(frames: &[Frame]) -> Value {
    let mut out = json!({"object": "chat.completion"});
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    let mut choice = json!({"index": 0, "logprobs": null});
    assert_eq!(frames.last().and_then(|frame| frame.data.as_deref()), Some(&b"[DONE]"[..]), "no terminator");
    for chunk in frames.iter().map(data) {
        for name in ["id", "created", "model"] {
            if !chunk[name].is_null() {
                out[name] = chunk[name].clone();
            }
        }
        if chunk["usage"].is_object() {
            out["usage"] = chunk["usage"].clone();
        }
        let delta = &chunk["choices"][0]["delta"];
        for name in ["content", "refusal", "reasoning_content"] {
            if delta[name].as_str().is_some_and(|text| !text.is_empty()) {
                append(&mut message[name], &delta[name]);
            }
        }
        if let Some(blocks) = delta["thinking_blocks"].as_array() {
            let mut all = message["thinking_blocks"].as_array().cloned().unwrap_or_default();
            all.extend(blocks.iter().cloned());
            message["thinking_blocks"] = json!(all);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap() as usize;
            let mut calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            while calls.len() <= index {
                calls.push(json!({"type": "function", "function": {"arguments": ""}}));
            }
            if call["id"].is_string() {
                calls[index]["id"] = call["id"].clone();
                calls[index]["function"]["name"] = call["function"]["name"].clone();
            }
            append(&mut calls[index]["function"]["arguments"], &call["function"]["arguments"]);
            message["tool_calls"] = json!(calls);
        }
        for name in ["finish_reason", "native_finish_reason"] {
            if chunk["choices"][0][name].is_string() {
                choice[name] = chunk["choices"][0][name].clone();
            }
        }
    }
    choice["message"] = message;
    out["choices"] = json!([choice]);
    out
}

fn fold_messages(frames: &[Frame]) -> Value {
    let mut message = Value::Null;
    let mut partial = String::new();
    let mut open: Option<u64> = None;
    let mut ended = false;
    for frame in frames {
        let event = data(frame);
        let kind = event["type"].as_str().unwrap_or_default();
        if frame.data.is_some() {
            assert_eq!(frame.event_name(), kind, "the event's name is its type");
        }
        assert!(!ended, "an event after the terminator");
        match kind {
            "message_start" => {
                assert!(message.is_null(), "two message_start");
                message = event["message"].clone();
            }
            "content_block_start" => {
                assert_eq!(open, None, "blocks interleave");
                open = event["index"].as_u64();
                assert_eq!(open, Some(message["content"].as_array().unwrap().len() as u64), "indices have gaps");
                message["content"].as_array_mut().unwrap().push(event["content_block"].clone());
                partial.clear();
            }
            "content_block_delta" => {
                assert_eq!(open, event["index"].as_u64(), "a delta for a block that is not open");
                let block = &mut message["content"][event["index"].as_u64().unwrap() as usize];
                let delta = &event["delta"];
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append(&mut block["text"], &delta["text"]),
                    "thinking_delta" => append(&mut block["thinking"], &delta["thinking"]),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => partial.push_str(delta["partial_json"].as_str().unwrap()),
                    other => panic!("delta {other}"),
                }
            }
            "content_block_stop" => {
                assert_eq!(open.take(), event["index"].as_u64());
                let block = &mut message["content"][event["index"].as_u64().unwrap() as usize];
                if !partial.is_empty() {
                    match serde_json::from_str::<Value>(&partial) {
                        Ok(input) => block["input"] = input,
                        Err(_) => {
                            block["incomplete"] = json!(true);
                            block["partial_json"] = json!(partial);
                        }
                    }
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                for (name, value) in event["delta"].as_object().unwrap() {
                    message[name] = value.clone();
                }
                for (name, value) in event["usage"].as_object().unwrap() {
                    message["usage"][name] = value.clone();
                }
            }
            "message_stop" => ended = true,
            "ping" | "" => {}
            other => panic!("event {other}"),
        }
    }
    assert!(ended, "no terminator");
    message
}
