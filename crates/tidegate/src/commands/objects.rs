//! `team`, `provider`, `model`, `mcp`, `guardrail`: what the active revision names.
//!
//! The configuration owns these objects: they are shown here and changed in the file.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::{
    cli::{Admin, objects::Listed},
    client::Client,
    commands::key::list,
    exit,
    output::{self, exit},
};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Team,
    Provider,
    Model,
    Mcp,
    Guardrail,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Mcp => "MCP server",
            Self::Guardrail => "guardrail",
        }
    }

    /// Where the configuration has them.
    fn member(self) -> &'static str {
        match self {
            Self::Team => "teams",
            Self::Provider => "providers",
            Self::Model => "models",
            Self::Mcp => "mcp_servers",
            Self::Guardrail => "guardrails",
        }
    }

    /// Where the gateway's state has them; `None` where it has not.
    fn state(self) -> Option<&'static str> {
        match self {
            Self::Provider => Some("providers"),
            Self::Model => Some("models"),
            Self::Mcp => Some("servers"),
            Self::Team | Self::Guardrail => None,
        }
    }

    fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Team => &[("team", "/name"), ("keys", "/keys"), ("budget", "/budget"), ("limits", "/limits")],
            Self::Provider => &[("provider", "/name"), ("type", "/type"), ("url", "/url"), ("key", "/fingerprint")],
            Self::Model => &[("model", "/name"), ("alias", "/alias"), ("route", "/route")],
            Self::Mcp => &[("server", "/name"), ("url", "/url"), ("tools", "/tools")],
            Self::Guardrail => &[("guardrail", "/name"), ("detects", "/detect"), ("on", "/on"), ("action", "/action")],
        }
    }
}

/// Runs `list` or `show`.
pub(crate) async fn run(kind: Kind, command: Listed) -> Result<()> {
    match command {
        Listed::List(admin) => all(kind, &admin).await,
        Listed::Show { name, admin } => one(kind, &name, &admin).await,
    }
}

async fn all(kind: Kind, admin: &Admin) -> Result<()> {
    output::rows(admin.output, &rows(kind, &Client::new(admin)?).await?, kind.columns())
}

async fn one(kind: Kind, name: &str, admin: &Admin) -> Result<()> {
    let rows = rows(kind, &Client::new(admin)?).await?;
    let named = |row: &&Value| row.get("name").and_then(Value::as_str) == Some(name);
    if let Some(row) = rows.iter().find(named) {
        return output::object(admin.output, row);
    }
    let names: Vec<&str> = rows.iter().filter_map(|row| row.get("name").and_then(Value::as_str)).collect();
    let hint = output::meant(name, &names).unwrap_or_else(|| match names.as_slice() {
        [] => "the configuration names none".to_owned(),
        names => format!("there are {}", names.iter().take(12).copied().collect::<Vec<_>>().join(", ")),
    });
    Err(exit(exit::NOT_FOUND, format!("there is no {} `{name}`\nhint: {hint}", kind.word())))
}

/// Every object of a kind: what the configuration says of it, and how it stands.
async fn rows(kind: Kind, client: &Client) -> Result<Vec<Value>> {
    let revision = client.get("/revisions/current").await?;
    let written = revision.pointer(&format!("/document/{}", kind.member())).and_then(Value::as_object);
    let mut objects: Vec<(String, Map<String, Value>)> = Vec::new();
    for (name, value) in written.into_iter().flatten() {
        let mut fields = value.as_object().cloned().unwrap_or_default();
        if kind == Kind::Model {
            fields = Map::from_iter([("route".to_owned(), value.clone())]);
        }
        fields.insert("name".to_owned(), json!(name));
        objects.push((name.clone(), fields));
    }
    if let Some(member) = kind.state() {
        for state in list(&client.get("/status").await?, member) {
            let Some(name) = state.get("name").and_then(Value::as_str) else { continue };
            let fields = state.as_object().cloned().unwrap_or_default();
            match objects.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.extend(fields),
                None => objects.push((name.to_owned(), fields)),
            }
        }
    }
    if kind == Kind::Team {
        let keys = list(&client.get("/keys").await?, "keys");
        for (name, fields) in &mut objects {
            let of = keys.iter().filter(|key| key.get("team").and_then(Value::as_str) == Some(name));
            fields.insert("keys".to_owned(), of.filter_map(|key| key.get("name").cloned()).collect());
        }
    }
    Ok(objects.into_iter().map(|(_, fields)| Value::Object(fields)).collect())
}
