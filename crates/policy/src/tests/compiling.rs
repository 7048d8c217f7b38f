//! What compiling refuses, and what it says.

use super::fixture::*;
use crate::{PolicyProblem, PolicySource, compile, schema_text, show};

fn problems(text: &str) -> Vec<PolicyProblem> {
    compile(&input(text)).err().unwrap_or_default()
}

fn only(text: &str) -> PolicyProblem {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn every_problem_of_every_file_is_reported_at_once() {
    let mut input = input(
        "permit (principal, action, resource) when { context.reqest.stream };\n\nforbid (principal, action, resource) when { 1 };",
    );
    input.sources.push(PolicySource { file: "b.cedar".into(), text: "permit (principal action);".into() });
    let problems = compile(&input).unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| (problem.file.as_str(), problem.line)).collect();
    assert!(
        places.contains(&("a.cedar", 1)) && places.contains(&("a.cedar", 3)) && places.contains(&("b.cedar", 1)),
        "{problems:?}"
    );
}

#[test]
fn an_unknown_tool_or_argument_is_refused_with_a_hint() {
    let action = only("\npermit (principal, action == Tidegate::Action::\"call_tool:notes/serch\", resource);");
    assert_eq!((action.line, action.column), (2, 30));
    assert!(action.hint.as_deref().is_some_and(|hint| hint.contains("notes/search")), "{action:?}");
    let argument = only(
        r#"@id("p") permit (principal, action == Tidegate::Action::"call_tool:notes/search", resource) when { context.args.qery == "x" };"#,
    );
    assert_eq!(argument.policy_id.as_deref(), Some("p"));
    assert!(argument.hint.as_deref().is_some_and(|hint| hint.contains("query")), "{argument:?}");
    let number = problems(
        r#"permit (principal, action == Tidegate::Action::"call_tool:notes/search", resource) when { context.args.ratio == 1 };"#,
    );
    assert!(!number.is_empty());
    let resource = only(r#"permit (principal, action, resource == Tidegate::Tool::"notes/serch");"#);
    assert_eq!(resource.hint.as_deref(), Some("did you mean `search`?"));
}

#[test]
fn an_unknown_team_server_or_provider_is_refused_with_a_hint() {
    for (text, hint) in [
        (r#"permit (principal in Tidegate::Team::"reserch", action, resource);"#, "research"),
        (r#"permit (principal, action, resource in Tidegate::McpServer::"note");"#, "notes"),
        (r#"permit (principal, action, resource in Tidegate::Provider::"opnai");"#, "openai"),
        (r#"permit (principal, action, resource == Tidegate::Model::"opnai/gpt-5.2");"#, "openai"),
        (r#"permit (principal, action, resource == Tidegate::Tool::"note/search");"#, "notes"),
    ] {
        let problem = only(text);
        assert_eq!(problem.hint, Some(format!("did you mean `{hint}`?")), "{text}");
    }
}

#[test]
fn an_unknown_key_model_or_unpinned_tool_is_taken_as_it_is() {
    for text in [
        r#"permit (principal == Tidegate::Key::"made-later", action, resource);"#,
        r#"permit (principal, action, resource == Tidegate::Model::"openai/gpt-9");"#,
        r#"permit (principal, action, resource == Tidegate::Tool::"wiki/anything");"#,
    ] {
        assert!(problems(text).is_empty(), "{text}");
    }
}

#[test]
fn a_policy_that_can_never_apply_is_refused() {
    let text = r#"forbid (principal, action == Tidegate::Action::"invoke_model", resource is Tidegate::Tool);"#;
    assert!(!problems(text).is_empty());
}

#[test]
fn a_policy_on_the_bare_group_is_refused() {
    let problem = only(r#"forbid (principal, action == Tidegate::Action::"call_tool", resource);"#);
    assert!(problem.hint.as_deref().is_some_and(|hint| hint.contains("action in")), "{problem:?}");
}

#[test]
fn a_policy_that_looks_into_an_entity_it_names_is_refused() {
    for condition in [
        r#"Tidegate::Key::"all".name == "x""#,
        r#"Tidegate::Tool::"notes/search" in Tidegate::McpServer::"notes""#,
        r#"(if context.request.stream then principal else Tidegate::Key::"all") has team"#,
    ] {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        assert!(problems(&text).iter().any(|problem| problem.message.contains("names itself")), "{condition}");
    }
}

#[test]
fn ids_are_unique_and_not_those_of_generated_policies() {
    let twice =
        only("@id(\"x\") permit (principal, action, resource);\n@id(\"x\") forbid (principal, action, resource);");
    assert_eq!(twice.line, 2);
    assert!(twice.message.contains("a.cedar:1"), "{twice:?}");
    assert!(only(r#"@id("allow:all:models") permit (principal, action, resource);"#).message.contains("generated"));
}

#[test]
fn annotations_that_cannot_be_understood_are_refused() {
    for text in [
        r#"@mode("obsrve") permit (principal, action, resource);"#,
        r#"@mod("observe") permit (principal, action, resource);"#,
        r#"@approval("three") permit (principal, action, resource);"#,
        r#"@hold("soon") permit (principal, action, resource);"#,
        r#"@hold("0m") permit (principal, action, resource);"#,
        r#"@redact("") permit (principal, action, resource);"#,
        r#"@approval("one") forbid (principal, action, resource);"#,
        r#"@id("") permit (principal, action, resource);"#,
        "permit (principal == ?principal, action, resource);",
    ] {
        assert_eq!(problems(text).len(), 1, "{text}: {:?}", problems(text));
    }
    assert!(problems(r#"@description("mine") permit (principal, action, resource);"#).is_empty());
}

#[test]
fn a_slash_in_a_server_or_provider_name_is_refused() {
    let mut input = input("");
    input.servers[0].name = "a/b".into();
    assert!(compile(&input).unwrap_err()[0].message.contains("slash"));
}

#[test]
fn generated_policies_pass_strict_validation_and_print_as_cedar() {
    let mut input = input("// mine\n@id(\"mine\")\npermit (principal, action, resource);");
    input.servers[0].allowed_tools = Some(vec!["search".into(), "delete".into()]);
    input.servers[1].allowed_tools = Some(Vec::new());
    input.keys.push(key("many", None, Some((&["a", "b"], &["notes", "wiki"]))));
    let shown = show(&input);
    let text: String = shown.iter().map(|shown| format!("{}\n", shown.text)).collect();
    let set: cedar_policy::PolicySet = text.parse().unwrap();
    let schema: cedar_policy::Schema = schema_text(&input).unwrap().parse().unwrap();
    let result = cedar_policy::Validator::new(schema).validate(&set, cedar_policy::ValidationMode::Strict);
    assert!(result.validation_passed_without_warnings(), "{result}");
    let ids: Vec<_> = shown.iter().map(|shown| shown.id.as_str()).collect();
    for id in ["builtin:propose_tool", "tools:notes", "allow:team-a:models", "allow:team-a:mcp_servers", "mine"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    assert_eq!(shown.last().map(|shown| shown.origin.as_str()), Some("a.cedar"));
}

#[test]
fn the_schema_names_each_pinned_tools_arguments() {
    let text = schema_text(&input("")).unwrap();
    for part in
        ["action \"call_tool:notes/search\" in [Tidegate::Action::\"call_tool\"]", "limit", "tags", "where", "lang"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("ratio"));
}
