//! Chunks into stream events.
//!
//! Owns which deltas belong together. Never waits: each chunk becomes its events at once. Called on the translated
//! lane.

use super::{super::wire, index_of};
use crate::llm::{
    dialect::malformed,
    error::StreamError,
    ir::{StopReason, StreamEvent},
    node::{Document, Node},
    translate::{StreamDecoder, TranslateContext},
};

const TEXT_SLOT: u32 = 0;
const REFUSAL_SLOT: u32 = 1;
const REASONING_SLOT: u32 = 2;
const FIRST_TOOL_SLOT: u32 = 16;
/// The most tool calls of one answer.
const MOST_TOOLS: usize = 256;

struct OpenTool {
    index: u64,
    id: String,
}

/// Reads one stream.
pub(in super::super) struct Decoder {
    call_id: String,
    started: bool,
    refused: bool,
    stopped: bool,
    ended: bool,
    tools: Vec<OpenTool>,
}

impl Decoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            call_id: context.call_id.to_owned(),
            started: false,
            refused: false,
            stopped: false,
            ended: false,
            tools: Vec::new(),
        }
    }

    fn choice(&mut self, choice: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if let Some(delta) = choice.present("delta") {
            let text = |name| {
                let text = delta.get(name).and_then(Node::text);
                text.filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
            };
            if let Some(text) = text(wire::REASONING_TEXT).or_else(|| text("reasoning")) {
                out.push(StreamEvent::Reasoning { slot: REASONING_SLOT, text });
            }
            if let Some(text) = text("content") {
                out.push(StreamEvent::Text { slot: TEXT_SLOT, text });
            }
            if let Some(text) = text("refusal") {
                self.refused = true;
                out.push(StreamEvent::Refusal { slot: REFUSAL_SLOT, text });
            }
            for (at, call) in delta.present("tool_calls").into_iter().flat_map(Node::items).enumerate() {
                if let Some(function) = call.get("function") {
                    self.tool(index_of(call, at), call.get("id"), function, out)?;
                }
            }
            if let Some(function) = delta.present("function_call") {
                self.tool(0, None, function, out)?;
            }
        }
        if let Some(reason) = choice.present("finish_reason").and_then(Node::text).filter(|_| !self.stopped) {
            self.stopped = true;
            let reason = match wire::stop_reason(&reason, !self.tools.is_empty()) {
                StopReason::EndTurn if self.refused => StopReason::Refusal,
                reason => reason,
            };
            out.push(StreamEvent::Stop { reason, sequence: None });
        }
        Ok(())
    }

    fn tool(
        &mut self,
        index: u64,
        id: Option<Node<'_, '_>>,
        function: Node<'_, '_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), StreamError> {
        let id = id.and_then(Node::text).unwrap_or_default();
        let name = function.get("name").and_then(Node::text).filter(|name| !name.is_empty());
        let known = self.tools.iter().rposition(|tool| tool.index == index);
        // Some servers give every call the index 0; a new id with a name is a new call all the same.
        let same =
            |at: &usize| name.is_none() || id.is_empty() || self.tools.get(*at).is_some_and(|tool| tool.id == *id);
        let at = match (known.filter(same), name.as_deref()) {
            (Some(at), _) => at,
            (None, None) => return Err(StreamError::Malformed("a tool call begins without a name".into())),
            (None, Some(_)) if self.tools.len() >= MOST_TOOLS => return Err(StreamError::TooLarge),
            (None, Some(name)) => {
                let at = self.tools.len();
                let shown = if id.is_empty() { format!("{}_{at}", self.call_id) } else { id.clone().into_owned() };
                self.tools.push(OpenTool { index, id: id.into_owned() });
                out.push(StreamEvent::ToolStart { slot: slot(at), id: shown, name: name.to_owned() });
                at
            }
        };
        if let Some(fragment) = function.get("arguments").and_then(Node::text).filter(|text| !text.is_empty()) {
            out.push(StreamEvent::ToolArguments { slot: slot(at), fragment: fragment.into_owned() });
        }
        Ok(())
    }
}

fn slot(at: usize) -> u32 {
    FIRST_TOOL_SLOT.saturating_add(u32::try_from(at).unwrap_or(u32::MAX))
}

impl StreamDecoder for Decoder {
    fn push(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if data.trim_ascii() == b"[DONE]" {
            return self.finish(out);
        }
        let document = Document::parse(data).map_err(|error| malformed(&error))?;
        let root = document.root();
        if let Some(error) = wire::error_of(root, None) {
            self.ended = true;
            out.push(StreamEvent::Error { kind: error.kind, message: error.message });
            return Ok(());
        }
        if !self.started {
            self.started = true;
            out.push(StreamEvent::Start {
                id: root.get("id").and_then(Node::text).unwrap_or_default().into_owned(),
                created: root.get("created").and_then(Node::as_u64),
                usage: None,
            });
        }
        for (at, choice) in root.get("choices").into_iter().flat_map(Node::items).enumerate() {
            if index_of(choice, at) == 0 {
                self.choice(choice, out)?;
            }
        }
        if let Some(usage) = wire::usage(root) {
            out.push(StreamEvent::Usage(usage));
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        if !self.stopped {
            return Err(StreamError::Truncated);
        }
        out.push(StreamEvent::End);
        Ok(())
    }
}
