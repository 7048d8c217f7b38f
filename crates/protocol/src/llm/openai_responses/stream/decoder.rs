//! Events of a Responses stream into stream events.
//!
//! Owns which items have begun and which texts were said. Never waits: each event becomes its own at once. A server that
//! says a text only whole, with its item or with the answer, is read as if it had said it in one piece. Called on the
//! translated lane.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    super::{BETWEEN_PARTS, items, tools, walk::type_of, wire},
    number, place_of,
};
use crate::llm::{
    dialect::malformed,
    error::StreamError,
    forms::{fitting, told},
    ir::{Part, StreamEvent},
    node::{Document, Node},
    translate::{StreamDecoder, TranslateContext},
};

/// The most items and texts of one answer.
const MOST: usize = 65_536;

/// Reads one stream.
pub(in super::super) struct Decoder {
    started: bool,
    ended: bool,
    said: wire::Said,
    /// Calls that have begun and items that are over, by their place in the output.
    begun: HashSet<u64>,
    over: HashSet<u64>,
    /// Texts of which something was said, by slot, and for reasoning the part that was said last.
    spoken: HashMap<u32, (bool, u64)>,
}

impl Decoder {
    pub(in super::super) fn new(_: &TranslateContext<'_>) -> Self {
        Self {
            started: false,
            ended: false,
            said: wire::Said::default(),
            begun: HashSet::new(),
            over: HashSet::new(),
            spoken: HashMap::new(),
        }
    }

    fn start(&mut self, response: Option<Node<'_, '_>>, out: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            let id = response.and_then(|response| response.get("id")).and_then(Node::text).unwrap_or_default();
            out.push(StreamEvent::Start {
                id: id.into_owned(),
                created: response.and_then(wire::created),
                usage: None,
            });
        }
    }

    /// Notes that something of a text was said; whether it was the first.
    fn first(&mut self, slot: u32) -> Result<bool, StreamError> {
        if self.spoken.len() >= MOST {
            return Err(StreamError::TooLarge);
        }
        let mut first = false;
        self.spoken.entry(slot).or_insert_with(|| {
            first = true;
            (false, 0)
        });
        Ok(first)
    }

    fn text(
        &mut self,
        slot: u32,
        text: Cow<'_, str>,
        refusal: bool,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), StreamError> {
        if text.is_empty() {
            return Ok(());
        }
        self.first(slot)?;
        let text = text.into_owned();
        self.said.refused |= refusal;
        out.push(if refusal { StreamEvent::Refusal { slot, text } } else { StreamEvent::Text { slot, text } });
        Ok(())
    }

    /// A text that is told whole: it is news only where no piece of it came.
    fn whole(
        &mut self,
        slot: u32,
        text: Cow<'_, str>,
        refusal: bool,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), StreamError> {
        if self.spoken.contains_key(&slot) { Ok(()) } else { self.text(slot, text, refusal, out) }
    }

    /// A piece of reasoning: of a summary or of the text, which have parts; between two parts stands an empty line.
    fn reasoning(&mut self, root: Node<'_, '_>, summary: bool, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let (item, at) = place_of(root);
        let slot = slot(item, 0);
        let text = delta(root).into_owned();
        if text.is_empty() {
            return Ok(());
        }
        let first = self.first(slot)?;
        let part = (summary, at);
        let other = self.spoken.insert(slot, part).is_some_and(|last| last != part);
        let text = if other && !first { format!("{BETWEEN_PARTS}{text}") } else { text };
        out.push(StreamEvent::Reasoning { slot, text });
        Ok(())
    }

    fn begin_call(&mut self, index: u64, item: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if !self.begun.insert(index) {
            return Ok(());
        }
        if self.begun.len() >= MOST {
            return Err(StreamError::TooLarge);
        }
        let text = |name| item.get(name).and_then(Node::text);
        let name = text("name").ok_or(StreamError::Malformed("a tool call begins without a name".into()))?;
        let id = text("call_id").ok_or(StreamError::Malformed("a tool call begins without its `call_id`".into()))?;
        self.said.calls = true;
        out.push(StreamEvent::ToolStart {
            slot: slot(index, 0),
            id: fitting(&id, "call"),
            name: told(text("namespace").as_deref(), &name),
        });
        Ok(())
    }

    fn arguments(&mut self, index: u64, fragment: &str, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if !fragment.is_empty() {
            let slot = slot(index, 0);
            self.first(slot)?;
            out.push(StreamEvent::ToolArguments { slot, fragment: fragment.to_owned() });
        }
        Ok(())
    }

    fn added(&mut self, root: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let (index, item) = (number(root, "output_index"), root.get("item"));
        match item.filter(|item| type_of(*item) == "function_call") {
            Some(item) => {
                self.begin_call(index, item, out)?;
                let arguments = item.get("arguments").and_then(Node::text).unwrap_or_default();
                self.arguments(index, &arguments, out)
            }
            None => Ok(()),
        }
    }

    /// An item that is over: whatever of it was not said yet is said now.
    fn done(&mut self, index: u64, item: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if !self.over.insert(index) {
            return Ok(());
        }
        if self.over.len() >= MOST {
            return Err(StreamError::TooLarge);
        }
        match &*type_of(item) {
            "message" => {
                for (at, part) in item.get("content").into_iter().flat_map(Node::items).enumerate() {
                    self.part(slot(index, at as u64), part, out)?;
                    out.push(StreamEvent::BlockEnd { slot: slot(index, at as u64) });
                }
            }
            "function_call" => {
                self.begin_call(index, item, out)?;
                if !self.spoken.contains_key(&slot(index, 0)) {
                    let arguments = item.get("arguments").and_then(Node::text).unwrap_or_default();
                    self.arguments(index, &arguments, out)?;
                }
                out.push(StreamEvent::BlockEnd { slot: slot(index, 0) });
            }
            "custom_tool_call" => {
                self.begin_call(index, item, out)?;
                let input = item.get("input").and_then(Node::text).unwrap_or_default();
                self.arguments(index, &tools::arguments_of(&input), out)?;
                out.push(StreamEvent::BlockEnd { slot: slot(index, 0) });
            }
            "reasoning" => self.reasoned(slot(index, 0), item, out)?,
            _ => {}
        }
        Ok(())
    }

    fn part(&mut self, slot: u32, part: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let refusal = type_of(part) == "refusal";
        let text = part.get(if refusal { "refusal" } else { "text" }).and_then(Node::text).unwrap_or_default();
        self.whole(slot, text, refusal, out)
    }

    fn reasoned(&mut self, slot: u32, item: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let read = items::reasoning(item).map_err(|error| StreamError::Malformed(error.to_string().into()))?;
        match read {
            Part::Reasoning { text, signature, .. } => {
                if !text.is_empty() && self.first(slot)? {
                    out.push(StreamEvent::Reasoning { slot, text });
                }
                out.extend(signature.map(|signature| StreamEvent::Signature { slot, signature }));
            }
            Part::RedactedReasoning { data, .. } => out.push(StreamEvent::Redacted { slot, data }),
            _ => {}
        }
        out.push(StreamEvent::BlockEnd { slot });
        Ok(())
    }

    fn end(&mut self, response: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        for (at, item) in response.get("output").into_iter().flat_map(Node::items).enumerate() {
            self.done(at as u64, item, out)?;
            self.said.add(item);
        }
        let Some(reason) = wire::stop_reason(response, self.said) else { return Err(StreamError::Truncated) };
        self.ended = true;
        out.push(StreamEvent::Stop { reason, sequence: None });
        out.extend(wire::usage(response).map(StreamEvent::Usage));
        out.push(StreamEvent::End);
        Ok(())
    }

    fn fail(&mut self, error: Option<Node<'_, '_>>, out: &mut Vec<StreamEvent>) {
        self.ended = true;
        let (kind, message) = match error.map(wire::failure) {
            Some(error) => (error.kind, error.message),
            None => (crate::llm::error::ErrorKind::Api, String::new()),
        };
        out.push(StreamEvent::Error { kind, message });
    }
}

