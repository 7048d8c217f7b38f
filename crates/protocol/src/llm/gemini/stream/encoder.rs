//! Stream events into pieces of an answer.
//!
//! Owns the calls that are being written: the API has them whole. Why the model stopped and what it used wait for the
//! end, since they stand in the last piece. Never ends a stream well unless told so. Called on the translated lane.

use tidegate_core::usage::Usage;

use super::super::{answer, errors, thoughts, wire};
use crate::{
    llm::{
        error::{ErrorView, StreamError},
        ir::{Arguments, StopReason, StreamEvent},
        opaque::Kind,
        translate::{HELD_BYTES, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

/// The most calls that are written at a time.
const MOST_OPEN: usize = 256;

struct Call {
    slot: u32,
    id: String,
    name: String,
    arguments: String,
}

/// Writes one stream.
pub(in super::super) struct Encoder {
    id: String,
    call_id: String,
    model: String,
    scope: Option<String>,
    usage: Option<Usage>,
    stop: Option<StopReason>,
    calls: Vec<Call>,
    held: usize,
}

impl Encoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            id: answer::id("", context),
            call_id: context.call_id.to_owned(),
            model: context.model.to_owned(),
            scope: context.reasoning_scope.map(str::to_owned),
            usage: None,
            stop: None,
            calls: Vec::new(),
            held: 0,
        }
    }

    fn piece(&self, stop: Option<&StopReason>, usage: Option<&Usage>, parts: impl FnOnce(&mut JsonWriter)) -> Frame {
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.array_member("candidates", |json| answer::candidate(stop, json, parts));
            if let Some(usage) = usage {
                wire::write_usage(json, usage);
            }
            answer::tail(&self.id, &self.model, json);
        });
        Frame::build(None, &json.into_bytes())
    }

    fn thought(&self, text: &str, signature: Option<&str>) -> Frame {
        self.piece(None, None, |json| answer::write_thought(text, signature, json))
    }

    fn arguments(&mut self, slot: u32, fragment: &str) -> Result<(), StreamError> {
        let call = self.calls.iter_mut().rfind(|call| call.slot == slot);
        let call = call.ok_or(StreamError::Malformed("arguments of a tool call that is over".into()))?;
        self.held = self.held.saturating_add(fragment.len());
        if self.held > HELD_BYTES {
            return Err(StreamError::TooLarge);
        }
        call.arguments.push_str(fragment);
        Ok(())
    }

    fn end_call(&mut self, slot: u32, out: &mut Vec<Frame>) {
        let Some(at) = self.calls.iter().position(|call| call.slot == slot) else { return };
        let call = self.calls.remove(at);
        self.held = self.held.saturating_sub(call.arguments.len());
        out.push(self.written(call));
    }

    fn written(&self, call: Call) -> Frame {
        let arguments = Arguments(call.arguments);
        self.piece(None, None, |json| answer::write_call(&call.id, &call.name, &arguments, json))
    }

    fn end(&self, out: &mut Vec<Frame>) {
        let stop = self.stop.as_ref().unwrap_or(&StopReason::EndTurn);
        out.push(self.piece(Some(stop), self.usage.as_ref(), |json| answer::write_text("", json)));
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: StreamEvent, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        match event {
            StreamEvent::Start { id, usage, .. } => {
                if !id.is_empty() {
                    self.id = id;
                }
                self.usage = usage;
            }
            StreamEvent::Text { text, .. } | StreamEvent::Refusal { text, .. } => {
                out.push(self.piece(None, None, |json| answer::write_text(&text, json)));
            }
            StreamEvent::Reasoning { text, .. } => out.push(self.thought(&text, None)),
            StreamEvent::Signature { signature, .. } => {
                let signature = thoughts::wrap(Kind::Signed, self.scope.as_deref(), &signature);
                out.push(self.thought("", Some(&signature)));
            }
            StreamEvent::Redacted { data, .. } => {
                let data = thoughts::wrap(Kind::Redacted, self.scope.as_deref(), &data);
                out.push(self.thought("", Some(&data)));
            }
            StreamEvent::ToolStart { slot, id, name } => {
                if self.calls.len() >= MOST_OPEN {
                    return Err(StreamError::TooLarge);
                }
                self.calls.push(Call { slot, id, name, arguments: String::new() });
            }
            StreamEvent::ToolArguments { slot, fragment } => self.arguments(slot, &fragment)?,
            StreamEvent::BlockEnd { slot } => self.end_call(slot, out),
            StreamEvent::Stop { reason, .. } => {
                for call in std::mem::take(&mut self.calls) {
                    out.push(self.written(call));
                }
                self.stop = Some(reason);
            }
            StreamEvent::Usage(usage) => self.usage = Some(usage),
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
                out.push(Frame::build(None, &errors::json(&view)));
            }
            StreamEvent::Ping => out.push(Frame::comment("ping")),
        }
        Ok(())
    }
}
