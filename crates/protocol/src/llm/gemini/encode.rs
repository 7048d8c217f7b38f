//! A request of the representation as a `generateContent` body.
//!
//! Owns how each thing is said to a Gemini server. Never drops content in silence: what cannot be said is a loss, and
//! content of the caller that cannot be said refuses the call. Called on the translated lane.

use std::borrow::Cow;

use std::collections::HashMap;

use super::{media, quirks, settings, thoughts, tools, wire};
use crate::llm::{
    check,
    error::PrepareError,
    ir::{Media, Message, Part, Request, Role},
    loss::Loss,
    model_call::Operation,
    node::object_text,
    target::TargetWire,
    write::JsonWriter,
};

pub(super) fn request(
    request: &Request,
    to: &TargetWire<'_>,
    operation: Operation,
    losses: &mut Vec<Loss>,
) -> Result<Vec<u8>, PrepareError> {
    let mut json = JsonWriter::with_capacity(4096);
    json.begin_object();
    // Vertex AI counts what stands in the body itself.
    let wrapped = operation == Operation::CountTokens && !to.model.starts_with("publishers/");
    if wrapped {
        json.key(super::head::WRAPPED);
        json.begin_object();
        json.string_member("model", &wire::resource(to.model));
    }
    if !request.system.is_empty() {
        json.object_member("systemInstruction", |json| {
            json.array_member("parts", |json| request.system.iter().for_each(|(text, _)| text_part(text, json)));
        });
    }
    contents(request, to, losses, &mut json)?;
    tools::write(request, losses, &mut json);
    let mut carried = Vec::new();
    if operation == Operation::Generate {
        carried = settings::write(request, to, losses, &mut json);
        settings::write_tier(request, losses, &mut json);
    }
    if wrapped {
        json.end_object();
    }
    json.end_object();
    crate::llm::loss::of_cache_hints(request, losses);
    if request.user.is_some() {
        losses.push(Loss::new("/user", "user", "dropped: the target's API has no such member"));
    }
    for extension in request.extensions.iter().filter(|extension| !carried.contains(&extension.pointer)) {
        let what = extension.pointer.trim_start_matches('/').to_owned();
        losses.push(Loss::new(extension.pointer.clone(), what, "dropped: the target's API has no such member"));
    }
    Ok(json.into_bytes())
}

fn contents(
    request: &Request,
    to: &TargetWire<'_>,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    let names = names(request);
    let mut unsigned = None;
    json.key("contents");
    json.begin_array();
    for message in turns(request, losses).iter() {
        let mut parts = JsonWriter::with_capacity(512);
        let mut writer = Writer { message, to, names: &names, losses, json: &mut parts };
        if message.role == Role::Assistant {
            if writer.model()? {
                unsigned.get_or_insert_with(|| message.pointer.clone());
            }
        } else {
            message.parts.iter().try_for_each(|part| writer.user(part))?;
        }
        let parts = parts.into_bytes();
        // A content without parts is refused.
        if !parts.is_empty() {
            json.object(|json| {
                json.string_member("role", if message.role == Role::Assistant { "model" } else { "user" });
                json.array_member("parts", |json| json.written(&parts));
            });
        }
    }
    json.end_array();
    if let Some(pointer) = unsigned {
        let why = "marked as not to be checked: no model of the target's vendor made these calls";
        losses.push(Loss::new(pointer, "thoughtSignature", why));
    }
    Ok(())
}

/// The functions' names by the ids of their calls: results are told by both.
fn names(request: &Request) -> HashMap<&str, &str> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match part {
            Part::ToolCall { id, name, .. } => Some((id.as_str(), name.as_str())),
            _ => None,
        })
        .collect()
}

/// System messages inside the conversation become the user's.
fn turns<'r>(request: &'r Request, losses: &mut Vec<Loss>) -> Cow<'r, [Message]> {
    // Most conversations have none, and are long.
    if request.messages.iter().all(|message| message.role != Role::System) {
        return Cow::Borrowed(&request.messages);
    }
    let messages = request.messages.iter().cloned().map(|mut message| {
        if message.role == Role::System {
            losses.push(Loss::new(
                message.pointer.clone(),
                "system",
                "sent as the user's text: the target takes system text only before the conversation",
            ));
            message.role = Role::User;
        }
        message
    });
    Cow::Owned(check::merged(messages.collect()))
}

fn text_part(text: &str, json: &mut JsonWriter) {
    json.object(|json| json.string_member("text", text));
}

