//! What a new key is to be: reads and checks the request, and makes the stored key's rules of it.
//!
//! Owns which names and values a key of the store may have; the same as for a key of the file. Pure: the handler stores
//! what comes out.

use serde::Deserialize;
use tidegate_config::{check::Mode, document::Document, identity::StoredRules};
use tidegate_core::{
    clock::UnixMillis,
    ids::{KeyName, TeamName},
};
use tidegate_ledger::{Budget, Rate, ScopeRules};
use utoipa::ToSchema;

use crate::{
    answer::{Refusal, shown},
    moment,
};

/// The most names in one list.
const MOST_NAMES: usize = 1_000;
/// The most budgets of one key.
const MOST_BUDGETS: usize = 8;
/// The longest name of a model, as `provider/model`.
const LONGEST_MODEL: usize = 256;

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// Its name: 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first.
    #[schema(example = "ci")]
    name: String,
    /// Its team, which the configuration defines.
    team: Option<String>,
    /// What it may use. Without it, a gateway that was started with `up` allows everything, with `serve` nothing.
    allow: Option<NewAllow>,
    /// The most it may spend: one budget or several, such as `10 usd/month`.
    budget: Option<OneOrMany>,
    /// How often it may call.
    limits: Option<NewLimits>,
    /// When it stops being valid: RFC 3339, a date, or in how long (`30d`).
    #[schema(example = "30d")]
    expires: Option<String>,
    /// The guardrails that look at its calls, which the configuration defines.
    #[serde(default)]
    guardrails: Vec<String>,
}

/// What a key may use. What is not named is denied.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAllow {
    /// Models, by alias or `provider/model`; `*` for all.
    #[serde(default)]
    models: Names,
    /// MCP servers; `*` for all.
    #[serde(default)]
    mcp_servers: Names,
}

/// Names, or `"*"` for all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Names {
    /// `"*"`.
    All(String),
    /// These.
    Only(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

/// One text or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How often a key may call.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLimits {
    /// Requests in a time, such as `60/min`.
    requests: Option<String>,
    /// Tokens in a time, prompts and answers together.
    tokens: Option<String>,
    /// Calls at the same time.
    concurrent: Option<u32>,
}

/// A key that may be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) name: KeyName,
    pub(crate) team: Option<TeamName>,
    pub(crate) expires: Option<UnixMillis>,
    pub(crate) rules: StoredRules,
    /// What whoever asked for it should know.
    pub(crate) note: Option<&'static str>,
}

/// Under `up`, where nothing was said about what a key may use.
const EVERYTHING: &str =
    "this key may use every model and every MCP server; `tidegate policy show` prints the permit, `allow` narrows it";
/// Under `serve`, where nothing was said about what a key may use.
const NOTHING: &str = "this key may use nothing: make it with `allow`, or permit it something by a policy";

impl NewKey {
    /// What the request means in this configuration.
    pub(crate) fn check(self, document: &Document, mode: Mode, now: UnixMillis) -> Result<Meant, Refusal> {
        if !is_name(&self.name) {
            return Err(Refusal::invalid(format!("{} cannot be a key's name", shown(&self.name)))
                .hint("use 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"));
        }
        if let Some(team) = &self.team {
            known_team(team, document)?;
        }
        let (models, mcp_servers, note) = allow(self.allow, document, mode)?;
        known_guardrails(&self.guardrails, document)?;
        let limits = limits(self.budget, self.limits.unwrap_or_default())?;
        let expires = self.expires.as_deref().map(|text| expiry(text, now)).transpose()?;
        Ok(Meant {
            name: KeyName::from(self.name),
            team: self.team.map(TeamName::from),
            expires,
            rules: StoredRules { models, mcp_servers, guardrails: self.guardrails, limits },
            note,
        })
    }
}

