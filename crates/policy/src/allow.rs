//! What is short for policies: `allow` lists of keys, `tools` lists of servers, and the permits that are built in.
//!
//! Names come from people and may hold anything: policies are built as syntax trees, never as text.

use std::sync::Arc;

use cedar_policy::{
    Policy,
    pst::{ActionConstraint, BinaryOp, Clause, Effect, EntityOrSlot, PrincipalConstraint, ResourceConstraint},
};
use tidegate_core::facts::Action;

use crate::{
    entities::{ACTION, KEY, MCP_SERVER, TOOL, child_id},
    expression::{self as build, Scope},
    input::{KeyEntity, ServerEntity},
    slice::When,
};

/// Stands for every name in an `allow` list.
const ALL: &str = "*";

/// What a key may do at a server that its `allow` list names.
const SERVER_ACTIONS: [Action; 8] = [
    Action::CallTool,
    Action::ListTools,
    Action::ReadResource,
    Action::ListResources,
    Action::GetPrompt,
    Action::ListPrompts,
    Action::UseServer,
    Action::AnswerServer,
];

/// The permits of a key's `allow` lists; none where the key has none.
pub(crate) fn key_permits(key: &KeyEntity) -> Vec<(Policy, When)> {
    let Some(allow) = &key.allow else { return Vec::new() };
    [models_permit(key, &allow.models), list_models_permit(key, &allow.models), servers_permit(key, &allow.mcp_servers)]
        .into_iter()
        .flatten()
        .collect()
}

/// `allow:<key>:models`: asking models, by the names of the list.
fn models_permit(key: &KeyEntity, models: &[String]) -> Option<(Policy, When)> {
    if models.is_empty() {
        return None;
    }
    let model = build::attribute(build::attribute(build::context(), "request"), "model");
    let condition = match models {
        _ if models.iter().any(|name| name == ALL) => None,
        [name] => Some(build::binary(BinaryOp::Eq, model, build::text(name))),
        names => {
            let names = names.iter().map(|name| build::text(name)).collect();
            Some(build::binary(BinaryOp::Contains, Arc::new(cedar_policy::pst::Expr::Set(names)), model))
        }
    };
    let when = match condition {
        None => When::Always,
        Some(_) => When::ModelAmong(models.iter().map(|name| Arc::from(name.as_str())).collect()),
    };
    let clauses = condition.map(|condition| {
        let named = build::has(build::attribute(build::context(), "request"), "model");
        Clause::When(build::binary(BinaryOp::And, named, condition))
    });
    let scope = Scope {
        principal: principal(key)?,
        action: actions(&[Action::InvokeModel])?,
        resource: ResourceConstraint::Any,
    };
    let policy =
        build::policy(&format!("allow:{}:models", key.name), Effect::Permit, scope, clauses.into_iter().collect());
    Some((policy?, when))
}

/// `allow:<key>:list_models`: asking which models there are, which are then filtered one by one, and having batches run,
/// whose lines are then decided one by one.
fn list_models_permit(key: &KeyEntity, models: &[String]) -> Option<(Policy, When)> {
    if models.is_empty() {
        return None;
    }
    let scope = Scope {
        principal: principal(key)?,
        action: actions(&[Action::ListModels, Action::UseBatches])?,
        resource: ResourceConstraint::Any,
    };
    let policy = build::policy(&format!("allow:{}:list_models", key.name), Effect::Permit, scope, Vec::new());
    Some((policy?, When::Always))
}

/// `allow:<key>:mcp_servers`: everything at the servers of the list.
fn servers_permit(key: &KeyEntity, servers: &[String]) -> Option<(Policy, When)> {
    let (mut clauses, mut when) = (Vec::new(), When::Always);
    let resource = match servers {
        [] => return None,
        _ if servers.iter().any(|name| name == ALL) => ResourceConstraint::Any,
        [name] => ResourceConstraint::In(EntityOrSlot::Entity(build::entity(MCP_SERVER, name)?)),
        names => {
            let servers: Option<Vec<_>> = names.iter().map(|name| build::entity(MCP_SERVER, name)).collect();
            when = When::ResourceIn(servers.as_ref()?.iter().map(build::uid).collect::<Option<_>>()?);
            let servers = build::entity_set(servers?);
            clauses.push(Clause::When(build::binary(BinaryOp::In, build::resource(), servers)));
            ResourceConstraint::Any
        }
    };
    let scope = Scope { principal: principal(key)?, action: actions(&SERVER_ACTIONS)?, resource };
    let policy = build::policy(&format!("allow:{}:mcp_servers", key.name), Effect::Permit, scope, clauses);
    Some((policy?, when))
}

/// `tools:<server>`: forbids the tools that a server's `tools` list does not name.
pub(crate) fn tools_forbid(server: &ServerEntity) -> Option<(Policy, When)> {
    let allowed = server.allowed_tools.as_ref()?;
    let tools: Option<Vec<_>> =
        allowed.iter().map(|tool| build::entity(TOOL, &child_id(server.name.as_str(), tool.as_str()))).collect();
    // Strict typing knows no type for an empty set: with an empty list every tool is forbidden without a condition.
    let mut when = When::Always;
    let clauses = match tools? {
        none if none.is_empty() => Vec::new(),
        tools => {
            when = When::ResourceNotAmong(tools.iter().map(build::uid).collect::<Option<_>>()?);
            vec![Clause::Unless(build::binary(BinaryOp::Contains, build::entity_set(tools), build::resource()))]
        }
    };
    let parent = EntityOrSlot::Entity(build::entity(MCP_SERVER, server.name.as_str())?);
    let scope = Scope {
        principal: PrincipalConstraint::Any,
        action: actions(&[Action::CallTool])?,
        resource: ResourceConstraint::IsIn(build::entity_type(TOOL)?, parent),
    };
    let policy = build::policy(&format!("tools:{}", server.name), Effect::Forbid, scope, clauses);
    Some((policy?, when))
}

/// The permits that every configuration has.
pub(crate) fn built_in() -> Vec<(Policy, When)> {
    let scope = actions(&[Action::ProposeTool]).map(|action| Scope {
        principal: PrincipalConstraint::Any,
        action,
        resource: ResourceConstraint::Any,
    });
    scope
        .and_then(|scope| build::policy("builtin:propose_tool", Effect::Permit, scope, Vec::new()))
        .map(|policy| (policy, When::Always))
        .into_iter()
        .collect()
}

fn principal(key: &KeyEntity) -> Option<PrincipalConstraint> {
    Some(PrincipalConstraint::Eq(EntityOrSlot::Entity(build::entity(KEY, key.name.as_str())?)))
}

/// The constraint for these actions. A group stands for its members, so `call_tool` is always written with `in`.
fn actions(actions: &[Action]) -> Option<ActionConstraint> {
    match actions {
        [one] if *one != Action::CallTool => Some(ActionConstraint::Eq(build::entity(ACTION, one.as_str())?)),
        many => {
            let many: Option<Vec<_>> = many.iter().map(|action| build::entity(ACTION, action.as_str())).collect();
            Some(ActionConstraint::In(many?))
        }
    }
}