/// An id, unless this gateway made it of the call's own: the vendor gave none then, and takes none back.
pub(super) fn own_id(id: &str) -> Option<&str> {
    let minted = || {
        let (call, number) = id.strip_prefix("call_")?.split_once('_')?;
        let hex = call.len() == 32 && call.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(hex && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    (!id.is_empty() && minted() != Some(true)).then_some(id)
}

/// Writes the parts of one turn.
struct Writer<'turn> {
    message: &'turn Message,
    to: &'turn TargetWire<'turn>,
    names: &'turn HashMap<&'turn str, &'turn str>,
    losses: &'turn mut Vec<Loss>,
    json: &'turn mut JsonWriter,
}

impl Writer<'_> {
    fn invalid(&self, text: &str) -> PrepareError {
        PrepareError::Invalid { pointer: self.message.pointer.clone(), message: text.to_owned() }
    }

    /// A model's turn; says whether its calls had to be marked as made elsewhere.
    fn model(&mut self) -> Result<bool, PrepareError> {
        let placed = thoughts::placed(&self.message.parts, self.to);
        let is_call = |part: &Part| matches!(part, Part::ToolCall { .. });
        let mut signed = self.message.parts.iter().zip(&placed).any(|(part, place)| is_call(part) && place.is_some());
        let mut marked = false;
        for (part, signature) in self.message.parts.iter().zip(placed) {
            match part {
                Part::Text { text, .. } | Part::Refusal { text } if !text.is_empty() => text_part(text, self.json),
                Part::Text { .. } | Part::Refusal { .. } => {}
                Part::ToolCall { id, name, arguments, .. } => {
                    let mut signature = signature;
                    // Of calls at once the first is signed, and no other is looked at.
                    if !std::mem::replace(&mut signed, true) && quirks::wants_signatures(self.to.model) {
                        signature = Some(thoughts::NO_SIGNATURE);
                        marked = true;
                    }
                    let args = object_text(&arguments.0).ok_or_else(|| {
                        self.invalid(&format!("the arguments of the tool call `{id}` are no JSON object"))
                    })?;
                    write_call(own_id(id), name, args, signature, self.json);
                }
                Part::Reasoning { text, .. } if signature.is_some() => thought(text, signature, self.json),
                // Its signature stands on the call.
                Part::Reasoning { text, signature: Some(signed), scope }
                    if text.is_empty() && thoughts::fits(signed, scope.as_deref(), self.to) => {}
                Part::Reasoning { .. } | Part::RedactedReasoning { .. } => self.losses.push(Loss::new(
                    self.message.pointer.clone(),
                    "reasoning",
                    "dropped: only the model that signed it may be shown it again",
                )),
                Part::Foreign { kind, pointer } => {
                    let why = "dropped: only its own vendor knows it";
                    self.losses.push(Loss::new(pointer.clone(), kind.clone(), why));
                }
                Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
                    self.media(part)?;
                }
            }
        }
        Ok(marked)
    }

    fn user(&mut self, part: &Part) -> Result<(), PrepareError> {
        match part {
            Part::Text { text, .. } | Part::Refusal { text } => {
                // The API refuses texts that are empty.
                if !text.is_empty() {
                    text_part(text, self.json);
                }
                Ok(())
            }
            Part::ToolResult { id, content, is_error, .. } => self.result(id, content, *is_error),
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } => self.media(part),
            Part::Foreign { kind, pointer } => Err(PrepareError::Invalid {
                pointer: pointer.clone(),
                message: format!(
                    "content of type `{kind}` exists only at its own vendor; ask for a model of that vendor"
                ),
            }),
            Part::ToolCall { .. } | Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {
                let why = "dropped: it cannot stand in a user's message";
                self.losses.push(Loss::new(self.message.pointer.clone(), "content", why));
                Ok(())
            }
        }
    }

    fn media(&mut self, part: &Part) -> Result<(), PrepareError> {
        let (source, otherwise) = match part {
            Part::Image { source, detail, .. } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    let why = "dropped: the target chooses it by itself";
                    self.losses.push(Loss::new(self.message.pointer.clone(), "detail", why));
                }
                (source, "image/jpeg")
            }
            Part::Document { source, .. } => (source, "application/pdf"),
            Part::Audio { data, format } => {
                media::write_inline(&format!("audio/{format}"), data, self.json);
                return Ok(());
            }
            _ => return Err(self.invalid("a result of a tool cannot stand in a model's turn")),
        };
        match source {
            Media::Base64 { media_type, data } => media::write_inline(media_type, data, self.json),
            Media::Url(url) => media::write_file(url, otherwise, self.json),
            Media::Text(text) => text_part(text, self.json),
            Media::File(_) => {
                return Err(self.invalid(
                    "a file id means something only at the provider that gave it; send the file itself as base64",
                ));
            }
        }
        Ok(())
    }

    /// A result, and what it shows besides text as parts of their own after it.
    fn result(&mut self, id: &str, content: &[Part], is_error: bool) -> Result<(), PrepareError> {
        let text: String = content
            .iter()
            .filter_map(|part| match part {
                Part::Text { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let name = self.names.get(id).copied().unwrap_or(id);
        self.json.object(|json| {
            json.object_member("functionResponse", |json| {
                if let Some(id) = own_id(id) {
                    json.string_member("id", id);
                }
                json.string_member("name", name);
                match object_text(&text).filter(|_| !is_error && !text.trim().is_empty()) {
                    Some(object) => json.raw_member("response", object),
                    None => json.object_member("response", |json| {
                        json.string_member(if is_error { "error" } else { "output" }, &text);
                    }),
                }
            });
        });
        content.iter().filter(|part| !matches!(part, Part::Text { .. })).try_for_each(|part| self.user(part))
    }
}

fn thought(text: &str, signature: Option<&str>, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("text", text);
        // A signature without words stands on a text that says nothing.
        if !text.is_empty() {
            json.bool_member("thought", true);
        }
        if let Some(signature) = signature {
            json.string_member("thoughtSignature", signature);
        }
    });
}

/// `{"functionCall":{"id","name","args"},"thoughtSignature"}`
fn write_call(id: Option<&str>, name: &str, args: &str, signature: Option<&str>, json: &mut JsonWriter) {
    json.object(|json| {
        json.object_member("functionCall", |json| {
            if let Some(id) = id {
                json.string_member("id", id);
            }
            json.string_member("name", name);
            json.raw_member("args", args);
        });
        if let Some(signature) = signature {
            json.string_member("thoughtSignature", signature);
        }
    });
}
