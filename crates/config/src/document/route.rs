//! Models as users write them: a name, and the route that calls to it take.
//!
//! Short and long forms are read into one: a route is a target, or a choice over further routes.

mod form;
mod model;
mod tuning;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::{
    read::{Field, Reader, choice, object},
    scalar::Time,
    telemetry::Share,
};
pub use model::{Capabilities, PicturePrice, Price};
pub use tuning::{Parameters, Tuning};

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
    /// The one that answers soonest.
    LeastLatency(Vec<Route>),
    /// The one with the fewest calls in flight.
    LeastBusy(Vec<Route>),
    /// The cheapest.
    LeastCost(Vec<Route>),
    /// For the same value always the same.
    Sticky(Box<Sticky>),
    /// The first whose condition holds, else the last.
    When(Vec<Case>, Box<Route>),
    /// A target with something said of it alone.
    Tuned(TargetName, Box<Tuning>),
}

const FORMS: [&str; 8] =
    ["fallback", "weighted", "least_latency", "least_busy", "least_cost", "sticky", "when", "target"];
/// What stands beside a form, and which form that is.
const BESIDE: [(&str, &str); 5] = [
    ("else", "when"),
    ("params", "target"),
    ("max_output", "target"),
    ("max_input", "target"),
    ("capabilities", "target"),
];
const ROUTE_HINT: &str = "write `provider/model`, `[first, second]`, `{ fallback: [..] }`, `{ weighted: { a: 3, b: 1 } }`, \
     `{ least_latency: [..] }`, `{ sticky: { by: session, use: [..] } }` or `{ when: [{ if: .., use: .. }], else: .. }`";

