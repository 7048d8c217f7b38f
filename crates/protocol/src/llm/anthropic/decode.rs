//! A Messages request into the representation.
//!
//! Owns what each member and block means. Refuses content that it does not understand; settings it does not understand
//! become extensions, which the target's encoder notes as losses. Called on the translated lane.

use std::borrow::Cow;

use super::thread;
use crate::llm::{
    error::ReadError,
    ir::{
        Arguments, Extension, Media, Message, OutputFormat, Part, RawJson, Request, Role, Sampling, SamplingKind,
        Thinking, Tool, ToolChoice,
    },
    node::{Node, pointer_to},
    opaque,
};

pub(super) fn request(root: Node<'_, '_>) -> Result<Request, ReadError> {
    let mut request = Request::default();
    thread::refuse(root)?;
    for (name, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match &*name {
            "model" => {}
            "system" => system(value, &mut request)?,
            "messages" => {
                messages(value, &mut request)?;
                citations(value, &mut request);
            }
            "stream" => request.stream = value.expect_bool()?,
            "max_tokens" => request.max_output = Some(value.expect_count(1)?),
            "temperature" => request.temperature = Some(RawJson(value.expect_number()?.to_owned())),
            "top_p" => request.top_p = Some(RawJson(value.expect_number()?.to_owned())),
            "stop_sequences" => {
                request.stop = value
                    .expect_array()?
                    .items()
                    .map(|item| item.expect_text().map(Cow::into_owned))
                    .collect::<Result<_, _>>()?;
            }
            "tools" => {
                request.tools = value
                    .expect_array()?
                    .items()
                    .enumerate()
                    .map(|(at, node)| tool(node, at))
                    .collect::<Result<_, _>>()?;
            }
            "tool_choice" => tool_choice(value, &mut request)?,
            "thinking" => thinking(value, &mut request)?,
            "output_config" => output_config(value, &mut request)?,
            "metadata" => metadata(value, &mut request)?,
            "service_tier" => request.service_tier = Some(value.expect_text()?.into_owned()),
            "top_k" => {
                let value = RawJson(value.expect_number()?.to_owned());
                let pointer = pointer_to(&name);
                extension(pointer.clone(), &mut request);
                request.sampling.push(Sampling { kind: SamplingKind::TopK, value, pointer });
            }
            _ => extension(pointer_to(&name), &mut request),
        }
    }
    Ok(request)
}

/// The first document that is to be cited: no other API has a word for it.
fn citations(messages: Node<'_, '_>, request: &mut Request) {
    let wanted = |block: Node<'_, '_>| {
        let enabled = block.present("citations").and_then(|citations| citations.get("enabled"));
        enabled.and_then(Node::as_bool) == Some(true)
    };
    for (at, message) in messages.items().enumerate() {
        let content = message.get("content").into_iter().flat_map(Node::items);
        if let Some((block, _)) = content.enumerate().find(|(_, block)| wanted(*block)) {
            return extension(format!("/messages/{at}/content/{block}/citations"), request);
        }
    }
}

fn extension(pointer: impl Into<String>, request: &mut Request) {
    request.extensions.push(Extension { pointer: pointer.into() });
}

fn cache(node: Node<'_, '_>) -> Option<RawJson> {
    node.present("cache_control").map(|hint| RawJson(hint.raw().to_owned()))
}

fn system(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    if let Some(text) = value.text() {
        if !text.is_empty() {
            request.system.push((text.into_owned(), None));
        }
        return Ok(());
    }
    for block in value.expect_array()?.items() {
        request.system.push((block.expect_object()?.required_text("text")?.into_owned(), cache(block)));
    }
    Ok(())
}

fn messages(list: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (at, node) in list.expect_array()?.items().enumerate() {
        let pointer = format!("/messages/{at}");
        let role = match &*node.expect_object()?.required_text("role")? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => return Err(node.error(format!("role `{other}` is none of user, assistant, system"))),
        };
        let content = node.get("content").ok_or_else(|| node.error("`content` is missing"))?;
        let parts = parts(content, &format!("{pointer}/content"))?;
        request.messages.push(Message { role, parts, pointer });
    }
    Ok(())
}

/// The parts of a text or of an array of blocks, which stands at `pointer`.
pub(super) fn parts(content: Node<'_, '_>, pointer: &str) -> Result<Vec<Part>, ReadError> {
    if let Some(text) = content.text() {
        return Ok(if text.is_empty() {
            Vec::new()
        } else {
            vec![Part::Text { text: text.into_owned(), cache: None }]
        });
    }
    content.expect_array()?.items().enumerate().map(|(at, block)| part(block, pointer, at)).collect()
}

