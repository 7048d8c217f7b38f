//! What is to change about a key: reads and checks the request. What is not named stays as it is, so that no edit wipes
//! what its author did not look at.
//!
//! Owns the difference between nothing said and `null`. Pure: the handler keeps what comes out.

use serde::{Deserialize, Deserializer};
use tidegate_config::{
    document::Document,
    identity::{StoredKey, StoredRules},
};
use tidegate_core::{clock::UnixMillis, ids::TeamName};
use utoipa::ToSchema;

use super::new_key::{
    Names, OneOrMany, budgets, concurrent, expiry, known_guardrails, known_models, known_servers, known_team, rate,
};
use crate::answer::Refusal;

/// What is to change. What is not named stays; `null` takes it away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditKey {
    /// Another team, which the configuration defines.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    team: Named<String>,
    /// What it may use: each list that is named takes the place of the one before.
    allow: Option<EditAllow>,
    /// The most it may spend, in place of all budgets before.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<OneOrMany>)]
    budget: Named<OneOrMany>,
    /// How often it may call: each limit by itself.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<EditLimits>)]
    limits: Named<EditLimits>,
    /// When it stops being valid: RFC 3339, a date, or in how long (`30d`).
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, example = "30d")]
    expires: Named<String>,
    /// The guardrails that look at its calls, in place of those before.
    guardrails: Option<Vec<String>>,
}

/// What a key may use.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditAllow {
    /// Models, by alias or `provider/model`; `*` for all.
    models: Option<Names>,
    /// MCP servers; `*` for all.
    mcp_servers: Option<Names>,
}

/// How often a key may call.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditLimits {
    /// Requests in a time, such as `60/min`.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    requests: Named<String>,
    /// Tokens in a time, prompts and answers together.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    tokens: Named<String>,
    /// Calls at the same time.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<u32>)]
    concurrent: Named<u32>,
}

/// `None` where nothing was said, `Some(None)` for `null`.
type Named<T> = Option<Option<T>>;

fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Named<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

impl EditKey {
    /// The key as it will be, and what changes about it.
    pub(crate) fn apply(
        self,
        key: &StoredKey,
        rules: &StoredRules,
        document: &Document,
        now: UnixMillis,
    ) -> Result<(StoredKey, Vec<&'static str>), Refusal> {
        let (mut team, mut expires, mut rules) = (key.team.clone(), key.expires, rules.clone());
        if let Some(asked) = self.team {
            asked.as_deref().map(|team| known_team(team, document)).transpose()?;
            team = asked.map(TeamName::from);
        }
        if let Some(asked) = self.expires {
            expires = asked.as_deref().map(|text| expiry(text, now)).transpose()?;
        }
        let allow = self.allow.unwrap_or_default();
        if let Some(models) = allow.models {
            rules.models = known_models(models, document)?;
        }
        if let Some(servers) = allow.mcp_servers {
            rules.mcp_servers = known_servers(servers, document)?;
        }
        if let Some(guardrails) = self.guardrails {
            known_guardrails(&guardrails, document)?;
            rules.guardrails = guardrails;
        }
        if let Some(asked) = self.budget {
            rules.limits.budget = budgets(asked)?;
        }
        match self.limits {
            None => {}
            Some(None) => {
                (rules.limits.requests, rules.limits.tokens, rules.limits.concurrent) = (None, None, None);
            }
            Some(Some(asked)) => asked.apply(&mut rules)?,
        }
        let after = StoredKey { team, expires, rules: Some(rules), ..key.clone() };
        let changes = changes(key, &after);
        Ok((after, changes))
    }
}

impl EditLimits {
    fn apply(self, rules: &mut StoredRules) -> Result<(), Refusal> {
        if let Some(asked) = self.requests {
            rules.limits.requests = asked.map(|text| rate("limits.requests", &text)).transpose()?;
        }
        if let Some(asked) = self.tokens {
            rules.limits.tokens = asked.map(|text| rate("limits.tokens", &text)).transpose()?;
        }
        if let Some(asked) = self.concurrent {
            rules.limits.concurrent = asked.map(concurrent).transpose()?;
        }
        Ok(())
    }
}

/// The names of what differs.
fn changes(before: &StoredKey, after: &StoredKey) -> Vec<&'static str> {
    let nothing = StoredRules::default();
    let (old, new) = (before.rules.as_ref().unwrap_or(&nothing), after.rules.as_ref().unwrap_or(&nothing));
    let limits = |rules: &StoredRules| (rules.limits.requests, rules.limits.tokens, rules.limits.concurrent);
    let all = [
        ("team", before.team != after.team),
        ("allow", old.models != new.models || old.mcp_servers != new.mcp_servers),
        ("budget", old.limits.budget != new.limits.budget),
        ("limits", limits(old) != limits(new)),
        ("expires", before.expires != after.expires),
        ("guardrails", old.guardrails != new.guardrails),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
