//! Stream events into events of a Messages stream.
//!
//! Owns the one block that is open. Blocks of this API never interleave: while a tool's block is open, what belongs to
//! others waits, within bounds. Never ends a stream well unless told so. Called on the translated lane.

use tidegate_core::usage::Usage;

use super::super::{answer, wire};
use crate::{
    llm::{
        error::{ErrorView, StreamError},
        ir::{StopReason, StreamEvent},
        opaque,
        translate::{HELD_BYTES, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

/// The most blocks that wait.
const MOST_WAITING: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Tool { id: String, name: String },
}

struct Waiting {
    slot: u32,
    kind: Kind,
    text: String,
    ended: bool,
}

struct Open {
    slot: u32,
    index: u64,
    kind: Kind,
}

/// Writes one stream.
pub(in super::super) struct Encoder {
    id: String,
    call_id: String,
    model: String,
    scope: Option<String>,
    started: bool,
    usage: Usage,
    stop: Option<(StopReason, Option<String>)>,
    next: u64,
    open: Option<Open>,
    waiting: Vec<Waiting>,
    held: usize,
}

impl Encoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            id: answer::id("", context),
            call_id: context.call_id.to_owned(),
            model: context.model.to_owned(),
            scope: context.reasoning_scope.map(str::to_owned),
            started: false,
            usage: Usage::default(),
            stop: None,
            next: 0,
            open: None,
            waiting: Vec::new(),
            held: 0,
        }
    }

    fn start(&mut self, out: &mut Vec<Frame>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        out.push(frame("message_start", |json| {
            json.object_member("message", |json| {
                json.string_member("id", &self.id);
                json.string_member("type", "message");
                json.string_member("role", "assistant");
                json.string_member("model", &self.model);
                json.array_member("content", |_| {});
                json.raw_member("stop_reason", "null");
                json.raw_member("stop_sequence", "null");
                wire::write_usage(json, &self.usage);
            });
        }));
    }

    fn open(&mut self, slot: u32, kind: Kind, out: &mut Vec<Frame>) {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        out.push(frame("content_block_start", |json| {
            json.number_member("index", index);
            json.object_member("content_block", |json| match &kind {
                Kind::Text => {
                    json.string_member("type", "text");
                    json.string_member("text", "");
                }
                Kind::Thinking => {
                    json.string_member("type", "thinking");
                    json.string_member("thinking", "");
                    json.string_member("signature", "");
                }
                Kind::Tool { id, name } => {
                    json.string_member("type", "tool_use");
                    json.string_member("id", id);
                    json.string_member("name", name);
                    json.raw_member("input", "{}");
                }
            });
        }));
        self.open = Some(Open { slot, index, kind });
    }

    fn close(&mut self, out: &mut Vec<Frame>) {
        if let Some(open) = self.open.take() {
            out.push(frame("content_block_stop", |json| json.number_member("index", open.index)));
        }
    }

    fn delta(&self, index: u64, kind: &Kind, text: &str) -> Frame {
        let (name, member) = match kind {
            Kind::Text => ("text_delta", "text"),
            Kind::Thinking => ("thinking_delta", "thinking"),
            Kind::Tool { .. } => ("input_json_delta", "partial_json"),
        };
        frame("content_block_delta", |json| {
            json.number_member("index", index);
            json.object_member("delta", |json| {
                json.string_member("type", name);
                json.string_member(member, text);
            });
        })
    }

    /// Text for a block: goes out where its block is open or can be opened, waits behind an open tool else.
    fn text(&mut self, slot: u32, kind: Kind, text: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if let Some(open) = self.open.as_ref().filter(|open| open.slot == slot) {
            out.push(self.delta(open.index, &open.kind, text));
            return Ok(());
        }
        if let Some(waiting) = self.waiting.iter_mut().rfind(|waiting| waiting.slot == slot && !waiting.ended) {
            waiting.text.push_str(text);
            self.held = self.held.saturating_add(text.len());
            return if self.held > HELD_BYTES { Err(StreamError::TooLarge) } else { Ok(()) };
        }
        if matches!(kind, Kind::Tool { .. }) {
            return Err(StreamError::Malformed("arguments of a tool call that is over".into()));
        }
        self.begin(slot, kind, out)?;
        self.text(slot, Kind::Text, text, out)
    }

    /// Opens a block, or lets it wait.
    fn begin(&mut self, slot: u32, kind: Kind, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if self.open.as_ref().is_some_and(|open| matches!(open.kind, Kind::Tool { .. })) {
            if self.waiting.len() >= MOST_WAITING {
                return Err(StreamError::TooLarge);
            }
            self.waiting.push(Waiting { slot, kind, text: String::new(), ended: false });
            return Ok(());
        }
        self.close(out);
        self.open(slot, kind, out);
        Ok(())
    }

    fn end_block(&mut self, slot: u32, out: &mut Vec<Frame>) {
        if self.open.as_ref().is_some_and(|open| open.slot == slot) {
            self.close(out);
            self.release(false, out);
        } else if let Some(waiting) = self.waiting.iter_mut().rfind(|waiting| waiting.slot == slot) {
            waiting.ended = true;
        }
    }

    /// Lets blocks that waited out, in order: all of them, or up to the first that is still growing.
    fn release(&mut self, all: bool, out: &mut Vec<Frame>) {
        let mut rest = std::mem::take(&mut self.waiting).into_iter();
        for block in rest.by_ref() {
            self.open(block.slot, block.kind, out);
            self.held = self.held.saturating_sub(block.text.len());
            if let Some(open) = self.open.as_ref().filter(|_| !block.text.is_empty()) {
                out.push(self.delta(open.index, &open.kind, &block.text));
            }
            if !all && !block.ended {
                break;
            }
            self.close(out);
        }
        self.waiting = rest.collect();
    }

    fn signature(&mut self, slot: u32, signature: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if self.open.as_ref().is_none_or(|open| open.slot != slot) {
            self.begin(slot, Kind::Thinking, out)?;
        }
        if let Some(open) = self.open.as_ref().filter(|open| open.slot == slot) {
            out.push(frame("content_block_delta", |json| {
                json.number_member("index", open.index);
                json.object_member("delta", |json| {
                    json.string_member("type", "signature_delta");
                    json.string_member("signature", &opaque::scoped(signature, self.scope.as_deref()));
                });
            }));
        }
        Ok(())
    }

    fn redacted(&mut self, data: &str, out: &mut Vec<Frame>) {
        self.close(out);
        let index = self.next;
        self.next = self.next.saturating_add(1);
        out.push(frame("content_block_start", |json| {
            json.number_member("index", index);
            json.object_member("content_block", |json| {
                json.string_member("type", "redacted_thinking");
                json.string_member("data", data);
            });
        }));
        out.push(frame("content_block_stop", |json| json.number_member("index", index)));
    }

    fn end(&mut self, out: &mut Vec<Frame>) {
        let (reason, sequence) = self.stop.take().unwrap_or((StopReason::EndTurn, None));
        out.push(frame("message_delta", |json| {
            json.object_member("delta", |json| {
                json.string_member("stop_reason", wire::stop_name(&reason));
                json.nullable_member("stop_sequence", sequence.as_deref());
            });
            wire::write_usage(json, &self.usage);
        }));
        out.push(frame("message_stop", |_| {}));
    }
}

