//! A request of the representation as a Chat body.
//!
//! Owns how each thing is said to a Chat server. Never drops content in silence: what cannot be said is a loss, and
//! content of the caller that cannot be said refuses the call. Called on the translated lane.

use super::{
    quirks::{CANNOT_FORCE, NO_SCHEMA, NOT_STRICT, REFUSED},
    wire::REASONING_BLOCKS,
};
use crate::llm::{
    error::PrepareError,
    ir::{Media, Message, OutputFormat, Part, Request, Role, SamplingKind, Thinking, ToolChoice},
    loss::{self, Loss},
    target::{Quirks, TargetWire},
    write::JsonWriter,
};

pub(super) fn request(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>) -> Result<Vec<u8>, PrepareError> {
    let mut json = JsonWriter::with_capacity(4096);
    json.begin_object();
    json.string_member("model", to.model);
    json.key("messages");
    json.begin_array();
    system(request, &mut json);
    for message in &request.messages {
        match message.role {
            Role::System => text_message("system", &message.parts, &mut json),
            Role::User => user(message, losses, &mut json)?,
            Role::Assistant => assistant(message, losses, &mut json)?,
        }
    }
    json.end_array();
    tools(request, to.quirks, losses, &mut json);
    settings(request, to, losses, &mut json);
    if request.stream {
        json.bool_member("stream", true);
        if !to.quirks.no_stream_usage && !to.quirks.refused.contains("stream_options") {
            json.raw_member("stream_options", r#"{"include_usage":true}"#);
        }
    }
    loss::of_cache_hints(request, losses);
    let carried: Vec<&str> = sampling(request, &mut json);
    json.end_object();
    for extension in request.extensions.iter().filter(|extension| !carried.contains(&extension.pointer.as_str())) {
        let what = extension.pointer.trim_start_matches('/').to_owned();
        losses.push(Loss::new(extension.pointer.clone(), what, "dropped: the target's API has no such member"));
    }
    Ok(json.into_bytes())
}

fn system(request: &Request, json: &mut JsonWriter) {
    if request.system.is_empty() {
        return;
    }
    json.object(|json| {
        json.string_member("role", "system");
        match request.system.as_slice() {
            [(text, _)] => json.string_member("content", text),
            blocks => json.array_member("content", |json| blocks.iter().for_each(|(text, _)| text_part(text, json))),
        }
    });
}

fn text_part(text: &str, json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("type", "text");
        json.string_member("text", text);
    });
}

fn text_message(role: &str, parts: &[Part], json: &mut JsonWriter) {
    json.object(|json| {
        json.string_member("role", role);
        json.string_member("content", &joined(parts));
    });
}

