//! What users write: the configuration's objects, strict and with every place remembered.
//!
//! Owns the fields, their documentation and their canonical form. Never looks anything up: names, references and
//! secrets are `check`'s. The configuration file and the admin API write the same type.

mod access;
mod budget;
mod provider;
pub(crate) mod read;
mod route;
mod scalar;
mod server;
mod settings;
mod telemetry;

use std::collections::{BTreeMap, HashMap};

pub use access::{Allow, Key, Limits, Names, Team};
pub use budget::{BudgetScope, SharedBudget};
pub use provider::{Aws, Credentials, Headers, Provider};
pub use read::Places;
pub use route::{
    Cache, CacheKeep, CacheShare, Capabilities, Case, Model, Parameters, PicturePrice, Price, Retry, Route, Similar,
    Sticky, TargetName, Timeouts, Tuning, Weighted,
};
pub use scalar::{Amount, Budget, Moment, OneOrMany, Rate, Size, Time, TokenPrice, UnitPrice};
pub use server::{ArgumentKind, EffectKind, McpServer, OnChange, ToolSettings, Trust, Undo};
pub use settings::{
    Audit, AuditClass, Batches, Bodies, DefaultProvider, Guardrail, GuardrailAction, GuardrailPhase, OnError, Requests,
};
pub use telemetry::{Otlp, Share, Telemetry, TelemetryContent, TelemetryProfile};

use crate::{
    codes,
    node::{self, Entry, Node, Value, join},
    problem::{Problem, quote},
    reference::{self, NotReference, Reference},
    source::{Sources, Span},
};
use read::{Field as _, Reader, object};

object! {
    /// A whole configuration.
    pub struct Document("a mapping") {
        required {
            /// The version of the configuration's language. `1` is the only one.
            #[schemars(example = 1, range(min = 1, max = 1))]
            pub version: u32 = "1",
        }
        optional {
            /// The URL by which clients outside reach the gateway. It stands in documents that the gateway publishes.
            #[schemars(example = &"https://gateway.example")]
            pub public_url: Option<String>,
            /// The host names that clients use to reach the gateway; requests for others are refused. On loopback any
            /// loopback name passes; elsewhere `serve` requires this list.
            #[schemars(example = ["gateway.example", "gateway.example:8443"])]
            pub hosts: Vec<String>,
            /// Where models are: vendors, and servers that speak a vendor's dialect.
            #[schemars(example = serde_json::json!({ "openai": { "key": "env:OPENAI_API_KEY" } }))]
            pub providers: BTreeMap<String, Provider>,
            /// The provider for a bare model name that is no alias; or one for each surface.
            #[schemars(example = &"openai")]
            pub default_provider: Option<DefaultProvider>,
            /// Names for models, and where calls to them go.
            #[schemars(example = serde_json::json!({ "chat": { "fallback": ["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"] } }))]
            pub models: BTreeMap<String, Model>,
            /// What is looked for in text, and what is done about it. Keys and teams name the ones that apply to them.
            #[schemars(example = serde_json::json!({ "pii": { "detect": ["email", "card", "iban"], "action": "redact" } }))]
            pub guardrails: BTreeMap<String, Guardrail>,
            /// Where tools are.
            #[schemars(example = serde_json::json!({ "notes": { "url": "https://notes.example/mcp", "tools": ["search", "read"] } }))]
            pub mcp_servers: BTreeMap<String, McpServer>,
            /// Who may call, and what. What no key allows and no policy permits is denied.
            #[schemars(example = serde_json::json!({ "team-a": { "allow": { "models": ["chat"] }, "budget": "10 usd/month" } }))]
            pub keys: BTreeMap<String, Key>,
            /// Groups of keys with budgets and limits in common.
            #[schemars(example = serde_json::json!({ "research": { "budget": "500 usd/month" } }))]
            pub teams: BTreeMap<String, Team>,
            /// Budgets and limits by model, provider, MCP server, tool or metadata, whoever calls.
            #[schemars(example = serde_json::json!({ "gpt": { "scope": { "model": "openai/*" }, "budget": "10 usd/month" } }))]
            pub budgets: BTreeMap<String, SharedBudget>,
            /// Folders of `.cedar` files, or such files, relative to this file. They are added to what `allow` means.
            #[schemars(example = &"./policies")]
            pub policies: OneOrMany<String>,
            /// Price files, or folders of them, relative to this file: what they say of a model counts over the prices
            /// that ship with the release. `tidegate catalog import` writes such a file.
            #[schemars(example = &"./prices")]
            pub prices: OneOrMany<String>,
            /// What is put on record, and how safely.
            #[schemars(example = serde_json::json!({ "model_calls": "buffered", "tool_calls": "durable" }))]
            pub audit: Audit,
            /// Bounds of what the gateway takes in, whoever calls.
            #[schemars(example = serde_json::json!({ "body": "32MiB" }))]
            pub limits: Requests,
            /// What is told to other systems of what the gateway does.
            #[schemars(example = serde_json::json!({ "otlp": { "endpoint": "http://127.0.0.1:4318" } }))]
            pub telemetry: Telemetry,
            /// The gateway's own batches.
            #[schemars(example = serde_json::json!({ "own": true }))]
            pub batches: Batches,
        }
        later {
            "agents": "remove it: agents (A2A) come with a later version",
            "scan_profiles": "remove it: the scan API comes with a later version",
            "issuers": "remove it: callers show keys; tokens of an issuer come with a later version",
        }
    }
}

