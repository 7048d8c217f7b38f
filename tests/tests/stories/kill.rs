//! What is left after `kill -9`, again and again.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use rand::RngExt as _;
use serde_json::{Value, json};
use tidegate_audit::{
    Audit, OpenOptions,
    record::{CallKind, Completeness, IntentRecord, OutcomeRecord, Record},
    verify::verify,
};
use tidegate_core::clock;

use super::{
    gateway::{Gateway, Sim, Start, key, question},
    http::open,
    mcp::Session,
};

/// `TIDEGATE_KILL_ROUNDS` sets another number of rounds than this, for example 500 for a long run.
const ROUNDS: usize = 20;
const CALLERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_loses_nothing() {
    let rounds = std::env::var("TIDEGATE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let (sim, secret) = (Sim::start().await, key());
    let config = json!({
        "version": 1,
        "providers": {"out": {"type": "openai", "base_url": format!("{}/v1", sim.url)}},
        "models": {
            "chat": {"route": "out/chat", "price": {"input": "1 usd/mtok", "output": "4 usd/mtok"}},
            "stream": {"route": "out/stream", "price": {"input": "1 usd/mtok", "output": "4 usd/mtok"}},
        },
        "mcp_servers": {"sim": {"url": format!("{}/mcp", sim.url)}},
        "keys": {"loader": {
            "secret": "env:LOADER", "allow": {"models": "*", "mcp_servers": "*"}, "budget": "1000 usd/month"}},
    });
    let start = Start::new("serve", folder.path()).config(config).env("LOADER", &secret);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let before = clock::now();
        let mut gateway = start.run().await;
        slowest = slowest.max(clock::now() - before);
        let pause = rand::rng().random_range(50..400);
        tokio::select! {
            () = load(&gateway, &secret, round) => {}
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
        }
        gateway.kill().await;
    }
    println!("the slowest start took {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let mut gateway = start.run().await;
    let spend = gateway.show("/api/v1/spend?by=key").await;
    gateway.stop().await;

    let audit_dir = folder.path().join("data/audit");
    verify(&audit_dir, None).unwrap();
    let told = Told::read(&audit_dir, &folder.path().join("data/keys"));
    assert!(told.intents.len() > rounds, "the load was no load: {} calls", told.intents.len());
    let reached: HashMap<String, Value> =
        sim.requests().await.into_iter().map(|entry| (entry["call_id"].as_str().unwrap().to_owned(), entry)).collect();
    let unrecorded: Vec<&String> = reached.keys().filter(|call| !told.intents.contains_key(*call)).collect();
    assert!(unrecorded.is_empty(), "sent without an intent: {unrecorded:?}");
    let open: Vec<&String> = told.intents.keys().filter(|call| !told.outcomes.contains_key(*call)).collect();
    assert!(open.is_empty(), "no outcome: {open:?}");
    same_tokens(&told, &reached);
    same_money(&told, &folder.path().join("data/state.db"), &spend);
    a_flipped_byte_is_refused(&audit_dir);
}

/// Calls that nobody knows the end of hold their money in every budget that they counted for: by model, provider, server,
/// tool and metadata, as well as by key and team.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_minus_nine_every_budget_of_an_unknown_call_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, secret) = (Sim::start().await, key());
    let budget = |scope: Value| json!({"scope": scope, "budget": "100 usd/month"});
    let config = json!({
        "version": 1,
        "providers": {
            "out": {"type": "openai", "base_url": format!("{}/v1", sim.url)},
            "spare": {"type": "openai", "base_url": format!("{}/v1", sim.url)},
        },
        "models": {"chat": {"route": "out/chat", "price": {"input": "1 usd/mtok", "output": "4 usd/mtok"}}},
        "teams": {"research": {"budget": "100 usd/month"}},
        "budgets": {
            "by-model": budget(json!({"model": "chat"})),
            "by-provider": budget(json!({"provider": "out"})),
            "by-metadata": budget(json!({"metadata": {"customer": "acme"}})),
            "of-another-provider": budget(json!({"provider": "spare"})),
            "of-another-customer": budget(json!({"metadata": {"customer": "other"}})),
            "by-server": {"scope": {"mcp_server": "sim"}, "budget": "100 usd/month", "limits": {"requests": "1000/min"}},
        },
        "mcp_servers": {"sim": {"url": format!("{}/mcp", sim.url)}},
        "keys": {"k": {"secret": "env:K", "team": "research", "allow": {"models": "*", "mcp_servers": "*"},
            "budget": "100 usd/month"}},
    });
    let start = Start::new("serve", folder.path()).config(config).env("K", &secret);
    let mut gateway = start.run().await;
    let bearer = format!("Bearer {secret}");
    let metadata = r#"{"customer": "acme"}"#;
    let headers = [("authorization", bearer.as_str()), ("x-tidegate-metadata", metadata)];
    let body = question("chat", "[[sim: stall after 2]] one two three four", true).to_string();
    let url = format!("{}/v1/chat/completions", gateway.url);
    let call = open("POST", &url, &headers, body).await.unwrap();
    assert_eq!(call.status, 200);
    let reserved = async |gateway: &Gateway, field: &str| -> BTreeMap<String, String> {
        let shown = gateway.show("/api/v1/budgets").await;
        let rows = shown["budgets"].as_array().unwrap().iter();
        rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row[field].as_str().unwrap().to_owned())).collect()
    };
    let before = reserved(&gateway, "reserved_usd").await;
    assert_ne!(before["k"], "0", "the call holds nothing: {before:?}");
    gateway.kill().await;
    drop(call);

    let mut gateway = start.run().await;
    let after = reserved(&gateway, "held_usd").await;
    assert_eq!(after, before, "what was reserved is held");
    for name in ["k", "research", "by-model", "by-provider", "by-metadata"] {
        assert_eq!(after[name], before["k"], "{name}: {after:?}");
    }
    for name in ["of-another-provider", "of-another-customer", "by-server"] {
        assert_eq!(after[name], "0", "{name}: {after:?}");
    }
    // And once more: what is known is not held twice.
    gateway.kill().await;
    let gateway = start.run().await;
    assert_eq!(reserved(&gateway, "held_usd").await, after);
}

