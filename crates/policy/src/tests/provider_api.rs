//! A vendor's own API: denied unless a policy says otherwise, its administration unless a policy names it.

use tidegate_core::facts::{Action, ApiFacts, Facts, Resource};

use super::fixture::{ask, compiled, denied, principal};
use crate::{DenyReason, Effect, compile};

fn api(action: Action, method: &str, path: &str) -> Facts {
    let api = ApiFacts { method: method.into(), path: path.into(), model: None, body: "none" };
    Facts { api: Some(api), ..Facts::new("openai", action, Resource::Gateway) }
}

fn effect(policies: &str, facts: &Facts) -> Effect {
    let openai = Resource::Provider("openai".into());
    ask(&compiled(policies), &principal("all", None), facts, &openai).effect
}

#[test]
fn no_allow_list_permits_a_vendors_own_api() {
    let files = api(Action::CallProviderApi, "GET", "/v1/files");
    assert_eq!(effect("", &files), denied(DenyReason::NothingPermits));
}

#[test]
fn a_policy_permits_by_provider_method_and_path() {
    let policy = r#"permit (principal, action == Tidegate::Action::"call_provider_api",
        resource == Tidegate::Provider::"openai")
        when { context.api.method == "GET" && context.api.path like "/v1/files*" };"#;
    let of = |method, path| effect(policy, &api(Action::CallProviderApi, method, path));
    assert_eq!(of("GET", "/v1/files/file-1/content"), Effect::Allow);
    assert_eq!(of("DELETE", "/v1/files/file-1"), denied(DenyReason::NothingPermits));
    assert_eq!(of("GET", "/v1/batches"), denied(DenyReason::NothingPermits));
    let elsewhere = Resource::Provider("anthropic".into());
    let facts = api(Action::CallProviderApi, "GET", "/v1/files");
    let decision = ask(&compiled(policy), &principal("all", None), &facts, &elsewhere);
    assert_eq!(decision.effect, denied(DenyReason::NothingPermits));
}

#[test]
fn administration_is_permitted_only_by_a_policy_that_names_it() {
    let users = api(Action::AdministerProvider, "GET", "/v1/organization/users");
    assert_eq!(effect("permit (principal, action, resource);", &users), denied(DenyReason::NothingPermits));
    let other = r#"permit (principal, action == Tidegate::Action::"call_provider_api", resource);"#;
    assert_eq!(effect(other, &users), denied(DenyReason::NothingPermits));
    let named = r#"permit (principal, action in [Tidegate::Action::"administer_provider"], resource);"#;
    assert_eq!(effect(named, &users), Effect::Allow);
    let forbidden = format!("{named} forbid (principal, action, resource);");
    assert_eq!(effect(&forbidden, &users), denied(DenyReason::Forbidden));
    let files = api(Action::CallProviderApi, "GET", "/v1/files");
    assert_eq!(effect("permit (principal, action, resource);", &files), Effect::Allow);
}

#[test]
fn the_facts_of_an_api_call_are_those_of_its_actions_alone() {
    let wrong = r#"permit (principal, action == Tidegate::Action::"invoke_model", resource)
        when { context.api.path == "/v1/files" };"#;
    assert!(compile(&super::fixture::input(wrong)).is_err());
}
