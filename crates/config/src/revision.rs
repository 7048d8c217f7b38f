//! The content hash of everything that decides.
//!
//! Owns what goes into it and in which order. Secrets never do: a revision names where they are kept.

use std::collections::BTreeMap;

use tidegate_core::ids::{Digest, RevisionId};

use crate::{
    document::Document,
    identity::{StoredKey, StoredRules},
    pins::PinnedTool,
    vendor,
};

/// The digest of what does not change with keys: the document's canonical form, the policy files, the vendors, the
/// catalogue of prices and the pinned tools, which come in the order of their names.
pub(crate) fn base(
    document: &Document,
    policies: &[(String, String)],
    catalog: &Digest,
    pins: &[PinnedTool],
) -> Result<Digest, serde_json::Error> {
    let mut parts = Parts::default();
    parts.add("document", document.canonical()?.as_bytes());
    // Which folder policies lie in decides nothing; their own names stand in policy ids.
    let mut policies: Vec<(&str, &str)> =
        policies.iter().map(|(name, text)| (name.rsplit(['/', '\\']).next().unwrap_or(name), text.as_str())).collect();
    policies.sort_unstable();
    for (name, text) in policies {
        parts.add(name, text.as_bytes());
    }
    for (name, text) in vendor::FILES {
        parts.add(name, text.as_bytes());
    }
    parts.add("catalog", catalog.as_bytes());
    for pin in pins {
        parts.add("pin", pin.server.as_str().as_bytes());
        parts.add(pin.name.as_str(), pin.digest.as_bytes());
    }
    Ok(parts.digest())
}

/// The revision of a base and the rules of the store's keys. Digests of keys and revoked keys are no part of it.
pub(crate) fn with_keys(base: &Digest, keys: &[StoredKey]) -> Result<RevisionId, serde_json::Error> {
    let mut parts = Parts::default();
    parts.add("base", base.as_bytes());
    let rules: BTreeMap<(&str, &str), (Option<&str>, &StoredRules)> = keys
        .iter()
        .filter(|key| key.revoked.is_none())
        .filter_map(|key| {
            let team = key.team.as_ref().map(tidegate_core::ids::TeamName::as_str);
            Some(((key.org.as_str(), key.name.as_str()), (team, key.rules.as_ref()?)))
        })
        .collect();
    for ((org, name), (team, rules)) in rules {
        parts.add(org, name.as_bytes());
        parts.add(team.unwrap_or_default(), serde_json::to_string(rules)?.as_bytes());
    }
    Ok(RevisionId(parts.digest()))
}

/// Named parts, each with its length before it, so that no two lists of parts give the same bytes.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.0.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.0.extend_from_slice(part);
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

#[cfg(test)]
mod tests;
