//! Streams of `streamGenerateContent`: what a piece says.
//!
//! Owns reading pieces, for policy and guards and for translation. Never holds a piece back. Each is a whole answer of
//! whose parts the next goes on; the stream has no end of its own, but that of its body after a reason to finish.

mod decoder;
mod encoder;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

use bytes::Bytes;
use tidegate_core::{segment::Origin, usage::Usage};

use super::{errors, fields, head, wire};
use crate::{
    llm::{
        dialect::FramePieces,
        ir::StopReason,
        node::Node,
        stream::{Channel, FrameFacts, ToolStart, UpstreamStreamError},
    },
    sse::Frame,
};

/// A sign of life: an empty line, since the vendor's own client takes a comment for a broken piece.
pub(super) fn ping() -> Frame {
    Frame { raw: Bytes::from_static(b"\n"), event: None, data: None, id: None, retry: None }
}

const TEXT: u32 = 0;
const THOUGHT: u32 = 1;
/// Texts that come whole: arguments, code and what it printed.
const WHOLE: u32 = 2;

/// Twelve bits of candidate, four of kind, sixteen of place.
fn channel(candidate: u64, kind: u32, place: u64) -> Channel {
    let candidate = u32::try_from(candidate & 0xFFF).unwrap_or_default();
    let place = u32::try_from(place & 0xFFFF).unwrap_or_default();
    candidate << 20 | kind << 16 | place
}

fn parts<'tape, 'body>(candidate: Node<'tape, 'body>) -> impl Iterator<Item = Node<'tape, 'body>> {
    fields::get(candidate, "content").into_iter().flat_map(|content| fields::list(content, "parts"))
}

pub(super) fn pieces(root: Node<'_, '_>, out: &mut FramePieces) {
    for (at, candidate) in fields::list(root, "candidates").enumerate() {
        let number = wire::index_of(candidate, at);
        let mut whole = 0_u64;
        for part in parts(candidate) {
            let spoken = fields::get(part, "text");
            let kind = if fields::is_true(part, "thought") { THOUGHT } else { TEXT };
            head::walk_part(part, Origin::Completion, &mut |found| {
                let Some(place) =
                    found.place().filter(|place| root.is_text(place.node) && !root.is_empty_text(place.node))
                else {
                    return;
                };
                let own = spoken.is_some_and(|text| text.id() == place.node);
                let channel = if own { channel(number, kind, 0) } else { channel(number, WHOLE, whole) };
                whole = whole.saturating_add(u64::from(!own));
                out.push((channel, place.node));
            });
        }
    }
}

pub(super) fn facts<'frame>(root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
    if let Some(error) = errors::of(root, None) {
        facts.error = Some(UpstreamStreamError { kind: error.kind, message: error.message });
        return;
    }
    let mut any = false;
    for (at, candidate) in fields::list(root, "candidates").enumerate() {
        any = true;
        let number = wire::index_of(candidate, at);
        let mut whole = false;
        for part in parts(candidate) {
            let call = fields::present(part, "functionCall");
            if let Some(name) = call.and_then(|call| fields::text(call, "name")) {
                facts.tool_starts.push(ToolStart { channel: channel(number, WHOLE, 0), name });
            }
            for (name, _) in fields::members(part).filter(|(name, _)| !matches!(&**name, "text" | "thought")) {
                // Pictures, signatures and whatever else is no text.
                facts.semantic = true;
                whole |= name != "thoughtSignature";
            }
        }
        if whole {
            facts.closes.push((channel(number, WHOLE, 0), channel(number, WHOLE, 0xFFFF)));
        }
        let reason = fields::text(candidate, "finishReason").and_then(|name| wire::stop_reason(&name, false));
        if let Some(reason) = reason {
            facts.closes.push((channel(number, 0, 0), channel(number, 0xF, 0xFFFF)));
            if facts.stop.is_none() || reason != StopReason::EndTurn {
                facts.stop = Some(reason);
            }
        }
    }
    if !any && wire::is_blocked(root) {
        facts.stop = Some(StopReason::Refusal);
    }
    if let Some(mut counted) = wire::usage_of(root) {
        // Searches are told once, in whichever frame, and counts of tokens in each.
        counted.units = counted.units.most(usage.map(|before| before.units).unwrap_or_default());
        *usage = Some(counted);
    }
}
