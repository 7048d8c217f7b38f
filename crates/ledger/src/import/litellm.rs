//! LiteLLM's list: one object, a member a model, its amounts in dollars for one token.
//!
//! The form, as its file and its documentation have it: `litellm_provider` and `mode` say whose model it is and of which
//! kind; a name may begin with its provider and a slash; `input_cost_per_token`, `output_cost_per_token`,
//! `cache_read_input_token_cost`, `cache_creation_input_token_cost` and, for an hour or twelve, the last with `_above_1hr`; each of
//! them again with `_above_200k_tokens` for prompts above a number of thousands, and then with `_batches`, `_flex` or
//! `_priority` for other levels of service; or `tiered_pricing`, a list of such amounts with a `range` of tokens.
//! `input_cost_per_audio_token` and its like price what is audio or image. `supports_vision` and its like say what a model
//! has; what the list does not say is not known. `sample_spec` describes the form.

use serde_json::value::RawValue;
use tidegate_core::{capability::Capability, usage::Service};

use super::{
    ImportError, Kind,
    amounts::Class,
    decimal::{self, Unit},
    draft::{Drafts, Listed},
    json::{self, Members},
};

/// The members that say what a model has.
const SUPPORTS: [(&str, Capability); 6] = [
    ("supports_vision", Capability::Vision),
    ("supports_audio_input", Capability::Audio),
    ("supports_pdf_input", Capability::Documents),
    ("supports_function_calling", Capability::Tools),
    ("supports_response_schema", Capability::StructuredOutput),
    ("supports_reasoning", Capability::Reasoning),
];

/// The most prices by the length of the prompt that are read of one model.
const MOST_RANGES: usize = 64;

pub(super) fn read(text: &str, drafts: &mut Drafts<'_>) -> Result<(), ImportError> {
    let models = json::whole_object(text)?;
    if models.get("format").and_then(json::text).as_deref() == Some("catalog.v1") {
        let problem = "this is a file of the catalogue itself: it needs no import, name it under `prices`".to_owned();
        return Err(ImportError::Form { line: 1, problem });
    }
    let repeated: Vec<String> = models.repeated().into_iter().map(|(name, _)| name.to_owned()).collect();
    for (name, part) in &models.0 {
        if name == "sample_spec" {
            continue;
        }
        model(name, part, repeated.contains(name), drafts);
    }
    Ok(())
}

fn model(name: &str, part: &RawValue, repeated: bool, drafts: &mut Drafts<'_>) {
    let line = drafts.lines.of_part(part);
    let Some(members) = json::object(part) else {
        drafts.left_out.unpriced = drafts.left_out.unpriced.saturating_add(1);
        return;
    };
    let theirs = members.get("litellm_provider").and_then(json::text).unwrap_or_default();
    let Some(provider) = drafts.settings.providers.get(&theirs).cloned() else {
        let known = drafts.left_out.providers.entry(theirs).or_default();
        *known = known.saturating_add(1);
        return;
    };
    let mode = members.get("mode").and_then(json::text).unwrap_or_default();
    if !drafts.settings.modes.contains(&mode) {
        drafts.left_out.kinds = drafts.left_out.kinds.saturating_add(1);
        return;
    }
    let own = name.strip_prefix(theirs.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    let mut listed = Listed::new(&provider, own, line);
    listed.without_answer = drafts.settings.without_answer.contains(&mode);
    listed.max_input = tokens(&members, "max_input_tokens");
    listed.max_output = tokens(&members, "max_output_tokens");
    if repeated {
        listed.spoiled = true;
        drafts.found(Kind::Duplicate, &listed.id(), line, format!("the model `{name:.200}` stands twice"));
    }
    for (member, part) in members.repeated() {
        listed.spoiled = true;
        let line = drafts.lines.of_part(part);
        drafts.found(Kind::Duplicate, &listed.id(), line, format!("`{member:.200}` stands twice in one model"));
    }
    amounts(&members, None, &mut listed, drafts);
    ranges(&members, &mut listed, drafts);
    for (name, capability) in SUPPORTS {
        match members.get(name).map(RawValue::get) {
            Some("true") => listed.capabilities.set(capability, true),
            Some("false") => listed.capabilities.set(capability, false),
            _ => {}
        }
    }
    drafts.take(listed);
}

/// The amounts among `members`; where `within` says so, those of a range of tokens.
fn amounts(members: &Members<'_>, within: Option<u64>, listed: &mut Listed, drafts: &mut Drafts<'_>) {
    for (name, part) in &members.0 {
        let Some((class, above, service)) = meaning(name) else { continue };
        if let Some(amount) = drafts.amount(listed, name, part, Unit::Token) {
            listed.schedule(service).set(class, above.or(within), amount);
        }
    }
}

/// The prices by the length of the prompt that stand in a list of their own.
fn ranges(members: &Members<'_>, listed: &mut Listed, drafts: &mut Drafts<'_>) {
    let Some(part) = members.get("tiered_pricing").filter(|part| !json::is_null(part)) else { return };
    let mut unreadable = |listed: &mut Listed| {
        listed.spoiled = true;
        let line = drafts.lines.of_part(part);
        drafts.found(Kind::Tiers, &listed.id(), line, "`tiered_pricing` cannot be read".to_owned());
    };
    let Some(tiers) = json::list(part).filter(|tiers| tiers.len() <= MOST_RANGES) else { return unreadable(listed) };
    let mut read = Vec::new();
    for tier in tiers {
        let Some(members) = json::object(tier) else { return unreadable(listed) };
        let start = members.get("range").and_then(json::list).and_then(|range| count(range.first()?));
        let Some(start) = start else { return unreadable(listed) };
        read.push((start, members));
    }
    for (start, members) in read {
        amounts(&members, Some(start).filter(|start| *start > 0), listed, drafts);
    }
}

/// The class that a member prices, the tokens above which it does, and the level of service at which it does.
fn meaning(name: &str) -> Option<(Class, Option<u64>, Service)> {
    let levels = [("_batches", Service::Batch), ("_flex", Service::Flex), ("_priority", Service::Priority)];
    let level = levels.into_iter().find_map(|(ending, service)| Some((name.strip_suffix(ending)?, service)));
    let (name, service) = level.unwrap_or((name, Service::Standard));
    let (stem, above) = match name.rsplit_once("_above_") {
        Some((stem, rest)) => match rest.strip_suffix("k_tokens") {
            Some(thousands) => (stem, Some(thousand(thousands)?)),
            None => (name, None),
        },
        None => (name, None),
    };
    let class = match stem {
        "input_cost_per_token" => Class::Input,
        "output_cost_per_token" => Class::Output,
        "cache_read_input_token_cost" => Class::CacheRead,
        "cache_creation_input_token_cost" => Class::CacheWrite5m,
        "cache_creation_input_token_cost_above_1hr" | "cache_creation_input_token_cost_above_12hr" => {
            Class::CacheWrite1h
        }
        "input_cost_per_audio_token" => Class::AudioInput,
        "cache_read_input_audio_token_cost" => Class::AudioCacheRead,
        "output_cost_per_audio_token" => Class::AudioOutput,
        "input_cost_per_image_token" => Class::ImageInput,
        "output_cost_per_image_token" => Class::ImageOutput,
        _ => return None,
    };
    Some((class, above, service))
}

fn thousand(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1_000)
}

/// A number of tokens, where it is one.
fn tokens(members: &Members<'_>, name: &str) -> Option<u64> {
    members.get(name).and_then(count).filter(|count| *count > 0)
}

fn count(part: &RawValue) -> Option<u64> {
    decimal::scaled(part.get(), 0).ok()
}
