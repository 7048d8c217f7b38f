//! Responses streams: what an event says.
//!
//! Owns reading events, for policy and guards and for translation. Never holds an event back. Called frame by frame. The
//! type inside the data decides, not the event's name. Events that say texts once more, whole, show them on channels of
//! their own, which end with the event: guards look at the whole text there too.

mod decoder;
mod encoder;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

use tidegate_core::{segment::Origin, usage::Usage};

use super::{
    walk::{self, Shown, Text, type_of},
    wire,
};
use crate::{
    json::NodeId,
    llm::{
        dialect::FramePieces,
        node::Node,
        segments,
        stream::{Channel, FrameFacts, ToolStart, UpstreamStreamError},
    },
};

/// Where the channels of repeated texts begin. Those of others end before it.
const REPEATED: Channel = 0xC000_0000;

/// Members of events that hold places, marks and numbers about texts, never words.
const MARKS: [&str; 12] = [
    "type",
    "sequence_number",
    "item_id",
    "output_index",
    "content_index",
    "summary_index",
    "annotation_index",
    "command_index",
    "logprobs",
    "obfuscation",
    "partial_image_b64",
    "name",
];

/// Fourteen bits of item, twelve of place, four of kind.
fn channel(item: u64, at: u64, kind: u32) -> Channel {
    let item = u32::try_from(item & 0x3FFF).unwrap_or_default();
    let at = u32::try_from(at & 0xFFF).unwrap_or_default();
    item << 16 | at << 4 | kind & 0xF
}

fn kind_of(text: Text) -> u32 {
    match text {
        Text::Output => 0,
        Text::Refusal => 1,
        Text::Input => 2,
        Text::Summary => 3,
        Text::Reasoning => 4,
        Text::Other => 5,
    }
}

/// Every channel of a place of an item.
fn of_place(item: u64, at: u64) -> (Channel, Channel) {
    (channel(item, at, 0), channel(item, at, 0xF))
}

/// Every channel of an item.
fn of_item(item: u64) -> (Channel, Channel) {
    (channel(item, 0, 0), channel(item, 0xFFF, 0xF))
}

fn number(root: Node<'_, '_>, name: &str) -> u64 {
    root.get(name).and_then(Node::as_u64).unwrap_or(0)
}

/// The item that an event is about, and the place in it.
fn place_of(root: Node<'_, '_>) -> (u64, u64) {
    let at = ["content_index", "summary_index", "command_index"].iter().find_map(|name| root.get(name)?.as_u64());
    (number(root, "output_index"), at.unwrap_or(0))
}

/// What an event of this type is to its texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The next piece of one.
    Piece(Text),
    /// An item or a part that begins: what it already says comes before the pieces.
    Begins,
    /// An item, a part or a text once more.
    Repeats,
    /// The answer as far as it is, or whole.
    Answer,
    /// Sound or a picture.
    Media,
    Error,
    Other,
}

fn form(kind: &str) -> Form {
    match kind {
        "response.created"
        | "response.queued"
        | "response.in_progress"
        | "response.completed"
        | "response.incomplete"
        | "response.failed" => Form::Answer,
        "response.output_text.delta" => Form::Piece(Text::Output),
        "response.refusal.delta" => Form::Piece(Text::Refusal),
        "response.reasoning_summary_text.delta" => Form::Piece(Text::Summary),
        "response.reasoning_text.delta" => Form::Piece(Text::Reasoning),
        "response.audio.delta" => Form::Media,
        "error" => Form::Error,
        _ if kind.ends_with(".added") && !kind.contains("annotation") => Form::Begins,
        _ if kind.ends_with(".done") => Form::Repeats,
        _ if kind.contains("arguments") || kind.contains("input") || kind.contains("code") => Form::Piece(Text::Input),
        _ if kind.ends_with(".delta") => Form::Piece(Text::Other),
        _ => Form::Other,
    }
}

/// Puts texts where guards look: on the channel of their text, or each on one of its own.
struct Places<'out, 'tape, 'body> {
    root: Node<'tape, 'body>,
    repeats: bool,
    out: &'out mut FramePieces,
}

impl Places<'_, '_, '_> {
    fn put(&mut self, channel: Channel, node: NodeId) {
        if !self.root.is_text(node) || self.root.is_empty_text(node) {
            return;
        }
        let own = u32::try_from(self.out.len()).unwrap_or(u32::MAX).saturating_add(REPEATED);
        self.out.push((if self.repeats { own } else { channel }, node));
    }

    fn shown(&mut self, item: u64, shown: Shown) {
        match shown {
            Shown::Text { kind, at, node } => self.put(channel(item, at, kind_of(kind)), node),
            Shown::Found(found) => {
                if let Some(place) = found.place() {
                    self.put(channel(item, 0, kind_of(Text::Other)), place.node);
                }
            }
        }
    }

    /// Every word of an event that no rule covers.
    fn all(&mut self, channel: Channel) {
        let root = self.root;
        for (name, value) in root.members() {
            if !MARKS.contains(&&*name) {
                segments::unknown(value, Origin::Completion, &mut |found| {
                    if let Some(place) = found.place() {
                        self.put(channel, place.node);
                    }
                });
            }
        }
    }
}

