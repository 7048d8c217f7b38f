//! Behaviour of checking, seen through what it prints.

use std::path::PathBuf;

use super::*;
use crate::{document::Document, environment::Fixed, render::render, source::Sources};

fn machine() -> Fixed {
    let (_, good) = crate::identity::mint().unwrap();
    Fixed::default()
        .variable("OPENAI_API_KEY", "canary-openai-secret")
        .variable("ANTHROPIC_API_KEY", "canary-anthropic-secret")
        .variable("GOOD_KEY", good.expose())
        .variable("DAMAGED_KEY", "tg_abcdefgh_0123456789")
        .variable("SHORT_KEY", "short")
        .file("policies/a.cedar", "forbid(principal, action, resource) when { context.request.stream };")
}

fn run(text: &str, mode: Mode, environment: &Fixed) -> (Result<Checked, Vec<Problem>>, Sources) {
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode, secrets: true, public_listener: false, vendors: &vendors };
    let written = Document::parse(Sources::of_text("tidegate.yaml", text));
    let result = check(&written, environment, &options);
    (result, written.sources)
}

fn accepted(text: &str) -> Checked {
    let (result, sources) = run(text, Mode::Serve, &machine());
    result.unwrap_or_else(|problems| panic!("{}", crate::render::render_all(&problems, &sources)))
}

/// A name, the codes and lines that are expected, and the text.
type Case = (String, Vec<(String, usize)>, String);

/// The cases: each its name, the codes and lines that are expected, and the text.
fn cases() -> Vec<Case> {
    include_str!("tests/broken.txt")
        .split("=== ")
        .filter(|case| !case.is_empty())
        .map(|case| {
            let (head, text) = case.split_once('\n').unwrap();
            let mut words = head.split(' ');
            let name = words.next().unwrap().to_owned();
            let expected = words
                .map(|word| {
                    let (code, line) = word.split_once('@').unwrap();
                    (code.to_owned(), line.parse().unwrap())
                })
                .collect();
            (name, expected, text.to_owned())
        })
        .collect()
}

