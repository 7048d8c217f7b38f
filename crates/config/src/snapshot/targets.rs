//! Providers, targets, routes and MCP servers, made from what is written.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_core::{
    capability::{Capabilities, Capability},
    ids::{ProviderName, ServerName, TargetId, ToolName},
    secret::Secret,
    unit::{Unit, Word},
};
use tidegate_ledger::{Catalog, Gapped, PictureRate, Price, UnitPrices, price::units::parse_per_unit};
use tidegate_policy::Condition;
use tidegate_protocol::llm::{Dialect, Params};
use tidegate_upstream::{
    Auth, BreakerPolicy, Destination, McpServer, Paths, Provider, RetryPolicy, Route, StickyBy, Target, Timeouts,
    address::{self, AddressError},
    mcp::Program,
};

use crate::{
    check::{Checked, SIM_SERVER},
    codes,
    document::{self, Document, Headers, Model, Time},
    node::join,
    problem::Problem,
    reference::Reference,
    vendor::{Variable, Vendor, Vendors},
};

/// A provider, and the type under which the catalogue knows its models.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) provider: Arc<Provider>,
    pub(super) kind: String,
}

/// What a model's entry says about its targets; the entry nearest to a target counts.
#[derive(Debug, Clone, Default)]
struct Settings {
    price: Option<Price>,
    retry: Option<RetryPolicy>,
    timeouts: Option<Timeouts>,
    max_output: Option<u64>,
    max_input: Option<u64>,
    capabilities: Capabilities,
    hedge: Option<Duration>,
    params: Params,
}

impl Settings {
    fn of(model: &Model) -> Self {
        Self {
            price: model.price.as_ref().map(price_of),
            retry: model.retry.as_ref().map(retry_of),
            timeouts: model.timeouts.as_ref().map(timeouts_of),
            max_output: model.max_output,
            max_input: model.max_input,
            capabilities: model.capabilities.as_ref().map(capabilities_of).unwrap_or_default(),
            hedge: model.hedge.map(|Time(hedge)| hedge),
            params: Params::default(),
        }
    }

    /// These, and where they say nothing, those around them.
    fn within(self, outer: &Self) -> Self {
        Self {
            price: self.price.or_else(|| outer.price.clone()),
            retry: self.retry.or_else(|| outer.retry.clone()),
            timeouts: self.timeouts.or(outer.timeouts),
            max_output: self.max_output.or(outer.max_output),
            max_input: self.max_input.or(outer.max_input),
            capabilities: self.capabilities.over(outer.capabilities),
            hedge: self.hedge.or(outer.hedge),
            params: if self.params.is_empty() { outer.params.clone() } else { self.params },
        }
    }
}

impl Known {
    /// A model of this provider as the catalogue has it.
    pub(super) fn target(&self, model: &str, catalog: &Catalog) -> Target {
        self.target_with(model, catalog, &Settings::default())
    }

    fn target_with(&self, model: &str, catalog: &Catalog, settings: &Settings) -> Target {
        let info = catalog.lookup(&self.kind, model);
        Target {
            id: TargetId { provider: self.provider.name.clone(), model: Arc::from(model) },
            provider: Arc::clone(&self.provider),
            price: match (&settings.price, info) {
                (Some(own), Some(info)) => {
                    Some(Price { units: own.units.clone().with_fees(&info.price.units), ..own.clone() })
                }
                (own, info) => own.clone().or_else(|| info.map(|info| info.price.clone())),
            },
            max_output: settings.max_output.or_else(|| info.and_then(|info| info.max_output)),
            max_input: settings.max_input.or_else(|| info.and_then(|info| info.max_input)),
            capabilities: settings.capabilities.over(info.map(|info| info.capabilities).unwrap_or_default()),
            timeouts: settings.timeouts.unwrap_or_default(),
            retry: settings.retry.clone().unwrap_or_default(),
            breaker: BreakerPolicy::default(),
            hedge: settings.hedge,
            params: settings.params.clone(),
        }
    }
}

/// A part of the gateway refused what `check` let pass.
pub(super) fn refused(path: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(codes::INTERNAL, None, path, why.to_string())
        .hint("this is a fault of tidegate: please report it with the configuration, without its secrets")
}

pub(super) fn providers(
    checked: &Checked,
    vendors: &Vendors,
) -> Result<BTreeMap<ProviderName, Arc<Known>>, Vec<Problem>> {
    let mut known = BTreeMap::new();
    for (name, written) in &checked.document.providers {
        let path = join("providers", name);
        let kind = written.r#type.as_deref().unwrap_or(name);
        let vendor = vendors.get(kind).ok_or_else(|| vec![refused(&path, format!("no type `{kind}`"))])?;
        let provider = provider(name, written, vendor, checked).map_err(|problem| vec![problem])?;
        known.insert(
            ProviderName::from(name.as_str()),
            Arc::new(Known { provider: Arc::new(provider), kind: kind.to_owned() }),
        );
    }
    Ok(known)
}

