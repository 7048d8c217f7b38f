//! A Portkey config: strategies over targets, nested as deep as they are.
//!
//! Owns what strategies, conditions and virtual keys become. A target that takes the model from the caller has no place
//! in a route here, where targets name theirs; its provider is kept. Called by `import`.

use serde_json::{Map, Value, json};

use super::{
    Work,
    draft::{fit, seconds, variable},
    items, members, text,
};
use crate::node::join;

/// The name of the model that the config becomes.
const ALIAS: &str = "default";
/// How deep strategies may stand in each other.
const DEEPEST: usize = 16;

/// What a config and those around it say of the call.
#[derive(Clone, Default)]
struct Settings {
    provider: Option<String>,
    model: Option<String>,
}

pub(super) fn read(source: &Value, work: &mut Work<'_>) {
    // Exports wrap the config, with its name.
    let (config, path) = match source.get("config").filter(|config| config.is_object()) {
        Some(config) => (config, "config"),
        None => (source, ""),
    };
    let alias = text(source, "name").or_else(|| text(source, "slug")).map_or_else(|| ALIAS.to_owned(), fit);
    for name in ["name", "slug"] {
        if source.get(name).is_some() && path == "config" {
            work.report.exact(name, join("models", &alias));
        }
    }
    let route = route(config, path, &Settings::default(), 0, work);
    whole(config, path, &alias, work);
    if let Some(route) = route {
        let mut model = match route {
            Value::Object(fields) if fields.contains_key("fallback") => fields,
            other => Map::from_iter([("route".to_owned(), other)]),
        };
        if let Some(retry) = retry(config, path, work) {
            model.insert("retry".to_owned(), retry);
        }
        let timeout = config.get("request_timeout").and_then(Value::as_f64);
        if let Some(total) = timeout.and_then(|ms| seconds(&json!(ms / 1_000.0))) {
            work.report.near(
                &join(path, "request_timeout"),
                format!("models.{alias}.timeouts"),
                "the clock of the whole call, retries included",
            );
            model.insert("timeouts".to_owned(), json!({ "total": total }));
        }
        if let Some(cache) = cache(config, path, &alias, work) {
            model.insert("cache".to_owned(), cache);
        }
        work.draft.models.insert(alias, Value::Object(model));
    }
}

/// How long answers are kept where the file does not say, in seconds: a week.
const KEPT: f64 = 604_800.0;

fn cache(config: &Value, path: &str, alias: &str, work: &mut Work<'_>) -> Option<Value> {
    let cache = config.get("cache")?;
    let mode = cache.as_str().or_else(|| text(cache, "mode"))?;
    let why = if mode == "semantic" {
        "for the very same question of the same key; one that only means the same is asked"
    } else {
        "for the same key; `share: team` or `org` in it says otherwise"
    };
    work.report.near(&join(path, "cache"), format!("models.{alias}.cache"), why);
    let ttl = cache.get("max_age").and_then(Value::as_f64).unwrap_or(KEPT);
    Some(json!({ "ttl": seconds(&json!(ttl))? }))
}

/// What holds for a config as a whole.
fn whole(config: &Value, path: &str, alias: &str, work: &mut Work<'_>) {
    let dropped = [
        ("before_request_hooks", "write what they look for as `guardrails`"),
        ("after_request_hooks", "write what they look for as `guardrails`"),
        ("input_guardrails", "write what they look for as `guardrails`"),
        ("output_guardrails", "write what they look for as `guardrails`"),
        ("forward_headers", "which headers pass is a list of the gateway's own"),
    ];
    for (name, why) in dropped {
        if config.get(name).is_some() {
            work.report.lost(&join(path, name), why);
        }
    }
    if config.get("strict_open_ai_compliance").is_some() {
        work.report.near(
            &join(path, "strict_open_ai_compliance"),
            join("models", alias),
            "answers always have the caller's dialect",
        );
    }
}

