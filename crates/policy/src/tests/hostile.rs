//! Names that try to be policies.

use cedar_policy::{Effect, PolicySet};
use proptest::prelude::*;
use tidegate_core::facts::{Action, Facts, Resource};

use super::fixture::*;
use crate::{KeyEntity, PolicyInput, ServerEntity, ToolPin, compile, schema_text, show};

const NASTY: [&str; 10] = [
    r#"x"); permit (principal, action, resource); //"#,
    r#"a" || true || "b"#,
    "back\\slash\\",
    "new\nline\r\t",
    "\u{202e}rtl \u{0}nul",
    "quote\"quote'`",
    "emoji 🦀 é ∀",
    "*",
    "${env} {{x}} %s",
    "\\u{22}) when { true } unless { false }; //",
];

fn one_key(name: &str, model: &str, server: &str, tool: &str) -> PolicyInput<'static> {
    let input_schema =
        serde_json::json!({"type": "object", "properties": {tool: {"type": "string"}}, "required": [tool]}).to_string();
    PolicyInput {
        keys: vec![key(name, Some(tool), Some((&[model, "plain"], &[server])))],
        servers: vec![ServerEntity {
            name: server.into(),
            allowed_tools: Some(vec![tool.into()]),
            pins: vec![ToolPin { name: tool.into(), input_schema }],
        }],
        ..PolicyInput::default()
    }
}

/// The generated policies, printed and parsed again, are as many as before, of the same effects, and say the same.
fn survives_printing(input: &PolicyInput<'_>) {
    for shown in show(input) {
        let set: PolicySet = shown.text.parse().unwrap_or_else(|error| panic!("{error}: {}", shown.text));
        assert_eq!(set.num_of_policies(), 1, "{}", shown.text);
        let parsed = set.policies().next().unwrap();
        let expected = if shown.id.starts_with("tools:") { Effect::Forbid } else { Effect::Permit };
        assert_eq!(parsed.effect(), expected);
        assert_eq!(parsed.annotation("id"), Some(shown.id.as_str()));
    }
    schema_text(input).unwrap();
}

fn means_what_it_says(name: &str, model_name: &str, server: &str, tool_name: &str) {
    let input = one_key(name, model_name, server, tool_name);
    survives_printing(&input);
    let policies = compile(&input).unwrap();
    let who = principal(name, Some(tool_name));
    let other = principal("somebody else", None);
    let target = model("openai", "gpt-5.2");
    assert!(ask(&policies, &who, &invoke(model_name), &target).is_allowed());
    assert_eq!(ask(&policies, &who, &invoke("unlisted"), &target).is_allowed(), model_name == "*");
    assert!(!ask(&policies, &other, &invoke(model_name), &target).is_allowed());
    assert!(ask(&policies, &who, &call(&[]), &tool(server, tool_name)).is_allowed());
    assert!(!ask(&policies, &who, &call(&[]), &tool(server, "unlisted")).is_allowed());
    assert_eq!(ask(&policies, &who, &call(&[]), &tool("elsewhere", tool_name)).is_allowed(), server == "*");
    assert!(!ask(&policies, &other, &call(&[]), &tool(server, tool_name)).is_allowed());
    let read = Facts::new("mcp", Action::ReadResource, Resource::Gateway);
    assert!(ask(&policies, &who, &read, &Resource::McpResource(server.into(), tool_name.into())).is_allowed());
}

#[test]
fn hostile_names_do_not_change_what_generated_policies_mean() {
    for name in NASTY {
        let server = name.replace('/', "|");
        means_what_it_says(name, name, &server, name);
    }
}

#[test]
fn a_hostile_name_in_a_policy_file_is_only_a_text() {
    let policies = compiled(r#"@id("x\"y") forbid (principal == Tidegate::Key::"a\"b\\", action, resource);"#);
    let with = policies.with_keys(&[KeyEntity { ..key("a\"b\\", None, Some((&["*"], &[]))) }]).unwrap();
    let target = model("openai", "gpt-5.2");
    let decision = ask(&with, &principal("a\"b\\", None), &invoke("m"), &target);
    assert_eq!(ids(&decision), ["x\"y"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_name_is_only_a_name(name in "\\PC{1,12}|[\"\\\\\\n(){};/*]{1,8}", model_name in ".{1,12}", tool_name in ".{1,12}") {
        prop_assume!(tool_name != "unlisted" && model_name != "unlisted" && name != "somebody else");
        let server = name.replace('/', "|");
        prop_assume!(server != "elsewhere");
        means_what_it_says(&name, &model_name, &server, &tool_name);
    }

    #[test]
    fn no_input_schema_and_no_policy_text_panics(text in "\\PC{0,80}|[\\[\\]{}\":,a-z ]{0,80}") {
        let _ = crate::shape::arguments(&text);
        let mut input = input(&text);
        input.servers[0].pins[0].input_schema = text.clone();
        let _ = compile(&input);
    }
}
