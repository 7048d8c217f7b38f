//! Chat streams: what a chunk says.
//!
//! Owns reading chunks, for policy and guards and for translation. Never holds a chunk back. Called frame by frame.

mod decoder;
mod encoder;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

use tidegate_core::{segment::Origin, usage::Usage};

use super::{
    wire,
    wire::{REASONING_BLOCKS, REASONING_TEXT},
};
use crate::llm::{
    dialect::FramePieces,
    ir::StopReason,
    node::Node,
    segments,
    stream::{Channel, FrameFacts, ToolStart, UpstreamStreamError},
};

const CONTENT: u32 = 0;
const REFUSAL: u32 = 1;
const REASONING: u32 = 2;
const BLOCK: u32 = 3;
const AUDIO: u32 = 4;
const OLD_FUNCTION: u32 = 5;
const TOOL: u32 = 6;
const CUSTOM: u32 = 7;
const OTHER: u32 = 8;

/// Twelve bits of choice, four of kind, sixteen of index.
fn channel(choice: u64, kind: u32, index: u64) -> Channel {
    let choice = u32::try_from(choice & 0xFFF).unwrap_or_default();
    let index = u32::try_from(index & 0xFFFF).unwrap_or_default();
    choice << 20 | kind << 16 | index
}

fn index_of(node: Node<'_, '_>, otherwise: usize) -> u64 {
    node.get("index").and_then(Node::as_u64).unwrap_or(otherwise as u64)
}

pub(super) fn pieces(root: Node<'_, '_>, out: &mut FramePieces) {
    let mut others = FramePieces::new();
    let mut push = |channel, node: Option<Node<'_, '_>>| {
        if let Some(node) = node.filter(|node| node.is_string() && node.span().len() > 2) {
            out.push((channel, node.id()));
        }
    };
    for (at, choice) in root.get("choices").into_iter().flat_map(Node::items).enumerate() {
        let number = index_of(choice, at);
        // Where a chunk of a completion has its text.
        push(channel(number, CONTENT, 0), choice.get("text"));
        let Some(delta) = choice.get("delta") else { continue };
        for (name, value) in delta.members() {
            match &*name {
                "content" => push(channel(number, CONTENT, 0), Some(value)),
                "refusal" => push(channel(number, REFUSAL, 0), Some(value)),
                REASONING_TEXT | "reasoning" => push(channel(number, REASONING, 0), Some(value)),
                REASONING_BLOCKS => {
                    for (at, block) in value.items().enumerate() {
                        push(channel(number, BLOCK, at as u64), block.get("thinking"));
                    }
                }
                "audio" => push(channel(number, AUDIO, 0), value.get("transcript")),
                "function_call" => push(channel(number, OLD_FUNCTION, 0), value.get("arguments")),
                "tool_calls" => {
                    for (at, call) in value.items().enumerate() {
                        let index = index_of(call, at);
                        let text = |kind, name| call.get(kind).and_then(|inner: Node<'_, '_>| inner.get(name));
                        push(channel(number, TOOL, index), text("function", "arguments"));
                        push(channel(number, CUSTOM, index), text("custom", "input"));
                    }
                }
                "role" => {}
                // Members that only some servers know are no way around guards.
                _ => segments::unknown(value, Origin::Completion, &mut |found| {
                    if let Some(place) = found.place().filter(|place| root.is_text(place.node)) {
                        others.push((channel(number, OTHER, 0), place.node));
                    }
                }),
            }
        }
    }
    out.extend(others);
}

pub(super) fn facts<'frame>(root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
    if let Some(error) = wire::error_of(root, None) {
        facts.error = Some(UpstreamStreamError { kind: error.kind, message: error.message });
        return;
    }
    let counted = wire::usage(root);
    let mut choices = 0;
    for (at, choice) in root.get("choices").into_iter().flat_map(Node::items).enumerate() {
        choices += 1;
        let number = index_of(choice, at);
        let mut tool = |kind, index, function: Option<Node<'_, 'frame>>| {
            let name = function.and_then(|function| function.get("name")).and_then(Node::text);
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                facts.tool_starts.push(ToolStart { channel: channel(number, kind, index), name });
            }
        };
        if let Some(delta) = choice.get("delta") {
            for (at, call) in delta.get("tool_calls").into_iter().flat_map(Node::items).enumerate() {
                tool(TOOL, index_of(call, at), call.get("function"));
                tool(CUSTOM, index_of(call, at), call.get("custom"));
            }
            tool(OLD_FUNCTION, 0, delta.get("function_call"));
        }
        if let Some(reason) = choice.present("finish_reason").and_then(Node::text) {
            let reason = wire::stop_reason(&reason, false);
            facts.closes.push((channel(number, 0, 0), channel(number, 0xF, 0xFFFF)));
            if facts.stop.is_none() || reason != StopReason::EndTurn {
                facts.stop = Some(reason);
            }
        }
    }
    facts.usage_only = choices == 0 && counted.is_some();
    if counted.is_some() {
        *usage = counted;
    }
}
