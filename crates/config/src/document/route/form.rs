//! Routes as they are written back, and as the JSON Schema describes them. Never reads one; `route` does.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Capabilities, Case, Parameters, Route, Sticky, Tuning, Weighted};

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            let value: serde_json::Value = serde_json::from_str(value).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

fn one_member<S: Serializer, T: Serialize>(serializer: S, name: &str, value: &T) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, value)?;
    map.end()
}

impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::LeastLatency(routes) => one_member(serializer, "least_latency", routes),
            Self::LeastBusy(routes) => one_member(serializer, "least_busy", routes),
            Self::LeastCost(routes) => one_member(serializer, "least_cost", routes),
            Self::Sticky(sticky) => one_member(serializer, "sticky", sticky),
            Self::When(cases, otherwise) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("when", cases)?;
                map.serialize_entry("else", otherwise)?;
                map.end()
            }
            Self::Tuned(target, tuning) => {
                let Tuning { params, max_output, max_input, capabilities } = &**tuning;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("target", &target.name)?;
                map.serialize_entry("params", params)?;
                for (name, count) in [("max_output", max_output), ("max_input", max_input)] {
                    if let Some(count) = count {
                        map.serialize_entry(name, count)?;
                    }
                }
                if let Some(capabilities) = capabilities {
                    map.serialize_entry("capabilities", capabilities)?;
                }
                map.end()
            }
            Self::Target(target) => serializer.serialize_str(&target.name),
            Self::Fallback(routes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("fallback", routes)?;
                map.end()
            }
            Self::Weighted(routes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                let items: Vec<_> = routes
                    .iter()
                    .map(|(route, weight)| Weighted { r#use: route.clone(), weight: Some(*weight) })
                    .collect();
                map.serialize_entry("weighted", &items)?;
                map.end()
            }
        }
    }
}

impl JsonSchema for Route {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Route".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let route = generator.subschema_for::<Self>();
        let weighted = generator.subschema_for::<Weighted>();
        let routes = json_schema!({
            "type": "array", "items": route, "minItems": 1,
            "description": "The first that works, in this order.",
            "examples": [["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"]],
        });
        let more = forms(generator);
        json_schema!({
            "description": "Where calls go: a target, a list to fall back along, or a choice over further routes.",
            "examples": ["openai/gpt-5.2", { "fallback": ["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"] }],
            "anyOf": [
                { "type": "string", "description": "`provider/model`, or another model's name.", "examples": ["openai/gpt-5.2"] },
                routes,
                {
                    "type": "object", "additionalProperties": false, "required": ["fallback"],
                    "properties": { "fallback": routes },
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["weighted"],
                    "properties": { "weighted": weights(&weighted) },
                },
                { "type": "object", "additionalProperties": false, "properties": more },
            ],
        })
    }
}

/// The forms that take further routes and a target with what is said of it, as members of a route; a model's own members
/// count over them.
pub(super) fn forms(generator: &mut SchemaGenerator) -> serde_json::Value {
    let route = generator.subschema_for::<Route>();
    let (sticky, case) = (generator.subschema_for::<Sticky>(), generator.subschema_for::<Case>());
    let capabilities = generator.subschema_for::<Capabilities>();
    let several = |description: &str| {
        serde_json::json!({ "type": "array", "items": route, "minItems": 1, "description": description,
            "examples": [["openai/gpt-5.2", "azure/gpt-5.2"]] })
    };
    serde_json::json!({
        "least_latency": several("Of two by chance the one that answers sooner; the others follow."),
        "least_busy": several("The one with the fewest calls in flight first."),
        "least_cost": several("The cheapest first, by the price of input and output together."),
        "sticky": { "anyOf": [sticky, { "type": "array", "items": route, "minItems": 1 }],
            "description": "For the same session, key or metadata always the same.",
            "examples": [{ "by": "session", "use": ["openai/gpt-5.2", "azure/gpt-5.2"] }] },
        "when": { "type": "array", "items": case, "minItems": 1,
            "description": "The first whose condition holds; `else` where none does.",
            "examples": [[{ "if": "context.request.input_tokens > 100000", "use": "google/gemini-2.5-pro" }]] },
        "else": { "allOf": [route], "description": "Where calls go for which no condition of `when` holds.",
            "examples": ["openai/gpt-5.2"] },
        "target": { "type": "string", "description": "`provider/model`, or another model's name.",
            "examples": ["openai/gpt-5.2"] },
        "params": { "type": "object", "additionalProperties": { "type": ["number", "string", "boolean"] },
            "description": "Parameters that are sent to the target whatever the caller sends.",
            "examples": [{ "temperature": 0.2, "max_tokens": 512 }] },
        "max_output": { "type": "integer", "minimum": 1, "examples": [4096],
            "description": "The most tokens of an answer of this target, beside `target`." },
        "max_input": { "type": "integer", "minimum": 1, "examples": [32768],
            "description": "The longest prompt that this target takes, in tokens, beside `target`." },
        "capabilities": { "allOf": [capabilities], "examples": [{ "vision": false, "tools": true }],
            "description": "What this target takes and gives beside text, over what the catalogue says, beside `target`." },
    })
}

pub(super) fn weights(item: &Schema) -> Schema {
    json_schema!({
        "description": "One by chance, in proportion to its weight; the others follow where it fails.",
        "examples": [{ "openai/gpt-5.2": 3, "azure/gpt-5.2": 1 }],
        "anyOf": [
            { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0, "maximum": 1_000_000 } },
            { "type": "array", "items": item, "minItems": 1 },
        ],
    })
}
