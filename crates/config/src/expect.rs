//! Tables of expected decisions: what a policy test says, and what the policies say to it.
//!
//! Owns the table's language (YAML, read as strictly as a configuration) and the way from a row to a decision. Pure:
//! asks nobody, needs no secret. The command `policy test` calls it.

mod ask;

use std::collections::BTreeMap;

use crate::{
    check::Checked,
    document::{
        Moment, OneOrMany,
        read::{Field, Places, Reader, choice, object},
    },
    node::{self, Node, Value},
    problem::{Problem, Severity},
    source::{Position, Sources},
};

object! {
    /// A table of expected decisions.
    pub struct Table("a table of expected decisions") {
        required {
            /// The rows.
            #[schemars(example = serde_json::json!([{ "principal": "team-a", "action": "call_tool", "resource": "notes/search", "expect": "allow" }]))]
            pub tests: Vec<Row> = "[{ principal: team-a, action: call_tool, resource: notes/search, expect: allow }]",
        }
        optional {
            /// The configuration that is tested, from the table's own folder: files or folders.
            #[schemars(example = &"tidegate.yaml")]
            pub config: OneOrMany<String>,
            /// A file of pinned tools, from the table's own folder.
            #[schemars(example = &"pins.json")]
            pub pins: Option<String>,
        }
        later {}
    }
}

object! {
    /// One expected decision.
    pub struct Row("a row") {
        required {
            /// The key that calls, by name.
            #[schemars(example = &"team-a")]
            pub principal: String = "team-a",
            /// What it does, as policies name it.
            #[schemars(example = &"call_tool")]
            pub action: String = "call_tool",
            /// Whether it may.
            #[schemars(example = &"deny")]
            pub expect: Expected = "deny",
        }
        optional {
            /// What the row shows, in words.
            #[schemars(example = &"nobody sends mail at night")]
            pub name: Option<String>,
            /// The key's team; without it, the one that the configuration gives the key.
            #[schemars(example = &"research")]
            pub team: Option<String>,
            /// What it is done to: a model as callers name it, `server/tool`, a server.
            #[schemars(example = &"crm/send_mail")]
            pub resource: Option<String>,
            /// A tool's arguments.
            #[schemars(example = serde_json::json!({ "to": "jo@example.com" }))]
            pub args: BTreeMap<String, Json>,
            /// What else policies may look at.
            #[schemars(example = serde_json::json!({ "at": "2027-01-31T23:00:00Z" }))]
            pub context: Context,
            /// The policies that must be among those that decide.
            #[schemars(example = &"no-mail-at-night")]
            pub by: OneOrMany<String>,
        }
        later {}
    }
}

object! {
    /// What policies may look at besides principal, action and resource.
    pub struct Context("a context") {
        required {}
        optional {
            /// When: without it, Monday 2026-01-05 at noon, UTC.
            #[schemars(example = &"2027-01-31T23:00:00Z")]
            pub at: Option<Moment>,
            /// The surface that the caller speaks.
            #[schemars(example = &"anthropic")]
            pub surface: Option<Surface>,
            /// Whether the answer is asked for as a stream.
            #[schemars(example = true)]
            pub stream: bool,
            /// An upper bound of the prompt's tokens.
            #[schemars(example = 100_000)]
            pub input_tokens: u64,
            /// The most tokens that may be generated.
            #[schemars(example = 4_096)]
            pub max_output_tokens: u64,
            /// An upper bound of what the call may cost, in billionths of a dollar.
            #[schemars(example = 500_000_000)]
            pub estimated_cost_nano_usd: Option<u64>,
            /// The tools that a model is offered.
            #[schemars(example = ["shell"])]
            pub tools: Vec<String>,
            /// The session.
            #[schemars(example = &"s1")]
            pub session: Option<String>,
            /// What the caller says about the call.
            #[schemars(example = serde_json::json!({ "env": "prod" }))]
            pub metadata: BTreeMap<String, String>,
            /// What guardrails found.
            #[schemars(example = ["pii.email"])]
            pub verdicts: Vec<String>,
            /// The caller's address.
            #[schemars(example = &"10.0.0.1")]
            pub source_address: Option<String>,
        }
        later {}
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that makes the type has no place for derives")]
impl Default for Context {
    fn default() -> Self {
        Self {
            at: None,
            surface: None,
            stream: false,
            input_tokens: 0,
            max_output_tokens: 0,
            estimated_cost_nano_usd: None,
            tools: Vec::new(),
            session: None,
            metadata: BTreeMap::new(),
            verdicts: Vec::new(),
            source_address: None,
        }
    }
}

choice! {
    /// What is expected of a decision.
    pub enum Expected {
        /// The call may be made.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
    }
    later {}
}

choice! {
    /// A surface.
    pub enum Surface {
        /// OpenAI's.
        Openai = "openai",
        /// Anthropic's.
        Anthropic = "anthropic",
        /// Gemini's.
        Gemini = "gemini",
        /// MCP.
        Mcp = "mcp",
    }
    later {}
}

/// A value of a tool's arguments: anything that JSON can say.
#[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Json(pub serde_json::Value);

impl Field for Json {
    fn read(node: &Node, _: &mut Reader) -> Option<Self> {
        Some(Self(json(node)))
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => number.into(),
            // Larger than any that a policy sees: as a fraction, it has no type there either.
            Err(_) => serde_json::json!(number.to_string().parse::<f64>().unwrap_or(f64::MAX)),
        },
        Value::Number(number) => serde_json::json!(number),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.name.clone(), json(&entry.value))).collect(),
    }
}

