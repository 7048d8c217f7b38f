//! Names, error shapes, usage and model lists of the Anthropic Messages API.
//!
//! Owns what both directions of this dialect share. Never reads a whole body. Called by the dialect's `decode`,
//! `encode` and `stream`.

use bytes::Bytes;
use tidegate_core::{
    unit::Unit,
    usage::{Service, Usage, UsageSource},
};

use super::thread;
use crate::llm::{
    error::{ErrorKind, ErrorView, MOST_MESSAGE, MOST_NAME, UpstreamError, clip},
    ir::StopReason,
    models::{ModelEntry, rfc3339},
    node::{Document, Node},
    write::JsonWriter,
};

pub(super) fn stop_reason(name: &str) -> StopReason {
    match name {
        "end_turn" => StopReason::EndTurn,
        "stop_sequence" => StopReason::StopSequence,
        "max_tokens" => StopReason::MaxTokens,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        "pause_turn" | "compaction" => StopReason::Pause,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        other => StopReason::Other(clip(other, MOST_NAME).into()),
    }
}

pub(super) fn stop_name(reason: &StopReason) -> &str {
    match reason {
        // A reason of another vendor: the client's enum knows no such name, and the model did end its turn.
        StopReason::EndTurn | StopReason::Other(_) => "end_turn",
        StopReason::StopSequence => "stop_sequence",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ToolUse => "tool_use",
        StopReason::Refusal => "refusal",
        StopReason::Pause => "pause_turn",
        StopReason::ContextWindow => "model_context_window_exceeded",
    }
}

/// Takes what a `usage` object says into `usage`; what it leaves out keeps its value, since a stream's counts are
/// cumulative and partial. `input_tokens` excludes cache reads and writes. What the vendor's own compaction of the
/// conversation took stands apart from the other counts, and is paid for too.
pub(super) fn take_usage(node: Node<'_, '_>, usage: &mut Usage) {
    usage.source = UsageSource::Vendor;
    let mut written = None;
    let mut split = None;
    let apart = compaction(node);
    let (mut tier, mut speed) = (None, None);
    let take =
        |value: Node<'_, '_>, apart: u64, so_far: u64| value.as_u64().map_or(so_far, |n| n.saturating_add(apart));
    for (name, value) in node.members() {
        match &*name {
            "input_tokens" => usage.input = take(value, apart.input, usage.input),
            "output_tokens" => usage.output = take(value, apart.output, usage.output),
            "cache_read_input_tokens" => usage.cache_read = take(value, apart.cache_read, usage.cache_read),
            "cache_creation_input_tokens" => {
                written = value.as_u64().map(|n| n.saturating_add(apart.cache_write_5m));
            }
            "cache_creation" if !value.is_null() => {
                split = Some((
                    value.get("ephemeral_5m_input_tokens").and_then(|n| n.as_u64()).unwrap_or(0),
                    value.get("ephemeral_1h_input_tokens").and_then(|n| n.as_u64()).unwrap_or(0),
                ));
            }
            "service_tier" => tier = value.text().and_then(|name| Service::named(&name)),
            "speed" => speed = value.text().and_then(|name| Service::named(&name)),
            "server_tool_use" => {
                if let Some(searches) = value.get("web_search_requests").and_then(|n| n.as_u64()) {
                    usage.units.set(Unit::WebSearch, searches);
                }
            }
            "output_tokens_details" => {
                if let Some(reasoning) = value.get("thinking_tokens").and_then(|n| n.as_u64()) {
                    usage.reasoning = reasoning;
                }
            }
            _ => {}
        }
    }
    // A priority tier is capacity that was paid for; speed and batches change what tokens cost.
    usage.service = speed.filter(|speed| *speed == Service::Fast).or(tier).or(usage.service);
    match (split, written) {
        (Some((five, hour)), written) => {
            usage.cache_write_1h = hour;
            // A total above its parts is billed as the shorter-lived kind rather than forgotten.
            usage.cache_write_5m = written.map_or(five, |total| five.max(total.saturating_sub(hour)));
        }
        (None, Some(total)) => usage.cache_write_5m = total.saturating_sub(usage.cache_write_1h),
        (None, None) => {}
    }
}

/// What `iterations` say that compacting took; cache writes of every life together.
fn compaction(usage: Node<'_, '_>) -> Usage {
    let mut sum = Usage::default();
    let iterations = usage.present("iterations").into_iter().flat_map(Node::items);
    for iteration in iterations.filter(|node| node.get("type").is_some_and(|kind| kind.text_is("compaction"))) {
        for (name, sum) in [
            ("input_tokens", &mut sum.input),
            ("output_tokens", &mut sum.output),
            ("cache_read_input_tokens", &mut sum.cache_read),
            ("cache_creation_input_tokens", &mut sum.cache_write_5m),
        ] {
            *sum = sum.saturating_add(iteration.get(name).and_then(Node::as_u64).unwrap_or(0));
        }
    }
    sum
}