impl Route {
    /// Every target name in it, in order.
    #[must_use]
    pub fn targets(&self) -> Vec<&TargetName> {
        match self {
            Self::Target(target) | Self::Tuned(target, _) => vec![target],
            Self::Sticky(sticky) => sticky.r#use.iter().flat_map(Self::targets).collect(),
            Self::When(cases, otherwise) => {
                cases.iter().map(|case| &case.r#use).chain([otherwise.as_ref()]).flat_map(Self::targets).collect()
            }
            Self::Fallback(routes) | Self::LeastLatency(routes) | Self::LeastBusy(routes) | Self::LeastCost(routes) => {
                routes.iter().flat_map(Self::targets).collect()
            }
            Self::Weighted(routes) => routes.iter().flat_map(|(route, _)| route.targets()).collect(),
        }
    }

    /// The routes directly below, each with its configuration path where it differs from this one's.
    #[must_use]
    pub fn below(&self) -> Vec<&Self> {
        match self {
            Self::Target(_) | Self::Tuned(..) => Vec::new(),
            Self::Fallback(routes) | Self::LeastLatency(routes) | Self::LeastBusy(routes) | Self::LeastCost(routes) => {
                routes.iter().collect()
            }
            Self::Weighted(routes) => routes.iter().map(|(route, _)| route).collect(),
            Self::Sticky(sticky) => sticky.r#use.iter().collect(),
            Self::When(cases, otherwise) => cases.iter().map(|case| &case.r#use).chain([otherwise.as_ref()]).collect(),
        }
    }

    fn several(node: &Node, reader: &mut Reader) -> Option<Vec<Self>> {
        match Self::fallback(node, reader)? {
            Self::Fallback(routes) => Some(routes),
            _ => None,
        }
    }

    fn sticky(node: &Node, reader: &mut Reader) -> Option<Self> {
        if matches!(&node.value, Value::List(_)) {
            let r#use = Self::several(node, reader)?;
            return Some(Self::Sticky(Box::new(Sticky { r#use, by: None })));
        }
        let sticky = Sticky::read(node, reader)?;
        if sticky.r#use.is_empty() {
            reader.problem(codes::EMPTY_LIST, node, String::from("the list of targets is empty"), ROUTE_HINT);
            return None;
        }
        let by = sticky.by.as_deref().unwrap_or("session");
        let known =
            matches!(by, "session" | "key") || by.strip_prefix("metadata.").is_some_and(|name| !name.is_empty());
        if !known {
            let message = String::from("a route sticks to `session`, `key` or `metadata.NAME`");
            reader.problem(codes::ROUTE_FORM, node, message, "write for example `by: metadata.user`");
            return None;
        }
        Some(Self::Sticky(Box::new(sticky)))
    }

    fn when(node: &Node, entries: &[Entry], reader: &mut Reader) -> Option<Self> {
        let cases = reader.field::<Vec<Case>>(entries, "when");
        let otherwise = reader.field::<Self>(entries, "else");
        if !entries.iter().any(|entry| entry.name == "else") {
            reader.missing(node, "else", "openai/gpt-5.2");
            return None;
        }
        let cases = cases?;
        if cases.is_empty() {
            reader.problem(codes::EMPTY_LIST, node, String::from("the list of cases is empty"), ROUTE_HINT);
            return None;
        }
        Some(Self::When(cases, Box::new(otherwise?)))
    }

    fn tuned(entries: &[Entry], of_model: bool, reader: &mut Reader) -> Option<Self> {
        let target = entries.iter().find(|entry| entry.name == "target")?;
        let target = reader.at("target", target, |reader, node| match &node.value {
            Value::Text(name) => Some(TargetName { name: name.clone(), at: reader.here().to_owned() }),
            _ => {
                reader.wrong_type(node, "a target", "write `target: openai/gpt-5.2`");
                None
            }
        });
        let mut tuning =
            Tuning { params: reader.field::<Parameters>(entries, "params").unwrap_or_default(), ..Tuning::default() };
        // In a model's own entry these are the model's, and hold for the one target there is.
        if !of_model {
            tuning.max_output = reader.field(entries, "max_output");
            tuning.max_input = reader.field(entries, "max_input");
            tuning.capabilities = reader.field(entries, "capabilities");
        }
        Some(Self::Tuned(target?, Box::new(tuning)))
    }

    /// Reports what stands beside a form that it says nothing to: it would have no effect.
    fn beside(form: &str, entries: &[Entry], of_model: bool, reader: &mut Reader) {
        for entry in entries {
            let name = entry.name.as_str();
            let Some((_, belongs)) = BESIDE.into_iter().find(|(beside, _)| *beside == name) else { continue };
            if belongs == form || of_model && SETTINGS.contains(&name) {
                continue;
            }
            reader.at(name, entry, |reader, node| {
                let message = format!("`{name}` stands beside `{belongs}`, and says nothing to `{form}`");
                let hint = match belongs {
                    "target" => format!("say it of a target: `{{ target: openai/gpt-5.2, {name}: .. }}`"),
                    _ => String::from("write `{ when: [{ if: .., use: .. }], else: .. }`"),
                };
                reader.problem(codes::ROUTE_FORM, node, message, hint);
            });
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

    /// The one form among an object's members, a model's entry or a route's; reports where there is none or more than
    /// one.
    fn of_members(node: &Node, entries: &[Entry], of_model: bool, reader: &mut Reader) -> Option<Self> {
        let is_form = |name: &str| FORMS.contains(&name) || of_model && name == "route";
        let forms: Vec<&Entry> = entries.iter().filter(|entry| is_form(&entry.name)).collect();
        if let [one] = forms.as_slice() {
            Self::beside(&one.name, entries, of_model, reader);
        }
        match forms.as_slice() {
            [one] if one.name == "when" => Self::when(node, entries, reader),
            [one] if one.name == "target" => Self::tuned(entries, of_model, reader),
            [one] => reader.at(&one.name, one, |reader, node| match one.name.as_str() {
                "fallback" => Self::fallback(node, reader),
                "weighted" => Self::weighted(node, reader),
                "least_latency" => Self::several(node, reader).map(Self::LeastLatency),
                "least_busy" => Self::several(node, reader).map(Self::LeastBusy),
                "least_cost" => Self::several(node, reader).map(Self::LeastCost),
                "sticky" => Self::sticky(node, reader),
                _ => Self::read(node, reader),
            }),
            [] => {
                reader.problem(codes::ROUTE_FORM, node, String::from("no target is named"), ROUTE_HINT);
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
                let known: Vec<&str> = FORMS.into_iter().chain(BESIDE.map(|(name, _)| name)).collect();
                reader.unknown(entries, &known, &[]);
                Self::of_members(node, entries, false, reader)
            }
            _ => {
                reader.wrong_type(node, "a route", ROUTE_HINT);
                None
            }
        }
    }
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

object! {
    /// A choice that stays with what it chose.
    pub struct Sticky("`{ by: session, use: [..] }`") {
        required {
            /// What is chosen among.
            #[schemars(example = ["openai/gpt-5.2", "azure/gpt-5.2"])]
            pub r#use: Vec<Route> = "[openai/gpt-5.2, azure/gpt-5.2]",
        }
        optional {
            /// What the choice sticks to: `session` (without it), `key` or `metadata.NAME`. A call that has no such
            /// thing goes anywhere.
            #[schemars(example = &"metadata.user")]
            pub by: Option<String>,
        }
        later {}
    }
}

object! {
    /// One case of `when`.
    pub struct Case("a case with `if` and `use`") {
        required {
            /// A Cedar expression over the facts that policies see of a model call, before guardrails looked at it and
            /// without `resource`. One that cannot be evaluated does not hold.
            #[schemars(example = &"context.request.input_tokens > 100000")]
            pub r#if: String = "context.request.input_tokens > 100000",
            /// Where it then goes.
            #[schemars(example = &"google/gemini-2.5-pro")]
            pub r#use: Route = "google/gemini-2.5-pro",
        }
        optional {}
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
    /// The longest prompt that it takes, in tokens: what certainly has more is not sent there.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub max_input: Option<u64>,
    /// What it takes and gives beside text, over what the catalogue says.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub capabilities: Option<Capabilities>,
    /// Whether the same question gets the same answer again.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub cache: Option<Cache>,
    /// After how long without an answer the next target is asked beside the first.
    #[serde(skip_serializing_if = "super::read::is_default")]
    pub hedge: Option<Time>,
}

impl Model {
    /// A model that leads to `route`, everything else as a rule.
    #[must_use]
    pub fn new(route: Route) -> Self {
        Self {
            route,
            retry: None,
            price: None,
            timeouts: None,
            max_output: None,
            max_input: None,
            capabilities: None,
            cache: None,
            hedge: None,
        }
    }
}

const SETTINGS: [&str; 9] =
    ["route", "retry", "price", "timeouts", "max_output", "max_input", "capabilities", "cache", "hedge"];

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
        let known: Vec<&str> = SETTINGS.into_iter().chain(FORMS).chain(["else", "params"]).collect();
        reader.unknown(entries, &known, &[]);
        let route = Route::of_members(node, entries, true, reader);
        let retry = reader.field(entries, "retry");
        let price = reader.field(entries, "price");
        let timeouts = reader.field(entries, "timeouts");
        let max_output = reader.field::<u64>(entries, "max_output");
        let max_input = reader.field::<u64>(entries, "max_input");
        let capabilities = reader.field(entries, "capabilities");
        let cache = reader.field(entries, "cache");
        let hedge = reader.field(entries, "hedge");
        Some(Self { route: route?, retry, price, timeouts, max_output, max_input, capabilities, cache, hedge })
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
        let (timeouts, cache) = (generator.subschema_for::<Timeouts>(), generator.subschema_for::<Cache>());
        let capabilities = generator.subschema_for::<Capabilities>();
        let hedge = generator.subschema_for::<Time>();
        let more = form::forms(generator);
        let mut schema = json_schema!({
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
                    "weighted": form::weights(&weighted),
                    "retry": { "allOf": [retry], "description": "When the same target is tried again.",
                        "examples": [{ "attempts": 2, "on": [429, 500, 502, 503, 504, 529] }] },
                    "price": { "allOf": [price], "description": "What it costs, over the catalogue's price.",
                        "examples": [{ "input": "0.15 usd/mtok", "output": "0.60 usd/mtok" }] },
                    "timeouts": { "allOf": [timeouts], "description": "How long an answer may take.",
                        "examples": [{ "connect": "5s", "first_event": "60s", "between_events": "30s", "total": "10m" }] },
                    "cache": { "allOf": [cache], "description": "Whether the same question gets the same answer again.",
                        "examples": [{ "ttl": "10m", "share": "team" }] },
                    "hedge": { "allOf": [hedge], "examples": ["800ms"],
                        "description": "After how long without an answer the next target is asked beside the first: the one that answers first answers the call." },
                    "max_output": { "type": "integer", "minimum": 1, "examples": [4096],
                        "description": "The most tokens of an answer: reserved and sent where the caller sets no limit." },
                    "max_input": { "type": "integer", "minimum": 1, "examples": [32768],
                        "description": "The longest prompt that it takes, in tokens: what certainly has more is not sent there." },
                    "capabilities": { "allOf": [capabilities],
                        "description": "What it takes and gives beside text, over what the catalogue says.",
                        "examples": [{ "vision": false, "tools": true }] },
                } },
            ],
        });
        if let (Some(members), Some(more)) = (schema.pointer_mut("/anyOf/2/properties"), more.as_object())
            && let Some(members) = members.as_object_mut()
        {
            for (name, form) in more {
                members.entry(name.clone()).or_insert_with(|| form.clone());
            }
        }
        schema
    }
}

choice! {
    /// Who gets an answer again that another call was given.
    #[derive(Default)]
    pub enum CacheShare {
        /// Calls of the same key.
        #[default]
        Key = "key",
        /// Calls of keys of the same team; a key without a team keeps to itself.
        Team = "team",
        /// Calls of every key.
        Org = "org",
    }
    later {}
}

choice! {
    /// Where answers are kept that are given again.
    #[derive(Default)]
    pub enum CacheKeep {
        /// In this process's memory: a restart begins anew.
        #[default]
        Memory = "memory",
        /// Also in the data directory, encrypted: they outlive a restart.
        Store = "store",
    }
    later {}
}

object! {
    /// Which questions are similar: the same but for the user's last words, whose numbers are close to each other.
    pub struct Similar("`{ by: openai/text-embedding-3-small, least: 0.95 }`") {
        required {
            /// The model that makes numbers of the words: it is asked once for every such question, as a call of the
            /// same key.
            #[schemars(example = &"openai/text-embedding-3-small")]
            pub by: Route = "openai/text-embedding-3-small",
        }
        optional {
            /// How close they have to be, as the cosine of the angle between them: 0.95 is the rule, 1 is the same.
            #[schemars(example = 0.95)]
            pub least: Option<Share>,
        }
        later {}
    }
}

object! {
    /// Answers that are given again to the same question.
    pub struct Cache("`{ ttl: 10m }`") {
        required {
            /// How long an answer is given again.
            #[schemars(example = &"10m")]
            pub ttl: Time = "10m",
        }
        optional {
            /// Who gets an answer again that another call was given. Only calls of the same key is the rule.
            #[schemars(example = &"team")]
            pub share: CacheShare,
            /// Where answers are kept. In memory alone is the rule.
            #[schemars(example = &"store")]
            pub keep: CacheKeep,
            /// Whether an answer is also given to a question that is only similar. Never is the rule.
            #[schemars(example = serde_json::json!({ "by": "openai/text-embedding-3-small", "least": 0.95 }))]
            pub similar: Option<Similar>,
        }
        later {}
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
