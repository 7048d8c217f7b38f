//! genai-prices' list: providers, each with its models, their amounts in dollars for a million tokens.
//!
//! The form, as its published schema has it: of a provider `id` and `models`; of a model `id`, `context_window`, `match`
//! (which names mean it) and `prices`: either `input_mtok`, `output_mtok`, `cache_read_mtok`, `cache_write_mtok` and their
//! like, each an amount or `{base, tiers: [{start, price}]}`, or a list of such prices with a `constraint` each, of which
//! the last that holds counts. A constraint by day is followed; by anything else (the hour), the dearest counts.
//! `price_variants` are prices under a condition on the call, `when`: levels of service are taken, others passed over.

use jiff::civil::Date;
use serde_json::value::RawValue;
use tidegate_core::usage::Service;

use super::{
    ImportError, Kind,
    amounts::{Class, Schedule},
    decimal::{self, Unit},
    draft::{Drafts, Listed},
    json::{self, Members},
};
use crate::period::date;

/// The most prices with a constraint, and the most tiers, that are read of one model.
const MOST_PRICES: usize = 64;

pub(super) fn read(text: &str, on: Date, drafts: &mut Drafts<'_>) -> Result<(), ImportError> {
    for part in json::whole_list(text)? {
        let Some(provider) = json::object(part) else {
            let line = drafts.lines.of_part(part);
            return Err(ImportError::Form { line, problem: "a provider has to be an object".to_owned() });
        };
        let theirs = provider.get("id").and_then(json::text).unwrap_or_default();
        let models = provider.get("models").and_then(json::list).unwrap_or_default();
        let Some(ours) = drafts.settings.providers.get(&theirs).cloned() else {
            let count = u64::try_from(models.len()).unwrap_or(u64::MAX);
            let known = drafts.left_out.providers.entry(theirs).or_default();
            *known = known.saturating_add(count);
            continue;
        };
        provider_models(&ours, &models, on, drafts);
    }
    Ok(())
}

fn provider_models(provider: &str, models: &[&RawValue], on: Date, drafts: &mut Drafts<'_>) {
    let mut aliases = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for part in models {
        let line = drafts.lines.of_part(part);
        let Some(members) = json::object(part) else {
            drafts.found(Kind::Name, provider, line, "a model has to be an object".to_owned());
            continue;
        };
        let id = members.get("id").and_then(json::text).unwrap_or_default();
        let mut listed = Listed::new(provider, &id, line);
        if !seen.insert(id.clone()) {
            listed.spoiled = true;
            drafts.found(Kind::Duplicate, &listed.id(), line, "the model stands twice".to_owned());
        }
        for (member, part) in members.repeated() {
            listed.spoiled = true;
            let line = drafts.lines.of_part(part);
            drafts.found(Kind::Duplicate, &listed.id(), line, format!("`{member:.200}` stands twice in one model"));
        }
        listed.max_input = members.get("context_window").and_then(count).filter(|count| *count > 0);
        listed.without_answer = drafts.settings.without_answer_names.iter().any(|sign| id.contains(sign.as_str()));
        prices(&members, on, &mut listed, drafts);
        if let Some(clause) = members.get("match") {
            aliases.extend(exact_names(clause).into_iter().map(|name| (id.clone(), name)));
        }
        drafts.take(listed);
    }
    // Only once every model is known: a model's own name counts before another's other name.
    for (id, name) in aliases {
        drafts.take_alias(provider, &id, &name);
    }
}

/// Reads the prices that hold on a day.
fn prices(members: &Members<'_>, on: Date, listed: &mut Listed, drafts: &mut Drafts<'_>) {
    let Some(part) = members.get("prices") else { return };
    listed.usual = match json::object(part) {
        Some(prices) => one_price(&prices, listed, drafts),
        None => {
            let Some(conditional) = json::list(part).filter(|list| list.len() <= MOST_PRICES) else {
                listed.spoiled = true;
                let line = drafts.lines.of_part(part);
                return drafts.found(Kind::Incomplete, &listed.id(), line, "`prices` cannot be read".to_owned());
            };
            conditional_prices(&conditional, on, listed, drafts)
        }
    };
    let variants = members.get("price_variants").and_then(json::list).unwrap_or_default();
    for part in variants.into_iter().take(MOST_PRICES) {
        let Some(variant) = json::object(part) else { continue };
        let service = variant.get("when").and_then(json::object).and_then(|when| level(&when));
        let prices = variant.get("prices").and_then(json::object);
        let Some((service, prices)) = service.zip(prices) else { continue };
        // The first that holds counts, amount by amount.
        if let Constraint::Holds = constraint(&variant, on) {
            let later = one_price(&prices, listed, drafts);
            let schedule = listed.schedule(service);
            *schedule = schedule.over(&later);
        }
    }
}

/// The level of service that a condition on the call means; `None` for the usual one and for any other condition.
fn level(when: &Members<'_>) -> Option<Service> {
    let [(name, part)] = when.0.as_slice() else { return None };
    let service = Service::named(&json::text(part)?)?;
    let is_level = matches!(name.as_ref(), "processing" | "service_tier" | "speed");
    (is_level && service != Service::Standard).then_some(service)
}

