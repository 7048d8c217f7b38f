//! A Responses answer: the walk over its texts, into the representation, and out of it.
//!
//! Owns the shape of `response` and of its output items, whole and in streams. Never invents content. What an answer
//! echoes of its request (instructions, tools) is not looked at: nobody generated it. Called for whole answers, and by
//! the stream's encoder for the shapes.

use tidegate_core::{segment::Origin, usage::Usage};

use super::{items, parts, tools, walk, wire};
use crate::llm::{
    error::AnswerError,
    forms::{self, ToolForm},
    ir::{self, Part, StopReason},
    loss::Loss,
    node::Node,
    opaque::{self, Kind},
    segments::Found,
    translate::TranslateContext,
    write::JsonWriter,
};

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for item in root.get("output").into_iter().flat_map(Node::items) {
        walk::item(item, Origin::Completion, &mut |shown| see(walk::found(shown, Origin::Completion)));
    }
}

pub(super) fn decode(root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
    let output = root.get("output").ok_or(AnswerError("`output` is missing".into()))?;
    let (mut parts, mut losses) = (Vec::new(), Vec::new());
    for (at, item) in output.items().enumerate() {
        let read = decode_item(item, &format!("/output/{at}"), &mut losses);
        parts.extend(read.map_err(|error| AnswerError(error.to_string().into()))?);
    }
    let text = |name| root.get(name).and_then(Node::text);
    Ok((
        ir::Answer {
            id: text("id").unwrap_or_default().into_owned(),
            parts,
            stop: wire::stop_reason(root, wire::Said::of(root)),
            stop_sequence: None,
            usage: wire::usage(root),
            created: wire::created(root),
        },
        losses,
    ))
}

fn decode_item(
    item: Node<'_, '_>,
    pointer: &str,
    losses: &mut Vec<Loss>,
) -> Result<Vec<Part>, crate::llm::error::ReadError> {
    let kind = walk::type_of(item);
    Ok(match &*kind {
        "message" => {
            let content = item.get("content").ok_or_else(|| item.error("`content` is missing"))?;
            let annotated =
                |part: Node<'_, '_>| part.get("annotations").is_some_and(|list| list.items().next().is_some());
            if content.items().any(annotated) {
                losses.push(Loss::new(pointer, "annotations", "dropped: the caller's API has no such citations"));
            }
            items::parts(content, &format!("{pointer}/content"))?
        }
        "function_call" | "custom_tool_call" => vec![items::call(item, &kind)?],
        "reasoning" => vec![items::reasoning(item)?],
        other => vec![Part::Foreign { kind: other.to_owned(), pointer: pointer.to_owned() }],
    })
}

/// The vendor's own id, or one made from the call's.
pub(super) fn id(id: &str, call_id: &str) -> String {
    if id.is_empty() { format!("resp_{call_id}") } else { id.to_owned() }
}

/// What an answer is besides its items: all that does not change between the events of a stream.
pub(super) struct Frame<'a> {
    pub(super) id: &'a str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    /// `None` while it is being written.
    pub(super) stop: Option<&'a StopReason>,
    pub(super) refused: bool,
    pub(super) usage: Option<&'a Usage>,
}

/// `{"id","object":"response",…}`. The settings are those that the API shows where none were given.
pub(super) fn write(frame: &Frame<'_>, json: &mut JsonWriter, output: impl FnOnce(&mut JsonWriter)) {
    let incomplete = frame.stop.and_then(|stop| wire::incomplete_reason(stop, frame.refused));
    json.object(|json| {
        json.string_member("id", frame.id);
        json.string_member("object", "response");
        json.number_member("created_at", frame.created);
        let status = match (frame.stop, incomplete) {
            (None, _) => "in_progress",
            (Some(_), Some(_)) => "incomplete",
            (Some(_), None) => "completed",
        };
        json.string_member("status", status);
        json.raw_member("error", "null");
        match incomplete {
            Some(reason) => json.object_member("incomplete_details", |json| json.string_member("reason", reason)),
            None => json.raw_member("incomplete_details", "null"),
        }
        json.raw_member("instructions", "null");
        json.string_member("model", frame.model);
        json.array_member("output", output);
        json.bool_member("parallel_tool_calls", true);
        json.raw_member("previous_response_id", "null");
        json.bool_member("store", false);
        json.string_member("tool_choice", "auto");
        json.array_member("tools", |_| {});
        json.object_member("metadata", |_| {});
        wire::write_usage(json, frame.usage);
    });
}

pub(super) fn encode(answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    let stop = answer.stop.as_ref().unwrap_or(&StopReason::EndTurn);
    let items: Vec<Item> = answer.parts.iter().filter_map(|part| Item::of(part, context, losses)).collect();
    let frame = Frame {
        id: &id(&answer.id, context.call_id),
        created: answer.created.unwrap_or(context.created),
        model: context.model,
        stop: Some(stop),
        refused: items.iter().any(|item| matches!(item, Item::Refusal(_))),
        usage: answer.usage.as_ref(),
    };
    write(&frame, &mut json, |json| {
        for (at, item) in items.iter().enumerate() {
            let cut = is_cut(stop) && at.saturating_add(1) == items.len();
            item.write(context.call_id, at as u64, if cut { Status::Incomplete } else { Status::Completed }, json);
        }
    });
    json.into_bytes()
}

