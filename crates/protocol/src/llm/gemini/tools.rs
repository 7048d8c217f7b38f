//! Functions that a model may call, and which of them it may: both ways.
//!
//! Owns `tools` and `toolConfig`. Never drops a tool in silence: what the vendor runs itself is refused on the way to
//! another. Called by `decode` and `encode`.

use std::borrow::Cow;

use super::{decode::extension, fields, schema};
use crate::llm::{
    error::ReadError,
    ir::{Request, Tool, ToolChoice},
    loss::Loss,
    node::{Node, pointer_to},
    write::JsonWriter,
};

pub(super) fn read(list: Node<'_, '_>, above: &str, request: &mut Request) -> Result<(), ReadError> {
    for (at, entry) in fields::expect_each(list)?.enumerate() {
        for (name, value) in fields::members(entry).filter(|(_, value)| !value.is_null()) {
            if name != "functionDeclarations" {
                return Err(value.error(format!(
                    "`{name}` exists only at the vendor that runs it; declare a function, or ask for a model of Google's"
                )));
            }
            for (inner, function) in fields::expect_each(value)?.enumerate() {
                let pointer = format!("{above}/tools/{at}/functionDeclarations/{inner}");
                request.tools.push(tool(function, pointer)?);
            }
        }
    }
    Ok(())
}

fn tool(function: Node<'_, '_>, pointer: String) -> Result<Tool, ReadError> {
    let schema = match (fields::present(function, "parametersJsonSchema"), fields::present(function, "parameters")) {
        (Some(_), Some(other)) => return Err(other.error("stands beside `parametersJsonSchema`; send one of them")),
        (Some(schema), None) => crate::llm::ir::RawJson(schema.expect_object()?.raw().to_owned()),
        (None, Some(schema)) => schema::json_schema(schema.expect_object()?),
        (None, None) => schema::empty(),
    };
    Ok(Tool {
        name: fields::required_text(function, "name")?.into_owned(),
        description: fields::text(function, "description").map(Cow::into_owned),
        schema,
        strict: None,
        cache: None,
        pointer,
    })
}

pub(super) fn read_config(config: Node<'_, '_>, above: &str, request: &mut Request) -> Result<(), ReadError> {
    for (name, value) in fields::members(config.expect_object()?).filter(|(_, value)| !value.is_null()) {
        if name == "functionCallingConfig" {
            calling(value.expect_object()?, above, request)?;
        } else {
            extension(format!("{above}/toolConfig{}", pointer_to(&name)), request);
        }
    }
    Ok(())
}

fn calling(config: Node<'_, '_>, above: &str, request: &mut Request) -> Result<(), ReadError> {
    let mode = fields::text(config, "mode").unwrap_or_default().to_ascii_uppercase();
    let allowed = fields::present(config, "allowedFunctionNames").map(Node::expect_array).transpose()?;
    let allowed: Vec<Cow<'_, str>> =
        allowed.into_iter().flat_map(Node::items).map(Node::expect_text).collect::<Result<_, _>>()?;
    request.tool_choice = match (mode.as_str(), allowed.as_slice()) {
        ("" | "MODE_UNSPECIFIED", _) => None,
        ("AUTO" | "VALIDATED", _) => Some(ToolChoice::Auto),
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", [one]) => Some(ToolChoice::Named(one.to_string())),
        ("ANY", _) => Some(ToolChoice::Any),
        (other, _) => return Err(config.error(format!("`{other}` is none of AUTO, ANY, NONE, VALIDATED"))),
    };
    if mode == "VALIDATED" {
        extension(format!("{above}/toolConfig/functionCallingConfig/mode"), request);
    }
    if !allowed.is_empty() {
        // To offer no other is what other APIs have for it.
        let allowed: std::collections::HashSet<Cow<'_, str>> = allowed.into_iter().collect();
        request.tools.retain(|tool| allowed.contains(tool.name.as_str()));
    }
    if fields::is_true(config, "streamFunctionCallArguments") {
        extension(format!("{above}/toolConfig/functionCallingConfig/streamFunctionCallArguments"), request);
    }
    Ok(())
}

pub(super) fn write(request: &Request, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if request.tools.is_empty() {
        if request.tool_choice.as_ref().is_some_and(|choice| *choice != ToolChoice::None) {
            losses.push(Loss::new("/tool_choice", "tool_choice", "dropped: there are no tools to choose from"));
        }
        return;
    }
    json.array_member("tools", |json| {
        json.object(|json| {
            json.array_member("functionDeclarations", |json| {
                for tool in &request.tools {
                    json.object(|json| {
                        json.string_member("name", &tool.name);
                        if let Some(description) = &tool.description {
                            json.string_member("description", description);
                        }
                        json.raw_member("parametersJsonSchema", tool.schema.as_str());
                    });
                }
            });
        });
    });
    if request.parallel_tools == Some(false) {
        let why = "dropped: the target cannot be told to call one tool at a time";
        losses.push(Loss::new("/parallel_tool_calls", "parallel_tool_calls", why));
    }
    // The API checks arguments against schemas for all tools or for none.
    let strict = request.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, only) = match &request.tool_choice {
        None if !strict => return,
        None | Some(ToolChoice::Auto) => (if strict { "VALIDATED" } else { "AUTO" }, None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Any) => ("ANY", None),
        Some(ToolChoice::Named(name)) => ("ANY", Some(name)),
    };
    json.object_member("toolConfig", |json| {
        json.object_member("functionCallingConfig", |json| {
            json.string_member("mode", mode);
            if let Some(name) = only {
                json.array_member("allowedFunctionNames", |json| json.string(name));
            }
        });
    });
}