fn retry(config: &Value, path: &str, work: &mut Work<'_>) -> Option<Value> {
    let retry = config.get("retry")?;
    let at = join(path, "retry");
    let attempts = retry.get("attempts")?.as_u64()?.saturating_add(1).clamp(1, 10);
    work.report.near(
        &join(&at, "attempts"),
        "models",
        format!("{attempts} attempts at one target, the first included"),
    );
    let mut out = Map::from_iter([("attempts".to_owned(), json!(attempts))]);
    let codes: Vec<u64> = items(retry.get("on_status_codes")).filter_map(|(_, code)| code.as_u64()).collect();
    let good: Vec<u64> = codes.iter().copied().filter(|code| matches!(code, 408 | 409 | 429 | 500..=599)).collect();
    if !codes.is_empty() {
        if good.len() == codes.len() {
            work.report.exact(&join(&at, "on_status_codes"), "models");
        } else {
            work.report.near(&join(&at, "on_status_codes"), "models", "only 408, 409, 429 and 5xx are tried again");
        }
        if !good.is_empty() {
            out.insert("on".to_owned(), json!(good));
        }
    }
    if retry.get("use_retry_after_header").is_some() {
        work.report.near(&join(&at, "use_retry_after_header"), "models", "always kept to, up to 60 s");
    }
    Some(Value::Object(out))
}

fn route(config: &Value, path: &str, outer: &Settings, depth: usize, work: &mut Work<'_>) -> Option<Value> {
    if depth > DEEPEST {
        work.report.lost(path, "strategies stand too deep in each other");
        return None;
    }
    let settings = settings(config, path, outer, work);
    let Some(list) = config.get("targets").and_then(Value::as_array) else { return leaf(&settings, path, work) };
    let strategy = config.get("strategy").unwrap_or(&Value::Null);
    let at = join(path, "strategy");
    let mode = text(strategy, "mode").unwrap_or("single");
    let mut routes: Vec<(Option<&str>, Value, u64)> = Vec::new();
    for (index, target) in list.iter().enumerate() {
        let place = format!("{}[{index}]", join(path, "targets"));
        if depth > 0 || list.len() > 1 {
            inner(target, &place, work);
        }
        let weight = weight(target, &place, work);
        if let Some(route) = route(target, &place, &settings, depth.saturating_add(1), work) {
            routes.push((text(target, "name"), route, weight));
        }
        if target.get("name").is_some() {
            work.report.exact(&join(&place, "name"), "models");
        }
    }
    if routes.is_empty() {
        return None;
    }
    if strategy.get("on_status_codes").is_some() {
        let why = "what goes on to the next target is fixed: failures, 401, 403, 404, 408, 429 and 5xx";
        work.report.near(&join(&at, "on_status_codes"), "models", why);
    }
    let all: Vec<Value> = routes.iter().map(|(_, route, _)| route.clone()).collect();
    let mode_path = join(&at, "mode");
    match mode {
        "conditional" => conditional(strategy, &at, &routes, work),
        "loadbalance" => {
            let simple = routes.iter().all(|(_, route, _)| route.is_string());
            work.report.exact(&mode_path, "models");
            if simple {
                let weights: Map<String, Value> = routes
                    .iter()
                    .filter_map(|(_, route, weight)| Some((route.as_str()?.to_owned(), json!(weight))))
                    .collect();
                return Some(json!({ "weighted": weights }));
            }
            work.report.near(
                &mode_path,
                "models",
                "targets that are routes themselves take turns by load: weights name single targets",
            );
            Some(json!({ "least_busy": all }))
        }
        "fallback" => {
            work.report.exact(&mode_path, "models");
            Some(json!({ "fallback": all }))
        }
        "single" => {
            if strategy.get("mode").is_some() {
                work.report.exact(&mode_path, "models");
            }
            Some(json!({ "fallback": all.into_iter().take(1).collect::<Vec<_>>() }))
        }
        other => {
            work.report.near(&mode_path, "models", format!("`{other}` is not known here: the first that works"));
            Some(json!({ "fallback": all }))
        }
    }
}

/// What a target says that only a model can say here.
fn inner(target: &Value, place: &str, work: &mut Work<'_>) {
    for name in ["retry", "request_timeout", "cache"] {
        if target.get(name).is_some() {
            work.report.lost(&join(place, name), "said of one target: here it holds for a model with all its targets");
        }
    }
}

