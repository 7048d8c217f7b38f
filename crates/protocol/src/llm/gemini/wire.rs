//! Names, paths, stop reasons, usage and model lists of the Gemini API.
//!
//! Owns what both directions of this dialect share. Never reads a whole body. Called by the dialect's other files.

use std::fmt::Write as _;

use bytes::Bytes;
use tidegate_core::{
    unit::{Unit, Units},
    usage::{Service, Usage, UsageSource},
};

use super::fields;
use crate::llm::{
    error::{MOST_NAME, PrepareError, clip},
    ir::StopReason,
    model_call::Operation,
    models::ModelEntry,
    node::Node,
    write::JsonWriter,
};

/// What resources of models begin with at the vendor; any other name is one of `models/`.
const KINDS: [&str; 3] = ["models/", "tunedModels/", "publishers/"];

/// The path of an operation. A base URL that ends in `/publishers/google` reaches the same models at Vertex AI.
pub(super) fn path(operation: Operation, model: &str, stream: bool) -> Result<String, PrepareError> {
    let verb = match (operation, stream) {
        (Operation::Generate, false) => ":generateContent",
        (Operation::Generate, true) => ":streamGenerateContent?alt=sse",
        (Operation::CountTokens, _) => ":countTokens",
        (Operation::Embed, _) => ":embedContent",
        (Operation::EmbedBatch, _) => ":batchEmbedContents",
        (Operation::Complete, _) => {
            return Err(PrepareError::Unsupported(
                "this provider's API has no completions of texts; ask one that speaks OpenAI's",
            ));
        }
    };
    if model.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        let message = "the model's name holds an empty part, `.` or `..`; name one as in the list of models".to_owned();
        return Err(PrepareError::Invalid { pointer: String::new(), message });
    }
    let whole = KINDS.iter().any(|kind| model.starts_with(kind));
    let mut path = String::with_capacity(model.len().saturating_add(40));
    path.push_str(if whole { "/" } else { "/models/" });
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (byte == b'/' && whole) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path.push_str(verb);
    Ok(path)
}

/// A model's name as bodies have it.
pub(super) fn resource(model: &str) -> String {
    if KINDS.iter().any(|kind| model.starts_with(kind)) { model.to_owned() } else { format!("models/{model}") }
}

/// `calls` says whether the answer holds function calls: the API has no reason of its own for them.
pub(super) fn stop_reason(name: &str, calls: bool) -> Option<StopReason> {
    Some(match name {
        "FINISH_REASON_UNSPECIFIED" | "" => return None,
        "STOP" if calls => StopReason::ToolUse,
        "STOP" => StopReason::EndTurn,
        "MAX_TOKENS" => StopReason::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => StopReason::Refusal,
        other => StopReason::Other(clip(other, MOST_NAME).into()),
    })
}

pub(super) fn stop_name(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence | StopReason::ToolUse | StopReason::Pause => "STOP",
        StopReason::MaxTokens | StopReason::ContextWindow => "MAX_TOKENS",
        StopReason::Refusal => "SAFETY",
        StopReason::Other(_) => "OTHER",
    }
}

/// The stop reason's own name, for `finishMessage`, where this dialect's says less.
pub(super) fn stop_message(reason: &StopReason) -> Option<&str> {
    match reason {
        StopReason::Pause => Some("pause_turn"),
        StopReason::ContextWindow => Some("model_context_window_exceeded"),
        StopReason::StopSequence => Some("stop_sequence"),
        StopReason::Other(name) => Some(name),
        StopReason::EndTurn | StopReason::MaxTokens | StopReason::ToolUse | StopReason::Refusal => None,
    }
}

/// The number of the candidate: absent where it is the first.
pub(super) fn index_of(candidate: Node<'_, '_>, otherwise: usize) -> u64 {
    fields::get(candidate, "index").and_then(Node::as_u64).unwrap_or(otherwise as u64)
}

/// Whether the prompt was refused before any candidate was made.
pub(super) fn is_blocked(root: Node<'_, '_>) -> bool {
    let reason = fields::get(root, "promptFeedback").and_then(|feedback| fields::text(feedback, "blockReason"));
    reason.is_some_and(|reason| reason != "BLOCKED_REASON_UNSPECIFIED")
}

/// What an answer says it used.
pub(super) fn usage_of(root: Node<'_, '_>) -> Option<Usage> {
    let mut usage = fields::get(root, "usageMetadata").and_then(usage)?;
    usage.units = searches(root);
    Some(usage)
}

