//! Error shapes of Google's APIs: `{"error":{"code","message","status","details"}}`, with the names of `google.rpc.Code`.
//!
//! Owns both directions. Never holds content of a body. Called by the dialect and its stream.

use super::fields;
use crate::llm::{
    error::{ErrorKind, ErrorView, MOST_MESSAGE, MOST_NAME, UpstreamError, clip},
    node::{Document, Node},
    write::JsonWriter,
};

fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::TooLarge => "INVALID_ARGUMENT",
        ErrorKind::Authentication => "UNAUTHENTICATED",
        ErrorKind::Permission => "PERMISSION_DENIED",
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::Billing | ErrorKind::RateLimit => "RESOURCE_EXHAUSTED",
        ErrorKind::Timeout => "DEADLINE_EXCEEDED",
        ErrorKind::Overloaded => "UNAVAILABLE",
        ErrorKind::Api => "INTERNAL",
    }
}

fn kind(name: &str) -> Option<ErrorKind> {
    Some(match name {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "ALREADY_EXISTS" | "ABORTED" => {
            ErrorKind::InvalidRequest
        }
        "UNAUTHENTICATED" => ErrorKind::Authentication,
        "PERMISSION_DENIED" => ErrorKind::Permission,
        "NOT_FOUND" => ErrorKind::NotFound,
        "RESOURCE_EXHAUSTED" => ErrorKind::RateLimit,
        "DEADLINE_EXCEEDED" | "CANCELLED" => ErrorKind::Timeout,
        "UNAVAILABLE" => ErrorKind::Overloaded,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "UNIMPLEMENTED" => ErrorKind::Api,
        _ => return None,
    })
}

/// An error as this dialect's clients read it. What the gateway alone knows stands in a `google.rpc.ErrorInfo`.
pub(super) fn json(view: &ErrorView<'_>) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(320);
    json.object(|json| {
        json.object_member("error", |json| {
            // The vendor has no 529: what is overloaded is unavailable.
            json.number_member("code", u64::from(if view.status == 529 { 503 } else { view.status }));
            json.string_member("message", view.message);
            json.string_member("status", name(view.kind));
            json.array_member("details", |json| {
                json.object(|json| {
                    json.string_member("@type", "type.googleapis.com/google.rpc.ErrorInfo");
                    json.string_member("reason", view.code);
                    json.string_member("domain", "tidegate");
                    json.object_member("metadata", |json| {
                        json.string_member("call_id", view.call_id);
                        if let Some(param) = view.param {
                            json.string_member("param", param);
                        }
                    });
                });
            });
        });
    });
    json.into_bytes()
}

/// Reads an `error` object; `None` where there is none. `status` is that of the response, or nothing inside a stream,
/// where the vendor's words decide.
pub(super) fn of(root: Node<'_, '_>, status: Option<u16>) -> Option<UpstreamError> {
    // Where a stream was asked for without its media type, the error is the one element of an array.
    let root = root.items().next().unwrap_or(root);
    let error = fields::present(root, "error")?;
    let text = |name| fields::text(error, name);
    let named = text("status");
    let reason = fields::list(error, "details").find_map(|detail| fields::text(detail, "reason"));
    let code = fields::get(error, "code").and_then(Node::as_u64).and_then(|code| u16::try_from(code).ok());
    let told = named.as_deref().and_then(kind).or_else(|| code.map(ErrorKind::of_status));
    let kind = match (reason.as_deref(), status) {
        // The vendor answers 400 where the key is none.
        (Some("API_KEY_INVALID"), _) => ErrorKind::Authentication,
        (_, Some(status)) => ErrorKind::of_status(status),
        (_, None) => told.unwrap_or(ErrorKind::Api),
    };
    let short = |text: std::borrow::Cow<'_, str>| clip(&text, MOST_NAME).to_owned();
    Some(UpstreamError {
        kind,
        message: clip(&text("message").unwrap_or_default(), MOST_MESSAGE).to_owned(),
        code: reason.map(short).or_else(|| code.map(|code| code.to_string())),
        type_name: named.map(short),
    })
}

pub(super) fn read(status: u16, body: &[u8]) -> UpstreamError {
    Document::parse(body).ok().and_then(|document| of(document.root(), Some(status))).unwrap_or_else(|| UpstreamError {
        kind: ErrorKind::of_status(status),
        type_name: None,
        message: clip(&String::from_utf8_lossy(body), MOST_MESSAGE).trim().to_owned(),
        code: None,
    })
}
