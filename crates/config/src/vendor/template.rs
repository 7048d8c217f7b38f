//! Addresses with variables: `https://{resource}.openai.azure.com/openai/v1`.
//!
//! Owns which variables there can be, what their values may look like, and how they are filled in. A value goes into an
//! address as it is written, so it may have no character that could lead the address elsewhere. Called by the file's
//! reader, by `check` and by the snapshot.

use serde::Deserialize;

use super::Vendor;
use crate::{document::Provider, environment::Environment, reference::Reference};

/// The settings of a provider that addresses can be made of.
pub const SETTINGS: [&str; 6] = ["account_id", "api_version", "host", "project", "region", "resource"];

/// What has to be known of an account before its address is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// The setting's name.
    #[serde(default)]
    pub name: String,
    /// What it is, in a few words.
    pub what: String,
    /// A value as it could be.
    pub example: String,
    /// The environment variables that usually hold it.
    #[serde(default)]
    pub env: Vec<String>,
    /// What it is where nobody says.
    pub default: Option<String>,
}

impl Variable {
    pub(super) fn named(mut self, name: &str) -> Result<Self, String> {
        if !SETTINGS.contains(&name) {
            return Err(format!("`{name}` is no setting of a provider"));
        }
        name.clone_into(&mut self.name);
        if !fits(name, &self.example) || !self.default.as_ref().is_none_or(|value| fits(name, value)) {
            return Err(format!("the values of `{name}` do not look like one"));
        }
        Ok(self)
    }
}

/// Whether `value` can stand in an address as the setting `name`.
#[must_use]
pub fn fits(name: &str, value: &str) -> bool {
    let dots = matches!(name, "host" | "account_id" | "api_version");
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (dots && byte == b'.');
    // A project of Google's may belong to a domain: `example.com:project`.
    let colon = |byte: u8| name == "project" && matches!(byte, b':' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    (1..=253).contains(&bytes.len())
        && bytes.iter().all(|byte| letter(*byte) || colon(*byte))
        && ends(bytes.first())
        && ends(bytes.last())
        && !value.contains("..")
}

/// What a setting's value may be, in words.
#[must_use]
pub fn allowed(name: &str) -> &'static str {
    match name {
        "host" => "write a host's name alone, without `https://`, port or path",
        "project" => "write letters, digits, `-`, `.` and `:`",
        "account_id" | "api_version" => "write letters, digits, `-`, `_` and `.`",
        _ => "write letters, digits, `-` and `_`",
    }
}

impl Provider {
    /// The value of a setting that addresses can be made of, as it is written.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        match name {
            "account_id" => self.account_id.as_deref(),
            "api_version" => self.api_version.as_deref(),
            "host" => self.host.as_deref(),
            "project" => self.project.as_deref(),
            "region" => self.region.as_deref(),
            "resource" => self.resource.as_deref(),
            _ => None,
        }
    }
}

impl Vendor {
    /// Whether its address has variables.
    #[must_use]
    pub fn is_template(&self) -> bool {
        !self.variables.is_empty()
    }

    /// Whether a setting means something to it that is no part of its address.
    #[must_use]
    pub fn takes(&self, setting: &str) -> bool {
        self.variables.iter().any(|variable| variable.name == setting)
    }

    /// Its address with every variable filled in by `value`, or the first variable that has none.
    ///
    /// # Errors
    /// The variable.
    pub fn address(&self, value: &dyn Fn(&Variable) -> Option<String>) -> Result<Option<String>, &Variable> {
        let mut values = Vec::with_capacity(self.variables.len());
        for variable in &self.variables {
            let value = value(variable).or_else(|| variable.default.clone()).ok_or(variable)?;
            values.push((variable.name.as_str(), value));
        }
        let is = |name: &str, wanted: &str| values.iter().any(|(known, value)| *known == name && value == wanted);
        let special = self.base_url_for.iter().find(|(name, wanted, _)| is(name, wanted)).map(|(_, _, url)| url);
        let Some(template) = special.or(self.base_url.as_ref()) else { return Ok(None) };
        let mut url = template.clone();
        for (name, value) in &values {
            url = url.replace(&format!("{{{name}}}"), value);
        }
        Ok(Some(url))
    }

    /// Its address as a provider has it on a machine; `None` where something of it is not known there.
    #[must_use]
    pub fn address_on(&self, machine: &dyn Environment, provider: Option<&Provider>) -> Option<String> {
        let variable = |name: &String| machine.variable(name).filter(|value| !value.trim().is_empty());
        let value = |known: &Variable| match provider.and_then(|provider| provider.setting(&known.name)) {
            Some(written) => match Reference::parse(written) {
                Ok(Reference::Variable(name)) => variable(&name),
                Ok(Reference::File(_)) => None,
                Err(_) => Some(written.to_owned()),
            },
            None => known.env.iter().find_map(variable),
        };
        self.address(&value).ok().flatten()
    }

    /// Its address as an example shows it.
    #[must_use]
    pub fn example_address(&self) -> Option<String> {
        self.address(&|variable| Some(variable.example.clone())).ok().flatten()
    }

    /// Every variable stands in its address, and nothing in its address is a variable that it does not have.
    pub(super) fn variables_are_whole(&self) -> Result<(), String> {
        let special = self.base_url_for.iter().map(|(_, _, url)| url);
        let templates: Vec<&String> = self.base_url.iter().chain(special).collect();
        for variable in &self.variables {
            let form = format!("{{{}}}", variable.name);
            let chosen_by = self.base_url_for.iter().any(|(name, _, _)| *name == variable.name);
            if !chosen_by && !templates.iter().any(|url| url.contains(&form)) {
                return Err(format!("the variable `{}` stands in no address", variable.name));
            }
        }
        match self.example_address() {
            Some(url) if url.contains(['{', '}']) => Err(format!("`{url}` has a variable that is not described")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_leads_an_address_elsewhere() {
        for (name, value) in [
            ("resource", "my-resource"),
            ("host", "dbc-1.cloud.databricks.com"),
            ("account_id", "org.eu-west-1"),
            ("project", "example.com:project-1"),
            ("api_version", "2024-10-21"),
        ] {
            assert!(fits(name, value), "{name} {value}");
        }
        for value in
            ["", "evil.example/", "a/b", "a@b", "a?b", "a#b", "a.b", "a b", "-a", "a-", "a%2f", "ä", "a:1", "a\n"]
        {
            assert!(!fits("resource", value), "{value:?}");
        }
        for value in ["a..b", "a.b.", ".a", "a:443", "a/b", "u@a"] {
            assert!(!fits("host", value), "{value:?}");
        }
    }
}
