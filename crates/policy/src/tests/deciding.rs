//! Default deny, forbid wins, errors deny, observe does not act, duties.

use tidegate_core::facts::{Action, Facts, GuardAction, GuardVerdict, Resource};
use tidegate_core::segment::Origin;

use super::fixture::*;
use crate::{Approvers, DenyReason, Duty, Effect, ObservedEffect, compile};

#[test]
fn what_nothing_permits_is_denied() {
    let policies = compiled("");
    let decision = ask(&policies, &principal("bare", Some("research")), &invoke("chat"), &model("openai", "gpt-5.2"));
    assert_eq!(decision.effect, denied(DenyReason::NothingPermits));
    assert!(decision.determining.is_empty());
}

#[test]
fn an_allowed_alias_grants_its_targets_only_under_its_name() {
    let policies = compiled("");
    let target = model("openai", "gpt-5.2");
    let decision = ask(&policies, &team_a(), &invoke("chat"), &target);
    assert_eq!((decision.effect, ids(&decision)), (Effect::Allow, vec!["allow:team-a:models"]));
    assert!(!ask(&policies, &team_a(), &invoke("openai/gpt-5.2"), &target).is_allowed());
    assert!(ask(&policies, &principal("all", None), &invoke("openai/gpt-5.2"), &target).is_allowed());
}

#[test]
fn an_allowed_server_grants_its_tools_resources_prompts_and_session() {
    let policies = compiled("");
    let at = |server: &str| {
        vec![
            (Action::CallTool, tool(server, "search")),
            (Action::CallTool, tool(server, "unpinned")),
            (Action::ListTools, Resource::Server(server.into())),
            (Action::UseServer, Resource::Server(server.into())),
            (Action::AnswerServer, Resource::Server(server.into())),
            (Action::ReadResource, Resource::McpResource(server.into(), "file:///a".into())),
            (Action::GetPrompt, Resource::Prompt(server.into(), "greet".into())),
        ]
    };
    for (action, resource) in at("notes") {
        let facts = Facts::new("mcp", action, resource.clone());
        assert!(ask(&policies, &team_a(), &facts, &resource).is_allowed(), "{action} {resource}");
    }
    for (action, resource) in at("wiki") {
        let facts = Facts::new("mcp", action, resource.clone());
        assert!(!ask(&policies, &team_a(), &facts, &resource).is_allowed(), "{action} {resource}");
        assert!(ask(&policies, &principal("all", None), &facts, &resource).is_allowed(), "{action} {resource}");
    }
}

#[test]
fn a_tool_that_is_not_on_its_servers_list_is_forbidden() {
    let mut input = input("");
    input.servers[0].allowed_tools = Some(vec!["search".into()]);
    input.servers[1].allowed_tools = Some(Vec::new());
    let policies = compiled_input(&input);
    assert!(search(&policies, &[]).is_allowed());
    let decision = ask(&policies, &team_a(), &call(&[]), &tool("notes", "delete"));
    assert_eq!((decision.effect, ids(&decision)), (denied(DenyReason::Forbidden), vec!["tools:notes"]));
    assert!(!ask(&policies, &principal("all", None), &call(&[]), &tool("wiki", "any")).is_allowed());
}

#[test]
fn a_forbid_wins_over_every_permit() {
    let policies = compiled(
        r#"@id("no-sonnet") forbid (principal in Tidegate::Team::"research", action, resource in Tidegate::Provider::"anthropic");"#,
    );
    let decision = ask(&policies, &team_a(), &invoke("chat"), &model("anthropic", "claude-sonnet-4-6"));
    assert_eq!((decision.effect, ids(&decision)), (denied(DenyReason::Forbidden), vec!["no-sonnet"]));
    assert!(ask(&policies, &team_a(), &invoke("chat"), &model("openai", "gpt-5.2")).is_allowed());
}

#[test]
fn erroring_forbid_denies() {
    let policies = compiled(
        r#"@id("too-much") forbid (principal, action == Tidegate::Action::"invoke_model", resource)
           when { context.request.input_tokens * 4 > 1000000 };"#,
    );
    let target = model("openai", "gpt-5.2");
    assert!(ask(&policies, &team_a(), &invoke("chat"), &target).is_allowed());
    let facts = Facts { input_tokens: u64::MAX, ..invoke("chat") };
    let decision = ask(&policies, &team_a(), &facts, &target);
    assert_eq!((decision.effect, ids(&decision)), (denied(DenyReason::EvaluationError), vec!["too-much"]));
    assert_eq!(&*decision.errors[0].policy, "too-much");
}

