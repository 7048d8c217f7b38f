//! A Converse request into the representation.
//!
//! Owns what each member means. Refuses content that it does not understand; settings it does not understand become
//! extensions, which the target's encoder notes as losses. Called on the translated lane.

use std::borrow::Cow;

use super::blocks;
use crate::llm::{
    error::ReadError,
    ir::{Extension, Message, OutputFormat, RawJson, Request, Role, Thinking, Tool, ToolChoice},
    node::{Node, pointer_to},
};

pub(super) fn request(root: Node<'_, '_>) -> Result<Request, ReadError> {
    let mut request = Request::default();
    let counted = root.get("input").and_then(|input| input.get("converse"));
    for (name, value) in counted.unwrap_or(root).members() {
        if value.is_null() {
            continue;
        }
        match &*name {
            "system" => system(value, &mut request)?,
            "messages" => messages(value, &mut request)?,
            "inferenceConfig" => inference(value, &mut request)?,
            "toolConfig" => tool_config(value, &mut request)?,
            "outputConfig" => output_config(value, &mut request)?,
            "serviceTier" => request.service_tier = Some(value.expect_object()?.required_text("type")?.into_owned()),
            "additionalModelRequestFields" => model_fields(value, &mut request)?,
            "promptVariables" => {
                return Err(
                    value.error("stored prompts exist only at Bedrock; ask for a model there, or send messages")
                );
            }
            _ => extension(pointer_to(&name), &mut request),
        }
    }
    Ok(request)
}

fn extension(pointer: impl Into<String>, request: &mut Request) {
    request.extensions.push(Extension { pointer: pointer.into() });
}

fn system(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (at, block) in value.expect_array()?.items().enumerate() {
        if let Some(text) = block.expect_object()?.present("text") {
            request.system.push((text.expect_text()?.into_owned(), None));
        } else if let Some(point) = block.present("cachePoint") {
            if let Some((_, hint)) = request.system.last_mut() {
                *hint = Some(blocks::cache_hint(point));
            }
        } else if let Some(text) = block.present("guardContent").and_then(|guarded| guarded.get("text")) {
            request.system.push((text.expect_object()?.required_text("text")?.into_owned(), None));
            extension(format!("/system/{at}/guardContent"), request);
        } else {
            return Err(block.error("is none of text, guardContent, cachePoint"));
        }
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
            other => return Err(node.error(format!("role `{other}` is none of user, assistant"))),
        };
        let content = node.get("content").ok_or_else(|| node.error("`content` is missing"))?;
        let parts = blocks::parts(content, &format!("{pointer}/content"))?;
        request.messages.push(Message { role, parts, pointer });
    }
    Ok(())
}

fn inference(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in value.expect_object()?.members() {
        match &*name {
            _ if value.is_null() => {}
            "maxTokens" => request.max_output = Some(value.expect_count(1)?),
            "temperature" => request.temperature = Some(RawJson(value.expect_number()?.to_owned())),
            "topP" => request.top_p = Some(RawJson(value.expect_number()?.to_owned())),
            "stopSequences" => {
                let texts = value.expect_array()?.items().map(|item| item.expect_text().map(Cow::into_owned));
                request.stop = texts.collect::<Result<_, _>>()?;
            }
            _ => extension(format!("/inferenceConfig{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}

fn tool_config(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in value.expect_object()?.members() {
        match &*name {
            _ if value.is_null() => {}
            "tools" => {
                for (at, item) in value.expect_array()?.items().enumerate() {
                    tool(item, at, request)?;
                }
            }
            "toolChoice" => tool_choice(value, request)?,
            _ => extension(format!("/toolConfig{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}

fn tool(item: Node<'_, '_>, at: usize, request: &mut Request) -> Result<(), ReadError> {
    if let Some(point) = item.expect_object()?.present("cachePoint") {
        if let Some(tool) = request.tools.last_mut() {
            tool.cache = Some(blocks::cache_hint(point));
        }
        return Ok(());
    }
    let Some(spec) = item.present("toolSpec") else {
        return Err(item.error("exists only at the vendor that runs it; declare a tool with `toolSpec`"));
    };
    let name = spec.expect_object()?.required_text("name")?.into_owned();
    let schema = spec.get("inputSchema").and_then(|schema| schema.get("json"));
    let schema = schema.ok_or_else(|| spec.error("`inputSchema.json` is missing"))?;
    request.tools.push(Tool {
        name,
        description: spec.optional_text("description")?.map(Cow::into_owned),
        schema: RawJson(schema.expect_object()?.raw().to_owned()),
        strict: spec.present("strict").map(Node::expect_bool).transpose()?,
        cache: None,
        pointer: format!("/toolConfig/tools/{at}"),
    });
    Ok(())
}

fn tool_choice(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    let chosen = value.expect_object()?.members().find(|(_, value)| !value.is_null());
    request.tool_choice = Some(match chosen.as_ref().map(|(name, value)| (&**name, value)) {
        Some(("auto", _)) => ToolChoice::Auto,
        Some(("any", _)) => ToolChoice::Any,
        Some(("tool", tool)) => ToolChoice::Named(tool.expect_object()?.required_text("name")?.into_owned()),
        _ => return Err(value.error("must hold one of auto, any, tool")),
    });
    Ok(())
}

fn output_config(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in value.expect_object()?.members() {
        match &*name {
            _ if value.is_null() => {}
            "effort" => request.effort = Some(value.expect_text()?.into_owned()),
            "textFormat" => {
                let form = value.get("structure").and_then(|structure| structure.get("jsonSchema"));
                let Some(form) = form else {
                    extension("/outputConfig/textFormat", request);
                    continue;
                };
                let schema = form.required_text("schema")?;
                let document = crate::llm::node::Document::parse(schema.as_bytes());
                if !document.is_ok_and(|document| document.root().expect_object().is_ok()) {
                    return Err(form.error("`schema` must be a JSON Schema, written as a string"));
                }
                request.format = Some(OutputFormat::Schema {
                    name: form.optional_text("name")?.map(Cow::into_owned),
                    schema: RawJson(schema.trim().to_owned()),
                    strict: None,
                });
            }
            _ => extension(format!("/outputConfig{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}

/// What is handed to the model as it is: thinking is understood, since it is what the member is mostly used for.
fn model_fields(value: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in value.expect_object()?.members() {
        let kind = value.get("type").and_then(Node::text).unwrap_or_default();
        match (&*name, &*kind) {
            _ if value.is_null() => {}
            ("thinking" | "reasoning_config", "enabled") => {
                let budget = value.get("budget_tokens").ok_or_else(|| value.error("`budget_tokens` is missing"))?;
                request.thinking = Some(Thinking::Budget(budget.expect_count(1)?));
            }
            ("thinking" | "reasoning_config", "disabled") => request.thinking = Some(Thinking::Disabled),
            ("thinking", "adaptive") => request.thinking = Some(Thinking::Adaptive),
            ("max_tokens", _) => request.max_output = Some(value.expect_count(1)?),
            ("reasoning_effort", _) if value.is_string() => {
                request.effort = Some(value.expect_text()?.into_owned());
            }
            _ => extension(format!("/additionalModelRequestFields{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}
