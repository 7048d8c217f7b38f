//! Stream events into events of a Converse stream.
//!
//! Owns the one block that is open. Blocks of this API follow each other: while a tool's block is open, what belongs to
//! others waits, within bounds. Text and reasoning begin without an event of their own. Never ends a stream well unless
//! told so. Called on the translated lane.

use tidegate_core::usage::Usage;

use super::super::{answer, blocks, wire};
use crate::{
    eventstream,
    llm::{
        error::StreamError,
        ir::{StopReason, StreamEvent},
        names,
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
    /// Whether anything was said in it.
    said: bool,
}

/// Writes one stream.
pub(in super::super) struct Encoder {
    call_id: String,
    scope: Option<String>,
    started: bool,
    usage: Usage,
    next: u64,
    open: Option<Open>,
    waiting: Vec<Waiting>,
    held: usize,
    stopped: bool,
}

/// An event of this type.
fn frame(name: &str, members: impl FnOnce(&mut JsonWriter)) -> Frame {
    let mut json = JsonWriter::with_capacity(128);
    json.object(members);
    eventstream::event(name, &json.into_bytes())
}

fn delta(index: u64, members: impl FnOnce(&mut JsonWriter)) -> Frame {
    frame("contentBlockDelta", |json| {
        json.object_member("delta", members);
        json.number_member("contentBlockIndex", index);
    })
}

fn said(index: u64, kind: &Kind, text: &str) -> Frame {
    delta(index, |json| match kind {
        Kind::Text => json.string_member("text", text),
        Kind::Thinking => json.object_member("reasoningContent", |json| json.string_member("text", text)),
        Kind::Tool { .. } => json.object_member("toolUse", |json| json.string_member("input", text)),
    })
}

impl Encoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            call_id: context.call_id.to_owned(),
            scope: context.reasoning_scope.map(ToOwned::to_owned),
            started: false,
            usage: Usage::default(),
            next: 0,
            open: None,
            waiting: Vec::new(),
            held: 0,
            stopped: false,
        }
    }

    fn start(&mut self, out: &mut Vec<Frame>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(frame("messageStart", |json| json.string_member("role", "assistant")));
        }
    }

    fn open(&mut self, slot: u32, kind: Kind, out: &mut Vec<Frame>) {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        if let Kind::Tool { id, name } = &kind {
            let minted = format!("{}_{index}", self.call_id);
            let id = names::fitting(if id.is_empty() { &minted } else { id }, "call");
            out.push(frame("contentBlockStart", |json| {
                json.object_member("start", |json| {
                    json.object_member("toolUse", |json| {
                        json.string_member("toolUseId", &id);
                        json.string_member("name", name);
                    });
                });
                json.number_member("contentBlockIndex", index);
            }));
        }
        self.open = Some(Open { slot, index, kind, said: false });
    }

    fn close(&mut self, out: &mut Vec<Frame>) {
        let Some(open) = self.open.take() else { return };
        // Clients parse what the fragments make together, and nothing is no JSON.
        if matches!(open.kind, Kind::Tool { .. }) && !open.said {
            out.push(said(open.index, &open.kind, "{}"));
        }
        out.push(frame("contentBlockStop", |json| json.number_member("contentBlockIndex", open.index)));
    }

    fn say(&mut self, text: &str, out: &mut Vec<Frame>) {
        if let Some(open) = self.open.as_mut().filter(|_| !text.is_empty()) {
            open.said = true;
            out.push(said(open.index, &open.kind, text));
        }
    }

    /// Text for a block: goes out where its block is open or can be opened, waits behind an open tool else.
    fn text(&mut self, slot: u32, kind: Kind, text: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if self.open.as_ref().is_some_and(|open| open.slot == slot) {
            self.say(text, out);
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
            self.say(&block.text, out);
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
        let told = blocks::told_signature(signature, self.scope.as_deref());
        if let Some(open) = self.open.as_ref().filter(|open| open.slot == slot) {
            out.push(delta(open.index, |json| {
                json.object_member("reasoningContent", |json| json.string_member("signature", &told));
            }));
        }
        Ok(())
    }

    fn redacted(&mut self, data: &str, out: &mut Vec<Frame>) {
        self.close(out);
        let index = self.next;
        self.next = self.next.saturating_add(1);
        let blob = blocks::told_blob(data, self.scope.as_deref());
        out.push(delta(index, |json| {
            json.object_member("reasoningContent", |json| json.string_member("redactedContent", &blob));
        }));
        out.push(frame("contentBlockStop", |json| json.number_member("contentBlockIndex", index)));
    }

    fn stop(&mut self, reason: &StopReason, out: &mut Vec<Frame>) {
        self.close(out);
        self.release(true, out);
        if !std::mem::replace(&mut self.stopped, true) {
            out.push(frame("messageStop", |json| json.string_member("stopReason", wire::stop_name(reason))));
        }
    }

    fn end(&mut self, out: &mut Vec<Frame>) {
        self.stop(&StopReason::EndTurn, out);
        out.push(frame("metadata", |json| {
            wire::write_usage(json, &self.usage);
            answer::metrics(json);
        }));
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: StreamEvent, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if !matches!(event, StreamEvent::Ping | StreamEvent::Error { .. }) {
            self.start(out);
        }
        match event {
            StreamEvent::Start { usage, .. } => self.usage = usage.unwrap_or(self.usage),
            StreamEvent::Text { slot, text } | StreamEvent::Refusal { slot, text } => {
                self.text(slot, Kind::Text, &text, out)?;
            }
            StreamEvent::Reasoning { slot, text } => self.text(slot, Kind::Thinking, &text, out)?,
            StreamEvent::Signature { slot, signature } => self.signature(slot, &signature, out)?,
            StreamEvent::Redacted { data, .. } => self.redacted(&data, out),
            StreamEvent::ToolStart { slot, id, name } => self.begin(slot, Kind::Tool { id, name }, out)?,
            StreamEvent::ToolArguments { slot, fragment } => {
                let kind = Kind::Tool { id: String::new(), name: String::new() };
                self.text(slot, kind, &fragment, out)?;
            }
            StreamEvent::BlockEnd { slot } => self.end_block(slot, out),
            StreamEvent::Stop { reason, .. } => self.stop(&reason, out),
            StreamEvent::Usage(usage) => self.usage = usage,
            StreamEvent::End => self.end(out),
            StreamEvent::Error { kind, message } => {
                out.push(eventstream::exception(wire::exception_name(kind), &wire::error_json(&message)));
            }
            StreamEvent::Ping => {}
        }
        Ok(())
    }
}
