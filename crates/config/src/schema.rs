//! The JSON Schema of the configuration, and the words about one place in it.
//!
//! Made from the types in `document`, so that it cannot drift from what is read. `tidegate schema` prints it; editors
//! complete and check with it; `tidegate explain PATH` reads from it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::{document::Document, problem::nearest};

/// The schema's own address: the name that stands in the first line of every sample.
pub const SCHEMA_ID: &str = "https://tidegate.dev/schema/tidegate.schema.json";

/// The JSON Schema (2020-12) as text, with a final newline.
#[must_use]
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&value()).unwrap_or_default();
    text.push('\n');
    text
}

fn value() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    let mut value = Value::from(schema);
    if let Some(root) = value.as_object_mut() {
        root.insert(String::from("$id"), Value::from(SCHEMA_ID));
        root.insert(String::from("title"), Value::from("Tidegate configuration"));
    }
    value
}

/// What the configuration's language says about a path such as `models.chat.fallback` or `providers.openai.key`: its
/// meaning, an example, and the fields below it. Names of objects may be anything.
///
/// # Errors
/// Where there is no such path, with the nearest field there is.
pub fn explain(path: &str) -> Result<String, String> {
    let root = value();
    let mut places: Vec<&Value> = vec![&root];
    let mut walked = String::new();
    for part in parts(path) {
        let next: Vec<&Value> = places.iter().flat_map(|place| step(&root, place, &part)).collect();
        if next.is_empty() {
            let fields: Vec<&str> =
                places.iter().flat_map(|place| fields(&root, place)).map(|(name, _)| name).collect();
            let at = if walked.is_empty() { String::from("at the top") } else { format!("in `{walked}`") };
            let meant = nearest(&part, fields.iter().copied());
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if fields.is_empty() => String::from("nothing stands below it"),
                None => format!("there are {}", crate::problem::one_of(fields.iter().copied())),
            };
            return Err(format!("there is no `{part}` {at}; {hint}"));
        }
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(&part);
        places = next;
    }
    Ok(describe(&root, path, &places))
}

/// The parts of a path; indexes say nothing.
fn parts(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    let mut index = false;
    for letter in path.chars().take(1_024) {
        match letter {
            '"' => quoted = !quoted,
            '[' if !quoted => index = true,
            ']' if !quoted => index = false,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            _ if index => {}
            letter => part.push(letter),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

/// A schema and everything that it is made of.
fn whole<'a>(root: &'a Value, place: &'a Value) -> Vec<&'a Value> {
    let mut out = vec![place];
    let mut at = 0;
    while let Some(place) = out.get(at).copied() {
        let named =
            place.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.trim_start_matches('#')));
        let joined = ["anyOf", "allOf", "oneOf"].iter().filter_map(|word| place.get(*word)).filter_map(Value::as_array);
        let items = place.get("items");
        let more: Vec<&Value> = named.into_iter().chain(joined.flatten()).chain(items).collect();
        for part in more {
            if out.len() < 256 && !out.iter().any(|known| std::ptr::eq(*known, part)) {
                out.push(part);
            }
        }
        at = at.saturating_add(1);
    }
    out
}

fn fields<'a>(root: &'a Value, place: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let mut fields: Vec<(&str, &Value)> = whole(root, place)
        .into_iter()
        .filter_map(|part| part.get("properties").and_then(Value::as_object))
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema))
        .collect();
    fields.sort_by_key(|(name, _)| *name);
    fields.dedup_by_key(|(name, _)| *name);
    fields
}

fn step<'a>(root: &'a Value, place: &'a Value, name: &str) -> Vec<&'a Value> {
    let named: Vec<&Value> =
        fields(root, place).into_iter().filter(|(field, _)| *field == name).map(|(_, schema)| schema).collect();
    if !named.is_empty() {
        return named;
    }
    whole(root, place)
        .into_iter()
        .filter_map(|part| part.get("additionalProperties"))
        .filter(|schema| schema.is_object())
        .collect()
}

fn describe(root: &Value, path: &str, places: &[&Value]) -> String {
    let mut out = format!("{path}\n");
    let parts: Vec<&Value> = places.iter().flat_map(|place| whole(root, place)).collect();
    if let Some(text) = parts.iter().find_map(|part| part.get("description").and_then(Value::as_str)) {
        out.push_str(&format!("  {}\n", text.replace('\n', " ")));
    }
    let words: Vec<&str> = parts
        .iter()
        .flat_map(|part| {
            let listed = part.get("enum").and_then(Value::as_array).into_iter().flatten();
            listed.chain(part.get("const"))
        })
        .filter_map(Value::as_str)
        .collect();
    if !words.is_empty() {
        out.push_str(&format!("  one of {}\n", crate::problem::one_of(words)));
    }
    if let Some(example) = parts.iter().find_map(|part| part.get("examples").and_then(|examples| examples.get(0))) {
        out.push_str(&format!("  example: {example}\n"));
    }
    let below: Vec<(&str, &Value)> = places.iter().flat_map(|place| fields(root, place)).collect();
    if !below.is_empty() {
        out.push_str("  fields:\n");
        for (name, schema) in below {
            let text = whole(root, schema)
                .into_iter()
                .find_map(|part| part.get("description").and_then(Value::as_str))
                .unwrap_or_default()
                .replace('\n', " ");
            out.push_str(&format!("    {name}: {text}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
