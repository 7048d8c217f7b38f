//! Puts a snapshot together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tidegate_audit::{AuditPlan, Class};
use tidegate_core::ids::{Digest, KeyName, ModelName, OrgId, ProviderName, RevisionId, TeamName};
use tidegate_guard::Chain;
use tidegate_ledger::Catalog;
use tidegate_upstream::Route;

use super::{
    Defaults, ListedModel, Snapshot, keys,
    targets::{self, Known, refused},
};
use crate::{
    check::{Checked, DEFAULT_ORG},
    document::{AuditClass, DefaultProvider, Document, Moment, Size, Time},
    identity::{Declared, StoredKey},
    node::join,
    problem::Problem,
    revision,
    vendor::Vendors,
};

/// The largest request body where nothing is set, in bytes.
const BODY_LIMIT: u64 = 32 << 20;
/// The most calls at the same time where nothing is set.
const CONCURRENT_LIMIT: u32 = 20_000;
/// How long bodies are kept where nothing is set.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// What a snapshot is made of besides the configuration.
#[derive(Debug, Clone)]
pub struct Ingredients<'a> {
    /// The vendors there are.
    pub vendors: &'a Vendors,
    /// Models and prices.
    pub catalog: Arc<Catalog>,
    /// The keys of the store.
    pub stored: Vec<StoredKey>,
}

pub(super) fn compile(checked: Checked, ingredients: &Ingredients<'_>) -> Result<Snapshot, Vec<Problem>> {
    let catalog = &ingredients.catalog;
    let providers = targets::providers(&checked, ingredients.vendors)?;
    let routes = targets::routes(&checked.document, &providers, catalog)?;
    let servers = targets::servers(&checked)?;
    let one = |problem: Problem| vec![problem];
    let base = revision::base(&checked.document, &checked.policy_files, &catalog_digest(catalog))
        .map_err(|error| one(refused("", error)))?;
    let without_guardrails = Chain::compile(&[]).map_err(|error| one(refused("guardrails", error)))?;
    let document = checked.document;
    let number = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let snapshot = Snapshot {
        revision: RevisionId(base),
        policies: Arc::new(checked.policies),
        catalog: Arc::clone(catalog),
        audit: audit(&document),
        bodies: document.audit.bodies,
        retention: document.audit.retention.map_or(RETENTION, |Time(time)| time),
        public_url: document.public_url.as_deref().map(|url| Arc::from(url.trim_end_matches('/'))),
        hosts: document.hosts.iter().map(|host| Arc::from(host.to_ascii_lowercase())).collect(),
        body_limit: number(document.limits.body.map_or(BODY_LIMIT, |Size(size)| size)),
        concurrent_limit: number(document.limits.concurrent.unwrap_or(CONCURRENT_LIMIT).into()),
        ledger_rules: HashMap::new(),
        declared: declared(&document, &checked.secrets),
        warnings: checked.warnings.into(),
        base,
        defaults: Arc::new(defaults(&document)),
        listed: listed(&routes, &providers, catalog).into(),
        routes: Arc::new(routes),
        providers: Arc::new(providers),
        servers: Arc::new(servers),
        team_rules: Arc::new(keys::teams(&document)),
        keys: Arc::default(),
        stored: Arc::from(Vec::new()),
        without_guardrails: Arc::new(without_guardrails),
        policy_files: Arc::new(checked.policy_files),
        document: Arc::new(document),
    };
    keys::apply(snapshot, ingredients.stored.clone())
}

/// What the catalogue says, in an order of its own.
fn catalog_digest(catalog: &Catalog) -> Digest {
    let mut lines: Vec<String> = catalog
        .models()
        .iter()
        .map(|info| {
            format!("{}/{} {:?} {:?} {:?}", info.provider, info.model, info.price, info.max_input, info.max_output)
        })
        .collect();
    lines.sort();
    Digest::of(lines.join("\n").as_bytes())
}

fn audit(document: &Document) -> AuditPlan {
    let rule = AuditPlan::default();
    let class = |written: Option<AuditClass>, rule| match written {
        None => rule,
        Some(AuditClass::Off) => Class::Off,
        Some(AuditClass::Buffered) => Class::Buffered,
        Some(AuditClass::Durable) => Class::Durable,
    };
    AuditPlan {
        model_calls: class(document.audit.model_calls, rule.model_calls),
        tool_calls: class(document.audit.tool_calls, rule.tool_calls),
    }
}

fn defaults(document: &Document) -> Defaults {
    match &document.default_provider {
        None => Defaults::default(),
        Some(DefaultProvider::One(name)) => {
            Defaults { any: Some(ProviderName::from(name.as_str())), by_surface: BTreeMap::new() }
        }
        Some(DefaultProvider::BySurface(by)) => Defaults {
            any: None,
            by_surface: by.iter().map(|(surface, name)| (surface.clone(), ProviderName::from(name.as_str()))).collect(),
        },
    }
}

fn declared(document: &Document, secrets: &HashMap<String, tidegate_core::secret::Secret>) -> Arc<[Declared]> {
    document
        .keys
        .iter()
        .map(|(name, key)| Declared {
            name: KeyName::from(name.as_str()),
            org: OrgId::from(DEFAULT_ORG),
            team: key.team.as_deref().map(TeamName::from),
            expires: key.expires.map(|Moment(at)| at),
            secret: secrets.get(&join(&join("keys", name), "secret")).cloned(),
        })
        .collect()
}

/// Aliases, then what the catalogue knows at each provider.
fn listed(
    routes: &HashMap<Arc<str>, Arc<Route>>,
    providers: &BTreeMap<ProviderName, Arc<Known>>,
    catalog: &Catalog,
) -> Vec<ListedModel> {
    let mut aliases: Vec<ListedModel> = routes
        .iter()
        .map(|(name, route)| ListedModel {
            name: ModelName::from(Arc::clone(name)),
            route: Arc::clone(route),
            alias: true,
        })
        .collect();
    aliases.sort_by(|one, other| one.name.cmp(&other.name));
    let mut by_provider: Vec<ListedModel> = providers
        .values()
        .flat_map(|known| {
            catalog.models().into_iter().filter(|info| *info.provider == *known.kind).map(|info| {
                let target = known.target(&info.model, catalog);
                let name = ModelName::from(target.id.to_string());
                ListedModel { name, route: Arc::new(Route::Target(Arc::new(target))), alias: false }
            })
        })
        .collect();
    by_provider.sort_by(|one, other| one.name.cmp(&other.name));
    aliases.extend(by_provider);
    aliases
}