/// A document with its texts, the place of everything in it, and what is wrong with its form.
#[derive(Debug, Clone)]
pub struct Written {
    /// What could be read. Parts with a problem are left out.
    pub document: Document,
    /// Where everything stands.
    pub places: Places,
    /// The texts.
    pub sources: Sources,
    /// What is wrong, in the order of the texts.
    pub problems: Vec<Problem>,
}

impl Written {
    /// A document that was made and not written: it has no places.
    #[must_use]
    pub fn of(document: Document) -> Self {
        Self { document, places: Places::default(), sources: Sources::default(), problems: Vec::new() }
    }
}

impl Document {
    /// An empty configuration: no provider, no key, nothing permitted.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            version: 1,
            public_url: None,
            hosts: Vec::new(),
            providers: BTreeMap::new(),
            default_provider: None,
            models: BTreeMap::new(),
            guardrails: BTreeMap::new(),
            mcp_servers: BTreeMap::new(),
            keys: BTreeMap::new(),
            teams: BTreeMap::new(),
            budgets: BTreeMap::new(),
            policies: OneOrMany::default(),
            prices: OneOrMany::default(),
            audit: Audit::default(),
            limits: Requests::default(),
            telemetry: Telemetry::default(),
            batches: Batches::default(),
        }
    }

    /// The canonical form: JSON with every object in the order of its names, defaults left out, values with units in
    /// their shortest form. Reading it gives the same document.
    ///
    /// # Errors
    /// Never for a document that was read; `serde_json` cannot promise it.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads and merges texts. Finds everything that is wrong with their form; meaning is `check`'s.
    #[must_use]
    pub fn parse(mut sources: Sources) -> Written {
        let mut problems = Vec::new();
        let mut merged: Option<Node> = None;
        for (file, source) in sources.files().iter().enumerate() {
            let (node, found) = node::parse(u32::try_from(file).unwrap_or(u32::MAX), source);
            problems.extend(found);
            match node {
                Some(Node { value: Value::Null, span }) => problems.push(
                    Problem::new(codes::EMPTY, Some(Span { start: 0, end: 0, ..span }), "", "the file is empty")
                        .hint("start with `version: 1`, or run `tidegate init`"),
                ),
                Some(node) => {
                    merged = Some(match merged.take() {
                        None => node,
                        Some(first) => merge(first, node, &sources, &mut problems),
                    });
                }
                None => {}
            }
        }
        let mut reader = Reader::default();
        let document = merged.and_then(|node| {
            let mut masks = Vec::new();
            secrets(&node, false, "", &mut masks, &mut problems);
            masks.into_iter().for_each(|mask| sources.mask(mask));
            let document = Self::read_whole(&node, &mut reader);
            let span = node.span;
            reader.places.root(span);
            document
        });
        problems.append(&mut reader.problems);
        problems.sort_by_key(|problem| problem.span);
        Written { document: document.unwrap_or_else(Self::empty), places: reader.places, sources, problems }
    }

    /// Reads the root; a missing or unknown version does not hide what else is wrong.
    fn read_whole(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Map(entries) = &node.value else { return Self::read(node, reader) };
        if let Some(entry) = entries.iter().find(|entry| entry.name == "version") {
            if entry.value.value != Value::Integer(1) {
                let message = format!("the version is {}; the only version is 1", entry.value.describe());
                reader.at("version", entry, |reader, node| {
                    reader.problem(codes::VERSION, node, message, "write `version: 1`");
                });
            }
        } else {
            reader.missing(node, "version", "1");
        }
        let one = Node { span: node.span, value: Value::Integer(1) };
        let mut with_version: Vec<Entry> = entries.iter().filter(|entry| entry.name != "version").cloned().collect();
        with_version.push(Entry { name: String::from("version"), name_span: node.span, value: one });
        Self::read(&Node { span: node.span, value: Value::Map(with_version) }, reader)
    }
}

/// The sections whose members may be spread over several files.
const SPREAD: [&str; 7] = ["providers", "models", "guardrails", "mcp_servers", "keys", "teams", "budgets"];

/// The most conflicts between files that are reported.
const MOST_CONFLICTS: usize = 1_000;