fn joined(parts: &[Part]) -> String {
    parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// Results of tools become messages of their own; what a result shows besides text goes into the user's message, since
/// a tool's message holds text only.
fn user(message: &Message, losses: &mut Vec<Loss>, json: &mut JsonWriter) -> Result<(), PrepareError> {
    let mut rest: Vec<&Part> = Vec::new();
    let mut results = false;
    for part in &message.parts {
        let Part::ToolResult { id, content, is_error, .. } = part else {
            rest.push(part);
            continue;
        };
        results = true;
        if *is_error {
            losses.push(Loss::new(message.pointer.clone(), "is_error", "dropped: a tool's message has no such mark"));
        }
        json.object(|json| {
            json.string_member("role", "tool");
            json.string_member("tool_call_id", id);
            json.string_member("content", &joined(content));
        });
        rest.extend(content.iter().filter(|part| !matches!(part, Part::Text { .. })));
    }
    if rest.is_empty() && results {
        return Ok(());
    }
    json.begin_object();
    json.string_member("role", "user");
    match rest.as_slice() {
        [Part::Text { text, .. }] => json.string_member("content", text),
        parts => {
            json.key("content");
            json.begin_array();
            for part in parts {
                user_part(part, message, losses, json)?;
            }
            json.end_array();
        }
    }
    json.end_object();
    Ok(())
}

fn user_part(
    part: &Part,
    message: &Message,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    match part {
        Part::Text { text, .. } => text_part(text, json),
        Part::Image { source, detail, .. } => {
            let url = match source {
                Media::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
                Media::Url(url) => url.clone(),
                Media::Text(_) | Media::File(_) => return Err(file_id(message)),
            };
            json.object(|json| {
                json.string_member("type", "image_url");
                json.object_member("image_url", |json| {
                    json.string_member("url", &url);
                    if let Some(detail) = detail {
                        json.string_member("detail", detail);
                    }
                });
            });
        }
        Part::Document { source, title, .. } => document(source, title.as_deref(), message, json)?,
        Part::Audio { data, format } => json.object(|json| {
            json.string_member("type", "input_audio");
            json.object_member("input_audio", |json| {
                json.string_member("data", data);
                json.string_member("format", format);
            });
        }),
        Part::Refusal { text } => text_part(text, json),
        Part::Foreign { kind, pointer } => {
            return Err(PrepareError::Invalid {
                pointer: pointer.clone(),
                message: format!(
                    "content of type `{kind}` exists only at its own vendor; ask for a model of that vendor"
                ),
            });
        }
        Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Reasoning { .. } | Part::RedactedReasoning { .. } => {
            losses.push(Loss::new(message.pointer.clone(), "content", "dropped: it cannot stand in a user's message"));
        }
    }
    Ok(())
}

fn document(source: &Media, title: Option<&str>, message: &Message, json: &mut JsonWriter) -> Result<(), PrepareError> {
    match source {
        Media::Text(text) => text_part(text, json),
        Media::Base64 { media_type, data } => json.object(|json| {
            json.string_member("type", "file");
            json.object_member("file", |json| {
                json.string_member("filename", title.unwrap_or("document.pdf"));
                json.string_member("file_data", &format!("data:{media_type};base64,{data}"));
            });
        }),
        Media::Url(_) => {
            return Err(PrepareError::Invalid {
                pointer: message.pointer.clone(),
                message: "the target's API takes no documents by URL; send the document itself as base64".to_owned(),
            });
        }
        Media::File(_) => return Err(file_id(message)),
    }
    Ok(())
}

fn file_id(message: &Message) -> PrepareError {
    PrepareError::Invalid {
        pointer: message.pointer.clone(),
        message: "a file id means something only at the provider that gave it; send the file itself as base64"
            .to_owned(),
    }
}

fn assistant(message: &Message, losses: &mut Vec<Loss>, json: &mut JsonWriter) -> Result<(), PrepareError> {
    let text = joined(&message.parts);
    let (mut calls, mut refusal) = (Vec::new(), None);
    for part in &message.parts {
        match part {
            Part::ToolCall { id, name, arguments, .. } => calls.push((id, name, arguments)),
            Part::Refusal { text } => refusal = Some(text),
            Part::Reasoning { .. } | Part::RedactedReasoning { .. } => losses.push(Loss::new(
                message.pointer.clone(),
                REASONING_BLOCKS,
                "dropped: reasoning goes back only to the model that wrote it",
            )),
            Part::Foreign { kind, pointer } => {
                losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
            }
            Part::Text { .. } => {}
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {
                return Err(PrepareError::Invalid {
                    pointer: message.pointer.clone(),
                    message: "an assistant's message can hold text and tool calls only".to_owned(),
                });
            }
        }
    }
    json.object(|json| {
        json.string_member("role", "assistant");
        json.nullable_member("content", Some(&*text).filter(|text| !text.is_empty() || calls.is_empty()));
        if let Some(refusal) = refusal {
            json.string_member("refusal", refusal);
        }
        if !calls.is_empty() {
            json.array_member("tool_calls", |json| {
                for (id, name, arguments) in &calls {
                    super::answer::write_call(id, name, arguments, json);
                }
            });
        }
    });
    Ok(())
}

/// Whether a member may be written; where the target refuses it, that is a loss.
fn takes(quirks: &Quirks, name: &'static str, losses: &mut Vec<Loss>) -> bool {
    let refused = quirks.refused.contains(name);
    if refused {
        losses.push(Loss::new(format!("/{name}"), name, REFUSED));
    }
    !refused
}

fn tools(request: &Request, quirks: &Quirks, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if !request.tools.is_empty() {
        json.array_member("tools", |json| {
            for tool in &request.tools {
                json.object(|json| {
                    json.string_member("type", "function");
                    json.object_member("function", |json| {
                        json.string_member("name", &tool.name);
                        if let Some(description) = &tool.description {
                            json.string_member("description", description);
                        }
                        json.raw_member("parameters", tool.schema.as_str());
                        match tool.strict {
                            Some(true) if quirks.no_strict_tools => {
                                losses.push(Loss::new(tool.pointer.clone(), "strict", NOT_STRICT));
                            }
                            Some(strict) if !quirks.no_strict_tools => json.bool_member("strict", strict),
                            _ => {}
                        }
                    });
                });
            }
        });
        if let Some(parallel) = request.parallel_tools
            && takes(quirks, "parallel_tool_calls", losses)
        {
            json.bool_member("parallel_tool_calls", parallel);
        }
    }
    let choice =
        request.tool_choice.as_ref().filter(|_| request.tools.is_empty() || takes(quirks, "tool_choice", losses));
    match choice {
        None => {}
        // A choice without tools is refused there, and means nothing.
        Some(ToolChoice::None) if request.tools.is_empty() => {}
        Some(_) if request.tools.is_empty() => {
            losses.push(Loss::new("/tool_choice", "tool_choice", "dropped: there are no tools to choose from"));
        }
        Some(ToolChoice::Auto) => json.string_member("tool_choice", "auto"),
        Some(ToolChoice::None) => json.string_member("tool_choice", "none"),
        Some(ToolChoice::Any | ToolChoice::Named(_)) if quirks.no_forced_tool => {
            losses.push(Loss::new("/tool_choice", "tool_choice", CANNOT_FORCE));
            json.string_member("tool_choice", "auto");
        }
        Some(ToolChoice::Any) if quirks.tool_choice_any => json.string_member("tool_choice", "any"),
        Some(ToolChoice::Any) => json.string_member("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => json.object_member("tool_choice", |json| {
            json.string_member("type", "function");
            json.object_member("function", |json| json.string_member("name", name));
        }),
    }
}

