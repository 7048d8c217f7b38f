//! Stream events into chunks.
//!
//! Owns the state of the stream that is written: the calls' indices, and signed reasoning until its block is whole.
//! Never ends a stream well unless told so. Called on the translated lane.

use std::collections::BTreeMap;

use tidegate_core::usage::Usage;

use super::super::{
    answer::{write_reasoning, write_redacted},
    wire,
    wire::{NATIVE_REASON, REASONING_BLOCKS, REASONING_TEXT},
};
use crate::{
    llm::{
        error::{ErrorView, StreamError},
        ir::{StopReason, StreamEvent},
        translate::{HELD_BYTES, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

struct Tool {
    index: u64,
    has_arguments: bool,
}

#[derive(Default)]
struct Reasoning {
    text: String,
    signature: String,
}

/// Writes one stream.
pub(in super::super) struct Encoder {
    id: String,
    call_id: String,
    model: String,
    scope: Option<String>,
    created: u64,
    wants_usage: bool,
    started: bool,
    usage: Option<Usage>,
    tools: BTreeMap<u32, Tool>,
    reasoning: BTreeMap<u32, Reasoning>,
    held: usize,
}

impl Encoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            id: super::super::answer::id("", context),
            call_id: context.call_id.to_owned(),
            model: context.model.to_owned(),
            scope: context.reasoning_scope.map(str::to_owned),
            created: context.created,
            wants_usage: context.client_wants_usage,
            started: false,
            usage: None,
            tools: BTreeMap::new(),
            reasoning: BTreeMap::new(),
            held: 0,
        }
    }

    fn chunk(&self, choices: impl FnOnce(&mut JsonWriter), usage: Option<&Usage>) -> Frame {
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.string_member("id", &self.id);
            json.string_member("object", "chat.completion.chunk");
            json.number_member("created", self.created);
            json.string_member("model", &self.model);
            json.array_member("choices", choices);
            match usage {
                Some(usage) => wire::write_usage(json, usage),
                None if self.wants_usage => json.raw_member("usage", "null"),
                None => {}
            }
        });
        Frame::build(None, &json.into_bytes())
    }

    fn delta(&self, members: impl FnOnce(&mut JsonWriter)) -> Frame {
        self.chunk(
            |json| {
                json.object(|json| {
                    json.number_member("index", 0);
                    json.object_member("delta", members);
                    json.raw_member("finish_reason", "null");
                });
            },
            None,
        )
    }

    fn start(&mut self, out: &mut Vec<Frame>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(self.delta(|json| {
                json.string_member("role", "assistant");
                json.string_member("content", "");
            }));
        }
    }

    fn text(&self, name: &str, text: &str) -> Frame {
        self.delta(|json| json.string_member(name, text))
    }

    fn hold(&mut self, slot: u32, add: impl FnOnce(&mut Reasoning), bytes: usize) -> Result<(), StreamError> {
        self.held = self.held.saturating_add(bytes);
        if self.held > HELD_BYTES {
            return Err(StreamError::TooLarge);
        }
        add(self.reasoning.entry(slot).or_default());
        Ok(())
    }

    fn end_reasoning(&mut self, slot: u32, out: &mut Vec<Frame>) {
        let Some(block) = self.reasoning.remove(&slot) else { return };
        if !block.signature.is_empty() {
            out.push(self.delta(|json| {
                json.array_member(REASONING_BLOCKS, |json| {
                    write_reasoning(&block.text, Some(&block.signature), self.scope.as_deref(), json);
                });
            }));
        }
    }

    fn tool_delta(&self, index: u64, members: impl FnOnce(&mut JsonWriter)) -> Frame {
        self.delta(|json| {
            json.array_member("tool_calls", |json| {
                json.object(|json| {
                    json.number_member("index", index);
                    members(json);
                });
            });
        })
    }

    fn arguments(&self, index: u64, fragment: &str) -> Frame {
        self.tool_delta(index, |json| {
            json.object_member("function", |json| json.string_member("arguments", fragment));
        })
    }

    fn stop(&mut self, reason: &StopReason, out: &mut Vec<Frame>) {
        for slot in self.reasoning.keys().copied().collect::<Vec<_>>() {
            self.end_reasoning(slot, out);
        }
        // A call that the model was writing when it ran out of tokens stays as incomplete as it is.
        if *reason != StopReason::MaxTokens {
            for tool in self.tools.values().filter(|tool| !tool.has_arguments) {
                out.push(self.arguments(tool.index, "{}"));
            }
        }
        out.push(self.chunk(
            |json| {
                json.object(|json| {
                    json.number_member("index", 0);
                    json.object_member("delta", |_| {});
                    json.string_member("finish_reason", wire::stop_name(reason));
                    if let Some(native) = wire::native_reason(reason) {
                        json.string_member(NATIVE_REASON, native);
                    }
                });
            },
            None,
        ));
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: StreamEvent, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        match &event {
            StreamEvent::Ping | StreamEvent::Error { .. } => {}
            StreamEvent::Start { id, created, usage } => {
                if !id.is_empty() {
                    self.id.clone_from(id);
                }
                self.created = created.unwrap_or(self.created);
                self.usage = *usage;
                self.start(out);
            }
            _ => self.start(out),
        }
        match event {
            StreamEvent::Start { .. } => {}
            StreamEvent::Text { text, .. } => out.push(self.text("content", &text)),
            StreamEvent::Refusal { text, .. } => out.push(self.text("refusal", &text)),
            StreamEvent::Reasoning { slot, text } => {
                out.push(self.text(REASONING_TEXT, &text));
                self.hold(slot, |block| block.text.push_str(&text), text.len())?;
            }
            StreamEvent::Signature { slot, signature } => {
                self.hold(slot, |block| block.signature.push_str(&signature), signature.len())?;
            }
            StreamEvent::Redacted { data, .. } => out.push(self.delta(|json| {
                json.array_member(REASONING_BLOCKS, |json| write_redacted(&data, self.scope.as_deref(), json));
            })),
            StreamEvent::ToolStart { slot, id, name } => {
                let index = self.tools.len() as u64;
                self.tools.insert(slot, Tool { index, has_arguments: false });
                out.push(self.tool_delta(index, |json| {
                    json.string_member("id", &id);
                    json.string_member("type", "function");
                    json.object_member("function", |json| {
                        json.string_member("name", &name);
                        json.string_member("arguments", "");
                    });
                }));
            }
            StreamEvent::ToolArguments { slot, fragment } => {
                if let Some(tool) = self.tools.get_mut(&slot) {
                    tool.has_arguments = true;
                    let index = tool.index;
                    out.push(self.arguments(index, &fragment));
                }
            }
            StreamEvent::BlockEnd { slot } => self.end_reasoning(slot, out),
            StreamEvent::Stop { reason, .. } => self.stop(&reason, out),
            StreamEvent::Usage(usage) => self.usage = Some(usage),
            StreamEvent::End => {
                if let Some(usage) = self.usage.filter(|_| self.wants_usage) {
                    out.push(self.chunk(|_| {}, Some(&usage)));
                }
                out.push(Frame::build(None, b"[DONE]"));
            }
            StreamEvent::Error { kind, message } => {
                let view = ErrorView {
                    status: kind.status(),
                    kind,
                    message: &message,
                    code: "upstream_error",
                    param: None,
                    call_id: &self.call_id,
                };
                out.push(Frame::build(None, &wire::error_json(&view)));
            }
            StreamEvent::Ping => out.push(Frame::comment("ping")),
        }
        Ok(())
    }
}
