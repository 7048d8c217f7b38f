//! The API's own form of schemas as JSON Schema, which is what every other API takes.
//!
//! Owns the differences: types in capitals, `nullable`, numbers as texts, hints of order. Never checks a schema. Called
//! by the dialect's `decode`. Depth is bounded by the scanner.

use super::fields;
use crate::{
    json::Kind,
    llm::{ir::RawJson, node::Node, write::JsonWriter},
};

/// The schema of a function that takes nothing.
pub(super) fn empty() -> RawJson {
    RawJson(r#"{"type":"object","properties":{}}"#.to_owned())
}

/// The schema as JSON Schema.
pub(super) fn json_schema(node: Node<'_, '_>) -> RawJson {
    let mut json = JsonWriter::with_capacity(node.span().len());
    write(node, &mut json);
    RawJson(String::from_utf8(json.into_bytes()).unwrap_or_default())
}

fn write(node: Node<'_, '_>, json: &mut JsonWriter) {
    if node.kind() != Kind::Object {
        json.raw(node.raw());
        return;
    }
    let nullable = fields::is_true(node, "nullable");
    json.begin_object();
    for (name, value) in fields::members(node).filter(|(_, value)| !value.is_null()) {
        match &*name {
            "nullable" | "propertyOrdering" => {}
            "type" => write_type(value, nullable, json),
            "items" | "additionalProperties" => {
                json.key(&name);
                write(value, json);
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => json.array_member(&name, |json| {
                value.items().for_each(|item| write(item, json));
            }),
            "properties" | "defs" | "$defs" => {
                json.object_member(if name == "properties" { "properties" } else { "$defs" }, |json| {
                    for (name, value) in value.members() {
                        json.key(&name);
                        write(value, json);
                    }
                });
            }
            "ref" => json.raw_member("$ref", value.raw()),
            "example" => json.array_member("examples", |json| json.raw(value.raw())),
            // A list of names is none of JSON Schema's formats.
            "format" if value.text_is("enum") => {}
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                // Whole numbers of 64 bits may be texts.
                let digits = value.text().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                json.raw_member(&name, digits.filter(|text| !text.is_empty()).as_deref().unwrap_or(value.raw()));
            }
            _ => json.raw_member(&name, value.raw()),
        }
    }
    json.end_object();
}

fn write_type(value: Node<'_, '_>, nullable: bool, json: &mut JsonWriter) {
    let Some(kind) = value.text() else {
        json.raw_member("type", value.raw());
        return;
    };
    let kind = kind.to_ascii_lowercase();
    match (kind.as_str(), nullable) {
        ("type_unspecified", _) => {}
        (kind, true) if kind != "null" => json.array_member("type", |json| {
            json.string(kind);
            json.string("null");
        }),
        (kind, _) => json.string_member("type", kind),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::llm::node::Document;

    #[test]
    fn the_vendors_schema_becomes_json_schema() {
        let from = json!({"type": "OBJECT", "propertyOrdering": ["b", "a"], "required": ["a"], "properties": {
            "a": {"type": "STRING", "nullable": true, "format": "enum", "enum": ["x", "y"]},
            "type": {"type": "ARRAY", "min_items": "2", "items": {"type": "INTEGER", "format": "int64", "maximum": 9}},
            "any_of": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN", "example": true}]}}});
        let text = from.to_string();
        let document = Document::parse(text.as_bytes()).unwrap();
        let to: Value = serde_json::from_str(json_schema(document.root()).as_str()).unwrap();
        assert_eq!(
            to,
            json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", "y"]},
            "type": {"type": "array", "minItems": 2, "items": {"type": "integer", "format": "int64", "maximum": 9}},
            "any_of": {"anyOf": [{"type": "number"}, {"type": "boolean", "examples": [true]}]}}})
        );
    }
}
