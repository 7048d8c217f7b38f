//! From a row to a decision.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use tidegate_core::{
    clock::UnixMillis,
    facts::{Action, Facts, GuardAction, GuardVerdict, Resource},
    ids::{KeyName, ModelName, OrgId, ServerName, TargetId, TeamName, ToolName},
    money::NanoUsd,
    principal::Principal,
    segment::Origin,
    value::Value,
};
use tidegate_policy::Effect;

use super::{Row, Surface};
use crate::{
    check::{Checked, DEFAULT_ORG},
    codes::{self, Code},
    document::Document,
    problem::{nearest, one_of, quote},
};

/// Monday 2026-01-05 at noon, UTC: what rows without a moment are decided at.
const NOON: UnixMillis = UnixMillis(1_767_614_400_000);
/// How deep aliases are followed; a configuration that was checked has no circle.
const DEEPEST: usize = 64;

/// What was decided.
pub(super) struct Decided {
    pub(super) allowed: bool,
    pub(super) by: Vec<String>,
    /// More about a denial, in words.
    pub(super) why: String,
}

/// A row that cannot be asked.
pub(super) struct Refused {
    pub(super) field: &'static str,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) hint: String,
}

fn refuse(field: &'static str, code: Code, message: String, hint: impl Into<String>) -> Refused {
    Refused { field, code, message, hint: hint.into() }
}

/// Decides a row: allowed where one of the resources that it may mean is.
pub(super) fn decide(checked: &Checked, row: &Row) -> Result<Decided, Refused> {
    let document = &checked.document;
    let action = Action::ALL.into_iter().find(|action| action.as_str() == row.action);
    let action = action.ok_or_else(|| {
        let names = || Action::ALL.into_iter().map(Action::as_str);
        let hint = nearest(&row.action, names())
            .map_or_else(|| format!("write {}", one_of(names())), |meant| format!("did you mean `{meant}`?"));
        refuse("action", codes::BAD_CHOICE, format!("there is no action {}", quote(&row.action)), hint)
    })?;
    let principal = principal(document, row)?;
    let resources = resources(document, action, row)?;
    let first = resources.first().cloned().unwrap_or(Resource::Gateway);
    let facts = facts(action, first, row);
    let at = row.context.at.map_or(NOON, |at| at.0);
    let mut denied: Option<Decided> = None;
    for resource in &resources {
        let decision = checked.policies.decide(&principal, &facts, resource, at);
        let by = decision.determining.iter().map(ToString::to_string).collect();
        match decision.effect {
            Effect::Allow => return Ok(Decided { allowed: true, by, why: String::new() }),
            Effect::Deny(reason) => {
                let errors: Vec<String> =
                    decision.errors.iter().map(|error| format!("{}: {}", error.policy, error.message)).collect();
                let why = if errors.is_empty() { reason.as_str().replace('_', " ") } else { errors.join("; ") };
                denied = denied.or(Some(Decided { allowed: false, by, why }));
            }
        }
    }
    denied.ok_or_else(|| refuse("resource", codes::NO_MODEL, "there is nothing to decide on".to_owned(), ""))
}

fn principal(document: &Document, row: &Row) -> Result<Principal, Refused> {
    let declared = document.keys.get(&row.principal);
    if declared.is_none() && row.team.is_none() {
        let names = document.keys.keys().map(String::as_str);
        let hint = nearest(&row.principal, names).map_or_else(
            || "declare it under `keys`, or give it a `team` here where the store owns it".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        let message = format!("the configuration declares no key {}", quote(&row.principal));
        return Err(refuse("principal", codes::BAD_NAME, message, hint));
    }
    let team = row.team.as_deref().or_else(|| declared.and_then(|key| key.team.as_deref()));
    let address = match &row.context.source_address {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.parse().map_err(|_| {
            let message = format!("{} is no address", quote(text));
            refuse("context.source_address", codes::BAD_HOST, message, "write an IP address: `10.0.0.1`")
        })?,
    };
    // Policies know keys by their names; the identifier is of no account.
    let id = "00000000".parse();
    Ok(Principal {
        org: OrgId::from(DEFAULT_ORG),
        key: id.map_err(|_| refuse("principal", codes::BAD_NAME, "no identifier".to_owned(), ""))?,
        key_name: KeyName::from(row.principal.as_str()),
        team: team.map(TeamName::from),
        chain: Vec::new(),
        address,
    })
}

fn resources(document: &Document, action: Action, row: &Row) -> Result<Vec<Resource>, Refused> {
    let named = || {
        row.resource.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| {
            let message = format!("`{}` is done to something, and the row does not say to what", row.action);
            refuse("action", codes::MISSING_FIELD, message, "add `resource`: a model, `server/tool` or a server")
        })
    };
    let server = |name: &str| {
        if document.mcp_servers.contains_key(name) {
            return Ok(ServerName::from(name));
        }
        let names = document.mcp_servers.keys().map(String::as_str);
        let hint = nearest(name, names)
            .map_or_else(|| "it must stand under `mcp_servers`".to_owned(), |meant| format!("did you mean `{meant}`?"));
        let message = format!("MCP server {} is not defined", quote(name));
        Err(refuse("resource", codes::NO_SERVER, message, hint))
    };
    let within = |text: &str| {
        let (name, rest) = text.split_once('/').ok_or_else(|| {
            let message = format!("{} does not say of which server", quote(text));
            refuse("resource", codes::NO_SERVER, message, "write `server/name`")
        })?;
        Ok((server(name)?, rest.to_owned()))
    };
    Ok(match action {
        Action::InvokeModel => models(document, named()?)?,
        Action::ListModels | Action::UseBatches => vec![Resource::Gateway],
        Action::ProposeTool => vec![Resource::ProposedTool(ToolName::from(named()?))],
        Action::CallTool => {
            let (server, tool) = within(named()?)?;
            vec![Resource::Tool(server, ToolName::from(tool))]
        }
        Action::ReadResource => {
            let (server, uri) = within(named()?)?;
            vec![Resource::McpResource(server, Arc::from(uri))]
        }
        Action::GetPrompt => {
            let (server, prompt) = within(named()?)?;
            vec![Resource::Prompt(server, Arc::from(prompt))]
        }
        _ => vec![Resource::Server(server(named()?)?)],
    })
}

