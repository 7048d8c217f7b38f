//! Checks of providers and MCP servers: types, addresses, credentials, headers, tools.

use http::{HeaderName, HeaderValue};
use tidegate_protocol::llm::Dialect;
use tidegate_upstream::address;

use super::{Checker, Mode};
use crate::{
    codes,
    document::{Headers, McpServer, Provider, ToolSettings, Trust, literal_secret},
    node::join,
    problem::{nearest, one_of, quote},
    reference::{NotReference, Reference, looks_secret},
    vendor::{Scheme, Vendor},
};

/// Headers that the gateway sets itself, or that concern one connection.
const RESERVED: [&str; 22] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
    "proxy-connection",
    "accept",
    "accept-encoding",
    "expect",
    "forwarded",
    "x-forwarded-for",
    "traceparent",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
    "cookie",
];

/// The configuration path by which the secret of a provider's usual variable is kept, where `key` is absent.
pub(crate) fn implied_key_path(provider: &str) -> String {
    join(&join("providers", provider), "key")
}

/// How the configuration names the MCP server of the simulator.
pub(crate) const SIM_SERVER: &str = "sim:mcp";

impl Checker<'_> {
    pub(super) fn providers(&mut self) {
        for (name, provider) in &self.document.providers {
            let path = join("providers", name);
            let Some(vendor) = self.vendor(&path, name, provider) else { continue };
            self.sim_in_production(&path, &vendor);
            self.dialect(&path, provider, &vendor);
            match &provider.base_url {
                Some(_) if vendor.is_sim() => self.error(
                    codes::SCHEMA_NAME,
                    &join(&path, "base_url"),
                    "the simulator is part of the gateway and has no address",
                    "remove `base_url`, or give the provider another `type`",
                ),
                Some(url) => self.url(&join(&path, "base_url"), url, "https://api.example.com/v1"),
                None if self.unread.contains(&join(&path, "base_url")) => {}
                None if vendor.base_url.is_none() && !vendor.is_sim() => self.error(
                    codes::NO_BASE_URL,
                    &path,
                    format!("a provider of type `{}` needs a `base_url`", vendor.name),
                    "say where it runs, for example `base_url: http://127.0.0.1:8080/v1`",
                ),
                None => {}
            }
            self.settings(&path, name, provider, &vendor);
            self.credentials(&path, provider, &vendor);
            self.aws(&path, name, provider, &vendor);
            self.provider_key(&path, name, provider, &vendor);
            let own = match &vendor.scheme {
                Scheme::Header(header) | Scheme::Azure(header) => header.as_str(),
                _ => "authorization",
            };
            self.headers(&join(&path, "headers"), &provider.headers, provider.key.is_some().then_some(own));
        }
    }

    fn vendor(&mut self, path: &str, name: &str, provider: &Provider) -> Option<Vendor> {
        let kind = provider.r#type.as_deref().unwrap_or(name);
        if let Some(vendor) = self.options.vendors.get(kind) {
            return Some(vendor.clone());
        }
        let meant = nearest(kind, self.options.vendors.names());
        let types = one_of(self.options.vendors.names());
        if provider.r#type.is_some() {
            let hint = meant.map_or_else(
                || format!("write {types}; a server that speaks OpenAI's dialect has `type: openai` and a `base_url`"),
                |meant| format!("did you mean `{meant}`?"),
            );
            let message = format!("there is no provider type {}", quote(kind));
            self.error(codes::PROVIDER_TYPE, &join(path, "type"), message, hint);
        } else {
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`? Otherwise add a `type`"),
                None => String::from(
                    "add the dialect it speaks: `type: openai`, `type: anthropic` or `type: google`, with its `base_url`",
                ),
            };
            let message = format!("{} is no vendor that is known, so it needs a `type`", quote(name));
            self.error_at_name(codes::PROVIDER_TYPE, path, message, hint);
        }
        None
    }

    fn dialect(&mut self, path: &str, provider: &Provider, vendor: &Vendor) {
        let Some(written) = &provider.dialect else { return };
        let spoken = || std::iter::once(vendor.dialect).chain(vendor.also.iter().copied()).map(Dialect::name);
        if !spoken().any(|name| name == written) {
            let message = format!("a provider of type `{}` does not speak {}", vendor.name, quote(written));
            let hint = format!("write {}, or leave it out", one_of(spoken()));
            self.error(codes::PROVIDER_DIALECT, &join(path, "dialect"), message, hint);
        }
    }

    fn sim_in_production(&mut self, path: &str, vendor: &Vendor) {
        if vendor.is_sim() && self.options.mode == Mode::Serve {
            self.error_at_name(
                codes::SIM_IN_SERVE,
                path,
                "`sim` invents its answers and is refused in production",
                "remove it from the file; `tidegate up` always has it",
            );
        }
    }

    fn provider_key(&mut self, path: &str, name: &str, provider: &Provider, vendor: &Vendor) {
        let key_path = join(path, "key");
        match &provider.key {
            Some(text) => {
                self.secret(&key_path, text);
            }
            // The usual variable is for the vendor's own address alone: a key must not go to another machine unasked.
            None if vendor.needs_key() && provider.base_url.is_none() && provider.credentials.is_none() => {
                let there =
                    |known: &&String| self.environment.variable(known).is_some_and(|value| !value.trim().is_empty());
                match vendor.env.iter().find(there).or(vendor.env.first()) {
                    Some(variable) => {
                        self.resolve(&implied_key_path(name), &Reference::Variable(variable.clone()));
                    }
                    None => self.error_at_name(
                        codes::MISSING_FIELD,
                        path,
                        format!("a provider of type `{}` needs a `key`", vendor.name),
                        "no variable is usual for it: write `key: env:NAME`",
                    ),
                }
            }
            None => {}
        }
    }

    pub(super) fn servers(&mut self) {
        for (name, server) in &self.document.mcp_servers {
            let path = join("mcp_servers", name);
            self.server_name(&path, name);
            // What could not be read is reported already: it is neither missing, nor is the server a program.
            let unread = ["url", "command"].iter().any(|field| self.unread.contains(&join(&path, field)));
            match (server.url.as_deref(), self.options.mode) {
                (None, _) if unread => {}
                (None, _) => self.program(&path, server),
                (Some(_), _) if !server.command.is_empty() => self.error(
                    codes::BAD_COMMAND,
                    &join(&path, "command"),
                    "a server has either a `url` or a `command`",
                    "remove one of the two",
                ),
                (Some(SIM_SERVER), Mode::Up) => {}
                (Some(SIM_SERVER), Mode::Serve) => self.error(
                    codes::SIM_IN_SERVE,
                    &join(&path, "url"),
                    "the simulator's MCP server invents its answers and is refused in production",
                    "remove it, or start with `tidegate up`",
                ),
                (Some(url), _) => self.url(&join(&path, "url"), url, "https://notes.example/mcp"),
            }
            if let Some(key) = &server.key {
                self.secret(&join(&path, "key"), key);
            }
            self.headers(&join(&path, "headers"), &server.headers, server.key.is_some().then_some("authorization"));
            self.tools(&path, server);
            if let Some(retry) = &server.retry {
                self.retry(&join(&path, "retry"), retry);
            }
            if let Some(timeouts) = &server.timeouts {
                self.timeouts(&join(&path, "timeouts"), timeouts);
            }
        }
    }

    /// On `/mcp` a tool's name begins with its server's, and the first `__` ends that.
    fn server_name(&mut self, path: &str, name: &str) {
        if name.ends_with('_') {
            let message = format!("{} cannot stand before `__` in the names of tools", quote(name));
            self.error_at_name(codes::BAD_NAME, path, message, "let it end with something else than `_`");
        }
    }

    fn program(&mut self, path: &str, server: &McpServer) {
        if server.command.first().is_none_or(String::is_empty) {
            let hint =
                "give its endpoint as `url: https://notes.example/mcp`, or a program as `command: [npx, -y, PACKAGE]`";
            self.error_at_name(codes::MISSING_FIELD, path, "an MCP server needs a `url` or a `command`", hint);
        }
        for (at, word) in server.command.iter().enumerate().filter(|(_, word)| word.contains('\0')) {
            let message = format!("{} cannot be an argument", quote(word));
            self.error(codes::BAD_COMMAND, &format!("{}[{at}]", join(path, "command")), message, "remove the NUL");
        }
        if server.key.is_some() || !server.headers.is_empty() {
            let message = "`key` and `headers` are for servers with a `url`";
            self.error_at_name(codes::BAD_COMMAND, path, message, "give the program what it needs in `env`");
        }
        let env = join(path, "env");
        for (name, value) in &server.env {
            let at = join(&env, name);
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("{} is no variable's name", quote(name));
                self.error_at_name(codes::BAD_COMMAND, &at, message, "use letters, digits and `_`");
            }
            match Reference::parse(value) {
                Ok(reference) => {
                    self.resolve(&at, &reference);
                }
                Err(NotReference::Literal) if looks_secret(value) => {
                    let span = self.written.places.value(&at);
                    self.problems.push(literal_secret(span, &at));
                }
                Err(NotReference::Literal) => {}
                Err(_) => {
                    self.secret(&at, value);
                }
            }
        }
    }

    fn tools(&mut self, path: &str, server: &McpServer) {
        if let Some(tools) = &server.tools {
            let list = join(path, "tools");
            self.repeated(&list, tools);
            for (at, tool) in tools.iter().enumerate().filter(|(_, tool)| tool.is_empty() || tool.len() > 128) {
                let message = format!("{} is no tool's name", quote(tool));
                self.error(codes::BAD_NAME, &format!("{list}[{at}]"), message, "tool names have 1 to 128 characters");
            }
        }
        let settings = join(path, "tool_settings");
        for (tool, said) in &server.tool_settings {
            let at = join(&settings, tool);
            if let Some(tools) = server.tools.as_ref().filter(|tools| !tools.contains(tool)) {
                let hint = nearest(tool, tools.iter().map(String::as_str)).map_or_else(
                    || format!("add it to `tools`, which has {}", one_of(tools.iter().map(String::as_str))),
                    |meant| format!("did you mean `{meant}`?"),
                );
                self.error_at_name(codes::NO_TOOL, &at, format!("tool {} is not in `tools`", quote(tool)), hint);
            }
            if *said != (ToolSettings { idempotent: said.idempotent, ..ToolSettings::nothing() }) {
                self.warning(
                    codes::NOT_SUPPORTED,
                    &at,
                    "this version acts on `idempotent` only; the other settings are read and kept",
                    "until a later version acts on them, write what must hold as a policy",
                );
            }
        }
        if server.results == Trust::Trusted {
            self.warning(
                codes::NOT_SUPPORTED,
                &join(path, "results"),
                "this version makes no difference between trusted and untrusted results",
                "until a later version does, nothing depends on it",
            );
        }
    }

    /// An address that the gateway may send to.
    pub(super) fn url(&mut self, path: &str, text: &str, example: &str) {
        let hint = format!("write for example `{example}`");
        match address::parse_destination(text) {
            Err(error) => {
                let message = match error {
                    address::AddressError::NotAUrl { why, .. } => format!("{} is no URL: {why}", quote(text)),
                    other => other.to_string(),
                };
                self.error(codes::BAD_URL, path, message, hint);
            }
            Ok(url) if url.host().is_none() => self.error(codes::BAD_URL, path, "the URL names no host", hint),
            Ok(_) => {}
        }
    }

    /// Headers that are sent upstream. `own` is the one that carries the credential.
    pub(super) fn headers(&mut self, path: &str, headers: &Headers, own: Option<&str>) {
        for (name, value) in headers {
            let at = join(path, name);
            let lower = name.to_ascii_lowercase();
            if HeaderName::from_bytes(lower.as_bytes()).is_err() {
                let message = format!("{} is no header's name", quote(name));
                self.error_at_name(codes::BAD_HEADER, &at, message, "header names have letters, digits and `-`");
            } else if RESERVED.contains(&lower.as_str()) || own == Some(lower.as_str()) {
                let message = format!("the header `{lower}` is set by the gateway");
                self.error_at_name(codes::BAD_HEADER, &at, message, "remove it");
            }
            if headers.keys().any(|other| other != name && other.to_ascii_lowercase() == lower) {
                let message = format!("the header `{lower}` is given twice, in different spellings");
                self.error_at_name(codes::DUPLICATE, &at, message, "keep one");
            }
            match Reference::parse(value) {
                Ok(reference) => {
                    self.resolve(&at, &reference);
                }
                Err(NotReference::Literal) => {
                    let credential = matches!(lower.as_str(), "authorization" | "x-api-key" | "api-key");
                    if credential && !looks_secret(value) {
                        let span = self.written.places.value(&at);
                        self.problems.push(literal_secret(span, &at));
                    } else if HeaderValue::from_str(value).is_err() {
                        let message = "the value cannot stand in a header";
                        self.error(codes::BAD_HEADER, &at, message, "write one line of visible characters");
                    }
                }
                Err(_) => {
                    self.secret(&at, value);
                }
            }
        }
    }
}
