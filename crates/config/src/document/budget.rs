//! Budgets and limits of their own, as users write them: for a model, a provider, an MCP server, a tool, or a value of
//! the metadata that callers send.

use std::collections::BTreeMap;

use super::{
    access::Limits,
    read::object,
    scalar::{Budget, OneOrMany},
};

object! {
    /// A budget, or limits, for the calls that a scope takes in.
    pub struct SharedBudget("a budget with `scope`") {
        required {
            /// Which calls count: those to which all of it applies.
            #[schemars(example = serde_json::json!({ "provider": "openai", "metadata": { "project": "x" } }))]
            pub scope: BudgetScope = "{ provider: openai }",
        }
        optional {
            /// The most that these calls may cost together.
            #[schemars(example = &"10 usd/month")]
            pub budget: OneOrMany<Budget>,
            /// How often such calls may be made.
            #[schemars(example = serde_json::json!({ "requests": "600/min", "concurrent": 50 }))]
            pub limits: Limits,
        }
        later {}
    }
}

object! {
    /// Which calls a budget is for. Where several members are given, all of them must apply.
    #[derive(Default)]
    pub struct BudgetScope("`{ model: .., provider: .., metadata: { .. } }`") {
        required {}
        optional {
            /// A model: as callers name it, or `provider/model` as it is served. A `*` at the end stands for any rest.
            #[schemars(example = &"openai/*")]
            pub model: Option<String>,
            /// A provider.
            #[schemars(example = &"openai")]
            pub provider: Option<String>,
            /// An MCP server.
            #[schemars(example = &"notes")]
            pub mcp_server: Option<String>,
            /// A tool, as `server/tool`.
            #[schemars(example = &"crm/send_mail")]
            pub tool: Option<String>,
            /// A team.
            #[schemars(example = &"research")]
            pub team: Option<String>,
            /// A key.
            #[schemars(example = &"team-a")]
            pub key: Option<String>,
            /// Members of the metadata that the caller sends, and their values.
            #[schemars(example = serde_json::json!({ "project": "x" }))]
            pub metadata: BTreeMap<String, String>,
        }
        later {}
    }
}
