//! What the proxy runs by: everything that decides, compiled and immutable, under one content hash.
//!
//! Owns look-ups by name. Never changes after it was made: another configuration, or another set of keys, is another
//! snapshot. Made by [`Snapshot::compile`] from what `check` found sound.

mod aws;
mod build;
pub(crate) mod credentials;
mod keys;
mod shared;
mod targets;
mod telemetry;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tidegate_audit::AuditPlan;
use tidegate_core::ids::{Digest, KeyName, ModelName, OrgId, ProviderName, RevisionId, ServerName, TeamName};
use tidegate_guard::Chain;
use tidegate_ledger::{Catalog, Scope, ScopeRules};
use tidegate_policy::Policies;
use tidegate_protocol::llm::Dialect;
use tidegate_upstream::{Destination, McpServer, Provider, Route};

use crate::{
    check::model_name,
    document::{Bodies, CacheKeep, CacheShare, Document, OnChange},
    identity::{Declared, StoredKey},
    pins::PinnedTool,
    problem::Problem,
};

pub use build::Ingredients;
pub use shared::{Counted, SharedScope};
pub use targets::{destination_of, private_host};
pub use telemetry::Collector;

/// One revision, compiled.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The content hash of everything that decides.
    pub revision: RevisionId,
    /// What was written.
    pub document: Arc<Document>,
    /// The policy files: name and text.
    pub policy_files: Arc<Vec<(String, String)>>,
    /// The policies of the file and of every key.
    pub policies: Arc<Policies>,
    /// Prices.
    pub catalog: Arc<Catalog>,
    /// What each kind of call is put on record as.
    pub audit: AuditPlan,
    /// What is kept of what was said.
    pub bodies: Bodies,
    /// How long bodies are kept.
    pub retention: Duration,
    /// The URL by which clients outside reach the gateway.
    pub public_url: Option<Arc<str>>,
    /// The host names that clients use, in lower case; empty where only loopback names pass.
    pub hosts: Arc<[Arc<str>]>,
    /// The largest request body in bytes.
    pub body_limit: usize,
    /// The most calls at the same time.
    pub concurrent_limit: usize,
    /// The most bytes of answers that are kept to be given again.
    pub idempotency_memory: usize,
    /// The most bytes of answers that are kept for the same question.
    pub cache_memory: usize,
    /// The most bytes of them that are stored.
    pub cache_store: u64,
    /// How long a client may take.
    pub client_times: ClientTimes,
    /// The gateway's own batches; `None` where it runs none.
    pub batches: Option<OwnBatches>,
    /// How long its files, and batches that have ended, are kept; also where it runs none any more.
    pub batches_keep: Duration,
    /// Where traces and metrics are sent; `None` where the file does not say.
    pub telemetry: Option<Arc<Collector>>,
    /// Budgets and limits by scope: for [`tidegate_ledger::Ledger::configure`].
    pub ledger_rules: HashMap<Scope, ScopeRules>,
    /// The keys that the file declares: for [`crate::identity::KeyTable::set_declared`].
    pub declared: Arc<[Declared]>,
    /// Budgets by model, provider, server, tool and metadata.
    pub shared: Arc<[SharedScope]>,
    /// What is not wrong but should be known.
    pub warnings: Arc<[Problem]>,
    base: Digest,
    providers: Arc<BTreeMap<ProviderName, Arc<targets::Known>>>,
    defaults: Arc<Defaults>,
    routes: Arc<HashMap<Arc<str>, Arc<Route>>>,
    caches: Arc<HashMap<Arc<str>, Caching>>,
    listed: Arc<[ListedModel]>,
    servers: Arc<BTreeMap<ServerName, Arc<McpServer>>>,
    team_rules: Arc<BTreeMap<TeamName, TeamRules>>,
    keys: Arc<HashMap<(OrgId, KeyName), Arc<KeyRules>>>,
    stored: Arc<[StoredKey]>,
    pins: Arc<[PinnedTool]>,
    without_guardrails: Arc<Chain>,
}

/// Bounds of the gateway's own batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnBatches {
    /// The most lines that run at the same time.
    pub concurrent: usize,
    /// The most bytes of a file.
    pub file: usize,
    /// The most bytes of all files together.
    pub storage: u64,
}

