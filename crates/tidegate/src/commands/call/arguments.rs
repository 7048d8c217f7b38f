//! A tool's arguments as they are written on the command line.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use crate::{
    exit,
    output::{self, exit},
};

/// The most bytes that are read from stdin as arguments.
const LARGEST: u64 = 16 << 20;

/// All arguments as one JSON object; `-` stands for stdin.
pub(super) fn whole(text: &str) -> Result<Value> {
    let mut piped = String::new();
    let text = if text == "-" {
        std::io::stdin().lock().take(LARGEST).read_to_string(&mut piped).context("stdin holds no text")?;
        piped.as_str()
    } else {
        text
    };
    let value: Value =
        serde_json::from_str(text).map_err(|error| exit(exit::USAGE, format!("--json is no JSON: {error}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(exit(exit::USAGE, "--json is no JSON object: write {\"name\": value}"))
    }
}

/// Arguments one by one. A value is a string where the schema says so or says nothing, else JSON.
pub(super) fn single(written: &[String], schema: Option<&Value>) -> Result<Value> {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let mut members = Map::new();
    for argument in written {
        let Some((name, text)) = argument.split_once('=') else {
            return Err(exit(exit::USAGE, format!("--arg {argument}: write NAME=VALUE")));
        };
        let known = properties.and_then(|properties| properties.get(name));
        if let (Some(properties), None) = (properties, known) {
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            if let Some(hint) = output::meant(name, &names) {
                return Err(exit(exit::USAGE, format!("--arg {name}: the tool has no such argument\nhint: {hint}")));
            }
        }
        members.insert(name.to_owned(), value(name, text, known)?);
    }
    Ok(Value::Object(members))
}

fn value(name: &str, text: &str, schema: Option<&Value>) -> Result<Value> {
    let named = schema.and_then(|schema| schema.get("type"));
    let kinds: Vec<&str> = match named {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let text_is_fine = kinds.is_empty() || kinds.contains(&"string");
    let json = || serde_json::from_str::<Value>(text);
    if kinds.contains(&"string") || (kinds.is_empty() && schema.is_some_and(|schema| schema.get("enum").is_none())) {
        return Ok(Value::from(text));
    }
    match json() {
        Ok(value) if !kinds.is_empty() => Ok(value),
        // Nothing is known of it: what reads as a number or a truth value is one.
        Ok(value) if value.is_number() || value.is_boolean() => Ok(value),
        _ if text_is_fine => Ok(Value::from(text)),
        _ => Err(exit(exit::USAGE, format!("--arg {name}={text}: the tool wants {} there", kinds.join(" or ")))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(arguments: &[&str], schema: Option<&Value>) -> Result<Value> {
        single(&arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), schema)
    }

    #[test]
    fn the_schema_says_how_a_value_is_read() {
        let schema = json!({"properties": {"zip": {"type": "string"}, "n": {"type": "integer"},
            "tags": {"type": "array"}, "deep": {"type": "object"}, "any": {}, "maybe": {"type": ["number", "null"]}}});
        let value = read(
            &["zip=01234", "n=7", "tags=[1,\"a\"]", "deep={\"a\":1}", "any=7", "maybe=null", "other=x=y"],
            Some(&schema),
        );
        let wanted = json!({"zip": "01234", "n": 7, "tags": [1, "a"], "deep": {"a": 1}, "any": "7", "maybe": null,
            "other": "x=y"});
        assert_eq!(value.unwrap(), wanted);
        assert!(read(&["n=seven"], Some(&schema)).is_err());
        let error = read(&["zpi=1"], Some(&schema)).unwrap_err().to_string();
        assert!(error.contains("did you mean `zip`"), "{error}");
        assert_eq!(read(&["n=7", "b=true", "s=text"], None).unwrap(), json!({"n": 7, "b": true, "s": "text"}));
        assert!(read(&["nothing"], None).is_err());
        assert!(whole("[1]").is_err() && whole("{").is_err() && whole("{\"a\": 1}").is_ok());
    }
}
