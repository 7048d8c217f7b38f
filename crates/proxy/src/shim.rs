//! shim
use std::{collections::HashMap, sync::Arc};
use tidegate_core::ids::*;
use tidegate_upstream::*;
pub struct Limits {
    pub body_bytes: u64,
}
pub struct KeyRules {
    pub chain: Arc<tidegate_guard::Chain>,
    pub scopes: Arc<[tidegate_ledger::Scope]>,
}
pub struct Snapshot {
    pub revision: RevisionId,
    pub limits: Limits,
    pub servers: HashMap<ServerName, Arc<McpServer>>,
    pub audit: tidegate_audit::AuditPlan,
    pub policies: Arc<tidegate_policy::Policies>,
}
impl Snapshot {
    pub fn resolve(&self, _n: &ModelName) -> Option<Route> {
        None
    }
    pub fn model_names(&self) -> Vec<(ModelName, Vec<TargetId>)> {
        vec![]
    }
    pub fn key(&self, _n: &KeyName) -> Option<&KeyRules> {
        None
    }
}
pub struct Live(Arc<Snapshot>);
impl Live {
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.clone()
    }
}
