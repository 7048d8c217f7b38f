//! Models as users write them: a name, and the route that calls to it take.
//!
//! Short and long forms are read into one: a route is a target, or a choice over further routes.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{
    read::{Field, Reader, object},
    scalar::{Time, TokenPrice},
};
use crate::{
    codes,
    node::{Entry, Node, Value},
};

/// A target as written: `provider/model`, or another model's name.
#[derive(Debug, Clone)]
pub struct TargetName {
    /// The text.
    pub name: String,
    /// The configuration path where it stands; empty where it was not read from a text.
    pub at: String,
}

impl PartialEq for TargetName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Where calls go: a target, or a choice over further routes.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// `provider/model`, or another model's name.
    Target(TargetName),
    /// The first that works, in this order.
    Fallback(Vec<Route>),
    /// One by chance, by weight; the others follow.
    Weighted(Vec<(Route, u32)>),
}

/// The words that later versions route by.
const LATER: [(&str, &str); 5] = [
    ("least_latency", "use `fallback` or `weighted`"),
    ("least_cost", "use `fallback`, the cheapest first"),
    ("least_busy", "use `weighted`"),
    ("sticky", "use `weighted`"),
    ("when", "use `fallback`, or give the other case a model of its own"),
];
const FORMS: [&str; 2] = ["fallback", "weighted"];
const ROUTE_HINT: &str =
    "write `provider/model`, `[first, second]`, `{ fallback: [..] }` or `{ weighted: { target: 3, other: 1 } }`";

impl Route {
    /// Every target name in it, in order.
    #[must_use]
    pub fn targets(&self) -> Vec<&TargetName> {
        match self {
            Self::Target(target) => vec![target],
            Self::Fallback(routes) => routes.iter().flat_map(Self::targets).collect(),
            Self::Weighted(routes) => routes.iter().flat_map(|(route, _)| route.targets()).collect(),
        }
    }

    fn fallback(node: &Node, reader: &mut Reader) -> Option<Self> {
        let routes = Vec::<Self>::read(node, reader)?;
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            reader.problem(codes::EMPTY_LIST, node, String::from("the list of targets is empty"), ROUTE_HINT);
            return None;
        }
        Some(Self::Fallback(routes))
    }

    fn weighted(node: &Node, reader: &mut Reader) -> Option<Self> {
        let routes = match &node.value {
            Value::Map(entries) => Self::weighted_map(entries, reader),
            Value::List(items) => {
                let items: Vec<Weighted> = reader.list(items);
                items.into_iter().map(|item| (item.r#use, item.weight.unwrap_or(1))).collect()
            }
            _ => {
                reader.wrong_type(node, "weights", "write `weighted: { openai/gpt-5.2: 3, azure/gpt-5.2: 1 }`");
                return None;
            }
        };
        if routes.iter().any(|(_, weight)| *weight > 1_000_000) || routes.iter().all(|(_, weight)| *weight == 0) {
            let message = String::from("weights are whole numbers up to 1,000,000, and one is above 0");
            reader.problem(
                codes::BAD_WEIGHT,
                node,
                message,
                "write for example `{ openai/gpt-5.2: 3, azure/gpt-5.2: 1 }`",
            );
            return None;
        }
        Some(Self::Weighted(routes))
    }

    fn weighted_map(entries: &[Entry], reader: &mut Reader) -> Vec<(Self, u32)> {
        let mut routes: Vec<(Self, u32)> = entries
            .iter()
            .filter_map(|entry| {
                reader.at(&entry.name, entry, |reader, node| {
                    let target = TargetName { name: entry.name.clone(), at: reader.here().to_owned() };
                    u32::read(node, reader).map(|weight| (Self::Target(target), weight))
                })
            })
            .collect();
        // Members of a mapping have no order.
        routes.sort_by(|one, other| match (&one.0, &other.0) {
            (Self::Target(one), Self::Target(other)) => one.name.cmp(&other.name),
            _ => std::cmp::Ordering::Equal,
        });
        routes
    }

    /// The one form among an object's members; reports where there is none or more than one.
    fn of_members(node: &Node, entries: &[Entry], also: &[&str], reader: &mut Reader) -> Option<Self> {
        let forms: Vec<&Entry> = entries
            .iter()
            .filter(|entry| FORMS.contains(&entry.name.as_str()) || also.contains(&entry.name.as_str()))
            .collect();
        match forms.as_slice() {
            [one] => reader.at(&one.name, one, |reader, node| match one.name.as_str() {
                "fallback" => Self::fallback(node, reader),
                "weighted" => Self::weighted(node, reader),
                _ => Self::read(node, reader),
            }),
            [] => {
                // A form that only later versions know is reported as such, and not as missing.
                if !entries.iter().any(|entry| LATER.iter().any(|(name, _)| *name == entry.name)) {
                    reader.problem(codes::ROUTE_FORM, node, String::from("no target is named"), ROUTE_HINT);
                }
                None
            }
            [first, second, ..] => {
                let message = format!("`{}` and `{}` are two routes", first.name, second.name);
                reader.problem(codes::ROUTE_FORM, node, message, "keep one; routes can be nested");
                None
            }
        }
    }
}

impl Field for Route {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Text(name) => Some(Self::Target(TargetName { name: name.clone(), at: reader.here().to_owned() })),
            Value::List(_) => Self::fallback(node, reader),
            Value::Map(entries) => {
                reader.unknown(entries, &FORMS, &LATER);
                Self::of_members(node, entries, &[], reader)
            }
            _ => {
                reader.wrong_type(node, "a route", ROUTE_HINT);
                None
            }
        }
    }
}

impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
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
        json_schema!({
            "description": "Where calls go: a target, a list to fall back along, or a choice by weight.",
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
            ],
        })
    }
}

fn weights(item: &Schema) -> Schema {
    json_schema!({
        "description": "One by chance, in proportion to its weight; the others follow where it fails.",
        "examples": [{ "openai/gpt-5.2": 3, "azure/gpt-5.2": 1 }],
        "anyOf": [
            { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0, "maximum": 1_000_000 } },
            { "type": "array", "items": item, "minItems": 1 },
        ],
    })
}

object! {
    /// One branch of a choice by weight.
    pub struct Weighted("a branch with `use` and `weight`") {
        required {
            /// Where it leads.
            #[schemars(example = &"openai/gpt-5.2")]
            pub r#use: Route = "openai/gpt-5.2",
        }
        optional {
            /// Its share, in proportion to the others'. 0 is used only after all others failed.
            #[schemars(example = 3)]
            pub weight: Option<u32>,
        }
        later {}
    }
}

/// A model's name and what calls to it do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Where calls go.
    pub route: Route,
    /// When the same target is tried again.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub retry: Option<Retry>,
    /// What it costs, over the catalogue's price.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub price: Option<Price>,
    /// How long an answer may take.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub timeouts: Option<Timeouts>,
    /// The most tokens of an answer: reserved and sent where the caller sets no limit.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub max_output: Option<u64>,
}

impl Model {
    /// A model that leads to `route`, everything else as a rule.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self { route, retry: None, price: None, timeouts: None, max_output: None }
    }
}

const SETTINGS: [&str; 7] = ["route", "fallback", "weighted", "retry", "price", "timeouts", "max_output"];
const LATER_SETTINGS: [(&str, &str); 6] = [
    ("least_latency", "use `fallback` or `weighted`"),
    ("least_cost", "use `fallback`, the cheapest first"),
    ("least_busy", "use `weighted`"),
    ("sticky", "use `weighted`"),
    ("when", "use `fallback`, or give the other case a model of its own"),
    ("cache", "remove it: answers are not cached in this version"),
];

impl Field for Model {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            return match &node.value {
                Value::Text(_) | Value::List(_) => Route::read(node, reader).map(Self::new),
                _ => {
                    reader.wrong_type(node, "a model", ROUTE_HINT);
                    None
                }
            };
        };
        reader.unknown(entries, &SETTINGS, &LATER_SETTINGS);
        let route = Route::of_members(node, entries, &["route"], reader);
        let retry = reader.field(entries, "retry");
        let price = reader.field(entries, "price");
        let timeouts = reader.field(entries, "timeouts");
        let max_output = reader.field::<u64>(entries, "max_output");
        Some(Self { route: route?, retry, price, timeouts, max_output })
    }
}

