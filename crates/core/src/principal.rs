//! Who calls, and for whom.

use std::{net::IpAddr, sync::Arc};

use crate::ids::{KeyId, KeyName, OrgId, TeamName};

/// The caller of one call, as `identify` found it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant that everything of this call belongs to.
    pub org: OrgId,
    /// The key that was presented.
    pub key: KeyId,
    /// The key's name: what policies, budgets and reports call it.
    pub key_name: KeyName,
    /// The key's team, if it has one.
    pub team: Option<TeamName>,
    /// Who acts for whom, the person first; empty where the key acts for itself.
    pub chain: Vec<Delegate>,
    /// The address that the connection came from.
    pub address: IpAddr,
}

/// One link of a delegation chain.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Delegate {
    /// A person.
    User(Arc<str>),
    /// An agent.
    Agent(Arc<str>),
}
