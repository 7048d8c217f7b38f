//! Messages streams: what an event says.
//!
//! Owns reading events, for policy and guards and for translation. Never holds an event back. Called frame by frame.
//! The type inside the data decides, not the event's name: servers have been seen to leave the name out.

mod decoder;
mod encoder;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

use tidegate_core::{segment::Origin, unit::Unit, usage::Usage};

use super::{head, wire};
use crate::llm::{
    dialect::FramePieces,
    node::Node,
    stream::{Channel, FrameFacts, ToolStart, UpstreamStreamError},
};

const TEXT: u32 = 0;
const THINKING: u32 = 1;
const ARGUMENTS: u32 = 2;
const OTHER: u32 = 3;

/// Two bits of kind below the block's index.
fn channel(index: u64, kind: u32) -> Channel {
    u32::try_from(index & 0x3FFF_FFFF).unwrap_or_default() << 2 | kind
}

fn index_of(root: Node<'_, '_>) -> u64 {
    root.get("index").and_then(Node::as_u64).unwrap_or(0)
}

fn type_of<'body>(node: Node<'_, 'body>) -> std::borrow::Cow<'body, str> {
    node.get("type").and_then(Node::text).unwrap_or_default()
}

pub(super) fn pieces(root: Node<'_, '_>, out: &mut FramePieces) {
    let mut push = |kind, node: Option<Node<'_, '_>>| {
        if let Some(node) = node.filter(|node| node.is_string() && node.span().len() > 2) {
            out.push((channel(index_of(root), kind), node.id()));
        }
    };
    match &*type_of(root) {
        "content_block_start" => {
            let Some(block) = root.get("content_block") else { return };
            match &*type_of(block) {
                "text" => push(TEXT, block.get("text")),
                "thinking" => push(THINKING, block.get("thinking")),
                // Results of tools that the vendor runs come whole; names and ids are not text.
                _ => head::walk_block(block, Origin::Completion, &mut |found| {
                    if let Some(place) = found.place().filter(|place| root.is_text(place.node)) {
                        out.push((channel(index_of(root), OTHER), place.node));
                    }
                }),
            }
        }
        "content_block_delta" => {
            let Some(delta) = root.get("delta") else { return };
            match &*type_of(delta) {
                "text_delta" => push(TEXT, delta.get("text")),
                "thinking_delta" => push(THINKING, delta.get("thinking")),
                "input_json_delta" => push(ARGUMENTS, delta.get("partial_json")),
                "signature_delta" => {}
                "citations_delta" => {
                    push(OTHER, delta.get("citation").and_then(|citation| citation.get("cited_text")));
                }
                _ => crate::llm::segments::unknown(delta, Origin::Completion, &mut |found| {
                    if let Some(place) = found.place().filter(|place| root.is_text(place.node)) {
                        out.push((channel(index_of(root), OTHER), place.node));
                    }
                }),
            }
        }
        _ => {}
    }
}

pub(super) fn facts<'frame>(root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
    match &*type_of(root) {
        "message_start" => {
            if let Some(node) = root.get("message").and_then(|message| message.present("usage")) {
                wire::take_usage(node, usage.get_or_insert_default());
            }
        }
        "content_block_start" => {
            let Some(block) = root.get("content_block") else { return };
            match &*type_of(block) {
                "text" | "thinking" => {}
                "tool_use" => {
                    if let Some(name) = block.get("name").and_then(Node::text) {
                        facts.tool_starts.push(ToolStart { channel: channel(index_of(root), ARGUMENTS), name });
                    }
                }
                kind => {
                    facts.semantic = true;
                    // Counted as it begins, since a stream that breaks off never says how often it was.
                    let searches =
                        kind == "server_tool_use" && block.get("name").is_some_and(|name| name.text_is("web_search"));
                    if let (true, Some(usage)) = (searches, usage) {
                        usage.units.add(Unit::WebSearch, 1);
                    }
                }
            }
        }
        "content_block_delta" => {
            facts.semantic = root.get("delta").is_some_and(|delta| &*type_of(delta) == "signature_delta");
        }
        "content_block_stop" => {
            facts.closes.push((channel(index_of(root), TEXT), channel(index_of(root), OTHER)));
        }
        "message_delta" => {
            if let Some(node) = root.present("usage") {
                wire::take_usage(node, usage.get_or_insert_default());
            }
            let reason = root.get("delta").and_then(|delta| delta.present("stop_reason")).and_then(Node::text);
            facts.stop = reason.map(|name| wire::stop_reason(&name));
        }
        "message_stop" => facts.terminator = true,
        "error" => {
            let error = wire::error_of(root, 500);
            facts.error = error.map(|error| UpstreamStreamError { kind: error.kind, message: error.message });
        }
        _ => {}
    }
}
