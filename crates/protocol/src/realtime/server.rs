//! What a server sends: which turn an event belongs to, its texts, and what a finished turn used. And the two events
//! that the gateway itself tells a client: that something was refused, and that a turn was cut.
//!
//! Owns the reading. Never refuses an event of an unknown type: every text in it is shown.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::json;
use tidegate_core::{
    segment::{Origin, Segment, SegmentPath},
    usage::{Usage, UsageSource},
};

use super::limits;
use crate::{
    body::EditableBody,
    llm::{
        ReadError,
        node::Node,
        segments::{self, Found},
    },
    places::{self, Place},
};

/// What an event is to its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// A turn has begun.
    Begun,
    /// The next piece of a text.
    Piece,
    /// A piece of sound.
    Sound,
    /// Texts as they are, whole.
    Whole,
    /// A turn is over.
    Done,
    /// Something went wrong.
    Error,
    /// What was said was written down.
    Transcribed,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it, or as much as its bounds let.
    Complete,
    /// It was cut short, by the caller or by what he said next.
    Cancelled,
    /// The server failed.
    Failed,
}

/// One event of a server.
#[derive(Debug, Clone)]
pub struct ServerEvent {
    /// What it is to its turn.
    pub kind: ServerKind,
    /// The turn it belongs to, by the server's id.
    pub response: Option<String>,
    /// A tool call that begins in it, or is in it.
    pub tools: Vec<String>,
    /// What was used, where it says so: of a turn, or of what was written down.
    pub usage: Option<Usage>,
    /// How the turn ended, where it did.
    pub ended: Option<Ended>,
    /// The client's event that an error is about.
    pub about: Option<String>,
    /// The message of an error, or of a turn that failed.
    pub message: Option<String>,
    body: EditableBody,
    places: Vec<Place>,
    channel: u32,
    spoken: bool,
    closes: bool,
}

/// The last channel of pieces.
const LAST_CHANNEL: u32 = 0x7FFF_FFFF;

impl ServerEvent {
    /// Reads an event.
    ///
    /// # Errors
    /// Where it is no strict JSON or has no type.
    pub fn read(bytes: Bytes) -> Result<Self, ReadError> {
        let body =
            EditableBody::read(bytes, &limits()).map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        let root = Node::new(body.tape(), body.original(), body.tape().root());
        root.expect_object()?;
        let name = root.required_text("type")?;
        let (kind, spoken) = kind(&name);
        let text = |node: Option<Node<'_, '_>>| node.and_then(Node::text).map(Cow::into_owned);
        let answer = root.get("response");
        let (mut places, mut tools) = (Vec::new(), Vec::new());
        let origin = match kind {
            ServerKind::Transcribed => Origin::Prompt,
            _ if name.starts_with("conversation.item.input_audio_transcription.") => Origin::Prompt,
            _ => Origin::Completion,
        };
        match kind {
            ServerKind::Sound | ServerKind::Error => {}
            ServerKind::Piece => match root.get("delta").filter(|delta| delta.is_string()) {
                Some(delta) => places.push(Place::text(delta.id(), origin)),
                None => words(root, origin, &mut places),
            },
            _ => words(root, origin, &mut places),
        }
        places::sort(&mut places);
        let items = answer.and_then(|answer| answer.get("output")).into_iter().flat_map(Node::items);
        for item in root.get("item").into_iter().chain(items) {
            let is_call =
                item.get("type").is_some_and(|kind| kind.text_is("function_call") || kind.text_is("mcp_call"));
            tools.extend(text(item.get("name").filter(|_| is_call)));
        }
        let status = text(answer.and_then(|answer| answer.get("status")));
        let error = root.present("error").or_else(|| answer?.present("status_details")?.present("error"));
        Ok(Self {
            kind,
            response: text(root.get("response_id")).or_else(|| text(answer.and_then(|answer| answer.get("id")))),
            tools,
            usage: answer.unwrap_or(root).present("usage").and_then(usage),
            ended: (kind == ServerKind::Done).then_some(match status.as_deref() {
                Some("failed") => Ended::Failed,
                Some("cancelled") => Ended::Cancelled,
                _ => Ended::Complete,
            }),
            about: text(error.and_then(|error| error.get("event_id"))),
            message: text(error.and_then(|error| error.get("message"))),
            channel: channel(root, spoken),
            spoken,
            closes: name.ends_with(".done"),
            places,
            body: body.clone(),
        })
    }

    /// The channel that its pieces continue (see `Hold` of the guards).
    #[must_use]
    pub fn channel(&self) -> u32 {
        self.channel
    }

    /// Every channel that pieces may be on.
    #[must_use]
    pub fn channels() -> std::ops::RangeInclusive<u32> {
        0..=LAST_CHANNEL
    }

    /// Whether its texts are what a voice says at the same time, so that changing them changes nothing that is heard.
    #[must_use]
    pub fn is_spoken(&self) -> bool {
        self.spoken
    }

