//! A Converse answer: the walk over its texts, into the representation, and out of it.
//!
//! Owns the shape of `output`. Never invents content. Called for whole answers.

use tidegate_core::segment::Origin;

use super::{blocks, encode, head, wire};
use crate::llm::{
    error::AnswerError,
    ir::{self, Arguments, Part, StopReason},
    loss::Loss,
    names,
    node::Node,
    opaque,
    segments::Found,
    translate::TranslateContext,
    write::JsonWriter,
};

fn content<'tape, 'body>(root: Node<'tape, 'body>) -> Option<Node<'tape, 'body>> {
    root.get("output")?.get("message")?.get("content")
}

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    if let Some(content) = content(root) {
        head::walk_content(content, Origin::Completion, see);
    }
}

pub(super) fn decode(root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
    let content = content(root).ok_or(AnswerError("`output.message.content` is missing".into()))?;
    let parts = blocks::parts(content, "/output/message/content");
    Ok((
        ir::Answer {
            id: String::new(),
            parts: parts.map_err(|error| AnswerError(error.to_string().into()))?,
            stop: root.get("stopReason").and_then(Node::text).map(|name| wire::stop_reason(&name)),
            stop_sequence: None,
            usage: wire::usage_of(root),
            created: None,
        },
        Vec::new(),
    ))
}

pub(super) fn encode(answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    json.object(|json| {
        json.object_member("output", |json| {
            json.object_member("message", |json| {
                json.string_member("role", "assistant");
                json.array_member("content", |json| {
                    for (at, part) in answer.parts.iter().enumerate() {
                        write_part(part, &format!("{}_{at}", context.call_id), context, losses, json);
                    }
                });
            });
        });
        json.string_member("stopReason", wire::stop_name(answer.stop.as_ref().unwrap_or(&StopReason::EndTurn)));
        wire::write_usage(json, &answer.usage.unwrap_or_default());
        metrics(json);
    });
    json.into_bytes()
}

/// The member is required. How long another vendor took is no figure of this API's: `server-timing` says it.
pub(super) fn metrics(json: &mut JsonWriter) {
    json.object_member("metrics", |json| json.number_member("latencyMs", 0));
}

fn write_part(
    part: &Part,
    minted: &str,
    context: &TranslateContext<'_>,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) {
    let scope = context.reasoning_scope;
    match part {
        Part::Text { text, .. } if text.is_empty() => {}
        Part::Text { text, .. } | Part::Refusal { text } => blocks::write_text(text, json),
        Part::Reasoning { text, signature, .. } => {
            let signature = signature.as_deref().map(|signature| opaque::scoped(signature, scope));
            blocks::write_reasoning(text, signature.as_deref(), json);
        }
        Part::RedactedReasoning { data, .. } => blocks::write_redacted(&blocks::told_blob(data, scope), json),
        Part::ToolCall { id, name, arguments, .. } => {
            write_call(if id.is_empty() { minted } else { id }, name, arguments, json);
        }
        Part::Foreign { kind, pointer } => {
            losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
        }
        Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
            losses.push(Loss::new("/content", "content", "dropped: an answer of this API holds text and calls only"));
        }
    }
}

/// A call whose arguments are no object was cut short: they are then a string, as far as they came.
fn write_call(id: &str, name: &str, arguments: &Arguments, json: &mut JsonWriter) {
    json.object(|json| {
        json.object_member("toolUse", |json| {
            json.string_member("toolUseId", &names::fitting(id, "call"));
            json.string_member("name", name);
            match encode::object(&arguments.0) {
                Some(input) => json.raw_member("input", input),
                None => json.string_member("input", &arguments.0),
            }
        });
    });
}
