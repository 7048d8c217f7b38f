//! Bifrost's `config.json`.
//!
//! Owns what its providers with their keys, its governance and its MCP clients become. A provider with several keys
//! becomes several providers, and models that are spread over them. Called by `import`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Work,
    draft::{budget, fit, seconds},
    items, members, text,
};
use crate::node::join;

pub(super) fn read(source: &Value, work: &mut Work<'_>) {
    for (name, provider) in members(source.get("providers")) {
        provider_of(name, provider, &join("providers", name), work);
    }
    governance(source.get("governance").unwrap_or(&Value::Null), work);
    for (at, client) in items(source.get("mcp").and_then(|mcp| mcp.get("client_configs"))) {
        server(client, &format!("mcp.client_configs[{at}]"), work);
    }
    for (name, why) in [
        ("config_store", "state is kept in the data directory"),
        ("logs_store", "calls are kept in the data directory and the audit log"),
        ("vector_store", "write `cache: { ttl: 10m }` at the models that are to answer again: none does by itself"),
        ("plugins", "there are no plugins: look at guardrails, policies and telemetry"),
        ("encryption_key", "the store's key is made in the data directory"),
    ] {
        if source.get(name).is_some() {
            work.report.lost(name, why);
        }
    }
    for (name, _) in members(source.get("client")) {
        work.report.lost(&join("client", name), "a setting of that gateway's own process");
    }
}

fn provider_of(name: &str, provider: &Value, path: &str, work: &mut Work<'_>) {
    let custom = provider.get("custom_provider_config").and_then(|config| text(config, "base_provider_type"));
    let Some(vendor) = work.vendor(custom.unwrap_or(name), "") else {
        work.report.lost(
            path,
            format!("the provider `{name}` is not known here; a `type: openai` with its `base_url` may do"),
        );
        return;
    };
    if custom.is_some() {
        work.report
            .exact(&format!("{path}.custom_provider_config.base_provider_type"), format!("providers.{name}.type"));
    }
    let network = provider.get("network_config").unwrap_or(&Value::Null);
    let mut common = Map::new();
    if let Some(base) = text(network, "base_url") {
        // There the version is no part of the address.
        let base = base.trim_end_matches('/');
        let url = if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") };
        work.report.near(
            &format!("{path}.network_config.base_url"),
            format!("providers.{name}.base_url"),
            "with `/v1`, which is part of an address here",
        );
        common.insert("base_url".to_owned(), json!(url));
    }
    if let Some(headers) = network.get("extra_headers").filter(|headers| headers.is_object()) {
        work.report.exact(&format!("{path}.network_config.extra_headers"), format!("providers.{name}.headers"));
        common.insert("headers".to_owned(), headers.clone());
    }
    let attempts =
        network.get("max_retries").and_then(Value::as_u64).map(|retries| retries.saturating_add(1).clamp(1, 10));
    let total = network.get("default_request_timeout_in_seconds").and_then(seconds);
    for (field, known) in [("max_retries", attempts.is_some()), ("default_request_timeout_in_seconds", total.is_some())]
    {
        if known {
            let why = "set on the models below; other models of the provider keep the usual one";
            work.report.near(&format!("{path}.network_config.{field}"), "models", why);
        }
    }
    for field in ["retry_backoff_initial", "retry_backoff_max"] {
        if network.get(field).is_some() {
            work.report.lost(
                &format!("{path}.network_config.{field}"),
                "pauses grow by themselves, with jitter, or as the upstream says",
            );
        }
    }
    if provider.get("concurrency_and_buffer_size").is_some() {
        work.report.lost(
            &join(path, "concurrency_and_buffer_size"),
            "there are no queues: write `limits: { concurrent: N }` for keys or teams",
        );
    }
    let mut spread: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    let keys: Vec<(usize, &Value)> = items(provider.get("keys")).collect();
    if keys.is_empty() {
        work.draft.provider(&vendor, Some(name), common.clone());
        work.report.exact(path, join("providers", &fit(name)));
    }
    for (at, key) in keys {
        one_key(name, &vendor, key, &format!("{path}.keys[{at}]"), &common, &mut spread, work);
    }
    for (model, targets) in spread {
        let weights: Map<String, Value> = targets.into_iter().map(|(target, weight)| (target, json!(weight))).collect();
        let mut fields = Map::from_iter([("route".to_owned(), json!({ "weighted": weights }))]);
        if let Some(attempts) = attempts {
            fields.insert("retry".to_owned(), json!({ "attempts": attempts }));
        }
        if let Some(total) = &total {
            fields.insert("timeouts".to_owned(), json!({ "total": total }));
        }
        work.draft.models.entry(fit(&model)).or_insert(Value::Object(fields));
    }
}

