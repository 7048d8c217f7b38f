//! Stream events into events of a Converse stream.
//!
//! Owns the message around the blocks, which follow each other in this API (see `turns`). Text and reasoning begin without
//! an event of their own. Never ends a stream well unless told so. Called on the translated lane.

use tidegate_core::usage::Usage;

use super::super::{answer, blocks, wire};
use crate::{
    eventstream,
    llm::{
        error::StreamError,
        ir::{StopReason, StreamEvent},
        names, opaque,
        translate::{StreamEncoder, TranslateContext},
        turns::{Blocks, Kind, Open, Turns},
        write::JsonWriter,
    },
    sse::Frame,
};

/// Writes one stream.
pub(in super::super) struct Encoder {
    scope: Option<String>,
    started: bool,
    usage: Usage,
    turns: Turns<Writer>,
    stopped: bool,
}

/// Writes its blocks.
struct Writer {
    call_id: String,
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

impl Blocks for Writer {
    fn open(&self, index: u64, kind: &Kind, out: &mut Vec<Frame>) {
        let Kind::Tool { id, name } = kind else { return };
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

    fn say(&self, index: u64, kind: &Kind, text: &str, out: &mut Vec<Frame>) {
        out.push(delta(index, |json| match kind {
            Kind::Text => json.string_member("text", text),
            Kind::Thinking => json.object_member("reasoningContent", |json| json.string_member("text", text)),
            Kind::Tool { .. } => json.object_member("toolUse", |json| json.string_member("input", text)),
        }));
    }

    fn sign(&self, index: u64, signature: &str, out: &mut Vec<Frame>) {
        out.push(delta(index, |json| {
            json.object_member("reasoningContent", |json| json.string_member("signature", signature));
        }));
    }

    fn close(&self, open: &Open, out: &mut Vec<Frame>) {
        // Clients parse what the fragments make together, and nothing is no JSON.
        if matches!(open.kind, Kind::Tool { .. }) && !open.said {
            self.say(open.index, &open.kind, "{}", out);
        }
        out.push(frame("contentBlockStop", |json| json.number_member("contentBlockIndex", open.index)));
    }
}

impl Encoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            scope: context.reasoning_scope.map(ToOwned::to_owned),
            started: false,
            usage: Usage::default(),
            turns: Turns::new(Writer { call_id: context.call_id.to_owned() }),
            stopped: false,
        }
    }

    fn start(&mut self, out: &mut Vec<Frame>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(frame("messageStart", |json| json.string_member("role", "assistant")));
        }
    }

    fn redacted(&mut self, data: &str, out: &mut Vec<Frame>) {
        let index = self.turns.whole(out);
        let blob = blocks::told_blob(data, self.scope.as_deref());
        out.push(delta(index, |json| {
            json.object_member("reasoningContent", |json| json.string_member("redactedContent", &blob));
        }));
        out.push(frame("contentBlockStop", |json| json.number_member("contentBlockIndex", index)));
    }

    fn stop(&mut self, reason: &StopReason, out: &mut Vec<Frame>) {
        self.turns.end_all(out);
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
                self.turns.text(slot, Kind::Text, &text, out)?;
            }
            StreamEvent::Reasoning { slot, text } => self.turns.text(slot, Kind::Thinking, &text, out)?,
            StreamEvent::Signature { slot, signature } => {
                self.turns.sign(slot, opaque::scoped(&signature, self.scope.as_deref()).into_owned(), out)?;
            }
            StreamEvent::Redacted { data, .. } => self.redacted(&data, out),
            StreamEvent::ToolStart { slot, id, name } => self.turns.begin(slot, Kind::Tool { id, name }, out)?,
            StreamEvent::ToolArguments { slot, fragment } => {
                let kind = Kind::Tool { id: String::new(), name: String::new() };
                self.turns.text(slot, kind, &fragment, out)?;
            }
            StreamEvent::BlockEnd { slot } => self.turns.end(slot, out),
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
