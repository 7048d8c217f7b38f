//! Which providers `up` finds: keys in the environment, named after what each vendor's own SDK reads.
//!
//! Finds only what the catalogue of vendors names, and asks nobody anything.

use std::fmt::Write as _;

use tidegate_config::vendor::Vendors;
use tidegate_core::secret::Secret;

/// A provider that was found.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Found {
    /// The provider's name.
    pub(crate) name: String,
    /// Where it was found.
    pub(crate) from: String,
    /// Six hexadecimal digits of its key's SHA-256, if it has a key.
    pub(crate) fingerprint: Option<String>,
}

/// Every vendor whose key stands in the environment, and the simulator.
pub(crate) fn providers(vendors: &Vendors, variable: impl Fn(&str) -> Option<String>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for vendor in vendors.iter().filter(|vendor| vendor.needs_key()) {
        let key =
            vendor.env.iter().find_map(|name| variable(name).filter(|key| !key.is_empty()).map(|key| (name, key)));
        if let Some((name, key)) = key {
            let fingerprint = Some(Secret::new(key).fingerprint());
            found.push(Found { name: vendor.name.clone(), from: name.clone(), fingerprint });
        }
    }
    found.push(Found { name: "sim".to_owned(), from: "built in".to_owned(), fingerprint: None });
    found
}

/// A configuration of what was found.
pub(crate) fn document(found: &[Found]) -> String {
    let mut text = "version: 1\nproviders:\n".to_owned();
    for provider in found {
        let _ = match &provider.fingerprint {
            Some(_) => writeln!(text, "  {}: {{ key: env:{} }}", provider.name, provider.from),
            None => writeln!(text, "  {}: {{}}", provider.name),
        };
    }
    text.push_str("mcp_servers:\n  sim: { url: \"sim:mcp\" }\n");
    if !found.iter().any(|provider| provider.name == "openai") {
        text.push_str("default_provider: sim\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_environment_is_referred_to_and_never_written_down() {
        let vendors = Vendors::builtin().unwrap();
        let found = providers(&vendors, |name| (name == "ANTHROPIC_API_KEY").then(|| "sk-ant-very-secret".to_owned()));
        let text = document(&found);
        assert!(text.contains("anthropic: { key: env:ANTHROPIC_API_KEY }"), "{text}");
        assert!(!text.contains("very-secret"));
        assert!(text.contains("sim: {}"));
    }
}
