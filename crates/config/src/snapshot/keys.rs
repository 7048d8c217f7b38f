//! The part of a snapshot that follows the keys: guardrail chains, scopes, budgets, permits.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tidegate_core::ids::{GuardrailName, KeyName, OrgId, TeamName};
use tidegate_guard::{Chain, DetectorName, GuardrailSpec, OnError, Phase};
use tidegate_ledger::{Scope, ScopeKind, ScopeRules};
use tidegate_policy::{Allow, KeyEntity};

use super::{KeyRules, Snapshot, TeamRules, targets::refused};
use crate::{
    check::{DEFAULT_ORG, policy_problem},
    document::{self, Budget, Document, Guardrail, GuardrailAction, GuardrailPhase, Limits, OneOrMany, Rate, Time},
    identity::StoredKey,
    node::join,
    problem::Problem,
    revision,
};

/// The scope of a key or team. Outside the default tenant its name is qualified.
fn scope(kind: ScopeKind, org: &OrgId, name: &str) -> Scope {
    if org.as_str() == DEFAULT_ORG { Scope::new(kind, name) } else { Scope::new(kind, format!("{org}/{name}")) }
}

fn scope_rules(budget: &OneOrMany<Budget>, limits: &Limits) -> ScopeRules {
    ScopeRules {
        budget: budget.0.iter().map(|Budget(budget)| *budget).collect(),
        requests: limits.requests.map(|Rate(rate)| rate),
        tokens: limits.tokens.map(|Rate(rate)| rate),
        concurrent: limits.concurrent,
    }
}

/// One guardrail as the guard crate takes it.
fn spec(name: &str, guardrail: &Guardrail) -> GuardrailSpec {
    let phase = |phase: &GuardrailPhase| match phase {
        GuardrailPhase::Request => Phase::Request,
        GuardrailPhase::Response => Phase::Response,
        GuardrailPhase::ToolArguments => Phase::ToolArguments,
        GuardrailPhase::ToolResult => Phase::ToolResult,
    };
    GuardrailSpec {
        name: GuardrailName::from(name),
        detect: guardrail.detect.iter().map(|name| DetectorName::from(name.as_str())).collect(),
        on: match &guardrail.on {
            Some(on) => on.iter().map(phase).collect(),
            // Tokens go to models only.
            None if guardrail.action == GuardrailAction::Tokenize => vec![Phase::Request, Phase::Response],
            None => Phase::ALL.to_vec(),
        },
        action: match guardrail.action {
            GuardrailAction::Block => tidegate_core::facts::GuardAction::Block,
            GuardrailAction::Tokenize => tidegate_core::facts::GuardAction::Tokenize,
            GuardrailAction::Redact => tidegate_core::facts::GuardAction::Redact,
            GuardrailAction::Label => tidegate_core::facts::GuardAction::Label,
        },
        limit: guardrail.timeout.map(|Time(limit)| limit),
        on_error: match guardrail.on_error {
            document::OnError::Closed => OnError::Closed,
            document::OnError::Open => OnError::Open,
        },
    }
}

/// Chains by the guardrails they are made of: keys with the same ones share theirs.
struct Chains<'a> {
    document: &'a Document,
    made: HashMap<Vec<String>, Arc<Chain>>,
}

impl Chains<'_> {
    fn of(&mut self, team: &[String], own: &[String], path: &str) -> Result<Arc<Chain>, Problem> {
        let mut names: Vec<String> = Vec::with_capacity(team.len().saturating_add(own.len()));
        for name in team.iter().chain(own) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if let Some(chain) = self.made.get(&names) {
            return Ok(Arc::clone(chain));
        }
        let mut specs = Vec::with_capacity(names.len());
        for name in &names {
            let guardrail = self.document.guardrails.get(name).ok_or_else(|| {
                Problem::new(
                    crate::codes::NO_GUARDRAIL,
                    None,
                    path,
                    format!("guardrail `{name}` is not defined, and a key of the store names it"),
                )
                .hint("keep the guardrail, or change the key first")
            })?;
            specs.push(spec(name, guardrail));
        }
        let chain = Arc::new(Chain::compile(&specs).map_err(|error| refused(path, error))?);
        self.made.insert(names, Arc::clone(&chain));
        Ok(chain)
    }
}

/// What teams share.
pub(super) fn teams(document: &Document) -> BTreeMap<TeamName, TeamRules> {
    let rules = |team: &crate::document::Team| TeamRules {
        guardrails: team.guardrails.clone(),
        hard_budget: scope_rules(&team.budget, &team.limits).has_hard_budget(),
    };
    document.teams.iter().map(|(name, team)| (TeamName::from(name.as_str()), rules(team))).collect()
}

