//! Typed arguments of pinned tools, and what has no type.

use tidegate_core::value::Value;

use super::fixture::*;
use crate::DenyReason;

fn forbid(condition: &str) -> String {
    format!(
        r#"@id("limit") forbid (principal, action == Tidegate::Action::"call_tool:notes/search", resource) when {{ {condition} }};"#
    )
}

#[test]
fn conditions_on_typed_arguments_hold() {
    let list = |values: &[&str]| Value::List(values.iter().map(|value| text(value)).collect());
    let nested = Value::Record(vec![("path".into(), text("/etc/passwd"))]);
    let cases = [
        (r#"context.args.query like "drop*""#, ("query", text("drop table")), ("query", text("select"))),
        (
            "context.args has limit && context.args.limit > 10",
            ("limit", Value::Integer(11)),
            ("limit", Value::Integer(10)),
        ),
        ("context.args has deep && context.args.deep", ("deep", Value::Bool(true)), ("deep", Value::Bool(false))),
        (
            r#"context.args has tags && context.args.tags.contains("x")"#,
            ("tags", list(&["x", "y"])),
            ("tags", list(&[])),
        ),
        (
            r#"context.args has where && context.args.where.path like "/etc/*""#,
            ("where", nested),
            ("where", Value::Record(vec![("path".into(), text("/home"))])),
        ),
        (r#"context.args has lang && context.args.lang == "fr""#, ("lang", text("fr")), ("lang", Value::Null)),
    ];
    for (condition, hit, miss) in cases {
        let policies = compiled(&forbid(condition));
        let base = ("query", text("q"));
        let with = |argument: (&'static str, Value)| match argument.0 {
            "query" => vec![argument],
            _ => vec![base.clone(), argument],
        };
        assert_eq!(search(&policies, &with(hit)).effect, denied(DenyReason::Forbidden), "{condition}");
        let passed = search(&policies, &with(miss));
        assert!(passed.is_allowed(), "{condition}: {passed:?}");
    }
}

#[test]
fn unmapped_argument_denies_a_policy_that_reads_it_even_behind_has() {
    let policies = compiled(&forbid("context.args has limit && context.args.limit > 10"));
    let q = ("query", text("q"));
    for value in
        [Value::Number("10.5".into()), Value::Number("1e3".into()), text("11"), Value::List(vec![]), Value::Null]
    {
        let decision = search(&policies, &[q.clone(), ("limit", value.clone())]);
        assert_eq!(decision.effect, denied(DenyReason::EvaluationError), "{value:?}");
        assert_eq!(ids(&decision), ["limit"]);
    }
    assert!(search(&policies, &[q.clone(), ("limit", Value::Integer(1))]).is_allowed());
    assert!(search(&policies, &[q.clone(), ("other", Value::Number("10.5".into()))]).is_allowed());
}

#[test]
fn a_number_is_listed_as_unmapped_and_its_reader_denies() {
    let listed = compiled(&forbid(r#"context.unmapped.contains("ratio")"#));
    let q = ("query", text("q"));
    let ratio = ("ratio", Value::Number("0.5".into()));
    assert_eq!(search(&listed, &[q.clone(), ratio.clone()]).effect, denied(DenyReason::Forbidden));
    assert!(search(&listed, std::slice::from_ref(&q)).is_allowed());
    let where_score = Value::Record(vec![("path".into(), text("/a")), ("score".into(), Value::Number("1.5".into()))]);
    let nested = compiled(&forbid(r#"context.unmapped.contains("where.score")"#));
    assert_eq!(search(&nested, &[q.clone(), ("where", where_score.clone())]).effect, denied(DenyReason::Forbidden));
    let sibling = compiled(&forbid(r#"context.args has where && context.args.where.path == "/b""#));
    assert!(search(&sibling, &[q.clone(), ("where", where_score.clone())]).is_allowed());
    let whole = compiled(&forbid(r#"context.args has where && context.args.where == {path: "/b"}"#));
    assert!(!search(&whole, &[q, ("where", where_score)]).is_allowed());
}

#[test]
fn a_missing_required_argument_denies_its_reader() {
    let policies = compiled(&forbid(r#"context.args.query == "x""#));
    assert_eq!(search(&policies, &[]).effect, denied(DenyReason::EvaluationError));
}

#[test]
fn arguments_that_are_no_record_deny_every_reader_of_arguments() {
    let policies = compiled(&forbid(r#"context.args has lang && context.args.lang == "fr""#));
    let mut facts = call(&[]);
    facts.arguments = Some(text("not a record"));
    let decision = ask(&policies, &team_a(), &facts, &tool("notes", "search"));
    assert_eq!(decision.effect, denied(DenyReason::EvaluationError));
}

#[test]
fn a_policy_on_arguments_of_all_tools_denies_where_an_unpinned_tool_gets_that_argument() {
    let policies = compiled(
        r#"@id("paths") forbid (principal, action in Tidegate::Action::"call_tool", resource)
           when { context has args && context.args has query && context.args.query == "secret" };"#,
    );
    let unpinned = tool("notes", "brand_new");
    assert!(ask(&policies, &team_a(), &call(&[("other", text("secret"))]), &unpinned).is_allowed());
    let decision = ask(&policies, &team_a(), &call(&[("query", text("fine"))]), &unpinned);
    assert_eq!((decision.effect, ids(&decision)), (denied(DenyReason::EvaluationError), vec!["paths"]));
    assert!(search(&policies, &[("query", text("fine"))]).is_allowed());
    assert_eq!(search(&policies, &[("query", text("secret"))]).effect, denied(DenyReason::Forbidden));
}

#[test]
fn an_observing_reader_of_an_unmapped_argument_does_not_act() {
    let policies = compiled(
        r#"@id("w") @mode("observe") forbid (principal, action == Tidegate::Action::"call_tool:notes/search", resource)
           when { context.args has limit && context.args.limit > 10 };"#,
    );
    let decision = search(&policies, &[("query", text("q")), ("limit", text("x"))]);
    assert!(decision.is_allowed());
    assert_eq!(decision.observed.len(), 1);
}

#[test]
fn a_tool_without_a_readable_schema_has_no_typed_arguments() {
    let deep = format!("{}{}{}", r#"{"type":"object","properties":{"a":"#.repeat(40), "{}", "}}".repeat(40));
    for schema in
        ["", "no json", "[]", r#"{"type":"object","properties":[]}"#, r#"{"properties":{"a":{"$ref":"x"}}}"#, &deep]
    {
        let crate::shape::Shape::Record(members) = crate::shape::arguments(schema) else { panic!("no record") };
        assert!(members.is_empty(), "{schema}");
    }
}
