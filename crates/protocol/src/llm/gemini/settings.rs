//! `generationConfig`: both ways, and the names of its members.
//!
//! Owns limits, sampling, thinking and the form of the answer. Never drops a setting in silence. Called by `decode`,
//! `encode` and for the parameters that a target's configuration sets.

use std::borrow::Cow;

use super::{decode::extension, fields, quirks, schema};
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        ir::{OutputFormat, RawJson, Request, Sampling, SamplingKind, Thinking},
        loss::Loss,
        node::{Node, pointer_to},
        target::TargetWire,
        write::JsonWriter,
    },
};

/// The name of a parameter here, where it is named as in the Chat dialect.
pub(super) fn param(name: &str) -> &str {
    match name {
        "max_tokens" | "max_output_tokens" => "maxOutputTokens",
        "top_p" => "topP",
        "top_k" => "topK",
        "stop" | "stop_sequences" => "stopSequences",
        "presence_penalty" => "presencePenalty",
        "frequency_penalty" => "frequencyPenalty",
        "response_modalities" => "responseModalities",
        "media_resolution" => "mediaResolution",
        "thinking_config" => "thinkingConfig",
        "logprobs" => "responseLogprobs",
        "top_logprobs" => "logprobs",
        other => other,
    }
}

pub(super) fn read(config: Node<'_, '_>, above: &str, request: &mut Request) -> Result<(), ReadError> {
    let above = format!("{above}/generationConfig");
    let mut is_json = false;
    for (name, value) in fields::members(config.expect_object()?).filter(|(_, value)| !value.is_null()) {
        let pointer = format!("{above}{}", pointer_to(&name));
        match &*name {
            "maxOutputTokens" => request.max_output = Some(value.expect_count(1)?),
            "temperature" => request.temperature = Some(RawJson(value.expect_number()?.to_owned())),
            "topP" => request.top_p = Some(RawJson(value.expect_number()?.to_owned())),
            "stopSequences" => {
                request.stop = value
                    .expect_array()?
                    .items()
                    .map(|item| item.expect_text().map(Cow::into_owned))
                    .collect::<Result<_, _>>()?;
            }
            "topK" => sampling(SamplingKind::TopK, value, pointer, request)?,
            "seed" => sampling(SamplingKind::Seed, value, pointer, request)?,
            "presencePenalty" => sampling(SamplingKind::PresencePenalty, value, pointer, request)?,
            "frequencyPenalty" => sampling(SamplingKind::FrequencyPenalty, value, pointer, request)?,
            "candidateCount" if value.as_u64() == Some(1) => {}
            "responseLogprobs" if value.as_bool() == Some(false) => {}
            "responseModalities" if value.items().all(|item| item.text_is("TEXT")) => {}
            "responseMimeType" => match &*value.expect_text()? {
                "application/json" => is_json = true,
                "text/plain" | "" => {}
                _ => extension(pointer, request),
            },
            "responseSchema" | "responseJsonSchema" => {
                let schema = value.expect_object()?;
                let own = name == "responseSchema";
                let schema = if own { schema::json_schema(schema) } else { RawJson(schema.raw().to_owned()) };
                request.format = Some(OutputFormat::Schema { name: None, schema, strict: None });
            }
            "thinkingConfig" => thinking(value.expect_object()?, request)?,
            _ => extension(pointer, request),
        }
    }
    if is_json && request.format.is_none() {
        request.format = Some(OutputFormat::JsonObject);
    }
    Ok(())
}

fn sampling(kind: SamplingKind, value: Node<'_, '_>, pointer: String, request: &mut Request) -> Result<(), ReadError> {
    let value = RawJson(value.expect_number()?.to_owned());
    extension(pointer.clone(), request);
    request.sampling.push(Sampling { kind, value, pointer });
    Ok(())
}

fn thinking(config: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    if let Some(level) = fields::present(config, "thinkingLevel") {
        match &*level.expect_text()?.to_ascii_lowercase() {
            "thinking_level_unspecified" => {}
            level => request.effort = Some(level.to_owned()),
        }
    }
    if let Some(budget) = fields::present(config, "thinkingBudget") {
        request.thinking = Some(match (budget.kind(), budget.raw(), budget.as_u64()) {
            (Kind::Number, "-1", _) => Thinking::Adaptive,
            (_, _, Some(0)) => Thinking::Disabled,
            (_, _, Some(tokens)) => Thinking::Budget(tokens),
            _ => return Err(budget.error("must be a number of tokens, 0 for none or -1 for as many as it takes")),
        });
    }
    Ok(())
}

