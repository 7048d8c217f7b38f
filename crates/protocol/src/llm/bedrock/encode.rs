//! A request of the representation as a Converse body.
//!
//! Owns how each thing is said to Bedrock; content is `encode/content`'s. Never drops anything in silence: what cannot
//! be said is a loss, and content of the caller that cannot be said refuses the call. Called on the translated lane.

mod content;

use std::borrow::Cow;

use content::Content;

use super::blocks;
use crate::llm::{
    check,
    error::PrepareError,
    ir::{Message, OutputFormat, Part, RawJson, Request, Role, Thinking, ToolChoice},
    loss::Loss,
    model_call::Operation,
    names,
    node::Document,
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
    if operation == Operation::CountTokens {
        json.key("input");
        json.begin_object();
        json.key("converse");
        json.begin_object();
    }
    messages(request, to, losses, &mut json)?;
    system(request, &mut json);
    tools(request, losses, &mut json);
    if operation == Operation::CountTokens {
        json.end_object();
        json.end_object();
    } else {
        inference(request, to, losses, &mut json);
        thinking(request, to, losses, &mut json);
        tier(request, losses, &mut json);
    }
    json.end_object();
    if request.user.is_some() {
        losses.push(Loss::new("/user", "user", "dropped: the target's API has no such member"));
    }
    for extension in &request.extensions {
        let what = extension.pointer.trim_start_matches('/').to_owned();
        losses.push(Loss::new(extension.pointer.clone(), what, "dropped: the target's API has no such member"));
    }
    Ok(json.into_bytes())
}

fn messages(
    request: &Request,
    to: &TargetWire<'_>,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Result<(), PrepareError> {
    json.key("messages");
    json.begin_array();
    let mut content = Content::new(to, losses);
    for message in turns(request, content.losses).iter() {
        let mut blocks = JsonWriter::with_capacity(256);
        blocks.begin_array();
        let mut written = 0_usize;
        for part in &message.parts {
            written = written.saturating_add(usize::from(content.part(part, message, &mut blocks)?));
        }
        blocks.end_array();
        // An empty message is refused; what was in it is noted as lost.
        if written == 0 {
            continue;
        }
        json.begin_object();
        json.string_member("role", if message.role == Role::Assistant { "assistant" } else { "user" });
        json.key("content");
        json.written(&blocks.into_bytes());
        json.end_object();
    }
    json.end_array();
    Ok(())
}

/// System messages inside the conversation become the user's: this API has them only before it.
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

fn cache_point(hint: &RawJson, json: &mut JsonWriter) {
    let document = Document::parse(hint.as_str().as_bytes());
    let hour = document.is_ok_and(|hint| hint.root().get("ttl").is_some_and(|ttl| ttl.text_is("1h")));
    json.object(|json| {
        json.object_member("cachePoint", |json| {
            json.string_member("type", "default");
            if hour {
                json.string_member("ttl", "1h");
            }
        });
    });
}

fn system(request: &Request, json: &mut JsonWriter) {
    if request.system.iter().all(|(text, _)| text.is_empty()) {
        return;
    }
    json.array_member("system", |json| {
        for (text, cache) in request.system.iter().filter(|(text, _)| !text.is_empty()) {
            blocks::write_text(text, json);
            if let Some(hint) = cache {
                cache_point(hint, json);
            }
        }
    });
}

fn tools(request: &Request, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    if request.parallel_tools == Some(false) {
        let why = "dropped: the target's API has no such setting; several calls may come at once";
        losses.push(Loss::new("/parallel_tool_calls", "parallel_tool_calls", why));
    }
    let none = request.tool_choice == Some(ToolChoice::None);
    if request.tools.is_empty() {
        if request.tool_choice.is_some() && !none {
            losses.push(Loss::new("/tool_choice", "tool_choice", "dropped: there are no tools to choose from"));
        }
        return;
    }
    if none {
        let called = |part: &Part| matches!(part, Part::ToolCall { .. } | Part::ToolResult { .. });
        // Without tools the API has no other way to forbid them, but it wants them where the conversation has calls.
        if !request.messages.iter().any(|message| message.parts.iter().any(called)) {
            return;
        }
        losses.push(Loss::new("/tool_choice", "tool_choice", "dropped: the target cannot be told to call none here"));
    }
    json.object_member("toolConfig", |json| {
        json.array_member("tools", |json| {
            for tool in &request.tools {
                json.object(|json| {
                    json.object_member("toolSpec", |json| {
                        json.string_member("name", &names::fitting(&tool.name, "tool"));
                        if let Some(description) = tool.description.as_deref().filter(|text| !text.is_empty()) {
                            json.string_member("description", description);
                        }
                        json.object_member("inputSchema", |json| json.raw_member("json", tool.schema.as_str()));
                        if tool.strict == Some(true) {
                            json.bool_member("strict", true);
                        }
                    });
                });
                if let Some(hint) = &tool.cache {
                    cache_point(hint, json);
                }
            }
        });
        match &request.tool_choice {
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto) => choice("auto", None, json),
            Some(ToolChoice::Any) => choice("any", None, json),
            Some(ToolChoice::Named(name)) => choice("tool", Some(name), json),
        }
    });
}

