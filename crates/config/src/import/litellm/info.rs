//! What LiteLLM's `model_info` says of a deployment: what it takes and gives, which stands at a target here.

use serde_json::{Map, Value};

use super::super::{Work, members};
use crate::node::join;

/// What `model_info` says of what a model takes, and what that is called here.
const DESCRIBED: [(&str, &str); 7] = [
    ("max_input_tokens", "max_input"),
    ("supports_vision", "vision"),
    ("supports_audio_input", "audio"),
    ("supports_pdf_input", "documents"),
    ("supports_function_calling", "tools"),
    ("supports_response_schema", "structured_output"),
    ("supports_reasoning", "reasoning"),
];

/// What a member of `model_info` that says what a deployment takes is called here.
pub(super) fn ours(name: &str, value: &Value) -> Option<&'static str> {
    let (_, ours) = DESCRIBED.into_iter().find(|(theirs, _)| *theirs == name)?;
    let fits = if ours == "max_input" { value.as_u64().is_some_and(|most| most > 0) } else { value.is_boolean() };
    fits.then_some(ours)
}

/// What `model_info` says that a deployment takes: it stands at the target.
pub(super) fn described(model: &Value, path: &str, to: &str, work: &mut Work<'_>) -> Map<String, Value> {
    let (mut target, mut capabilities) = (Map::new(), Map::new());
    for (name, value) in members(model.get("model_info")) {
        let Some(ours) = ours(name, value) else { continue };
        let all = if ours == "max_input" { &mut target } else { &mut capabilities };
        all.insert(ours.to_owned(), value.clone());
        work.report.exact(&join(&join(path, "model_info"), name), to);
    }
    if !capabilities.is_empty() {
        target.insert("capabilities".to_owned(), Value::Object(capabilities));
    }
    target
}
