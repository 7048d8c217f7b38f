//! What a scrape shows, and that dashboard, alerts and guide name nothing else. And what each line of the log holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    gateway::{Gateway, Start, key, question, until},
    http,
    mcp::Session,
};

/// Labels by the name of each sample.
type Samples = BTreeMap<String, BTreeSet<String>>;

fn samples(scrape: &str) -> Samples {
    let mut all = Samples::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap().to_owned();
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let known = all.entry(name).or_default();
        // No value in these calls holds a comma or an equals sign.
        known.extend(labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())));
    }
    all
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text,
    Sign(char),
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut all = Vec::new();
    let mut rest = expression.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == '"' {
            while rest.next().is_some_and(|letter| letter != '"') {}
            all.push(Token::Text);
        } else if letter == '[' {
            while rest.next().is_some_and(|letter| letter != ']') {}
        } else if letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.' | '$') {
            let mut word = letter.to_string();
            while let Some(more) = rest.next_if(|more| more.is_ascii_alphanumeric() || matches!(more, '_' | ':' | '.'))
            {
                word.push(more);
            }
            all.push(Token::Word(word));
        } else if !letter.is_whitespace() {
            all.push(Token::Sign(letter));
        }
    }
    all
}

/// What a PromQL expression names: metrics with the labels of their selectors, and the labels that it groups by.
fn named(expression: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    const OPERATORS: [&str; 4] = ["and", "or", "unless", "bool"];
    let (mut metrics, mut groups): (Vec<(String, Vec<String>)>, Vec<String>) = (Vec::new(), Vec::new());
    let mut all = tokens(expression).into_iter().peekable();
    while let Some(token) = all.next() {
        match token {
            Token::Word(word) if matches!(word.as_str(), "by" | "without" | "on" | "ignoring") => {
                for inner in all.by_ref().take_while(|token| *token != Token::Sign(')')) {
                    if let Token::Word(label) = inner {
                        groups.push(label);
                    }
                }
            }
            Token::Word(word) => {
                let calls = all.peek() == Some(&Token::Sign('('));
                let groups_next = matches!(all.peek(), Some(Token::Word(next)) if next == "by" || next == "without");
                let number = word.starts_with(|first: char| first.is_ascii_digit());
                if !(calls || groups_next || number || OPERATORS.contains(&word.as_str())) {
                    metrics.push((word, Vec::new()));
                }
            }
            Token::Sign('{') => {
                let mut last = None;
                for inner in all.by_ref().take_while(|token| *token != Token::Sign('}')) {
                    match inner {
                        Token::Word(label) => last = Some(label),
                        Token::Text => metrics.last_mut().unwrap().1.extend(last.take()),
                        Token::Sign(_) => {}
                    }
                }
            }
            Token::Text | Token::Sign(_) => {}
        }
    }
    (metrics, groups)
}

/// Says what is named and not measured. Prometheus itself adds `instance` and `job`.
fn unknown(expression: &str, samples: &Samples) -> Vec<String> {
    let (metrics, groups) = named(expression);
    let mut wrong = Vec::new();
    if metrics.is_empty() {
        wrong.push("no metric at all".to_owned());
    }
    for (metric, labels) in &metrics {
        match samples.get(metric) {
            None => wrong.push(metric.clone()),
            Some(known) => {
                let wanted = labels.iter().chain(&groups).filter(|label| !matches!(label.as_str(), "instance" | "job"));
                wrong.extend(wanted.filter(|label| !known.contains(*label)).map(|label| format!("{metric}.{label}")));
            }
        }
    }
    wrong
}

