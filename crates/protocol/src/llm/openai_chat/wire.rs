//! Names, error shapes, usage and model lists of OpenAI's Chat Completions API.
//!
//! Owns what both directions of this dialect share. Never reads a whole body. Called by the dialect's `decode`,
//! `encode` and `stream`.

use bytes::Bytes;
use tidegate_core::{
    unit::{Unit, Units},
    usage::{Service, Usage, UsageSource},
};

use crate::llm::{
    error::{ErrorKind, ErrorView, MOST_MESSAGE, MOST_NAME, UpstreamError, clip},
    ir::StopReason,
    models::ModelEntry,
    node::{Document, Node},
    write::JsonWriter,
};

/// The member that carries another vendor's reasoning as text, as compatible servers name it.
pub(super) const REASONING_TEXT: &str = "reasoning_content";
/// The member that carries signed and encrypted reasoning blocks, so that they come back as they were.
pub(super) const REASONING_BLOCKS: &str = "thinking_blocks";
/// The member of such a block that says which provider and model may be shown it again.
pub(super) const REASONING_SCOPE: &str = "tidegate_scope";
/// The member of a choice that keeps a stop reason for which this dialect has no name.
pub(super) const NATIVE_REASON: &str = "native_finish_reason";

/// `tools` says whether the answer holds tool calls: several servers then still write `stop`.
pub(super) fn stop_reason(name: &str, tools: bool) -> StopReason {
    match name {
        "stop" if tools => StopReason::ToolUse,
        "stop" => StopReason::EndTurn,
        "length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::Refusal,
        other => StopReason::Other(clip(other, MOST_NAME).into()),
    }
}

pub(super) fn stop_name(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence | StopReason::Pause | StopReason::Other(_) => "stop",
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::Refusal => "content_filter",
    }
}

/// The stop reason's own name, where this dialect's says less.
pub(super) fn native_reason(reason: &StopReason) -> Option<&str> {
    match reason {
        StopReason::Pause => Some("pause_turn"),
        StopReason::ContextWindow => Some("model_context_window_exceeded"),
        StopReason::StopSequence => Some("stop_sequence"),
        StopReason::Other(name) => Some(name),
        StopReason::EndTurn | StopReason::MaxTokens | StopReason::ToolUse | StopReason::Refusal => None,
    }
}