#[test]
fn every_broken_configuration_names_its_code_line_and_remedy() {
    let vendors = Vendors::builtin().unwrap();
    let mut printed = String::new();
    let mut wrong = Vec::new();
    for (name, expected, text) in cases() {
        let mode = if name.contains("sim") { Mode::Up } else { Mode::Serve };
        let mode = if name == "sim_in_production" { Mode::Serve } else { mode };
        let options = Options { mode, secrets: true, public_listener: name == "hosts_needed", vendors: &vendors };
        let written = Document::parse(Sources::of_text("tidegate.yaml", &text));
        let problems = match check(&written, &machine(), &options) {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        };
        let mut found: Vec<(String, usize)> = problems
            .iter()
            .map(|problem| {
                let line = problem.span.and_then(|span| written.sources.position(span)).map_or(0, |at| at.line);
                (problem.code.to_string(), line)
            })
            .collect();
        let mut expected = expected;
        found.sort();
        expected.sort();
        if found != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
        printed.push_str(&format!("=== {name}\n"));
        for problem in &problems {
            assert!(problem.hint.is_some(), "{name}: {problem}");
            assert!(!problem.code.explanation().is_empty(), "{name}: {problem}");
            printed.push_str(&render(problem, &written.sources));
            printed.push('\n');
        }
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/check/tests/broken.printed.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    assert!(wrong.is_empty(), "\n{}\n{printed}", wrong.join("\n"));
    assert_eq!(
        printed,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "set UPDATE_GOLDEN=1 and look at the difference"
    );
}

#[test]
fn the_sample_of_the_contract_is_accepted() {
    let text = "version: 1
providers:
  openai:    { key: env:OPENAI_API_KEY }
  anthropic: { key: env:ANTHROPIC_API_KEY }
models:
  chat: { fallback: [openai/gpt-5.2, anthropic/claude-sonnet-4-6] }
guardrails:
  pii: { detect: [email, card, iban], on: [request, response], action: redact }
mcp_servers:
  notes: { url: https://notes.example/mcp, tools: [search, read] }
keys:
  team-a:
    allow: { models: [chat], mcp_servers: [notes] }
    guardrails: [pii]
    budget: 10 usd/month
";
    let checked = accepted(text);
    assert_eq!(checked.secrets["providers.openai.key"].expose(), "canary-openai-secret");
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
}

#[test]
fn long_forms_are_accepted() {
    let text = "version: 1
providers:
  openai: { key: env:OPENAI_API_KEY, headers: { openai-organization: org-1, x-team: env:OPENAI_API_KEY } }
  local: { type: openai, base_url: http://127.0.0.1:8080/v1 }
models:
  small: local/gemma
  assistant:
    route: { weighted: [{ use: small, weight: 3 }, { use: { fallback: [openai/gpt-5.2, small] } }] }
    retry: { attempts: 2, on: [429, 500, 502, 503, 504, 529] }
    price: { input: 0.15 usd/mtok, output: 0.60 usd/mtok }
    timeouts: { connect: 5s, first_event: 60s, between_events: 30s, total: 10m }
mcp_servers:
  crm:
    url: https://crm.example/mcp
    results: untrusted
    tool_settings:
      find_customer: { results: trusted, labels: [pii] }
      send_mail: { effects: [send], args: { to: recipient, body: content } }
      delete_deal: { effects: [delete], undo: none }
teams:
  research: { budget: [500 usd/month, 50 usd/day], limits: { requests: 600/min, tokens: 200000/min, concurrent: 50 } }
default_provider: { openai: openai, anthropic: local }
policies: ./policies
audit: { model_calls: buffered, tool_calls: durable, bodies: off }
hosts: [gateway.example, '*.gateway.example:8443', '[::1]:80']
public_url: https://gateway.example
";
    let checked = accepted(text);
    assert_eq!(checked.policy_files.len(), 1);
    assert!(checked.watched.contains(&PathBuf::from("./policies")));
    // What is read but not acted on yet is said, not passed over.
    assert_eq!(checked.warnings.len(), 3);
}

#[test]
fn a_secret_is_never_printed() {
    let text = "version: 1
providers:
  openai: { key: 'canary-in-file', tpye: x, base_url: 'sk-canarycanarycanary-7c1f' }
  anthropic: { headers: { authorization: 'Bearer canary-in-header' } }
keys:
  a: { secret: canary-of-a-key, unknown: 1 }
  b: { secret: 1234567890123456 }
";
    for text in [text.to_owned(), format!("{text}\n  broken: [")] {
        let (result, sources) = run(&text, Mode::Serve, &machine());
        let printed = crate::render::render_all(&result.unwrap_err(), &sources);
        assert!(!printed.contains("canary"), "{printed}");
        assert!(!printed.contains("1234567890123456"), "{printed}");
    }
}

#[test]
fn offline_checking_needs_no_secret() {
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Serve, secrets: false, public_listener: false, vendors: &vendors };
    let text = "version: 1\nproviders:\n  openai: {}\n  anthropic: { key: env:NOT_SET }\nkeys:\n  a: { secret: env:NOR_THIS }\n";
    let written = Document::parse(Sources::of_text("t.yaml", text));
    let checked = check(&written, &Fixed::default(), &options).unwrap();
    assert!(checked.secrets.is_empty());
}

#[test]
fn a_missing_secret_is_a_warning_on_a_desk_and_an_error_in_production() {
    let text = "version: 1\nproviders:\n  openai: {}\n";
    let (up, _) = run(text, Mode::Up, &Fixed::default());
    assert_eq!(up.unwrap().warnings.first().unwrap().code, codes::NO_VARIABLE);
    let (serve, _) = run(text, Mode::Serve, &Fixed::default());
    assert_eq!(serve.unwrap_err().first().unwrap().code, codes::NO_VARIABLE);
}

#[test]
fn the_usual_variable_is_not_sent_to_another_machine() {
    let text = "version: 1\nproviders:\n  openai: { base_url: https://elsewhere.example/v1 }\n";
    assert!(accepted(text).secrets.is_empty());
}

#[test]
fn a_bad_policy_is_reported_with_its_file_and_line() {
    let environment =
        machine().file("policies/b.cedar", "permit(principal, action, resource)\nwhen { context.nothing };");
    let (result, _) = run("version: 1\npolicies: policies\n", Mode::Serve, &environment);
    let problems = result.unwrap_err();
    assert_eq!(problems.first().unwrap().code, codes::POLICY);
    assert!(problems.first().unwrap().message.contains("policies/b.cedar:"), "{problems:?}");
}

#[test]
fn files_of_a_folder_are_merged_and_conflicts_name_both_places() {
    let environment = machine()
        .file("conf/a.yaml", "version: 1\nproviders:\n  openai: {}\nteams:\n  research: {}\n")
        .file("conf/b.yaml", "version: 1\nmodels:\n  chat: openai/gpt-5.2\n")
        .file("conf/notes.txt", "not read");
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Serve, secrets: true, public_listener: false, vendors: &vendors };
    let sources = Sources::load(&[PathBuf::from("conf")], &environment).unwrap();
    let checked = check(&Document::parse(sources), &environment, &options).unwrap();
    assert_eq!(checked.document.models.len(), 1);
    assert_eq!(checked.document.teams.len(), 1);

    let environment = environment.file("conf/c.yaml", "version: 1\n\nteams:\n  research: { budget: 1 usd/day }\n");
    let sources = Sources::load(&[PathBuf::from("conf")], &environment).unwrap();
    let written = Document::parse(sources);
    let problems = check(&written, &environment, &options).unwrap_err();
    let printed = render(problems.first().unwrap(), &written.sources);
    assert!(printed.starts_with("error[TG0110] conf/c.yaml:4:3 teams.research:"), "{printed}");
    assert!(printed.contains("conf/a.yaml:5"), "{printed}");
}

#[test]
fn references_in_a_folder_start_from_their_own_file() {
    let environment = machine()
        .file("conf/a.yaml", "version: 1\nproviders:\n  openai: { key: file:openai.key }\n")
        .file("conf/openai.key", "from-a-file\n");
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Serve, secrets: true, public_listener: false, vendors: &vendors };
    let sources = Sources::load(&[PathBuf::from("conf/a.yaml")], &environment).unwrap();
    let checked = check(&Document::parse(sources), &environment, &options).unwrap();
    assert_eq!(checked.secrets["providers.openai.key"].expose(), "from-a-file");
    assert!(checked.watched.contains(&PathBuf::from("conf/openai.key")));
}