/// Whether the last item of an answer that ended for this reason is unfinished.
pub(super) fn is_cut(stop: &StopReason) -> bool {
    matches!(stop, StopReason::MaxTokens | StopReason::ContextWindow)
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// The limit of tokens came before its end.
    Incomplete,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// An output item that this gateway writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Text(String),
    Refusal(String),
    Call { id: String, name: String, arguments: String, form: Option<ToolForm> },
    Reasoning { text: String, encrypted: Option<String> },
}

impl Item {
    fn of(part: &Part, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Option<Self> {
        match part {
            Part::Text { text, .. } => (!text.is_empty()).then(|| Self::Text(text.clone())),
            Part::Refusal { text } => (!text.is_empty()).then(|| Self::Refusal(text.clone())),
            Part::ToolCall { id, name, arguments, .. } => Some(Self::Call {
                id: id.clone(),
                form: forms::find(context.forms, name).cloned(),
                name: name.clone(),
                arguments: arguments.0.clone(),
            }),
            Part::Reasoning { text, signature, .. } => {
                let scope = context.reasoning_scope.unwrap_or_default();
                let encrypted = signature.as_ref().map(|signature| opaque::wrap(Kind::Signed, scope, signature));
                (!text.is_empty() || encrypted.is_some()).then(|| Self::Reasoning { text: text.clone(), encrypted })
            }
            Part::RedactedReasoning { data, .. } => {
                let scope = context.reasoning_scope.unwrap_or_default();
                let encrypted = Some(opaque::wrap(Kind::Redacted, scope, data));
                Some(Self::Reasoning { text: String::new(), encrypted })
            }
            Part::Foreign { kind, pointer } => {
                losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
                None
            }
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
                let why = "dropped: an answer of this API holds text and calls only";
                losses.push(Loss::new("/content", "content", why));
                None
            }
        }
    }

    /// Its own id, which is not the one that a call's result names.
    pub(super) fn id(&self, call_id: &str, index: u64) -> String {
        match self {
            Self::Text(_) | Self::Refusal(_) => format!("msg_{call_id}_{index}"),
            Self::Call { form: Some(form), .. } if form.custom => format!("ctc_{call_id}_{index}"),
            Self::Call { .. } => format!("fc_{call_id}_{index}"),
            Self::Reasoning { .. } => parts::reasoning_id(call_id, index),
        }
    }

    /// The item number `index` as far as it is; one in progress says nothing yet.
    pub(super) fn write(&self, call_id: &str, index: u64, status: Status, json: &mut JsonWriter) {
        let begun = status == Status::InProgress;
        json.object(|json| {
            json.string_member("id", &self.id(call_id, index));
            match self {
                Self::Text(_) | Self::Refusal(_) => {
                    json.string_member("type", "message");
                    json.string_member("status", status.as_str());
                    json.string_member("role", "assistant");
                    json.array_member("content", |json| {
                        if !begun {
                            self.write_part(json);
                        }
                    });
                }
                Self::Call { id, name, arguments, form } => {
                    let minted = format!("{call_id}_{index}");
                    let id = if id.is_empty() { &minted } else { id };
                    write_call(id, name, (arguments, form.as_ref()), status, json);
                }
                Self::Reasoning { text, encrypted } => {
                    json.string_member("type", "reasoning");
                    parts::summary(if begun { "" } else { text }, json);
                    if let Some(encrypted) = encrypted.as_ref().filter(|_| !begun) {
                        json.string_member("encrypted_content", encrypted);
                    }
                }
            }
        });
    }

    /// The one part of a message.
    pub(super) fn write_part(&self, json: &mut JsonWriter) {
        match self {
            Self::Text(text) => parts::text("output_text", text, json),
            Self::Refusal(text) => parts::refusal(text, json),
            Self::Call { .. } | Self::Reasoning { .. } => {}
        }
    }
}

fn write_call(
    id: &str,
    name: &str,
    (arguments, form): (&str, Option<&ToolForm>),
    status: Status,
    json: &mut JsonWriter,
) {
    let custom = form.is_some_and(|form| form.custom);
    json.string_member("type", if custom { "custom_tool_call" } else { "function_call" });
    json.string_member("status", status.as_str());
    json.string_member("call_id", id);
    json.string_member("name", form.map_or(name, |form| &form.name));
    if let Some(namespace) = form.and_then(|form| form.namespace.as_ref()) {
        json.string_member("namespace", namespace);
    }
    let (member, said) = if custom { ("input", tools::input_of(arguments)) } else { ("arguments", arguments.into()) };
    let said = match status {
        Status::InProgress => "",
        Status::Completed if said.is_empty() && !custom => "{}",
        Status::Completed | Status::Incomplete => &said,
    };
    json.string_member(member, said);
}
