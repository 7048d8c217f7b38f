//! Slices decide as the whole set does.

use cedar_policy::{Authorizer, Decision as Whole, PolicySet};
use proptest::prelude::*;
use tidegate_core::facts::{Action, Facts, Resource};

use super::fixture::*;
use crate::{Decision, DenyReason, Effect, Policies, context::Parts, decide::Asking};

const PRINCIPALS: [&str; 7] = [
    "principal",
    "principal is Tidegate::Key",
    "principal == Tidegate::Key::\"team-a\"",
    "principal in Tidegate::Team::\"research\"",
    "principal is Tidegate::Key in Tidegate::Team::\"sales\"",
    "principal in Tidegate::Org::\"default\"",
    "principal == Tidegate::Team::\"research\"",
];

const ACTIONS: [&str; 7] = [
    "action",
    "action == Tidegate::Action::\"invoke_model\"",
    "action in [Tidegate::Action::\"invoke_model\", Tidegate::Action::\"call_tool\"]",
    "action in Tidegate::Action::\"call_tool\"",
    "action == Tidegate::Action::\"call_tool:notes/search\"",
    "action in [Tidegate::Action::\"call_tool\", Tidegate::Action::\"call_tool:notes/search\"]",
    "action in [Tidegate::Action::\"use_server\", Tidegate::Action::\"call_tool:notes/delete\"]",
];

const RESOURCES: [&str; 9] = [
    "resource",
    "resource is Tidegate::Tool",
    "resource is Tidegate::Model",
    "resource is Tidegate::Tool in Tidegate::McpServer::\"notes\"",
    "resource in Tidegate::McpServer::\"notes\"",
    "resource == Tidegate::McpServer::\"notes\"",
    "resource == Tidegate::Tool::\"notes/search\"",
    "resource in Tidegate::Provider::\"openai\"",
    "resource == Tidegate::Model::\"openai/gpt-5.2\"",
];

const CONDITIONS: [&str; 6] = [
    "",
    "when { context.request.stream }",
    "unless { context.request.stream }",
    "when { principal has team && principal.team == \"sales\" }",
    "when { context.request.input_tokens + 9223372036854775800 > 0 }",
    "when { context.time.hour == 16 }",
];

fn policies() -> impl Strategy<Value = Vec<String>> {
    let one = (any::<bool>(), 0..PRINCIPALS.len(), 0..ACTIONS.len(), 0..RESOURCES.len(), 0..CONDITIONS.len());
    let text = one.prop_map(|(permit, principal, action, resource, condition)| {
        let effect = if permit { "permit" } else { "forbid" };
        let (p, a, r) = (PRINCIPALS[principal], ACTIONS[action], RESOURCES[resource]);
        format!("{effect} ({p}, {a}, {r}) {};", CONDITIONS[condition])
    });
    proptest::collection::vec(text, 1..8)
}

/// Without validation: a scope that can never match must not be found by a slice either.
fn sliced(texts: &[String]) -> Policies {
    let text = texts.join("\n");
    let source = crate::PolicySource { file: "p".into(), text: text.as_str().into() };
    let (parsed, problems) = crate::source::parse(std::slice::from_ref(&source));
    assert!(problems.is_empty(), "{problems:?}");
    let mut bare = input("");
    bare.keys.clear();
    crate::compile::assemble(&bare, &parsed).unwrap()
}

fn whole(
    texts: &[String],
    policies: &Policies,
    who: &tidegate_core::principal::Principal,
    facts: &Facts,
    resource: &Resource,
) -> (bool, usize) {
    let mut text = texts.join("\n");
    text.push_str("permit (principal, action == Tidegate::Action::\"propose_tool\", resource);");
    let set: PolicySet = text.parse().unwrap();
    let (request, entities) =
        Asking::with_parts(policies, who, facts, MOMENT, Parts::ALL).unwrap().posed(resource).unwrap();
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    let errors = response.diagnostics().errors().count();
    (response.decision() == Whole::Allow && errors == 0, errors)
}

