//! LiteLLM's `config.yaml`.
//!
//! Owns what its models, router, budgets and keys become. Deployments of one name become one model; how the router
//! chooses among them becomes the model's route.

mod info;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Work,
    draft::{budget, fit, seconds},
    items, members, text,
};
use crate::node::join;

/// Deployments of one name: each with its target and weight.
#[derive(Default)]
struct Group {
    targets: Vec<(Value, u64)>,
    price: Option<Value>,
    timeout: Option<String>,
    max_output: Option<Value>,
}

/// Parameters of a deployment that go into the call.
const PARAMS: [&str; 7] =
    ["temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "reasoning_effort"];

pub(super) fn read(source: &Value, work: &mut Work<'_>) {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (at, model) in items(source.get("model_list")) {
        deployment(model, &format!("model_list[{at}]"), &mut groups, work);
    }
    let router = source.get("router_settings").unwrap_or(&Value::Null);
    let settings = source.get("litellm_settings").unwrap_or(&Value::Null);
    let strategy = strategy(router, work);
    let mut routes: BTreeMap<String, Value> =
        groups.iter().map(|(name, group)| (name.clone(), route(group, strategy))).collect();
    for (section, place) in [(router, "router_settings"), (settings, "litellm_settings")] {
        fallbacks(section, place, &mut routes, work);
    }
    let retry = retries(router, "router_settings", work).or(retries(settings, "litellm_settings", work));
    let timeout = timeouts(router, "router_settings", work).or(timeouts(settings, "litellm_settings", work));
    for (name, route) in routes {
        let group = groups.remove(&name).unwrap_or_default();
        let mut model = match route {
            Value::Object(fields) if fields.contains_key("fallback") => fields,
            other => Map::from_iter([("route".to_owned(), other)]),
        };
        if let Some(price) = group.price {
            model.insert("price".to_owned(), price);
        }
        if let Some(total) = group.timeout.or_else(|| timeout.clone()) {
            model.insert("timeouts".to_owned(), json!({ "total": total }));
        }
        if let Some(attempts) = &retry {
            model.insert("retry".to_owned(), json!({ "attempts": attempts }));
        }
        if let Some(most) = group.max_output {
            model.insert("max_output".to_owned(), most);
        }
        work.draft.models.insert(name, Value::Object(model));
    }
    budgets(router, "router_settings", work);
    general(source.get("general_settings"), work);
    said(settings, work);
    for (name, _) in members(source.get("environment_variables")) {
        let why = "set it in the environment of the process: a configuration here sets no variables";
        work.report.lost(&join("environment_variables", name), why);
    }
}

