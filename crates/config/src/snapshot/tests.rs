//! What the proxy runs by.

use tidegate_core::{
    capability::Capability,
    clock::UnixMillis,
    facts::{Action, Facts, Resource},
    money::PerMillion,
};
use tidegate_upstream::{Auth, Destination};

use super::*;
use crate::{
    check::{Mode, Options},
    environment::Fixed,
    identity::{Pepper, StoredRules, mint},
    live,
    source::Sources,
    vendor::Vendors,
};

pub(crate) fn machine() -> Fixed {
    let (_, good) = mint().unwrap();
    Fixed::default()
        .variable("OPENAI_API_KEY", "canary-openai-secret")
        .variable("ANTHROPIC_API_KEY", "canary-anthropic-secret")
        .variable("GOOD_KEY", good.expose())
        .file("policies/a.cedar", "forbid(principal, action, resource) when { context.request.stream };")
}

pub(crate) fn compiled(text: &str, stored: Vec<StoredKey>) -> Result<Snapshot, live::Rejection> {
    with_machine(text, &machine(), stored, Vec::new())
}

pub(super) fn with_machine(
    text: &str,
    machine: &Fixed,
    stored: Vec<StoredKey>,
    pins: Vec<PinnedTool>,
) -> Result<Snapshot, live::Rejection> {
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Up, secrets: true, public_listener: false, vendors: &vendors };
    let ingredients = Ingredients { vendors: &vendors, catalog: Arc::new(Catalog::builtin().unwrap()), stored, pins };
    live::compile(Sources::of_text("tidegate.yaml", text), machine, &options, &ingredients)
        .map(|candidate| candidate.snapshot)
}

const WHOLE: &str = include_str!("../check/tests/whole.yaml");

fn stored(name: &str, rules: StoredRules) -> StoredKey {
    let (id, secret) = mint().unwrap();
    StoredKey {
        id,
        name: name.into(),
        org: "default".into(),
        team: Some("research".into()),
        digest: Pepper::new(&[1; 32]).unwrap().digest(secret.expose()),
        created: UnixMillis(0),
        expires: None,
        revoked: None,
        rules: Some(rules),
    }
}

#[test]
fn names_lead_to_targets() {
    let snapshot = compiled(WHOLE, Vec::new()).unwrap();
    let targets = |model: &str| -> Option<Vec<String>> {
        let routed = snapshot.route(model, "openai")?;
        Some(routed.route.targets().iter().map(|target| target.id.to_string()).collect())
    };
    assert_eq!(targets("chat").unwrap(), ["openai/gpt-5.2", "anthropic/claude-sonnet-4-6"]);
    assert_eq!(targets("anthropic/any-model").unwrap(), ["anthropic/any-model"]);
    assert_eq!(targets("gpt-5.2").unwrap(), ["openai/gpt-5.2"]);
    assert_eq!(snapshot.route("gpt-5.2", "openai").unwrap().name.as_str(), "openai/gpt-5.2");
    for none in ["anthropic/", "anthropic/a b", "", "\u{0}"] {
        assert_eq!(targets(none), None, "{none}");
    }
}

#[test]
fn a_models_own_settings_count_over_the_catalogues() {
    let snapshot = compiled(WHOLE, Vec::new()).unwrap();
    let target = &snapshot.route("spread", "openai").unwrap().route.targets()[0];
    assert_eq!(target.max_output, Some(4096));
    assert_eq!(target.price.as_ref().unwrap().rates.input, PerMillion(150_000_000));
    assert_eq!(target.timeouts.total, Duration::from_secs(600));
    let unknown = snapshot.route("openai/a-model-nobody-priced", "openai").unwrap();
    assert_eq!(unknown.route.targets()[0].price, None);
}

#[test]
fn settings_pass_into_the_models_that_a_model_names() {
    let text = "version: 1\nproviders: { sim: {} }\nmodels:\n  inner: { fallback: [sim/chat], max_output: 7 }\n  outer: { fallback: [inner, sim/slow], max_output: 9, retry: { attempts: 3 } }\n";
    let snapshot = compiled(text, Vec::new()).unwrap();
    let targets = snapshot.route("outer", "openai").unwrap().route.targets();
    assert_eq!(targets[0].max_output, Some(7));
    assert_eq!(targets[0].retry.attempts, 3);
    assert_eq!(targets[1].max_output, Some(9));
}