/// The targets that a model's name leads to.
fn models(document: &Document, name: &str) -> Result<Vec<Resource>, Refused> {
    let mut targets = Vec::new();
    let mut seen = HashSet::new();
    follow(document, name, DEEPEST, &mut seen, &mut targets);
    if !targets.is_empty() {
        return Ok(targets);
    }
    let names = document.models.keys().map(String::as_str);
    let hint = nearest(name, names).map_or_else(
        || "write an alias of the configuration, or `provider/model`".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    Err(refuse("resource", codes::NO_MODEL, format!("model {} is not defined", quote(name)), hint))
}

fn follow(document: &Document, name: &str, left: usize, seen: &mut HashSet<String>, targets: &mut Vec<Resource>) {
    if left == 0 || !seen.insert(name.to_owned()) {
        return;
    }
    if let Some(model) = document.models.get(name) {
        for target in model.route.targets() {
            follow(document, &target.name, left.saturating_sub(1), seen, targets);
        }
        return;
    }
    let known = name.split_once('/').filter(|(provider, _)| document.providers.contains_key(*provider));
    targets.extend(known.map(|(provider, model)| Resource::Model(TargetId::new(provider, model))));
}

fn facts(action: Action, resource: Resource, row: &Row) -> Facts {
    let context = &row.context;
    let is_model =
        matches!(action, Action::InvokeModel | Action::ListModels | Action::ProposeTool | Action::UseBatches);
    let surface = match context.surface {
        Some(Surface::Anthropic) => "anthropic",
        Some(Surface::Gemini) => "gemini",
        Some(Surface::Mcp) => "mcp",
        Some(Surface::Openai) => "openai",
        None if is_model => "openai",
        None => "mcp",
    };
    let mut facts = Facts::new(surface, action, resource);
    if action == Action::InvokeModel {
        facts.model = row.resource.as_deref().map(ModelName::from);
    }
    if matches!(action, Action::CallTool | Action::ProposeTool) {
        let members = row.args.iter().map(|(name, json)| (Arc::from(name.as_str()), value(&json.0)));
        facts.arguments = Some(Value::Record(members.collect()));
    }
    facts.stream = context.stream;
    facts.input_tokens = context.input_tokens;
    facts.max_output_tokens = context.max_output_tokens;
    facts.estimated_cost = context.estimated_cost_nano_usd.map(NanoUsd);
    facts.tools = context.tools.iter().map(|tool| ToolName::from(tool.as_str())).collect();
    facts.session = context.session.as_deref().map(Arc::from);
    let metadata = context.metadata.iter().map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.as_str())));
    facts.metadata = metadata.collect::<BTreeMap<_, _>>();
    facts.verdicts = context.verdicts.iter().map(|category| verdict(category)).collect();
    facts
}

fn verdict(category: &str) -> GuardVerdict {
    GuardVerdict {
        guardrail: "test".into(),
        category: Arc::from(category),
        origin: Origin::Prompt,
        action: GuardAction::Label,
        count: 1,
    }
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Number(Arc::from(number.to_string())), Value::Integer)
        }
        serde_json::Value::String(text) => Value::Text(Arc::from(text.as_str())),
        serde_json::Value::Array(items) => Value::List(items.iter().map(value).collect()),
        serde_json::Value::Object(members) => {
            Value::Record(members.iter().map(|(name, json)| (Arc::from(name.as_str()), value(json))).collect())
        }
    }
}
