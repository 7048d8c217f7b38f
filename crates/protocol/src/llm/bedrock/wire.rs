//! Names, paths, error shapes and usage of the Bedrock runtime's API.
//!
//! Owns what both directions of this dialect share. Never reads a whole body. Called by the dialect's `decode`,
//! `encode` and `stream`.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use tidegate_core::usage::{Service, Usage, UsageSource};

use crate::llm::{
    error::{ErrorKind, MOST_MESSAGE, MOST_NAME, UpstreamError, clip},
    ir::StopReason,
    models::ModelEntry,
    node::{Document, Node},
    write::JsonWriter,
};

/// `/model/{id}/{action}`, the id percent-encoded: identifiers of resources hold `/` and `:` (RFC 3986, section 2.1).
pub(super) fn path(model: &str, action: &str) -> Cow<'static, str> {
    let mut out = String::with_capacity(model.len().saturating_add(32));
    out.push_str("/model/");
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out.push('/');
    out.push_str(action);
    out.into()
}

pub(super) fn stop_reason(name: &str) -> StopReason {
    match name {
        "end_turn" => StopReason::EndTurn,
        "stop_sequence" => StopReason::StopSequence,
        "max_tokens" => StopReason::MaxTokens,
        "tool_use" => StopReason::ToolUse,
        "guardrail_intervened" | "content_filtered" => StopReason::Refusal,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        other => StopReason::Other(clip(other, MOST_NAME).into()),
    }
}

pub(super) fn stop_name(reason: &StopReason) -> &'static str {
    match reason {
        // A reason of another vendor: the client's enum knows no such name, and the model did end its turn.
        StopReason::EndTurn | StopReason::Pause | StopReason::Other(_) => "end_turn",
        StopReason::StopSequence => "stop_sequence",
        StopReason::MaxTokens => "max_tokens",
        StopReason::ToolUse => "tool_use",
        StopReason::Refusal => "content_filtered",
        StopReason::ContextWindow => "model_context_window_exceeded",
    }
}

/// What `usage` says, of an answer or of the event `metadata`. `inputTokens` excludes cache reads and writes.
pub(super) fn usage_of(root: Node<'_, '_>) -> Option<Usage> {
    let node = root.present("usage")?;
    let count = |name| node.get(name).and_then(Node::as_u64).unwrap_or(0);
    let written = count("cacheWriteInputTokens");
    let details = node.present("cacheDetails").into_iter().flat_map(Node::items);
    let hour: u64 = details
        .filter(|detail| detail.get("ttl").is_some_and(|ttl| ttl.text_is("1h")))
        .filter_map(|detail| detail.get("inputTokens").and_then(Node::as_u64))
        .fold(0, u64::saturating_add);
    Some(Usage {
        input: count("inputTokens"),
        output: count("outputTokens"),
        cache_read: count("cacheReadInputTokens"),
        cache_write_5m: written.saturating_sub(hour),
        cache_write_1h: hour,
        service: root
            .present("serviceTier")
            .and_then(|tier| tier.get("type")?.text())
            .and_then(|name| Service::named(&name)),
        source: UsageSource::Vendor,
        ..Usage::default()
    })
}

pub(super) fn write_usage(json: &mut JsonWriter, usage: &Usage) {
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
    json.object_member("usage", |json| {
        json.number_member("inputTokens", usage.input);
        json.number_member("outputTokens", usage.output);
        json.number_member("totalTokens", usage.total());
        json.number_member("cacheReadInputTokens", usage.cache_read);
        json.number_member("cacheWriteInputTokens", written);
        if usage.cache_write_1h > 0 {
            json.array_member("cacheDetails", |json| {
                for (ttl, tokens) in [("5m", usage.cache_write_5m), ("1h", usage.cache_write_1h)] {
                    json.object(|json| {
                        json.string_member("ttl", ttl);
                        json.number_member("inputTokens", tokens);
                    });
                }
            });
        }
    });
}

