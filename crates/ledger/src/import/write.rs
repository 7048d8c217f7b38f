//! The file that an import becomes: `catalog.v1`, a line a model, as the shipped files are. Owns the words of the format
//! on the way out; `catalog` reads them.

use jiff::civil::Date;
use serde_json::{Map, Value, json};
use tidegate_core::money::{NanoUsd, PerMillion};

use super::draft::{Draft, DraftLevel};
use crate::price::Gapped;

/// The text of a file with these models.
#[must_use]
pub fn file(models: &[Draft], source: &str, on: Date) -> String {
    let lines: Vec<String> = models.iter().map(|draft| format!("    {}", Value::Object(model(draft)))).collect();
    format!(
        "{{\n  \"format\": \"catalog.v1\",\n  \"source\": {},\n  \"date\": \"{on}\",\n  \"models\": [\n{}\n  ]\n}}\n",
        Value::from(source),
        lines.join(",\n")
    )
}

fn model(draft: &Draft) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("provider".to_owned(), json!(draft.provider));
    members.insert("model".to_owned(), json!(draft.model));
    if draft.is_free() {
        members.insert("free".to_owned(), json!(true));
    }
    rates(&draft.rates, &mut members);
    for (name, count) in [("max_input", draft.max_input), ("max_output", draft.max_output)] {
        if let Some(count) = count {
            members.insert(name.to_owned(), json!(count));
        }
    }
    if !draft.tiers.is_empty() {
        members.insert("tiers".to_owned(), tiers(&draft.tiers));
    }
    if !draft.levels.is_empty() {
        let level = |level: &DraftLevel| {
            let mut members = Map::new();
            rates(&level.rates, &mut members);
            if !level.tiers.is_empty() {
                members.insert("tiers".to_owned(), tiers(&level.tiers));
            }
            (level.service.as_str().to_owned(), Value::Object(members))
        };
        members.insert("levels".to_owned(), Value::Object(draft.levels.iter().map(level).collect()));
    }
    if !draft.capabilities.is_empty() {
        let known = draft.capabilities.iter().map(|(capability, has)| (capability.as_str().to_owned(), json!(has)));
        members.insert("capabilities".to_owned(), Value::Object(known.collect()));
    }
    members
}

fn tiers(tiers: &[(u64, Gapped)]) -> Value {
    let tiers = tiers.iter().map(|(above, tier)| {
        let mut members = Map::new();
        members.insert("above".to_owned(), json!(above));
        rates(tier, &mut members);
        Value::Object(members)
    });
    tiers.collect()
}

fn rates(rates: &Gapped, members: &mut Map<String, Value>) {
    let all = [
        ("input", Some(rates.input)),
        ("output", Some(rates.output)),
        ("cache_read", rates.cache_read),
        ("cache_write_5m", rates.cache_write_5m),
        ("cache_write_1h", rates.cache_write_1h),
        ("audio_input", rates.audio_input),
        ("audio_cache_read", rates.audio_cache_read),
        ("audio_output", rates.audio_output),
        ("image_input", rates.image_input),
        ("image_output", rates.image_output),
    ];
    for (name, amount) in all {
        if let Some(PerMillion(nano)) = amount {
            members.insert(name.to_owned(), json!(NanoUsd(nano).to_usd()));
        }
    }
}