/// Calls without end: whole and streamed ones of models, and one caller's of a tool.
async fn load(gateway: &Gateway, secret: &str, round: usize) {
    let caller = async |number: usize| {
        let bearer = format!("Bearer {secret}");
        for turn in 0.. {
            let (model, stream) = if (number + turn).is_multiple_of(2) { ("chat", false) } else { ("stream", true) };
            let body = question(model, &format!("round {round} caller {number} turn {turn}"), stream).to_string();
            let url = format!("{}/v1/chat/completions", gateway.url);
            let Ok(mut call) = open("POST", &url, &[("authorization", &bearer)], body).await else { return };
            assert_eq!(call.status, 200);
            call.rest().await;
        }
    };
    let tools = async {
        let Some(session) = Session::begin(gateway, secret).await else { return };
        for turn in 0.. {
            let Some(answer) = session.echo(&format!("round {round} turn {turn}")).await else { return };
            assert_eq!(answer.status, 200);
        }
    };
    tokio::join!(join_all((0..CALLERS).map(caller)), tools);
}

/// What the audit log tells of calls.
struct Told {
    intents: BTreeMap<String, IntentRecord>,
    outcomes: HashMap<String, OutcomeRecord>,
}

impl Told {
    fn read(dir: &Path, keys: &Path) -> Self {
        let (audit, recovery) = Audit::open(OpenOptions::new(dir, keys)).unwrap();
        assert!(recovery.unknown.is_empty(), "a clean stop left calls open: {:?}", recovery.unknown);
        let (mut intents, mut outcomes) = (BTreeMap::new(), HashMap::new());
        for record in audit.records_from(0) {
            match record.unwrap().1.record {
                Record::Intent(intent) => assert!(intents.insert(intent.call.to_string(), *intent).is_none()),
                Record::Outcome(entry) => {
                    assert!(outcomes.insert(entry.call.to_string(), entry.outcome).is_none(), "two outcomes");
                }
                _ => {}
            }
        }
        audit.close();
        Self { intents, outcomes }
    }
}

