//! Stream events into events of a Responses stream.
//!
//! Owns the answer as far as it is written, since its last event says all of it once more; within bounds. An item is
//! ended when the next begins or the model has stopped, for only then is it known whether it was cut. Never ends a stream
//! well unless told so. Called on the translated lane.

use tidegate_core::usage::Usage;

use super::super::{
    answer::{self, Item, Status, is_cut},
    parts, tools, wire,
};
use crate::{
    llm::{
        error::{ErrorView, StreamError},
        forms::{self, ToolForm},
        ir::{StopReason, StreamEvent},
        opaque::{self, Kind},
        translate::{HELD_BYTES, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

/// The most items of one answer.
const MOST_ITEMS: usize = 4_096;

/// An item, and how far it is.
struct Written {
    slot: u32,
    item: Item,
    /// What reasoning was signed with, as far as it came.
    signature: String,
    /// Whether nothing more will come.
    over: bool,
    status: Status,
}

/// Writes one stream.
pub(in super::super) struct Encoder {
    id: String,
    call_id: String,
    model: String,
    scope: String,
    forms: Vec<ToolForm>,
    created: u64,
    sequence: u64,
    started: bool,
    usage: Option<Usage>,
    stop: Option<StopReason>,
    items: Vec<Written>,
    held: usize,
}

impl Encoder {
    pub(in super::super) fn new(context: &TranslateContext<'_>) -> Self {
        Self {
            id: answer::id("", context.call_id),
            call_id: context.call_id.to_owned(),
            model: context.model.to_owned(),
            scope: context.reasoning_scope.unwrap_or_default().to_owned(),
            forms: context.forms.to_vec(),
            created: context.created,
            sequence: 0,
            started: false,
            usage: None,
            stop: None,
            items: Vec::new(),
            held: 0,
        }
    }

    /// An event of this type, with the next number.
    fn event(&mut self, kind: &str, members: impl FnOnce(&Self, &mut JsonWriter)) -> Frame {
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.string_member("type", kind);
            json.number_member("sequence_number", self.sequence);
            members(self, json);
        });
        self.sequence = self.sequence.saturating_add(1);
        Frame::build(Some(kind), &json.into_bytes())
    }

    /// An event that shows the whole answer as far as it is.
    fn whole(&mut self, kind: &str) -> Frame {
        self.event(kind, |this, json| {
            json.key("response");
            let frame = answer::Frame {
                id: &this.id,
                created: this.created,
                model: &this.model,
                stop: this.stop.as_ref(),
                refused: this.items.iter().any(|written| matches!(written.item, Item::Refusal(_))),
                usage: this.usage.as_ref(),
            };
            answer::write(&frame, json, |json| {
                for (at, written) in this.items.iter().enumerate() {
                    written.item.write(&this.call_id, at as u64, written.status, json);
                }
            });
        })
    }

    fn start(&mut self, out: &mut Vec<Frame>) {
        if !std::mem::replace(&mut self.started, true) {
            let usage = self.usage.take();
            out.push(self.whole("response.created"));
            out.push(self.whole("response.in_progress"));
            self.usage = usage;
        }
    }

    /// An event about the item at `at`; `part` names the place of the text in it.
    fn about(
        &mut self,
        kind: &str,
        at: usize,
        part: Option<&str>,
        members: impl FnOnce(&Item, &mut JsonWriter),
    ) -> Frame {
        self.event(kind, |this, json| {
            let Some(written) = this.items.get(at) else { return };
            json.string_member("item_id", &written.item.id(&this.call_id, at as u64));
            json.number_member("output_index", at as u64);
            if let Some(part) = part {
                json.number_member(part, 0);
            }
            members(&written.item, json);
        })
    }

    fn item(&mut self, kind: &str, at: usize) -> Frame {
        self.event(kind, |this, json| {
            json.number_member("output_index", at as u64);
            json.key("item");
            if let Some(written) = this.items.get(at) {
                written.item.write(&this.call_id, at as u64, written.status, json);
            }
        })
    }

    /// Begins an item, and ends those that are over.
    fn begin(&mut self, slot: u32, item: Item, out: &mut Vec<Frame>) -> Result<usize, StreamError> {
        if self.items.len() >= MOST_ITEMS {
            return Err(StreamError::TooLarge);
        }
        for at in 0..self.items.len() {
            if self.items.get(at).is_some_and(|written| written.over) {
                self.end(at, Status::Completed, out);
            }
        }
        let at = self.items.len();
        let message = matches!(item, Item::Text(_) | Item::Refusal(_));
        self.items.push(Written { slot, item, signature: String::new(), over: false, status: Status::InProgress });
        out.push(self.item("response.output_item.added", at));
        if message {
            out.push(self.about("response.content_part.added", at, Some("content_index"), |item, json| {
                json.key("part");
                item.write_part(json);
            }));
        }
        Ok(at)
    }

    /// The item of this slot that still grows and is like `like`.
    fn growing(&self, slot: u32, like: &Item) -> Option<usize> {
        let alike = |item: &Item| std::mem::discriminant(item) == std::mem::discriminant(like);
        let grows = |written: &Written| written.slot == slot && !written.over && written.status == Status::InProgress;
        self.items.iter().rposition(|written| grows(written) && alike(&written.item))
    }

    /// More of a text; `empty` is what begins where none grows.
    fn text(&mut self, slot: u32, empty: Item, more: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if more.is_empty() {
            return Ok(());
        }
        let at = match self.growing(slot, &empty) {
            Some(at) => at,
            None if matches!(empty, Item::Call { .. }) => {
                return Err(StreamError::Malformed("arguments of a tool call that is over".into()));
            }
            None => self.begin(slot, empty, out)?,
        };
        self.hold(more.len())?;
        let Some(written) = self.items.get_mut(at) else { return Ok(()) };
        let (kind, part, first) = match &mut written.item {
            Item::Text(text) => {
                text.push_str(more);
                ("response.output_text.delta", Some("content_index"), false)
            }
            Item::Refusal(text) => {
                text.push_str(more);
                ("response.refusal.delta", Some("content_index"), false)
            }
            Item::Reasoning { text, .. } => {
                let first = text.is_empty();
                text.push_str(more);
                ("response.reasoning_summary_text.delta", Some("summary_index"), first)
            }
            Item::Call { arguments, form, .. } => {
                arguments.push_str(more);
                // Free text stands inside the arguments, and can be told when they are whole.
                if form.as_ref().is_some_and(|form| form.custom) {
                    return Ok(());
                }
                ("response.function_call_arguments.delta", None, false)
            }
        };
        if first {
            out.push(self.about("response.reasoning_summary_part.added", at, part, |_, json| {
                json.key("part");
                parts::text("summary_text", "", json);
            }));
        }
        out.push(self.delta(kind, at, part, more));
        Ok(())
    }

    fn delta(&mut self, kind: &str, at: usize, part: Option<&str>, more: &str) -> Frame {
        self.about(kind, at, part, |_, json| {
            json.string_member("delta", more);
            if kind == "response.output_text.delta" {
                json.array_member("logprobs", |_| {});
            }
        })
    }

    fn hold(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.held = self.held.saturating_add(bytes);
        if self.held > HELD_BYTES { Err(StreamError::TooLarge) } else { Ok(()) }
    }

    fn sign(&mut self, slot: u32, more: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        let empty = Item::Reasoning { text: String::new(), encrypted: None };
        let at = match self.growing(slot, &empty) {
            Some(at) => at,
            None => self.begin(slot, empty, out)?,
        };
        self.hold(more.len())?;
        if let Some(written) = self.items.get_mut(at) {
            written.signature.push_str(more);
        }
        Ok(())
    }

    fn redacted(&mut self, slot: u32, data: &str, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        self.hold(data.len())?;
        let encrypted = Some(opaque::wrap(Kind::Redacted, &self.scope, data));
        let at = self.begin(slot, Item::Reasoning { text: String::new(), encrypted }, out)?;
        if let Some(written) = self.items.get_mut(at) {
            written.over = true;
        }
        Ok(())
    }

    /// Says an item's texts whole, and the item.
    fn end(&mut self, at: usize, status: Status, out: &mut Vec<Frame>) {
        let Some(written) = self.items.get_mut(at).filter(|written| written.status == Status::InProgress) else {
            return;
        };
        written.status = status;
        if let Item::Reasoning { encrypted, .. } = &mut written.item
            && !written.signature.is_empty()
        {
            *encrypted = Some(opaque::wrap(Kind::Signed, &self.scope, &written.signature));
        }
        match written.item.clone() {
            Item::Text(text) => self.end_part("response.output_text.done", at, ("text", &text), out),
            Item::Refusal(text) => self.end_part("response.refusal.done", at, ("refusal", &text), out),
            Item::Reasoning { text, .. } if text.is_empty() => {}
            Item::Reasoning { text, .. } => {
                let part = Some("summary_index");
                out.push(self.about("response.reasoning_summary_text.done", at, part, |_, json| {
                    json.string_member("text", &text);
                }));
                out.push(self.about("response.reasoning_summary_part.done", at, part, |_, json| {
                    json.key("part");
                    parts::text("summary_text", &text, json);
                }));
            }
            Item::Call { arguments, form, .. } if form.as_ref().is_some_and(|form| form.custom) => {
                let input = tools::input_of(&arguments).into_owned();
                if !input.is_empty() {
                    out.push(self.delta("response.custom_tool_call_input.delta", at, None, &input));
                }
                out.push(self.about("response.custom_tool_call_input.done", at, None, |_, json| {
                    json.string_member("input", &input);
                }));
            }
            Item::Call { mut arguments, name, form, .. } => {
                if arguments.is_empty() && status == Status::Completed {
                    "{}".clone_into(&mut arguments);
                    out.push(self.delta("response.function_call_arguments.delta", at, None, "{}"));
                }
                out.push(self.about("response.function_call_arguments.done", at, None, |_, json| {
                    json.string_member("name", form.as_ref().map_or(&name, |form| &form.name));
                    json.string_member("arguments", &arguments);
                }));
            }
        }
        out.push(self.item("response.output_item.done", at));
    }

    fn end_part(&mut self, kind: &str, at: usize, (name, text): (&str, &str), out: &mut Vec<Frame>) {
        let part = Some("content_index");
        out.push(self.about(kind, at, part, |_, json| {
            json.string_member(name, text);
            if name == "text" {
                json.array_member("logprobs", |_| {});
            }
        }));
        out.push(self.about("response.content_part.done", at, part, |item, json| {
            json.key("part");
            item.write_part(json);
        }));
    }

    fn stop(&mut self, reason: StopReason, out: &mut Vec<Frame>) {
        let last = self.items.len().saturating_sub(1);
        for at in 0..self.items.len() {
            let cut = is_cut(&reason) && at == last;
            self.end(at, if cut { Status::Incomplete } else { Status::Completed }, out);
        }
        self.stop = Some(reason);
    }

    fn finish(&mut self) -> Frame {
        let stop = self.stop.get_or_insert(StopReason::EndTurn);
        let refused = self.items.iter().any(|written| matches!(written.item, Item::Refusal(_)));
        let kind = match wire::incomplete_reason(stop, refused) {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.whole(kind)
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
            StreamEvent::Text { slot, text } => self.text(slot, Item::Text(String::new()), &text, out)?,
            StreamEvent::Refusal { slot, text } => self.text(slot, Item::Refusal(String::new()), &text, out)?,
            StreamEvent::Reasoning { slot, text } => {
                self.text(slot, Item::Reasoning { text: String::new(), encrypted: None }, &text, out)?;
            }
            StreamEvent::Signature { slot, signature } => self.sign(slot, &signature, out)?,
            StreamEvent::Redacted { slot, data } => self.redacted(slot, &data, out)?,
            StreamEvent::ToolStart { slot, id, name } => {
                let form = forms::find(&self.forms, &name).cloned();
                self.begin(slot, Item::Call { id, name, arguments: String::new(), form }, out)?;
            }
            StreamEvent::ToolArguments { slot, fragment } => {
                let (id, name, arguments) = (String::new(), String::new(), String::new());
                self.text(slot, Item::Call { id, name, arguments, form: None }, &fragment, out)?;
            }
            StreamEvent::BlockEnd { slot } => {
                let open = |written: &&mut Written| written.slot == slot && written.status == Status::InProgress;
                if let Some(written) = self.items.iter_mut().rev().find(open) {
                    written.over = true;
                }
            }
            StreamEvent::Stop { reason, .. } => self.stop(reason, out),
            StreamEvent::Usage(usage) => self.usage = Some(usage),
            StreamEvent::End => {
                let last = self.finish();
                out.push(last);
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
                out.push(wire::error_event(&view, &self.id, self.sequence));
            }
            StreamEvent::Ping => out.push(Frame::comment("ping")),
        }
        Ok(())
    }
}
