//! Items of a Responses request into messages of the representation.
//!
//! Owns what each item means. Items that only their vendor can act on refuse the call, those that only tell what that
//! vendor once did become losses. Called by `decode`, and by `answer` for what both directions share.

use std::borrow::Cow;

use super::{
    decode::extension,
    tools::{self, Declared},
    walk::type_of,
};
use crate::llm::{
    error::ReadError,
    forms::{fitting, told},
    ir::{Arguments, Media, Message, Part, Request, Role},
    node::Node,
    opaque::{self, Kind},
};

/// What a vendor has done itself in the course of an answer: its results stand in the text after it.
const DONE_BY_VENDOR: [&str; 8] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
    "mcp_call",
    "tool_search_call",
    "configuration_update",
];

pub(super) fn all(input: Node<'_, '_>, request: &mut Request, declared: &mut Declared) -> Result<(), ReadError> {
    if let Some(text) = input.text() {
        let parts = vec![Part::Text { text: text.into_owned(), cache: None }];
        request.messages.push(Message { role: Role::User, parts, pointer: "/input".to_owned() });
        return Ok(());
    }
    let mut phase = false;
    for (at, item) in input.expect_array()?.items().enumerate() {
        // Not asked of the tape, which would walk all items for each.
        let pointer = format!("/input/{at}");
        if !phase && item.present("phase").is_some() {
            phase = true;
            extension(format!("{pointer}/phase"), request);
        }
        one(item, pointer, request, declared)?;
    }
    Ok(())
}

fn one(item: Node<'_, '_>, pointer: String, request: &mut Request, declared: &mut Declared) -> Result<(), ReadError> {
    let kind = type_of(item.expect_object()?);
    let (role, part) = match &*kind {
        "message" | "" => return message(item, pointer, request),
        "function_call" | "custom_tool_call" => (Role::Assistant, call(item, &kind)?),
        "function_call_output" | "custom_tool_call_output" => (Role::User, output(item, &pointer)?),
        "reasoning" => (Role::Assistant, reasoning(item)?),
        "additional_tools" | "tool_search_output" => {
            let list = item.get("tools").ok_or_else(|| item.error("`tools` is missing"))?;
            return tools::declare(list, &format!("{pointer}/tools"), declared);
        }
        done if DONE_BY_VENDOR.contains(&done) => {
            (Role::Assistant, Part::Foreign { kind: done.to_owned(), pointer: pointer.clone() })
        }
        "item_reference" => {
            return Err(item.error("names an item that only its vendor keeps; send the item itself"));
        }
        other => {
            return Err(item.error(format!(
                "items of type `{other}` exist only at their own vendor; ask for a model of that vendor"
            )));
        }
    };
    request.messages.push(Message { role, parts: vec![part], pointer });
    Ok(())
}

fn message(item: Node<'_, '_>, pointer: String, request: &mut Request) -> Result<(), ReadError> {
    let role = match &*item.required_text("role")? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(item.error(format!("role `{other}` is none of system, developer, user, assistant"))),
    };
    let content = item.get("content").ok_or_else(|| item.error("`content` is missing"))?;
    let parts = parts(content, &format!("{pointer}/content"))?;
    if role != Role::System || !request.messages.is_empty() {
        request.messages.push(Message { role, parts, pointer });
        return Ok(());
    }
    for part in parts {
        match part {
            Part::Text { text, .. } => request.system.push((text, None)),
            _ => return Err(item.error("a system or developer message can hold text only")),
        }
    }
    Ok(())
}

/// The parts of a text or of an array of parts, which stands at `pointer`.
pub(super) fn parts(content: Node<'_, '_>, pointer: &str) -> Result<Vec<Part>, ReadError> {
    if let Some(text) = content.text() {
        let text = text.into_owned();
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::Text { text, cache: None }] });
    }
    content.expect_array()?.items().enumerate().map(|(at, node)| part(node, format!("{pointer}/{at}"))).collect()
}

