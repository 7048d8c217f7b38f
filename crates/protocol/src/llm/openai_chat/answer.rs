//! A Chat answer: the walk over its texts, into the representation, and out of it.
//!
//! Owns the shape of `chat.completion`. Never invents content. Called for whole answers.

use std::borrow::Cow;

use tidegate_core::segment::Origin;

use super::{
    decode, wire,
    wire::{NATIVE_REASON, REASONING_BLOCKS, REASONING_SCOPE, REASONING_TEXT},
};
use crate::llm::{
    error::AnswerError,
    ir::{self, Arguments, Part, StopReason},
    loss::Loss,
    node::Node,
    segments::{self, Found},
    translate::TranslateContext,
    write::JsonWriter,
};

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for choice in root.get("choices").into_iter().flat_map(Node::items) {
        let Some(message) = choice.get("message") else { continue };
        for (name, value) in message.members() {
            match &*name {
                "content" | "refusal" | REASONING_TEXT | "reasoning" => {
                    segments::text(Some(value), Origin::Completion, see);
                }
                REASONING_BLOCKS => {
                    for block in value.items() {
                        segments::text(block.get("thinking"), Origin::Completion, see);
                    }
                }
                "tool_calls" => {
                    for call in value.items() {
                        let text = |kind, name| call.get(kind).and_then(|inner: Node<'_, '_>| inner.get(name));
                        segments::text(text("function", "arguments"), Origin::Completion, see);
                        segments::text(text("custom", "input"), Origin::Completion, see);
                    }
                }
                "function_call" => segments::text(value.get("arguments"), Origin::Completion, see),
                "audio" => segments::text(value.get("transcript"), Origin::Completion, see),
                "role" => {}
                _ => segments::unknown(value, Origin::Completion, see),
            }
        }
    }
}

pub(super) fn decode(root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
    let mut choices = root.get("choices").into_iter().flat_map(Node::items);
    let choice = choices.next().ok_or(AnswerError("`choices` is missing or empty".into()))?;
    let message = choice.get("message").ok_or(AnswerError("`choices[0].message` is missing".into()))?;
    let mut losses = Vec::new();
    if choices.next().is_some() {
        losses.push(Loss::new("/choices/1", "choices", "dropped: the caller's API has one answer only"));
    }
    if choice.present("logprobs").is_some() {
        losses.push(Loss::new("/choices/0/logprobs", "logprobs", "dropped: the caller's API has none"));
    }
    if message.present("annotations").into_iter().flat_map(Node::items).next().is_some() {
        let pointer = "/choices/0/message/annotations";
        losses.push(Loss::new(pointer, "annotations", "dropped: the caller's API has no such citations"));
    }
    if message.present("audio").is_some() {
        losses.push(Loss::new("/choices/0/message/audio", "audio", "dropped: the caller's API has no place for it"));
    }
    let mut parts = Vec::new();
    decode::reasoning(message, &mut parts).map_err(|error| AnswerError(error.to_string().into()))?;
    if let Some(text) = text(message, "content") {
        parts.push(Part::Text { text: text.into_owned(), cache: None });
    }
    if let Some(text) = text(message, "refusal") {
        parts.push(Part::Refusal { text: text.into_owned() });
    }
    let mut tools = false;
    let old = message.present("function_call");
    for call in message.present("tool_calls").into_iter().flat_map(Node::items) {
        let function = call.get("function").ok_or(AnswerError("a tool call has no `function`".into()))?;
        parts.push(tool_call(text(call, "id").unwrap_or_default().into_owned(), function)?);
        tools = true;
    }
    if let Some(function) = old {
        parts.push(tool_call(String::new(), function)?);
        tools = true;
    }
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal { .. }));
    let stop = text(choice, "finish_reason").map(|name| match wire::stop_reason(&name, tools) {
        StopReason::EndTurn if refused => StopReason::Refusal,
        reason => reason,
    });
    Ok((
        ir::Answer {
            id: text(root, "id").unwrap_or_default().into_owned(),
            parts,
            stop,
            stop_sequence: None,
            usage: wire::usage(root),
            created: root.get("created").and_then(Node::as_u64),
        },
        losses,
    ))
}

fn text<'body>(node: Node<'_, 'body>, name: &str) -> Option<Cow<'body, str>> {
    node.get(name).and_then(Node::text).filter(|text| !text.is_empty())
}

