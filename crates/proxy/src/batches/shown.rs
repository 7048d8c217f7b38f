//! Files and batches as OpenAI's API shows them.
//!
//! Owns the shapes. Pure.

use serde_json::{Value, json};
use tidegate_core::{
    batches::{BatchEndpoint, Content, StoredBatch, StoredFile},
    clock::UnixMillis,
};

fn seconds(at: UnixMillis) -> u64 {
    at.0 / 1_000
}

/// A file.
pub(super) fn file(file: &StoredFile) -> Value {
    let purpose = match file.content {
        Content::Uploaded => "batch",
        Content::Answers(_) | Content::Failures(_) => "batch_output",
    };
    json!({
        "id": file.id, "object": "file", "bytes": file.bytes, "created_at": seconds(file.created),
        "expires_at": seconds(file.expires), "filename": file.name, "purpose": purpose, "status": "processed",
        "status_details": null,
    })
}

/// A batch.
pub(super) fn batch(batch: &StoredBatch) -> Value {
    let errors: Vec<Value> = batch
        .errors
        .iter()
        .map(|error| json!({"code": error.code, "message": error.message, "param": error.param, "line": error.line}))
        .collect();
    let errors = if errors.is_empty() { Value::Null } else { json!({"object": "list", "data": errors}) };
    let at = |moment: Option<UnixMillis>| moment.map(seconds);
    let moments = &batch.moments;
    json!({
        "id": batch.id, "object": "batch", "endpoint": BatchEndpoint::path(batch.endpoint), "errors": errors,
        "input_file_id": batch.input, "completion_window": "24h", "status": batch.status.as_str(),
        "output_file_id": batch.output, "error_file_id": batch.error, "created_at": seconds(batch.created),
        "in_progress_at": at(moments.in_progress), "expires_at": seconds(batch.expires),
        "finalizing_at": at(moments.finalizing), "completed_at": at(moments.completed), "failed_at": at(moments.failed),
        "expired_at": at(moments.expired), "cancelling_at": at(moments.cancelling),
        "cancelled_at": at(moments.cancelled),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.metadata,
    })
}

/// A page of a list.
pub(super) fn list(data: Vec<Value>, has_more: bool) -> Value {
    let id = |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned();
    let (first, last) = (id(data.first()), id(data.last()));
    json!({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more})
}
