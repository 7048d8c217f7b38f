//! Pieces of an answer into stream events.
//!
//! Owns which parts belong together. Never waits: each piece becomes its events at once. Called on the translated lane.

use super::{
    super::{decode, errors, fields, wire},
    parts,
};
use crate::llm::{
    dialect::malformed,
    error::StreamError,
    ir::{StopReason, StreamEvent},
    node::{Document, Node},
    translate::{StreamDecoder, TranslateContext},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
}

/// The most function calls of one answer.
const MOST_CALLS: usize = 256;

/// Reads one stream.
pub(in super::super) struct Decoder {
    call_id: String,
    started: bool,
    stopped: bool,
    ended: bool,
    /// The slot of what came last, and what that is while it may go on.
    slot: u32,
    open: Option<Kind>,
    calls: usize,
}

impl Decoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        let call_id = context.call_id.to_owned();
        Self { call_id, started: false, stopped: false, ended: false, slot: 0, open: None, calls: 0 }
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        if self.open.take().is_some() {
            out.push(StreamEvent::BlockEnd { slot: self.slot });
        }
    }

    /// The slot of a text of this kind: the one that is open, or the next.
    fn slot_of(&mut self, kind: Kind, out: &mut Vec<StreamEvent>) -> u32 {
        if self.open != Some(kind) {
            self.close(out);
            self.slot = self.slot.saturating_add(1);
            self.open = Some(kind);
        }
        self.slot
    }

    fn part(&mut self, part: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let signature = fields::text(part, "thoughtSignature").filter(|signature| !signature.is_empty());
        let signature = signature.map(std::borrow::Cow::into_owned);
        if let Some(call) = fields::present(part, "functionCall") {
            self.alone(signature, out);
            return self.call(call, out);
        }
        let text = fields::text(part, "text").filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned);
        if fields::is_true(part, "thought") {
            if text.is_none() && signature.is_none() {
                return Ok(());
            }
            let slot = self.slot_of(Kind::Thought, out);
            out.extend(text.map(|text| StreamEvent::Reasoning { slot, text }));
            if let Some(signature) = signature {
                out.push(StreamEvent::Signature { slot, signature });
                // What is signed is whole.
                self.close(out);
            }
            return Ok(());
        }
        if let Some(text) = text {
            let slot = self.slot_of(Kind::Text, out);
            out.push(StreamEvent::Text { slot, text });
        }
        self.alone(signature, out);
        Ok(())
    }

    /// A signature on what is no thought: a block without words.
    fn alone(&mut self, signature: Option<String>, out: &mut Vec<StreamEvent>) {
        if let Some(signature) = signature {
            self.close(out);
            let slot = self.slot_of(Kind::Thought, out);
            out.push(StreamEvent::Signature { slot, signature });
            self.close(out);
        }
    }

    fn call(&mut self, call: Node<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        if self.calls >= MOST_CALLS {
            return Err(StreamError::TooLarge);
        }
        self.close(out);
        let name = fields::text(call, "name").filter(|name| !name.is_empty());
        let name = name.ok_or(StreamError::Malformed("a function call has no name".into()))?.into_owned();
        let given = fields::text(call, "id").filter(|id| !id.is_empty());
        let id = given.map_or_else(|| format!("{}_{}", self.call_id, self.calls), std::borrow::Cow::into_owned);
        self.calls = self.calls.saturating_add(1);
        self.slot = self.slot.saturating_add(1);
        let slot = self.slot;
        let arguments = decode::arguments(call).map_err(|error| StreamError::Malformed(error.to_string().into()))?;
        out.push(StreamEvent::ToolStart { slot, id, name });
        out.push(StreamEvent::ToolArguments { slot, fragment: arguments.0 });
        out.push(StreamEvent::BlockEnd { slot });
        Ok(())
    }

    fn stop(&mut self, reason: StopReason, out: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.close(out);
            out.push(StreamEvent::Stop { reason, sequence: None });
        }
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), StreamError> {
        let document = Document::parse(data).map_err(|error| malformed(&error))?;
        let root = document.root();
        if let Some(error) = errors::of(root, None) {
            self.ended = true;
            out.push(StreamEvent::Error { kind: error.kind, message: error.message });
            return Ok(());
        }
        let usage = fields::get(root, "usageMetadata").and_then(wire::usage);
        if !std::mem::replace(&mut self.started, true) {
            let id = fields::text(root, "responseId").unwrap_or_default().into_owned();
            out.push(StreamEvent::Start { id, created: None, usage });
        }
        let mut any = false;
        for (at, candidate) in fields::list(root, "candidates").enumerate() {
            any = true;
            if wire::index_of(candidate, at) != 0 {
                continue;
            }
            // What comes after the reason to finish is no part of the answer.
            if self.stopped {
                continue;
            }
            for part in parts(candidate) {
                self.part(part, out)?;
            }
            let reason = fields::text(candidate, "finishReason");
            if let Some(reason) = reason.and_then(|name| wire::stop_reason(&name, self.calls > 0)) {
                self.stop(reason, out);
            }
        }
        if !any && wire::is_blocked(root) {
            self.stop(StopReason::Refusal, out);
        }
        if let Some(usage) = usage {
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