fn weight(target: &Value, place: &str, work: &mut Work<'_>) -> u64 {
    let Some(weight) = target.get("weight").and_then(Value::as_f64) else { return 1 };
    let path = join(place, "weight");
    if weight.fract() == 0.0 {
        work.report.exact(&path, "models");
    } else {
        work.report.near(&path, "models", "written as a whole number, in hundredths");
    }
    // Weights of both kinds may stand beside each other, so all are hundredths.
    let text = format!("{:.0}", (weight * 100.0).clamp(0.0, 1_000_000.0));
    text.parse().unwrap_or(1)
}

fn conditional(
    strategy: &Value,
    at: &str,
    routes: &[(Option<&str>, Value, u64)],
    work: &mut Work<'_>,
) -> Option<Value> {
    let find = |name: &str| routes.iter().find(|(known, ..)| *known == Some(name)).map(|(_, route, _)| route.clone());
    work.report.exact(&join(at, "mode"), "models");
    let mut cases = Vec::new();
    for (index, condition) in items(strategy.get("conditions")) {
        let place = format!("{}[{index}]", join(at, "conditions"));
        let then = text(condition, "then").and_then(find);
        let query = condition.get("query").and_then(query);
        match (then, query) {
            (Some(then), Some(query)) => {
                work.report.exact(&place, "models");
                cases.push(json!({ "if": query, "use": then }));
            }
            (None, _) => work.report.lost(&place, "the target that it leads to is not there"),
            (_, None) => work
                .report
                .lost(&place, "only `$eq`, `$ne`, `$in`, `$nin`, `$and` and `$or` over `metadata.…` can be said here"),
        }
    }
    let default = text(strategy, "default").and_then(find);
    if strategy.get("default").is_some() {
        work.report.exact(&join(at, "default"), "models");
    }
    let otherwise = default.or_else(|| routes.first().map(|(_, route, _)| route.clone()))?;
    if cases.is_empty() {
        Some(json!({ "fallback": [otherwise] }))
    } else {
        Some(json!({ "when": cases, "else": otherwise }))
    }
}

/// A query over metadata as a Cedar expression.
fn query(query: &Value) -> Option<String> {
    let mut all = Vec::new();
    for (name, value) in query.as_object()? {
        let joined = |list: &Value, by: &str| -> Option<String> {
            let parts: Option<Vec<String>> = list.as_array()?.iter().map(self::query).collect();
            Some(format!("({})", parts?.join(by)))
        };
        match name.as_str() {
            "$and" => all.push(joined(value, " && ")?),
            "$or" => all.push(joined(value, " || ")?),
            name => all.push(compare(name.strip_prefix("metadata.")?, value)?),
        }
    }
    (!all.is_empty()).then(|| all.join(" && "))
}

fn compare(name: &str, value: &Value) -> Option<String> {
    let has = |value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return None,
        };
        let pair = format!("{name}={text}");
        let plain = pair.chars().all(|letter| !letter.is_control() && !matches!(letter, '"' | '\\'));
        plain.then(|| format!("context.request.metadata.contains(\"{pair}\")"))
    };
    let any = |list: &Value| -> Option<String> {
        let parts: Option<Vec<String>> = list.as_array()?.iter().map(has).collect();
        parts.filter(|parts| !parts.is_empty()).map(|parts| format!("({})", parts.join(" || ")))
    };
    let Value::Object(tests) = value else { return has(value) };
    let mut all = Vec::new();
    for (test, value) in tests {
        all.push(match test.as_str() {
            "$eq" => has(value)?,
            "$ne" => format!("!{}", has(value)?),
            "$in" => any(value)?,
            "$nin" => format!("!{}", any(value)?),
            _ => return None,
        });
    }
    (!all.is_empty()).then(|| all.join(" && "))
}

/// Provider and model of a config, over those around it.
fn settings(config: &Value, path: &str, outer: &Settings, work: &mut Work<'_>) -> Settings {
    let mut own = outer.clone();
    let overridden = config.get("override_params").unwrap_or(&Value::Null);
    let at = join(path, "override_params");
    if let Some(model) = text(overridden, "model") {
        work.report.exact(&join(&at, "model"), "models");
        // `@slug/model` names an integration and its model.
        match model.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
            Some((slug, model)) => {
                own.provider = Some(slug_provider(slug, &join(&at, "model"), work));
                own.model = Some(model.to_owned());
            }
            None => own.model = Some(model.to_owned()),
        }
    }
    for (name, _) in members(Some(overridden)).filter(|(name, _)| *name != "model") {
        work.report.lost(&join(&at, name), "write it as `params` beside the target");
    }
    if let Some(slug) = text(config, "virtual_key") {
        let place = join(path, "virtual_key");
        own.provider = Some(slug_provider(slug, &place, work));
    } else if let Some(slug) = text(config, "provider").and_then(|name| name.strip_prefix('@')) {
        own.provider = Some(slug_provider(slug, &join(path, "provider"), work));
    } else if let Some(name) = text(config, "provider") {
        own.provider = named(config, name, path, own.model.as_deref().unwrap_or_default(), work).or(own.provider);
    }
    own
}

