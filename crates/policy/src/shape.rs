//! The Cedar types of a tool's arguments: read from its JSON Schema once, then used to map each call's arguments.
//!
//! What no Cedar type holds is left out and named as unmapped, so that a policy that reads it denies. Schemas and
//! arguments come from outside: depth and number are bounded, and what cannot be read is unmapped, never an error.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use cedar_policy::RestrictedExpression;
use serde_json::value::RawValue;
use tidegate_core::value::Value;

/// The deepest nesting of records that is typed; deeper members are unmapped.
const MAX_DEPTH: usize = 8;

/// The most members of one record that are typed, in the order of their names; the others are unmapped.
const MAX_MEMBERS: usize = 256;

/// The most unmapped names that one call may have; with more, the arguments as a whole are unmapped.
const MAX_UNMAPPED: usize = 1_024;

/// The path of an argument: the names of members from the outside in. Empty for the arguments as a whole.
pub(crate) type ArgPath = Vec<Arc<str>>;

/// A Cedar type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `String`.
    Text,
    /// `Long`.
    Integer,
    /// `Bool`.
    Bool,
    /// `Set` of one of the three above.
    Set(Box<Shape>),
    /// A record.
    Record(BTreeMap<Arc<str>, Member>),
}

/// A member of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its type.
    pub(crate) shape: Shape,
    /// Whether it is always there.
    pub(crate) required: bool,
    /// Whether null stands for its absence.
    nullable: bool,
}

/// What is used of a JSON Schema.
#[derive(serde::Deserialize)]
struct JsonSchema<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
    #[serde(borrow, default)]
    required: Option<&'a RawValue>,
    #[serde(borrow, default)]
    items: Option<&'a RawValue>,
    #[serde(rename = "anyOf", borrow, default)]
    any_of: Option<&'a RawValue>,
}

/// The type of all arguments of a tool with this input schema: always a record, empty where nothing can be typed.
pub(crate) fn arguments(input_schema: &str) -> Shape {
    match serde_json::from_str::<JsonSchema<'_>>(input_schema) {
        Ok(schema) => Shape::Record(members(&schema, 0)),
        Err(_) => Shape::Record(BTreeMap::new()),
    }
}

fn members(schema: &JsonSchema<'_>, depth: usize) -> BTreeMap<Arc<str>, Member> {
    let properties: BTreeMap<String, &RawValue> = parsed(schema.properties).unwrap_or_default();
    let required: HashSet<String> = parsed(schema.required).unwrap_or_default();
    properties
        .into_iter()
        .filter_map(|(name, property)| {
            let (shape, nullable) = shape(property.get(), depth.saturating_add(1))?;
            let required = !nullable && required.contains(&name);
            Some((Arc::from(name), Member { shape, required, nullable }))
        })
        .take(MAX_MEMBERS)
        .collect()
}

/// The Cedar type of one schema, and whether null is allowed beside it.
fn shape(text: &str, depth: usize) -> Option<(Shape, bool)> {
    if depth > MAX_DEPTH {
        return None;
    }
    let schema: JsonSchema<'_> = serde_json::from_str(text).ok()?;
    if let Some(choices) = schema.any_of {
        return one_or_null(choices, depth);
    }
    let (kind, nullable) = kind(schema.kind?)?;
    let shape = match kind.as_str() {
        "string" => Shape::Text,
        "integer" => Shape::Integer,
        "boolean" => Shape::Bool,
        "array" => match shape(schema.items?.get(), depth.saturating_add(1))? {
            (element @ (Shape::Text | Shape::Integer | Shape::Bool), false) => Shape::Set(Box::new(element)),
            _ => return None,
        },
        "object" => match members(&schema, depth) {
            empty if empty.is_empty() => return None,
            members => Shape::Record(members),
        },
        _ => return None,
    };
    Some((shape, nullable))
}