/// The searches that an answer rests on, and whether it rests on any: one kind of model is charged by the one, another by
/// the other.
pub(super) fn searches(root: Node<'_, '_>) -> Units {
    let mut units = Units::NONE;
    for candidate in fields::list(root, "candidates") {
        let Some(grounding) = fields::present(candidate, "groundingMetadata") else { continue };
        let queries = |name: &str| u64::try_from(fields::list(grounding, name).count()).unwrap_or(u64::MAX);
        let searches = queries("webSearchQueries").saturating_add(queries("imageSearchQueries"));
        units.add(Unit::WebSearch, searches);
        // What was found among files of the caller's own is no search of the web.
        let found = |chunk| ["web", "maps", "image"].into_iter().any(|kind| fields::present(chunk, kind).is_some());
        if searches > 0 || fields::list(grounding, "groundingChunks").any(found) {
            units.set(Unit::GroundedPrompt, 1);
        }
    }
    units
}

/// `promptTokenCount` includes what was cached, and not what the vendor's own tools put into the prompt;
/// `candidatesTokenCount` does not include thoughts.
pub(super) fn usage(node: Node<'_, '_>) -> Option<Usage> {
    let count = |name| fields::get(node, name).and_then(Node::as_u64);
    let prompt = count("promptTokenCount")?;
    let cache_read = count("cachedContentTokenCount").unwrap_or(0).min(prompt);
    let by_tools = count("toolUsePromptTokenCount").unwrap_or(0);
    let thoughts = count("thoughtsTokenCount").unwrap_or(0);
    let input = prompt.saturating_sub(cache_read).saturating_add(by_tools);
    let output = count("candidatesTokenCount").unwrap_or(0).saturating_add(thoughts);
    // The details of the prompt include what was cached.
    let fresh = |kind| {
        let all = of_kind(node, "promptTokensDetails", kind).saturating_sub(of_kind(node, "cacheTokensDetails", kind));
        all.saturating_add(of_kind(node, "toolUsePromptTokensDetails", kind)).min(input)
    };
    Some(Usage {
        input,
        cache_read,
        output,
        reasoning: thoughts,
        audio_input: fresh("AUDIO"),
        audio_cache_read: of_kind(node, "cacheTokensDetails", "AUDIO").min(cache_read),
        audio_output: of_kind(node, "candidatesTokensDetails", "AUDIO").min(output),
        image_input: fresh("IMAGE"),
        image_output: of_kind(node, "candidatesTokensDetails", "IMAGE").min(output),
        service: service(node),
        source: UsageSource::Vendor,
        ..Usage::default()
    })
}

/// The tokens of one modality among details.
fn of_kind(node: Node<'_, '_>, details: &str, kind: &str) -> u64 {
    fields::list(node, details)
        .filter(|detail| fields::text(*detail, "modality").is_some_and(|name| name == kind))
        .filter_map(|detail| fields::get(detail, "tokenCount").and_then(Node::as_u64))
        .fold(0, u64::saturating_add)
}

/// The level of service: `serviceTier`, or Vertex's `trafficType`.
fn service(node: Node<'_, '_>) -> Option<Service> {
    if let Some(name) = fields::text(node, "serviceTier") {
        return Service::named(&name);
    }
    let name = fields::text(node, "trafficType")?;
    match name.strip_prefix("ON_DEMAND").unwrap_or_default() {
        "_PRIORITY" => Some(Service::Priority),
        "_FLEX" => Some(Service::Flex),
        "" => Some(Service::Standard),
        _ => None,
    }
}

pub(super) fn write_usage(json: &mut JsonWriter, usage: &Usage) {
    json.object_member("usageMetadata", |json| {
        json.number_member("promptTokenCount", usage.prompt_total());
        json.number_member("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning));
        json.number_member("totalTokenCount", usage.total());
        if usage.cache_read > 0 {
            json.number_member("cachedContentTokenCount", usage.cache_read);
        }
        if usage.reasoning > 0 {
            json.number_member("thoughtsTokenCount", usage.reasoning);
        }
    });
}

fn write_model(json: &mut JsonWriter, model: &ModelEntry) {
    json.object(|json| {
        json.string_member("name", &format!("models/{}", model.id));
        json.string_member("displayName", &model.id);
        json.array_member("supportedGenerationMethods", |json| {
            for method in ["generateContent", "streamGenerateContent", "countTokens"] {
                json.string(method);
            }
        });
    });
}

pub(super) fn models_list(models: &[ModelEntry]) -> Bytes {
    let mut json = JsonWriter::with_capacity(64 + models.len() * 160);
    json.object(|json| {
        json.array_member("models", |json| models.iter().for_each(|model| write_model(json, model)));
    });
    json.into_bytes().into()
}

pub(super) fn model(model: &ModelEntry) -> Bytes {
    let mut json = JsonWriter::with_capacity(160);
    write_model(&mut json, model);
    json.into_bytes().into()
}