fn one_key(
    name: &str,
    vendor: &str,
    key: &Value,
    path: &str,
    common: &Map<String, Value>,
    spread: &mut BTreeMap<String, Vec<(String, u64)>>,
    work: &mut Work<'_>,
) {
    let mut fields = common.clone();
    let label = text(key, "name").unwrap_or(name);
    if let Some(value) = key.get("value").filter(|value| value.as_str() != Some("")) {
        let usual = format!("{name}_{label}_API_KEY");
        if let Some(reference) = work.secret(&join(path, "value"), &join("providers", &fit(name)), value, &usual) {
            fields.insert("key".to_owned(), reference);
        }
    }
    azure(key, path, &mut fields, work);
    if let Some(vertex) = key.get("vertex_key_config") {
        let at = join(path, "vertex_key_config");
        for (theirs, ours) in [("project_id", "project"), ("region", "region")] {
            if let Some(value) = vertex.get(theirs).and_then(reference_or_text) {
                work.report.exact(&join(&at, theirs), format!("providers.{name}.{ours}"));
                fields.insert(ours.to_owned(), value);
            }
        }
        if let Some(written) = vertex.get("auth_credentials").filter(|written| written.as_str() != Some("")) {
            let to = format!("providers.{name}.credentials");
            if let Some(reference) = work.secret(&join(&at, "auth_credentials"), &to, written, "GOOGLE_SERVICE_ACCOUNT")
            {
                fields.insert("credentials".to_owned(), json!({ "service_account": reference }));
            }
        }
    }
    work.complete(path, vendor, &mut fields);
    let provider = work.draft.provider(vendor, Some(name), fields);
    for field in ["name", "id"] {
        if key.get(field).is_some() {
            work.report.near(
                &join(path, field),
                join("providers", &provider),
                "a key has no name of its own: its provider has",
            );
        }
    }
    let weight = key.get("weight").and_then(Value::as_f64).unwrap_or(1.0);
    let weight = format!("{:.0}", (weight * 100.0).clamp(1.0, 100_000.0)).parse().unwrap_or(1);
    let models: Vec<&str> =
        items(key.get("models")).filter_map(|(_, model)| model.as_str()).filter(|model| *model != "*").collect();
    for model in &models {
        spread.entry((*model).to_owned()).or_default().push((format!("{provider}/{model}"), weight));
    }
    if key.get("models").is_some() {
        let why = "each becomes a model of that name; a provider here answers for all its models";
        work.report.near(&join(path, "models"), "models", why);
    }
    if key.get("weight").is_some() {
        let why = if models.is_empty() {
            "keys are spread over by model, and this one names none"
        } else {
            "in hundredths, on the models that the key names"
        };
        work.report.near(&join(path, "weight"), "models", why);
    }
}

fn azure(key: &Value, path: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    let Some(config) = key.get("azure_key_config") else { return };
    let at = join(path, "azure_key_config");
    if let Some(endpoint) = text(config, "endpoint") {
        let host = endpoint.trim_start_matches("https://").trim_end_matches('/');
        match (host.strip_suffix(".openai.azure.com"), endpoint.strip_prefix("env.")) {
            (Some(resource), _) => {
                work.report.exact(&join(&at, "endpoint"), "providers.resource");
                fields.insert("resource".to_owned(), json!(resource));
            }
            (None, Some(name)) => {
                let why =
                    format!("an address is written as text: set {name}_RESOURCE to the name of the resource alone");
                work.report.near(&join(&at, "endpoint"), "providers.resource", why);
                fields.insert("resource".to_owned(), json!(format!("env:{name}_RESOURCE")));
            }
            (None, None) => {
                work.report.lost(&join(&at, "endpoint"), "no address of Azure OpenAI: write it as `base_url`")
            }
        }
    }
    if let Some(version) = config.get("api_version").and_then(reference_or_text) {
        work.report.exact(&join(&at, "api_version"), "providers.api_version");
        fields.insert("api_version".to_owned(), version);
    }
    if config.get("deployments").is_some() {
        work.report.lost(&join(&at, "deployments"), "a deployment is the model's name here: `azure/DEPLOYMENT`");
    }
}