/// The tier in the words that the other APIs share.
pub(super) fn read_tier(name: &str) -> Option<String> {
    match name.to_ascii_lowercase().as_str() {
        "" | "unspecified" => None,
        "standard" => Some("default".to_owned()),
        other => Some(other.to_owned()),
    }
}

/// The most stop sequences that the API takes.
const MOST_STOPS: usize = 5;

pub(super) fn write(
    request: &Request,
    to: &TargetWire<'_>,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) -> Vec<String> {
    let mut carried = Vec::new();
    json.key("generationConfig");
    json.begin_object();
    if let Some(most) = request.max_output.or(to.default_max_output) {
        json.number_member("maxOutputTokens", most);
    }
    for (name, value) in [("temperature", &request.temperature), ("topP", &request.top_p)] {
        if let Some(value) = value {
            json.raw_member(name, value.as_str());
        }
    }
    for Sampling { kind, value, pointer } in &request.sampling {
        let name = match kind {
            SamplingKind::TopK => "topK",
            SamplingKind::Seed => "seed",
            SamplingKind::PresencePenalty => "presencePenalty",
            SamplingKind::FrequencyPenalty => "frequencyPenalty",
        };
        json.raw_member(name, value.as_str());
        carried.push(pointer.clone());
    }
    if !request.stop.is_empty() {
        json.array_member("stopSequences", |json| {
            request.stop.iter().take(MOST_STOPS).for_each(|stop| json.string(stop));
        });
        if request.stop.len() > MOST_STOPS {
            losses.push(Loss::new("/stop", "stop", "cut: the target takes at most five"));
        }
    }
    match &request.format {
        None => {}
        Some(OutputFormat::JsonObject) => json.string_member("responseMimeType", "application/json"),
        Some(OutputFormat::Schema { schema, .. }) => {
            json.string_member("responseMimeType", "application/json");
            json.raw_member("responseJsonSchema", schema.as_str());
        }
    }
    write_thinking(request, to, losses, json);
    json.end_object();
    carried
}

fn write_thinking(request: &Request, to: &TargetWire<'_>, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    let levels = quirks::has_levels(to.model) && !to.quirks.thinking_budget_only;
    let effort = request.effort.as_deref();
    match (&request.thinking, effort) {
        (None, None) => {}
        (Some(Thinking::Disabled), _) => {
            // Some models cannot be kept from thinking; the least that they can is as near as they come.
            let least = quirks::least_budget(to.model);
            if levels || least > 0 {
                let why = "set to the least: the target's model cannot be kept from thinking";
                losses.push(Loss::new("/thinking", "thinking", why));
            }
            json.object_member("thinkingConfig", |json| {
                if levels {
                    json.string_member("thinkingLevel", "LOW");
                } else {
                    json.number_member("thinkingBudget", least);
                }
            });
        }
        (Some(Thinking::Budget(tokens)), _) => thinking_of(json, |json| json.number_member("thinkingBudget", *tokens)),
        (_, Some(effort)) => thinking_of(json, |json| {
            if levels {
                json.string_member("thinkingLevel", level(effort));
            } else {
                json.number_member("thinkingBudget", budget(effort));
            }
        }),
        (Some(Thinking::Adaptive), None) => thinking_of(json, |json| {
            if !levels {
                json.raw_member("thinkingBudget", "-1");
            }
        }),
    }
}

/// Whoever asks for thinking in another dialect is shown it there.
fn thinking_of(json: &mut JsonWriter, members: impl FnOnce(&mut JsonWriter)) {
    json.object_member("thinkingConfig", |json| {
        members(json);
        json.bool_member("includeThoughts", true);
    });
}

/// The level that an effort comes nearest to, of those that all models with levels have or round themselves.
fn level(effort: &str) -> &'static str {
    match effort {
        "minimal" | "low" => "LOW",
        "medium" => "MEDIUM",
        _ => "HIGH",
    }
}

/// The budget that spends about as much, as the vendor's own page on compatibility has it.
fn budget(effort: &str) -> u64 {
    match effort {
        "minimal" | "low" => 1_024,
        "medium" => 8_192,
        _ => 24_576,
    }
}

/// `serviceTier`, which stands beside `generationConfig`.
pub(super) fn write_tier(request: &Request, losses: &mut Vec<Loss>, json: &mut JsonWriter) {
    match request.service_tier.as_deref() {
        None | Some("auto") => {}
        Some("default" | "standard" | "standard_only") => json.string_member("serviceTier", "standard"),
        Some(tier @ ("flex" | "priority")) => json.string_member("serviceTier", tier),
        Some(_) => losses.push(Loss::new("/service_tier", "service_tier", "dropped: the target has no such tier")),
    }
}
