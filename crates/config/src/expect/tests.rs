//! Tables against policies.

use super::*;
use crate::{
    check::{Mode, Options, check},
    document::Document,
    environment::Fixed,
    render::render_all,
    vendor::Vendors,
};

const CONFIG: &str = "
version: 1
policies: p
providers: { openai: { key: env:K }, anthropic: { key: env:K } }
models: { chat: { fallback: [inner, anthropic/claude] }, inner: openai/gpt }
mcp_servers: { crm: { url: https://crm.example/mcp } }
teams: { research: {} }
keys:
  team-a: { team: research, allow: { models: [chat], mcp_servers: [crm] } }
";

const POLICY: &str = r#"
@id("no-mail-at-night")
forbid (principal, action in Tidegate::Action::"call_tool", resource == Tidegate::Tool::"crm/send_mail")
unless { context.time.hour >= 7 && context.time.hour < 18 };
@id("research-streams")
forbid (principal in Tidegate::Team::"research", action == Tidegate::Action::"invoke_model", resource)
when { context.request.stream && context.request.input_tokens > 10 };
@id("no-leaks")
forbid (principal, action == Tidegate::Action::"invoke_model", resource in Tidegate::Provider::"openai")
when { context.verdicts.contains("pii.email") };
"#;

fn checked() -> Checked {
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Serve, secrets: false, public_listener: false, vendors: &vendors };
    let machine = Fixed::default().file("p/a.cedar", POLICY);
    let written = Document::parse(Sources::of_text("tidegate.yaml", CONFIG));
    check(&written, &machine, &options).unwrap_or_else(|problems| panic!("{}", render_all(&problems, &written.sources)))
}

fn run(rows: &str) -> Result<Vec<Outcome>, String> {
    let read =
        read(Sources::of_text("tests.yaml", rows)).map_err(|(problems, sources)| render_all(&problems, &sources))?;
    read.run(&checked()).map_err(|problems| render_all(&problems, &read.sources))
}

#[test]
fn rows_are_decided_as_calls_are() {
    let rows = r#"
tests:
  - { principal: team-a, action: invoke_model, resource: chat, expect: allow, by: allow:team-a:models }
  - { principal: team-a, action: invoke_model, resource: openai/gpt, expect: deny }
  - principal: team-a
    action: invoke_model
    resource: chat
    context: { stream: true, input_tokens: 11 }
    expect: deny
    by: research-streams
  - { principal: team-a, action: invoke_model, resource: chat, context: { verdicts: [pii.email] }, expect: allow }
  - { principal: team-a, action: invoke_model, resource: inner, context: { verdicts: [pii.email] }, expect: deny }
  - { principal: team-a, action: call_tool, resource: crm/send_mail, args: { to: x, n: 1.5, many: [1, null] }, expect: allow }
  - name: nobody sends mail at night
    principal: team-a
    action: call_tool
    resource: crm/send_mail
    context: { at: 2026-01-05T23:00:00Z }
    expect: deny
    by: [no-mail-at-night]
  - { principal: of-the-store, team: research, action: list_tools, resource: crm, expect: deny }
"#;
    let outcomes = run(rows).unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(outcomes.len(), 8);
    assert_eq!(outcomes[6].name, "nobody sends mail at night");
    assert_eq!(outcomes[6].at.unwrap().line, 14);
}

#[test]
fn a_mismatch_says_what_was_decided_and_by_what() {
    let rows = "tests:\n- { principal: team-a, action: call_tool, resource: crm/find, expect: deny, by: no-mail }\n- { principal: team-a, action: call_tool, resource: crm/find, expect: allow, by: another }\n";
    let outcomes = run(rows).unwrap();
    assert!(outcomes.iter().all(|outcome| !outcome.passed));
    assert_eq!(outcomes[0].expected, "deny by no-mail");
    assert_eq!(outcomes[0].decided, "allow by allow:team-a:mcp_servers");
}

#[test]
fn a_table_is_read_as_strictly_as_a_configuration() {
    for (row, words) in [
        ("{ principal: team-a, action: call_toll, resource: crm/x, expect: deny }", "did you mean `call_tool`?"),
        ("{ principal: team-b, action: list_models, expect: deny }", "did you mean `team-a`?"),
        ("{ principal: team-a, action: call_tool, resource: cmr/x, expect: deny }", "did you mean `crm`?"),
        ("{ principal: team-a, action: invoke_model, resource: chad, expect: deny }", "did you mean `chat`?"),
        ("{ principal: team-a, action: call_tool, expect: deny }", "add `resource`"),
        ("{ principal: team-a, action: list_models, expect: denied }", "write `allow` or `deny`"),
        ("{ principal: team-a, action: list_models, expct: deny }", "did you mean `expect`?"),
        ("{ principal: team-a, action: list_models }", "`expect` is missing"),
    ] {
        let text = run(&format!("tests:\n- {row}\n")).unwrap_err();
        assert!(text.contains("] tests.yaml:2:") && text.contains(words), "{row}\n{text}");
    }
}
