//! A request of the representation as a Messages body.
//!
//! Owns how each thing is said to a Messages server. Never drops content in silence: what cannot be said is a loss, and
//! content of the caller that cannot be said refuses the call. Called on the translated lane.

use std::borrow::Cow;

use super::quirks;
use crate::llm::{
    check,
    error::PrepareError,
    ir::{CacheHint, Media, Message, OutputFormat, Part, Request, Role, Sampling, SamplingKind, Thinking, ToolChoice},
    loss::Loss,
    model_call::Operation,
    node::object_text,
    opaque,
    target::TargetWire,
    write::JsonWriter,
};

/// The limit where neither the caller nor the catalogue gives one: every model of this dialect can do it.
const MAX_TOKENS: u64 = 4_096;

pub(super) fn request(
    request: &Request,
    to: &TargetWire<'_>,
    operation: Operation,
    losses: &mut Vec<Loss>,
) -> Result<Vec<u8>, PrepareError> {
    let most = request.max_output.or(to.default_max_output).unwrap_or(MAX_TOKENS);
    let mut json = JsonWriter::with_capacity(4096);
    json.begin_object();
    if to.quirks.anthropic_on_vertex && operation == Operation::Generate {
        json.string_member("anthropic_version", quirks::VERTEX_VERSION);
    } else {
        json.string_member("model", to.model);
    }
    if operation == Operation::Generate {
        json.number_member("max_tokens", most);
        if request.stream {
            json.bool_member("stream", true);
        }
        settings(request, losses, &mut json);
    }
    system(request, &mut json);
    json.key("messages");
    json.begin_array();
    for message in turns(request, losses).iter() {
        // An empty message is refused; its parts are noted as losses by being written to nowhere.
        if message.parts.iter().all(|part| dropped(part, message, to)) {
            for part in &message.parts {
                write_part(part, message, to, losses, &mut JsonWriter::default())?;
            }
            continue;
        }
        json.begin_object();
        json.string_member("role", if message.role == Role::Assistant { "assistant" } else { "user" });
        json.key("content");
        json.begin_array();
        for part in &message.parts {
            write_part(part, message, to, losses, &mut json)?;
        }
        json.end_array();
        json.end_object();
    }
    json.end_array();
    tools(request, losses, &mut json);
    thinking(request, to, most, losses, &mut json);
    json.end_object();
    let carried = |pointer: &str| {
        operation == Operation::Generate && top_k(request).is_some_and(|known| known.pointer == pointer)
    };
    for extension in request.extensions.iter().filter(|extension| !carried(&extension.pointer)) {
        let what = extension.pointer.trim_start_matches('/').to_owned();
        losses.push(Loss::new(extension.pointer.clone(), what, "dropped: the target's API has no such member"));
    }
    Ok(json.into_bytes())
}

fn write_cache(cache: &CacheHint, json: &mut JsonWriter) {
    if let Some(hint) = cache {
        json.raw_member("cache_control", hint.as_str());
    }
}

fn system(request: &Request, json: &mut JsonWriter) {
    match request.system.as_slice() {
        [] => {}
        [(text, None)] => json.string_member("system", text),
        blocks => json.array_member("system", |json| {
            for (text, cache) in blocks {
                json.object(|json| {
                    json.string_member("type", "text");
                    json.string_member("text", text);
                    write_cache(cache, json);
                });
            }
        }),
    }
}

/// System messages inside the conversation become the user's: only betas of this API have others.
fn turns<'r>(request: &'r Request, losses: &mut Vec<Loss>) -> Cow<'r, [Message]> {
    // Most conversations have none, and are long.
    if request.messages.iter().all(|message| message.role != Role::System) {
        return Cow::Borrowed(&request.messages);
    }
    let messages = request.messages.iter().cloned().map(|mut message| {
        if message.role == Role::System {
            losses.push(Loss::new(
                message.pointer.clone(),
                "system",
                "sent as the user's text: the target takes system text only before the conversation",
            ));
            message.role = Role::User;
        }
        message
    });
    Cow::Owned(check::merged(messages.collect()))
}