fn choice(kind: &str, name: Option<&str>, json: &mut JsonWriter) {
    json.object_member("toolChoice", |json| {
        json.object_member(kind, |json| {
            if let Some(name) = name {
                json.string_member("name", &names::fitting(name, "tool"));
            }
        });
    });
}

fn inference(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let most = request.max_output.or(to.default_max_output);
    if most.is_none() && request.temperature.is_none() && request.top_p.is_none() && request.stop.is_empty() {
        return;
    }
    json.object_member("inferenceConfig", |json| {
        if let Some(most) = most {
            json.number_member("maxTokens", most);
        }
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
            json.raw_member("topP", top_p.as_str());
        }
        if !request.stop.is_empty() {
            json.array_member("stopSequences", |json| request.stop.iter().for_each(|stop| json.string(stop)));
        }
    });
}

/// How much the model may think, and in which form it is to answer. A budget is a member of Anthropic's models, an
/// effort one of the API.
fn thinking(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let effort = request.effort.as_deref().map(|effort| if effort == "minimal" { "low" } else { effort });
    let thinking = match (&request.thinking, effort) {
        (None, Some(effort)) if to.quirks.thinking_budget_only => Some(Thinking::Budget(match effort {
            "low" => 2_048,
            "medium" => 8_192,
            _ => 24_576,
        })),
        (thinking, _) => thinking.clone(),
    };
    if let Some(thinking) = thinking.filter(|thinking| *thinking != Thinking::Disabled) {
        if to.model.contains("anthropic") || to.model.contains("claude") {
            json.object_member("additionalModelRequestFields", |json| {
                json.object_member("thinking", |json| match thinking {
                    Thinking::Budget(tokens) => {
                        json.string_member("type", "enabled");
                        json.number_member("budget_tokens", tokens);
                    }
                    Thinking::Adaptive | Thinking::Disabled => json.string_member("type", "adaptive"),
                });
            });
        } else if effort.is_none() {
            losses.push(Loss::new("/thinking", "thinking", "dropped: this model takes no budget of thinking"));
        }
    }
    let effort = effort.filter(|_| !to.quirks.thinking_budget_only && request.thinking != Some(Thinking::Disabled));
    let schema = match &request.format {
        Some(OutputFormat::Schema { name, schema, .. }) => Some((name, schema)),
        Some(OutputFormat::JsonObject) => {
            losses.push(Loss::new("/response_format", "json_object", "dropped: the target wants a schema for JSON"));
            None
        }
        None => None,
    };
    if effort.is_none() && schema.is_none() {
        return;
    }
    json.object_member("outputConfig", |json| {
        if let Some(effort) = effort {
            json.string_member("effort", effort);
        }
        if let Some((name, schema)) = schema {
            json.object_member("textFormat", |json| {
                json.string_member("type", "json_schema");
                json.object_member("structure", |json| {
                    json.object_member("jsonSchema", |json| {
                        // The schema is a text here.
                        json.string_member("schema", schema.as_str());
                        if let Some(name) = name {
                            json.string_member("name", name);
                        }
                    });
                });
            });
        }
    });
}

fn tier(request: &Request, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let tier = match request.service_tier.as_deref() {
        None | Some("auto") => return,
        Some("standard_only" | "default") => "default",
        Some(tier @ ("flex" | "priority")) => tier,
        Some(_) => {
            losses.push(Loss::new("/service_tier", "service_tier", "dropped: the target has no such tier"));
            return;
        }
    };
    json.object_member("serviceTier", |json| json.string_member("type", tier));
}

/// The text, where it is one JSON object; no arguments at all are an empty one.
pub(super) fn object(arguments: &str) -> Option<&str> {
    if arguments.trim().is_empty() {
        return Some("{}");
    }
    let document = Document::parse(arguments.as_bytes()).ok()?;
    document.root().expect_object().ok().map(|_| arguments.trim())
}