/// `anyOf` a type and null, which is how many servers write an optional argument.
fn one_or_null(choices: &RawValue, depth: usize) -> Option<(Shape, bool)> {
    let choices: Vec<&RawValue> = serde_json::from_str(choices.get()).ok()?;
    let [first, second] = choices.as_slice() else { return None };
    let is_null = |schema: &RawValue| {
        serde_json::from_str::<JsonSchema<'_>>(schema.get())
            .is_ok_and(|schema| schema.kind.is_some_and(|kind| kind.get() == "\"null\""))
    };
    let typed = match (is_null(first), is_null(second)) {
        (false, true) => first,
        (true, false) => second,
        _ => return None,
    };
    Some((shape(typed.get(), depth.saturating_add(1))?.0, true))
}

/// The one type of `type`, which is a name or a list of a name and `null`.
fn kind(raw: &RawValue) -> Option<(String, bool)> {
    if let Ok(kind) = serde_json::from_str::<String>(raw.get()) {
        return Some((kind, false));
    }
    let mut kinds: Vec<String> = serde_json::from_str(raw.get()).ok()?;
    let all = kinds.len();
    kinds.retain(|kind| kind != "null");
    match (kinds.pop(), kinds.is_empty()) {
        (Some(kind), true) => Some((kind, all > 1)),
        _ => None,
    }
}

fn parsed<'a, T: serde::Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// A call's arguments as Cedar has them, and what is missing there.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    /// The typed arguments; `None` where the tool is not pinned.
    pub(crate) args: Option<RestrictedExpression>,
    /// The arguments that are not among them though the caller sent them.
    pub(crate) unmapped: Vec<ArgPath>,
}

/// Maps a call's arguments. Without a shape all of them are unmapped.
pub(crate) fn map(shape: Option<&Shape>, arguments: Option<&Value>) -> Mapped {
    let mut unmapped = Vec::new();
    let empty = Value::Record(Vec::new());
    let arguments = match arguments {
        None | Some(Value::Null) => &empty,
        Some(arguments) => arguments,
    };
    let Some(shape) = shape else {
        match arguments {
            Value::Record(members) => unmapped.extend(members.iter().map(|(name, _)| vec![Arc::clone(name)])),
            _ => unmapped.push(Vec::new()),
        }
        return Mapped { args: None, unmapped: bounded(unmapped) };
    };
    let args = match expression(shape, arguments, &mut Vec::new(), &mut unmapped) {
        Some(args) => args,
        None => {
            unmapped = vec![Vec::new()];
            expression(shape, &empty, &mut Vec::new(), &mut Vec::new())
                .unwrap_or_else(|| RestrictedExpression::new_bool(false))
        }
    };
    Mapped { args: Some(args), unmapped: bounded(unmapped) }
}

/// The list itself, or the arguments as a whole where it is too long.
fn bounded(unmapped: Vec<ArgPath>) -> Vec<ArgPath> {
    if unmapped.len() > MAX_UNMAPPED { vec![Vec::new()] } else { unmapped }
}

/// The value in this type. Members of records that do not fit are left out and named in `unmapped`.
fn expression(
    shape: &Shape,
    value: &Value,
    path: &mut ArgPath,
    unmapped: &mut Vec<ArgPath>,
) -> Option<RestrictedExpression> {
    match (shape, value) {
        (Shape::Text, Value::Text(text)) => Some(RestrictedExpression::new_string(text.to_string())),
        (Shape::Integer, Value::Integer(number)) => Some(RestrictedExpression::new_long(*number)),
        (Shape::Bool, Value::Bool(truth)) => Some(RestrictedExpression::new_bool(*truth)),
        (Shape::Set(element), Value::List(values)) => {
            let values: Option<Vec<_>> =
                values.iter().map(|value| expression(element, value, path, unmapped)).collect();
            Some(RestrictedExpression::new_set(values?))
        }
        (Shape::Record(members), Value::Record(values)) => {
            let mut fields = Vec::with_capacity(values.len().min(members.len()));
            for (name, value) in values {
                let member = members.get(name);
                if matches!(value, Value::Null) && member.is_some_and(|member| member.nullable) {
                    continue;
                }
                path.push(Arc::clone(name));
                match member.and_then(|member| expression(&member.shape, value, path, unmapped)) {
                    Some(field) => fields.push((name.to_string(), field)),
                    None => unmapped.push(path.clone()),
                }
                path.pop();
            }
            RestrictedExpression::new_record(fields).ok()
        }
        _ => None,
    }
}