fn tool_call(id: String, function: Node<'_, '_>) -> Result<Part, AnswerError> {
    let name = function.get("name").and_then(Node::text).ok_or(AnswerError("a tool call has no name".into()))?;
    let arguments = function.get("arguments").and_then(Node::text).unwrap_or_default();
    let arguments = if arguments.is_empty() { "{}".into() } else { arguments };
    Ok(Part::ToolCall { id, name: name.into_owned(), arguments: Arguments(arguments.into_owned()), cache: None })
}

/// `{"id","type":"function","function":{"name","arguments"}}`
pub(super) fn write_call(id: &str, name: &str, arguments: &Arguments, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("id", id);
        json.string_member("type", "function");
        json.object_member("function", |json| {
            json.string_member("name", name);
            json.string_member("arguments", if arguments.0.is_empty() { "{}" } else { &arguments.0 });
        });
    });
}

/// A signed block as it goes to the caller, with the scope that lets it come back.
pub(super) fn write_reasoning(text: &str, signature: Option<&str>, scope: Option<&str>, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("type", "thinking");
        json.string_member("thinking", text);
        if let Some(signature) = signature {
            json.string_member("signature", signature);
        }
        if let Some(scope) = scope {
            json.string_member(REASONING_SCOPE, scope);
        }
    });
}

/// A block that only its vendor can read.
pub(super) fn write_redacted(data: &str, scope: Option<&str>, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("type", "redacted_thinking");
        json.string_member("data", data);
        if let Some(scope) = scope {
            json.string_member(REASONING_SCOPE, scope);
        }
    });
}

pub(super) fn encode(answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    json.object(|json| {
        json.string_member("id", &id(&answer.id, context));
        json.string_member("object", "chat.completion");
        json.number_member("created", answer.created.unwrap_or(context.created));
        json.string_member("model", context.model);
        json.array_member("choices", |json| {
            json.object(|json| {
                json.number_member("index", 0);
                json.object_member("message", |json| message(&answer.parts, context, losses, json));
                json.raw_member("logprobs", "null");
                let stop = answer.stop.as_ref().unwrap_or(&StopReason::EndTurn);
                json.string_member("finish_reason", wire::stop_name(stop));
                if let Some(native) = wire::native_reason(stop) {
                    json.string_member(NATIVE_REASON, native);
                }
            });
        });
        if let Some(usage) = &answer.usage {
            wire::write_usage(json, usage);
        }
    });
    json.into_bytes()
}

/// The vendor's own id, or one made from the call's.
pub(super) fn id(id: &str, context: &TranslateContext<'_>) -> String {
    if id.is_empty() { format!("chatcmpl-{}", context.call_id) } else { id.to_owned() }
}

fn message(parts: &[Part], context: &TranslateContext<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let (mut text, mut refusal, mut thought) = (None::<String>, None::<String>, None::<String>);
    let (mut calls, mut blocks) = (Vec::new(), Vec::new());
    let add = |to: &mut Option<String>, more: &str| to.get_or_insert_default().push_str(more);
    for part in parts {
        match part {
            Part::Text { text: more, .. } => add(&mut text, more),
            Part::Refusal { text: more } => add(&mut refusal, more),
            Part::Reasoning { text: more, signature, .. } => {
                add(&mut thought, more);
                if signature.is_some() {
                    blocks.push(part);
                }
            }
            Part::RedactedReasoning { .. } => blocks.push(part),
            Part::ToolCall { id, name, arguments, .. } => calls.push((id, name, arguments)),
            Part::Foreign { kind, pointer } => {
                losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
            }
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
                losses.push(Loss::new(
                    "/content",
                    "content",
                    "dropped: an answer of this API holds text and calls only",
                ));
            }
        }
    }
    json.string_member("role", "assistant");
    json.nullable_member("content", text.as_deref());
    json.nullable_member("refusal", refusal.as_deref());
    if let Some(thought) = thought.filter(|thought| !thought.is_empty()) {
        json.string_member(REASONING_TEXT, &thought);
    }
    if !blocks.is_empty() {
        json.array_member(REASONING_BLOCKS, |json| {
            for block in blocks {
                match block {
                    Part::Reasoning { text, signature, .. } => {
                        write_reasoning(text, signature.as_deref(), context.reasoning_scope, json);
                    }
                    Part::RedactedReasoning { data, .. } => write_redacted(data, context.reasoning_scope, json),
                    _ => {}
                }
            }
        });
    }
    if !calls.is_empty() {
        json.array_member("tool_calls", |json| {
            for (at, (id, name, arguments)) in calls.iter().enumerate() {
                let minted = format!("{}_{at}", context.call_id);
                write_call(if id.is_empty() { &minted } else { id }, name, arguments, json);
            }
        });
    }
}
