//! Providers that can be found without being told: keys in the environment, and servers on this machine.
//!
//! Owns where to look and the configuration that `tidegate up` runs by where there is no file. Looks only at variables:
//! whether a local server answers is for whoever may open connections. Never makes a paid call.

use serde::Serialize;

use crate::{
    document::{DefaultProvider, Document, Headers, Provider},
    environment::Environment,
    vendor::{Vendor, Vendors},
};

/// A provider that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundProvider {
    /// The name it gets: its vendor's.
    pub name: String,
    /// Where it was found, in words: `OPENAI_API_KEY`, `http://127.0.0.1:11434`.
    pub place: String,
    /// The reference to its key, if it has one.
    pub key: Option<String>,
    /// The first six hexadecimal digits of the SHA-256 of its key.
    pub fingerprint: Option<String>,
    /// Its address, where that is not the vendor's own.
    pub base_url: Option<String>,
}

/// The vendors whose key stands in the environment, by name.
#[must_use]
pub fn in_environment(vendors: &Vendors, environment: &dyn Environment) -> Vec<FoundProvider> {
    vendors
        .iter()
        .filter_map(|vendor| {
            let (variable, value) = vendor.env.iter().find_map(|name| {
                let value = environment.variable(name)?;
                (!value.trim().is_empty()).then_some((name, value))
            })?;
            let base_url = vendor.base_url_env.as_ref().and_then(|name| environment.variable(name));
            Some(FoundProvider {
                name: vendor.name.clone(),
                place: variable.clone(),
                key: Some(format!("env:{variable}")),
                fingerprint: Some(tidegate_core::secret::Secret::new(value).fingerprint()),
                base_url: base_url.filter(|url| !url.trim().is_empty()).map(|url| with_version(vendor, &url)),
            })
        })
        .collect()
}

/// Clients of some vendors take an address without the version that stands in the vendor's own.
fn with_version(vendor: &Vendor, url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    let versioned = url.rsplit('/').next().is_some_and(|last| last == "v1");
    if vendor.name == "anthropic" && !versioned { format!("{url}/v1") } else { url.to_owned() }
}

/// The kinds of server that may run on this machine, with the address to ask each at.
#[must_use]
pub fn local_candidates(vendors: &Vendors) -> Vec<FoundProvider> {
    vendors
        .iter()
        .filter(|vendor| vendor.is_local())
        .filter_map(|vendor| {
            let url = vendor.base_url.clone()?;
            let place = url.trim_end_matches("/v1").to_owned();
            Some(FoundProvider { name: vendor.name.clone(), place, key: None, fingerprint: None, base_url: Some(url) })
        })
        .collect()
}

impl Document {
    /// The configuration of a quick start: what was found, and the simulator. Keys are the store's.
    #[must_use]
    pub fn default_up(found: &[FoundProvider]) -> Self {
        let mut document = Self::empty();
        for provider in found {
            document.providers.insert(
                provider.name.clone(),
                Provider {
                    r#type: None,
                    key: provider.key.clone(),
                    base_url: provider.base_url.clone(),
                    headers: Headers::new(),
                    api_call: None,
                },
            );
        }
        document.default_provider = found.first().map(|first| DefaultProvider::One(first.name.clone()));
        document.with_sim()
    }

    /// The same with the simulator, unless there is a provider of its name.
    #[must_use]
    pub fn with_sim(mut self) -> Self {
        let sim = Provider { r#type: None, key: None, base_url: None, headers: Headers::new(), api_call: None };
        self.providers.entry(String::from("sim")).or_insert(sim);
        self
    }
}

#[cfg(test)]
mod tests;