fn write_part(
    part: &Part,
    message: &Message,
    to: &TargetWire<'_>,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    match part {
        // The API refuses empty text blocks.
        Part::Text { text, .. } if text.is_empty() => {}
        Part::Text { text, cache } => json.object(|json| {
            json.string_member("type", "text");
            json.string_member("text", text);
            write_cache(cache, json);
        }),
        Part::Refusal { text } => json.object(|json| {
            json.string_member("type", "text");
            json.string_member("text", text);
        }),
        Part::Image { source, cache, detail } => {
            if detail.as_deref().is_some_and(|detail| detail != "auto") {
                losses.push(Loss::new(message.pointer.clone(), "detail", "dropped: the target chooses it by itself"));
            }
            media("image", source, None, cache, message, json)?;
        }
        Part::Document { source, title, cache } => media("document", source, title.as_deref(), cache, message, json)?,
        Part::Audio { .. } => return Err(invalid(message, "the target takes no sound; ask for a model that does")),
        Part::ToolCall { id, name, arguments, cache } => {
            let input = object_text(&arguments.0).ok_or_else(|| {
                invalid(message, &format!("the arguments of the tool call `{id}` are no JSON object"))
            })?;
            json.object(|json| {
                json.string_member("type", "tool_use");
                json.string_member("id", id);
                json.string_member("name", name);
                json.raw_member("input", input);
                write_cache(cache, json);
            });
        }
        Part::ToolResult { id, content, is_error, cache } => {
            tool_result(id, content, *is_error, cache, (message, to), losses, json)?;
        }
        Part::Reasoning { text, signature: Some(signature), scope }
            if in_scope(scope.as_deref(), to) && !opaque::is_wrapped(signature) =>
        {
            json.object(|json| {
                json.string_member("type", "thinking");
                json.string_member("thinking", text);
                json.string_member("signature", signature);
            });
        }
        Part::RedactedReasoning { data, scope } if in_scope(scope.as_deref(), to) => json.object(|json| {
            json.string_member("type", "redacted_thinking");
            json.string_member("data", data);
        }),
        Part::Reasoning { .. } | Part::RedactedReasoning { .. } => losses.push(Loss::new(
            message.pointer.clone(),
            "reasoning",
            "dropped: only the model that signed it may be shown it again",
        )),
        Part::Foreign { kind, pointer } if message.role == Role::Assistant => {
            losses.push(Loss::new(pointer.clone(), kind.clone(), "dropped: only its own vendor knows it"));
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
    Ok(())
}

/// Whether [`write_part`] writes nothing for it.
fn dropped(part: &Part, message: &Message, to: &TargetWire<'_>) -> bool {
    match part {
        Part::Text { text, .. } => text.is_empty(),
        Part::Reasoning { signature, scope, .. } => {
            signature.as_ref().is_none_or(|signature| opaque::is_wrapped(signature)) || !in_scope(scope.as_deref(), to)
        }
        Part::RedactedReasoning { scope, .. } => !in_scope(scope.as_deref(), to),
        Part::Foreign { .. } => message.role == Role::Assistant,
        _ => false,
    }
}

fn in_scope(scope: Option<&str>, to: &TargetWire<'_>) -> bool {
    to.reasoning_scope.is_none_or(|own| scope == Some(own))
}

fn invalid(message: &Message, text: &str) -> PrepareError {
    PrepareError::Invalid { pointer: message.pointer.clone(), message: text.to_owned() }
}

fn media(
    kind: &str,
    source: &Media,
    title: Option<&str>,
    cache: &CacheHint,
    message: &Message,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    if matches!(source, Media::File(_)) {
        return Err(invalid(
            message,
            "a file id means something only at the provider that gave it; send the file itself as base64",
        ));
    }
    json.object(|json| {
        json.string_member("type", kind);
        json.object_member("source", |json| match source {
            Media::Base64 { media_type, data } => {
                json.string_member("type", "base64");
                json.string_member("media_type", media_type);
                json.string_member("data", data);
            }
            Media::Url(url) => {
                json.string_member("type", "url");
                json.string_member("url", url);
            }
            Media::Text(text) => {
                json.string_member("type", "text");
                json.string_member("media_type", "text/plain");
                json.string_member("data", text);
            }
            Media::File(_) => {}
        });
        if let Some(title) = title {
            json.string_member("title", title);
        }
        write_cache(cache, json);
    });
    Ok(())
}

fn tool_result(
    id: &str,
    content: &[Part],
    is_error: bool,
    cache: &CacheHint,
    (message, to): (&Message, &TargetWire<'_>),
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    json.begin_object();
    json.string_member("type", "tool_result");
    json.string_member("tool_use_id", id);
    match content {
        [] => {}
        [Part::Text { text, cache: None }] => json.string_member("content", text),
        parts => {
            json.key("content");
            json.begin_array();
            for part in parts {
                write_part(part, message, to, losses, json)?;
            }
            json.end_array();
        }
    }
    if is_error {
        json.bool_member("is_error", true);
    }
    write_cache(cache, json);
    json.end_object();
    Ok(())
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
                json.string_member("name", &tool.name);
                if let Some(description) = &tool.description {
                    json.string_member("description", description);
                }
                json.raw_member("input_schema", tool.schema.as_str());
                if tool.strict == Some(true) {
                    json.bool_member("strict", true);
                }
                write_cache(&tool.cache, json);
            });
        }
    });
    let one_at_a_time = request.parallel_tools == Some(false);
    let choice = match (&request.tool_choice, one_at_a_time) {
        (None, false) => return,
        (None, true) => &ToolChoice::Auto,
        (Some(choice), _) => choice,
    };
    json.object_member("tool_choice", |json| {
        match choice {
            ToolChoice::Auto => json.string_member("type", "auto"),
            ToolChoice::None => json.string_member("type", "none"),
            ToolChoice::Any => json.string_member("type", "any"),
            ToolChoice::Named(name) => {
                json.string_member("type", "tool");
                json.string_member("name", name);
            }
        }
        if one_at_a_time && *choice != ToolChoice::None {
            json.bool_member("disable_parallel_tool_use", true);
        }
    });
}

