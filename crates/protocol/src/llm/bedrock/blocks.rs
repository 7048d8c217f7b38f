//! Blocks of Converse: what each means, as the representation has it, and how reasoning and tool calls are written.
//!
//! Owns what requests and answers have in common. Refuses nothing that it does not know: that becomes foreign, for the
//! target's encoder to judge. Called by the dialect's `decode`, `encode` and `answer`.

use std::borrow::Cow;

use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        ir::{Arguments, CacheHint, Media, Part, RawJson},
        node::Node,
        opaque,
        write::JsonWriter,
    },
};

/// The parts of an array of blocks, which stands at `pointer`. A cache point belongs to the part before it.
pub(super) fn parts(content: Node<'_, '_>, pointer: &str) -> Result<Vec<Part>, ReadError> {
    let mut parts = Vec::new();
    for (at, block) in content.expect_array()?.items().enumerate() {
        let Some((kind, value)) = block.expect_object()?.members().find(|(_, value)| !value.is_null()) else {
            return Err(block.error("holds nothing; send one member, for example `text`"));
        };
        if kind == "cachePoint" {
            if let Some(hint) = parts.last_mut().and_then(hint_of) {
                *hint = Some(cache_hint(value));
            }
            continue;
        }
        parts.push(part(&kind, value, pointer, at)?);
    }
    Ok(parts)
}

