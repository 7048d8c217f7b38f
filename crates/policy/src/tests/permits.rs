//! Proofs: what a permit covers, when it is stale, what a list shows.

use tidegate_core::{
    facts::{Action, Facts, Resource},
    ids::{CallId, Digest, TargetId},
};

use super::fixture::*;
use crate::{Denial, DenyReason, Permit, SessionPermit, StalePermit, authorize};

fn permit(policies: &str, key: &str, facts: &Facts, candidates: &[Resource]) -> Result<Permit, Denial> {
    let team = Some("research").filter(|_| key == "team-a");
    let who = principal(key, team);
    authorize(&compiled(policies), CallId::new(), 3, Digest::of(b"body"), &who, facts, candidates, MOMENT)
}

fn list(policies: &str, key: &str, action: Action, of: Resource) -> Permit {
    permit(policies, key, &Facts::new("mcp", action, of.clone()), &[of]).unwrap()
}

#[test]
fn a_denied_candidate_is_left_out_and_the_others_are_covered() {
    let (openai, anthropic) = (model("openai", "gpt-5.2"), model("anthropic", "claude-sonnet-4-6"));
    let text = r#"@id("eu") forbid (principal, action, resource in Tidegate::Provider::"openai");"#;
    let permit = permit(text, "team-a", &invoke("chat"), &[openai.clone(), anthropic.clone()]).unwrap();
    assert_eq!(permit.allowed(), std::slice::from_ref(&anthropic));
    assert!(permit.allows(&anthropic) && !permit.allows(&openai));
    assert_eq!(permit.decisions().len(), 2);
    assert!(permit.listing().is_none());
}

#[test]
fn when_every_candidate_is_denied_the_denial_names_reason_and_policies() {
    let (openai, other) = (model("openai", "gpt-5.2"), model("anthropic", "x"));
    let text = r#"@id("eu") forbid (principal, action, resource in Tidegate::Provider::"openai");"#;
    let denial = permit(text, "bare", &invoke("chat"), &[openai, other]).unwrap_err();
    assert_eq!((denial.reason, denial.policies.as_slice()), (DenyReason::Forbidden, &["eu".to_owned()][..]));
    assert!(denial.public_message().contains("`eu`"));
    let nothing = permit("", "bare", &invoke("chat"), &[]).unwrap_err();
    assert_eq!(nothing.reason, DenyReason::NothingPermits);
}

#[test]
fn a_permit_is_stale_for_another_call_version_or_body() {
    let permit = permit("", "team-a", &invoke("chat"), &[model("openai", "gpt-5.2")]).unwrap();
    let (call, digest) = (permit.call(), Digest::of(b"body"));
    assert_eq!(permit.check(call, 3, digest), Ok(()));
    assert_eq!(permit.check(CallId::new(), 3, digest), Err(StalePermit::Call));
    assert_eq!(permit.check(call, 4, digest), Err(StalePermit::Version { permitted: 3, now: 4 }));
    assert_eq!(permit.check(call, 3, Digest::of(b"other")), Err(StalePermit::Digest));
}

#[test]
fn a_list_shows_only_what_may_be_called() {
    let text = r#"forbid (principal, action, resource == Tidegate::Tool::"notes/delete");
                  forbid (principal, action == Tidegate::Action::"read_resource", resource) when { resource.uri like "*secret*" };
                  forbid (principal, action == Tidegate::Action::"get_prompt", resource) when { resource.name == "hidden" };"#;
    let notes = || Resource::Server("notes".into());
    let tools = list(text, "team-a", Action::ListTools, notes());
    let seen = tools.listing().unwrap();
    assert!(seen.visible(&tool("notes", "search")) && seen.visible(&tool("notes", "new")));
    assert!(!seen.visible(&tool("notes", "delete")) && !seen.visible(&tool("wiki", "any")));
    assert_eq!(seen.visible_among(&[tool("notes", "search"), tool("notes", "delete")]), [true, false]);
    let resources = list(text, "team-a", Action::ListResources, notes());
    let seen = |uri: &str| resources.listing().unwrap().visible(&Resource::McpResource("notes".into(), uri.into()));
    assert!(seen("file:///a") && !seen("file:///secret"));
    let prompts = list(text, "team-a", Action::ListPrompts, notes());
    let seen = |name: &str| prompts.listing().unwrap().visible(&Resource::Prompt("notes".into(), name.into()));
    assert!(seen("greet") && !seen("hidden"));
}

#[test]
fn a_model_is_listed_under_the_name_that_is_allowed() {
    let permit = list("", "team-a", Action::ListModels, Resource::Gateway);
    let seen = permit.listing().unwrap();
    let target = TargetId::new("openai", "gpt-5.2");
    assert!(seen.visible_model(&"chat".into(), std::slice::from_ref(&target)));
    assert!(!seen.visible_model(&"other".into(), std::slice::from_ref(&target)));
    assert!(!seen.visible(&Resource::Model(target)));
    assert!(!seen.visible_model(&"chat".into(), &[]));
}

#[test]
fn a_tool_is_seen_where_some_arguments_may_be_allowed() {
    let permit_on = |condition: &str| {
        format!(
            r#"permit (principal == Tidegate::Key::"bare", action == Tidegate::Action::"list_tools", resource);
               permit (principal == Tidegate::Key::"bare", action == Tidegate::Action::"call_tool:notes/search", resource)
               when {{ {condition} }};"#
        )
    };
    let seen = |text: &str, key: &str| {
        let permit = list(text, key, Action::ListTools, Resource::Server("notes".into()));
        permit.listing().unwrap().visible(&tool("notes", "search"))
    };
    assert!(seen(&permit_on(r#"context.args.query == "x""#), "bare"));
    assert!(seen(&permit_on("context.args has limit && context.args.limit < 10"), "bare"));
    assert!(seen(&permit_on(r#"context.time.hour == 16 && context.args.query == "x""#), "bare"));
    assert!(!seen(&permit_on(r#"context.time.hour == 3 && context.args.query == "x""#), "bare"));
    let forbid_on = |clause: &str| {
        format!(r#"forbid (principal, action == Tidegate::Action::"call_tool:notes/search", resource) {clause};"#)
    };
    assert!(seen(&forbid_on(r#"when { context.args.query == "x" }"#), "team-a"));
    assert!(seen(&forbid_on(r#"unless { context.args.query == "x" }"#), "team-a"));
    assert!(!seen(&forbid_on("when { context.time.hour == 16 }"), "team-a"));
}

#[test]
fn a_session_needs_use_server_and_a_call_permit_is_none() {
    let policies = compiled("");
    let facts = Facts::new("mcp", Action::UseServer, Resource::Gateway);
    let session = SessionPermit::authorize(&policies, &team_a(), &facts, &"notes".into(), MOMENT).unwrap();
    assert_eq!(session.server().as_str(), "notes");
    assert!(session.decision().is_allowed());
    let denial = SessionPermit::authorize(&policies, &team_a(), &facts, &"wiki".into(), MOMENT).unwrap_err();
    assert_eq!(denial.reason, DenyReason::NothingPermits);
}