fn deployment(model: &Value, path: &str, groups: &mut BTreeMap<String, Group>, work: &mut Work<'_>) {
    let params = model.get("litellm_params").unwrap_or(&Value::Null);
    let at = join(path, "litellm_params");
    let (Some(name), Some(target)) = (text(model, "model_name"), text(params, "model")) else {
        work.report.lost(path, "a deployment needs `model_name` and `litellm_params.model`");
        return;
    };
    let named = text(params, "custom_llm_provider");
    let (kind, upstream) = match (named, target.split_once('/')) {
        (Some(kind), _) => (kind, target.strip_prefix(&format!("{kind}/")).unwrap_or(target)),
        (None, Some((kind, upstream))) => (kind, upstream),
        (None, None) if target.starts_with("claude") => ("anthropic", target),
        (None, None) => ("openai", target),
    };
    if named.is_some() {
        work.report.exact(&join(&at, "custom_llm_provider"), "providers");
    }
    let Some(vendor) = work.vendor(kind, upstream) else {
        work.report.lost(
            path,
            format!("the provider `{kind}` is not known here; a `type: openai` with its `base_url` may do"),
        );
        return;
    };
    let provider = provider(&vendor, params, &at, work);
    if name == "*" || name.ends_with("/*") || upstream == "*" {
        wildcard(name, &provider, path, &at, work);
        return;
    }
    let alias = fit(name);
    let to = join("models", &alias);
    work.report.exact(&join(&at, "model"), to.clone());
    if alias == name {
        work.report.exact(&join(path, "model_name"), to.clone());
    } else {
        work.report.near(
            &join(path, "model_name"),
            to.clone(),
            format!("called `{alias}`: a name has no `/` and the like"),
        );
    }
    let group = groups.entry(alias).or_default();
    let weight = params.get("weight").and_then(Value::as_u64);
    if weight.is_some() {
        work.report.exact(&join(&at, "weight"), to.clone());
    }
    let own: Map<String, Value> = members(Some(params))
        .filter(|(name, value)| PARAMS.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for name in own.keys() {
        work.report.near(&join(&at, name), to.clone(), "sent whatever the caller sends; there it was a default");
    }
    let name = json!(format!("{provider}/{upstream}"));
    let mut target = info::described(model, path, &to, work);
    if !own.is_empty() {
        target.insert("params".to_owned(), json!(own));
    }
    let target = if target.is_empty() {
        name
    } else {
        Value::Object([("target".to_owned(), name)].into_iter().chain(target).collect())
    };
    group.targets.push((target, weight.unwrap_or(1).max(1)));
    details(params, &at, model, path, group, &to, work);
}

/// What a deployment says besides where it is.
fn details(params: &Value, at: &str, model: &Value, path: &str, group: &mut Group, to: &str, work: &mut Work<'_>) {
    for name in ["timeout", "request_timeout", "stream_timeout"] {
        if let Some(total) = params.get(name).and_then(seconds) {
            work.report.near(
                &join(at, name),
                format!("{to}.timeouts"),
                "the clock of the whole call, for all its targets",
            );
            group.timeout.get_or_insert(total);
        }
    }
    for name in ["max_tokens", "max_completion_tokens"] {
        if let Some(most) = params.get(name).filter(|most| most.is_u64()) {
            work.report.near(
                &join(at, name),
                format!("{to}.max_output"),
                "taken where the caller sets no limit of its own",
            );
            group.max_output.get_or_insert_with(|| most.clone());
        }
    }
    for name in ["rpm", "tpm", "max_parallel_requests"] {
        if params.get(name).is_some() {
            let why = "limits are kept for keys, teams, models and providers, not for one deployment: see `budgets`";
            work.report.lost(&join(at, name), why);
        }
    }
    let info = model.get("model_info").unwrap_or(&Value::Null);
    let priced = |name: &str| params.get(name).or_else(|| info.get(name)).and_then(Value::as_f64);
    if let (Some(input), Some(output)) = (priced("input_cost_per_token"), priced("output_cost_per_token")) {
        let rate = |cost: f64| json!(format!("{} usd/mtok", trimmed(cost * 1_000_000.0)));
        group.price = Some(json!({ "input": rate(input), "output": rate(output) }));
        for name in ["input_cost_per_token", "output_cost_per_token"] {
            for (section, at) in [(params, at.to_owned()), (info, join(path, "model_info"))] {
                if section.get(name).is_some() {
                    work.report.exact(&join(&at, name), format!("{to}.price"));
                }
            }
        }
    }
    let others =
        |(name, value): &(&String, &Value)| !name.ends_with("_cost_per_token") && info::ours(name, value).is_none();
    for (name, _) in members(Some(info)).filter(others) {
        work.report
            .lost(&join(&join(path, "model_info"), name), "words about a model are not kept; the catalogue knows it");
    }
}

/// A decimal without the noise of binary fractions.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn wildcard(name: &str, provider: &str, path: &str, at: &str, work: &mut Work<'_>) {
    work.report.exact(&join(at, "model"), join("providers", provider));
    if name == "*" {
        work.draft.default_provider.get_or_insert_with(|| provider.to_owned());
        work.report.exact(&join(path, "model_name"), "default_provider");
    } else if name == format!("{provider}/*") {
        work.report.exact(&join(path, "model_name"), join("providers", provider));
    } else {
        let why = format!("every model of a provider is called `{provider}/MODEL`");
        work.report.near(&join(path, "model_name"), join("providers", provider), why);
    }
}