/// The name of an error in `x-amzn-ErrorType`, by which the vendor's clients choose the exception they raise.
pub(super) fn error_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::TooLarge => "ValidationException",
        ErrorKind::Authentication => "UnrecognizedClientException",
        ErrorKind::Billing => "ServiceQuotaExceededException",
        ErrorKind::Permission => "AccessDeniedException",
        ErrorKind::NotFound => "ResourceNotFoundException",
        ErrorKind::RateLimit => "ThrottlingException",
        ErrorKind::Timeout => "ModelTimeoutException",
        ErrorKind::Overloaded => "ServiceUnavailableException",
        ErrorKind::Api => "InternalServerException",
    }
}

/// The name of an exception inside a stream: only these five are known there.
pub(super) fn exception_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimit => "throttlingException",
        ErrorKind::Overloaded => "serviceUnavailableException",
        ErrorKind::Timeout => "modelStreamErrorException",
        ErrorKind::Api => "internalServerException",
        ErrorKind::InvalidRequest
        | ErrorKind::TooLarge
        | ErrorKind::Authentication
        | ErrorKind::Billing
        | ErrorKind::Permission
        | ErrorKind::NotFound => "validationException",
    }
}

/// The sort of an exception by its name, as a stream or `__type` gives it.
pub(super) fn error_kind(name: &str) -> ErrorKind {
    let name = name.rsplit('#').next().unwrap_or(name);
    match name.strip_suffix("Exception").unwrap_or(name) {
        "throttling" | "Throttling" | "modelNotReady" | "ModelNotReady" => ErrorKind::RateLimit,
        "validation" | "Validation" => ErrorKind::InvalidRequest,
        "serviceUnavailable" | "ServiceUnavailable" => ErrorKind::Overloaded,
        "modelTimeout" | "ModelTimeout" => ErrorKind::Timeout,
        "accessDenied" | "AccessDenied" => ErrorKind::Permission,
        "resourceNotFound" | "ResourceNotFound" => ErrorKind::NotFound,
        _ => ErrorKind::Api,
    }
}

/// `{"message":…}`
pub(super) fn error_json(message: &str) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(128);
    json.object(|json| json.string_member("message", message));
    json.into_bytes()
}

pub(super) fn message_of(root: Node<'_, '_>) -> Option<String> {
    let message = root.get("message").or_else(|| root.get("Message"))?.text()?;
    Some(clip(&message, MOST_MESSAGE).to_owned())
}

pub(super) fn read_error(status: u16, body: &[u8]) -> UpstreamError {
    let kind = match status {
        // What the model itself got wrong is not the caller's doing, although it is numbered among the callers' errors.
        424 => ErrorKind::Api,
        _ => ErrorKind::of_status(status),
    };
    let document = Document::parse(body).ok();
    let root = document.as_ref().map(Document::root);
    let type_name = root.and_then(|root| root.get("__type")?.text());
    let plain = || clip(&String::from_utf8_lossy(body), MOST_MESSAGE).trim().to_owned();
    UpstreamError {
        kind,
        type_name: type_name.map(|name| clip(&name, MOST_NAME).to_owned()),
        message: root.and_then(message_of).unwrap_or_else(plain),
        code: None,
    }
}

fn write_model(json: &mut JsonWriter, model: &ModelEntry) {
    json.object(|json| {
        json.string_member("modelId", &model.id);
        json.string_member("modelName", &model.id);
        json.string_member("providerName", &model.owned_by);
    });
}

pub(super) fn models_list(models: &[ModelEntry]) -> Bytes {
    let mut json = JsonWriter::with_capacity(64 + models.len() * 96);
    json.object(|json| {
        json.array_member("modelSummaries", |json| models.iter().for_each(|model| write_model(json, model)));
    });
    json.into_bytes().into()
}

pub(super) fn model(model: &ModelEntry) -> Bytes {
    let mut json = JsonWriter::with_capacity(96);
    json.object(|json| {
        json.key("modelDetails");
        write_model(json, model);
    });
    json.into_bytes().into()
}