/// A cache point as the hint that the representation has, which is Anthropic's.
pub(super) fn cache_hint(point: Node<'_, '_>) -> RawJson {
    let hour = point.get("ttl").is_some_and(|ttl| ttl.text_is("1h"));
    RawJson(if hour { r#"{"type":"ephemeral","ttl":"1h"}"# } else { r#"{"type":"ephemeral"}"# }.to_owned())
}

fn hint_of(part: &mut Part) -> Option<&mut CacheHint> {
    match part {
        Part::Text { cache, .. }
        | Part::Image { cache, .. }
        | Part::Document { cache, .. }
        | Part::ToolCall { cache, .. }
        | Part::ToolResult { cache, .. } => Some(cache),
        _ => None,
    }
}

/// The hint of a part, for writing a cache point after it.
pub(super) fn hint(part: &Part) -> Option<&RawJson> {
    match part {
        Part::Text { cache, .. }
        | Part::Image { cache, .. }
        | Part::Document { cache, .. }
        | Part::ToolCall { cache, .. }
        | Part::ToolResult { cache, .. } => cache.as_ref(),
        _ => None,
    }
}

fn part(kind: &str, value: Node<'_, '_>, pointer: &str, at: usize) -> Result<Part, ReadError> {
    Ok(match kind {
        "text" => Part::Text { text: value.expect_text()?.into_owned(), cache: None },
        "json" => Part::Text { text: value.raw().to_owned(), cache: None },
        "image" => Part::Image { source: media(value, "image")?, detail: None, cache: None },
        "document" if value.get("source").is_none_or(|source| source.get("content").is_none()) => Part::Document {
            source: document(value)?,
            title: value.optional_text("name")?.map(Cow::into_owned),
            cache: None,
        },
        "audio" if value.get("source").is_some_and(|source| source.get("bytes").is_some()) => Part::Audio {
            data: value
                .get("source")
                .map(|source| source.required_text("bytes"))
                .transpose()?
                .unwrap_or_default()
                .into_owned(),
            format: value.required_text("format")?.into_owned(),
        },
        "toolUse" if value.get("type").is_none_or(Node::is_null) => Part::ToolCall {
            id: value.required_text("toolUseId")?.into_owned(),
            name: value.required_text("name")?.into_owned(),
            arguments: arguments(value)?,
            cache: None,
        },
        "toolResult" => Part::ToolResult {
            id: value.required_text("toolUseId")?.into_owned(),
            content: match value.present("content") {
                Some(content) => parts(content, &format!("{pointer}/{at}/toolResult/content"))?,
                None => Vec::new(),
            },
            is_error: value.get("status").is_some_and(|status| status.text_is("error")),
            cache: None,
        },
        "reasoningContent" => reasoning(value)?,
        other => Part::Foreign { kind: other.to_owned(), pointer: format!("{pointer}/{at}/{other}") },
    })
}

/// The arguments of a call; of one that was cut short, the text as far as it came, which is then a string.
fn arguments(value: Node<'_, '_>) -> Result<Arguments, ReadError> {
    let input = value.get("input").ok_or_else(|| value.error("`input` is missing; it must be an object"))?;
    if let Some(partial) = input.text() {
        return Ok(Arguments(partial.into_owned()));
    }
    Ok(Arguments(input.expect_object()?.raw().to_owned()))
}

fn reasoning(value: Node<'_, '_>) -> Result<Part, ReadError> {
    if let Some(redacted) = value.present("redactedContent") {
        let data = redacted.expect_text()?;
        let opened = open_blob(&data);
        return Ok(match opened {
            Some((scope, data)) => Part::RedactedReasoning { data, scope: Some(scope) },
            None => Part::RedactedReasoning { data: data.into_owned(), scope: None },
        });
    }
    let text = value.get("reasoningText").ok_or_else(|| value.error("holds neither text nor redacted content"))?;
    let signature = text.expect_object()?.optional_text("signature")?.unwrap_or_default();
    let (own, scope) = opaque::unscoped(&signature);
    Ok(Part::Reasoning {
        text: text.required_text("text")?.into_owned(),
        signature: Some(own.to_owned()).filter(|signature| !signature.is_empty()),
        scope: scope.map(ToOwned::to_owned),
    })
}

/// What this gateway wrapped into a blob: who may be shown it, and the vendor's own text.
fn open_blob(data: &str) -> Option<(String, String)> {
    let text = opaque::from_base64(data)?;
    let (own, scope) = opaque::unscoped(&text);
    Some((scope?.to_owned(), own.to_owned()))
}

/// Whether a block is reasoning that this gateway wrapped for another model.
pub(super) fn is_foreign_reasoning(block: Node<'_, '_>) -> bool {
    let Some(reasoning) = block.get("reasoningContent") else { return false };
    let signature = reasoning.get("reasoningText").and_then(|text| text.get("signature")?.text());
    let redacted = reasoning.get("redactedContent").and_then(Node::text);
    signature.is_some_and(|text| opaque::is_wrapped(&text))
        || redacted.is_some_and(|data| opaque::from_base64(&data).is_some())
}

/// Redacted reasoning as a caller is given it: a blob in base64.
pub(super) fn told_blob(data: &str, scope: Option<&str>) -> String {
    match opaque::scoped(data, scope) {
        Cow::Owned(wrapped) => opaque::to_base64(&wrapped),
        Cow::Borrowed(own) => own.to_owned(),
    }
}

/// `{"bytes"}` in base64, or a place in S3, which means something to Bedrock alone.
fn media(value: Node<'_, '_>, kind: &str) -> Result<Media, ReadError> {
    let source = value.get("source").ok_or_else(|| value.error("`source` is missing"))?.expect_object()?;
    if let Some(place) = source.present("s3Location") {
        return Ok(Media::File(place.expect_object()?.required_text("uri")?.into_owned()));
    }
    let format = value.required_text("format")?;
    Ok(Media::Base64 { media_type: media_type(kind, &format), data: source.required_text("bytes")?.into_owned() })
}

fn document(value: Node<'_, '_>) -> Result<Media, ReadError> {
    let text = value.get("source").and_then(|source| source.get("text"));
    match text.filter(|text| text.kind() == Kind::String) {
        Some(text) => Ok(Media::Text(text.expect_text()?.into_owned())),
        None if value.present("format").is_none() => {
            let source = value.get("source").ok_or_else(|| value.error("`source` is missing"))?;
            match source.present("s3Location") {
                Some(place) => Ok(Media::File(place.expect_object()?.required_text("uri")?.into_owned())),
                None => Ok(Media::Base64 {
                    media_type: "application/pdf".to_owned(),
                    data: source.required_text("bytes")?.into_owned(),
                }),
            }
        }
        None => media(value, "document"),
    }
}

/// Formats of documents by their media types, the first of each format being the one that is written.
const DOCUMENTS: [(&str, &str); 10] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("md", "text/x-markdown"),
];

fn media_type(kind: &str, format: &str) -> String {
    match DOCUMENTS.iter().find(|(known, _)| kind == "document" && *known == format) {
        Some((_, media_type)) => (*media_type).to_owned(),
        None => format!("{}/{format}", if kind == "document" { "application" } else { kind }),
    }
}

/// The format of a document of this media type, where Bedrock has one.
pub(super) fn document_format(media_type: &str) -> Option<&'static str> {
    DOCUMENTS.iter().find(|(_, known)| *known == media_type).map(|(format, _)| *format)
}

/// The format of an image of this media type, where Bedrock has one.
pub(super) fn image_format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => return None,
    })
}

/// `{"text":…}`
pub(super) fn write_text(text: &str, json: &mut JsonWriter) {
    json.object(|json| json.string_member("text", text));
}

/// `{"reasoningContent":{"reasoningText":…}}`
pub(super) fn write_reasoning(text: &str, signature: Option<&str>, json: &mut JsonWriter) {
    json.object(|json| {
        json.object_member("reasoningContent", |json| {
            json.object_member("reasoningText", |json| {
                json.string_member("text", text);
                if let Some(signature) = signature {
                    json.string_member("signature", signature);
                }
            });
        });
    });
}

/// `{"reasoningContent":{"redactedContent":…}}`
pub(super) fn write_redacted(blob: &str, json: &mut JsonWriter) {
    json.object(|json| {
        json.object_member("reasoningContent", |json| json.string_member("redactedContent", blob));
    });
}
