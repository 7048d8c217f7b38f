//! A Chat request into the representation.
//!
//! Owns what each member means. Refuses content that it does not understand; settings it does not understand become
//! extensions, which the target's encoder notes as losses. Called on the translated lane.

use super::wire::{REASONING_BLOCKS, REASONING_SCOPE, REASONING_TEXT};
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        ir::{
            Arguments, Extension, Media, Message, OutputFormat, Part, RawJson, Request, Role, Sampling, SamplingKind,
            Thinking, Tool, ToolChoice,
        },
        node::{Node, pointer_to},
    },
};

pub(super) fn request(root: Node<'_, '_>) -> Result<Request, ReadError> {
    let mut request = Request::default();
    let (mut newer, mut older) = (None, None);
    for (name, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match &*name {
            "model" | "stream_options" => {}
            "messages" => messages(value, &mut request)?,
            "stream" => request.stream = value.expect_bool()?,
            "max_completion_tokens" => newer = Some(value.expect_count(1)?),
            "max_tokens" => older = Some(value.expect_count(1)?),
            "temperature" => request.temperature = Some(RawJson(value.expect_number()?.to_owned())),
            "top_p" => request.top_p = Some(RawJson(value.expect_number()?.to_owned())),
            "stop" => request.stop = stop(value)?,
            "tools" => {
                request.tools = value
                    .expect_array()?
                    .items()
                    .enumerate()
                    .map(|(at, node)| tool(node, at))
                    .collect::<Result<_, _>>()?;
            }
            "tool_choice" => request.tool_choice = Some(tool_choice(value)?),
            "parallel_tool_calls" => request.parallel_tools = Some(value.expect_bool()?),
            "reasoning_effort" => match &*value.expect_text()? {
                "none" => request.thinking = Some(Thinking::Disabled),
                effort => request.effort = Some(effort.to_owned()),
            },
            "response_format" => request.format = format(value)?,
            "user" => request.user = Some(value.expect_text()?.into_owned()),
            "service_tier" => request.service_tier = Some(value.expect_text()?.into_owned()),
            "functions" | "function_call" => {
                return Err(value.error("is the old form of tools; send `tools` and `tool_choice`"));
            }
            _ if harmless(&name, value) => {}
            "seed" => sampling(SamplingKind::Seed, &name, value, &mut request),
            "presence_penalty" => sampling(SamplingKind::PresencePenalty, &name, value, &mut request),
            "frequency_penalty" => sampling(SamplingKind::FrequencyPenalty, &name, value, &mut request),
            _ => request.extensions.push(Extension { pointer: pointer_to(&name) }),
        }
    }
    request.max_output = newer.or(older);
    Ok(request)
}

/// A setting that some dialects have too; it is an extension for the others.
fn sampling(kind: SamplingKind, name: &str, value: Node<'_, '_>, request: &mut Request) {
    let pointer = pointer_to(name);
    if value.kind() == Kind::Number {
        let value = RawJson(value.raw().to_owned());
        request.sampling.push(Sampling { kind, value, pointer: pointer.clone() });
    }
    request.extensions.push(Extension { pointer });
}

/// Members at the value that they have when absent: nothing is lost with them.
fn harmless(name: &str, value: Node<'_, '_>) -> bool {
    match name {
        "n" => value.as_u64() == Some(1),
        "logprobs" | "store" => value.as_bool() == Some(false),
        "frequency_penalty" | "presence_penalty" => matches!(value.raw(), "0" | "0.0" | "0e0"),
        "logit_bias" | "metadata" => value.kind() == Kind::Object && value.members().next().is_none(),
        _ => false,
    }
}

fn stop(value: Node<'_, '_>) -> Result<Vec<String>, ReadError> {
    if let Some(one) = value.text() {
        return Ok(vec![one.into_owned()]);
    }
    value.expect_array()?.items().map(|item| item.expect_text().map(std::borrow::Cow::into_owned)).collect()
}