/// An event of this name and type.
fn frame(name: &str, members: impl FnOnce(&mut JsonWriter)) -> Frame {
    let mut json = JsonWriter::with_capacity(192);
    json.object(|json| {
        json.string_member("type", name);
        members(json);
    });
    Frame::build(Some(name), &json.into_bytes())
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: StreamEvent, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        match &event {
            StreamEvent::Ping | StreamEvent::Error { .. } => {}
            StreamEvent::Start { id, usage, .. } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                self.usage = usage.unwrap_or(self.usage);
                self.start(out);
            }
            _ => self.start(out),
        }
        match event {
            StreamEvent::Start { .. } => {}
            StreamEvent::Text { slot, text } | StreamEvent::Refusal { slot, text } => {
                self.text(slot, Kind::Text, &text, out)?;
            }
            StreamEvent::Reasoning { slot, text } => self.text(slot, Kind::Thinking, &text, out)?,
            StreamEvent::Signature { slot, signature } => self.signature(slot, &signature, out)?,
            StreamEvent::Redacted { data, .. } => {
                let data = opaque::scoped(&data, self.scope.as_deref());
                self.redacted(&data, out);
            }
            StreamEvent::ToolStart { slot, id, name } => self.begin(slot, Kind::Tool { id, name }, out)?,
            StreamEvent::ToolArguments { slot, fragment } => {
                let kind = Kind::Tool { id: String::new(), name: String::new() };
                self.text(slot, kind, &fragment, out)?;
            }
            StreamEvent::BlockEnd { slot } => self.end_block(slot, out),
            StreamEvent::Stop { reason, sequence } => {
                self.close(out);
                self.release(true, out);
                self.stop = Some((reason, sequence));
            }
            StreamEvent::Usage(usage) => self.usage = usage,
            StreamEvent::End => self.end(out),
            StreamEvent::Error { kind, message } => {
                let view = ErrorView {
                    status: kind.status(),
                    kind,
                    message: &message,
                    code: "upstream_error",
                    param: None,
                    call_id: &self.call_id,
                };
                out.push(Frame::build(Some("error"), &wire::error_json(&view)));
            }
            StreamEvent::Ping => out.push(Frame::build(Some("ping"), br#"{"type":"ping"}"#)),
        }
        Ok(())
    }
}