fn provider(vendor: &str, params: &Value, at: &str, work: &mut Work<'_>) -> String {
    let mut fields = Map::new();
    if let Some(key) = params.get("api_key") {
        let usual = work.usual_variable(vendor);
        if let Some(reference) = work.secret(&join(at, "api_key"), &join("providers", vendor), key, &usual) {
            fields.insert("key".to_owned(), reference);
        }
    }
    for (theirs, ours) in [
        ("api_version", "api_version"),
        ("vertex_project", "project"),
        ("vertex_location", "region"),
        ("aws_region_name", "region"),
        ("region_name", "region"),
        ("account_id", "account_id"),
    ] {
        let takes = work.vendors.get(vendor).is_some_and(|vendor| vendor.takes(ours));
        if let Some(value) = params.get(theirs).filter(|_| takes).and_then(setting) {
            work.report.exact(&join(at, theirs), format!("providers.{vendor}.{ours}"));
            fields.insert(ours.to_owned(), value);
        }
    }
    if let Some(base) = text(params, "api_base").or_else(|| text(params, "base_url")) {
        let path = join(at, if params.get("api_base").is_some() { "api_base" } else { "base_url" });
        address(vendor, base, &path, &mut fields, work);
    }
    if let Some(credentials) = params.get("vertex_credentials").and_then(Value::as_str) {
        let reference =
            credentials.strip_prefix("os.environ/").map_or(format!("file:{credentials}"), |name| format!("env:{name}"));
        work.report.exact(&join(at, "vertex_credentials"), format!("providers.{vendor}.credentials"));
        fields.insert("credentials".to_owned(), json!({ "service_account": reference }));
    }
    entra(vendor, params, at, &mut fields, work);
    work.complete(at, vendor, &mut fields);
    work.draft.provider(vendor, None, fields)
}

fn entra(vendor: &str, params: &Value, at: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    let (Some(tenant), Some(client)) = (text(params, "tenant_id"), text(params, "client_id")) else { return };
    let Some(secret) = params.get("client_secret") else { return };
    let to = format!("providers.{vendor}.credentials");
    let reference = work.secret(&join(at, "client_secret"), &to, secret, "AZURE_CLIENT_SECRET");
    for name in ["tenant_id", "client_id"] {
        work.report.exact(&join(at, name), to.clone());
    }
    fields.insert(
        "credentials".to_owned(),
        json!({ "tenant_id": tenant, "client_id": client, "client_secret": reference }),
    );
}

/// A setting: text, or a reference to it.
fn setting(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    Some(text.strip_prefix("os.environ/").map_or_else(|| json!(text), |name| json!(format!("env:{name}"))))
}

fn address(vendor: &str, base: &str, path: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    if base.starts_with("os.environ/") {
        let why = "an address is written as text: replace what stands there by the value of the variable";
        work.report.near(path, format!("providers.{vendor}.base_url"), why);
        fields.insert("base_url".to_owned(), json!("https://replace-me.example/v1"));
        return;
    }
    let base = base.trim_end_matches('/');
    let host = base.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
    let resource = host.strip_suffix(".openai.azure.com").or_else(|| host.strip_suffix(".services.ai.azure.com"));
    if let Some(resource) = resource.filter(|_| vendor.starts_with("azure")) {
        work.report.exact(path, format!("providers.{vendor}.resource"));
        fields.insert("resource".to_owned(), json!(resource));
        return;
    }
    let usual = work.vendors.get(vendor).and_then(|vendor| vendor.base_url.clone());
    if usual.as_deref() == Some(base) {
        work.report.exact(path, join("providers", vendor));
        return;
    }
    let url = match fields.remove("api_version").as_ref().and_then(Value::as_str) {
        Some(version) => format!("{base}/openai?api-version={version}"),
        None => base.to_owned(),
    };
    for name in ["resource", "project", "region", "account_id", "host"] {
        fields.remove(name);
    }
    work.report.exact(path, format!("providers.{vendor}.base_url"));
    fields.insert("base_url".to_owned(), json!(url));
}