fn agrees(decision: &Decision, (allowed, errors): (bool, usize)) {
    assert_eq!(decision.is_allowed(), allowed, "{decision:?}");
    assert_eq!(decision.errors.len(), errors, "{decision:?}");
    if errors == 0 && !allowed {
        assert_ne!(decision.effect, Effect::Deny(DenyReason::EvaluationError));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slices_decide_as_the_whole(texts in policies(), stream: bool, tokens in 0_u64..20) {
        let policies = sliced(&texts);
        let asked = [
            (Action::InvokeModel, model("openai", "gpt-5.2")),
            (Action::InvokeModel, model("openai", "unknown")),
            (Action::CallTool, tool("notes", "search")),
            (Action::CallTool, tool("notes", "delete")),
            (Action::CallTool, tool("notes", "unpinned")),
            (Action::CallTool, tool("wiki", "search")),
            (Action::UseServer, Resource::Server("notes".into())),
            (Action::ProposeTool, Resource::ProposedTool("x".into())),
            (Action::ReadResource, Resource::McpResource("notes".into(), "search".into())),
        ];
        for who in [team_a(), principal("other", Some("sales")), principal("lone", None)] {
            for (action, resource) in &asked {
                let facts = Facts { stream, input_tokens: tokens, ..Facts::new("mcp", *action, resource.clone()) };
                let decision = policies.decide(&who, &facts, resource, MOMENT);
                agrees(&decision, whole(&texts, &policies, &who, &facts, resource));
            }
        }
    }
}

#[test]
fn every_request_fits_the_schema() {
    let input = input("");
    let policies = compiled_input(&input);
    let schema: cedar_policy::Schema = crate::schema_text(&input).unwrap().parse().unwrap();
    let resources = [
        (Action::InvokeModel, model("openai", "new")),
        (Action::ListModels, Resource::Gateway),
        (Action::ProposeTool, Resource::ProposedTool("x".into())),
        (Action::CallTool, tool("notes", "search")),
        (Action::CallTool, tool("notes", "unpinned")),
        (Action::ListTools, Resource::Server("notes".into())),
        (Action::ReadResource, Resource::McpResource("notes".into(), "u".into())),
        (Action::ListResources, Resource::Server("new".into())),
        (Action::GetPrompt, Resource::Prompt("notes".into(), "p".into())),
        (Action::ListPrompts, Resource::Server("notes".into())),
        (Action::UseServer, Resource::Server("notes".into())),
        (Action::AnswerServer, Resource::Server("notes".into())),
    ];
    let arguments =
        call(&[("query", text("q")), ("limit", tidegate_core::value::Value::Integer(1)), ("odd", text("x"))]);
    for (action, resource) in resources {
        let mut facts = Facts { action, ..arguments.clone() };
        facts.model = Some("chat".into());
        facts.estimated_cost = Some(tidegate_core::money::NanoUsd(1));
        facts.session = Some("s".into());
        let principal = team_a();
        let asking = Asking::with_parts(&policies, &principal, &facts, MOMENT, Parts::ALL).unwrap();
        let (request, entities) = asking.posed(&resource).unwrap();
        let context = request.context().unwrap().clone();
        let part = |uid: Option<&cedar_policy::EntityUid>| uid.unwrap().clone();
        let (p, a, r) = (part(request.principal()), part(request.action()), part(request.resource()));
        let made = cedar_policy::Request::new(p, a, r, context, Some(&schema));
        assert!(made.is_ok(), "{action}: {made:?}");
        let others = entities.iter().filter(|entity| entity.uid().type_name().basename() != "Action").cloned();
        cedar_policy::Entities::from_entities(others, Some(&schema)).unwrap();
    }
}

/// What `allow` and `tools` lists compile to is decided without an evaluation: it must be what an evaluation says.
#[test]
fn plain_conditions_decide_as_their_policies() {
    let lists: [&[&str]; 4] = [&[], &["*"], &["chat"], &["chat", "smart"]];
    let servers: [&[&str]; 4] = [&[], &["*"], &["notes"], &["notes", "wiki"]];
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let asked = [
        (Action::InvokeModel, model("openai", "gpt-5.2")),
        (Action::ListModels, Resource::Gateway),
        (Action::CallTool, tool("notes", "search")),
        (Action::CallTool, tool("notes", "delete")),
        (Action::CallTool, tool("wiki", "search")),
        (Action::CallTool, tool("elsewhere", "search")),
        (Action::UseServer, Resource::Server("notes".into())),
        (Action::ReadResource, Resource::McpResource("wiki".into(), "u".into())),
    ];
    let mut allowed = 0;
    for (models, servers) in lists.into_iter().flat_map(|models| servers.map(|servers| (models, servers))) {
        let mut input = input("");
        let mut key = input.keys.iter().find(|key| key.name == team_a().key_name).unwrap().clone();
        key.allow = Some(crate::Allow { models: owned(models), mcp_servers: owned(servers) });
        input.keys = vec![key.clone()];
        if let Some(notes) = input.servers.iter_mut().find(|server| server.name.as_str() == "notes") {
            notes.allowed_tools = Some(vec!["search".into()]);
        }
        let policies = compiled_input(&input);
        let generated = crate::allow::key_permits(&key)
            .into_iter()
            .chain(input.servers.iter().filter_map(crate::allow::tools_forbid))
            .map(|(policy, _)| policy);
        let set = PolicySet::from_policies(generated).unwrap();
        for (action, resource) in &asked {
            for named in [None, Some("chat"), Some("other")] {
                let mut facts = Facts::new("mcp", *action, resource.clone());
                facts.model = named.map(Into::into);
                let principal = team_a();
                let asking = Asking::with_parts(&policies, &principal, &facts, MOMENT, Parts::ALL).unwrap();
                let (request, entities) = asking.posed(resource).unwrap();
                let response = Authorizer::new().is_authorized(&request, &set, &entities);
                let decision = policies.decide(&principal, &facts, resource, MOMENT);
                let whole = response.decision() == Whole::Allow;
                assert_eq!(decision.is_allowed(), whole, "{models:?} {servers:?} {action} {resource:?} {named:?}");
                allowed += usize::from(whole);
            }
        }
    }
    assert!(allowed > 100, "{allowed}");
}