/// How long a client may take for its part of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimes {
    /// To send a request's head.
    pub headers: Duration,
    /// Silence while it sends a body: slower than 1 KiB a second counts as silence in part.
    pub body: Duration,
    /// To leave an answer unread, counted in the same way.
    pub send: Duration,
}

/// What a key's calls are held to.
#[derive(Debug, Clone)]
pub struct KeyRules {
    /// Its guardrails and its team's, compiled.
    pub chain: Arc<Chain>,
    /// The scopes that its calls count for: the key and its team.
    pub scopes: Arc<[Scope]>,
    /// Whether any of them has a hard budget, so that a model without a price is refused.
    pub hard_budget: bool,
    /// Its team.
    pub team: Option<TeamName>,
}

#[derive(Debug, Clone, Default)]
struct TeamRules {
    guardrails: Vec<String>,
    hard_budget: bool,
}

#[derive(Debug, Default)]
struct Defaults {
    any: Option<ProviderName>,
    by_surface: BTreeMap<String, ProviderName>,
}

/// A model's name and where calls to it go.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The name that policies decide on: the alias, or `provider/model` also where the caller left the provider out.
    pub name: ModelName,
    /// The tree of targets.
    pub route: Arc<Route>,
    /// Whether the same question gets the same answer again.
    pub cache: Option<Caching>,
}

/// How answers of a model are given again.
#[derive(Debug, Clone, PartialEq)]
pub struct Caching {
    /// For how long.
    pub ttl: Duration,
    /// To whom.
    pub share: CacheShare,
    /// Where.
    pub keep: CacheKeep,
    /// The digest of the model's entry: an answer of another entry is another model's.
    pub of: Digest,
    /// Whether to questions that are only similar, too.
    pub similar: Option<Similar>,
}

/// Which questions are similar.
#[derive(Debug, Clone, PartialEq)]
pub struct Similar {
    /// The model that makes numbers of words.
    pub by: Arc<str>,
    /// The least cosine of the angle between the numbers of two questions, from 0 to 1.
    pub least: f32,
}

/// A model that lists name: an alias, or a model that the catalogue knows at a provider.
#[derive(Debug, Clone)]
pub struct ListedModel {
    /// Its name.
    pub name: ModelName,
    /// The tree of targets.
    pub route: Arc<Route>,
    /// Whether it is an alias.
    pub alias: bool,
}

impl Snapshot {
    /// Where calls to `model` on `surface` (`openai`, `anthropic`) go: an alias, `provider/model`, or a bare name at
    /// the surface's default provider. `None` where there is no such model, or the name is none.
    #[must_use]
    pub fn route(&self, model: &str, surface: &str) -> Option<Routed> {
        if let Some((name, route)) = self.routes.get_key_value(model) {
            let cache = self.caches.get(name).cloned();
            return Some(Routed { name: ModelName::from(Arc::clone(name)), route: Arc::clone(route), cache });
        }
        if let Some((provider, model)) = model.split_once('/')
            && let Some(known) = self.providers.get(provider)
        {
            return self.direct(known, model);
        }
        let default = self.defaults.by_surface.get(surface).or(self.defaults.any.as_ref())?;
        self.direct(self.providers.get(default)?, model)
    }

    /// The model of this name at one provider, whatever else has the name.
    #[must_use]
    pub fn at(&self, provider: &str, model: &str) -> Option<Routed> {
        self.direct(self.providers.get(provider)?, model)
    }

