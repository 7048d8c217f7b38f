//! Converse streams: what an event says.
//!
//! Owns reading events, for policy and guards and for translation. Never holds an event back. Called frame by frame.
//! The payload does not say of which type it is, the header does; but no two types have a member in common, so that each
//! member is read wherever it stands. Errors alone are known by their header.

mod decoder;
mod encoder;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

use tidegate_core::{segment::Origin, usage::Usage};

use super::wire;
use crate::{
    eventstream,
    llm::{
        dialect::FramePieces,
        error::{MOST_MESSAGE, clip},
        node::{Document, Node},
        segments,
        stream::{Channel, FrameFacts, ToolStart, UpstreamStreamError},
    },
    sse::Frame,
};

const TEXT: u32 = 0;
const THINKING: u32 = 1;
const ARGUMENTS: u32 = 2;
const OTHER: u32 = 3;

/// The events that are no errors.
const EVENTS: [&[u8]; 7] = [
    b"messageStart",
    b"contentBlockStart",
    b"contentBlockDelta",
    b"contentBlockStop",
    b"messageStop",
    b"metadata",
    b"chunk",
];

/// Two bits of kind below the block's index.
fn channel(index: u64, kind: u32) -> Channel {
    u32::try_from(index & 0x3FFF_FFFF).unwrap_or_default() << 2 | kind
}

fn index_of(root: Node<'_, '_>) -> u64 {
    root.get("contentBlockIndex").and_then(Node::as_u64).unwrap_or(0)
}

/// The error that a message reports, if it is one.
pub(super) fn error(frame: &Frame) -> Option<UpstreamStreamError> {
    let name = frame.event.as_deref().unwrap_or_default();
    if EVENTS.contains(&name) || !eventstream::is_error(&frame.raw) {
        return None;
    }
    let document = frame.data.as_deref().and_then(|data| Document::parse(data).ok());
    let message = document.and_then(|document| wire::message_of(document.root()));
    let message = message.or_else(|| {
        eventstream::header_of(&frame.raw, ":error-message").map(|text| clip(text, MOST_MESSAGE).to_owned())
    });
    let name = String::from_utf8_lossy(name);
    Some(UpstreamStreamError {
        kind: wire::error_kind(&name),
        message: message.unwrap_or_else(|| clip(&name, MOST_MESSAGE).to_owned()),
    })
}

fn push(index: u64, kind: u32, node: Option<Node<'_, '_>>, out: &mut FramePieces) {
    if let Some(node) = node.filter(|node| node.is_string() && node.span().len() > 2) {
        out.push((channel(index, kind), node.id()));
    }
}

pub(super) fn pieces(root: Node<'_, '_>, out: &mut FramePieces) {
    let index = index_of(root);
    let start = root.get("start").into_iter().flat_map(Node::members);
    let delta = root.get("delta").into_iter().flat_map(Node::members);
    for (name, value) in start.chain(delta) {
        match &*name {
            "text" => push(index, TEXT, Some(value), out),
            "reasoningContent" => push(index, THINKING, value.get("text"), out),
            "toolUse" => push(index, ARGUMENTS, value.get("input"), out),
            "image" => {}
            // Citations, and results of tools that run at the vendor.
            _ => segments::unknown(value, Origin::Completion, &mut |found| {
                if let Some(place) = found.place().filter(|place| root.is_text(place.node)) {
                    out.push((channel(index, OTHER), place.node));
                }
            }),
        }
    }
}

pub(super) fn facts<'frame>(root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
    let (start, delta) = (root.get("start"), root.get("delta"));
    if let Some(call) = start.and_then(|start| start.get("toolUse")) {
        if let Some(name) = call.get("name").and_then(Node::text) {
            facts.tool_starts.push(ToolStart { channel: channel(index_of(root), ARGUMENTS), name });
        }
    } else {
        facts.semantic = start.is_some();
    }
    if let Some(delta) = delta {
        // What is no text, a signature or an image, is content all the same.
        facts.semantic |= delta.get("text").is_none() && delta.get("toolUse").is_none();
    }
    if start.is_none() && delta.is_none() && root.get("contentBlockIndex").is_some() {
        facts.closes.push((channel(index_of(root), TEXT), channel(index_of(root), OTHER)));
    }
    facts.stop = root.present("stopReason").and_then(Node::text).map(|name| wire::stop_reason(&name));
    if let Some(counted) = wire::usage_of(root) {
        *usage = Some(counted);
    }
    facts.terminator = root.get("usage").is_some() || root.get("metrics").is_some();
}
