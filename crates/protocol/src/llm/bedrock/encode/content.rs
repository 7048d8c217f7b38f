//! The content of a turn as blocks of Converse.
//!
//! Owns which block says what, and the names of documents, which the API wants and wants to differ. Called by `encode`.

use std::collections::HashSet;

use super::{super::blocks, cache_point, object};
use crate::llm::{
    error::{PrepareError, clip},
    ir::{Media, Message, Part, Role},
    loss::Loss,
    names, opaque,
    target::TargetWire,
    write::JsonWriter,
};

/// The longest name of a document.
const MOST_DOCUMENT_NAME: usize = 180;

/// What writing content needs.
pub(super) struct Content<'all> {
    to: &'all TargetWire<'all>,
    pub(super) losses: &'all mut Vec<Loss>,
    documents: HashSet<String>,
}

impl<'all> Content<'all> {
    pub(super) fn new(to: &'all TargetWire<'all>, losses: &'all mut Vec<Loss>) -> Self {
        Self { to, losses, documents: HashSet::new() }
    }

    /// Writes a part, with its cache point; says whether it wrote anything.
    pub(super) fn part(&mut self, part: &Part, message: &Message, json: &mut JsonWriter) -> Result<bool, PrepareError> {
        match part {
            // The API refuses empty texts.
            Part::Text { text, .. } if text.is_empty() => return Ok(false),
            Part::Text { text, .. } | Part::Refusal { text } => blocks::write_text(text, json),
            Part::Image { source, detail, .. } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    let why = "dropped: the target chooses it by itself";
                    self.losses.push(Loss::new(message.pointer.clone(), "detail", why));
                }
                image(source, message, json)?;
            }
            Part::Document { source, title, .. } => self.document(source, title.as_deref(), message, json)?,
            Part::Audio { data, format } => json.object(|json| {
                json.object_member("audio", |json| {
                    json.string_member("format", format);
                    json.object_member("source", |json| json.string_member("bytes", data));
                });
            }),
            Part::ToolCall { id, name, arguments, .. } => {
                let input = object(&arguments.0).ok_or_else(|| {
                    invalid(message, format!("the arguments of the tool call `{id}` are no JSON object"))
                })?;
                json.object(|json| {
                    json.object_member("toolUse", |json| {
                        json.string_member("toolUseId", &names::fitting(id, "call"));
                        json.string_member("name", &names::fitting(name, "tool"));
                        json.raw_member("input", input);
                    });
                });
            }
            Part::ToolResult { id, content, is_error, .. } => {
                self.result(id, content, *is_error, message, json)?;
            }
            Part::Reasoning { text, signature: Some(signature), scope }
                if self.in_scope(scope.as_deref()) && !opaque::is_wrapped(signature) =>
            {
                blocks::write_reasoning(text, Some(signature), json);
            }
            Part::RedactedReasoning { data, scope } if self.in_scope(scope.as_deref()) => {
                blocks::write_redacted(data, json);
            }
            Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {
                let why = "dropped: only the model that signed it may be shown it again";
                self.losses.push(Loss::new(message.pointer.clone(), "reasoning", why));
                return Ok(false);
            }
            Part::Foreign { kind, pointer } if message.role == Role::Assistant => {
                let why = "dropped: only its own vendor knows it";
                self.losses.push(Loss::new(pointer.clone(), kind.clone(), why));
                return Ok(false);
            }
            Part::Foreign { kind, pointer } => {
                return Err(PrepareError::Invalid {
                    pointer: pointer.clone(),
                    message: format!(
                        "content of type `{kind}` exists only at its own vendor; ask for a model of that vendor"
                    ),
                });
            }
        }
        if let Some(hint) = blocks::hint(part) {
            cache_point(hint, json);
        }
        Ok(true)
    }

    fn in_scope(&self, scope: Option<&str>) -> bool {
        self.to.reasoning_scope.is_none_or(|own| scope == Some(own))
    }

    fn result(
        &mut self,
        id: &str,
        content: &[Part],
        is_error: bool,
        message: &Message,
        json: &mut JsonWriter,
    ) -> Result<(), PrepareError> {
        json.begin_object();
        json.key("toolResult");
        json.begin_object();
        json.string_member("toolUseId", &names::fitting(id, "call"));
        json.key("content");
        json.begin_array();
        let mut written = false;
        for part in content {
            // A cache point stands behind the whole result.
            let mut bare = part.clone();
            if let Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } = &mut bare {
                *cache = None;
            }
            written |= self.part(&bare, message, json)?;
        }
        if !written {
            // The API wants something here, and nothing was said.
            json.raw(r#"{"text":" "}"#);
        }
        json.end_array();
        if is_error {
            json.string_member("status", "error");
        }
        json.end_object();
        json.end_object();
        Ok(())
    }

    fn document(
        &mut self,
        source: &Media,
        title: Option<&str>,
        message: &Message,
        json: &mut JsonWriter,
    ) -> Result<(), PrepareError> {
        let name = self.document_name(title);
        let (format, kind, data) = match source {
            Media::Base64 { media_type, data } => {
                let format = blocks::document_format(media_type).ok_or_else(|| {
                    let known = "pdf, csv, doc, docx, xls, xlsx, html, txt, md";
                    invalid(message, format!("the target takes no documents of type `{media_type}`; it takes {known}"))
                })?;
                (format, "bytes", data)
            }
            Media::Text(text) => ("txt", "text", text),
            Media::Url(_) => return Err(invalid(message, by_value("documents"))),
            Media::File(_) => return Err(invalid(message, FILE_ID.to_owned())),
        };
        json.object(|json| {
            json.object_member("document", |json| {
                json.string_member("format", format);
                json.string_member("name", &name);
                json.object_member("source", |json| json.string_member(kind, data));
            });
        });
        Ok(())
    }

    /// A name as the API takes it: letters, digits, single spaces, hyphens, parentheses and square brackets; another
    /// one for each document.
    fn document_name(&mut self, title: Option<&str>) -> String {
        let mut name = String::new();
        for letter in title.unwrap_or_default().chars() {
            match letter {
                letter if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']') => {
                    name.push(letter);
                }
                _ if name.ends_with(' ') || name.is_empty() => {}
                _ => name.push(' '),
            }
        }
        let name = clip(name.trim(), MOST_DOCUMENT_NAME).trim();
        let name = if name.is_empty() { "document" } else { name };
        let mut unique = name.to_owned();
        let mut number = 1_u32;
        while !self.documents.insert(unique.clone()) {
            number = number.saturating_add(1);
            unique = format!("{name} {number}");
        }
        unique
    }
}

const FILE_ID: &str = "a file id means something only at the provider that gave it; send the file itself as base64";

fn by_value(what: &str) -> String {
    format!("the target's API takes no {what} by URL; send them as base64")
}

fn invalid(message: &Message, text: String) -> PrepareError {
    PrepareError::Invalid { pointer: message.pointer.clone(), message: text }
}

fn image(source: &Media, message: &Message, json: &mut JsonWriter) -> Result<(), PrepareError> {
    let Media::Base64 { media_type, data } = source else {
        let text = if matches!(source, Media::Url(_)) { by_value("images") } else { FILE_ID.to_owned() };
        return Err(invalid(message, text));
    };
    let format = blocks::image_format(media_type).ok_or_else(|| {
        invalid(message, format!("the target takes no images of type `{media_type}`; it takes png, jpeg, gif, webp"))
    })?;
    json.object(|json| {
        json.object_member("image", |json| {
            json.string_member("format", format);
            json.object_member("source", |json| json.string_member("bytes", data));
        });
    });
    Ok(())
}
