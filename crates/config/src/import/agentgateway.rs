//! agentgateway's `config.yaml`: the short form (`llm`, `mcp`) and the long one (`binds`, `listeners`, `routes`,
//! `backends`).
//!
//! Owns what its models, backends, targets and policies become. Routes by path and host have no counterpart: a model or
//! server is called by its name. Called by `import`.

use serde_json::{Map, Value, json};

use super::{Work, draft::fit, items, members, text};
use crate::node::join;

pub(super) fn read(source: &Value, work: &mut Work<'_>) {
    let llm = source.get("llm").unwrap_or(&Value::Null);
    for (at, model) in items(llm.get("models")) {
        llm_model(model, &format!("llm.models[{at}]"), work);
    }
    for (at, model) in items(llm.get("virtualModels")) {
        virtual_model(model, &format!("llm.virtualModels[{at}]"), work);
    }
    let mcp = source.get("mcp").unwrap_or(&Value::Null);
    for (at, target) in items(mcp.get("targets")) {
        server(target, &format!("mcp.targets[{at}]"), work);
    }
    for (section, value) in [("llm", llm), ("mcp", mcp)] {
        if value.get("port").is_some() {
            work.report.lost(&join(section, "port"), "one listener for models and tools: `--listen`");
        }
        policies(value.get("policies"), &join(section, "policies"), work);
    }
    for (at, bind) in items(source.get("binds")) {
        let path = format!("binds[{at}]");
        if bind.get("port").is_some() {
            work.report.lost(&join(&path, "port"), "one listener for models and tools: `--listen`");
        }
        for (at, listener) in items(bind.get("listeners")) {
            listener_of(listener, &format!("{path}.listeners[{at}]"), work);
        }
    }
    for (name, _) in members(source.get("config")) {
        let why = match name.as_str() {
            "tracing" | "metrics" | "logging" => "write `telemetry: { otlp: … }`",
            _ => "a setting of that gateway's own process",
        };
        work.report.lost(&join("config", name), why);
    }
    for (name, _) in members(source.get("frontendPolicies")) {
        work.report.lost(&join("frontendPolicies", name), "bounds of what is taken in stand under `limits`");
    }
}

fn listener_of(listener: &Value, path: &str, work: &mut Work<'_>) {
    for (name, why) in [
        ("hostname", "names of the gateway stand under `hosts`"),
        ("protocol", "the listener takes HTTP/1.1 and HTTP/2"),
        ("tls", "end TLS before the gateway"),
        ("name", "a listener has no name"),
    ] {
        if listener.get(name).is_some() {
            work.report.lost(&join(path, name), why);
        }
    }
    for (at, route) in items(listener.get("routes")) {
        let path = format!("{path}.routes[{at}]");
        for name in ["matches", "hostnames"] {
            if route.get(name).is_some() {
                work.report.lost(&join(&path, name), "a model or server is called by its name, not by path or host");
            }
        }
        let key = policies(route.get("policies"), &join(&path, "policies"), work);
        let label = text(route, "name");
        if label.is_some() {
            work.report.near(
                &join(&path, "name"),
                "models",
                "the name of what the route leads to, where that has none",
            );
        }
        let mut targets = Vec::new();
        for (at, backend) in items(route.get("backends")) {
            let path = format!("{path}.backends[{at}]");
            let own = policies(backend.get("policies"), &join(&path, "policies"), work).or_else(|| key.clone());
            if let Some(ai) = backend.get("ai") {
                targets.extend(ai_backend(ai, &join(&path, "ai"), own.as_ref(), work));
            } else if let Some(mcp) = backend.get("mcp") {
                for (at, target) in items(mcp.get("targets")) {
                    server(target, &format!("{path}.mcp.targets[{at}]"), work);
                }
            } else {
                work.report.lost(&path, "only models and MCP servers can be called through the gateway");
            }
        }
        if !targets.is_empty() {
            let name = label.map(fit).filter(|name| !work.draft.models.contains_key(name));
            let name = name.unwrap_or_else(|| format!("route-{}", work.draft.models.len().saturating_add(1)));
            work.draft.models.insert(name, json!({ "fallback": targets }));
        }
    }
}