    /// Whether a text or a turn ends with it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.closes
    }

    /// Every text, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.places.iter().filter_map(|place| place.segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment; says whether it is one of this event's.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        places::find(&self.places, path).is_some_and(|place| place.replace(&mut self.body, text))
    }

    /// Puts another message in the place of an error's; says whether it did.
    pub fn replace_message(&mut self, text: &str) -> bool {
        let tape = self.body.tape();
        let root = Node::new(tape, self.body.original(), tape.root());
        let node = root.present("error").and_then(|error| error.get("message")).map(Node::id);
        node.is_some_and(|node| self.body.replace_text(node, text))
    }

    /// The event as it stands.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.current()
    }
}

/// What an event of this type is, and whether its texts are spoken.
fn kind(name: &str) -> (ServerKind, bool) {
    let spoken = name.contains("audio_transcript.");
    let kind = match name {
        "response.created" => ServerKind::Begun,
        "response.done" => ServerKind::Done,
        "error" => ServerKind::Error,
        "conversation.item.input_audio_transcription.completed" => ServerKind::Transcribed,
        "response.output_audio.delta" | "response.audio.delta" => ServerKind::Sound,
        _ if name.starts_with("response.") && name.ends_with(".delta") => ServerKind::Piece,
        _ => ServerKind::Whole,
    };
    (kind, spoken)
}

/// Which text a piece continues: fourteen bits of item, twelve of place, two of what it is.
fn channel(root: Node<'_, '_>, spoken: bool) -> u32 {
    let number = |name: &str, mask: u64| {
        let number = root.get(name).and_then(Node::as_u64).unwrap_or(0) & mask;
        u32::try_from(number).unwrap_or_default()
    };
    let arguments = root.get("call_id").is_some();
    number("output_index", 0x3FFF) << 14
        | number("content_index", 0xFFF) << 2
        | u32::from(arguments) << 1
        | u32::from(spoken)
}

/// Members of events that hold places, marks, sound and numbers, never words of a model.
const MARKS: [&str; 17] = [
    "event_id",
    "response_id",
    "previous_item_id",
    "conversation_id",
    "object",
    "status",
    "role",
    "voice",
    "model",
    "format",
    "output_audio_format",
    "input_audio_format",
    "audio",
    "usage",
    "output_modalities",
    "modalities",
    "rate_limits",
];

/// Every word of an event.
fn words(node: Node<'_, '_>, origin: Origin, out: &mut Vec<Place>) {
    for (name, value) in node.members() {
        let nested = matches!(value.kind(), crate::json::Kind::Object | crate::json::Kind::Array);
        if MARKS.contains(&&*name) && !(nested && matches!(&*name, "audio")) {
            continue;
        }
        walk(value, &name, origin, out);
    }
}

fn walk(node: Node<'_, '_>, name: &str, origin: Origin, out: &mut Vec<Place>) {
    match node.kind() {
        crate::json::Kind::Object => words(node, origin, out),
        crate::json::Kind::Array => node.items().for_each(|item| walk(item, name, origin, out)),
        _ if matches!(name, "type" | "id" | "item_id" | "call_id" | "name") => {}
        _ => segments::unknown(node, origin, &mut |found| {
            if let Some(place) = Found::place(found) {
                out.push(place);
            }
        }),
    }
}

/// What was used: of a turn by its tokens, sound, pictures and cached ones among them; of what was written down by its
/// tokens too.
fn usage(node: Node<'_, '_>) -> Option<Usage> {
    let count = |node: Option<Node<'_, '_>>, name: &str| node.and_then(|node| node.get(name)?.as_u64()).unwrap_or(0);
    let input = node.get("input_tokens")?.as_u64()?;
    let (details, out) = (node.get("input_token_details"), node.get("output_token_details"));
    let cached = count(details, "cached_tokens").min(input);
    let of_cached = details.and_then(|details| details.get("cached_tokens_details"));
    let (cached_audio, cached_image) = (count(of_cached, "audio_tokens"), count(of_cached, "image_tokens"));
    Some(Usage {
        input: input.saturating_sub(cached),
        cache_read: cached,
        output: count(Some(node), "output_tokens"),
        audio_input: count(details, "audio_tokens").saturating_sub(cached_audio),
        audio_cache_read: cached_audio,
        image_input: count(details, "image_tokens").saturating_sub(cached_image),
        audio_output: count(out, "audio_tokens"),
        source: UsageSource::Vendor,
        ..Usage::default()
    })
}

/// The event that tells a client that something was refused or went wrong. `about` is the client's own event.
#[must_use]
pub fn refusal_event(kind: &str, code: &str, message: &str, about: Option<&str>, id: &str) -> String {
    json!({
        "type": "error",
        "event_id": id,
        "error": {"type": kind, "code": code, "message": message, "param": null, "event_id": about},
    })
    .to_string()
}

/// The end of a turn that the gateway cut.
#[must_use]
pub fn failed_response(response: &str, code: &str, id: &str) -> String {
    json!({
        "type": "response.done",
        "event_id": id,
        "response": {
            "object": "realtime.response", "id": response, "status": "failed", "output": [],
            "status_details": {"type": "failed", "error": {"type": "invalid_request_error", "code": code}},
        },
    })
    .to_string()
}
