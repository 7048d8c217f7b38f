//! What listing commands print for scripts: a versioned contract, and the same in every form.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{
    gateway::{Gateway, Start, question},
    terminal::tidegate,
};

/// The commands whose forms scripts rely on; `CALL` stands for a call's id.
const COMMANDS: [&str; 18] = [
    "calls",
    "why CALL",
    "spend --by key",
    "spend --by model",
    "status",
    "key list",
    "key show printed",
    "team list",
    "team show research",
    "provider list",
    "provider show sim",
    "model list",
    "model show chat",
    "mcp list",
    "mcp show sim",
    "guardrail list",
    "policy show",
    "connect",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/spec/output-v1.json")
}

/// The kind of each part: what may not change within a version. Of a list, the parts of all its items.
fn form(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => {
            let mut all: Option<Value> = None;
            for item in items {
                let item = form(item);
                match (&mut all, item) {
                    (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                    (None, item) => all = Some(item),
                    _ => {}
                }
            }
            json!([all.unwrap_or_else(|| json!("any"))])
        }
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), form(value))).collect(),
    }
}

/// Whether what is printed has everything that was promised, of the kind that was promised.
fn keeps(promised: &Value, printed: &Value, place: &str) -> Result<(), String> {
    match (promised, printed) {
        (Value::Object(promised), Value::Object(printed)) => promised.iter().try_for_each(|(name, kind)| {
            let place = format!("{place}/{name}");
            keeps(kind, printed.get(name).ok_or_else(|| format!("{place} is gone"))?, &place)
        }),
        (Value::Array(promised), Value::Array(printed)) => keeps(&promised[0], &printed[0], &format!("{place}/-")),
        (promised, printed) if promised == printed || promised == "any" || printed == "any" => Ok(()),
        (promised, printed) => Err(format!("{place} was {promised} and is {printed}")),
    }
}

async fn started(folder: &Path) -> (Gateway, String) {
    let config = json!({
        "version": 1, "models": {"chat": {"fallback": ["sim/flaky", "sim/chat"]}},
        "mcp_servers": {"sim": {"url": "sim:mcp", "tools": ["echo"]}},
        "guardrails": {"leaks": {"detect": ["secrets", "pii"], "on": ["request", "response"], "action": "redact"}},
        "teams": {"research": {"budget": "500 usd/month"}},
    });
    let gateway = Start::new("up", folder).config(config).run().await;
    let make = ["key", "create", "printed", "--team", "research", "--budget", "10 usd/month", "--guardrail", "leaks"];
    let made = tidegate(&gateway, &[&make[..], &["-o", "json"]].concat()).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let answer = gateway.post("/v1/chat/completions", &key, &question("chat", "mail me: a@b.example", false)).await;
    let call = answer.header("x-tidegate-call-id").to_owned();
    (gateway, call)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scripts_read_keeps_its_form_within_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, call) = started(folder.path()).await;
    let mut forms = Map::new();
    for command in COMMANDS {
        let typed = command.replace("CALL", &call);
        let words: Vec<&str> = typed.split(' ').collect();
        let print = async |form: &str| {
            let done = tidegate(&gateway, &[&words[..], &["-o", form]].concat()).await;
            assert_eq!(done.code, 0, "{command}: {done:?}");
            done
        };
        let value = print("json").await.json();
        forms.insert(command.to_owned(), form(&value));
        // The other forms say the same.
        let lines = print("jsonl").await.out;
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let listed = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let yaml = print("yaml").await.out;
        if command != "status" {
            assert_eq!(lines, listed, "{command}");
        }
        let first = listed[0].as_object().unwrap().keys().next().unwrap();
        assert!(yaml.contains(&format!("{first}:")), "{command}: {yaml}");
        let table = print("table").await.out;
        assert!(!table.is_empty() && !table.contains('\u{1b}'), "{command}: colours without a terminal: {table}");
    }
    if std::env::var("TIDEGATE_OUTPUT").as_deref() == Ok("write") {
        let text = serde_json::to_string_pretty(&json!({"version": 1, "commands": forms})).unwrap();
        std::fs::write(golden(), format!("{text}\n")).unwrap();
        return;
    }
    let promised: Value = serde_json::from_str(&std::fs::read_to_string(golden()).unwrap()).unwrap();
    assert_eq!(promised["version"], 1);
    for (command, promised) in promised["commands"].as_object().unwrap() {
        let printed = forms.get(command).unwrap_or_else(|| panic!("{command} is promised and no more looked at"));
        keeps(promised, printed, command).unwrap_or_else(|broken| panic!("{broken}: what scripts read has changed"));
    }
    assert_eq!(promised["commands"].as_object().unwrap().len(), COMMANDS.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_none_ends_with_four_and_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, _) = started(folder.path()).await;
    for (command, meant) in [
        ("key show prited", "printed"),
        ("key revoke prited", "printed"),
        ("key rotate prited --dry-run", "printed"),
        ("team show reserch", "research"),
        ("provider show sin", "sim"),
        ("model show chta", "chat"),
        ("mcp show sym", "sim"),
        ("guardrail show leeks", "leaks"),
    ] {
        let done = tidegate(&gateway, &command.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(done.code, 4, "{command}: {done:?}");
        assert!(done.err.contains(&format!("did you mean `{meant}`?")), "{command}: {done:?}");
    }
    // Nothing that is only looked at is done.
    let before = gateway.show("/api/v1/keys").await;
    for command in [
        "key create other --dry-run",
        "key rotate printed --dry-run",
        "key revoke printed --dry-run",
        "api POST /keys/printed/revoke --dry-run",
    ] {
        let done = tidegate(&gateway, &command.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(done.code, 2, "{command}: {done:?}");
    }
    assert_eq!(gateway.show("/api/v1/keys").await, before);
    for command in ["chta", "key shwo x", "calls --limti 3"] {
        let done = tidegate(&gateway, &command.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(done.code, 64, "{command}: {done:?}");
        assert!(done.err.contains("similar"), "{command}: {done:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let done = tidegate(&gateway, &["completions", shell]).await;
        assert!(done.code == 0 && done.out.contains("disconnect"), "{shell}");
    }
    let done = tidegate(&gateway, &["status", "--admin-url", "http://127.0.0.1:1"]).await;
    assert_eq!(done.code, 6, "{done:?}");
}