/// The targets of an `ai` backend: one provider, or groups of which the next is taken where one fails.
fn ai_backend(ai: &Value, path: &str, key: Option<&Value>, work: &mut Work<'_>) -> Vec<Value> {
    let mut routes = Vec::new();
    if ai.get("provider").is_some() {
        routes.extend(ai_provider(ai, path, key, work));
    }
    for (at, group) in items(ai.get("groups")) {
        let path = format!("{path}.groups[{at}]");
        let mut targets = Vec::new();
        for (at, one) in items(group.get("providers")) {
            let path = format!("{path}.providers[{at}]");
            let own = policies(one.get("policies"), &join(&path, "policies"), work).or_else(|| key.cloned());
            targets.extend(ai_provider(one, &path, own.as_ref(), work));
        }
        match targets.as_slice() {
            [] => {}
            [one] => routes.push(one.clone()),
            _ => routes.push(json!({ "least_busy": targets })),
        }
    }
    routes
}

fn ai_provider(ai: &Value, path: &str, key: Option<&Value>, work: &mut Work<'_>) -> Option<Value> {
    let (kind, settings) = members(ai.get("provider")).next()?;
    let at = format!("{path}.provider.{kind}");
    let model = text(settings, "model").unwrap_or_default();
    let Some(vendor) = work.vendor(kind, model) else {
        work.report.lost(&at, format!("the provider `{kind}` is not known here"));
        return None;
    };
    let mut fields = Map::new();
    if let Some(key) = key {
        fields.insert("key".to_owned(), key.clone());
    }
    places(settings, &at, &vendor, &mut fields, work);
    if let Some(host) = text(ai, "hostOverride") {
        work.report.near(
            &join(path, "hostOverride"),
            format!("providers.{vendor}.base_url"),
            "with `/v1`, which is part of an address here",
        );
        fields.insert("base_url".to_owned(), json!(format!("https://{host}/v1")));
    }
    work.complete(&at, &vendor, &mut fields);
    let label = text(ai, "name");
    if label.is_some() {
        work.report.exact(&join(path, "name"), "providers");
    }
    let provider = work.draft.provider(&vendor, label, fields);
    if model.is_empty() {
        work.report.near(
            &at,
            join("providers", &provider),
            format!("the model is the caller's: call it as `{provider}/MODEL`"),
        );
        return None;
    }
    work.report.exact(&join(&at, "model"), "models");
    Some(json!(format!("{provider}/{model}")))
}

/// The settings of an account, by the names they have there.
fn places(settings: &Value, at: &str, vendor: &str, fields: &mut Map<String, Value>, work: &mut Work<'_>) {
    for (theirs, ours) in [
        ("projectId", "project"),
        ("region", "region"),
        ("vertexProject", "project"),
        ("vertexRegion", "region"),
        ("awsRegion", "region"),
        ("apiVersion", "api_version"),
        ("azureApiVersion", "api_version"),
        ("resourceName", "resource"),
        ("azureResourceName", "resource"),
    ] {
        let takes = work.vendors.get(vendor).is_some_and(|vendor| vendor.takes(ours));
        if let Some(value) = text(settings, theirs).filter(|_| takes) {
            work.report.exact(&join(at, theirs), format!("providers.{vendor}.{ours}"));
            fields.insert(ours.to_owned(), json!(value.trim_start_matches('$')));
        }
    }
    if let Some(host) = text(settings, "host").or_else(|| text(settings, "azureHost")) {
        let name = if settings.get("host").is_some() { "host" } else { "azureHost" };
        if let Some(resource) = host.strip_suffix(".openai.azure.com") {
            work.report.exact(&join(at, name), format!("providers.{vendor}.resource"));
            fields.insert("resource".to_owned(), json!(resource));
        }
    }
}