/// By day, a later price replaces the one before; under any other condition both may be asked for.
fn conditional_prices(conditional: &[&RawValue], on: Date, listed: &mut Listed, drafts: &mut Drafts<'_>) -> Schedule {
    let mut all = Schedule::default();
    for part in conditional {
        let entry = json::object(part);
        let prices = entry.as_ref().and_then(|entry| entry.get("prices")).and_then(json::object);
        let Some((entry, prices)) = entry.zip(prices) else {
            listed.spoiled = true;
            let line = drafts.lines.of_part(part);
            drafts.found(Kind::Incomplete, &listed.id(), line, "a price cannot be read".to_owned());
            return all;
        };
        let this = one_price(&prices, listed, drafts);
        match constraint(&entry, on) {
            Constraint::NotYet => {}
            Constraint::Holds => all = this,
            Constraint::Unknown => all.dearest(this),
        }
    }
    all
}

enum Constraint {
    Holds,
    NotYet,
    Unknown,
}

fn constraint(entry: &Members<'_>, on: Date) -> Constraint {
    let Some(part) = entry.get("constraint").filter(|part| !json::is_null(part)) else { return Constraint::Holds };
    let Some(members) = json::object(part) else { return Constraint::Unknown };
    let [(name, part)] = members.0.as_slice() else { return Constraint::Unknown };
    if name != "start_date" && name != "start" {
        return Constraint::Unknown;
    }
    let day = json::text(part).and_then(|text| date(text.get(..10)?));
    match day {
        Some(day) if day <= on => Constraint::Holds,
        Some(_) => Constraint::NotYet,
        None => Constraint::Unknown,
    }
}

fn one_price(prices: &Members<'_>, listed: &mut Listed, drafts: &mut Drafts<'_>) -> Schedule {
    for (member, part) in prices.repeated() {
        listed.spoiled = true;
        let line = drafts.lines.of_part(part);
        drafts.found(Kind::Duplicate, &listed.id(), line, format!("`{member:.200}` stands twice in one price"));
    }
    let classes = [
        ("input_mtok", Class::Input),
        ("output_mtok", Class::Output),
        ("cache_read_mtok", Class::CacheRead),
        ("cache_write_mtok", Class::CacheWrite5m),
        ("cache_write_5m_mtok", Class::CacheWrite5m),
        ("cache_write_1h_mtok", Class::CacheWrite1h),
        ("input_audio_mtok", Class::AudioInput),
        ("cache_audio_read_mtok", Class::AudioCacheRead),
        ("output_audio_mtok", Class::AudioOutput),
        ("input_image_mtok", Class::ImageInput),
        ("output_image_mtok", Class::ImageOutput),
    ];
    let mut schedule = Schedule::default();
    for (name, class) in classes {
        let Some(part) = prices.get(name) else { continue };
        match json::object(part) {
            Some(tiered) => by_length((name, class), part, &tiered, &mut schedule, listed, drafts),
            None => {
                if let Some(amount) = drafts.amount(listed, name, part, Unit::MillionTokens) {
                    schedule.set(class, None, amount);
                }
            }
        }
    }
    schedule
}

/// An amount that depends on the length of the prompt.
fn by_length(
    (name, class): (&str, Class),
    part: &RawValue,
    tiered: &Members<'_>,
    schedule: &mut Schedule,
    listed: &mut Listed,
    drafts: &mut Drafts<'_>,
) {
    let tiers = tiered.get("tiers").and_then(json::list).filter(|tiers| tiers.len() <= MOST_PRICES);
    let read = tiers.and_then(|tiers| tiers.into_iter().map(start_and_price).collect::<Option<Vec<_>>>());
    let (Some(base), Some(tiers)) = (tiered.get("base"), read) else {
        listed.spoiled = true;
        let line = drafts.lines.of_part(part);
        return drafts.found(Kind::Tiers, &listed.id(), line, format!("`{name}` cannot be read"));
    };
    let all = [(None, base)].into_iter().chain(tiers.into_iter().map(|(start, price)| (Some(start), price)));
    for (above, part) in all {
        if let Some(amount) = drafts.amount(listed, name, part, Unit::MillionTokens) {
            schedule.set(class, above, amount);
        }
    }
}

fn start_and_price(tier: &RawValue) -> Option<(u64, &RawValue)> {
    let tier: Members<'_> = json::object(tier)?;
    Some((count(tier.get("start")?)?, tier.get("price")?))
}

/// The names that mean a model exactly: one, or the exact ones among alternatives.
fn exact_names(clause: &RawValue) -> Vec<String> {
    let equal = |part: &RawValue| json::object(part)?.get("equals").and_then(json::text);
    let Some(members) = json::object(clause) else { return Vec::new() };
    match members.get("or").and_then(json::list) {
        Some(alternatives) => alternatives.into_iter().filter_map(equal).collect(),
        None => equal(clause).into_iter().collect(),
    }
}

fn count(part: &RawValue) -> Option<u64> {
    decimal::scaled(part.get(), 0).ok()
}