fn part(block: Node<'_, '_>, pointer: &str, at: usize) -> Result<Part, ReadError> {
    let kind = block.expect_object()?.required_text("type")?;
    Ok(match &*kind {
        "text" => Part::Text { text: block.required_text("text")?.into_owned(), cache: cache(block) },
        "thinking" => {
            let signature = block.optional_text("signature")?.filter(|signature| !signature.is_empty());
            let (signature, scope) = signature.as_deref().map(opaque::unscoped).unzip();
            Part::Reasoning {
                text: block.required_text("thinking")?.into_owned(),
                signature: signature.map(str::to_owned),
                scope: scope.flatten().map(str::to_owned),
            }
        }
        "redacted_thinking" => {
            let data = block.required_text("data")?;
            let (data, scope) = opaque::unscoped(&data);
            Part::RedactedReasoning { data: data.to_owned(), scope: scope.map(str::to_owned) }
        }
        "tool_use" => Part::ToolCall {
            id: block.required_text("id")?.into_owned(),
            name: block.required_text("name")?.into_owned(),
            arguments: arguments(block)?,
            cache: cache(block),
        },
        "tool_result" => Part::ToolResult {
            id: block.required_text("tool_use_id")?.into_owned(),
            content: match block.present("content") {
                Some(content) => parts(content, &format!("{pointer}/{at}/content"))?,
                None => Vec::new(),
            },
            is_error: block.present("is_error").map(Node::expect_bool).transpose()?.unwrap_or(false),
            cache: cache(block),
        },
        "image" => Part::Image { source: source(block)?, detail: None, cache: cache(block) },
        "document"
            if block
                .get("source")
                .and_then(|source| source.get("type"))
                .is_some_and(|kind| !kind.text_is("content")) =>
        {
            Part::Document {
                source: source(block)?,
                title: block.optional_text("title")?.map(Cow::into_owned),
                cache: cache(block),
            }
        }
        other => Part::Foreign { kind: other.to_owned(), pointer: format!("{pointer}/{at}") },
    })
}

/// The arguments of a call; of one that was cut short, the text as far as it came.
fn arguments(block: Node<'_, '_>) -> Result<Arguments, ReadError> {
    if block.get("incomplete").and_then(Node::as_bool) == Some(true)
        && let Some(partial) = block.get("partial_json").and_then(Node::text)
    {
        return Ok(Arguments(partial.into_owned()));
    }
    let input = block.get("input").ok_or_else(|| block.error("`input` is missing; it must be an object"))?;
    Ok(Arguments(input.expect_object()?.raw().to_owned()))
}

fn source(block: Node<'_, '_>) -> Result<Media, ReadError> {
    let source = block.get("source").ok_or_else(|| block.error("`source` is missing"))?.expect_object()?;
    Ok(match &*source.required_text("type")? {
        "base64" => Media::Base64 {
            media_type: source.required_text("media_type")?.into_owned(),
            data: source.required_text("data")?.into_owned(),
        },
        "url" => Media::Url(source.required_text("url")?.into_owned()),
        "text" => Media::Text(source.required_text("data")?.into_owned()),
        "file" => Media::File(source.required_text("file_id")?.into_owned()),
        other => return Err(source.error(format!("source type `{other}` cannot be translated; send base64 or a URL"))),
    })
}

fn tool(node: Node<'_, '_>, at: usize) -> Result<Tool, ReadError> {
    let name = node.expect_object()?.required_text("name")?.into_owned();
    if let Some(kind) = node.optional_text("type")?.filter(|kind| kind != "custom") {
        return Err(node.error(format!(
            "tool type `{kind}` exists only at the vendor that runs it; declare a tool with `input_schema`"
        )));
    }
    let schema = node.get("input_schema").ok_or_else(|| node.error("`input_schema` is missing"))?;
    Ok(Tool {
        name,
        description: node.optional_text("description")?.map(Cow::into_owned),
        schema: RawJson(schema.expect_object()?.raw().to_owned()),
        strict: node.present("strict").map(Node::expect_bool).transpose()?,
        cache: cache(node),
        pointer: format!("/tools/{at}"),
    })
}

fn tool_choice(node: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    request.tool_choice = Some(match &*node.expect_object()?.required_text("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(node.required_text("name")?.into_owned()),
        other => return Err(node.error(format!("`{other}` is none of auto, any, none, tool"))),
    });
    let disabled = node.present("disable_parallel_tool_use").map(Node::expect_bool).transpose()?;
    request.parallel_tools = disabled.map(|disabled| !disabled);
    Ok(())
}

fn thinking(node: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    match &*node.expect_object()?.required_text("type")? {
        "disabled" => request.thinking = Some(Thinking::Disabled),
        "adaptive" => request.thinking = Some(Thinking::Adaptive),
        "enabled" => {
            let budget = node.get("budget_tokens").ok_or_else(|| node.error("`budget_tokens` is missing"))?;
            request.thinking = Some(Thinking::Budget(budget.expect_count(1)?));
        }
        _ => extension("/thinking", request),
    }
    Ok(())
}

fn output_config(node: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in node.expect_object()?.members() {
        match &*name {
            _ if value.is_null() => {}
            "effort" => request.effort = Some(value.expect_text()?.into_owned()),
            "format" if value.get("type").is_some_and(|kind| kind.text_is("json_schema")) => {
                let schema = value.get("schema").ok_or_else(|| value.error("`schema` is missing"))?.expect_object()?;
                request.format =
                    Some(OutputFormat::Schema { name: None, schema: RawJson(schema.raw().to_owned()), strict: None });
            }
            _ => extension(format!("/output_config{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}

fn metadata(node: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in node.expect_object()?.members() {
        if value.is_null() {
            continue;
        }
        if name == "user_id" {
            request.user = Some(value.expect_text()?.into_owned());
        } else {
            extension(format!("/metadata{}", pointer_to(&name)), request);
        }
    }
    Ok(())
}
