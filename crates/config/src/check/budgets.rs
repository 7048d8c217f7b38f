//! Checks of budgets of their own: what their scopes name exists, and they limit something.

use super::Checker;
use crate::{
    codes,
    document::{Limits, SharedBudget},
    node::join,
    problem::quote,
};

impl Checker<'_> {
    pub(super) fn budgets(&mut self) {
        let document = self.document;
        for (name, budget) in &document.budgets {
            self.budget(&join("budgets", name), budget);
        }
    }

    fn budget(&mut self, path: &str, budget: &SharedBudget) {
        let document = self.document;
        let scope = &budget.scope;
        let at = join(path, "scope");
        let of_models = scope.model.is_some() || scope.provider.is_some();
        let of_tools = scope.mcp_server.is_some() || scope.tool.is_some();
        let hint = "write for example `scope: { provider: openai }`";
        if !of_models && !of_tools && scope.team.is_none() && scope.key.is_none() && scope.metadata.is_empty() {
            self.error(codes::BAD_SCOPE, &at, "the scope names nothing", hint);
        }
        if of_models && of_tools {
            let message = "no call is of a model and of a tool, so this scope takes in nothing";
            self.error(codes::BAD_SCOPE, &at, message, hint);
        }
        if budget.budget.0.is_empty() && budget.limits == Limits::default() {
            let message = "it has neither `budget` nor `limits`, so it limits nothing";
            self.error_at_name(codes::BAD_SCOPE, path, message, "write for example `budget: 10 usd/month`");
        }
        self.limits(&join(path, "limits"), &budget.limits);
        if let Some(provider) = scope.provider.as_ref().filter(|name| !document.providers.contains_key(*name)) {
            let place = join(&at, "provider");
            self.undefined(codes::NO_PROVIDER, &place, ("provider", provider), "providers", &document.providers);
        }
        if let Some(server) = scope.mcp_server.as_ref().filter(|name| !document.mcp_servers.contains_key(*name)) {
            let place = join(&at, "mcp_server");
            self.undefined(codes::NO_SERVER, &place, ("MCP server", server), "mcp_servers", &document.mcp_servers);
        }
        if let Some(team) = scope.team.as_ref().filter(|name| !document.teams.contains_key(*name)) {
            self.undefined(codes::NO_TEAM, &join(&at, "team"), ("team", team), "teams", &document.teams);
        }
        if let Some(tool) = &scope.tool {
            let place = join(&at, "tool");
            match tool.split_once('/') {
                Some((server, tool)) if document.mcp_servers.contains_key(server) && !tool.is_empty() => {}
                Some((server, _)) => {
                    let what = ("MCP server", server);
                    self.undefined(codes::NO_SERVER, &place, what, "mcp_servers", &document.mcp_servers);
                }
                None => {
                    let message = format!("{} is not `server/tool`", quote(tool));
                    self.error(codes::BAD_SCOPE, &place, message, "write for example `tool: crm/send_mail`");
                }
            }
        }
        if let Some(model) = scope.model.as_ref().filter(|model| model.trim_end_matches('*').contains('*')) {
            let message = format!("{} has a `*` that is not at its end", quote(model));
            self.error(codes::BAD_SCOPE, &join(&at, "model"), message, "write for example `model: openai/*`");
        }
    }
}