fn reference_or_text(value: &Value) -> Option<Value> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.strip_prefix("env.").map_or_else(|| json!(text), |name| json!(format!("env:{name}"))))
}

fn governance(governance: &Value, work: &mut Work<'_>) {
    let by_id = |list: &str, id: &str| {
        items(governance.get(list)).find(|(_, one)| text(one, "id") == Some(id)).map(|(at, one)| (at, one.clone()))
    };
    for (at, team) in items(governance.get("teams")) {
        let path = format!("governance.teams[{at}]");
        let Some(name) = text(team, "name").or_else(|| text(team, "id")) else { continue };
        let mut fields = Map::new();
        if let Some((at, found)) = text(team, "budget_id").and_then(|id| by_id("budgets", id)) {
            money(&found, &format!("governance.budgets[{at}]"), &mut fields, work);
        }
        work.report.exact(&path, join("teams", &fit(name)));
        work.draft.teams.insert(fit(name), Value::Object(fields));
    }
    for (at, key) in items(governance.get("virtual_keys")) {
        let path = format!("governance.virtual_keys[{at}]");
        let Some(name) = text(key, "name").or_else(|| text(key, "id")) else { continue };
        let mut fields = Map::new();
        if key.get("is_active").and_then(Value::as_bool) == Some(false) {
            work.report.lost(&path, "it is not active");
            continue;
        }
        for field in ["id", "name", "is_active", "description"] {
            if key.get(field).is_some() {
                work.report.exact(&join(&path, field), join("keys", &fit(name)));
            }
        }
        if let Some(value) = key.get("value") {
            let to = format!("keys.{}.secret", fit(name));
            if let Some(reference) = work.secret(&join(&path, "value"), &to, value, &format!("{name}_KEY")) {
                fields.insert("secret".to_owned(), reference);
            }
        }
        if let Some((at, found)) = text(key, "budget_id").and_then(|id| by_id("budgets", id)) {
            work.report.exact(&join(&path, "budget_id"), format!("keys.{}.budget", fit(name)));
            money(&found, &format!("governance.budgets[{at}]"), &mut fields, work);
        }
        if let Some((at, found)) = text(key, "rate_limit_id").and_then(|id| by_id("rate_limits", id)) {
            work.report.exact(&join(&path, "rate_limit_id"), format!("keys.{}.limits", fit(name)));
            rates(&found, &format!("governance.rate_limits[{at}]"), &mut fields, work);
        }
        let team = text(key, "team_id").and_then(|id| by_id("teams", id));
        if let Some(team) = team.as_ref().and_then(|(_, team)| text(team, "name")) {
            work.report.exact(&join(&path, "team_id"), format!("keys.{}.team", fit(name)));
            fields.insert("team".to_owned(), json!(fit(team)));
        }
        allowed(key, &path, name, &mut fields, work);
        work.draft.keys.insert(fit(name), Value::Object(fields));
    }
}

/// What a key may call.
fn allowed(key: &Value, path: &str, name: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    let configs = key.get("provider_configs").and_then(Value::as_array);
    let at = join(path, "provider_configs");
    let mut models = Vec::new();
    for config in configs.into_iter().flatten() {
        let provider = text(config, "provider").unwrap_or_default();
        for model in
            items(config.get("allowed_models")).filter_map(|(_, model)| model.as_str()).filter(|model| *model != "*")
        {
            models.push(format!("{provider}/{model}"));
        }
    }
    let known = |model: &String| model.split('/').next().is_some_and(|name| work.draft.providers.contains_key(name));
    models.retain(known);
    let everything = json!({ "models": "*" });
    if configs.is_none_or(Vec::is_empty) {
        fields.insert("allow".to_owned(), everything);
        let why = "it names no providers, so it may call every model, as there";
        work.report.near(path, format!("keys.{}.allow", fit(name)), why);
    } else if models.is_empty() {
        fields.insert("allow".to_owned(), everything);
        let why = "which providers a key may use is a policy here: every model is allowed until you write one";
        work.report.near(&at, format!("keys.{}.allow", fit(name)), why);
    } else {
        fields.insert("allow".to_owned(), json!({ "models": models }));
        work.report.near(
            &at,
            format!("keys.{}.allow", fit(name)),
            "the models that are named; how calls are spread is the model's business",
        );
    }
}

