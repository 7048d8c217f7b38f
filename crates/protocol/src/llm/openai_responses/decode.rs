//! A Responses request into the representation.
//!
//! Owns what each member means; items are `items`' business, tools `tools`'. Refuses what needs something that the vendor
//! keeps, and content that it does not understand; settings it does not understand become extensions, which the target's
//! encoder notes as losses. Called on the translated lane.

use std::borrow::Cow;

use super::{head::STORED, items, tools};
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        ir::{Extension, OutputFormat, RawJson, Request, Thinking},
        node::{Node, pointer_to},
    },
};

pub(super) fn request(root: Node<'_, '_>) -> Result<Request, ReadError> {
    let mut request = Request::default();
    let mut declared = tools::Declared::default();
    // Instructions stand before all items, wherever they are written.
    if let Some(instructions) = root.present("instructions") {
        request.system.push((instructions.expect_text()?.into_owned(), None));
    }
    for (name, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match &*name {
            // What the caller wants shown of reasoning is shown in any case, and paddings are of no use.
            "model" | "instructions" | "include" | "stream_options" | "tool_choice" => {}
            name if STORED.contains(&name) => return Err(stored(value)),
            "background" if value.as_bool() != Some(false) => return Err(stored(value)),
            "background" => {}
            "input" => items::all(value, &mut request, &mut declared)?,
            "stream" => request.stream = value.expect_bool()?,
            "max_output_tokens" => request.max_output = Some(value.expect_count(1)?),
            "temperature" => request.temperature = Some(RawJson(value.expect_number()?.to_owned())),
            "top_p" => request.top_p = Some(RawJson(value.expect_number()?.to_owned())),
            "tools" => tools::declare(value, "/tools", &mut declared)?,
            "parallel_tool_calls" => request.parallel_tools = Some(value.expect_bool()?),
            "reasoning" => reasoning(value, &mut request)?,
            "text" => text(value, &mut request)?,
            "user" => request.user = Some(value.expect_text()?.into_owned()),
            "safety_identifier" if root.present("user").is_none() => {
                request.user = Some(value.expect_text()?.into_owned());
            }
            "service_tier" => request.service_tier = Some(value.expect_text()?.into_owned()),
            _ if harmless(&name, value) => {}
            _ => extension(pointer_to(&name), &mut request),
        }
    }
    if let Some(choice) = root.present("tool_choice") {
        tools::choose(choice, &mut declared)?;
    }
    for pointer in declared.into_request(&mut request) {
        extension(pointer, &mut request);
    }
    Ok(request)
}

pub(super) fn extension(pointer: impl Into<String>, request: &mut Request) {
    request.extensions.push(Extension { pointer: pointer.into() });
}

fn stored(node: Node<'_, '_>) -> ReadError {
    node.error(
        "needs what only the vendor of this API keeps; send the whole conversation as `input`, or ask for a model of \
         that vendor",
    )
}

/// Members at the value that they have when absent, or that a translation keeps anyway: nothing is lost with them.
fn harmless(name: &str, value: Node<'_, '_>) -> bool {
    match name {
        // Nothing is kept at a vendor that has no such store.
        "store" => value.as_bool() == Some(false),
        "truncation" => value.text_is("disabled"),
        "top_logprobs" => value.as_u64() == Some(0),
        "metadata" => value.kind() == Kind::Object && value.members().next().is_none(),
        _ => false,
    }
}

fn reasoning(node: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in node.expect_object()?.members() {
        match &*name {
            _ if value.is_null() => {}
            "effort" => match &*value.expect_text()? {
                "none" => request.thinking = Some(Thinking::Disabled),
                effort => request.effort = Some(effort.to_owned()),
            },
            // How a summary is worded: other vendors show what they show.
            "summary" | "generate_summary" => {}
            _ => extension(format!("/reasoning{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}

fn text(node: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in node.expect_object()?.members() {
        match &*name {
            _ if value.is_null() => {}
            "format" => request.format = format(value)?,
            _ => extension(format!("/text{}", pointer_to(&name)), request),
        }
    }
    Ok(())
}

fn format(node: Node<'_, '_>) -> Result<Option<OutputFormat>, ReadError> {
    match &*node.expect_object()?.required_text("type")? {
        "text" => Ok(None),
        "json_object" => Ok(Some(OutputFormat::JsonObject)),
        "json_schema" => {
            let schema = node.get("schema").ok_or_else(|| node.error("`schema` is missing"))?;
            Ok(Some(OutputFormat::Schema {
                name: node.optional_text("name")?.map(Cow::into_owned),
                schema: RawJson(schema.expect_object()?.raw().to_owned()),
                strict: node.present("strict").map(Node::expect_bool).transpose()?,
            }))
        }
        other => Err(node.error(format!("`{other}` is no known form; use `text`, `json_object` or `json_schema`"))),
    }
}