/// A call that is whole in the log was sent, and its tokens are those that the upstream counted.
fn same_tokens(told: &Told, reached: &HashMap<String, Value>) {
    let kinds = told.outcomes.values().fold(BTreeMap::new(), |mut kinds, outcome| {
        *kinds.entry(outcome.completeness).or_insert(0) += 1;
        kinds
    });
    println!("{} calls reached the upstream; outcomes: {kinds:?}", reached.len());
    assert!(kinds.contains_key(&Completeness::Complete) && kinds.contains_key(&Completeness::Unknown), "{kinds:?}");
    let tools = told.intents.values().filter(|intent| intent.kind == CallKind::Tool).count();
    assert!(tools > 0, "no tool was called");
    for (call, outcome) in told.outcomes.iter().filter(|(_, told)| told.completeness == Completeness::Complete) {
        let usage = outcome.usage.unwrap_or_default();
        let counted = (&json!(usage.input), &json!(usage.output));
        let entry = reached.get(call).unwrap_or_else(|| panic!("{call} is whole and was never sent"));
        if told.intents[call].kind == CallKind::Model {
            assert_eq!((&entry["input_tokens"], &entry["output_tokens"]), counted, "{call}: {entry}");
        }
    }
}

/// The state file agrees with the log, call by call, and the report with both.
fn same_money(told: &Told, state: &Path, spend: &Value) {
    let state = rusqlite::Connection::open(state).unwrap();
    let mut rows =
        state.prepare("SELECT 'call_' || lower(hex(call)), kind, cost, held, input, output FROM entry").unwrap();
    type Row = (String, Option<u64>, u64, u64, u64);
    let whole = |number: i64| u64::try_from(number).unwrap();
    let entries: HashMap<String, Row> = rows
        .query_map([], |row| {
            let cost = row.get::<_, Option<i64>>(2)?.map(whole);
            let entry = (row.get(1)?, cost, whole(row.get(3)?), whole(row.get(4)?), whole(row.get(5)?));
            Ok((row.get(0)?, entry))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut problems = Vec::new();
    let (mut input, mut output) = (0, 0);
    for (call, intent) in &told.intents {
        let outcome = &told.outcomes[call];
        let Some((kind, cost, held, entry_input, entry_output)) = entries.get(call) else {
            problems.push(format!("{call}: not in the state, outcome {:?}", outcome.completeness));
            continue;
        };
        let usage = outcome.usage.unwrap_or_default();
        let known = outcome.completeness != Completeness::Unknown;
        let reserved = intent.reservation.amount.unwrap_or_default().0;
        let expected = if known { (outcome.cost.unwrap_or_default().0, 0) } else { (0, reserved) };
        if (cost.unwrap_or_default(), *held) != expected || (*entry_input, *entry_output) != (usage.input, usage.output)
        {
            problems.push(format!(
                "{call}: state {kind} cost {cost:?} held {held} tokens {entry_input}/{entry_output}, log {:?} \
                 {expected:?} tokens {}/{}",
                outcome.completeness, usage.input, usage.output
            ));
        }
        (input, output) = (input + usage.input, output + usage.output);
    }
    for call in entries.keys().filter(|call| !told.intents.contains_key(*call)) {
        problems.push(format!("{call}: in the state without an intent"));
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), told.intents.len(), problems.join("\n"));
    let row = &spend["rows"][0];
    assert_eq!(row["calls"], told.intents.len(), "{spend}");
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(input), &json!(output)));
}

/// A byte of every kind of file below the log, one after the other.
fn a_flipped_byte_is_refused(dir: &Path) {
    let files = files(&dir.join("tile"));
    assert!(files.len() > 2, "{files:?}");
    for file in files.iter().step_by((files.len() / 12).max(1)) {
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        let at = rand::rng().random_range(0..bad.len());
        bad[at] ^= 1 << rand::rng().random_range(0..8);
        std::fs::write(file, &bad).unwrap();
        assert!(verify(dir, None).is_err(), "byte {at} of {} may be changed", file.display());
        std::fs::write(file, &good).unwrap();
    }
    verify(dir, None).unwrap();
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}
