//! The same question: answered once, given again to whom the model's entry says, and decided each time.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::gateway::{Gateway, Start, key, question};

struct Callers {
    one: String,
    mate: String,
    other: String,
}

async fn start(folder: &Path, ttl: &str, callers: &Callers) -> Gateway {
    let allow = json!({"models": "*"});
    let config = json!({
        "version": 1,
        "models": {
            "own": {"route": "sim/chat", "cache": {"ttl": ttl}},
            "shared": {"route": "sim/chat", "cache": {"ttl": ttl, "share": "team"}},
            "leaks": {"route": "sim/leaky", "cache": {"ttl": ttl, "share": "org"}},
            "plain": {"route": "sim/chat"},
        },
        "guardrails": {"cards": {"detect": ["card"], "on": ["response"], "action": "redact"}},
        "teams": {"t": {}},
        "keys": {
            "one": {"secret": "env:ONE", "allow": allow, "team": "t", "budget": "1 usd/month"},
            "mate": {"secret": "env:MATE", "allow": allow, "team": "t"},
            "other": {"secret": "env:OTHER", "allow": allow, "guardrails": ["cards"]},
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_question_is_paid_for_once_and_only_where_the_model_says_so() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), callers());
    let gateway = start(folder.path(), "1h", &callers).await;
    for stream in [false, true] {
        let body = question("own", &format!("is it kept, {stream}?"), stream);
        let (first, again) = (cached(&gateway, &callers.one, &body).await, cached(&gateway, &callers.one, &body).await);
        assert_eq!((&*first.0, &*again.0), ("miss", "hit"));
        assert_eq!(first.1, again.1);
        // Another key of the same team is another caller here.
        assert_eq!(cached(&gateway, &callers.mate, &body).await.0, "miss");
        // Another question.
        assert_eq!(cached(&gateway, &callers.one, &question("own", "is it?", stream)).await.0, "miss");
    }
    let plain = question("plain", "is it kept?", false);
    assert_eq!(cached(&gateway, &callers.one, &plain).await.0, "off");
    assert_eq!(cached(&gateway, &callers.one, &plain).await.0, "off");
    assert_eq!(gateway.sim_requests().await.len(), 8);

    let hit = gateway.post("/v1/chat/completions", &callers.one, &question("own", "is it?", false)).await;
    assert_eq!((hit.header("x-tidegate-cache"), hit.header("x-tidegate-served-by")), ("hit", "sim/chat"));
    assert_eq!((hit.header("x-tidegate-cost-usd"), hit.header("age")), ("0", "0"));
    let story = gateway.show(&format!("/api/v1/calls/{}", hit.header("x-tidegate-call-id"))).await;
    assert_eq!(story["call"]["usage"]["output"], 0, "{story}");
    let told = story.to_string();
    assert!(told.contains(r#""detail":"hit""#) && told.contains("outcome") && !told.contains("attempt\""), "{told}");
    assert!(!hit.header("x-tidegate-receipt").is_empty());

    // What is spent is what the upstream was asked for.
    let spend = gateway.show("/api/v1/spend?by=model").await;
    let output: u64 = spend["rows"].as_array().unwrap().iter().map(|row| row["output_tokens"].as_u64().unwrap()).sum();
    let sent: u64 = gateway.sim_requests().await.iter().map(|entry| entry["output_tokens"].as_u64().unwrap()).sum();
    assert_eq!(output, sent, "{spend}");
    let metrics = gateway.ask("GET", "/metrics", None).await.text();
    assert!(metrics.contains(r#"tidegate_cache_lookups_total{result="hit"} 3"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_shares_what_its_model_says_and_every_caller_has_its_own_guards() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), callers());
    let gateway = start(folder.path(), "1h", &callers).await;
    let body = question("shared", "for the team", false);
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
    assert_eq!(cached(&gateway, &callers.mate, &body).await.0, "hit");
    assert_eq!(cached(&gateway, &callers.other, &body).await.0, "miss");
    for stream in [false, true] {
        let body = question("leaks", &format!("tell me, {stream}"), stream);
        let (state, unguarded) = cached(&gateway, &callers.one, &body).await;
        assert!(state == "miss" && unguarded.contains("1111"), "{state}: {unguarded}");
        let (state, guarded) = cached(&gateway, &callers.other, &body).await;
        assert!(state == "hit" && !guarded.contains("1111"), "{state}: {guarded}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_grow_old_and_callers_may_want_new_ones() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), callers());
    let gateway = start(folder.path(), "2s", &callers).await;
    let body = question("own", "for how long?", false);
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
    let wish = async |wish: &str| {
        let headers = [("authorization", &*format!("Bearer {}", callers.one)), ("x-tidegate-cache", wish)];
        let url = format!("{}/v1/chat/completions", gateway.url);
        let answer = super::http::send("POST", &url, &headers, body.to_string()).await;
        answer.header("x-tidegate-cache").to_owned()
    };
    assert_eq!((&*wish("off").await, &*wish("refresh").await), ("off", "miss"));
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "hit");
    // What a vendor's header asks for is a part of the question; what only names the request is none.
    let beside = async |name: &str, value: &str| {
        let headers = [("authorization", &*format!("Bearer {}", callers.one)), (name, value)];
        let url = format!("{}/v1/chat/completions", gateway.url);
        let answer = super::http::send("POST", &url, &headers, body.to_string()).await;
        answer.header("x-tidegate-cache").to_owned()
    };
    assert_eq!((&*beside("openai-beta", "new=1").await, &*beside("openai-beta", "new=1").await), ("miss", "hit"));
    assert_eq!(&*beside("x-client-request-id", "r1").await, "hit");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
    assert_eq!(gateway.sim_requests().await.len(), 5);

    // What failed or broke is not kept.
    let cut = question("own", "[[sim: stream 20 chunks]] [[sim: cut after 7]]", true);
    for _ in 0..2 {
        let broken = gateway.post("/v1/chat/completions", &callers.one, &cut).await;
        assert_eq!(broken.header("x-tidegate-cache"), "miss");
        assert!(broken.text().contains("error"), "{}", broken.text());
    }
}
