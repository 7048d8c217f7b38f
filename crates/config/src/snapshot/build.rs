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
    Caching, ClientTimes, Defaults, ListedModel, OwnBatches, Similar, Snapshot, keys,
    targets::{self, Known, refused},
    telemetry,
};
use crate::{
    check::{Checked, DEFAULT_ORG, policy_input, policy_problem},
    document::{self, AuditClass, DefaultProvider, Document, Model, Moment, Share, Size, Time},
    identity::{Declared, StoredKey},
    node::join,
    pins::PinnedTool,
    problem::Problem,
    revision,
    vendor::Vendors,
};

/// The largest request body where nothing is set, in bytes.
const BODY_LIMIT: u64 = 32 << 20;
/// The most calls at the same time where nothing is set.
const CONCURRENT_LIMIT: u32 = 20_000;
/// The most bytes of answers that are kept for the same question, where nothing is set.
const CACHE_MEMORY: u64 = 64 << 20;
const CACHE_STORE: u64 = 1 << 30;
/// The least closeness of similar questions, where nothing is set.
const SIMILAR_ENOUGH: f32 = 0.95;
/// The most bytes of answers that are kept to be given again, where nothing is set.
const IDEMPOTENCY_MEMORY: u64 = 16 << 20;
/// How long a client may take where nothing is set.
const CLIENT_TIMES: ClientTimes =
    ClientTimes { headers: Duration::from_secs(15), body: Duration::from_secs(20), send: Duration::from_secs(60) };
/// The most lines of batches at the same time, bytes of one file, and of all, where nothing is set.
const BATCH_LINES: u32 = 8;
const BATCH_FILE: u64 = 200 << 20;
const BATCH_STORAGE: u64 = 10 << 30;
/// How long bodies, and files of batches, are kept where nothing is set.
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
    /// The tools that are pinned.
    pub pins: Vec<PinnedTool>,
}

pub(super) fn compile(checked: Checked, ingredients: &Ingredients<'_>) -> Result<Snapshot, Vec<Problem>> {
    let catalog = &match checked.prices.is_empty() {
        true => Arc::clone(&ingredients.catalog),
        false => Arc::new(ingredients.catalog.with(&checked.prices)),
    };
    let providers = targets::providers(&checked, ingredients.vendors)?;
    let routes = targets::routes(&checked.document, &providers, catalog)?;
    let servers = targets::servers(&checked)?;
    let one = |problem: Problem| vec![problem];
    let pins = known_pins(&checked.document, ingredients.pins.clone());
    let base = base(&checked.document, &checked.policy_files, catalog, &pins).map_err(one)?;
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
        idempotency_memory: number(document.limits.idempotency_memory.map_or(IDEMPOTENCY_MEMORY, |Size(size)| size)),
        cache_store: document.limits.cache_store.map_or(CACHE_STORE, |Size(size)| size),
        cache_memory: number(document.limits.cache_memory.map_or(CACHE_MEMORY, |Size(size)| size)),
        client_times: client_times(&document),
        batches: own_batches(&document),
        batches_keep: document.batches.keep.map_or(RETENTION, |Time(time)| time),
        telemetry: telemetry::collector(&document, &checked.secrets).map_err(one)?.map(Arc::new),
        ledger_rules: HashMap::new(),
        declared: declared(&document, &checked.secrets),
        shared: super::shared::SharedScope::all(&document),
        warnings: checked.warnings.into(),
        base,
        defaults: Arc::new(defaults(&document)),
        listed: listed(&routes, &providers, catalog).into(),
        routes: Arc::new(routes),
        caches: Arc::new(caches(&document)),
        providers: Arc::new(providers),
        servers: Arc::new(servers),
        team_rules: Arc::new(keys::teams(&document)),
        keys: Arc::default(),
        stored: Arc::from(Vec::new()),
        pins: pins.into(),
        without_guardrails: Arc::new(without_guardrails),
        policy_files: Arc::new(checked.policy_files),
        document: Arc::new(document),
    };
    keys::apply(snapshot, ingredients.stored.clone())
}