fn provider(name: &str, written: &document::Provider, vendor: &Vendor, checked: &Checked) -> Result<Provider, Problem> {
    let path = join("providers", name);
    let url = match &written.base_url {
        Some(url) => Some(url.clone()),
        None => usual_address(&path, written, vendor, checked)?,
    };
    let base = match url {
        Some(url) if !vendor.is_sim() => destination(&url, &path)?,
        _ => Destination::Sim,
    };
    // An address of one's own is all that there is.
    let rerank = vendor.rerank_url.as_ref().filter(|_| written.base_url.is_none());
    let rerank = rerank.map(|url| destination(url, &path)).transpose()?;
    let auth = super::credentials::auth(name, written, vendor, checked)?;
    let mut headers = HeaderMap::new();
    for (header, value) in &vendor.headers {
        add_header(&mut headers, header, value, false).map_err(|why| refused(&path, why))?;
    }
    add_headers(&mut headers, &join(&path, "headers"), &written.headers, &checked.secrets)?;
    let api_call = written.api_call.map(|document::Amount(amount)| amount);
    let (dialect, also) = match written.dialect.as_deref().and_then(Dialect::parse) {
        Some(only) => (only, Vec::new()),
        None => (vendor.dialect, vendor.also.clone()),
    };
    // A vendor's own paths are those of its first dialect.
    let paths = if dialect == vendor.dialect { vendor.paths.clone() } else { Paths::default() };
    let (quirks, realtime) = (vendor.quirks, vendor.realtime);
    let name = name.into();
    Ok(Provider { name, dialect, also, base, rerank, paths, auth, quirks, headers, realtime, api_call })
}

/// The vendor's own address, with what has to be known of the account.
fn usual_address(
    path: &str,
    written: &document::Provider,
    vendor: &Vendor,
    checked: &Checked,
) -> Result<Option<String>, Problem> {
    let value = |variable: &Variable| {
        let known = checked.secrets.get(&join(path, &variable.name)).map(|value| value.expose().to_owned());
        let literal = written.setting(&variable.name).filter(|text| Reference::parse(text).is_err());
        known.or_else(|| literal.map(str::to_owned))
    };
    vendor.address(&value).map_err(|variable| {
        let message = format!("the address needs a `{}`: {}", variable.name, variable.what);
        let hint = format!("add for example `{}: {}`", variable.name, variable.example);
        Problem::new(codes::NO_SETTING, None, path, message).hint(hint)
    })
}

pub(super) fn destination(url: &str, path: &str) -> Result<Destination, Problem> {
    destination_of(url).map_err(|error| refused(path, error))
}

/// Where a URL of the configuration leads: inside only where its host is named for it.
///
/// # Errors
/// Where it is no URL that anything is sent to.
pub fn destination_of(url: &str) -> Result<Destination, AddressError> {
    let parsed = address::parse_destination(url)?;
    Destination::http(url, parsed.host_str().is_some_and(private_host))
}

/// Whether a host that the configuration names may stand on loopback or a private network: an address of such, or a
/// name that no public zone has. A public name that turns out to lead inside is refused when it is connected to.
#[must_use]
pub fn private_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        return address::check_address(address, true).is_ok() && address::check_address(address, false).is_err();
    }
    let suffixes = [".localhost", ".internal", ".local", ".lan", ".intranet", ".home.arpa", ".svc", ".test"];
    !host.contains('.') || suffixes.iter().any(|suffix| host.ends_with(suffix))
}

pub(super) fn add_headers(
    headers: &mut HeaderMap,
    path: &str,
    written: &Headers,
    secrets: &HashMap<String, Secret>,
) -> Result<(), Problem> {
    for (name, value) in written {
        let at = join(path, name);
        match secrets.get(&at) {
            Some(secret) => add_header(headers, name, secret.expose(), true),
            // A reference that a warning says leads nowhere.
            None if crate::reference::Reference::parse(value).is_ok() => Ok(()),
            None => add_header(headers, name, value, false),
        }
        .map_err(|why| {
            Problem::new(codes::BAD_HEADER, None, at.as_str(), why)
                .hint("check what the reference leads to: it must be one line of visible characters")
        })?;
    }
    Ok(())
}

