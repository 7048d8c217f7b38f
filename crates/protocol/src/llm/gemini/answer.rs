//! A `GenerateContentResponse`: the walk over its texts, into the representation, and out of it.
//!
//! Owns the shape of answers, and of counts of tokens. Never invents content. Called for whole answers.

use tidegate_core::segment::Origin;

use super::{decode, fields, head, thoughts, wire};
use crate::{
    json::NodeId,
    llm::{
        error::AnswerError,
        ir::{self, Arguments, Part, StopReason},
        loss::Loss,
        node::{Node, object_text},
        opaque::Kind,
        segments::Found,
        translate::TranslateContext,
        write::JsonWriter,
    },
};

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for candidate in fields::list(root, "candidates") {
        let Some(content) = fields::get(candidate, "content") else { continue };
        for part in fields::list(content, "parts") {
            head::walk_part(part, Origin::Completion, see);
        }
    }
}

/// Members of a candidate that say its texts once more: token by token, or by what they were found in.
pub(super) fn echoes(root: Node<'_, '_>, see: &mut dyn FnMut(NodeId)) {
    for candidate in fields::list(root, "candidates") {
        for (name, value) in fields::members(candidate).filter(|(_, value)| !value.is_null()) {
            match &*name {
                "logprobsResult" => see(value.id()),
                "groundingMetadata" => {
                    if let Some(supports) = fields::present(value, "groundingSupports") {
                        see(supports.id());
                    }
                }
                _ => {}
            }
        }
    }
}

pub(super) fn count_json(tokens: u64) -> Vec<u8> {
    let mut json = JsonWriter::default();
    json.object(|json| json.number_member("totalTokens", tokens));
    json.into_bytes()
}

pub(super) fn decode(root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
    let mut losses = Vec::new();
    let mut answer = ir::Answer {
        id: fields::text(root, "responseId").unwrap_or_default().into_owned(),
        usage: fields::get(root, "usageMetadata").and_then(wire::usage),
        ..ir::Answer::default()
    };
    let mut candidates = fields::list(root, "candidates");
    let Some(candidate) = candidates.next() else {
        if !wire::is_blocked(root) {
            return Err(AnswerError("it holds neither `candidates` nor the reason why there are none".into()));
        }
        answer.stop = Some(StopReason::Refusal);
        return Ok((answer, losses));
    };
    if candidates.next().is_some() {
        losses.push(Loss::new("/candidates/1", "candidates", "dropped: the caller's API has one answer only"));
    }
    if let Some(content) = fields::present(candidate, "content") {
        for (at, part) in fields::list(content, "parts").enumerate() {
            take(part, at, &mut answer.parts).map_err(|error| AnswerError(error.to_string().into()))?;
        }
    }
    let calls = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    answer.stop = fields::text(candidate, "finishReason").and_then(|name| wire::stop_reason(&name, calls));
    Ok((answer, losses))
}

/// Takes a part: texts that follow each other are one, as they are in a stream.
fn take(part: Node<'_, '_>, at: usize, parts: &mut Vec<Part>) -> Result<(), crate::llm::error::ReadError> {
    let signature = fields::text(part, "thoughtSignature").filter(|signature| !signature.is_empty());
    let signature = signature.map(std::borrow::Cow::into_owned);
    let alone = |signature| Part::Reasoning { text: String::new(), signature, scope: None };
    if let Some(call) = fields::present(part, "functionCall") {
        if signature.is_some() {
            parts.push(alone(signature));
        }
        parts.push(Part::ToolCall {
            id: fields::text(call, "id").unwrap_or_default().into_owned(),
            name: fields::required_text(call, "name")?.into_owned(),
            arguments: decode::arguments(call)?,
            cache: None,
        });
        return Ok(());
    }
    let text = fields::text(part, "text").unwrap_or_default().into_owned();
    if fields::is_true(part, "thought") {
        if let (Some(Part::Reasoning { text: before, signature: signed @ None, .. }), false) =
            (parts.last_mut(), text.is_empty() && signature.is_none())
        {
            before.push_str(&text);
            *signed = signature;
        } else if !text.is_empty() || signature.is_some() {
            parts.push(Part::Reasoning { text, signature, scope: None });
        }
        return Ok(());
    }
    if text.is_empty() && signature.is_none() {
        if let Some((kind, _)) = fields::members(part).find(|(_, value)| value.kind() == crate::json::Kind::Object) {
            let pointer = format!("/candidates/0/content/parts/{at}");
            parts.push(Part::Foreign { kind: kind.into_owned(), pointer });
        }
        return Ok(());
    }
    match parts.last_mut() {
        Some(Part::Text { text: before, .. }) => before.push_str(&text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text { text, cache: None }),
    }
    if signature.is_some() {
        parts.push(alone(signature));
    }
    Ok(())
}