#[test]
fn an_erroring_policy_of_another_scope_does_not_deny() {
    let policies = compiled(
        r#"forbid (principal in Tidegate::Team::"sales", action == Tidegate::Action::"invoke_model", resource)
           when { context.request.input_tokens * 4 > 1000000 };"#,
    );
    let facts = Facts { input_tokens: u64::MAX, ..invoke("chat") };
    assert!(ask(&policies, &team_a(), &facts, &model("openai", "gpt-5.2")).is_allowed());
    let sales = principal("all", Some("sales"));
    assert!(!ask(&policies, &sales, &facts, &model("openai", "gpt-5.2")).is_allowed());
}

#[test]
fn an_observing_policy_is_recorded_and_does_not_act() {
    let policies = compiled(
        r#"@id("would-stop") @mode("observe") forbid (principal, action, resource is Tidegate::Model);
           @id("would-open") @mode("observe") permit (principal, action == Tidegate::Action::"invoke_model", resource);
           @id("would-break") @mode("observe") forbid (principal, action == Tidegate::Action::"invoke_model", resource)
             when { context.request.input_tokens + 9223372036854775807 > 0 };
           @id("acts") @mode("enforce") forbid (principal, action == Tidegate::Action::"use_server", resource);"#,
    );
    let target = model("openai", "gpt-5.2");
    let facts = Facts { input_tokens: 7, ..invoke("chat") };
    let allowed = ask(&policies, &team_a(), &facts, &target);
    assert_eq!((allowed.effect, ids(&allowed)), (Effect::Allow, vec!["allow:team-a:models"]));
    let said: Vec<_> = allowed.observed.iter().map(|said| (&*said.policy, &said.effect)).collect();
    assert!(matches!(said[0], ("would-break", ObservedEffect::Error(_))));
    assert_eq!(said[1..], [("would-open", &ObservedEffect::Permit), ("would-stop", &ObservedEffect::Forbid)]);
    let denied_all_the_same = ask(&policies, &principal("bare", None), &facts, &target);
    assert_eq!(denied_all_the_same.effect, denied(DenyReason::NothingPermits));
    let session = Facts::new("mcp", Action::UseServer, Resource::Gateway);
    assert!(!ask(&policies, &team_a(), &session, &Resource::Server("notes".into())).is_allowed());
}

#[test]
fn a_permit_that_asks_for_approval_denies_even_beside_a_plain_one() {
    let policies = compiled(
        r#"@id("ask-first") @approval("two-person") @hold("10m") @redact("pii")
           permit (principal, action, resource == Tidegate::Tool::"notes/delete");
           @id("clean") @redact("pii") permit (principal, action, resource == Tidegate::Tool::"notes/search");"#,
    );
    let held = ask(&policies, &team_a(), &call(&[]), &tool("notes", "delete"));
    assert_eq!((held.effect, ids(&held)), (denied(DenyReason::ApprovalRequired), vec!["ask-first"]));
    let minutes = std::time::Duration::from_secs(600);
    assert_eq!(held.duties, [Duty::Approval(Approvers::TwoPeople), Duty::Redact("pii".into()), Duty::Hold(minutes)]);
    let passed = search(&policies, &[]);
    assert_eq!((passed.effect, passed.duties), (Effect::Allow, vec![Duty::Redact("pii".into())]));
}

#[test]
fn proposing_a_tool_is_permitted_unless_forbidden() {
    let policies = compiled(
        r#"forbid (principal, action == Tidegate::Action::"propose_tool", resource) when { resource.name like "rm*" };"#,
    );
    let nobody = principal("stranger", None);
    let ask_for = |name: &str| {
        let resource = Resource::ProposedTool(name.into());
        ask(&policies, &nobody, &Facts::new("openai", Action::ProposeTool, resource.clone()), &resource)
    };
    let decision = ask_for("get_weather");
    assert_eq!((decision.effect, ids(&decision)), (Effect::Allow, vec!["builtin:propose_tool"]));
    assert!(!ask_for("rm_rf").is_allowed());
}