#[test]
fn routes_that_multiply_are_refused_at_once() {
    let mut text = String::from("version: 1\nproviders:\n  openai: {}\nmodels:\n  m0: openai/x\n");
    for at in 1..15 {
        text.push_str(&format!("  m{at}: [m{0}, m{0}, m{0}, m{0}]\n", at - 1));
    }
    let (result, _) = run(&text, Mode::Serve, &machine());
    assert!(result.unwrap_err().iter().any(|problem| problem.code == codes::OUT_OF_RANGE));
}

/// A small generator, so that the mutations are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }
}

pub(crate) fn mutated(text: &str, seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(letters.len());
        match numbers.below(6) {
            0 => drop(letters.remove(at)),
            1 => {
                letters.insert(at, ['{', '[', ':', '"', '\t', '&', '*', '|', '\u{0}', 'é', '-', '#'][numbers.below(12)])
            }
            2 => letters.truncate(at.max(1)),
            3 => letters.swap(at, numbers.below(text.len()).min(at)),
            4 => letters[at] = char::from(u8::try_from(32 + numbers.below(95)).unwrap()),
            _ => {
                let end = (at + numbers.below(40)).min(letters.len());
                let piece: Vec<char> = letters[at..end].to_vec();
                letters.splice(at..at, piece);
            }
        }
        if letters.is_empty() {
            letters.push('x');
        }
    }
    letters.into_iter().collect()
}

#[test]
fn mutated_configurations_never_panic_and_every_problem_is_rendered() {
    let text = include_str!("tests/whole.yaml");
    accepted(text);
    for seed in 0..400 {
        let text = mutated(text, seed);
        let (result, sources) = run(&text, Mode::Serve, &machine());
        if let Err(problems) = result {
            assert!(!problems.is_empty(), "{text}");
            assert!(!crate::render::render_all(&problems, &sources).is_empty());
            assert!(problems.iter().all(|problem| problem.hint.is_some()), "{problems:?}");
        }
    }
}

/// Texts with a mistake in every entry are refused in a time that grows with their size and no faster.
#[test]
fn hostile_texts_are_refused_quickly() {
    let many = |line: &dyn Fn(usize) -> String| (0..4_000).map(line).collect::<String>();
    let texts = [
        format!("version: 1\n{}", many(&|at| format!("field{at}: 1\n"))),
        format!("version: 1\nteams:\n{}", many(&|at| format!("  t{}: {{}}\n", at % 7))),
        format!("version: 1\nmodels:\n{}", many(&|at| format!("  m{at}: provider{at}/x\n"))),
        format!("version: 1\nproviders: {{ {} }}\n", many(&|at| format!("p{at}: {{ key: literal{at} }}, "))),
        format!("version: 1\nkeys: {{ a: {{ guardrails: [{}] }} }}\n", many(&|at| format!("g{at}, "))),
    ];
    let started = tidegate_core::clock::now();
    for text in texts {
        let (result, sources) = run(&text, Mode::Serve, &machine());
        let problems = result.unwrap_err();
        assert!((100..=1_000).contains(&problems.len()), "{}", problems.len());
        let printed = crate::render::render_all(&problems, &sources);
        assert!(printed.len() < 100_000, "{}", printed.len());
        assert!(!printed.contains("literal1"));
    }
    assert!(started.elapsed().as_secs() < 15, "{:?}", started.elapsed());
}

/// What the simulator's own MCP server is called leads nowhere in production.
#[test]
fn the_simulators_server_is_for_a_desk() {
    let text = "version: 1\nmcp_servers:\n  demo: { url: sim:mcp }\n";
    assert!(run(text, Mode::Up, &machine()).0.is_ok());
    let problems = run(text, Mode::Serve, &machine()).0.unwrap_err();
    assert_eq!(problems.first().unwrap().code, codes::SIM_IN_SERVE);
}

#[test]
fn every_code_that_checking_gives_is_tried_here() {
    let tried: std::collections::BTreeSet<String> =
        cases().into_iter().flat_map(|(_, expected, _)| expected).map(|(code, _)| code).collect();
    // Codes with a test of their own above or in another file, and those that only another part can cause.
    let elsewhere =
        ["TG0101", "TG0102", "TG0110", "TG0112", "TG0228", "TG0233", "TG0235", "TG0502", "TG0503", "TG0901"];
    let missing: Vec<String> = codes::all()
        .map(|code| code.to_string())
        .filter(|code| !tried.contains(code) && !elsewhere.contains(&code.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
