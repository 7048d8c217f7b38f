//! Keys and teams as users write them: who may call what, and how much.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{
    read::{Field, Reader, object},
    scalar::{Budget, Moment, OneOrMany, Rate},
};
use crate::{
    codes,
    node::{Node, Value},
};

object! {
    /// A key: a caller of the gateway.
    pub struct Key("a key") {
        required {}
        optional {
            /// Its secret, as a reference. Without it, `tidegate key issue NAME` makes one and prints it once.
            #[schemars(example = &"env:TEAM_A_KEY")]
            pub secret: Option<String>,
            /// The team it belongs to.
            #[schemars(example = &"research")]
            pub team: Option<String>,
            /// What it may use. What stands nowhere is denied, unless a policy permits it.
            #[schemars(example = serde_json::json!({ "models": ["chat"], "mcp_servers": ["notes"] }))]
            pub allow: Option<Allow>,
            /// The guardrails that look at its calls, after its team's.
            #[schemars(example = ["pii"])]
            pub guardrails: Vec<String>,
            /// The most it may spend: one budget or several.
            #[schemars(example = &"10 usd/month")]
            pub budget: OneOrMany<Budget>,
            /// How often it may call.
            #[schemars(example = serde_json::json!({ "requests": "60/min", "concurrent": 5 }))]
            pub limits: Limits,
            /// When it stops being valid.
            #[schemars(example = &"2027-01-31T00:00:00Z")]
            pub expires: Option<Moment>,
        }
        later {
            "owner": "remove it: people as owners come with a later version",
            "metadata": "remove it: callers send `x-tidegate-metadata`",
        }
    }
}

object! {
    /// A group of keys with budgets and limits in common.
    pub struct Team("a team") {
        required {}
        optional {
            /// The most that its keys may spend together.
            #[schemars(example = &"500 usd/month")]
            pub budget: OneOrMany<Budget>,
            /// How often its keys may call, together.
            #[schemars(example = serde_json::json!({ "requests": "600/min", "tokens": "200000/min", "concurrent": 50 }))]
            pub limits: Limits,
            /// The guardrails that look at the calls of all its keys.
            #[schemars(example = ["pii"])]
            pub guardrails: Vec<String>,
        }
        later {
            "members": "remove it: a key names its team",
        }
    }
}

object! {
    /// How often somebody may call.
    #[derive(Default)]
    pub struct Limits("limits") {
        required {}
        optional {
            /// Requests in a time.
            #[schemars(example = &"600/min")]
            pub requests: Option<Rate>,
            /// Tokens in a time, prompts and answers together.
            #[schemars(example = &"200000/min")]
            pub tokens: Option<Rate>,
            /// Calls at the same time.
            #[schemars(example = 50, range(min = 1))]
            pub concurrent: Option<u32>,
        }
        later {}
    }
}

object! {
    /// What a key may use.
    #[derive(Default)]
    pub struct Allow("`{ models: [..], mcp_servers: [..] }`") {
        required {}
        optional {
            /// Models by the names that callers use: aliases or `provider/model`; or `"*"` for all.
            #[schemars(example = ["chat"])]
            pub models: Names,
            /// MCP servers by name; or `"*"` for all.
            #[schemars(example = ["notes"])]
            pub mcp_servers: Names,
        }
        later {
            "agents": "remove it: agents (A2A) come with a later version",
            "scan_profiles": "remove it: the scan API comes with a later version",
        }
    }
}

/// A list of names, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Everything there is, and will be: `"*"`.
    All,
    /// These.
    Only(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl Names {
    /// The names as a list, all as `*`.
    #[must_use]
    pub fn to_list(&self) -> Vec<String> {
        match self {
            Self::All => vec![String::from("*")],
            Self::Only(names) => names.clone(),
        }
    }

    /// The names of a list in which `*` stands for all.
    #[must_use]
    pub fn from_list(names: &[String]) -> Self {
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Only(names.to_vec()) }
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("*"),
            Self::Only(names) => {
                // What a list of names allows does not depend on its order.
                let mut names: Vec<&String> = names.iter().collect();
                names.sort();
                serializer.collect_seq(names)
            }
        }
    }
}

impl Field for Names {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "*" => Some(Self::All),
            Value::Text(text) => {
                let hint = format!("write `[{}]`", text.chars().take(40).collect::<String>());
                reader.problem(
                    codes::WRONG_TYPE,
                    node,
                    String::from("expected a list of names, or \"*\" for all"),
                    hint,
                );
                None
            }
            _ => Vec::<String>::read(node, reader).map(|names| Self::from_list(&names)),
        }
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list of names, or \"*\" for all.",
            "examples": [["chat"], "*"],
            "anyOf": [{ "const": "*" }, { "type": "array", "items": { "type": "string" } }],
        })
    }
}
