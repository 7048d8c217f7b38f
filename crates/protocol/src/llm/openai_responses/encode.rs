//! A request of the representation as a Responses body.
//!
//! Owns how each thing is said to a Responses server: nothing is to be kept there, and the whole conversation goes along.
//! Never drops content in silence: what cannot be said is a loss, and content of the caller that cannot be said refuses
//! the call. Called on the translated lane.

use super::parts;
use crate::llm::{
    error::PrepareError,
    forms::fitting,
    ir::{Message, OutputFormat, Part, Request, Role, Thinking, ToolChoice},
    loss::{self, Loss},
    model_call::Operation,
    openai_chat::encode::effort,
    target::TargetWire,
    write::JsonWriter,
};

pub(super) fn request(
    request: &Request,
    to: &TargetWire<'_>,
    operation: Operation,
    losses: &mut Vec<Loss>,
) -> Result<Vec<u8>, PrepareError> {
    let mut json = JsonWriter::with_capacity(4096);
    json.begin_object();
    json.string_member("model", to.model);
    if let [(text, _)] = request.system.as_slice() {
        json.string_member("instructions", text);
    }
    json.key("input");
    json.begin_array();
    if request.system.len() > 1 {
        message("system", &mut json, |json| {
            request.system.iter().for_each(|(text, _)| parts::text("input_text", text, json));
        });
    }
    for message in &request.messages {
        match message.role {
            Role::System => text_message("system", message, &mut json),
            Role::User => user(message, losses, &mut json)?,
            Role::Assistant => assistant(message, to, losses, &mut json)?,
        }
    }
    json.end_array();
    tools(request, losses, &mut json);
    thinking(request, to, losses, &mut json);
    if let Some(format) = &request.format {
        json.object_member("text", |json| text_format(format, json));
    }
    if operation == Operation::Generate {
        settings(request, to, losses, &mut json);
    }
    json.end_object();
    loss::of_cache_hints(request, losses);
    for extension in &request.extensions {
        let what = extension.pointer.trim_start_matches('/').to_owned();
        losses.push(Loss::new(extension.pointer.clone(), what, "dropped: the target's API has no such member"));
    }
    Ok(json.into_bytes())
}

fn message(role: &str, json: &mut JsonWriter, content: impl FnOnce(&mut JsonWriter)) {
    json.object(|json| {
        json.string_member("type", "message");
        json.string_member("role", role);
        json.array_member("content", content);
    });
}

fn text_message(role: &str, said: &Message, json: &mut JsonWriter) {
    message(role, json, |json| {
        for part in &said.parts {
            if let Part::Text { text, .. } = part {
                parts::text("input_text", text, json);
            }
        }
    });
}

/// Results of tools are items of their own, before what else the turn says.
fn user(said: &Message, losses: &mut Vec<Loss>, json: &mut JsonWriter) -> Result<(), PrepareError> {
    let mut rest: Vec<&Part> = Vec::new();
    for part in &said.parts {
        let Part::ToolResult { id, content, is_error, .. } = part else {
            rest.push(part);
            continue;
        };
        if *is_error {
            losses.push(Loss::new(said.pointer.clone(), "is_error", "dropped: an output has no such mark"));
        }
        json.begin_object();
        json.string_member("type", "function_call_output");
        json.string_member("call_id", &fitting(id, "call"));
        match content.as_slice() {
            [] => json.string_member("output", ""),
            [Part::Text { text, .. }] => json.string_member("output", text),
            content => {
                json.key("output");
                json.begin_array();
                for part in content {
                    parts::input(part, said, losses, json)?;
                }
                json.end_array();
            }
        }
        json.end_object();
    }
    if rest.is_empty() {
        return Ok(());
    }
    json.begin_object();
    json.string_member("type", "message");
    json.string_member("role", "user");
    json.key("content");
    json.begin_array();
    for part in rest {
        parts::input(part, said, losses, json)?;
    }
    json.end_array();
    json.end_object();
    Ok(())
}

