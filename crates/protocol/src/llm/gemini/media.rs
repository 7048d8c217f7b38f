//! Pictures, sounds, films and documents: what they cost at most, and what they are in the representation.
//!
//! Owns the media types. Never looks into the data. Called by the dialect's walk, `decode` and `encode`.

use super::fields;
use crate::llm::{
    error::ReadError,
    estimate,
    ir::{Media, Part},
    node::Node,
    segments::MediaKind,
    write::JsonWriter,
};

/// What data of a media type is; without one, nobody here can say.
pub(super) fn kind(media_type: &str) -> MediaKind {
    match media_type.split('/').next().unwrap_or_default() {
        "image" => MediaKind::Image,
        "audio" => MediaKind::Sound,
        "application" => MediaKind::Document,
        _ => MediaKind::Other,
    }
}

/// The most tokens of data of which `base64` characters came with the request.
pub(super) fn tokens(media_type: &str, base64: usize) -> u64 {
    match media_type.split('/').next().unwrap_or_default() {
        "image" => estimate::IMAGE,
        "audio" => estimate::sound(base64),
        // A second of film is at most 300 tokens, and even a small picture takes some ten thousand bytes for it.
        "video" => estimate::IMAGE.saturating_add(base64 as u64 / 25),
        _ => estimate::document(base64),
    }
}

/// `inlineData` in the representation; `None` where no other API has a place for such data.
pub(super) fn inline(data: Node<'_, '_>) -> Result<Option<Part>, ReadError> {
    let media_type = fields::required_text(data.expect_object()?, "mimeType")?.into_owned();
    let content = fields::required_text(data, "data")?.into_owned();
    let (kind, subtype) = media_type.split_once('/').unwrap_or((&media_type, ""));
    Ok(match kind {
        "image" => Some(Part::Image { source: Media::Base64 { media_type, data: content }, detail: None, cache: None }),
        "audio" => {
            let format = if subtype == "mpeg" { "mp3" } else { subtype.trim_start_matches("x-") };
            Some(Part::Audio { format: format.to_owned(), data: content })
        }
        "application" | "text" => {
            let title = fields::text(data, "displayName").map(std::borrow::Cow::into_owned);
            Some(Part::Document { source: Media::Base64 { media_type, data: content }, title, cache: None })
        }
        _ => None,
    })
}

/// `fileData` in the representation: an address, or a file that only its vendor keeps.
pub(super) fn file(data: Node<'_, '_>) -> Result<Part, ReadError> {
    let uri = fields::required_text(data.expect_object()?, "fileUri")?.into_owned();
    let media_type = fields::text(data, "mimeType").unwrap_or_default();
    let kept = !uri.starts_with("http") || uri.contains("generativelanguage.googleapis.com/");
    let source = if kept { Media::File(uri) } else { Media::Url(uri) };
    Ok(if media_type.starts_with("image/") {
        Part::Image { source, detail: None, cache: None }
    } else {
        Part::Document { source, title: None, cache: None }
    })
}

/// `{"inlineData":{"mimeType","data"}}`
pub(super) fn write_inline(media_type: &str, data: &str, json: &mut JsonWriter) {
    json.object(|json| {
        json.object_member("inlineData", |json| {
            json.string_member("mimeType", media_type);
            json.string_member("data", data);
        });
    });
}

/// `{"fileData":{"fileUri","mimeType"}}`, of the type that the address's ending says.
pub(super) fn write_file(uri: &str, otherwise: &str, json: &mut JsonWriter) {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let media_type = match path.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        _ => otherwise,
    };
    json.object(|json| {
        json.object_member("fileData", |json| {
            json.string_member("fileUri", uri);
            json.string_member("mimeType", media_type);
        });
    });
}
