//! The walk over items: of a request's input, of an answer's output, of the frames of a stream.
//!
//! Owns which member of which item is a text. What it does not know it shows as a whole: an unknown item is no way
//! around guards. Never decides anything about a text. Called by `head`, `answer` and `stream`.

use tidegate_core::segment::Origin;

use crate::{
    json::NodeId,
    llm::{
        estimate,
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

/// The kinds of texts of an item: those of one kind and place are one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Output,
    Refusal,
    Input,
    Summary,
    Reasoning,
    Other,
}

/// What a walk shows: a text of a known kind with its place among those of its item, or what has no kind.
pub(super) enum Shown {
    Text { kind: Text, at: u64, node: NodeId },
    Found(Found),
}

pub(super) fn type_of<'body>(node: Node<'_, 'body>) -> std::borrow::Cow<'body, str> {
    node.get("type").and_then(Node::text).unwrap_or_default()
}

/// Shows everything that guards look at or that costs tokens in an item.
pub(super) fn item(item: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Shown)) {
    let kind = type_of(item);
    match &*kind {
        // A message of the short form has no type.
        "message" | "" if item.get("content").is_some() => content(item, origin, see),
        "function_call" | "mcp_call" | "mcp_approval_request" => {
            text(Text::Input, 0, item.get("arguments"), see);
            others(
                item,
                &["arguments", "name", "namespace", "server_label", "status", "call_id", "caller"],
                origin,
                see,
            );
        }
        "custom_tool_call" => {
            text(Text::Input, 0, item.get("input"), see);
            others(item, &["input", "name", "namespace", "status", "call_id", "caller"], origin, see);
        }
        "function_call_output" | "custom_tool_call_output" => {
            if let Some(output) = item.get("output") {
                if output.is_string() {
                    text(Text::Other, 0, Some(output), see);
                } else {
                    output.items().enumerate().for_each(|(at, node)| part(node, at, origin, see));
                }
            }
            others(item, &["output", "name", "namespace", "status", "call_id", "caller"], origin, see);
        }
        "reasoning" => {
            for (name, kind) in [("summary", Text::Summary), ("content", Text::Reasoning)] {
                for (at, node) in item.get(name).into_iter().flat_map(Node::items).enumerate() {
                    text(kind, at as u64, node.get("text"), see);
                }
            }
            others(item, &["summary", "content", "status"], origin, see);
        }
        "additional_tools" | "tool_search_output" => {
            if let Some(tools) = item.get("tools") {
                see(Shown::Found(Found::Tools { node: tools.id() }));
                segments::tool_words(tools, &mut |found| see(Shown::Found(found)));
            }
        }
        // What a vendor keeps costs what nobody here can see.
        "item_reference" => see(Shown::Found(Found::Media { kind: MediaKind::Other, tokens: estimate::UNSEEN })),
        _ => others(item, &["status"], origin, see),
    }
}

/// Content of a message: a text, or parts.
fn content(item: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Shown)) {
    if let Some(content) = item.get("content") {
        if content.is_string() {
            text(Text::Output, 0, Some(content), see);
        } else {
            content.items().enumerate().for_each(|(at, node)| part(node, at, origin, see));
        }
    }
    others(item, &["content", "role", "status", "phase"], origin, see);
}

/// One part of a message or of a tool's output.
pub(super) fn part(part: Node<'_, '_>, at: usize, origin: Origin, see: &mut dyn FnMut(Shown)) {
    let at = at as u64;
    match &*type_of(part) {
        "input_text" | "output_text" | "text" => {
            text(Text::Output, at, part.get("text"), see);
            others(part, &["text", "logprobs"], origin, see);
        }
        "refusal" => text(Text::Refusal, at, part.get("refusal"), see),
        "reasoning_text" => text(Text::Reasoning, at, part.get("text"), see),
        "summary_text" => text(Text::Summary, at, part.get("text"), see),
        "input_image" | "computer_screenshot" => {
            see(Shown::Found(Found::Media { kind: MediaKind::Image, tokens: estimate::IMAGE }))
        }
        "input_audio" => {
            let data = part.get("input_audio").and_then(|audio| audio.get("data"));
            let tokens = estimate::sound(data.map_or(0, |data| data.span().len()));
            see(Shown::Found(Found::Media { kind: MediaKind::Sound, tokens }));
        }
        "input_file" => {
            let data = part.present("file_data").map(|data| estimate::document(data.span().len()));
            see(Shown::Found(Found::Media { kind: MediaKind::Document, tokens: data.unwrap_or(estimate::UNSEEN) }));
            text(Text::Other, at, part.get("filename"), see);
        }
        _ => others(part, &[], origin, see),
    }
}

fn text(kind: Text, at: u64, node: Option<Node<'_, '_>>, see: &mut dyn FnMut(Shown)) {
    if let Some(node) = node.filter(|node| node.is_string()) {
        see(Shown::Text { kind, at, node: node.id() });
    }
}

/// What stands beside the members that are `known`. Pictures and sounds are no words.
fn others(node: Node<'_, '_>, known: &[&str], origin: Origin, see: &mut dyn FnMut(Shown)) {
    for (name, value) in node.members() {
        let opaque = matches!(&*name, "type" | "id" | "call_id" | "encrypted_content" | "fingerprint");
        let picture = &*name == "result" && node.get("type").is_some_and(|kind| kind.text_is("image_generation_call"));
        if !opaque && !picture && !known.contains(&&*name) {
            segments::unknown(value, origin, &mut |found| see(Shown::Found(found)));
        }
    }
}

/// The walk as the dialects' common readers want it.
pub(super) fn found(shown: Shown, origin: Origin) -> Found {
    match shown {
        Shown::Text { node, .. } => Found::Text { node, origin },
        Shown::Found(found) => found,
    }
}