/// A text of an item. Places beyond what is counted share the last.
fn slot(item: u64, at: u64) -> u32 {
    let item = u32::try_from(item.min(0xFF_FFFF)).unwrap_or(0xFF_FFFF);
    item << 8 | u32::try_from(at.min(0xFF)).unwrap_or(0xFF)
}

fn delta<'body>(root: Node<'_, 'body>) -> Cow<'body, str> {
    root.get("delta").and_then(Node::text).unwrap_or_default()
}

impl StreamDecoder for Decoder {
    fn push(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if data.trim_ascii() == b"[DONE]" {
            return self.finish(out);
        }
        let document = Document::parse(data).map_err(|error| malformed(&error))?;
        let root = document.root();
        let kind = type_of(root);
        let response = root.get("response");
        if kind != "error" {
            self.start(response, out);
        }
        let (item, at) = place_of(root);
        let text = |name| root.get(name).and_then(Node::text).unwrap_or_default();
        match &*kind {
            "error" => self.fail(Some(root.present("error").unwrap_or(root)), out),
            "response.failed" => self.fail(response.and_then(|response| response.present("error")), out),
            "response.completed" | "response.incomplete" => {
                let response = response.ok_or(StreamError::Malformed("`response` is missing".into()))?;
                self.end(response, out)?;
            }
            "response.output_item.added" => self.added(root, out)?,
            "response.output_item.done" => {
                if let Some(node) = root.get("item") {
                    self.done(item, node, out)?;
                }
            }
            "response.output_text.delta" => self.text(slot(item, at), delta(root), false, out)?,
            "response.refusal.delta" => self.text(slot(item, at), delta(root), true, out)?,
            "response.output_text.done" => self.whole(slot(item, at), text("text"), false, out)?,
            "response.refusal.done" => self.whole(slot(item, at), text("refusal"), true, out)?,
            "response.content_part.added" => {
                if let Some(part) = root.get("part").filter(|part| type_of(*part) != "reasoning_text") {
                    self.part(slot(item, at), part, out)?;
                }
            }
            "response.reasoning_summary_text.delta" => self.reasoning(root, true, out)?,
            "response.reasoning_text.delta" => self.reasoning(root, false, out)?,
            "response.function_call_arguments.delta" if self.begun.contains(&item) => {
                self.arguments(item, &delta(root), out)?;
            }
            "response.function_call_arguments.delta" => {
                return Err(StreamError::Malformed("arguments of a tool call that has not begun".into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if self.ended { Ok(()) } else { Err(StreamError::Truncated) }
    }
}
