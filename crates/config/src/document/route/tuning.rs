//! What a route says of one of its targets.

use std::collections::BTreeMap;

use super::{Capabilities, Field, Reader};
use crate::node::{Node, Value};

/// What a route says of one of its targets: the same that a model says of all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tuning {
    /// Parameters that are sent to it.
    pub params: Parameters,
    /// The most tokens of its answer.
    pub max_output: Option<u64>,
    /// The longest prompt that it takes, in tokens.
    pub max_input: Option<u64>,
    /// What it takes and gives beside text, over what the catalogue says.
    pub capabilities: Option<Capabilities>,
}

/// Parameters by name, each with its value as JSON text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(pub BTreeMap<String, String>);

impl Field for Parameters {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let entries = reader.members(node, "parameters")?;
        let mut all = BTreeMap::new();
        for entry in entries {
            let written = reader.at(&entry.name, entry, |reader, node| match &node.value {
                Value::Bool(value) => Some(value.to_string()),
                Value::Integer(value) => Some(value.to_string()),
                Value::Number(value) => Some(value.to_string()),
                Value::Text(value) => serde_json::to_string(value).ok(),
                _ => {
                    reader.wrong_type(node, "a number, a text, true or false", "write for example `temperature: 0.2`");
                    None
                }
            });
            all.insert(entry.name.clone(), written?);
        }
        Some(Self(all))
    }
}