/// The one setting of sampling that this dialect has beside its own.
fn top_k(request: &Request) -> Option<&Sampling> {
    request.sampling.iter().find(|setting| setting.kind == SamplingKind::TopK)
}

fn settings(request: &Request, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if let Some(temperature) = &request.temperature {
        // The other dialect's scale ends at 2, this one's at 1.
        if temperature.as_str().parse::<f32>().is_ok_and(|value| value > 1.0) {
            losses.push(Loss::new("/temperature", "temperature", "set to 1: the target's scale ends there"));
            json.number_member("temperature", 1);
        } else {
            json.raw_member("temperature", temperature.as_str());
        }
    }
    if let Some(top_p) = &request.top_p {
        json.raw_member("top_p", top_p.as_str());
    }
    if let Some(top_k) = top_k(request) {
        json.raw_member("top_k", top_k.value.as_str());
    }
    if !request.stop.is_empty() {
        json.array_member("stop_sequences", |json| request.stop.iter().for_each(|stop| json.string(stop)));
    }
    if let Some(user) = &request.user {
        json.object_member("metadata", |json| json.string_member("user_id", user));
    }
    match request.service_tier.as_deref() {
        None => {}
        Some("auto") => json.string_member("service_tier", "auto"),
        Some("default" | "standard_only") => json.string_member("service_tier", "standard_only"),
        Some(_) => losses.push(Loss::new("/service_tier", "service_tier", "dropped: the target has no such tier")),
    }
}

fn thinking(request: &Request, to: &TargetWire<'_>, most: u64, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let effort = request.effort.as_deref().map(|effort| if effort == "minimal" { "low" } else { effort });
    if to.quirks.thinking_budget_only {
        quirks::budget(effort, request, most, losses, json);
    } else {
        match (&request.thinking, effort) {
            (Some(Thinking::Disabled), _) => {
                json.object_member("thinking", |json| json.string_member("type", "disabled"));
            }
            (Some(Thinking::Budget(tokens)), _) => quirks::enabled(*tokens, json),
            (Some(Thinking::Adaptive), _) | (None, Some(_)) => {
                json.object_member("thinking", |json| json.string_member("type", "adaptive"));
            }
            (None, None) => {}
        }
    }
    let effort = effort.filter(|_| !to.quirks.thinking_budget_only);
    let schema = match &request.format {
        Some(OutputFormat::Schema { schema, .. }) => Some(schema),
        Some(OutputFormat::JsonObject) => {
            losses.push(Loss::new("/response_format", "json_object", "dropped: the target wants a schema for JSON"));
            None
        }
        None => None,
    };
    if effort.is_none() && schema.is_none() {
        return;
    }
    json.object_member("output_config", |json| {
        if let Some(effort) = effort {
            json.string_member("effort", effort);
        }
        if let Some(schema) = schema {
            json.object_member("format", |json| {
                json.string_member("type", "json_schema");
                json.raw_member("schema", schema.as_str());
            });
        }
    });
}