fn strategy(router: &Value, work: &mut Work<'_>) -> &'static str {
    let path = "router_settings.routing_strategy";
    let (form, near) = match text(router, "routing_strategy") {
        None => return "weighted",
        Some("simple-shuffle") => ("weighted", None),
        Some("latency-based-routing") => ("least_latency", None),
        Some("least-busy") => ("least_busy", None),
        Some("cost-based-routing") => ("least_cost", None),
        Some(other) => {
            ("least_busy", Some(format!("`{other}` became `least_busy`: usage is not compared across deployments")))
        }
    };
    match near {
        None => work.report.exact(path, "models"),
        Some(why) => work.report.near(path, "models", why),
    }
    form
}

fn route(group: &Group, strategy: &str) -> Value {
    let targets: Vec<Value> = group.targets.iter().map(|(target, _)| target.clone()).collect();
    match (targets.as_slice(), strategy) {
        ([one], _) => json!({ "fallback": [one] }),
        (_, "weighted") if group.targets.iter().all(|(target, _)| target.is_string()) => {
            let mut weights = Map::new();
            for (target, weight) in &group.targets {
                let name = target.as_str().unwrap_or_default().to_owned();
                let sum = weights.get(&name).and_then(Value::as_u64).unwrap_or(0).saturating_add(*weight);
                weights.insert(name, json!(sum));
            }
            json!({ "weighted": weights })
        }
        (_, "weighted") => {
            let each = group.targets.iter().map(|(target, weight)| json!({ "use": target, "weight": weight }));
            json!({ "weighted": each.collect::<Vec<_>>() })
        }
        _ => json!({ strategy: targets }),
    }
}

fn fallbacks(section: &Value, place: &str, routes: &mut BTreeMap<String, Value>, work: &mut Work<'_>) {
    let path = join(place, "fallbacks");
    let aliases: Vec<String> = routes.keys().cloned().collect();
    let mut plans: Vec<(String, Vec<String>)> = Vec::new();
    for (at, plan) in items(section.get("fallbacks")) {
        for (from, to) in members(Some(plan)) {
            let others: Vec<String> = items(Some(to)).filter_map(|(_, name)| name.as_str()).map(fit).collect();
            let (known, unknown): (Vec<_>, Vec<_>) = others.into_iter().partition(|name| aliases.contains(name));
            let at = join(&format!("{path}[{at}]"), from);
            if !aliases.contains(&fit(from)) {
                work.report.lost(&at, format!("`{from}` is no model of `model_list`"));
                continue;
            }
            match unknown.is_empty() {
                true => work.report.exact(&at, join("models", &fit(from))),
                false => work.report.near(
                    &at,
                    join("models", &fit(from)),
                    format!("without {}: no such model", unknown.join(", ")),
                ),
            }
            plans.push((fit(from), known));
        }
    }
    let default: Vec<String> = items(section.get("default_fallbacks"))
        .filter_map(|(_, name)| name.as_str())
        .map(fit)
        .filter(|name| aliases.contains(name))
        .collect();
    if section.get("default_fallbacks").is_some() {
        work.report.near(
            &join(place, "default_fallbacks"),
            "models",
            "written at the end of every model that has no fallbacks of its own",
        );
        for alias in aliases.iter().filter(|alias| !default.contains(alias)) {
            if !plans.iter().any(|(from, _)| from == alias) {
                plans.push((alias.clone(), default.clone()));
            }
        }
    }
    let before = routes.clone();
    for (from, others) in plans {
        let first = before.get(&from).cloned().unwrap_or_default();
        let mut list = match first {
            Value::Object(mut fields) if fields.contains_key("fallback") => {
                fields.remove("fallback").and_then(|list| list.as_array().cloned()).unwrap_or_default()
            }
            other => vec![other],
        };
        // What another model stands for, and not its name: two that name each other would be a circle.
        list.extend(others.iter().filter_map(|name| before.get(name)).map(|route| match route {
            Value::Object(fields) => match fields.get("fallback").and_then(Value::as_array).map(Vec::as_slice) {
                Some([one]) => one.clone(),
                _ => route.clone(),
            },
            other => other.clone(),
        }));
        routes.insert(from, json!({ "fallback": list }));
    }
    for name in ["context_window_fallbacks", "content_policy_fallbacks"] {
        if section.get(name).is_some() {
            work.report
                .lost(&join(place, name), "a fallback is taken where a target fails, not by what its answer says");
        }
    }
}

fn retries(section: &Value, place: &str, work: &mut Work<'_>) -> Option<u64> {
    let retries = section.get("num_retries")?.as_u64()?;
    let attempts = retries.saturating_add(1).clamp(1, 10);
    work.report.near(
        &join(place, "num_retries"),
        "models",
        format!("{attempts} attempts at one target, the first included"),
    );
    Some(attempts)
}

fn timeouts(section: &Value, place: &str, work: &mut Work<'_>) -> Option<String> {
    let name = ["timeout", "request_timeout"].into_iter().find(|name| section.get(*name).is_some())?;
    let total = seconds(section.get(name)?)?;
    work.report.exact(&join(place, name), "models");
    Some(total)
}

/// Budgets by provider.
fn budgets(router: &Value, place: &str, work: &mut Work<'_>) {
    let path = join(place, "provider_budget_config");
    for (name, config) in members(router.get("provider_budget_config")) {
        let at = join(&path, name);
        let vendor = work.vendor(name, "");
        let provider = vendor.filter(|vendor| work.draft.providers.contains_key(vendor));
        let period = text(config, "time_period");
        let amount = config.get("budget_limit").and_then(|amount| budget(amount, period));
        match (provider, amount) {
            (Some(provider), Some((amount, why))) => {
                let to = join("budgets", &provider);
                work.draft
                    .budgets
                    .insert(provider.clone(), json!({ "scope": { "provider": provider }, "budget": amount }));
                match why {
                    None => work.report.exact(&at, to),
                    Some(why) => work.report.near(&at, to, why),
                }
            }
            _ => work.report.lost(&at, "no provider of this configuration, or no amount"),
        }
    }
}

fn general(settings: Option<&Value>, work: &mut Work<'_>) {
    for (name, value) in members(settings) {
        let path = join("general_settings", name);
        match name.as_str() {
            "master_key" => {
                if let Some(reference) = work.secret(&path, "keys.master", value, "LITELLM_MASTER_KEY") {
                    work.draft
                        .keys
                        .insert("master".to_owned(), json!({ "secret": reference, "allow": { "models": "*" } }));
                    let why = "a key that may call every model; the control plane has a token of its own in the data directory";
                    work.report.near(&path, "keys.master", why);
                }
            }
            "database_url" => {
                work.report.lost(&path, "state is kept in the data directory; keys in that database are issued anew")
            }
            "alerting" | "alerting_threshold" | "alert_types" => {
                work.report.lost(&path, "alerts are made from `/metrics` or telemetry")
            }
            _ => {}
        }
    }
}

fn said(settings: &Value, work: &mut Work<'_>) {
    for (name, _) in members(Some(settings)) {
        let path = join("litellm_settings", name);
        match name.as_str() {
            "drop_params" => {
                work.report.near(&path, "", "always so: what a target refuses stays behind, and is told as a loss")
            }
            "success_callback" | "failure_callback" | "callbacks" | "service_callback" => {
                work.report.lost(&path, "write `telemetry: { otlp: … }`: what is told goes over OpenTelemetry");
            }
            "cache" | "cache_params" => work
                .report
                .lost(&path, "write `cache: { ttl: 10m }` at the models that are to answer again: none does by itself"),
            "max_budget" | "budget_duration" => {
                work.report.lost(&path, "write a budget for keys or teams: there is none for everybody")
            }
            _ => {}
        }
    }
}