#[test]
fn every_part_of_the_context_can_be_read() {
    let holds = [
        r#"context.request.stream && context.request.input_tokens == 10 && context.request.max_output_tokens == 20"#,
        r#"context.request.tools.contains("lookup") && context.request.surface == "openai""#,
        r#"context.request has estimated_cost_nano_usd && context.request.estimated_cost_nano_usd == 5"#,
        r#"context.request has session && context.request.session == "s1""#,
        r#"context.request.metadata.contains("env=prod")"#,
        r#"context.verdicts.contains("pii.email")"#,
        r#"context.time.hour == 16 && context.time.weekday == 2 && context.time.unix_seconds == 1795536000"#,
        r#"context.source_address.isInRange(ip("192.0.2.0/24"))"#,
        r#"principal.name == "bare" && principal has team && principal.team == "research" && principal.org == "default""#,
        r#"resource.provider == "openai" && resource.name == "gpt-5.2""#,
    ];
    let mut facts = Facts { stream: true, input_tokens: 10, max_output_tokens: 20, ..invoke("chat") };
    facts.tools = vec!["lookup".into()];
    facts.estimated_cost = Some(tidegate_core::money::NanoUsd(5));
    facts.session = Some("s1".into());
    facts.metadata.insert("env".into(), "prod".into());
    facts.verdicts.push(GuardVerdict {
        guardrail: "pii".into(),
        category: "pii.email".into(),
        origin: Origin::Prompt,
        action: GuardAction::Label,
        count: 1,
    });
    for condition in holds {
        let text = format!(
            r#"permit (principal, action == Tidegate::Action::"invoke_model", resource) when {{ {condition} }};"#
        );
        let policies = compiled(&text);
        let decision = ask(&policies, &principal("bare", Some("research")), &facts, &model("openai", "gpt-5.2"));
        assert!(decision.is_allowed(), "{condition}: {decision:?}");
    }
}

#[test]
fn a_key_of_the_store_is_added_and_removed_without_compiling_again() {
    let policies = compiled("");
    let target = model("openai", "gpt-5.2");
    let late = principal("late", Some("sales"));
    assert!(!ask(&policies, &late, &invoke("chat"), &target).is_allowed());
    let more = policies.with_keys(&[key("late", Some("sales"), Some((&["chat", "other"], &[])))]).unwrap();
    assert!(ask(&more, &late, &invoke("chat"), &target).is_allowed());
    assert!(ask(&more, &late, &invoke("other"), &target).is_allowed());
    assert!(!ask(&more, &late, &invoke("third"), &target).is_allowed());
    assert!(ask(&more, &team_a(), &invoke("chat"), &target).is_allowed());
    assert!(!ask(&policies, &late, &invoke("chat"), &target).is_allowed());
    assert!(!ask(&more.without_keys(&["late".into()]), &late, &invoke("chat"), &target).is_allowed());
}

#[test]
fn a_key_of_the_same_name_in_another_organisation_gets_nothing() {
    let policies = compiled("");
    let mut stranger = team_a();
    stranger.org = "other".into();
    assert!(!ask(&policies, &stranger, &invoke("chat"), &model("openai", "gpt-5.2")).is_allowed());
}

#[test]
fn an_action_on_the_wrong_kind_of_resource_is_denied() {
    let policies = compiled("permit (principal, action, resource);");
    let facts = Facts::new("mcp", Action::CallTool, Resource::Gateway);
    let decision = ask(&policies, &principal("all", None), &facts, &Resource::Gateway);
    assert_eq!(decision.effect, denied(DenyReason::EvaluationError));
}

#[test]
fn the_servers_of_many_keys_compile() {
    let mut input = input("");
    input.keys = vec![key("k", None, Some((&["a", "b"], &["notes", "wiki"])))];
    let policies = compile(&input).unwrap();
    let k = principal("k", None);
    assert!(ask(&policies, &k, &call(&[]), &tool("wiki", "x")).is_allowed());
    assert!(ask(&policies, &k, &call(&[]), &tool("notes", "search")).is_allowed());
    assert!(!ask(&policies, &k, &call(&[]), &tool("crm", "x")).is_allowed());
}
