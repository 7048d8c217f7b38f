//! Every policy in force as Cedar text, generated ones included, for `tidegate policy show`.

use crate::{allow, input::PolicyInput, slice::id_text, source};

/// One policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The policy's id.
    pub id: String,
    /// Where it comes from: a file's name, `key <name>`, `MCP server <name>` or `built in`.
    pub origin: String,
    /// The policy in Cedar's syntax. A policy of a file stands as it was written.
    pub text: String,
}

/// Every policy: built in, of servers, of keys, of files, in this order. What cannot be parsed is left out; `compile`
/// reports it.
#[must_use]
pub fn show(input: &PolicyInput<'_>) -> Vec<Shown> {
    let shown = |origin: String| {
        move |policy: cedar_policy::Policy| Shown {
            id: id_text(policy.id()),
            origin: origin.clone(),
            text: policy.to_string(),
        }
    };
    let first = |(policy, _)| policy;
    let built_in = allow::built_in().into_iter().map(first).map(shown("built in".to_owned()));
    let servers = input
        .servers
        .iter()
        .filter_map(|server| allow::tools_forbid(server).map(first).map(shown(format!("MCP server {}", server.name))));
    let keys = input
        .keys
        .iter()
        .flat_map(|key| allow::key_permits(key).into_iter().map(first).map(shown(format!("key {}", key.name))));
    let (policies, _) = source::parse(&input.sources);
    let files = policies.into_iter().map(|policy| {
        let origin = input.sources.get(policy.file).map(|source| source.file.to_string()).unwrap_or_default();
        shown(origin)(policy.policy)
    });
    built_in.chain(servers).chain(keys).chain(files).collect()
}