/// A model of the short form.
fn llm_model(model: &Value, path: &str, work: &mut Work<'_>) {
    let (Some(name), Some(kind)) = (text(model, "name"), text(model, "provider")) else {
        work.report.lost(path, "a model needs a `name` and a `provider`");
        return;
    };
    let params = model.get("params").unwrap_or(&Value::Null);
    let at = join(path, "params");
    let upstream = text(params, "model").unwrap_or(name);
    let Some(vendor) = work.vendor(kind, upstream) else {
        work.report.lost(path, format!("the provider `{kind}` is not known here"));
        return;
    };
    work.report.exact(&join(path, "provider"), join("providers", &vendor));
    let mut fields = Map::new();
    if let Some(key) = params.get("apiKey") {
        let usual = work.usual_variable(&vendor);
        if let Some(reference) = work.secret(&join(&at, "apiKey"), &join("providers", &vendor), key, &usual) {
            fields.insert("key".to_owned(), reference);
        }
    }
    if let Some(base) = text(params, "baseUrl") {
        let base = base.trim_end_matches('/');
        let usual = work.vendors.get(&vendor).and_then(|vendor| vendor.base_url.clone());
        if usual.as_deref() != Some(base) {
            fields.insert("base_url".to_owned(), json!(base));
        }
        work.report.exact(&join(&at, "baseUrl"), format!("providers.{vendor}.base_url"));
    }
    places(params, &at, &vendor, &mut fields, work);
    work.complete(path, &vendor, &mut fields);
    let provider = work.draft.provider(&vendor, None, fields);
    if params.get("model").is_some() {
        work.report.exact(&join(&at, "model"), "models");
    }
    if model.get("transformation").is_some() {
        work.report.lost(&join(path, "transformation"), "bodies are changed by guardrails and `params` alone");
    }
    if model.get("visibility").is_some() {
        work.report.near(&join(path, "visibility"), "models", "who may call a model is said by `allow` of keys");
    }
    if name == "*" {
        work.report.exact(&join(path, "name"), "default_provider");
        work.draft.default_provider.get_or_insert(provider);
    } else if name.contains('*') {
        let why = format!("every model of a provider is called `{provider}/MODEL`");
        work.report.near(&join(path, "name"), join("providers", &provider), why);
    } else {
        let alias = fit(name);
        work.report.exact(&join(path, "name"), join("models", &alias));
        work.draft.models.insert(alias, json!({ "fallback": [format!("{provider}/{upstream}")] }));
    }
}

fn virtual_model(model: &Value, path: &str, work: &mut Work<'_>) {
    let Some(name) = text(model, "name") else { return };
    let alias = fit(name);
    let Some((kind, routing)) = members(model.get("routing")).next() else {
        work.report.lost(path, "it has no `routing`");
        return;
    };
    let at = format!("{path}.routing.{kind}");
    let list = routing.get("targets").unwrap_or(routing);
    let known: Vec<(String, u64)> = items(Some(list))
        .filter_map(|(_, target)| {
            let name = target.as_str().or_else(|| text(target, "model"))?;
            let weight = target.get("weight").and_then(Value::as_u64).unwrap_or(1);
            Some((fit(name), weight)).filter(|(name, _)| work.draft.models.contains_key(name))
        })
        .collect();
    if known.is_empty() {
        work.report.lost(path, "none of its targets is a model of this configuration");
        return;
    }
    work.report.exact(&join(path, "name"), join("models", &alias));
    let names: Vec<&String> = known.iter().map(|(name, _)| name).collect();
    let to = join("models", &alias);
    let route = match kind.as_str() {
        "weighted" | "weights" => {
            work.report.exact(&at, to);
            let weights: Map<String, Value> =
                known.iter().map(|(name, weight)| (name.clone(), json!(weight))).collect();
            json!({ "route": { "weighted": weights } })
        }
        "failover" | "fallback" | "priority" => {
            work.report.exact(&at, to);
            json!({ "fallback": names })
        }
        _ => {
            let why = "conditions there are CEL over the request: write them as `when` in Cedar; until then the last target serves first";
            work.report.near(&at, to, why);
            json!({ "fallback": names.into_iter().rev().collect::<Vec<_>>() })
        }
    };
    work.draft.models.insert(alias, route);
}

fn server(target: &Value, path: &str, work: &mut Work<'_>) {
    let Some(name) = text(target, "name") else {
        work.report.lost(path, "a target needs a `name`");
        return;
    };
    let label = fit(name).replace("__", "_");
    let to = join("mcp_servers", &label);
    let mut fields = Map::new();
    if let Some(stdio) = target.get("stdio") {
        let command: Vec<&Value> =
            stdio.get("cmd").into_iter().chain(items(stdio.get("args")).map(|(_, word)| word)).collect();
        fields.insert("command".to_owned(), json!(command));
        for (name, value) in members(stdio.get("env")) {
            let at = format!("{path}.stdio.env.{name}");
            let Some(written) = value.as_str() else { continue };
            let value = match written.strip_prefix('$') {
                Some(variable) => format!("env:{}", variable.trim_matches(['{', '}'])),
                None if crate::reference::looks_secret(written) => {
                    work.report.near(&at, to.clone(), format!("a secret stood in the file: set {name}"));
                    format!("env:{name}")
                }
                None => written.to_owned(),
            };
            let env = fields.entry("env").or_insert_with(|| json!({}));
            if let Some(env) = env.as_object_mut() {
                env.insert(name.clone(), json!(value));
            }
        }
        work.report.exact(&join(path, "stdio"), to.clone());
    } else if let Some((kind, remote)) = ["mcp", "sse"].into_iter().find_map(|kind| Some((kind, target.get(kind)?))) {
        let host = text(remote, "host").unwrap_or_default();
        let at = join(path, kind);
        let url = match (host.contains("://"), remote.get("port").and_then(Value::as_u64)) {
            (true, _) => host.to_owned(),
            (false, port) => {
                let scheme = if port == Some(443) { "https" } else { "http" };
                let port = port.map_or(String::new(), |port| format!(":{port}"));
                format!("{scheme}://{host}{port}{}", text(remote, "path").unwrap_or("/mcp"))
            }
        };
        fields.insert("url".to_owned(), json!(url));
        if kind == "sse" {
            work.report.near(&at, to.clone(), "servers are spoken to over Streamable HTTP, not over the older SSE");
        } else {
            work.report.exact(&at, to.clone());
        }
    } else {
        work.report.lost(path, "only programs and MCP servers over HTTP: OpenAPI targets have no counterpart");
        return;
    }
    policies(target.get("policies"), &join(path, "policies"), work);
    work.report.exact(&join(path, "name"), to);
    work.draft.mcp_servers.insert(label, Value::Object(fields));
}