pub(super) fn add_header(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    sensitive: bool,
) -> Result<(), &'static str> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the header's name cannot be sent")?;
    let mut value = HeaderValue::from_str(value).map_err(|_| "the header's value cannot be sent")?;
    value.set_sensitive(sensitive);
    headers.insert(name, value);
    Ok(())
}

/// The routes of every alias.
pub(super) fn routes(
    document: &Document,
    providers: &BTreeMap<ProviderName, Arc<Known>>,
    catalog: &Catalog,
) -> Result<HashMap<Arc<str>, Arc<Route>>, Vec<Problem>> {
    let builder = Routes { document, providers, catalog };
    let mut routes = HashMap::new();
    for (name, model) in &document.models {
        let route = builder
            .alias(model, &Settings::default(), 0)
            .ok_or_else(|| vec![refused(&join("models", name), "its route leads nowhere")])?;
        routes.insert(Arc::from(name.as_str()), Arc::new(route));
    }
    Ok(routes)
}

struct Routes<'a> {
    document: &'a Document,
    providers: &'a BTreeMap<ProviderName, Arc<Known>>,
    catalog: &'a Catalog,
}

impl Routes<'_> {
    fn alias(&self, model: &Model, outer: &Settings, depth: usize) -> Option<Route> {
        let settings = Settings::of(model).within(outer);
        self.route(&model.route, &settings, depth.saturating_add(1))
    }

    fn route(&self, route: &document::Route, settings: &Settings, depth: usize) -> Option<Route> {
        if depth > 64 {
            return None;
        }
        let all = |routes: &[document::Route]| -> Option<Vec<Route>> {
            routes.iter().map(|route| self.route(route, settings, depth.saturating_add(1))).collect()
        };
        match route {
            document::Route::LeastLatency(routes) => all(routes).map(Route::LeastLatency),
            document::Route::LeastBusy(routes) => all(routes).map(Route::LeastBusy),
            document::Route::LeastCost(routes) => all(routes).map(Route::LeastCost),
            document::Route::Sticky(sticky) => {
                let by = match sticky.by.as_deref() {
                    None | Some("session") => StickyBy::Session,
                    Some("key") => StickyBy::Key,
                    Some(name) => StickyBy::Metadata(Arc::from(name.strip_prefix("metadata.")?)),
                };
                all(&sticky.r#use).map(|routes| Route::Sticky(by, routes))
            }
            document::Route::When(cases, otherwise) => {
                let deeper = depth.saturating_add(1);
                let case = |case: &document::Case| {
                    let condition = Arc::new(Condition::parse(&case.r#if).ok()?);
                    Some((condition, self.route(&case.r#use, settings, deeper)?))
                };
                let cases: Option<Vec<_>> = cases.iter().map(case).collect();
                Some(Route::When(cases?, Box::new(self.route(otherwise, settings, deeper)?)))
            }
            document::Route::Tuned(target, tuning) => {
                let members = tuning.params.0.iter().map(|(name, value)| (name.clone(), value.clone()));
                let own = Settings {
                    params: Params::new(members).ok()?,
                    max_output: tuning.max_output,
                    max_input: tuning.max_input,
                    capabilities: tuning.capabilities.as_ref().map(capabilities_of).unwrap_or_default(),
                    ..Settings::default()
                };
                let target = document::Route::Target(target.clone());
                self.route(&target, &own.within(settings), depth.saturating_add(1))
            }
            document::Route::Target(target) => match target.name.split_once('/') {
                Some((provider, model)) => {
                    let known = self.providers.get(provider)?;
                    Some(Route::Target(Arc::new(known.target_with(model, self.catalog, settings))))
                }
                None => self.alias(self.document.models.get(&target.name)?, settings, depth),
            },
            document::Route::Fallback(routes) => {
                let routes: Option<Vec<_>> =
                    routes.iter().map(|route| self.route(route, settings, depth.saturating_add(1))).collect();
                routes.map(Route::Fallback)
            }
            document::Route::Weighted(routes) => {
                let routes: Option<Vec<_>> = routes
                    .iter()
                    .map(|(route, weight)| Some((*weight, self.route(route, settings, depth.saturating_add(1))?)))
                    .collect();
                routes.map(Route::Weighted)
            }
        }
    }
}

/// The MCP servers.
pub(super) fn servers(checked: &Checked) -> Result<BTreeMap<ServerName, Arc<McpServer>>, Vec<Problem>> {
    let mut servers = BTreeMap::new();
    for (name, written) in &checked.document.mcp_servers {
        let server = server(name, written, checked).map_err(|problem| vec![problem])?;
        servers.insert(ServerName::from(name.as_str()), Arc::new(server));
    }
    Ok(servers)
}

fn program(path: &str, written: &document::McpServer, checked: &Checked) -> Program {
    let env = join(path, "env");
    let variables = written.env.iter().filter_map(|(name, value)| {
        let value = match checked.secrets.get(&join(&env, name)) {
            Some(secret) => secret.clone(),
            // A reference that a warning says leads nowhere.
            None if crate::reference::Reference::parse(value).is_ok() => return None,
            None => Secret::new(value.clone()),
        };
        Some((name.clone(), value))
    });
    Program::new(written.command.clone(), written.cwd.clone().map(Into::into), variables.collect())
}

fn server(name: &str, written: &document::McpServer, checked: &Checked) -> Result<McpServer, Problem> {
    let path = join("mcp_servers", name);
    let mut headers = HeaderMap::new();
    add_headers(&mut headers, &join(&path, "headers"), &written.headers, &checked.secrets)?;
    let base = match written.url.as_deref() {
        Some(SIM_SERVER) => Destination::Sim,
        Some(url) => destination(url, &path)?,
        None => Destination::Program(Arc::new(program(&path, written, checked))),
    };
    let auth = checked.secrets.get(&join(&path, "key")).map_or(Auth::None, |secret| Auth::Bearer(secret.clone()));
    Ok(McpServer {
        name: name.into(),
        base,
        auth,
        headers,
        timeouts: written.timeouts.as_ref().map(timeouts_of).unwrap_or_default(),
        retry: written.retry.as_ref().map(retry_of).unwrap_or_default(),
        breaker: BreakerPolicy::default(),
        tools: written.tools.as_ref().map(|tools| tools.iter().map(|tool| ToolName::from(tool.as_str())).collect()),
        idempotent: written
            .tool_settings
            .iter()
            .filter(|(_, settings)| settings.idempotent)
            .map(|(tool, _)| (ToolName::from(tool.as_str()), true))
            .collect(),
    })
}

fn price_of(price: &document::Price) -> Price {
    let own = |class: Option<document::TokenPrice>| class.map(|document::TokenPrice(amount)| amount);
    let rates = Gapped {
        input: own(price.input).unwrap_or_default(),
        output: own(price.output).unwrap_or_default(),
        cache_read: own(price.cache_read),
        cache_write_5m: own(price.cache_write_5m),
        cache_write_1h: own(price.cache_write_1h),
        ..Gapped::default()
    };
    let mut units = UnitPrices::default();
    for (name, written) in &price.units {
        // What is no unit, or no price of it, does not pass `check`.
        if let Some(unit) = Unit::named(name)
            && let Ok(rate) = parse_per_unit(unit, &written.0)
        {
            units.set(unit, rate);
        }
    }
    for sort in &price.pictures {
        let word = |text: &Option<String>| Word::new(text.as_deref().unwrap_or_default());
        if let Ok(rate) = parse_per_unit(Unit::Image, &sort.price.0) {
            units.picture(PictureRate { size: word(&sort.size), quality: word(&sort.quality), rate });
        }
    }
    Price { by_tokens: price.input.is_some(), units, ..Price::configured(rates.filled()) }
}

fn capabilities_of(written: &document::Capabilities) -> Capabilities {
    let said = [
        (Capability::Vision, written.vision),
        (Capability::Audio, written.audio),
        (Capability::Documents, written.documents),
        (Capability::Tools, written.tools),
        (Capability::StructuredOutput, written.structured_output),
        (Capability::Reasoning, written.reasoning),
    ];
    let mut capabilities = Capabilities::default();
    for (capability, has) in said {
        if let Some(has) = has {
            capabilities.set(capability, has);
        }
    }
    capabilities
}

fn retry_of(retry: &document::Retry) -> RetryPolicy {
    let rule = RetryPolicy::default();
    RetryPolicy {
        attempts: retry.attempts.unwrap_or(rule.attempts),
        on: retry.on.clone().unwrap_or_else(|| rule.on.clone()),
        ..rule
    }
}

fn timeouts_of(timeouts: &document::Timeouts) -> Timeouts {
    let rule = Timeouts::default();
    let or = |clock: Option<document::Time>, rule| clock.map_or(rule, |document::Time(clock)| clock);
    let total = or(timeouts.total, rule.total);
    Timeouts {
        // A clock that was not set never outlasts a `total` that was.
        connect: or(timeouts.connect, rule.connect.min(total)),
        first_event: or(timeouts.first_event, rule.first_event.min(total)),
        between_events: or(timeouts.between_events, rule.between_events.min(total)),
        total,
    }
}