fn part(node: Node<'_, '_>, pointer: String) -> Result<Part, ReadError> {
    let kind = node.expect_object()?.required_text("type")?;
    let text = |name| node.optional_text(name);
    Ok(match &*kind {
        "input_text" | "output_text" | "text" => {
            Part::Text { text: node.required_text("text")?.into_owned(), cache: None }
        }
        "refusal" => Part::Refusal { text: node.required_text("refusal")?.into_owned() },
        "input_image" => Part::Image {
            source: match (text("image_url")?, text("file_id")?) {
                (Some(url), _) => media(&url, None),
                (None, Some(id)) => Media::File(id.into_owned()),
                (None, None) => return Err(node.error("holds neither `image_url` nor `file_id`")),
            },
            detail: text("detail")?.map(Cow::into_owned),
            cache: None,
        },
        "input_file" => Part::Document {
            source: match (text("file_data")?, text("file_url")?, text("file_id")?) {
                (Some(data), _, _) => media(&data, Some("application/pdf")),
                (None, Some(url), _) => Media::Url(url.into_owned()),
                (None, None, Some(id)) => Media::File(id.into_owned()),
                (None, None, None) => {
                    return Err(node.error("holds none of `file_data`, `file_url` and `file_id`"));
                }
            },
            title: text("filename")?.map(Cow::into_owned),
            cache: None,
        },
        "input_audio" => {
            let audio = node.get("input_audio").ok_or_else(|| node.error("`input_audio` is missing"))?;
            Part::Audio {
                data: audio.required_text("data")?.into_owned(),
                format: audio.required_text("format")?.into_owned(),
            }
        }
        other => Part::Foreign { kind: other.to_owned(), pointer },
    })
}

/// `data:TYPE;base64,DATA` (RFC 2397); else an address, or data alone where it is known to be `plain`.
fn media(text: &str, plain: Option<&str>) -> Media {
    let embedded = text.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    let media_type = embedded.and_then(|(head, _)| head.strip_suffix(";base64"));
    match (embedded, media_type, plain) {
        (Some((_, data)), Some(media_type), _) => Media::Base64 {
            media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
            data: data.to_owned(),
        },
        (_, _, Some(media_type)) => Media::Base64 { media_type: media_type.to_owned(), data: text.to_owned() },
        (_, _, None) => Media::Url(text.to_owned()),
    }
}

/// A call by its `call_id`: the item's own id is another thing, and no result names it.
pub(super) fn call(item: Node<'_, '_>, kind: &str) -> Result<Part, ReadError> {
    let namespace = item.optional_text("namespace")?;
    let arguments = if kind == "custom_tool_call" {
        tools::arguments_of(&item.required_text("input")?)
    } else {
        item.optional_text("arguments")?.unwrap_or_default().into_owned()
    };
    Ok(Part::ToolCall {
        id: fitting(&item.required_text("call_id")?, "call"),
        name: told(namespace.as_deref(), &item.required_text("name")?),
        arguments: Arguments(arguments),
        cache: None,
    })
}

fn output(item: Node<'_, '_>, pointer: &str) -> Result<Part, ReadError> {
    let output = item.get("output").ok_or_else(|| item.error("`output` is missing"))?;
    Ok(Part::ToolResult {
        id: fitting(&item.required_text("call_id")?, "call"),
        content: parts(output, &format!("{pointer}/output"))?,
        is_error: false,
        cache: None,
    })
}

/// Reasoning: another vendor's that this gateway wrapped, or this one's own, which goes back whole.
pub(super) fn reasoning(item: Node<'_, '_>) -> Result<Part, ReadError> {
    let text = said(item);
    let encrypted = item.optional_text("encrypted_content")?;
    let Some(encrypted) = encrypted.filter(|data| !data.is_empty()) else {
        return Ok(Part::Reasoning { text, signature: None, scope: None });
    };
    let scope = |label: &str| (!label.is_empty()).then(|| label.to_owned());
    Ok(match opaque::unwrap(&encrypted) {
        Some(inner) if inner.kind == Kind::Signed => {
            Part::Reasoning { text, signature: Some(inner.data.to_owned()), scope: scope(inner.label) }
        }
        Some(inner) if inner.kind == Kind::Redacted => {
            Part::RedactedReasoning { data: inner.data.to_owned(), scope: scope(inner.label) }
        }
        _ => {
            let id = item.optional_text("id")?.unwrap_or_default();
            Part::Reasoning { text, signature: Some(opaque::wrap(Kind::Item, &id, &encrypted)), scope: None }
        }
    })
}

/// What reasoning says in words: its summary, then its text, parts apart by an empty line.
fn said(item: Node<'_, '_>) -> String {
    let mut text = String::new();
    for part in ["summary", "content"].iter().filter_map(|name| item.get(name)).flat_map(Node::items) {
        let Some(more) = part.get("text").and_then(Node::text) else { continue };
        if !text.is_empty() {
            text.push_str(super::BETWEEN_PARTS);
        }
        text.push_str(&more);
    }
    text
}