pub(super) fn write_usage(json: &mut JsonWriter, usage: &Usage) {
    json.object_member("usage", |json| {
        json.number_member("input_tokens", usage.input);
        json.number_member("cache_creation_input_tokens", usage.cache_write_5m.saturating_add(usage.cache_write_1h));
        json.number_member("cache_read_input_tokens", usage.cache_read);
        if usage.cache_write_1h > 0 {
            json.object_member("cache_creation", |json| {
                json.number_member("ephemeral_5m_input_tokens", usage.cache_write_5m);
                json.number_member("ephemeral_1h_input_tokens", usage.cache_write_1h);
            });
        }
        json.number_member("output_tokens", usage.output);
        if usage.reasoning > 0 {
            json.object_member("output_tokens_details", |json| {
                json.number_member("thinking_tokens", usage.reasoning);
            });
        }
    });
}

pub(super) fn error_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest => "invalid_request_error",
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Billing => "billing_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::RateLimit => "rate_limit_error",
        ErrorKind::Timeout => "timeout_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Api => "api_error",
    }
}

pub(super) fn error_kind(name: &str) -> Option<ErrorKind> {
    Some(match name {
        "invalid_request_error" => ErrorKind::InvalidRequest,
        "authentication_error" => ErrorKind::Authentication,
        "billing_error" => ErrorKind::Billing,
        "permission_error" => ErrorKind::Permission,
        "not_found_error" => ErrorKind::NotFound,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_error" => ErrorKind::RateLimit,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" => ErrorKind::Overloaded,
        "api_error" => ErrorKind::Api,
        _ => return None,
    })
}

/// `{"type":"error","error":{"type","message",…},"request_id"}`
pub(super) fn error_json(view: &ErrorView<'_>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(256);
    json.object(|json| {
        json.string_member("type", "error");
        json.object_member("error", |json| {
            json.string_member("type", error_name(view.kind));
            json.string_member("message", view.message);
            json.string_member("code", view.code);
            if let Some(param) = view.param {
                json.string_member("param", param);
            }
            thread::error_details(view, json);
        });
        json.string_member("request_id", view.call_id);
    });
    json.into_bytes()
}

/// Reads an `error` object; `None` where there is none.
pub(super) fn error_of(root: Node<'_, '_>, status: u16) -> Option<UpstreamError> {
    let error = root.get("error")?;
    let type_name = error.get("type").and_then(|node| node.text());
    Some(UpstreamError {
        kind: type_name.as_deref().and_then(error_kind).unwrap_or_else(|| ErrorKind::of_status(status)),
        message: clip(&error.get("message").and_then(|node| node.text()).unwrap_or_default(), MOST_MESSAGE).to_owned(),
        code: error.get("code").and_then(|node| node.text()).map(|code| clip(&code, MOST_NAME).to_owned()),
        type_name: type_name.map(|name| clip(&name, MOST_NAME).to_owned()),
    })
}

pub(super) fn read_error(status: u16, body: &[u8]) -> UpstreamError {
    Document::parse(body).ok().and_then(|document| error_of(document.root(), status)).unwrap_or_else(|| UpstreamError {
        kind: ErrorKind::of_status(status),
        type_name: None,
        message: clip(&String::from_utf8_lossy(body), MOST_MESSAGE).trim().to_owned(),
        code: None,
    })
}

fn write_model(json: &mut JsonWriter, model: &ModelEntry) {
    json.object(|json| {
        json.string_member("type", "model");
        json.string_member("id", &model.id);
        json.string_member("display_name", &model.id);
        json.string_member("created_at", &rfc3339(model.created));
    });
}

pub(super) fn models_list(models: &[ModelEntry]) -> Bytes {
    let mut json = JsonWriter::with_capacity(64 + models.len() * 128);
    json.object(|json| {
        json.array_member("data", |json| models.iter().for_each(|model| write_model(json, model)));
        json.bool_member("has_more", false);
        json.nullable_member("first_id", models.first().map(|model| &*model.id));
        json.nullable_member("last_id", models.last().map(|model| &*model.id));
    });
    json.into_bytes().into()
}

pub(super) fn model(model: &ModelEntry) -> Bytes {
    let mut json = JsonWriter::with_capacity(128);
    write_model(&mut json, model);
    json.into_bytes().into()
}