/// What policies become; gives the key that calls are made with, where they say one.
fn policies(policies: Option<&Value>, path: &str, work: &mut Work<'_>) -> Option<Value> {
    let mut key = None;
    for (name, value) in members(policies) {
        let at = join(path, name);
        match name.as_str() {
            "backendAuth" => match value.get("key") {
                Some(written) => key = work.secret(&join(&at, "key"), "providers", written, "BACKEND_KEY"),
                None => work.report.lost(&at, "calls prove themselves by `key` or `credentials` of their provider"),
            },
            "mcpAuthorization" | "authorization" | "extAuthz" => {
                work.report.lost(&at, "rules there are CEL: write them as Cedar `policies`, or as `tools` and `allow`");
            }
            "jwtAuth" | "mcpAuthentication" | "oidc" | "apiKey" | "basicAuth" => {
                work.report.lost(&at, "callers show keys: `tidegate key create NAME`");
            }
            "localRateLimit" | "remoteRateLimit" => {
                work.report
                    .lost(&at, "limits are kept for keys, teams, models and servers: `limits: { requests: 600/min }`");
            }
            "cors" => work.report.lost(&at, "pages may call only under the names in `hosts`"),
            "retry" | "timeout" => work.report.lost(&at, "write `retry` and `timeouts` beside the model"),
            "ai" => ai_policies(value, &at, work),
            _ => work.report.lost(&at, "no policy of this name is known here"),
        }
    }
    key
}

/// Prompt guards become guardrails, as far as they name what they look for.
fn ai_policies(ai: &Value, path: &str, work: &mut Work<'_>) {
    for (name, value) in members(Some(ai)) {
        let at = join(path, name);
        if name != "promptGuard" {
            work.report.lost(&at, "write it as `params` or `guardrails`");
            continue;
        }
        for (phase, list) in members(Some(value)) {
            let at = join(&at, phase);
            let list: Vec<&Value> = list.as_array().map_or_else(|| vec![list], |list| list.iter().collect());
            let mut detect = Vec::new();
            let mut reject = false;
            let mut left = false;
            for guard in list {
                let regex = guard.get("regex").unwrap_or(&Value::Null);
                reject |= text(regex, "action").is_some_and(|action| action.eq_ignore_ascii_case("reject"));
                for (_, rule) in items(regex.get("rules")) {
                    match text(rule, "builtin").map(str::to_ascii_lowercase).as_deref() {
                        Some("email") => detect.push("email"),
                        Some("creditcard" | "credit_card") => detect.push("card"),
                        Some("phonenumber" | "phone_number") => detect.push("phone"),
                        Some("ssn") => detect.push("us_ssn"),
                        _ => left = true,
                    }
                }
                left |= guard.get("regex").is_none();
            }
            detect.dedup();
            if detect.is_empty() {
                work.report
                    .lost(&at, "detectors of one's own have no counterpart: look at `tidegate explain guardrails`");
                continue;
            }
            let on = if phase == "response" { "response" } else { "request" };
            let action = if reject { "block" } else { "redact" };
            let label = format!("prompt-guard-{on}");
            work.draft.guardrails.insert(label.clone(), json!({ "detect": detect, "on": [on], "action": action }));
            let but = if left { "; patterns of one's own are left out" } else { "" };
            let why = format!("name it under `guardrails` of the keys it is for{but}");
            work.report.near(&at, join("guardrails", &label), why);
        }
    }
}
