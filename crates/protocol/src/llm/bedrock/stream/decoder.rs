//! Events of a Converse stream into stream events.
//!
//! Owns whether the model has stopped and the stream ended. Never waits: each event becomes its own at once. Called on
//! the translated lane.

use std::borrow::Cow;

use super::{super::wire, index_of};
use crate::llm::{
    dialect::malformed,
    error::StreamError,
    ir::StreamEvent,
    node::{Document, Node},
    translate::{StreamDecoder, TranslateContext},
};

/// Reads one stream.
pub(in super::super) struct Decoder {
    stopped: bool,
    ended: bool,
}

impl Decoder {
    pub(in super::super) fn new(_: &TranslateContext<'_>) -> Self {
        Self { stopped: false, ended: false }
    }
}

fn slot_of(root: Node<'_, '_>) -> u32 {
    u32::try_from(index_of(root)).unwrap_or(u32::MAX)
}

fn text(node: Option<Node<'_, '_>>) -> Option<String> {
    node.and_then(Node::text).filter(|text| !text.is_empty()).map(Cow::into_owned)
}

fn delta(slot: u32, delta: Node<'_, '_>, out: &mut Vec<StreamEvent>) {
    if let Some(text) = text(delta.get("text")) {
        out.push(StreamEvent::Text { slot, text });
    }
    if let Some(fragment) = text(delta.get("toolUse").and_then(|call| call.get("input"))) {
        out.push(StreamEvent::ToolArguments { slot, fragment });
    }
    if let Some(reasoning) = delta.get("reasoningContent") {
        if let Some(text) = text(reasoning.get("text")) {
            out.push(StreamEvent::Reasoning { slot, text });
        }
        if let Some(signature) = text(reasoning.get("signature")) {
            out.push(StreamEvent::Signature { slot, signature });
        }
        if let Some(data) = text(reasoning.get("redactedContent")) {
            out.push(StreamEvent::Redacted { slot, data });
        }
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let document = Document::parse(data).map_err(|error| malformed(&error))?;
        let root = document.root();
        if root.get("role").is_some() {
            out.push(StreamEvent::Start { id: String::new(), created: None, usage: None });
        }
        let slot = slot_of(root);
        let (start, changed) = (root.get("start"), root.get("delta"));
        if let Some(call) = start.and_then(|start| start.get("toolUse")) {
            let name = |name| call.get(name).and_then(Node::text).unwrap_or_default().into_owned();
            out.push(StreamEvent::ToolStart { slot, id: name("toolUseId"), name: name("name") });
        }
        if let Some(changed) = changed {
            delta(slot, changed, out);
        }
        if start.is_none() && changed.is_none() && root.get("contentBlockIndex").is_some() {
            out.push(StreamEvent::BlockEnd { slot });
        }
        if let Some(reason) = text(root.get("stopReason")).filter(|_| !self.stopped) {
            self.stopped = true;
            out.push(StreamEvent::Stop { reason: wire::stop_reason(&reason), sequence: None });
        }
        if root.get("usage").is_some() || root.get("metrics").is_some() {
            if !self.stopped {
                return Err(StreamError::Truncated);
            }
            self.ended = true;
            out.extend(wire::usage_of(root).map(StreamEvent::Usage));
            out.push(StreamEvent::End);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if self.ended {
            return Ok(());
        }
        if !self.stopped {
            return Err(StreamError::Truncated);
        }
        self.ended = true;
        out.push(StreamEvent::End);
        Ok(())
    }
}
