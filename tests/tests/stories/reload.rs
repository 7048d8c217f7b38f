//! A configuration that goes bad while it serves.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    gateway::{Gateway, Start, key, question, until},
    http,
};

fn config(budget: &str) -> Value {
    json!({"version": 1, "keys": {"k": {"secret": "env:K", "allow": {"models": "*"}, "budget": budget}}})
}

async fn ready(gateway: &Gateway) -> Value {
    let answer = http::send("GET", &format!("{}/readyz", gateway.admin), &[], "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_configuration_at_reload_keeps_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let gateway = Start::new("up", folder.path()).config(config("1 usd/month")).env("K", &secret).run().await;
    let good = ready(&gateway).await["revision"].clone();
    let bad = [
        "version: 1\nkeys: [".to_owned(),
        String::new(),
        "version: 2\n".to_owned(),
        "version: 1\nversion: 1\n".to_owned(),
        config("one dollar").to_string(),
        "version: 1\nkeys: { k: { secret: env:K, allow: { models: [nowhere/x] } } }\n".to_owned(),
    ];
    for (number, text) in bad.iter().enumerate() {
        std::fs::write(&gateway.config, text).unwrap();
        let rejected = async || ready(&gateway).await["rejected"]["number"].as_u64().unwrap_or(0);
        let least = u64::try_from(number).unwrap();
        until(&format!("rejecting {text:?}"), Duration::from_secs(6), async || rejected().await > least + 1).await;
        let shown = ready(&gateway).await;
        assert_eq!((&shown["revision"], &shown["ready"]), (&good, &json!(true)), "{text:?}");
        assert!(shown["status"].as_str().unwrap().contains("rejected"), "{shown}");
        let status = gateway.show("/api/v1/status").await;
        assert!(!status["rejected"]["problems"].as_array().unwrap().is_empty(), "{status}");
        let answer = gateway.post("/v1/chat/completions", &secret, &question("sim/chat", "still there?", false)).await;
        assert_eq!((answer.status, answer.header("x-tidegate-revision")), (200, good.as_str().unwrap()));
    }
    std::fs::write(&gateway.config, config("2 usd/month").to_string()).unwrap();
    until("the next good one", Duration::from_secs(6), async || ready(&gateway).await["revision"] != good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_revision_shows_in_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).config(config("1 usd/month")).env("K", &key()).run().await;
    std::fs::write(&gateway.config, "version: 2\n").unwrap();
    until("rejecting", Duration::from_secs(6), async || !ready(&gateway).await["rejected"].is_null()).await;
    let metrics = http::send("GET", &format!("{}/metrics", gateway.admin), &[], "").await.text();
    let tells = |line: &str| line.contains("rejected") && !line.starts_with('#') && !line.ends_with(" 0");
    assert!(metrics.lines().any(tells), "no metric tells of a rejected revision:\n{metrics}");
}

/// Writes a file beside its place and renames it, as editors do.
fn replace(file: &std::path::Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_files_swapped_mounts_and_what_they_refer_to_are_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (one, two, three) = (key(), key(), key());
    let config = |budget: &str| json!({"version": 1, "keys": {"k": {"secret": "file:k.key", "allow": {"models": "*"}, "budget": budget}}});
    std::fs::write(at("k.key"), &one).unwrap();
    let gateway = Start::new("up", folder.path()).config(config("1 usd/month")).run().await;
    let lets_in = async |key: &str| {
        gateway.post("/v1/chat/completions", key, &question("sim/chat", "hello", false)).await.status == 200
    };
    let wait = Duration::from_secs(8);
    let revision = async || ready(&gateway).await["revision"].clone();
    assert!(lets_in(&one).await);
    let first = revision().await;

    // The secret alone is replaced: the configuration means the same, the key is another.
    replace(&at("k.key"), &two);
    until("the new secret", wait, async || lets_in(&two).await).await;
    assert!(!lets_in(&one).await);
    assert_eq!(revision().await, first);

    // As a cluster mounts it: files are links through `..data`, which is swapped whole.
    let version = |name: &str, budget: &str, key: &str| {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("tidegate.yaml"), config(budget).to_string()).unwrap();
        std::fs::write(at(name).join("k.key"), key).unwrap();
    };
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, at("link")).unwrap();
        std::fs::rename(at("link"), at(name)).unwrap();
    };
    version("..one", "2 usd/month", &two);
    link("..one", "..data");
    link("..data/k.key", "k.key");
    link("..data/tidegate.yaml", "tidegate.yaml");
    until("the linked configuration", wait, async || revision().await != first).await;
    let second = revision().await;
    version("..two", "3 usd/month", &three);
    link("..two", "..data");
    until("the swapped configuration", wait, async || revision().await != second && lets_in(&three).await).await;
    assert!(!lets_in(&two).await);

    // What a refused configuration lacks may come after it.
    let third = revision().await;
    let mut lacking = config("4 usd/month");
    lacking["policies"] = json!("./more.cedar");
    replace(&gateway.config, &lacking.to_string());
    until("the refusal", wait, async || !ready(&gateway).await["rejected"].is_null()).await;
    assert_eq!(revision().await, third);
    std::fs::write(
        at("more.cedar"),
        "forbid (principal, action == Tidegate::Action::\"invoke_model\", resource) when { context.request.stream };\n",
    )
    .unwrap();
    until("the policies that came", wait, async || revision().await != third).await;
    assert!(ready(&gateway).await["rejected"].is_null());
}