/// The provider behind a virtual key or an integration, whose secret is kept elsewhere.
fn slug_provider(slug: &str, path: &str, work: &mut Work<'_>) -> String {
    let vendor = slug
        .split(['-', '_'])
        .find_map(|part| work.vendor(part, ""))
        .or_else(|| work.vendor(slug, ""))
        .unwrap_or_else(|| "openai".to_owned());
    let name = format!("{}_API_KEY", variable(slug));
    let why = format!("its secret is kept there: set {name} to the key of `{vendor}`, which its name suggests");
    work.report.near(path, join("providers", &fit(slug)), why);
    let mut fields = Map::from_iter([("key".to_owned(), json!(format!("env:{name}")))]);
    work.complete(path, &vendor, &mut fields);
    work.draft.provider(&vendor, Some(slug), fields)
}

fn named(config: &Value, name: &str, path: &str, model: &str, work: &mut Work<'_>) -> Option<String> {
    let Some(vendor) = work.vendor(name, model) else {
        work.report.lost(&join(path, "provider"), format!("the provider `{name}` is not known here"));
        return None;
    };
    work.report.exact(&join(path, "provider"), join("providers", &vendor));
    let mut fields = Map::new();
    if let Some(key) = config.get("api_key") {
        let usual = work.usual_variable(&vendor);
        if let Some(reference) = work.secret(&join(path, "api_key"), &join("providers", &vendor), key, &usual) {
            fields.insert("key".to_owned(), reference);
        }
    }
    if let Some(host) = text(config, "custom_host") {
        work.report.exact(&join(path, "custom_host"), format!("providers.{vendor}.base_url"));
        fields.insert("base_url".to_owned(), json!(host.trim_end_matches('/')));
    }
    for (theirs, ours) in [
        ("vertex_project_id", "project"),
        ("vertex_region", "region"),
        ("aws_region", "region"),
        ("resource_name", "resource"),
        ("azure_resource_name", "resource"),
        ("api_version", "api_version"),
        ("azure_api_version", "api_version"),
        ("workers_ai_account_id", "account_id"),
        ("snowflake_account", "account_id"),
    ] {
        let takes =
            work.vendors.get(&vendor).is_some_and(|vendor| vendor.takes(ours)) && !fields.contains_key("base_url");
        if let Some(value) = text(config, theirs).filter(|_| takes) {
            work.report.exact(&join(path, theirs), format!("providers.{vendor}.{ours}"));
            fields.insert(ours.to_owned(), json!(value));
        }
    }
    for (theirs, header) in [("openai_organization", "openai-organization"), ("openai_project", "openai-project")] {
        if let Some(value) = text(config, theirs) {
            work.report.exact(&join(path, theirs), format!("providers.{vendor}.headers"));
            let headers = fields.entry("headers").or_insert_with(|| json!({}));
            if let Some(headers) = headers.as_object_mut() {
                headers.insert(header.to_owned(), json!(value));
            }
        }
    }
    work.complete(&join(path, "provider"), &vendor, &mut fields);
    Some(work.draft.provider(&vendor, None, fields))
}

fn leaf(settings: &Settings, path: &str, work: &mut Work<'_>) -> Option<Value> {
    match (&settings.provider, &settings.model) {
        (Some(provider), Some(model)) => Some(json!(format!("{provider}/{model}"))),
        (Some(provider), None) => {
            let at = join(path, "override_params");
            let why =
                format!("the model is the caller's, and a target here names its own: call it as `{provider}/MODEL`");
            work.report.lost(&at, why);
            None
        }
        (None, _) => None,
    }
}