/// `prompt_tokens` includes cached and cache-written tokens, `completion_tokens` reasoning; both include audio. Some
/// compatible servers say what was read from their cache elsewhere, or leave reasoning out of the answer's count.
pub(super) fn usage(root: Node<'_, '_>) -> Option<Usage> {
    let (mut prompt, mut answer, mut total, mut elsewhere) = (None, 0, None, 0);
    let (mut cached, mut written, mut audio_input) = (0, 0, 0);
    let (mut reasoning, mut audio_output) = (0, 0);
    let mut units = Units::NONE;
    let count = |node: Node<'_, '_>| node.as_u64().unwrap_or(0);
    for (name, value) in root.present("usage")?.members() {
        match &*name {
            "prompt_tokens" => prompt = value.as_u64(),
            "completion_tokens" => answer = count(value),
            "total_tokens" => total = value.as_u64(),
            "prompt_cache_hit_tokens" | "cached_tokens" | "num_cached_tokens" => elsewhere = count(value),
            // Perplexity's searches, with what they brought up and how much was reasoned about it.
            "num_search_queries" => units.set(Unit::WebSearch, count(value)),
            "citation_tokens" => units.set(Unit::CitationToken, count(value)),
            "reasoning_tokens" => units.set(Unit::ReasoningToken, count(value)),
            "search_context_size" => units.set(context(value), 1),
            // Mistral's count of what it heard.
            "prompt_audio_seconds" => units.set(Unit::Audio, count(value).saturating_mul(1_000)),
            "prompt_tokens_details" => {
                for (name, value) in value.members() {
                    match &*name {
                        "cached_tokens" => cached = count(value),
                        "cache_write_tokens" => written = count(value),
                        "audio_tokens" => audio_input = count(value),
                        _ => {}
                    }
                }
            }
            "completion_tokens_details" => {
                for (name, value) in value.members() {
                    match &*name {
                        "reasoning_tokens" => reasoning = count(value),
                        "audio_tokens" => audio_output = count(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let prompt = prompt?;
    let cache_read = if cached > 0 { cached } else { elsewhere }.min(prompt);
    let cache_write_5m = written.min(prompt.saturating_sub(cache_read));
    let input = prompt.saturating_sub(cache_read).saturating_sub(cache_write_5m);
    let (output, reasoning) = generated(prompt, answer, reasoning, total);
    Some(Usage {
        input,
        cache_read,
        cache_write_5m,
        output,
        reasoning,
        audio_input: audio_input.min(input),
        audio_output: audio_output.min(output),
        units,
        service: service(root),
        source: UsageSource::Vendor,
        ..Usage::default()
    })
}

/// How much context was searched for a call.
fn context(size: Node<'_, '_>) -> Unit {
    match size.text().as_deref() {
        Some("low") => Unit::Request,
        Some("medium") => Unit::RequestMedium,
        _ => Unit::RequestHigh,
    }
}

/// What was generated, and how much of it was reasoning. A total that is more than its parts is the prompt and an answer
/// whose reasoning was counted apart, as xAI and Gemini's OpenAI door do: it was generated, and is paid for.
pub(in crate::llm) fn generated(prompt: u64, answer: u64, reasoning: u64, total: Option<u64>) -> (u64, u64) {
    let apart = total.unwrap_or(0).saturating_sub(prompt.saturating_add(answer));
    (answer.saturating_add(apart), reasoning.max(apart).min(answer.saturating_add(apart)))
}

/// The level of service that an answer or a frame says. What OpenAI calls fast is its priority.
pub(in crate::llm) fn service(root: Node<'_, '_>) -> Option<Service> {
    match Service::named(&root.present("service_tier")?.text()?)? {
        Service::Fast => Some(Service::Priority),
        other => Some(other),
    }
}

pub(super) fn write_usage(json: &mut JsonWriter, usage: &Usage) {
    json.object_member("usage", |json| {
        json.number_member("prompt_tokens", usage.prompt_total());
        json.number_member("completion_tokens", usage.output);
        json.number_member("total_tokens", usage.total());
        json.object_member("prompt_tokens_details", |json| {
            json.number_member("cached_tokens", usage.cache_read);
            audio(json, usage.audio_input.saturating_add(usage.audio_cache_read));
            let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
            if written > 0 {
                json.number_member("cache_write_tokens", written);
            }
        });
        json.object_member("completion_tokens_details", |json| {
            json.number_member("reasoning_tokens", usage.reasoning);
            audio(json, usage.audio_output);
        });
    });
}

fn audio(json: &mut JsonWriter, tokens: u64) {
    if tokens > 0 {
        json.number_member("audio_tokens", tokens);
    }
}

fn error_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::TooLarge => "invalid_request_error",
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Billing => "insufficient_quota",
        ErrorKind::Permission => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::RateLimit => "rate_limit_error",
        ErrorKind::Timeout => "timeout_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Api => "server_error",
    }
}

pub(in crate::llm) fn error_kind(name: &str) -> Option<ErrorKind> {
    Some(match name {
        "invalid_request_error" => ErrorKind::InvalidRequest,
        "authentication_error" | "invalid_api_key" => ErrorKind::Authentication,
        "insufficient_quota" => ErrorKind::Billing,
        "permission_error" => ErrorKind::Permission,
        "not_found_error" | "model_not_found" => ErrorKind::NotFound,
        "rate_limit_error" | "rate_limit_exceeded" | "tokens" | "requests" => ErrorKind::RateLimit,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" | "service_unavailable_error" => ErrorKind::Overloaded,
        "server_error" | "api_error" | "internal_error" => ErrorKind::Api,
        _ => return None,
    })
}

/// `{"error":{"message","type","param","code",…}}`
pub(in crate::llm) fn error_json(view: &ErrorView<'_>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(256);
    json.object(|json| {
        json.object_member("error", |json| {
            json.string_member("message", view.message);
            json.string_member("type", error_name(view.kind));
            json.nullable_member("param", view.param);
            json.string_member("code", view.code);
            json.string_member("call_id", view.call_id);
        });
    });
    json.into_bytes()
}

/// Reads an `error` member, an object or (as some servers send it) a bare text. `status` is that of the response, or
/// 500 inside a stream, where the vendor's words decide.
pub(in crate::llm) fn error_of(root: Node<'_, '_>, status: Option<u16>) -> Option<UpstreamError> {
    let error = root.get("error").filter(|error| !error.is_null())?;
    if let Some(message) = error.text() {
        return Some(UpstreamError {
            kind: status.map_or(ErrorKind::Api, ErrorKind::of_status),
            type_name: None,
            message: clip(&message, MOST_MESSAGE).to_owned(),
            code: None,
        });
    }
    let type_name = error.get("type").and_then(|node| node.text());
    let code_node = error.get("code");
    let code = code_node.and_then(|node| node.text());
    let numeric = code_node.and_then(|node| node.as_u64()).and_then(|code| u16::try_from(code).ok());
    let named = code.as_deref().and_then(error_kind).or_else(|| type_name.as_deref().and_then(error_kind));
    let kind = match status {
        Some(status) => ErrorKind::of_status(status),
        None => named.or_else(|| numeric.map(ErrorKind::of_status)).unwrap_or(ErrorKind::Api),
    };
    Some(UpstreamError {
        kind,
        message: clip(&error.get("message").and_then(|node| node.text()).unwrap_or_default(), MOST_MESSAGE).to_owned(),
        code: code.map(|code| clip(&code, MOST_NAME).to_owned()).or_else(|| numeric.map(|code| code.to_string())),
        type_name: type_name.map(|name| clip(&name, MOST_NAME).to_owned()),
    })
}

pub(in crate::llm) fn read_error(status: u16, body: &[u8]) -> UpstreamError {
    Document::parse(body).ok().and_then(|document| error_of(document.root(), Some(status))).unwrap_or_else(|| {
        UpstreamError {
            kind: ErrorKind::of_status(status),
            type_name: None,
            message: clip(&String::from_utf8_lossy(body), MOST_MESSAGE).trim().to_owned(),
            code: None,
        }
    })
}

fn write_model(json: &mut JsonWriter, model: &ModelEntry) {
    json.object(|json| {
        json.string_member("id", &model.id);
        json.string_member("object", "model");
        json.number_member("created", model.created);
        json.string_member("owned_by", &model.owned_by);
    });
}

pub(in crate::llm) fn models_list(models: &[ModelEntry]) -> Bytes {
    let mut json = JsonWriter::with_capacity(64 + models.len() * 96);
    json.object(|json| {
        json.string_member("object", "list");
        json.array_member("data", |json| models.iter().for_each(|model| write_model(json, model)));
    });
    json.into_bytes().into()
}

pub(in crate::llm) fn model(model: &ModelEntry) -> Bytes {
    let mut json = JsonWriter::with_capacity(96);
    write_model(&mut json, model);
    json.into_bytes().into()
}
