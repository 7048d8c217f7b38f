//! Stream events into events of a Messages stream.
//!
//! Owns the message around the blocks, which never interleave in this API (see `turns`). Never ends a stream well unless
//! told so. Called on the translated lane.

use tidegate_core::usage::Usage;

use super::super::{answer, wire};
use crate::{
    llm::{
        error::{ErrorView, StreamError},
        ir::{StopReason, StreamEvent},
        opaque,
        translate::{StreamEncoder, TranslateContext},
        turns::{Blocks, Kind, Open, Turns},
        write::JsonWriter,
    },
    sse::Frame,
};

/// Writes one stream.
pub(in super::super) struct Encoder {
    id: String,
    call_id: String,
    model: String,
    scope: Option<String>,
    started: bool,
    usage: Usage,
    stop: Option<(StopReason, Option<String>)>,
    turns: Turns<Writer>,
}

/// Writes its blocks.
struct Writer;

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
            turns: Turns::new(Writer),
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

    fn redacted(&mut self, data: &str, out: &mut Vec<Frame>) {
        let index = self.turns.whole(out);
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

impl Blocks for Writer {
    fn open(&self, index: u64, kind: &Kind, out: &mut Vec<Frame>) {
        out.push(frame("content_block_start", |json| {
            json.number_member("index", index);
            json.object_member("content_block", |json| match kind {
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
    }

    fn say(&self, index: u64, kind: &Kind, text: &str, out: &mut Vec<Frame>) {
        let (name, member) = match kind {
            Kind::Text => ("text_delta", "text"),
            Kind::Thinking => ("thinking_delta", "thinking"),
            Kind::Tool { .. } => ("input_json_delta", "partial_json"),
        };
        out.push(frame("content_block_delta", |json| {
            json.number_member("index", index);
            json.object_member("delta", |json| {
                json.string_member("type", name);
                json.string_member(member, text);
            });
        }));
    }

    fn sign(&self, index: u64, signature: &str, out: &mut Vec<Frame>) {
        out.push(frame("content_block_delta", |json| {
            json.number_member("index", index);
            json.object_member("delta", |json| {
                json.string_member("type", "signature_delta");
                json.string_member("signature", signature);
            });
        }));
    }

    fn close(&self, open: &Open, out: &mut Vec<Frame>) {
        out.push(frame("content_block_stop", |json| json.number_member("index", open.index)));
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
                self.turns.text(slot, Kind::Text, &text, out)?;
            }
            StreamEvent::Reasoning { slot, text } => self.turns.text(slot, Kind::Thinking, &text, out)?,
            StreamEvent::Signature { slot, signature } => {
                self.turns.sign(slot, opaque::scoped(&signature, self.scope.as_deref()).into_owned(), out)?;
            }
            StreamEvent::Redacted { data, .. } => {
                let data = opaque::scoped(&data, self.scope.as_deref());
                self.redacted(&data, out);
            }
            StreamEvent::ToolStart { slot, id, name } => self.turns.begin(slot, Kind::Tool { id, name }, out)?,
            StreamEvent::ToolArguments { slot, fragment } => {
                let kind = Kind::Tool { id: String::new(), name: String::new() };
                self.turns.text(slot, kind, &fragment, out)?;
            }
            StreamEvent::BlockEnd { slot } => self.turns.end(slot, out),
            StreamEvent::Stop { reason, sequence } => {
                self.turns.end_all(out);
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