fn tool(node: Node<'_, '_>, at: usize) -> Result<Tool, ReadError> {
    let kind = node.expect_object()?.required_text("type")?;
    if kind != "function" {
        return Err(
            node.error(format!("tools of type `{kind}` exist only at the vendor that runs them; declare a function"))
        );
    }
    let function = node.get("function").ok_or_else(|| node.error("`function` is missing"))?.expect_object()?;
    Ok(Tool {
        name: function.required_text("name")?.into_owned(),
        description: function.optional_text("description")?.map(std::borrow::Cow::into_owned),
        schema: match function.present("parameters") {
            Some(schema) => RawJson(schema.expect_object()?.raw().to_owned()),
            None => RawJson(r#"{"type":"object","properties":{}}"#.to_owned()),
        },
        strict: function.present("strict").map(Node::expect_bool).transpose()?,
        cache: cache(node),
        pointer: format!("/tools/{at}"),
    })
}

fn tool_choice(node: Node<'_, '_>) -> Result<ToolChoice, ReadError> {
    if let Some(word) = node.text() {
        return match &*word {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Any),
            _ => Err(node.error("must be `auto`, `none`, `required` or an object that names a function")),
        };
    }
    match node.expect_object()?.get("function") {
        Some(function) if node.get("type").is_some_and(|kind| kind.text_is("function")) => {
            Ok(ToolChoice::Named(function.required_text("name")?.into_owned()))
        }
        _ => Err(node.error("names a choice that only its own vendor knows; name a function")),
    }
}

fn format(node: Node<'_, '_>) -> Result<Option<OutputFormat>, ReadError> {
    match &*node.expect_object()?.required_text("type")? {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputFormat::JsonObject)),
        "json_schema" => {
            let outer = node.get("json_schema").ok_or_else(|| node.error("`json_schema` is missing"))?;
            let schema = outer.get("schema").ok_or_else(|| outer.error("`schema` is missing"))?;
            Ok(Some(OutputFormat::Schema {
                name: outer.optional_text("name")?.map(std::borrow::Cow::into_owned),
                schema: RawJson(schema.expect_object()?.raw().to_owned()),
                strict: outer.present("strict").map(Node::expect_bool).transpose()?,
            }))
        }
        other => Err(node.error(format!("`{other}` is no known form; use `text`, `json_object` or `json_schema`"))),
    }
}

fn cache(node: Node<'_, '_>) -> Option<RawJson> {
    node.present("cache_control").map(|hint| RawJson(hint.raw().to_owned()))
}

fn messages(list: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (at, node) in list.expect_array()?.items().enumerate() {
        // Not asked of the tape, which would walk all messages for each.
        let pointer = format!("/messages/{at}");
        let role = node.expect_object()?.required_text("role")?;
        let mut parts = Vec::new();
        let role = match &*role {
            "system" | "developer" => {
                content(node, &pointer, &mut parts)?;
                if request.messages.is_empty() {
                    for part in parts {
                        match part {
                            Part::Text { text, cache } => request.system.push((text, cache)),
                            _ => return Err(node.error("a system message can hold text only")),
                        }
                    }
                    continue;
                }
                Role::System
            }
            "user" => {
                content(node, &pointer, &mut parts)?;
                Role::User
            }
            "assistant" => {
                assistant(node, &pointer, &mut parts)?;
                Role::Assistant
            }
            "tool" => {
                let mut inner = Vec::new();
                content(node, &pointer, &mut inner)?;
                parts.push(Part::ToolResult {
                    id: node.required_text("tool_call_id")?.into_owned(),
                    content: inner,
                    is_error: false,
                    cache: cache(node),
                });
                Role::User
            }
            other => {
                return Err(node.error(format!("role `{other}` is none of system, developer, user, assistant, tool")));
            }
        };
        request.messages.push(Message { role, parts, pointer });
    }
    Ok(())
}

fn content(node: Node<'_, '_>, pointer: &str, parts: &mut Vec<Part>) -> Result<(), ReadError> {
    let Some(content) = node.present("content") else { return Ok(()) };
    if let Some(text) = content.text() {
        if !text.is_empty() {
            parts.push(Part::Text { text: text.into_owned(), cache: cache(node) });
        }
        return Ok(());
    }
    for (at, item) in content.expect_array()?.items().enumerate() {
        match part(item)? {
            Part::Foreign { kind, .. } => {
                parts.push(Part::Foreign { kind, pointer: format!("{pointer}/content/{at}") });
            }
            known => parts.push(known),
        }
    }
    Ok(())
}

