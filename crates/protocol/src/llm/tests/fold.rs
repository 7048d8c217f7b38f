//! Streams folded into whole answers the way the vendors' own clients do it: an oracle that shares no code with the
//! codecs.

mod responses;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{llm::Dialect, sse::Frame};

/// Parses the whole of a stream of server-sent events.
pub(crate) fn frames(stream: impl AsRef<[u8]>) -> Vec<Frame> {
    frames_of(Dialect::OpenAiChat, stream)
}

/// Parses the whole of a stream of `dialect`.
pub(crate) fn frames_of(dialect: Dialect, stream: impl AsRef<[u8]>) -> Vec<Frame> {
    let stream = stream.as_ref();
    chunked_of(dialect, stream, &[stream.len().max(1)])
}

/// Parses server-sent events, cut at sizes taken from `sizes` in turn.
pub(crate) fn chunked(bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    chunked_of(Dialect::OpenAiChat, bytes, sizes)
}

/// Parses `bytes` of a stream of `dialect`, cut at sizes taken from `sizes` in turn, up to what cannot be read.
pub(crate) fn chunked_of(dialect: Dialect, bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let mut parser = dialect.framing().parser(crate::sse::DEFAULT_MAX_EVENT);
    let mut frames = Vec::new();
    let (mut at, mut turn) = (0, 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + sizes[turn % sizes.len()].max(1));
        parser.push(bytes::Bytes::copy_from_slice(&bytes[at..end]));
        while let Some(frame) = parser.next_frame() {
            let Ok(frame) = frame else { return frames };
            frames.push(frame);
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
        Dialect::BedrockInvoke => fold_messages(&frames.iter().map(unpacked).collect::<Vec<_>>()),
        Dialect::Bedrock => fold_converse(frames),
        Dialect::Gemini => fold_gemini(frames),
        Dialect::OpenAiResponses => responses::fold(frames),
    }
}

/// The event of Anthropic's inside a message of an event stream.
fn unpacked(frame: &Frame) -> Frame {
    assert_eq!(frame.event.as_deref(), Some(&b"chunk"[..]));
    let raw = &frame.raw;
    let headers = u32::from_be_bytes(raw[4..8].try_into().unwrap()) as usize;
    let payload: Value = serde_json::from_slice(&raw[12 + headers..raw.len() - 4]).unwrap();
    let event = STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
    let name = serde_json::from_slice::<Value>(&event).unwrap()["type"].as_str().unwrap().to_owned();
    Frame::build(Some(&name), &event)
}

fn fold_converse(frames: &[Frame]) -> Value {
    let mut out = json!({});
    let mut content: Vec<Value> = Vec::new();
    let (mut open, mut partial) = (None, String::new());
    let mut last = String::new();
    for frame in frames {
        let event = data(frame);
        last = String::from_utf8(frame.event.as_deref().unwrap_or_default().to_vec()).unwrap();
        let index = event["contentBlockIndex"].as_u64().map(|index| index as usize);
        if matches!(&*last, "contentBlockStart" | "contentBlockDelta") && open.is_none() {
            assert_eq!(index, Some(content.len()), "indices have gaps");
            (open, partial) = (index, String::new());
            content.push(json!({}));
        }
        match &*last {
            "messageStart" => out["output"]["message"]["role"] = event["role"].clone(),
            "contentBlockStart" => {
                content[index.unwrap()]["toolUse"] = event["start"]["toolUse"].clone();
                assert!(event["start"]["toolUse"]["name"].is_string());
            }
            "contentBlockDelta" => {
                assert_eq!(open, index, "a delta for a block that is not open");
                let block = &mut content[index.unwrap()];
                let delta = &event["delta"];
                for name in ["text", "signature"] {
                    if delta["reasoningContent"][name].is_string() {
                        append(&mut block["reasoningContent"]["reasoningText"][name], &delta["reasoningContent"][name]);
                    }
                }
                if delta["reasoningContent"]["redactedContent"].is_string() {
                    block["reasoningContent"] = delta["reasoningContent"].clone();
                }
                if delta["text"].is_string() {
                    append(&mut block["text"], &delta["text"]);
                }
                partial.push_str(delta["toolUse"]["input"].as_str().unwrap_or_default());
            }
            "contentBlockStop" => {
                assert_eq!(open.take(), index);
                let block = &mut content[index.unwrap()];
                if block["toolUse"].is_object() {
                    let input = serde_json::from_str(&partial).unwrap_or_else(|_| json!(partial));
                    block["toolUse"]["input"] = input;
                }
            }
            "messageStop" => out["stopReason"] = event["stopReason"].clone(),
            "metadata" => {
                assert!(out["stopReason"].is_string(), "metadata before the stop");
                out["usage"] = event["usage"].clone();
                out["metrics"] = event["metrics"].clone();
            }
            other => panic!("event {other}"),
        }
    }
    assert_eq!(last, "metadata", "no terminator");
    for block in &mut content {
        // Reading a member that is not there makes one.
        block.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        // Reasoning that is signed and says nothing.
        if let Some(Value::Object(said)) = block.pointer_mut("/reasoningContent/reasoningText") {
            said.entry("text").or_insert(json!(""));
        }
    }
    out["output"]["message"]["content"] = json!(content);
    out
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