#[test]
fn what_an_expression_names_is_found() {
    let samples = samples("a_total{x=\"1\",le=\"2\"} 3\nb 4\n");
    assert!(
        unknown("sum by (x) (rate(a_total{x!=\"y\"}[5m])) / 2 > 0.5 and max by (instance) (a_total) == 0", &samples)
            .is_empty()
    );
    assert_eq!(unknown("sum by (z) (rate(a_total[5m]))", &samples), ["a_total.z"]);
    assert_eq!(unknown("rate(c_total{x=\"y\"}[$__rate_interval])", &samples), ["c_total"]);
    assert_eq!(unknown("a_total{q=~\"y\"} or b", &samples), ["a_total.q"]);
    assert_eq!(unknown("1 + 1", &samples), ["no metric at all"]);
}

async fn scrape(gateway: &Gateway) -> String {
    http::send("GET", &format!("{}/metrics", gateway.admin), &[], "").await.text()
}

/// A gateway that has served one call of each kind, and refused some.
async fn busy(folder: &Path) -> (Gateway, String) {
    let (secret, poor) = (key(), key());
    let allow = json!({"models": "*", "mcp_servers": "*"});
    let config = json!({
        "version": 1,
        "mcp_servers": {"sim": {"url": "sim:mcp"}},
        "guardrails": {"pii": {"detect": ["email"], "action": "redact"}},
        "keys": {
            "k": {"secret": "env:K", "allow": allow, "guardrails": ["pii"]},
            "poor": {"secret": "env:POOR", "allow": allow, "budget": "0.000000001 usd/month"},
        },
    });
    let start = Start::new("up", folder).config(config).env("K", &secret).env("POOR", &poor);
    let gateway = start.env("RUST_LOG", "info,tidegate_proxy=debug").run().await;
    let chat = "/v1/chat/completions";
    for (stream, model, prompt) in [
        (false, "sim/chat", "bob@corp.example"),
        (true, "sim/chat", "hi"),
        (false, "sim/chat", "[[sim: fail 500 nine]]"),
    ] {
        gateway.open(chat, &secret, &question(model, prompt, stream)).await.rest().await;
    }
    assert_eq!(gateway.post(chat, &poor, &question("sim/chat", "hi", false)).await.status, 402);
    assert_eq!(gateway.post(chat, &key(), &question("sim/chat", "hi", false)).await.status, 401);
    let session = Session::begin(&gateway, &secret).await.unwrap();
    assert_eq!(session.echo("hi").await.unwrap().status, 200);
    (gateway, secret)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_alerts_and_guide_name_only_what_a_scrape_has() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, _) = busy(folder.path()).await;
    until("a streamed call is measured", Duration::from_secs(10), async || {
        scrape(&gateway).await.contains("gen_ai_client_operation_time_to_first_chunk_seconds_count")
    })
    .await;
    let text = scrape(&gateway).await;
    let samples = samples(&text);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();

    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/tidegate.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut expressions: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(expressions.len() > 15);
    let alerts = read("deploy/prometheus/alerts.yaml");
    let rules = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let before = expressions.len();
    expressions.extend(rules.map(str::to_owned));
    assert!(expressions.len() >= before + 5);
    let guide = read("docs/guide/observability.md");
    expressions.extend(guide.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()));
    let wrong: Vec<(String, Vec<String>)> = expressions
        .iter()
        .map(|expression| (expression.clone(), unknown(expression, &samples)))
        .filter(|(_, wrong)| !wrong.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{text}");

    // The reference lists every family that there is.
    let reference = read("docs/generated/metrics.md");
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = family.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(reference.contains(&format!("| `{name}` |")), "{name} is not in docs/generated/metrics.md");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_log_says_level_target_call_and_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, _) = busy(folder.path()).await;
    gateway.stop().await;
    let log = std::fs::read_to_string(&gateway.log).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let calls: Vec<&Value> = lines.iter().filter(|line| line["message"] == "call").collect();
    assert!(calls.len() >= 6, "{log}");
    for line in &lines {
        assert!(line["level"].is_string() && line["target"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    for line in calls {
        let (call, trace) = (line["call"].as_str().unwrap(), line["trace_id"].as_str().unwrap());
        assert_eq!(call.trim_start_matches("call_"), trace, "{line}");
    }
}
