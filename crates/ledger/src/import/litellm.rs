//! LiteLLM's list: one object, a member a model, its amounts in dollars for one token.
//!
//! The form, as its file and its documentation have it: `litellm_provider` and `mode` say whose model it is and of which
//! kind; a name may begin with its provider and a slash; `input_cost_per_token`, `output_cost_per_token`,
//! `cache_read_input_token_cost`, `cache_creation_input_token_cost` and, for an hour, the last with `_above_1hr`; each of
//! them again with `_above_200k_tokens` for prompts above a number of thousands; or `tiered_pricing`, a list of such
//! amounts with a `range` of tokens. Prices of other service levels (`_batches`, `_flex`, `_priority`) are passed over,
//! since the gateway sends calls at the usual one. `sample_spec` describes the form.

use serde_json::value::RawValue;

use super::{
    ImportError, Kind,
    decimal::{self, Unit},
    draft::{Class, Drafts, Listed},
    json::{self, Members},
};

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
    drafts.take(listed);
}

/// The amounts among `members`; where `within` says so, those of a range of tokens.
fn amounts(members: &Members<'_>, within: Option<u64>, listed: &mut Listed, drafts: &mut Drafts<'_>) {
    for (name, part) in &members.0 {
        let Some((class, above)) = meaning(name) else { continue };
        if let Some(amount) = drafts.amount(listed, name, part, Unit::Token) {
            listed.set(class, above.or(within), amount);
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

/// The class that a member prices, and the tokens above which it does.
fn meaning(name: &str) -> Option<(Class, Option<u64>)> {
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
        "cache_creation_input_token_cost_above_1hr" => Class::CacheWrite1h,
        _ => return None,
    };
    Some((class, above))
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