    /// Where calls of a vendor's own API in `dialect` go: to the provider that `model` names before its slash, else to
    /// the default provider of the surface, to one that bears the surface's name, or to the only one there is besides
    /// the simulator. `None` where none of these speaks the dialect.
    #[must_use]
    pub fn api_provider(&self, dialect: Dialect, model: Option<&str>) -> Option<&Arc<Provider>> {
        let surface = dialect.surface();
        let named = |name: &str| {
            self.providers.get(name).map(|known| &known.provider).filter(|provider| provider.speaks(dialect))
        };
        let by_model = model.and_then(|model| model.split_once('/')).and_then(|(provider, _)| named(provider));
        let default = self.defaults.by_surface.get(surface).or(self.defaults.any.as_ref());
        let mut speaking = self.providers().filter(|provider| provider.speaks(dialect));
        let only = || {
            let (real, sim): (Vec<_>, Vec<_>) = speaking.by_ref().partition(|known| known.base != Destination::Sim);
            match (real.as_slice(), sim.as_slice()) {
                ([one], _) | ([], [one]) => Some(*one),
                _ => None,
            }
        };
        by_model.or_else(|| default.and_then(|name| named(name.as_str()))).or_else(|| named(surface)).or_else(only)
    }

    fn direct(&self, known: &Arc<targets::Known>, model: &str) -> Option<Routed> {
        if !model_name(model) {
            return None;
        }
        let target = known.target(model, &self.catalog);
        let name = ModelName::from(target.id.to_string());
        Some(Routed { name, route: Arc::new(Route::Target(Arc::new(target))), cache: None })
    }

    /// The models that lists offer, aliases first, each by name. What a caller sees of them, policy says.
    #[must_use]
    pub fn listed_models(&self) -> &[ListedModel] {
        &self.listed
    }

    /// The MCP server `name`.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&Arc<McpServer>> {
        self.servers.get(name)
    }

    /// What becomes of the tools of the MCP server `name` whose definitions are not as pinned.
    #[must_use]
    pub fn on_change(&self, name: &str) -> OnChange {
        self.document.mcp_servers.get(name).map_or_else(OnChange::default, |server| server.on_change)
    }

    /// Every MCP server, by name.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<McpServer>> {
        self.servers.values()
    }

    /// Every provider, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values().map(|known| &known.provider)
    }

    /// The type of the provider `name`, as the catalogue calls it.
    #[must_use]
    pub fn provider_type(&self, name: &str) -> Option<&str> {
        self.providers.get(name).map(|known| known.kind.as_str())
    }

    /// What the calls of a key are held to. `None` where this revision does not know the key: such a call is refused.
    #[must_use]
    pub fn key(&self, org: &OrgId, name: &KeyName) -> Option<&Arc<KeyRules>> {
        self.keys.get(&(org.clone(), name.clone()))
    }

    /// The chain without any guardrail.
    #[must_use]
    pub fn without_guardrails(&self) -> &Arc<Chain> {
        &self.without_guardrails
    }

    /// The keys of the store that this revision knows.
    #[must_use]
    pub fn stored_keys(&self) -> &[StoredKey] {
        &self.stored
    }

    /// The same configuration with these keys of the store, instead of those it knew. Fast: routes, servers and the
    /// file's policies are shared.
    ///
    /// # Errors
    /// Where a key's rules cannot be compiled.
    pub fn with_stored_keys(&self, stored: Vec<StoredKey>) -> Result<Self, Vec<Problem>> {
        keys::apply(self.clone(), stored)
    }

    /// The pinned tools that this revision's policies were compiled against, by server and tool.
    #[must_use]
    pub fn pins(&self) -> &[PinnedTool] {
        &self.pins
    }

    /// The same configuration with these pinned tools, instead of those it knew. Compiles every policy again.
    ///
    /// # Errors
    /// Where a policy names a tool or an argument that the pins do not have.
    pub fn with_pins(&self, pins: Vec<PinnedTool>) -> Result<Self, Vec<Problem>> {
        build::with_pins(self.clone(), pins)
    }

    /// Compiles what `check` found sound.
    ///
    /// # Errors
    /// Where a part of the gateway refuses what `check` let pass, which tests exclude.
    pub fn compile(checked: crate::check::Checked, ingredients: &Ingredients<'_>) -> Result<Self, Vec<Problem>> {
        build::compile(checked, ingredients)
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod tests_support {
    //! Snapshots for tests of other files.

    use super::Snapshot;

    pub(crate) use super::tests::machine;

    pub(crate) fn compiled(text: &str) -> Snapshot {
        super::tests::compiled(text, Vec::new()).unwrap_or_else(|rejection| panic!("{rejection}"))
    }
}
