//! genai-prices' list: providers, each with its models, their amounts in dollars for a million tokens.
//!
//! The form, as its published schema has it: of a provider `id` and `models`; of a model `id`, `context_window`, `match`
//! (which names mean it) and `prices`: either `input_mtok`, `output_mtok`, `cache_read_mtok` and `cache_write_mtok`, each
//! an amount or `{base, tiers: [{start, price}]}`, or a list of such prices with a `constraint` each, of which the last
//! that holds counts. A constraint by day is followed; by anything else (the hour), the dearest counts.

use jiff::civil::Date;
use serde_json::value::RawValue;

use super::{
    ImportError, Kind,
    decimal::{self, Unit},
    draft::{Class, Drafts, Listed},
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
    if let Some(prices) = json::object(part) {
        return one_price(&prices, listed, drafts);
    }
    let Some(conditional) = json::list(part).filter(|list| list.len() <= MOST_PRICES) else {
        listed.spoiled = true;
        let line = drafts.lines.of_part(part);
        return drafts.found(Kind::Incomplete, &listed.id(), line, "`prices` cannot be read".to_owned());
    };
    // By day, a later price replaces the one before; under any other condition both may be asked for.
    for part in conditional {
        let entry = json::object(part);
        let prices = entry.as_ref().and_then(|entry| entry.get("prices")).and_then(json::object);
        let Some((entry, prices)) = entry.zip(prices) else {
            listed.spoiled = true;
            let line = drafts.lines.of_part(part);
            return drafts.found(Kind::Incomplete, &listed.id(), line, "a price cannot be read".to_owned());
        };
        let mut this = Listed::new(&listed.provider, &listed.model, listed.line);
        one_price(&prices, &mut this, drafts);
        listed.spoiled |= this.spoiled;
        match constraint(&entry, on) {
            Constraint::NotYet => {}
            Constraint::Holds => (listed.base, listed.tiers) = (this.base, this.tiers),
            Constraint::Unknown => {
                listed.base = listed.base.dearest(this.base);
                for (above, amounts) in this.tiers {
                    let tier = listed.tiers.entry(above).or_insert(amounts);
                    *tier = tier.dearest(amounts);
                }
            }
        }
    }
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

fn one_price(prices: &Members<'_>, listed: &mut Listed, drafts: &mut Drafts<'_>) {
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
    ];
    for (name, class) in classes {
        let Some(part) = prices.get(name) else { continue };
        let Some(tiered) = json::object(part) else {
            if let Some(amount) = drafts.amount(listed, name, part, Unit::MillionTokens) {
                listed.set(class, None, amount);
            }
            continue;
        };
        by_length(name, class, part, &tiered, listed, drafts);
    }
}

/// An amount that depends on the length of the prompt.
fn by_length(
    name: &str,
    class: Class,
    part: &RawValue,
    tiered: &Members<'_>,
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
            listed.set(class, above, amount);
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
