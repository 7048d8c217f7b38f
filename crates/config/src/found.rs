//! Providers that can be found without being told: keys in the environment, and servers on this machine.
//!
//! Owns where to look, what is passed over, and the configuration that `tidegate up` runs by where there is no file.
//! Looks only at variables: whether a local server answers is for whoever may open connections. Never makes a paid call.

use std::fmt::Write as _;

use serde::Serialize;
use tidegate_upstream::address;
use url::Url;

use crate::{
    environment::Environment,
    vendor::{Variable, Vendor, Vendors},
};

/// What every key of a gateway begins with.
const OWN_KEY: &str = "tg_";

/// A provider that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The name it gets: its vendor's.
    pub name: String,
    /// Where it was found, in words: `OPENAI_API_KEY`, `http://127.0.0.1:11434`.
    pub from: String,
    /// The first six hexadecimal digits of the SHA-256 of its key.
    pub fingerprint: Option<String>,
    /// The reference to its key, if it has one.
    #[serde(skip)]
    pub key: Option<String>,
    /// Its address, where that is not the vendor's own.
    #[serde(skip)]
    pub base_url: Option<String>,
    /// One of its models, where it was asked.
    #[serde(skip)]
    pub model: Option<String>,
}

/// Every vendor whose key stands in the environment, by name, and what is said of those that are passed over. `ports` are
/// the gateway's own on this machine.
#[must_use]
pub fn in_environment(vendors: &Vendors, environment: &dyn Environment, ports: &[u16]) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (provider, key) in with_keys(vendors, environment) {
        if key.trim().starts_with(OWN_KEY) {
            notes.push(format!("{} holds a key of a gateway, not of {}: passed over", provider.from, provider.name));
        } else if let Some(url) = provider.base_url.as_deref().filter(|url| leads_back(url, ports)) {
            notes.push(format!("{} would go to {url}, which is this gateway: passed over", provider.name));
        } else {
            found.push(provider);
        }
    }
    (found, notes)
}

/// Whether `url` is one of this machine's `ports`.
fn leads_back(url: &str, ports: &[u16]) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    address::is_loopback(&url) && url.port_or_known_default().is_some_and(|port| ports.contains(&port))
}

/// The vendors whose key stands in the environment, each with its key.
fn with_keys(vendors: &Vendors, environment: &dyn Environment) -> Vec<(Found, String)> {
    let there = |name: &String| environment.variable(name).is_some_and(|value| !value.trim().is_empty());
    let one = |vendor: &Vendor| {
        // An address that has to be guessed is none.
        let known = |one: &Variable| one.default.is_some() || one.env.iter().any(there);
        if !vendor.found_by_key || !vendor.variables.iter().all(known) {
            return None;
        }
        let (variable, value) = vendor.env.iter().find_map(|name| {
            let value = environment.variable(name)?;
            (!value.trim().is_empty()).then_some((name, value))
        })?;
        let base_url = vendor.base_url_env.as_ref().and_then(|name| environment.variable(name));
        let found = Found {
            name: vendor.name.clone(),
            from: variable.clone(),
            fingerprint: Some(tidegate_core::secret::Secret::new(value.clone()).fingerprint()),
            key: Some(format!("env:{variable}")),
            base_url: base_url.filter(|url| !url.trim().is_empty()).map(|url| with_version(vendor, &url)),
            model: None,
        };
        Some((found, value))
    };
    vendors.iter().filter_map(one).collect()
}

/// Clients of some vendors take an address without the version that stands in the vendor's own.
fn with_version(vendor: &Vendor, url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    let version = match vendor.name.as_str() {
        "anthropic" => "v1",
        "google" => "v1beta",
        _ => return url.to_owned(),
    };
    let versioned = url.rsplit('/').next().is_some_and(|last| last == version || last == "v1");
    if versioned { url.to_owned() } else { format!("{url}/{version}") }
}

/// The kinds of server that may run on this machine, each with the address to ask it at; none that is the gateway's own.
#[must_use]
pub fn local_candidates(vendors: &Vendors, ports: &[u16]) -> Vec<(Found, String)> {
    let one = |vendor: &Vendor| {
        let url = vendor
            .base_url
            .clone()
            .filter(|url| vendor.is_local() && vendor.found_by_key && !leads_back(url, ports))?;
        let from = url.trim_end_matches("/v1").to_owned();
        let found =
            Found { name: vendor.name.clone(), from, fingerprint: None, key: None, base_url: None, model: None };
        Some((found, url))
    };
    vendors.iter().filter_map(one).collect()
}

/// The simulator, which is always there.
#[must_use]
pub fn simulator() -> Found {
    let (name, from) = ("sim".to_owned(), "built in".to_owned());
    Found { name, from, fingerprint: None, key: None, base_url: None, model: None }
}

/// One line of a configuration for a provider that was found.
#[must_use]
pub fn line(provider: &Found) -> String {
    let mut fields = Vec::new();
    if let Some(key) = &provider.key {
        fields.push(format!("key: {key}"));
    }
    if let Some(url) = &provider.base_url {
        fields.push(format!("base_url: {}", serde_json::Value::from(url.as_str())));
    }
    if fields.is_empty() {
        format!("  {}: {{}}", provider.name)
    } else {
        format!("  {}: {{ {} }}", provider.name, fields.join(", "))
    }
}

/// A configuration of what was found.
#[must_use]
pub fn document(found: &[Found]) -> String {
    let mut text = "version: 1\nproviders:\n".to_owned();
    for provider in found {
        let _ = writeln!(text, "{}", line(provider));
    }
    text.push_str("mcp_servers:\n  sim: { url: \"sim:mcp\" }\n");
    if !found.iter().any(|provider| provider.name == "openai") {
        text.push_str("default_provider: sim\n");
    }
    text
}

#[cfg(test)]
mod tests;