fn part(node: Node<'_, '_>) -> Result<Part, ReadError> {
    let kind = node.expect_object()?.required_text("type")?;
    let inner = || node.get(&kind).ok_or_else(|| node.error(format!("`{kind}` is missing")));
    match &*kind {
        "text" => Ok(Part::Text { text: node.required_text("text")?.into_owned(), cache: cache(node) }),
        "refusal" => Ok(Part::Refusal { text: node.required_text("refusal")?.into_owned() }),
        "image_url" => {
            let image = inner()?;
            let url = match image.text() {
                Some(url) => url,
                None => image.required_text("url")?,
            };
            Ok(Part::Image {
                source: data_url(&url).unwrap_or_else(|| Media::Url(url.into_owned())),
                detail: image.optional_text("detail")?.map(std::borrow::Cow::into_owned),
                cache: cache(node),
            })
        }
        "input_audio" => {
            let audio = inner()?;
            Ok(Part::Audio {
                data: audio.required_text("data")?.into_owned(),
                format: audio.required_text("format")?.into_owned(),
            })
        }
        "file" => {
            let file = inner()?;
            let source = match (file.optional_text("file_data")?, file.optional_text("file_id")?) {
                (Some(data), _) => data_url(&data).unwrap_or_else(|| Media::Base64 {
                    media_type: "application/pdf".to_owned(),
                    data: data.into_owned(),
                }),
                (None, Some(id)) => Media::File(id.into_owned()),
                (None, None) => return Err(file.error("holds neither `file_data` nor `file_id`")),
            };
            Ok(Part::Document {
                source,
                title: file.optional_text("filename")?.map(std::borrow::Cow::into_owned),
                cache: cache(node),
            })
        }
        other => Ok(Part::Foreign { kind: other.to_owned(), pointer: String::new() }),
    }
}

/// `data:TYPE;base64,DATA` (RFC 2397).
fn data_url(url: &str) -> Option<Media> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = media_type.split(';').next().unwrap_or_default();
    Some(Media::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
}

fn assistant(node: Node<'_, '_>, pointer: &str, parts: &mut Vec<Part>) -> Result<(), ReadError> {
    reasoning(node, parts)?;
    content(node, pointer, parts)?;
    if let Some(refusal) = node.optional_text("refusal")? {
        parts.push(Part::Refusal { text: refusal.into_owned() });
    }
    if let Some(call) = node.present("function_call") {
        return Err(call.error("is the old form of tool calls; send `tool_calls`"));
    }
    for call in node.present("tool_calls").map(Node::expect_array).transpose()?.into_iter().flat_map(Node::items) {
        let function = call.get("function").ok_or_else(|| call.error("only calls of functions can be translated"))?;
        parts.push(Part::ToolCall {
            id: call.required_text("id")?.into_owned(),
            name: function.required_text("name")?.into_owned(),
            arguments: Arguments(function.optional_text("arguments")?.unwrap_or_default().into_owned()),
            cache: cache(call),
        });
    }
    Ok(())
}

/// Signed blocks where there are some; else the bare text, which no other vendor takes back.
pub(super) fn reasoning(node: Node<'_, '_>, parts: &mut Vec<Part>) -> Result<(), ReadError> {
    if let Some(blocks) = node.present(REASONING_BLOCKS) {
        for block in blocks.expect_array()?.items() {
            let scope = block.expect_object()?.optional_text(REASONING_SCOPE)?.map(std::borrow::Cow::into_owned);
            parts.push(match &*block.required_text("type")? {
                "redacted_thinking" => {
                    Part::RedactedReasoning { data: block.required_text("data")?.into_owned(), scope }
                }
                _ => Part::Reasoning {
                    text: block.required_text("thinking")?.into_owned(),
                    signature: block
                        .optional_text("signature")?
                        .filter(|signature| !signature.is_empty())
                        .map(std::borrow::Cow::into_owned),
                    scope,
                },
            });
        }
        return Ok(());
    }
    for name in [REASONING_TEXT, "reasoning"] {
        if let Some(text) = node.present(name).and_then(Node::text).filter(|text| !text.is_empty()) {
            parts.push(Part::Reasoning { text: text.into_owned(), signature: None, scope: None });
            return Ok(());
        }
    }
    Ok(())
}