impl JsonSchema for Model {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Model".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let route = generator.subschema_for::<Route>();
        let weighted = generator.subschema_for::<Weighted>();
        let (retry, price) = (generator.subschema_for::<Retry>(), generator.subschema_for::<Price>());
        let timeouts = generator.subschema_for::<Timeouts>();
        json_schema!({
            "description": "A model's name and what calls to it do: a route, or a route with settings.",
            "examples": ["openai/gpt-5.2", { "fallback": ["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"] }],
            "anyOf": [
                { "type": "string", "description": "`provider/model`, or another model's name.", "examples": ["openai/gpt-5.2"] },
                { "type": "array", "items": route, "minItems": 1 },
                { "type": "object", "additionalProperties": false, "properties": {
                    "route": { "allOf": [route], "description": "Where calls go.",
                        "examples": [{ "fallback": ["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"] }] },
                    "fallback": { "type": "array", "items": route, "minItems": 1,
                        "description": "The first that works, in this order.",
                        "examples": [["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"]] },
                    "weighted": weights(&weighted),
                    "retry": { "allOf": [retry], "description": "When the same target is tried again.",
                        "examples": [{ "attempts": 2, "on": [429, 500, 502, 503, 504, 529] }] },
                    "price": { "allOf": [price], "description": "What it costs, over the catalogue's price.",
                        "examples": [{ "input": "0.15 usd/mtok", "output": "0.60 usd/mtok" }] },
                    "timeouts": { "allOf": [timeouts], "description": "How long an answer may take.",
                        "examples": [{ "connect": "5s", "first_event": "60s", "between_events": "30s", "total": "10m" }] },
                    "max_output": { "type": "integer", "minimum": 1, "examples": [4096],
                        "description": "The most tokens of an answer: reserved and sent where the caller sets no limit." },
                } },
            ],
        })
    }
}

object! {
    /// When the same target is tried again.
    pub struct Retry("retry settings") {
        required {}
        optional {
            /// The most attempts at one target in one call, the first included: 1 to 10.
            #[schemars(example = 2, range(min = 1, max = 10))]
            pub attempts: Option<u32>,
            /// The statuses after which a target is tried again.
            #[schemars(example = [429, 500, 502, 503, 504, 529])]
            pub on: Option<Vec<u16>>,
        }
        later {}
    }
}

object! {
    /// What tokens cost.
    pub struct Price("a price") {
        required {
            /// Prompt tokens.
            #[schemars(example = &"0.15 usd/mtok")]
            pub input: TokenPrice = "0.15 usd/mtok",
            /// Generated tokens.
            #[schemars(example = &"0.60 usd/mtok")]
            pub output: TokenPrice = "0.60 usd/mtok",
        }
        optional {
            /// Prompt tokens read from the vendor's cache; without it, as `input`.
            #[schemars(example = &"0.075 usd/mtok")]
            pub cache_read: Option<TokenPrice>,
            /// Prompt tokens written to the vendor's cache for five minutes; without it, as `input`.
            #[schemars(example = &"0.1875 usd/mtok")]
            pub cache_write_5m: Option<TokenPrice>,
            /// Prompt tokens written to the vendor's cache for an hour; without it, as for five minutes.
            #[schemars(example = &"0.30 usd/mtok")]
            pub cache_write_1h: Option<TokenPrice>,
        }
        later {}
    }
}

object! {
    /// How long an answer may take, clock by clock.
    pub struct Timeouts("timeouts") {
        required {}
        optional {
            /// Until a connection stands.
            #[schemars(example = &"5s")]
            pub connect: Option<Time>,
            /// Until the answer begins.
            #[schemars(example = &"60s")]
            pub first_event: Option<Time>,
            /// Of silence inside the answer.
            #[schemars(example = &"30s")]
            pub between_events: Option<Time>,
            /// Of the whole call, all attempts together.
            #[schemars(example = &"10m")]
            pub total: Option<Time>,
        }
        later {}
    }
}
