//! Events of a Messages stream into stream events.
//!
//! Owns which blocks are open. Never waits: each event becomes its own at once. Called on the translated lane.

use std::{borrow::Cow, collections::HashMap};

use tidegate_core::usage::Usage;

use super::{super::wire, index_of, type_of};
use crate::llm::{
    dialect::malformed,
    error::StreamError,
    ir::StreamEvent,
    node::{Document, Node},
    translate::{StreamDecoder, TranslateContext},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Tool,
    /// A block that only its own vendor knows.
    Foreign,
}

/// The most blocks that may be open; the API has one at a time.
const MOST_OPEN: usize = 64;

/// Reads one stream.
pub(in super::super) struct Decoder {
    open: HashMap<u32, Kind>,
    usage: Usage,
    stopped: bool,
    ended: bool,
}

impl Decoder {
    pub(in super::super) fn new(_: &TranslateContext<'_>) -> Self {
        Self { open: HashMap::new(), usage: Usage::default(), stopped: false, ended: false }
    }

    fn start_block(&mut self, root: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let slot = slot_of(root);
        let block = root.get("content_block").ok_or(missing("content_block"))?;
        if self.open.len() >= MOST_OPEN {
            return Err(StreamError::TooLarge);
        }
        let text = |name| block.get(name).and_then(Node::text).map(Cow::into_owned).unwrap_or_default();
        let kind = match &*type_of(block) {
            "text" => {
                push_text(text("text"), out, |text| StreamEvent::Text { slot, text });
                Kind::Text
            }
            "thinking" => {
                push_text(text("thinking"), out, |text| StreamEvent::Reasoning { slot, text });
                push_text(text("signature"), out, |signature| StreamEvent::Signature { slot, signature });
                Kind::Thinking
            }
            "redacted_thinking" => {
                out.push(StreamEvent::Redacted { slot, data: text("data") });
                Kind::Thinking
            }
            "tool_use" => {
                out.push(StreamEvent::ToolStart { slot, id: text("id"), name: text("name") });
                // Servers that do not stream arguments put them here.
                if let Some(input) = block.get("input").filter(|input| input.members().next().is_some()) {
                    out.push(StreamEvent::ToolArguments { slot, fragment: input.raw().to_owned() });
                }
                Kind::Tool
            }
            _ => Kind::Foreign,
        };
        self.open.insert(slot, kind);
        Ok(())
    }

    fn delta(&self, root: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let slot = slot_of(root);
        let delta = root.get("delta").ok_or(missing("delta"))?;
        let kind =
            *self.open.get(&slot).ok_or(StreamError::Malformed("a delta for a block that is not open".into()))?;
        let text = |name| delta.get(name).and_then(Node::text).map(Cow::into_owned).unwrap_or_default();
        match (&*type_of(delta), kind) {
            ("text_delta", Kind::Text) => push_text(text("text"), out, |text| StreamEvent::Text { slot, text }),
            ("thinking_delta", Kind::Thinking) => {
                push_text(text("thinking"), out, |text| StreamEvent::Reasoning { slot, text });
            }
            ("signature_delta", Kind::Thinking) => {
                push_text(text("signature"), out, |signature| StreamEvent::Signature { slot, signature });
            }
            ("input_json_delta", Kind::Tool) => {
                push_text(text("partial_json"), out, |fragment| StreamEvent::ToolArguments { slot, fragment });
            }
            _ => {}
        }
        Ok(())
    }
}

fn slot_of(root: Node<'_, '_>) -> u32 {
    u32::try_from(index_of(root)).unwrap_or(u32::MAX)
}

fn missing(name: &str) -> StreamError {
    StreamError::Malformed(format!("`{name}` is missing").into())
}

fn push_text(text: String, out: &mut Vec<StreamEvent>, event: impl FnOnce(String) -> StreamEvent) {
    if !text.is_empty() {
        out.push(event(text));
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let document = Document::parse(data).map_err(|error| malformed(&error))?;
        let root = document.root();
        match &*type_of(root) {
            "message_start" => {
                let message = root.get("message").ok_or(missing("message"))?;
                if let Some(usage) = message.present("usage") {
                    wire::take_usage(usage, &mut self.usage);
                }
                let id = message.get("id").and_then(Node::text).unwrap_or_default().into_owned();
                out.push(StreamEvent::Start { id, created: None, usage: Some(self.usage) });
            }
            "content_block_start" => self.start_block(root, out)?,
            "content_block_delta" => self.delta(root, out)?,
            "content_block_stop" => {
                let slot = slot_of(root);
                if self.open.remove(&slot).is_some() {
                    out.push(StreamEvent::BlockEnd { slot });
                }
            }
            "message_delta" => {
                if let Some(usage) = root.present("usage") {
                    wire::take_usage(usage, &mut self.usage);
                    out.push(StreamEvent::Usage(self.usage));
                }
                let delta = root.get("delta");
                let text = |name| delta.and_then(|delta| delta.present(name)).and_then(Node::text);
                if let Some(reason) = text("stop_reason").filter(|_| !self.stopped) {
                    self.stopped = true;
                    let sequence = text("stop_sequence").map(Cow::into_owned);
                    out.push(StreamEvent::Stop { reason: wire::stop_reason(&reason), sequence });
                }
            }
            "message_stop" if self.stopped => {
                self.ended = true;
                out.push(StreamEvent::End);
            }
            "message_stop" => return Err(StreamError::Truncated),
            "error" => {
                self.ended = true;
                let error = wire::error_of(root, 500).ok_or(missing("error"))?;
                out.push(StreamEvent::Error { kind: error.kind, message: error.message });
            }
            "ping" => out.push(StreamEvent::Ping),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if self.ended { Ok(()) } else { Err(StreamError::Truncated) }
    }
}