type Allowed = (Vec<String>, Vec<String>, Option<&'static str>);

fn allow(asked: Option<NewAllow>, document: &Document, mode: Mode) -> Result<Allowed, Refusal> {
    let Some(asked) = asked else {
        let all = || vec!["*".to_owned()];
        return Ok(match mode {
            Mode::Up => (all(), all(), Some(EVERYTHING)),
            Mode::Serve => (Vec::new(), Vec::new(), Some(NOTHING)),
        });
    };
    let models = known_models(asked.models, document)?;
    let servers = known_servers(asked.mcp_servers, document)?;
    let note = (models.is_empty() && servers.is_empty()).then_some(NOTHING);
    Ok((models, servers, note))
}

/// That the configuration defines a team.
pub(super) fn known_team(team: &str, document: &Document) -> Result<(), Refusal> {
    if document.teams.contains_key(team) { Ok(()) } else { Err(undefined("team", team, "teams")) }
}

/// That the configuration defines guardrails.
pub(super) fn known_guardrails(guardrails: &[String], document: &Document) -> Result<(), Refusal> {
    distinct("guardrails", guardrails)?;
    match guardrails.iter().find(|name| !document.guardrails.contains_key(*name)) {
        Some(name) => Err(undefined("guardrail", name, "guardrails")),
        None => Ok(()),
    }
}

/// The models that a list names.
pub(super) fn known_models(asked: Names, document: &Document) -> Result<Vec<String>, Refusal> {
    let models = names("allow.models", asked)?;
    for name in models.iter().filter(|name| *name != "*") {
        let known = name.len() <= LONGEST_MODEL
            && match name.split_once('/') {
                Some((provider, model)) => document.providers.contains_key(provider) && !model.is_empty(),
                None => document.models.contains_key(name),
            };
        if !known {
            return Err(undefined("model", name, "models").hint(
                "use an alias under `models`, or `provider/model` with a provider of the configuration, or `*` for all",
            ));
        }
    }
    Ok(models)
}

/// The MCP servers that a list names.
pub(super) fn known_servers(asked: Names, document: &Document) -> Result<Vec<String>, Refusal> {
    let servers = names("allow.mcp_servers", asked)?;
    let unknown = |name: &&String| *name != "*" && !document.mcp_servers.contains_key(*name);
    match servers.iter().find(unknown) {
        Some(name) => Err(undefined("MCP server", name, "mcp_servers")),
        None => Ok(servers),
    }
}

/// The names of a list, `["*"]` for all.
fn names(path: &str, names: Names) -> Result<Vec<String>, Refusal> {
    let list = match names {
        Names::All(text) if text == "*" => vec![text],
        Names::All(_) => return Err(Refusal::invalid(format!("`{path}` is neither a list of names nor \"*\""))),
        Names::Only(list) => list,
    };
    distinct(path, &list)?;
    Ok(if list.iter().any(|name| name == "*") { vec!["*".to_owned()] } else { list })
}

fn distinct(path: &str, names: &[String]) -> Result<(), Refusal> {
    if names.len() > MOST_NAMES {
        return Err(Refusal::invalid(format!("`{path}` has more than {MOST_NAMES} names")));
    }
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(Refusal::invalid(format!("`{path}` has {} twice", shown(name)))),
        None => Ok(()),
    }
}

fn limits(budget: Option<OneOrMany>, limits: NewLimits) -> Result<ScopeRules, Refusal> {
    Ok(ScopeRules {
        budget: budgets(budget)?,
        requests: limits.requests.map(|text| rate("limits.requests", &text)).transpose()?,
        tokens: limits.tokens.map(|text| rate("limits.tokens", &text)).transpose()?,
        concurrent: limits.concurrent.map(concurrent).transpose()?,
    })
}

/// The budgets that are asked for.
pub(super) fn budgets(asked: Option<OneOrMany>) -> Result<Vec<Budget>, Refusal> {
    let budgets = match asked {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    };
    if budgets.len() > MOST_BUDGETS {
        return Err(Refusal::invalid(format!("a key has at most {MOST_BUDGETS} budgets")));
    }
    budgets.iter().map(|text| read::<Budget>("budget", text, "10 usd/month")).collect()
}

/// A rate.
pub(super) fn rate(path: &str, text: &str) -> Result<Rate, Refusal> {
    read::<Rate>(path, text, "600/min")
}

/// How many calls at the same time.
pub(super) fn concurrent(asked: u32) -> Result<u32, Refusal> {
    if asked == 0 {
        return Err(Refusal::invalid("`limits.concurrent`: with 0 calls at the same time, every call is refused"));
    }
    Ok(asked)
}

fn read<T: std::str::FromStr>(path: &str, text: &str, example: &str) -> Result<T, Refusal> {
    text.trim().parse().map_err(|_| {
        Refusal::invalid(format!("`{path}`: {} cannot be read", shown(text)))
            .hint(format!("write for example `{example}`"))
    })
}

/// A moment that is to come.
pub(super) fn expiry(text: &str, now: UnixMillis) -> Result<UnixMillis, Refusal> {
    let at = moment::future(text, now)
        .ok_or_else(|| Refusal::invalid(format!("`expires`: {} is no moment", shown(text))).hint(moment::FORMS))?;
    if at > now { Ok(at) } else { Err(Refusal::invalid(format!("`expires`: {} is past", moment::text(at)))) }
}

fn undefined(kind: &str, name: &str, section: &str) -> Refusal {
    Refusal::invalid(format!("{kind} {} is not defined", shown(name)))
        .hint(format!("define it under `{section}` in the configuration, or name one that is there"))
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