/// Fills in everything that follows the keys: those of the file, and `stored`.
pub(super) fn apply(mut snapshot: Snapshot, stored: Vec<StoredKey>) -> Result<Snapshot, Vec<Problem>> {
    let document = Arc::clone(&snapshot.document);
    let mut chains = Chains { document: &document, made: HashMap::new() };
    let mut problems = Vec::new();
    let mut keys = HashMap::new();
    let mut ledger = HashMap::new();
    let default = OrgId::from(DEFAULT_ORG);
    for (name, team) in &document.teams {
        ledger.insert(scope(ScopeKind::Team, &default, name), scope_rules(&team.budget, &team.limits));
    }
    for (name, budget) in &document.budgets {
        ledger.insert(Scope::new(ScopeKind::Budget, name.as_str()), scope_rules(&budget.budget, &budget.limits));
    }
    for (name, key) in &document.keys {
        let own = Own {
            org: &default,
            name,
            team: key.team.as_deref().map(TeamName::from),
            guardrails: &key.guardrails,
            rules: scope_rules(&key.budget, &key.limits),
        };
        own.add(&snapshot.team_rules, &mut chains, (&mut keys, &mut ledger), &mut problems);
    }
    for key in stored.iter().filter(|key| key.revoked.is_none()) {
        let Some(rules) = &key.rules else { continue };
        let own = Own {
            org: &key.org,
            name: key.name.as_str(),
            team: key.team.clone(),
            guardrails: &rules.guardrails,
            rules: rules.limits.clone(),
        };
        // The file owns the names that it declares: a key of the store that took one before is not let in.
        if !keys.contains_key(&(key.org.clone(), key.name.clone())) {
            own.add(&snapshot.team_rules, &mut chains, (&mut keys, &mut ledger), &mut problems);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    snapshot.policies = Arc::new(policies(&snapshot, &stored)?);
    snapshot.revision = revision::with_keys(&snapshot.base, &stored).map_err(|error| vec![refused("keys", error)])?;
    snapshot.keys = Arc::new(keys);
    snapshot.ledger_rules = ledger;
    snapshot.stored = stored.into();
    Ok(snapshot)
}

/// The file's policies with the permits of the store's keys, in place of those that were there.
fn policies(snapshot: &Snapshot, stored: &[StoredKey]) -> Result<tidegate_policy::Policies, Vec<Problem>> {
    let declared = |name: &KeyName| snapshot.document.keys.contains_key(name.as_str());
    let entities: Vec<KeyEntity> = stored
        .iter()
        .filter(|key| key.revoked.is_none() && !declared(&key.name))
        .filter_map(|key| {
            let rules = key.rules.as_ref()?;
            let allow = Allow { models: rules.models.clone(), mcp_servers: rules.mcp_servers.clone() };
            Some(KeyEntity { name: key.name.clone(), team: key.team.clone(), org: key.org.clone(), allow: Some(allow) })
        })
        .collect();
    // A key that stays as it was keeps what was compiled for it.
    let staying: HashSet<&KeyName> = entities.iter().map(|key| &key.name).collect();
    let gone = snapshot.stored.iter().map(|key| &key.name);
    let gone: Vec<KeyName> = gone.filter(|name| !declared(name) && !staying.contains(name)).cloned().collect();
    snapshot
        .policies
        .without_keys(&gone)
        .with_keys(&entities)
        .map_err(|problems| problems.into_iter().map(|from| policy_problem(from, &[])).collect())
}

/// A key's own settings, wherever it is owned.
struct Own<'a> {
    org: &'a OrgId,
    name: &'a str,
    team: Option<TeamName>,
    guardrails: &'a [String],
    rules: ScopeRules,
}

type Keys = HashMap<(OrgId, KeyName), Arc<KeyRules>>;

impl Own<'_> {
    fn add(
        self,
        teams: &BTreeMap<TeamName, TeamRules>,
        chains: &mut Chains<'_>,
        (keys, ledger): (&mut Keys, &mut HashMap<Scope, ScopeRules>),
        problems: &mut Vec<Problem>,
    ) {
        let nothing = TeamRules::default();
        let team = self.team.as_ref().and_then(|team| teams.get(team)).unwrap_or(&nothing);
        let path = join("keys", self.name);
        let chain = match chains.of(&team.guardrails, self.guardrails, &path) {
            Ok(chain) => chain,
            Err(problem) => {
                problems.push(problem);
                return;
            }
        };
        let own = scope(ScopeKind::Key, self.org, self.name);
        let mut scopes = vec![own.clone()];
        scopes.extend(self.team.as_ref().map(|team| scope(ScopeKind::Team, self.org, team.as_str())));
        let hard_budget = team.hard_budget || self.rules.has_hard_budget();
        ledger.insert(own, self.rules);
        let rules = KeyRules { chain, scopes: scopes.into(), hard_budget, team: self.team };
        keys.insert((self.org.clone(), KeyName::from(self.name)), Arc::new(rules));
    }
}