pub(super) fn pieces(root: Node<'_, '_>, out: &mut FramePieces) {
    let form = form(&type_of(root));
    let (item, at) = place_of(root);
    let mut places = Places { root, repeats: matches!(form, Form::Repeats | Form::Answer), out };
    match form {
        Form::Media | Form::Error => {}
        Form::Answer => {
            let output = root.get("response").and_then(|response| response.get("output"));
            for node in output.into_iter().flat_map(Node::items) {
                walk::item(node, Origin::Completion, &mut |shown| places.shown(item, shown));
            }
        }
        Form::Piece(kind) => match root.get("delta").filter(|delta| delta.is_string()) {
            Some(delta) => places.put(channel(item, at, kind_of(kind)), delta.id()),
            None => places.all(channel(item, at, kind_of(Text::Other))),
        },
        Form::Begins | Form::Repeats => {
            if let Some(node) = root.get("item") {
                walk::item(node, Origin::Completion, &mut |shown| places.shown(item, shown));
            } else if let Some(node) = root.get("part") {
                let at = usize::try_from(at).unwrap_or_default();
                walk::part(node, at, Origin::Completion, &mut |shown| places.shown(item, shown));
            } else {
                places.all(channel(item, at, kind_of(Text::Other)));
            }
        }
        Form::Other => places.all(channel(item, at, kind_of(Text::Other))),
    }
}

pub(super) fn facts<'frame>(root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
    let kind = type_of(root);
    let (item, at) = place_of(root);
    match form(&kind) {
        Form::Answer => of_answer(&kind, root, facts, usage),
        Form::Error => {
            let error = wire::failure(root.present("error").unwrap_or(root));
            facts.error = Some(UpstreamStreamError { kind: error.kind, message: error.message });
        }
        Form::Begins => {
            if let Some(node) = root.get("item") {
                facts.tool_starts.extend(tool_start(node, item));
                // What a vendor runs itself is seen by the caller from its beginning.
                facts.semantic = !matches!(&*type_of(node), "message" | "reasoning");
            }
        }
        Form::Repeats => {
            facts.repeats = true;
            match root.get("item") {
                Some(node) => {
                    facts.tool_starts.extend(tool_start(node, item));
                    facts.closes.push(of_item(item));
                }
                None => facts.closes.push(of_place(item, at)),
            }
            facts.closes.push((REPEATED, Channel::MAX));
        }
        Form::Media => facts.semantic = true,
        Form::Piece(_) | Form::Other => {}
    }
}

fn of_answer<'frame>(kind: &str, root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
    let Some(response) = root.get("response") else { return };
    if let Some(counted) = wire::usage(response) {
        *usage = Some(counted);
    }
    let status = response.get("status").and_then(Node::text).unwrap_or_default();
    if kind == "response.failed" || &*status == "failed" {
        let error = response.present("error").map(wire::failure);
        let (kind, message) = error.map_or_else(Default::default, |error| (Some(error.kind), error.message));
        facts.error = Some(UpstreamStreamError { kind: kind.unwrap_or(crate::llm::error::ErrorKind::Api), message });
        return;
    }
    facts.repeats = true;
    facts.closes.push((REPEATED, Channel::MAX));
    for (at, item) in response.get("output").into_iter().flat_map(Node::items).enumerate() {
        facts.tool_starts.extend(tool_start(item, at as u64));
    }
    if matches!(kind, "response.completed" | "response.incomplete") {
        facts.terminator = true;
        facts.stop = wire::stop_reason(response, wire::Said::of(response));
        facts.closes.push((0, REPEATED.saturating_sub(1)));
    }
}

/// A tool that an item calls, or has its vendor call.
fn tool_start<'frame>(item: Node<'_, 'frame>, index: u64) -> Option<ToolStart<'frame>> {
    match &*type_of(item) {
        "function_call" | "custom_tool_call" | "mcp_call" | "mcp_approval_request" => {
            let name = item.get("name").and_then(Node::text)?;
            Some(ToolStart { channel: channel(index, 0, kind_of(Text::Input)), name })
        }
        _ => None,
    }
}

/// Numbers about single tokens, which say the texts once more: of a frame or an answer.
pub(super) fn echoes(root: Node<'_, '_>, see: &mut dyn FnMut(NodeId)) {
    let mut of = |holder: Node<'_, '_>| {
        if let Some(logprobs) = holder.get("logprobs").filter(|list| list.items().next().is_some()) {
            see(logprobs.id());
        }
    };
    of(root);
    if let Some(part) = root.get("part") {
        of(part);
    }
    let output = root.get("response").unwrap_or(root).get("output").into_iter().flat_map(Node::items);
    for part in output.chain(root.get("item")).filter_map(|item| item.get("content")).flat_map(Node::items) {
        of(part);
    }
}
