//! Parts of messages and reasoning items as this API writes them.
//!
//! Owns their shapes. Never drops content in silence. Called by `encode` and `answer`.

use super::wire::OWN_REASONING;
use crate::llm::{
    error::PrepareError,
    ir::{Media, Message, Part},
    loss::Loss,
    opaque::{self, Kind},
    write::JsonWriter,
};

/// `{"type":KIND,"text":…}`; a model's own text has a list of annotations beside it.
pub(super) fn text(kind: &str, text: &str, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("type", kind);
        json.string_member("text", text);
        if kind == "output_text" {
            json.array_member("annotations", |_| {});
        }
    });
}

pub(super) fn refusal(text: &str, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("type", "refusal");
        json.string_member("refusal", text);
    });
}

/// One part of what a user or a tool says.
pub(super) fn input(
    part: &Part,
    message: &Message,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => self::text("input_text", text, json),
        Part::Image { source, detail, .. } => {
            let url = match source {
                Media::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
                Media::Url(url) => url.clone(),
                Media::Text(_) | Media::File(_) => return Err(file_id(message)),
            };
            json.object(|json| {
                json.string_member("type", "input_image");
                json.string_member("image_url", &url);
                json.string_member("detail", detail.as_deref().unwrap_or("auto"));
            });
        }
        Part::Document { source, title, .. } => document(source, title.as_deref(), message, json)?,
        Part::Audio { data, format } => json.object(|json| {
            json.string_member("type", "input_audio");
            json.object_member("input_audio", |json| {
                json.string_member("data", data);
                json.string_member("format", format);
            });
        }),
        Part::Foreign { kind, pointer } => {
            return Err(PrepareError::Invalid {
                pointer: pointer.clone(),
                message: format!(
                    "content of type `{kind}` exists only at its own vendor; ask for a model of that vendor"
                ),
            });
        }
        Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {
            losses.push(Loss::new(message.pointer.clone(), "content", "dropped: it cannot stand in a user's message"));
        }
    }
    Ok(())
}

fn document(source: &Media, title: Option<&str>, message: &Message, json: &mut JsonWriter) -> Result<(), PrepareError> {
    let (name, value) = match source {
        Media::Text(words) => {
            text("input_text", words, json);
            return Ok(());
        }
        Media::Base64 { media_type, data } => ("file_data", format!("data:{media_type};base64,{data}")),
        Media::Url(url) => ("file_url", url.clone()),
        Media::File(_) => return Err(file_id(message)),
    };
    json.object(|json| {
        json.string_member("type", "input_file");
        // Beside an address the API takes no name.
        if name == "file_data" {
            json.string_member("filename", title.unwrap_or("document.pdf"));
        }
        json.string_member(name, &value);
    });
    Ok(())
}

fn file_id(message: &Message) -> PrepareError {
    PrepareError::Invalid {
        pointer: message.pointer.clone(),
        message: "a file id means something only at the provider that gave it; send the file itself as base64"
            .to_owned(),
    }
}

/// The reasoning item that this API once wrote, where `signature` holds one. Says whether it wrote it.
pub(super) fn own_reasoning(text: &str, signature: Option<&str>, json: &mut JsonWriter) -> bool {
    let Some(item) = signature.and_then(opaque::unwrap).filter(|inner| inner.kind == Kind::Item) else { return false };
    json.object(|json| {
        json.string_member("type", "reasoning");
        if !item.label.is_empty() {
            json.string_member("id", item.label);
        }
        summary(text, json);
        json.string_member("encrypted_content", item.data);
    });
    true
}

/// `"summary":[…]`, empty where there is nothing to read.
pub(super) fn summary(words: &str, json: &mut JsonWriter) {
    json.array_member("summary", |json| {
        if !words.is_empty() {
            text("summary_text", words, json);
        }
    });
}

/// The id of a reasoning item that this gateway writes.
pub(super) fn reasoning_id(call_id: &str, index: u64) -> String {
    format!("{OWN_REASONING}{call_id}_{index}")
}