/// A table as it was read.
#[derive(Debug)]
pub struct Read {
    /// The table.
    pub table: Table,
    /// The text.
    pub sources: Sources,
    places: Places,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the row shows: its name, or who does what.
    pub name: String,
    /// Where the row stands.
    pub at: Option<Position>,
    /// What was expected: `deny`, `deny by no-mail-at-night`.
    pub expected: String,
    /// What was decided, and by which policies.
    pub decided: String,
    /// Whether both are the same.
    pub passed: bool,
}

/// Reads a table.
///
/// # Errors
/// Every problem with its form, and the texts to show them in.
pub fn read(sources: Sources) -> Result<Read, (Vec<Problem>, Sources)> {
    let mut problems = Vec::new();
    let mut reader = Reader::default();
    let mut table = None;
    if let Some(source) = sources.files().first() {
        let (node, found) = node::parse(0, source);
        problems.extend(found);
        table = node.and_then(|node| {
            reader.places.root(node.span);
            Table::read(&node, &mut reader)
        });
    }
    problems.append(&mut reader.problems);
    problems.sort_by_key(|problem| problem.span);
    match table {
        Some(table) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(Read { table, sources, places: reader.places })
        }
        _ => Err((problems, sources)),
    }
}

impl Read {
    /// Decides every row.
    ///
    /// # Errors
    /// Every row that cannot be asked: an action, model or server that does not exist.
    pub fn run(&self, checked: &Checked) -> Result<Vec<Outcome>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut outcomes = Vec::new();
        for (at, row) in self.table.tests.iter().enumerate() {
            let path = format!("tests[{at}]");
            match ask::decide(checked, row) {
                Ok(decided) => {
                    let position = self.places.value(&path).and_then(|span| self.sources.position(span));
                    outcomes.push(outcome(row, position, &decided));
                }
                Err(refused) => {
                    let path = format!("{path}.{}", refused.field);
                    let span = self.places.value(&path);
                    problems.push(Problem::new(refused.code, span, path, refused.message).hint(refused.hint));
                }
            }
        }
        if problems.is_empty() { Ok(outcomes) } else { Err(problems) }
    }
}

fn outcome(row: &Row, at: Option<Position>, decided: &ask::Decided) -> Outcome {
    let effect = if decided.allowed { Expected::Allow } else { Expected::Deny };
    let by = &row.by.0;
    let named = by.iter().all(|policy| decided.by.iter().any(|decider| decider == policy));
    let words = |effect: Expected, by: &[String], why: &str| {
        let mut words = effect.as_str().to_owned();
        if !by.is_empty() {
            words.push_str(&format!(" by {}", by.join(", ")));
        }
        if !why.is_empty() {
            words.push_str(&format!(" ({why})"));
        }
        words
    };
    let name = row.name.clone().unwrap_or_else(|| {
        format!("{} {} {}", row.principal, row.action, row.resource.as_deref().unwrap_or("")).trim_end().to_owned()
    });
    Outcome {
        name,
        at,
        expected: words(row.expect, by, ""),
        decided: words(effect, &decided.by, &decided.why),
        passed: effect == row.expect && named,
    }
}

#[cfg(test)]
mod tests;