/// The same snapshot with its policies compiled against these pins, instead of those it knew.
pub(super) fn with_pins(mut snapshot: Snapshot, pins: Vec<PinnedTool>) -> Result<Snapshot, Vec<Problem>> {
    let pins = known_pins(&snapshot.document, pins);
    let input = policy_input(&snapshot.document, &snapshot.policy_files, &pins);
    let policies = tidegate_policy::compile(&input).map_err(|problems| {
        problems.into_iter().map(|from| policy_problem(from, &snapshot.policy_files)).collect::<Vec<_>>()
    })?;
    snapshot.base =
        base(&snapshot.document, &snapshot.policy_files, &snapshot.catalog, &pins).map_err(|problem| vec![problem])?;
    snapshot.policies = Arc::new(policies);
    snapshot.pins = pins.into();
    // The policies hold no key of the store any more, so none is to be taken out of them.
    let stored = std::mem::replace(&mut snapshot.stored, Arc::from(Vec::new()));
    keys::apply(snapshot, stored.to_vec())
}

/// The pins of the servers that the document names, one a tool, by server and tool.
fn known_pins(document: &Document, mut pins: Vec<PinnedTool>) -> Vec<PinnedTool> {
    pins.retain(|pin| document.mcp_servers.contains_key(pin.server.as_str()));
    pins.sort_by(|one, other| (&one.server, &one.name).cmp(&(&other.server, &other.name)));
    pins.dedup_by(|later, first| later.server == first.server && later.name == first.name);
    pins
}

fn base(
    document: &Document,
    policies: &[(String, String)],
    catalog: &Catalog,
    pins: &[PinnedTool],
) -> Result<Digest, Problem> {
    revision::base(document, policies, &catalog_digest(catalog), pins).map_err(|error| refused("", error))
}

/// What the catalogue says, in an order of its own.
fn catalog_digest(catalog: &Catalog) -> Digest {
    let mut lines: Vec<String> = catalog
        .models()
        .iter()
        .map(|info| {
            let limits = (info.max_input, info.max_output, info.capabilities);
            format!("{}/{} {:?} {limits:?}", info.provider, info.model, info.price)
        })
        .collect();
    lines.sort();
    Digest::of(lines.join("\n").as_bytes())
}

fn client_times(document: &Document) -> ClientTimes {
    let limits = &document.limits;
    let or = |written: Option<Time>, rule| written.map_or(rule, |Time(time)| time);
    ClientTimes {
        headers: or(limits.header_timeout, CLIENT_TIMES.headers),
        body: or(limits.body_timeout, CLIENT_TIMES.body),
        send: or(limits.send_timeout, CLIENT_TIMES.send),
    }
}

fn own_batches(document: &Document) -> Option<OwnBatches> {
    let written = &document.batches;
    written.own.then(|| OwnBatches {
        concurrent: usize::try_from(written.concurrent.unwrap_or(BATCH_LINES)).unwrap_or(usize::MAX),
        file: usize::try_from(written.file.map_or(BATCH_FILE, |Size(size)| size)).unwrap_or(usize::MAX),
        storage: written.storage.map_or(BATCH_STORAGE, |Size(size)| size),
    })
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

/// How the answers of models are given again, for those that say so.
fn caches(document: &Document) -> HashMap<Arc<str>, Caching> {
    let caching = |(name, model): (&String, &Model)| {
        let cache = model.cache.as_ref()?;
        let of = Digest::of(&serde_json::to_vec(model).unwrap_or_default());
        let similar = cache.similar.as_ref().and_then(similar);
        Some((
            Arc::from(name.as_str()),
            Caching { ttl: cache.ttl.0, share: cache.share, keep: cache.keep, of, similar },
        ))
    };
    document.models.iter().filter_map(caching).collect()
}

fn similar(written: &document::Similar) -> Option<Similar> {
    let by = written.by.targets().first().map(|target| Arc::from(target.name.as_str()))?;
    #[expect(clippy::cast_possible_truncation, reason = "a share needs no more than three digits")]
    let least = written.least.map_or(SIMILAR_ENOUGH, |Share(least)| least as f32);
    Some(Similar { by, least })
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