#[test]
fn what_is_said_of_a_target_counts_over_what_is_said_around_it() {
    let text = "version: 1\nproviders: { sim: {} }\nmodels:\n  inner: { target: sim/chat, max_input: 5, capabilities: { audio: false } }\n  outer:\n    route:\n      fallback:\n        - { target: sim/chat, max_output: 7, max_input: 70, capabilities: { vision: false } }\n        - { target: inner, max_input: 50, capabilities: { audio: true, documents: false } }\n        - sim/slow\n    max_output: 9\n    capabilities: { vision: true, tools: false }\n";
    let snapshot = compiled(text, Vec::new()).unwrap();
    let targets = snapshot.route("outer", "openai").unwrap().route.targets();
    let said = |at: usize| {
        let (target, known) = (&targets[at], targets[at].capabilities);
        let of = |capability| known.get(capability);
        let known = [Capability::Vision, Capability::Tools, Capability::Audio, Capability::Documents].map(of);
        (target.max_output, target.max_input, known)
    };
    assert_eq!(said(0), (Some(7), Some(70), [Some(false), Some(false), None, None]));
    assert_eq!(said(1), (Some(9), Some(5), [Some(true), Some(false), Some(false), Some(false)]), "the nearest counts");
    assert_eq!((said(2).0, said(2).2), (Some(9), [Some(true), Some(false), None, None]));
}

#[test]
fn cohere_ranks_documents_at_its_own_api() {
    let text = "version: 1\nproviders:\n  cohere: { key: env:GOOD_KEY }\n  own: { type: cohere, key: env:GOOD_KEY, base_url: \"https://ranks.example/v1\" }\n";
    let snapshot = compiled(text, Vec::new()).unwrap();
    let rerank = |name: &str| {
        let provider = snapshot.providers().find(|provider| provider.name.as_str() == name).unwrap();
        provider.rerank.clone()
    };
    let at = Destination::http("https://api.cohere.com/v2/rerank", false).unwrap();
    assert_eq!(rerank("cohere"), Some(at));
    assert_eq!(rerank("own"), None, "an address of one's own is all that there is");
}

#[test]
fn credentials_go_where_they_belong() {
    let snapshot = compiled(WHOLE, Vec::new()).unwrap();
    let provider =
        |name: &str| Arc::clone(snapshot.providers().find(|provider| provider.name.as_str() == name).unwrap());
    assert!(matches!(&provider("openai").auth, Auth::Bearer(secret) if secret.expose() == "canary-openai-secret"));
    assert!(matches!(&provider("anthropic").auth, Auth::Header { name, .. } if name == "x-api-key"));
    assert_eq!(provider("anthropic").headers["anthropic-version"], "2023-06-01");
    assert!(matches!(&provider("local").auth, Auth::None));
    assert!(matches!(&provider("local").base, Destination::Http { allow_private: true, .. }));
    assert!(matches!(&provider("openai").base, Destination::Http { allow_private: false, .. }));
    assert!(!format!("{snapshot:?}").contains("canary"));
}

#[test]
fn only_hosts_that_cannot_be_public_may_be_private() {
    for host in [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "[::1]",
        "localhost",
        "ollama",
        "billing.internal",
        "a.svc.cluster.local",
    ] {
        assert!(private_host(host), "{host}");
    }
    for host in ["api.openai.com", "8.8.8.8", "169.254.169.254", "internal.example.com", "localhost.example.com"] {
        assert!(!private_host(host), "{host}");
    }
}

#[test]
fn a_key_is_held_to_its_own_rules_and_its_teams() {
    let snapshot = compiled(WHOLE, Vec::new()).unwrap();
    let org = OrgId::from("default");
    let rules = snapshot.key(&org, &KeyName::from("team-a")).unwrap();
    let scopes: Vec<String> = rules.scopes.iter().map(ToString::to_string).collect();
    assert_eq!(scopes, ["key `team-a`", "team `research`"]);
    assert!(rules.hard_budget);
    assert!(rules.chain.enforces(tidegate_core::segment::Origin::Prompt));
    assert!(snapshot.key(&OrgId::from("other"), &KeyName::from("team-a")).is_none());
    assert_eq!(snapshot.ledger_rules.len(), 2);
    assert_eq!(snapshot.declared.len(), 1);
}

