//! Checks of guardrails, keys and teams: names, detectors, secrets of keys.

use std::collections::HashMap;

use tidegate_core::secret::Secret;
use tidegate_guard::detector_names;

use super::Checker;
use crate::{
    codes,
    document::{Guardrail, GuardrailAction, GuardrailPhase, Key, Limits, Names, Time},
    identity,
    node::join,
    problem::{nearest, one_of, quote},
};

impl Checker<'_> {
    pub(super) fn guardrails(&mut self) {
        let document = self.document;
        for (name, guardrail) in &document.guardrails {
            self.guardrail(&join("guardrails", name), guardrail);
        }
    }

    fn guardrail(&mut self, path: &str, guardrail: &Guardrail) {
        let detect = join(path, "detect");
        if guardrail.detect.is_empty() {
            let hint = format!("name at least one of {}", one_of(detector_names()));
            self.error(codes::EMPTY_LIST, &detect, "a guardrail that looks for nothing finds nothing", hint);
        }
        self.repeated(&detect, &guardrail.detect);
        for (at, detector) in guardrail.detect.iter().enumerate() {
            if !detector_names().any(|known| known == detector) {
                let hint = nearest(detector, detector_names()).map_or_else(
                    || format!("there are {}", one_of(detector_names())),
                    |meant| format!("did you mean `{meant}`?"),
                );
                let message = format!("there is no detector {}", quote(detector));
                self.error(codes::NO_DETECTOR, &format!("{detect}[{at}]"), message, hint);
            }
        }
        let tools = [GuardrailPhase::ToolArguments, GuardrailPhase::ToolResult];
        let on = guardrail.on.as_deref().unwrap_or_default();
        if guardrail.action == GuardrailAction::Tokenize && on.iter().any(|phase| tools.contains(phase)) {
            let hint = "tokens go to models only: use `on: [request, response]`, and another guardrail for tools";
            let message = "`tokenize` cannot be done on the way to or from a tool";
            self.error(codes::TOKENIZE_TOOLS, &join(path, "on"), message, hint);
        }
        if let Some(Time(limit)) = guardrail.timeout
            && (limit.is_zero() || limit.as_secs() > 60)
        {
            let message = "a guardrail's time is more than 0 and at most 1m";
            self.error(codes::BAD_TIMEOUT, &join(path, "timeout"), message, "write for example `50ms`");
        }
        if guardrail.on.as_ref().is_some_and(Vec::is_empty) {
            let hint = "name where it looks, or remove `on` to look everywhere";
            self.error(codes::EMPTY_LIST, &join(path, "on"), "a guardrail that looks nowhere finds nothing", hint);
        }
    }

    pub(super) fn access(&mut self) {
        let document = self.document;
        for (name, team) in &document.teams {
            let path = join("teams", name);
            self.guardrail_names(&join(&path, "guardrails"), &team.guardrails);
            self.limits(&join(&path, "limits"), &team.limits);
        }
        let mut secrets: HashMap<String, String> = HashMap::new();
        for (name, key) in &document.keys {
            let path = join("keys", name);
            self.guardrail_names(&join(&path, "guardrails"), &key.guardrails);
            self.limits(&join(&path, "limits"), &key.limits);
            if let Some(team) = key.team.as_ref().filter(|team| !document.teams.contains_key(*team)) {
                self.undefined(codes::NO_TEAM, &join(&path, "team"), ("team", team), "teams", &document.teams);
            }
            self.allow(&path, key);
            if let Some(secret) = key.secret.as_ref().and_then(|text| self.secret(&join(&path, "secret"), text)) {
                self.key_secret(&join(&path, "secret"), name, &secret, &mut secrets);
            }
        }
    }

    fn guardrail_names(&mut self, path: &str, names: &[String]) {
        let document = self.document;
        self.repeated(path, names);
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !document.guardrails.contains_key(*name)) {
            let path = format!("{path}[{at}]");
            self.undefined(codes::NO_GUARDRAIL, &path, ("guardrail", name), "guardrails", &document.guardrails);
        }
    }

    pub(super) fn limits(&mut self, path: &str, limits: &Limits) {
        if limits.concurrent == Some(0) {
            let message = "with 0 calls at the same time, every call is refused";
            self.error(codes::OUT_OF_RANGE, &join(path, "concurrent"), message, "write 1 or more, or remove it");
        }
    }

    fn allow(&mut self, path: &str, key: &Key) {
        let document = self.document;
        let Some(allow) = &key.allow else { return };
        let path = join(path, "allow");
        if let Names::Only(names) = &allow.models {
            let list = join(&path, "models");
            self.repeated(&list, names);
            for (at, name) in names.iter().enumerate() {
                let at = format!("{list}[{at}]");
                match name.split_once('/') {
                    Some((provider, _)) if document.providers.contains_key(provider) => {}
                    Some((provider, _)) => {
                        self.undefined(
                            codes::NO_PROVIDER,
                            &at,
                            ("provider", provider),
                            "providers",
                            &document.providers,
                        );
                    }
                    None if document.models.contains_key(name) => {}
                    None => self.undefined(codes::NO_MODEL, &at, ("model", name), "models", &document.models),
                }
            }
        }
        if let Names::Only(names) = &allow.mcp_servers {
            let list = join(&path, "mcp_servers");
            self.repeated(&list, names);
            for (at, name) in names.iter().enumerate().filter(|(_, name)| !document.mcp_servers.contains_key(*name)) {
                let at = format!("{list}[{at}]");
                self.undefined(codes::NO_SERVER, &at, ("MCP server", name), "mcp_servers", &document.mcp_servers);
            }
        }
    }

    fn key_secret(&mut self, path: &str, name: &str, secret: &Secret, secrets: &mut HashMap<String, String>) {
        match identity::parse(secret.expose()) {
            Ok(_) => {}
            Err(_) if secret.expose().starts_with("tg_") => self.error(
                codes::BAD_KEY,
                path,
                "the secret starts like a Tidegate key, but its length or checksum is wrong",
                "copy it again, or make a new one with `tidegate key issue`",
            ),
            Err(_) => self.error(
                codes::WEAK_SECRET,
                path,
                "the secret is not 16 to 512 characters of visible ASCII",
                format!("make one with `tidegate key issue {name}`"),
            ),
        }
        // Kept as a digest: the map outlives no check, but a secret that is copied is a secret that is forgotten.
        let digest = tidegate_core::ids::Digest::of(secret.expose().as_bytes()).to_string();
        if let Some(first) = secrets.get(&digest) {
            let message = format!("keys {} and {} have the same secret", quote(first), quote(name));
            self.error(codes::SAME_SECRET, path, message, "give each key a secret of its own");
        } else {
            secrets.insert(digest, name.to_owned());
        }
    }
}