fn assistant(
    said: &Message,
    to: &TargetWire<'_>,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    for part in &said.parts {
        match part {
            Part::Text { text, .. } if text.is_empty() => {}
            Part::Text { text, .. } => message("assistant", json, |json| parts::text("output_text", text, json)),
            Part::Refusal { text } => message("assistant", json, |json| parts::refusal(text, json)),
            Part::ToolCall { id, name, arguments, .. } => json.object(|json| {
                json.string_member("type", "function_call");
                json.string_member("call_id", &fitting(id, "call"));
                json.string_member("name", name);
                json.string_member("arguments", if arguments.0.is_empty() { "{}" } else { &arguments.0 });
            }),
            Part::Reasoning { text, signature, scope } => {
                let in_scope = to.reasoning_scope.is_none_or(|own| scope.as_deref() == Some(own));
                if !(in_scope && parts::own_reasoning(text, signature.as_deref(), json)) {
                    losses.push(foreign_reasoning(said));
                }
            }
            Part::RedactedReasoning { .. } => losses.push(foreign_reasoning(said)),
            Part::Foreign { kind, pointer } => {
                losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
            }
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
                return Err(PrepareError::Invalid {
                    pointer: said.pointer.clone(),
                    message: "an assistant's message can hold text and tool calls only".to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn foreign_reasoning(said: &Message) -> Loss {
    Loss::new(said.pointer.clone(), "reasoning", "dropped: only the model that wrote it may be shown it again")
}

fn tools(request: &Request, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if request.tools.is_empty() {
        if request.tool_choice.as_ref().is_some_and(|choice| *choice != ToolChoice::None) {
            losses.push(Loss::new("/tool_choice", "tool_choice", "dropped: there are no tools to choose from"));
        }
        return;
    }
    json.array_member("tools", |json| {
        for tool in &request.tools {
            json.object(|json| {
                json.string_member("type", "function");
                json.string_member("name", &tool.name);
                if let Some(description) = &tool.description {
                    json.string_member("description", description);
                }
                json.raw_member("parameters", tool.schema.as_str());
                // Left out, it would be strict here and not where the caller left it out.
                json.bool_member("strict", tool.strict.unwrap_or(false));
            });
        }
    });
    if let Some(parallel) = request.parallel_tools {
        json.bool_member("parallel_tool_calls", parallel);
    }
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => json.string_member("tool_choice", "auto"),
        Some(ToolChoice::None) => json.string_member("tool_choice", "none"),
        Some(ToolChoice::Any) => json.string_member("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => json.object_member("tool_choice", |json| {
            json.string_member("type", "function");
            json.string_member("name", name);
        }),
    }
}

/// What was thought is asked for in the form in which it may come back, since nothing is kept.
fn thinking(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let wanted = request.thinking.as_ref().is_some_and(|thinking| *thinking != Thinking::Disabled);
    let effort = effort(request);
    if effort.is_none() && !wanted {
        return;
    }
    if to.quirks.no_reasoning_effort && effort.is_some() {
        losses.push(Loss::new("/thinking", "thinking", "dropped: the target takes no reasoning effort"));
        return;
    }
    json.object_member("reasoning", |json| {
        if let Some(effort) = effort {
            json.string_member("effort", effort);
        }
        json.string_member("summary", "auto");
    });
    json.array_member("include", |json| json.string("reasoning.encrypted_content"));
}

fn text_format(format: &OutputFormat, json: &mut JsonWriter) {
    json.object_member("format", |json| match format {
        OutputFormat::JsonObject => json.string_member("type", "json_object"),
        OutputFormat::Schema { name, schema, strict } => {
            json.string_member("type", "json_schema");
            json.string_member("name", name.as_deref().unwrap_or("answer"));
            json.raw_member("schema", schema.as_str());
            json.bool_member("strict", strict.unwrap_or(true));
        }
    });
}

fn settings(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if request.stream {
        json.bool_member("stream", true);
    }
    json.bool_member("store", false);
    if let Some(most) = request.max_output.or(to.default_max_output) {
        json.number_member("max_output_tokens", most);
    }
    for (name, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        if let Some(value) = value {
            json.raw_member(name, value.as_str());
        }
    }
    if !request.stop.is_empty() {
        losses.push(Loss::new("/stop", "stop", "dropped: the target's API has no stop sequences"));
    }
    if let Some(user) = &request.user {
        json.string_member("user", user);
    }
    match request.service_tier.as_deref() {
        None => {}
        Some("standard_only") => json.string_member("service_tier", "default"),
        Some(tier) => json.string_member("service_tier", tier),
    }
}
