//! Budgets by model, provider, server, tool and metadata: which calls they are for.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::principal::Principal;
use tidegate_ledger::{Scope, ScopeKind};

use crate::document::{BudgetScope, Document};

/// A budget of its own, and which calls count for it.
#[derive(Debug, Clone)]
pub struct SharedScope {
    /// Its account.
    pub scope: Scope,
    written: BudgetScope,
}

/// What a call is, for one place that it may go to.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// The model as the caller named it.
    pub model: Option<&'a str>,
    /// The place's provider.
    pub provider: Option<&'a str>,
    /// The place's model, as `provider/model`.
    pub target: Option<&'a str>,
    /// The place's MCP server.
    pub server: Option<&'a str>,
    /// The tool that is run there.
    pub tool: Option<&'a str>,
    /// What the caller sent as metadata.
    pub metadata: &'a BTreeMap<Arc<str>, Arc<str>>,
}

impl SharedScope {
    pub(super) fn all(document: &Document) -> Arc<[Self]> {
        let one = |(name, budget): (&String, &crate::document::SharedBudget)| Self {
            scope: Scope::new(ScopeKind::Budget, name.as_str()),
            written: budget.scope.clone(),
        };
        document.budgets.iter().map(one).collect()
    }

    /// Whether a call of `model`, as its caller named it, counts for it where `target` answers, as far as that decides.
    #[must_use]
    pub fn takes_target(&self, model: Option<&str>, target: &str) -> bool {
        let provider = target.split_once('/').map(|(provider, _)| provider);
        self.takes_model(model, Some(target)) && same(&self.written.provider, provider)
    }

    fn takes_model(&self, model: Option<&str>, target: Option<&str>) -> bool {
        self.written.model.as_deref().is_none_or(|wanted| {
            let fits = |name: &str| match wanted.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == wanted,
            };
            model.into_iter().chain(target).any(fits)
        })
    }

    /// Whether `call` counts for it.
    #[must_use]
    pub fn takes(&self, call: &Counted<'_>) -> bool {
        let written = &self.written;
        let model = self.takes_model(call.model, call.target);
        let tool = written.tool.as_deref().is_none_or(|wanted| {
            let named = wanted.split_once('/');
            named.is_some_and(|(server, tool)| call.server == Some(server) && call.tool == Some(tool))
        });
        model
            && tool
            && same(&written.provider, call.provider)
            && same(&written.mcp_server, call.server)
            && same(&written.key, Some(call.principal.key_name.as_str()))
            && same(&written.team, call.principal.team.as_ref().map(AsRef::as_ref))
            && written
                .metadata
                .iter()
                .all(|(name, value)| call.metadata.get(name.as_str()).is_some_and(|sent| **sent == *value.as_str()))
    }
}

fn same(wanted: &Option<String>, is: Option<&str>) -> bool {
    wanted.as_deref().is_none_or(|name| is == Some(name))
}