/// Joins two files. What stands in both is a conflict, and the first counts.
fn merge(first: Node, second: Node, sources: &Sources, problems: &mut Vec<Problem>) -> Node {
    let span = first.span;
    match (first.value, second.value) {
        (Value::Map(mut entries), Value::Map(more)) => {
            let mut at: HashMap<String, usize> =
                entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
            for entry in more {
                match at.get(&entry.name).and_then(|at| entries.get_mut(*at)) {
                    None => {
                        at.insert(entry.name.clone(), entries.len());
                        entries.push(entry);
                    }
                    Some(_) if problems.len() >= MOST_CONFLICTS => {}
                    // Each file of a folder may say which version it is written in.
                    Some(known) if known.name == "version" && known.value.value == entry.value.value => {}
                    Some(known) if SPREAD.contains(&known.name.as_str()) => {
                        merge_section(known, entry, sources, problems);
                    }
                    Some(known) => problems.push(conflict(&entry.name, &entry, known, sources)),
                }
            }
            Node { span, value: Value::Map(entries) }
        }
        (Value::Map(entries), _) => {
            problems.push(
                Problem::new(codes::WRONG_TYPE, Some(second.span), "", "expected a mapping")
                    .hint("a configuration file holds `name: value` lines"),
            );
            Node { span, value: Value::Map(entries) }
        }
        (value, _) => Node { span, value },
    }
}

fn merge_section(known: &mut Entry, entry: Entry, sources: &Sources, problems: &mut Vec<Problem>) {
    let (Value::Map(objects), Value::Map(more)) = (&mut known.value.value, &entry.value.value) else {
        problems.push(conflict(&entry.name, &entry, known, sources));
        return;
    };
    let names: HashMap<String, usize> =
        objects.iter().enumerate().map(|(at, object)| (object.name.clone(), at)).collect();
    for object in more {
        match names.get(&object.name).and_then(|at| objects.get(*at)) {
            Some(_) if problems.len() >= MOST_CONFLICTS => {}
            Some(first) => problems.push(conflict(&join(&entry.name, &object.name), object, first, sources)),
            None => objects.push(object.clone()),
        }
    }
}

fn conflict(path: &str, second: &Entry, first: &Entry, sources: &Sources) -> Problem {
    let place = sources.place(first.name_span);
    Problem::new(
        codes::CONFLICT,
        Some(second.name_span),
        path,
        format!("{} is defined in two files", quote(&second.name)),
    )
    .hint(format!("the other one is at {place}: remove one of the two"))
}

/// Fields that hold secrets, and report theirs in `check`; and those that are no secrets, though they may look like one
/// (an account's id is 32 hexadecimal digits at some vendors).
const NAMED: [&str; 13] = [
    "key",
    "secret",
    "client_secret",
    "service_account",
    "external_account",
    "account_id",
    "api_version",
    "host",
    "project",
    "region",
    "resource",
    "tenant_id",
    "client_id",
];

/// Marks what must not be printed, and reports secrets that stand in fields which are not for secrets. Fields that are
/// (`key`, `secret`) report theirs in `check`, which knows the right words.
fn secrets(node: &Node, named: bool, path: &str, masks: &mut Vec<Span>, problems: &mut Vec<Problem>) {
    match &node.value {
        Value::Text(text) => {
            let looks = reference::looks_secret(text);
            if looks
                || has_password(text)
                || (hidden(path) && matches!(Reference::parse(text), Err(NotReference::Literal)))
            {
                masks.push(node.span);
            }
            if looks && !named {
                problems.push(literal_secret(Some(node.span), path));
            }
        }
        Value::Integer(_) | Value::Number(_) if hidden(path) => masks.push(node.span),
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                secrets(item, named, &format!("{path}[{at}]"), masks, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let named = NAMED.contains(&entry.name.as_str());
                secrets(&entry.value, named, &join(path, &entry.name), masks, problems);
            }
        }
        _ => {}
    }
}

/// Whether a URL names a user or password before its host.
fn has_password(text: &str) -> bool {
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// Whether the value at a path is not to be printed, whatever it looks like.
fn hidden(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    ["key", "secret", "token", "password", "authorization", "cookie"].iter().any(|sign| name.contains(sign))
}

/// The problem of a secret that stands in the file, with its one-line fix.
pub(crate) fn literal_secret(span: Option<Span>, path: &str) -> Problem {
    let parts: Vec<&str> = path.split('.').collect();
    let field = parts.last().copied().filter(|field| !field.contains(['[', '"'])).unwrap_or("key");
    let object = parts.get(1).copied().filter(|_| parts.len() > 2);
    let variable = match (parts.as_slice(), object) {
        (["providers", name, "key"], _) => format!("{name}_API_KEY"),
        (_, Some(object)) => format!("{object}_{field}"),
        _ => field.to_owned(),
    };
    let variable = variable.to_ascii_uppercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
    Problem::new(codes::LITERAL_SECRET, span, path, "a secret stands in the file")
        .hint(format!("put it into an environment variable and write `{field}: env:{variable}`"))
}

#[cfg(test)]
mod tests;