#[test]
fn keys_of_the_store_are_added_taken_away_and_change_the_revision() {
    let snapshot = compiled(WHOLE, Vec::new()).unwrap();
    let rules = StoredRules { models: vec!["chat".into()], guardrails: vec!["pii".into()], ..StoredRules::default() };
    let key = stored("ci", rules.clone());
    let with = snapshot.with_stored_keys(vec![key.clone()]).unwrap();
    assert_ne!(with.revision, snapshot.revision);
    let org = OrgId::from("default");
    assert!(with.key(&org, &KeyName::from("ci")).unwrap().hard_budget);
    // Another secret for the same rules decides nothing else.
    assert_eq!(snapshot.with_stored_keys(vec![stored("ci", rules)]).unwrap().revision, with.revision);
    let revoked = StoredKey { revoked: Some(UnixMillis(1)), ..key };
    let without = with.with_stored_keys(vec![revoked]).unwrap();
    assert_eq!(without.revision, snapshot.revision);
    assert!(without.key(&org, &KeyName::from("ci")).is_none());
}

#[test]
fn a_key_of_the_store_cannot_take_the_files_name_or_lose_its_guardrail() {
    let everything = StoredRules { models: vec!["*".into()], ..StoredRules::default() };
    let snapshot = compiled(WHOLE, vec![stored("team-a", everything)]).unwrap();
    let rules = snapshot.key(&OrgId::from("default"), &KeyName::from("team-a")).unwrap();
    assert!(rules.chain.enforces(tidegate_core::segment::Origin::Prompt));
    let guarded = StoredRules { guardrails: vec!["gone".into()], ..StoredRules::default() };
    assert!(compiled(WHOLE, vec![stored("ci", guarded)]).is_err());
}

#[test]
fn lists_name_aliases_first_and_then_what_the_catalogue_knows() {
    let snapshot = compiled("version: 1\nproviders: { sim: {} }\nmodels: { z: sim/chat }\n", Vec::new()).unwrap();
    let names: Vec<&str> = snapshot.listed_models().iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"z"));
    let known = snapshot.catalog.models().iter().filter(|info| &*info.provider == "sim").count();
    assert!(names.contains(&"sim/chat") && names.len() == known + 1, "{names:?}");
    assert!(names[1..].is_sorted(), "{names:?}");
}

const TOOLS: &str = "version: 1\npolicies: p\nproviders: { sim: {} }\nmcp_servers: { s: { url: 'sim:mcp' } }\n";