/// The vendor's own id, or the call's.
pub(super) fn id(id: &str, context: &TranslateContext<'_>) -> String {
    if id.is_empty() { context.call_id.to_owned() } else { id.to_owned() }
}

pub(super) fn encode(answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    json.object(|json| {
        json.array_member("candidates", |json| {
            let stop = answer.stop.as_ref().unwrap_or(&StopReason::EndTurn);
            candidate(Some(stop), json, |json| {
                for part in &answer.parts {
                    write_part(part, context.reasoning_scope, losses, json);
                }
            });
        });
        if let Some(usage) = &answer.usage {
            wire::write_usage(json, usage);
        }
        tail(&id(&answer.id, context), context.model, json);
    });
    json.into_bytes()
}

/// What every answer and every piece of one ends with.
pub(super) fn tail(id: &str, model: &str, json: &mut JsonWriter) {
    json.string_member("modelVersion", model);
    json.string_member("responseId", id);
}

/// The one candidate, with its parts, and why it ended where it has.
pub(super) fn candidate(stop: Option<&StopReason>, json: &mut JsonWriter, parts: impl FnOnce(&mut JsonWriter)) {
    json.object(|json| {
        json.object_member("content", |json| {
            json.array_member("parts", parts);
            json.string_member("role", "model");
        });
        if let Some(stop) = stop {
            json.string_member("finishReason", wire::stop_name(stop));
            if let Some(message) = wire::stop_message(stop) {
                json.string_member("finishMessage", message);
            }
        }
        json.number_member("index", 0);
    });
}

fn write_part(part: &Part, scope: Option<&str>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => write_text(text, json),
        Part::Reasoning { text, signature, .. } => {
            let signature = signature.as_deref().map(|data| thoughts::wrap(Kind::Signed, scope, data));
            write_thought(text, signature.as_deref(), json);
        }
        Part::RedactedReasoning { data, .. } => {
            write_thought("", Some(&thoughts::wrap(Kind::Redacted, scope, data)), json);
        }
        Part::ToolCall { id, name, arguments, .. } => {
            write_call(id, name, arguments, json);
        }
        Part::Foreign { kind, pointer } => {
            losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
        }
        Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
            losses.push(Loss::new("/content", "content", "dropped: an answer of this API holds text and calls only"));
        }
    }
}

pub(super) fn write_text(text: &str, json: &mut JsonWriter) {
    json.object(|json| json.string_member("text", text));
}

pub(super) fn write_thought(text: &str, signature: Option<&str>, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("text", text);
        json.bool_member("thought", true);
        if let Some(signature) = signature {
            json.string_member("thoughtSignature", signature);
        }
    });
}

/// A call whose arguments are no object was cut short: it is shown as one that would have gone on, with the text as far
/// as it came.
pub(super) fn write_call(id: &str, name: &str, arguments: &Arguments, json: &mut JsonWriter) {
    json.object(|json| {
        json.object_member("functionCall", |json| {
            json.string_member("id", id);
            json.string_member("name", name);
            match object_text(&arguments.0) {
                Some(args) => json.raw_member("args", args),
                None => {
                    json.array_member("partialArgs", |json| {
                        json.object(|json| {
                            json.string_member("jsonPath", "$");
                            json.string_member("stringValue", &arguments.0);
                            json.bool_member("willContinue", true);
                        });
                    });
                    json.bool_member("willContinue", true);
                }
            }
        });
    });
}
