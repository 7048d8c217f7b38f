//! A small configuration and callers for the tests.

use std::sync::Arc;

use tidegate_core::{
    clock::UnixMillis,
    facts::{Action, Facts, Resource},
    ids::{ModelName, TargetId},
    principal::Principal,
    value::Value,
};

use crate::{
    Allow, Decision, DenyReason, Effect, KeyEntity, Policies, PolicyInput, PolicySource, ServerEntity, ToolPin, compile,
};

/// 2026-11-24 (a Tuesday), 16:00:00 UTC.
pub(super) const MOMENT: UnixMillis = UnixMillis(1_795_536_000_000);

pub(super) const SEARCH_SCHEMA: &str = r#"{"type": "object", "properties": {
    "query": {"type": "string"}, "limit": {"type": "integer"}, "deep": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}}, "ratio": {"type": "number"},
    "lang": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "where": {"type": "object", "properties": {"path": {"type": "string"}, "score": {"type": "number"}}, "required": ["path"]}},
    "required": ["query"]}"#;

pub(super) fn key(name: &str, team: Option<&str>, allow: Option<(&[&str], &[&str])>) -> KeyEntity {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    KeyEntity {
        name: name.into(),
        team: team.map(Into::into),
        org: "default".into(),
        allow: allow.map(|(models, servers)| Allow { models: owned(models), mcp_servers: owned(servers) }),
    }
}

/// Two keys, two providers, a server `notes` with the pinned tools `search` and `delete`, and `wiki` without pins.
pub(super) fn input(policies: &str) -> PolicyInput<'_> {
    let pin = |name: &str, schema: &str| ToolPin { name: name.into(), input_schema: schema.to_owned() };
    let server = |name: &str, pins| ServerEntity { name: name.into(), allowed_tools: None, pins };
    PolicyInput {
        keys: vec![
            key("team-a", Some("research"), Some((&["chat"], &["notes"]))),
            key("all", None, Some((&["*"], &["*"]))),
            key("bare", Some("research"), None),
        ],
        teams: vec!["research".into(), "sales".into()],
        targets: vec![TargetId::new("openai", "gpt-5.2"), TargetId::new("anthropic", "claude-sonnet-4-6")],
        aliases: vec!["chat".into()],
        servers: vec![
            server("notes", vec![pin("search", SEARCH_SCHEMA), pin("delete", r#"{"type": "object"}"#)]),
            server("wiki", Vec::new()),
        ],
        sources: vec![PolicySource { file: "a.cedar".into(), text: policies.into() }],
    }
}

pub(super) fn compiled(policies: &str) -> Arc<Policies> {
    compiled_input(&input(policies))
}

pub(super) fn compiled_input(input: &PolicyInput<'_>) -> Arc<Policies> {
    match compile(input) {
        Ok(policies) => Arc::new(policies),
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

pub(super) fn principal(key: &str, team: Option<&str>) -> Principal {
    Principal {
        org: "default".into(),
        key: "AAAAAAAA".parse().unwrap(),
        key_name: key.into(),
        team: team.map(Into::into),
        chain: Vec::new(),
        address: "192.0.2.7".parse().unwrap(),
    }
}

pub(super) fn team_a() -> Principal {
    principal("team-a", Some("research"))
}

pub(super) fn model(provider: &str, name: &str) -> Resource {
    Resource::Model(TargetId::new(provider, name))
}

pub(super) fn tool(server: &str, name: &str) -> Resource {
    Resource::Tool(server.into(), name.into())
}

pub(super) fn invoke(name: &str) -> Facts {
    Facts { model: Some(ModelName::from(name)), ..Facts::new("openai", Action::InvokeModel, Resource::Gateway) }
}

pub(super) fn call(arguments: &[(&str, Value)]) -> Facts {
    let members = arguments.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect();
    let arguments = Some(Value::Record(members));
    Facts { arguments, ..Facts::new("mcp", Action::CallTool, Resource::Gateway) }
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.into())
}

pub(super) fn search(policies: &Policies, arguments: &[(&str, Value)]) -> Decision {
    policies.decide(&team_a(), &call(arguments), &tool("notes", "search"), MOMENT)
}

pub(super) fn ask(policies: &Policies, who: &Principal, facts: &Facts, resource: &Resource) -> Decision {
    policies.decide(who, facts, resource, MOMENT)
}

pub(super) fn denied(reason: DenyReason) -> Effect {
    Effect::Deny(reason)
}

pub(super) fn ids(decision: &Decision) -> Vec<&str> {
    decision.determining.iter().map(|id| &**id).collect()
}