fn pin(server: &str, tool: &str, argument: &str) -> PinnedTool {
    let schema = format!(r#"{{"type":"object","properties":{{"{argument}":{{"type":"integer"}}}}}}"#);
    let pin = PinnedTool::new(server.into(), tool.into(), schema.as_bytes(), schema.as_bytes(), UnixMillis(1));
    pin.unwrap()
}

/// A machine with one policy, which reads an argument of the tool `add`.
fn reading(argument: &str) -> Fixed {
    let policy = format!(
        "@id(\"all\") permit(principal, action, resource);\n@id(\"large\") forbid(principal, action == \
         Tidegate::Action::\"call_tool:s/add\", resource) when {{ context.args has {argument} && context.args.{argument} > 5 }};"
    );
    machine().file("p/a.cedar", &policy)
}

fn may_add(snapshot: &Snapshot, tool: &str, value: i64) -> bool {
    let principal = tidegate_core::principal::Principal {
        org: "default".into(),
        key: "AAAAAAAA".parse().unwrap(),
        key_name: "k".into(),
        team: None,
        chain: Vec::new(),
        address: "192.0.2.7".parse().unwrap(),
    };
    let members = [(Arc::from("a"), tidegate_core::value::Value::Integer(value))].into_iter().collect();
    let resource = Resource::Tool("s".into(), tool.into());
    let facts = Facts {
        arguments: Some(tidegate_core::value::Value::Record(members)),
        ..Facts::new("mcp", Action::CallTool, resource.clone())
    };
    snapshot.policies.decide(&principal, &facts, &resource, UnixMillis(1)).is_allowed()
}

#[test]
fn a_policy_reads_the_arguments_of_a_pinned_tool_and_no_others() {
    let compiled = |argument: &str, pins| with_machine(TOOLS, &reading(argument), Vec::new(), pins);
    let snapshot = compiled("a", vec![pin("s", "add", "a")]).unwrap();
    assert!(may_add(&snapshot, "add", 5));
    assert!(!may_add(&snapshot, "add", 6));
    // A tool without a pin is decided by `call_tool` on its server.
    assert!(may_add(&snapshot, "other", 6));
    let unknown = compiled("b", vec![pin("s", "add", "a")]).unwrap_err();
    assert!(unknown.rendered.contains("large"), "{}", unknown.rendered);
    assert!(compiled("a", Vec::new()).is_err(), "a tool that nobody pinned has no action of its own");
}

#[test]
fn pins_are_added_to_a_revision_and_change_it() {
    let machine = machine().file("p/a.cedar", "permit(principal, action, resource == Tidegate::Tool::\"s/add\");");
    let key = stored("ci", StoredRules { mcp_servers: vec!["*".into()], ..StoredRules::default() });
    let key = StoredKey { team: None, ..key };
    let pins = vec![pin("s", "sub", "a"), pin("s", "add", "a"), pin("gone", "add", "a")];
    let started = with_machine(TOOLS, &machine, vec![key.clone()], pins.clone()).unwrap();
    let snapshot = with_machine(TOOLS, &machine, vec![key], Vec::new()).unwrap();
    let with = snapshot.with_pins(pins.clone()).unwrap();
    assert_ne!(with.revision, snapshot.revision);
    assert_eq!(with.revision, started.revision);
    assert_eq!(with.pins(), [pins[1].clone(), pins[0].clone()]);
    assert_eq!(with.with_pins(Vec::new()).unwrap().revision, snapshot.revision);
    // Permits of the store's keys are there once, and can be taken out.
    let without = with.with_stored_keys(Vec::new()).unwrap();
    assert_eq!(without.pins().len(), 2);
    assert!(without.with_pins(vec![pin("s", "sub", "a")]).is_err(), "the policy names a tool that no pin has");
    let changed = [pin("s", "sub", "a"), pin("s", "add", "b")];
    assert_ne!(snapshot.with_pins(changed.to_vec()).unwrap().revision, with.revision);
}

#[test]
fn a_pin_is_bounded() {
    let new = |name: &str, schema: &[u8]| PinnedTool::new("s".into(), name.into(), schema, b"d", UnixMillis(1));
    assert!(new("", b"{}").is_none() && new(&"a".repeat(257), b"{}").is_none());
    assert_eq!(new("a", b"{}").unwrap().input_schema, "{}");
    assert_eq!(new("a", &vec![b' '; crate::pins::MAX_INPUT_SCHEMA + 1]).unwrap().input_schema, "");
}

#[test]
fn price_files_count_over_the_prices_that_ship_and_are_part_of_the_revision() {
    let text = "version: 1\nprices: prices\nproviders: { openai: { key: env:OPENAI_API_KEY } }\n";
    let file = |input: &str| {
        format!(
            r#"{{"format":"catalog.v1","source":"https://prices.example","date":"2026-06-01","models":[
            {{"provider":"openai","model":"gpt-5.2","input":"{input}","output":"15"}},
            {{"provider":"openai","model":"gpt-own","input":"1","output":"2"}}]}}"#
        )
    };
    let with = |input: &str| {
        let machine = machine().file("prices/own.json", &file(input)).file("prices/notes.txt", "no prices");
        with_machine(text, &machine, Vec::new(), Vec::new())
    };
    let snapshot = with("2").unwrap();
    let price = |model: &str| snapshot.route(model, "openai").unwrap().route.targets()[0].price.clone();
    assert_eq!(price("openai/gpt-5.2").unwrap().rates.input, PerMillion(2_000_000_000));
    assert_eq!(price("openai/gpt-own").unwrap().rates.output, PerMillion(2_000_000_000));
    assert_eq!(price("openai/gpt-4.1").unwrap().rates.input, PerMillion(2_000_000_000), "what ships stays");
    assert_eq!(price("openai/nobody"), None);
    assert!(snapshot.listed_models().iter().any(|model| model.name.as_str() == "openai/gpt-own"));
    assert_ne!(with("3").unwrap().revision, snapshot.revision);
    assert_eq!(with("2").unwrap().revision, snapshot.revision);
    for wrong in ["-1", "0", "x"] {
        let said = with(wrong).unwrap_err().rendered;
        assert!(said.contains("TG0503") && said.contains("own.json"), "{said}");
    }
}
