//! Configurations of other gateways, read and written anew as one of this gateway.
//!
//! Owns what each of their settings becomes, and says so for every place of the source: the same, nearly the same and
//! why, or nothing and why. What it does not know is told as dropped: nothing fails silently. Never writes a secret: a
//! literal one becomes a reference to a variable that has to be set. Pure: reads a text and gives a text. Called by
//! `tidegate import`.

mod agentgateway;
mod bifrost;
mod draft;
mod litellm;
mod portkey;
mod report;
#[cfg(test)]
mod tests;
mod vendors;

use serde_json::Value;

pub use self::report::{Entry, Outcome};
use self::{draft::Draft, report::Report};
use crate::{
    node::{self, Node},
    problem::Problem,
    source::Sources,
    vendor::Vendors,
};

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// LiteLLM's `config.yaml`.
    LiteLlm,
    /// A Portkey config (JSON).
    Portkey,
    /// Bifrost's `config.json`.
    Bifrost,
    /// agentgateway's `config.yaml`.
    Agentgateway,
}

impl Gateway {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::Portkey => "portkey",
            Self::Bifrost => "bifrost",
            Self::Agentgateway => "agentgateway",
        }
    }
}

/// What came of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The configuration, as YAML.
    pub config: String,
    /// What became of every place of the source, in the order of their paths.
    pub report: Vec<Entry>,
}

/// What an importer works with.
struct Work<'a> {
    vendors: &'a Vendors,
    draft: Draft,
    report: Report,
}

/// Reads the configuration of another gateway.
///
/// # Errors
/// Where it is no YAML or JSON, or no mapping.
pub fn import(text: &str, gateway: Gateway, vendors: &Vendors) -> Result<Imported, Vec<Problem>> {
    let sources = Sources::of_text("source", text);
    let (node, problems) = sources.files().first().map_or((None, Vec::new()), |source| node::parse(0, source));
    let Some(node) = node.filter(|_| problems.is_empty()) else { return Err(problems) };
    let source = plain(&node);
    let mut work = Work { vendors, draft: Draft::default(), report: Report::default() };
    match gateway {
        Gateway::LiteLlm => litellm::read(&source, &mut work),
        Gateway::Portkey => portkey::read(&source, &mut work),
        Gateway::Bifrost => bifrost::read(&source, &mut work),
        Gateway::Agentgateway => agentgateway::read(&source, &mut work),
    }
    work.report.rest(&source, "");
    Ok(Imported { config: work.draft.write(gateway.as_str()), report: work.report.finish() })
}

fn plain(node: &Node) -> Value {
    match &node.value {
        node::Value::Null => Value::Null,
        node::Value::Bool(value) => Value::Bool(*value),
        node::Value::Integer(number) => i64::try_from(*number).map_or(Value::Null, Value::from),
        node::Value::Number(number) => serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number),
        node::Value::Text(text) => Value::String(text.clone()),
        node::Value::List(items) => Value::Array(items.iter().map(plain).collect()),
        node::Value::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.name.clone(), plain(&entry.value))).collect())
        }
    }
}

/// A member of an object, as text.
fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The members of an object; none where it is none.
fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

/// The items of a list with their places.
fn items(value: Option<&Value>) -> impl Iterator<Item = (usize, &Value)> {
    value.and_then(Value::as_array).into_iter().flatten().enumerate()
}
