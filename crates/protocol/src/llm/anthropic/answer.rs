//! A Messages answer: the walk over its texts, into the representation, and out of it.
//!
//! Owns the shape of `message`. Never invents content. Called for whole answers.

use tidegate_core::{segment::Origin, usage::Usage};

use super::{decode, head, wire};
use crate::llm::{
    error::AnswerError,
    ir::{self, Arguments, Part, StopReason},
    loss::Loss,
    node::{Node, object_text},
    opaque,
    segments::Found,
    translate::TranslateContext,
    write::JsonWriter,
};

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    if let Some(content) = root.get("content") {
        head::walk_content(content, Origin::Completion, see);
    }
}

pub(super) fn usage(root: Node<'_, '_>) -> Option<Usage> {
    let node = root.present("usage")?;
    let mut usage = Usage::default();
    wire::take_usage(node, &mut usage);
    Some(usage)
}

pub(super) fn decode(root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
    let content = root.get("content").ok_or(AnswerError("`content` is missing".into()))?;
    let parts = decode::parts(content, "/content").map_err(|error| AnswerError(error.to_string().into()))?;
    let text = |name| root.get(name).and_then(Node::text);
    let cites = |block: Node<'_, '_>| block.present("citations").into_iter().flat_map(Node::items).next().is_some();
    let cited = content.items().position(cites);
    let losses = cited.map(|at| {
        let pointer = format!("/content/{at}/citations");
        Loss::new(pointer, "citations", "dropped: the caller's API has no such citations")
    });
    Ok((
        ir::Answer {
            id: text("id").unwrap_or_default().into_owned(),
            parts,
            stop: text("stop_reason").map(|name| wire::stop_reason(&name)),
            stop_sequence: text("stop_sequence").map(std::borrow::Cow::into_owned),
            usage: usage(root),
            created: None,
        },
        losses.into_iter().collect(),
    ))
}

/// The vendor's own id, or one made from the call's.
pub(super) fn id(id: &str, context: &TranslateContext<'_>) -> String {
    if id.is_empty() { format!("msg_{}", context.call_id) } else { id.to_owned() }
}

pub(super) fn encode(answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    json.object(|json| {
        json.string_member("id", &id(&answer.id, context));
        json.string_member("type", "message");
        json.string_member("role", "assistant");
        json.string_member("model", context.model);
        json.array_member("content", |json| {
            for part in &answer.parts {
                write_part(part, context.reasoning_scope, losses, json);
            }
        });
        json.string_member("stop_reason", wire::stop_name(answer.stop.as_ref().unwrap_or(&StopReason::EndTurn)));
        json.nullable_member("stop_sequence", answer.stop_sequence.as_deref());
        wire::write_usage(json, &answer.usage.unwrap_or_default());
    });
    json.into_bytes()
}

fn write_part(part: &Part, scope: Option<&str>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => json.object(|json| {
            json.string_member("type", "text");
            json.string_member("text", text);
        }),
        Part::Reasoning { text, signature, .. } => json.object(|json| {
            json.string_member("type", "thinking");
            json.string_member("thinking", text);
            json.string_member("signature", &opaque::scoped(signature.as_deref().unwrap_or_default(), scope));
        }),
        Part::RedactedReasoning { data, .. } => json.object(|json| {
            json.string_member("type", "redacted_thinking");
            json.string_member("data", &opaque::scoped(data, scope));
        }),
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

/// A call whose arguments are no object was cut short: it is shown as incomplete, with the text as far as it came.
fn write_call(id: &str, name: &str, arguments: &Arguments, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("type", "tool_use");
        json.string_member("id", id);
        json.string_member("name", name);
        match object_text(&arguments.0) {
            Some(input) => json.raw_member("input", input),
            None => {
                json.raw_member("input", "{}");
                json.bool_member("incomplete", true);
                json.string_member("partial_json", &arguments.0);
            }
        }
    });
}