fn money(found: &Value, path: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    let period = text(found, "reset_duration");
    match found.get("max_limit").and_then(|amount| budget(amount, period)) {
        Some((amount, why)) => {
            fields.insert("budget".to_owned(), amount);
            match why {
                None => work.report.exact(path, "budget"),
                Some(why) => work.report.near(path, "budget", why),
            }
        }
        None => work.report.lost(path, "it has no amount"),
    }
}

fn rates(found: &Value, path: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    let mut limits = Map::new();
    for (most, period, ours) in [
        ("request_max_limit", "request_reset_duration", "requests"),
        ("token_max_limit", "token_reset_duration", "tokens"),
    ] {
        let Some(count) = found.get(most).and_then(Value::as_u64) else { continue };
        let unit = match text(found, period) {
            Some("1s") => "s",
            Some("1m") | None => "min",
            Some("1h") => "hour",
            Some("1d" | "24h") => "day",
            Some(other) => {
                work.report.lost(&join(path, most), format!("`{other}` is no time of a limit: s, min, hour or day"));
                continue;
            }
        };
        work.report.exact(&join(path, most), "limits");
        if found.get(period).is_some() {
            work.report.exact(&join(path, period), "limits");
        }
        limits.insert(ours.to_owned(), json!(format!("{count}/{unit}")));
    }
    work.report.exact(&join(path, "id"), "limits");
    if !limits.is_empty() {
        fields.insert("limits".to_owned(), Value::Object(limits));
    }
}

fn server(client: &Value, path: &str, work: &mut Work<'_>) {
    let Some(name) = text(client, "name") else { return };
    let name = fit(name).replace("__", "_");
    let to = join("mcp_servers", &name);
    let mut fields = Map::new();
    let kind = text(client, "connection_type").unwrap_or_default();
    let stdio = client.get("stdio_config").unwrap_or(&Value::Null);
    if kind == "stdio" {
        let command: Vec<&Value> =
            stdio.get("command").into_iter().chain(items(stdio.get("args")).map(|(_, word)| word)).collect();
        fields.insert("command".to_owned(), json!(command));
        let env: Map<String, Value> = items(stdio.get("envs"))
            .filter_map(|(_, name)| name.as_str())
            .map(|name| (name.to_owned(), json!(format!("env:{name}"))))
            .collect();
        if !env.is_empty() {
            fields.insert("env".to_owned(), Value::Object(env));
        }
        work.report.exact(&join(path, "stdio_config"), to.clone());
    } else if let Some(url) = text(client, "connection_string") {
        if url.starts_with("env.") {
            work.report.lost(&join(path, "connection_string"), "an address is written as text");
            return;
        }
        fields.insert("url".to_owned(), json!(url));
        work.report.exact(&join(path, "connection_string"), to.clone());
        if kind == "sse" {
            work.report.near(
                &join(path, "connection_type"),
                to.clone(),
                "servers are spoken to over Streamable HTTP, not over the older SSE",
            );
        }
    } else {
        work.report.lost(path, "it has neither a command nor an address");
        return;
    }
    let tools: Vec<&str> = items(client.get("tools_to_execute")).filter_map(|(_, tool)| tool.as_str()).collect();
    if !tools.is_empty() && !tools.contains(&"*") {
        fields.insert("tools".to_owned(), json!(tools));
    }
    for field in ["name", "connection_type", "tools_to_execute"] {
        if client.get(field).is_some() && !(field == "connection_type" && kind == "sse") {
            work.report.exact(&join(path, field), to.clone());
        }
    }
    work.draft.mcp_servers.insert(name, Value::Object(fields));
}
