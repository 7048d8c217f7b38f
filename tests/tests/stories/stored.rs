//! Answers that a model's entry has stored: they outlive the process, and every rule of the cache still holds.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::gateway::{Gateway, Start, key, question, until};

struct Callers {
    one: String,
    mate: String,
    other: String,
}

/// A gateway whose model `shared` stores answers for a team and `leaks` for everyone, with a guard for `other` or `all`.
async fn start(folder: &Path, ttl: &str, callers: &Callers, guarded: &str) -> Gateway {
    let allow = json!({"models": "*"});
    let guards = |name: &str| if name == guarded || guarded == "all" { json!(["cards"]) } else { json!([]) };
    let config = json!({
        "version": 1,
        "models": {
            "shared": {"route": "sim/chat", "cache": {"ttl": ttl, "share": "team", "keep": "store"}},
            "leaks": {"route": "sim/leaky", "cache": {"ttl": ttl, "share": "org", "keep": "store"}},
            "fleeting": {"route": "sim/chat", "cache": {"ttl": ttl, "share": "org"}},
        },
        "guardrails": {"cards": {"detect": ["card"], "on": ["response"], "action": "redact"}},
        "teams": {"t": {}, "u": {}},
        "keys": {
            "one": {"secret": "env:ONE", "allow": allow, "team": "t", "guardrails": guards("one")},
            "mate": {"secret": "env:MATE", "allow": allow, "team": "t"},
            "other": {"secret": "env:OTHER", "allow": allow, "team": "u", "guardrails": guards("other")},
        },
    });
    let start = Start::new("up", folder).config(config);
    start.env("ONE", &callers.one).env("MATE", &callers.mate).env("OTHER", &callers.other).run().await
}

fn callers() -> Callers {
    Callers { one: key(), mate: key(), other: key() }
}

async fn cached(gateway: &Gateway, caller: &str, body: &Value) -> (String, String) {
    let answer = gateway.post("/v1/chat/completions", caller, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (answer.header("x-tidegate-cache").to_owned(), answer.text())
}

/// The files of stored answers.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let within = path.components().any(|part| part.as_os_str() == "answers");
            match path.is_dir() {
                true => folders.push(path),
                false if within && path.extension().is_none() => found.push(path),
                false => {}
            }
        }
    }
    found
}

async fn stored(folder: &Path, count: usize) {
    until("storing the answers", Duration::from_secs(10), async || files(folder).len() == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_outlives_the_process_and_is_decided_and_guarded_anew() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), callers());
    let mut gateway = start(folder.path(), "1h", &callers, "none").await;
    let (whole, streamed) = (question("shared", "kept?", false), question("shared", "kept in pieces?", true));
    let (leak, fleeting) = (question("leaks", "tell me", false), question("fleeting", "and this?", false));
    let mut first = Vec::new();
    for body in [&whole, &streamed, &leak, &fleeting] {
        let (state, text) = cached(&gateway, &callers.one, body).await;
        assert_eq!(state, "miss");
        first.push(text);
    }
    assert!(first[2].contains("1111"), "{}", first[2]);
    stored(folder.path(), 3).await;
    for file in files(folder.path()) {
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"choices"), "what is stored is encrypted");
    }

    gateway.kill().await;
    let mut gateway = start(folder.path(), "1h", &callers, "other").await;
    assert_eq!(cached(&gateway, &callers.one, &whole).await, ("hit".to_owned(), first[0].clone()));
    assert_eq!(cached(&gateway, &callers.mate, &streamed).await, ("hit".to_owned(), first[1].clone()));
    assert_eq!(cached(&gateway, &callers.other, &whole).await.0, "miss", "another team's");
    assert_eq!(cached(&gateway, &callers.one, &fleeting).await.0, "miss", "what is in memory alone is gone");
    // The guard that this key has by now looks at what was stored before there was one.
    let (state, guarded) = cached(&gateway, &callers.other, &leak).await;
    assert!(state == "hit" && !guarded.contains("1111"), "{state}: {guarded}");
    gateway.stop().await;

    // What was changed on the disk is no answer; one that was put in another's place is none either.
    let stored = files(folder.path());
    for file in &stored {
        let mut bytes = std::fs::read(file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    let gateway = start(folder.path(), "1h", &callers, "all").await;
    for body in [&whole, &streamed, &leak] {
        assert_eq!(cached(&gateway, &callers.one, body).await.0, "miss", "{body}");
        assert_eq!(cached(&gateway, &callers.one, body).await.0, "hit", "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_grows_old_while_no_process_runs() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), callers());
    let mut gateway = start(folder.path(), "4s", &callers, "none").await;
    let body = question("shared", "for how long?", false);
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
    stored(folder.path(), 1).await;
    gateway.stop().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let gateway = start(folder.path(), "4s", &callers, "none").await;
    assert!(files(folder.path()).is_empty(), "what is past its time goes at the start");
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
}