fn settings(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if let Some(most) = request.max_output.or(to.default_max_output) {
        let name = if to.quirks.max_completion_tokens_as_max_tokens { "max_tokens" } else { "max_completion_tokens" };
        json.number_member(name, most);
    }
    for (name, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        if let Some(value) = value
            && takes(to.quirks, name, losses)
        {
            json.raw_member(name, value.as_str());
        }
    }
    if !request.stop.is_empty() && takes(to.quirks, "stop", losses) {
        json.array_member("stop", |json| request.stop.iter().take(4).for_each(|stop| json.string(stop)));
        if request.stop.len() > 4 {
            losses.push(Loss::new("/stop_sequences", "stop_sequences", "cut: the target takes at most four"));
        }
    }
    if let Some(effort) = effort(request) {
        if to.quirks.no_reasoning_effort || to.quirks.refused.contains("reasoning_effort") {
            losses.push(Loss::new("/thinking", "thinking", "dropped: the target takes no reasoning effort"));
        } else {
            json.string_member("reasoning_effort", effort);
        }
    }
    if let Some(format) = &request.format
        && takes(to.quirks, "response_format", losses)
    {
        response_format(format, to.quirks, losses, json);
    }
    if let Some(user) = &request.user
        && takes(to.quirks, "user", losses)
    {
        json.string_member("user", user);
    }
    let tier = request.service_tier.as_deref().map(|tier| if tier == "standard_only" { "default" } else { tier });
    if let Some(tier) = tier
        && takes(to.quirks, "service_tier", losses)
    {
        json.string_member("service_tier", tier);
    }
}

/// Settings of sampling that this dialect has too; says which were written.
fn sampling<'request>(request: &'request Request, json: &mut JsonWriter) -> Vec<&'request str> {
    let mut carried = Vec::new();
    for setting in &request.sampling {
        let name = match setting.kind {
            SamplingKind::Seed => "seed",
            SamplingKind::PresencePenalty => "presence_penalty",
            SamplingKind::FrequencyPenalty => "frequency_penalty",
            SamplingKind::TopK => continue,
        };
        json.raw_member(name, setting.value.as_str());
        carried.push(setting.pointer.as_str());
    }
    carried
}

/// A budget of thinking tokens becomes the effort that spends about as much.
pub(in crate::llm) fn effort(request: &Request) -> Option<&str> {
    match (&request.effort, &request.thinking) {
        // Many models refuse `none`; not to ask is as near as all of them come.
        (_, Some(Thinking::Disabled)) => None,
        (Some(effort), _) => Some(effort),
        (None, Some(Thinking::Budget(..=4_096))) => Some("low"),
        (None, Some(Thinking::Budget(..=16_384))) => Some("medium"),
        (None, Some(Thinking::Budget(_))) => Some("high"),
        (None, Some(Thinking::Adaptive) | None) => None,
    }
}

fn response_format(format: &OutputFormat, quirks: &Quirks, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let no_schema = quirks.no_json_schema && matches!(format, OutputFormat::Schema { .. });
    if no_schema {
        losses.push(Loss::new("/output_format", "json_schema", NO_SCHEMA));
    }
    json.object_member("response_format", |json| match format {
        _ if no_schema => json.string_member("type", "json_object"),
        OutputFormat::JsonObject => json.string_member("type", "json_object"),
        OutputFormat::Schema { name, schema, strict } => {
            json.string_member("type", "json_schema");
            json.object_member("json_schema", |json| {
                json.string_member("name", name.as_deref().unwrap_or("answer"));
                json.raw_member("schema", schema.as_str());
                json.bool_member("strict", strict.unwrap_or(true));
            });
        }
    });
}
