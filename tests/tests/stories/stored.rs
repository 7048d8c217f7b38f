//! Answers that a model's entry has stored: they outlive the process, and every rule of the cache still holds. Whatever
//! becomes of the disk, calls go on.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tidegate_core::clock;

use super::{
    gateway::{Gateway, Start, key, question, until},
    http, kill,
    mounted::Mounted,
};

struct Callers {
    one: String,
    mate: String,
    other: String,
}

impl Callers {
    fn new() -> Self {
        Self { one: key(), mate: key(), other: key() }
    }

    /// A gateway whose model `own` stores answers for a key, `shared` for a team and `leaks` for everyone, with changes to
    /// its configuration.
    async fn start(&self, folder: &Path, changes: Value) -> Gateway {
        let allow = json!({"models": "*"});
        let mut config = json!({
            "version": 1,
            "limits": {},
            "models": {
                "own": {"route": "sim/chat", "cache": {"ttl": "1h", "keep": "store"}},
                "shared": {"route": "sim/chat", "cache": {"ttl": "1h", "share": "team", "keep": "store"}},
                "leaks": {"route": "sim/leaky", "cache": {"ttl": "1h", "share": "org", "keep": "store"}},
                "fleeting": {"route": "sim/chat", "cache": {"ttl": "1h", "share": "org"}},
            },
            "guardrails": {
                "cards": {"detect": ["card"], "on": ["response"], "action": "redact"},
                "mail": {"detect": ["email"], "on": ["request"], "action": "block"},
            },
            "teams": {"t": {}, "u": {}},
            "keys": {
                "one": {"secret": "env:ONE", "allow": allow, "team": "t"},
                "mate": {"secret": "env:MATE", "allow": allow, "team": "t"},
                "other": {"secret": "env:OTHER", "allow": allow, "team": "u"},
            },
        });
        for (path, value) in changes.as_object().unwrap() {
            let (parent, name) = path.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        let start = Start::new("up", folder).config(config);
        start.env("ONE", &self.one).env("MATE", &self.mate).env("OTHER", &self.other).run().await
    }
}

async fn wished(gateway: &Gateway, caller: &str, wish: &str, body: &Value) -> http::Answer {
    let bearer = format!("Bearer {caller}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("x-tidegate-cache", wish)];
    http::send("POST", &format!("{}/v1/chat/completions", gateway.url), &headers, body.to_string()).await
}

async fn cached(gateway: &Gateway, caller: &str, body: &Value) -> (String, String) {
    let answer = gateway.post("/v1/chat/completions", caller, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (answer.header("x-tidegate-cache").to_owned(), answer.text())
}

fn answers(folder: &Path) -> PathBuf {
    folder.join("data/answers")
}

/// The files of stored answers.
fn files(folder: &Path) -> Vec<PathBuf> {
    let folder = answers(folder);
    if !folder.exists() {
        return Vec::new();
    }
    let mut files = kill::files(&folder);
    files.retain(|file| file.extension().is_none() && file.file_name().is_some_and(|name| name.len() == 64));
    files.sort();
    files
}

async fn stored(folder: &Path, count: usize) {
    until("storing the answers", Duration::from_secs(10), async || files(folder).len() == count).await;
}

/// The one file that is stored, once it is.
async fn the_file(folder: &Path) -> PathBuf {
    stored(folder, 1).await;
    files(folder).remove(0)
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_outlives_kill_minus_nine_and_is_guarded_anew() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let mut gateway = callers.start(folder.path(), json!({})).await;
    assert!(!answers(folder.path()).exists(), "nothing is made that nobody needs");
    let (whole, streamed) = (question("shared", "kept?", false), question("shared", "kept in pieces?", true));
    let (own, leak) = (question("own", "mine?", false), question("leaks", "tell me", false));
    let fleeting = question("fleeting", "and this?", false);
    let mut first = Vec::new();
    for body in [&whole, &streamed, &own, &leak, &fleeting] {
        let (state, text) = cached(&gateway, &callers.one, body).await;
        assert_eq!(state, "miss");
        first.push(text);
    }
    assert!(first[3].contains("1111"), "{}", first[3]);
    stored(folder.path(), 4).await;
    for file in files(folder.path()) {
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"choices"), "what is stored is encrypted");
    }

    gateway.kill().await;
    let mut gateway = callers.start(folder.path(), json!({"/keys/other/guardrails": ["cards"]})).await;
    let hit = gateway.post("/v1/chat/completions", &callers.one, &whole).await;
    assert_eq!((hit.header("x-tidegate-cache"), hit.text()), ("hit", first[0].clone()));
    assert_eq!((hit.header("x-tidegate-cost-usd"), hit.header("x-tidegate-served-by")), ("0", "sim/chat"));
    assert!(hit.header("age").parse::<u64>().is_ok(), "{}", hit.header("age"));
    assert_eq!(cached(&gateway, &callers.one, &own).await, ("hit".to_owned(), first[2].clone()));
    // Looked up in memory by now.
    assert_eq!(cached(&gateway, &callers.one, &own).await, ("hit".to_owned(), first[2].clone()));
    // The guard that this key has by now looks at what was stored before there was one.
    let (state, guarded) = cached(&gateway, &callers.other, &leak).await;
    assert!(state == "hit" && !guarded.contains("1111"), "{state}: {guarded}");
    assert!(gateway.sim_requests().await.is_empty(), "nobody was asked");
    assert_eq!(cached(&gateway, &callers.mate, &own).await.0, "miss", "another key's, and not shared");
    assert_eq!(cached(&gateway, &callers.other, &whole).await.0, "miss", "another team's");
    assert_eq!(cached(&gateway, &callers.one, &fleeting).await.0, "miss", "what is in memory alone is gone");
    assert_eq!(cached(&gateway, &callers.mate, &streamed).await, ("hit".to_owned(), first[1].clone()));
    stored(folder.path(), 6).await;
    gateway.stop().await;

    // An answer of another entry of the model is another model's.
    let gateway = callers.start(folder.path(), json!({"/models/own/cache/ttl": "2h"})).await;
    assert_eq!(cached(&gateway, &callers.one, &own).await.0, "miss");
    assert_eq!(cached(&gateway, &callers.mate, &whole).await, ("hit".to_owned(), first[0].clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_is_given_to_nobody_who_may_not_ask() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let body = question("own", "write to jo@example.com", false);
    let mut gateway = callers.start(folder.path(), json!({})).await;
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
    stored(folder.path(), 1).await;
    gateway.stop().await;
    for (path, value, status, code) in [
        ("/keys/one/allow", json!({"models": ["shared"]}), 404, "not_found"),
        ("/keys/one/budget", json!("0.000001 usd/month"), 402, "budget_exhausted"),
        ("/keys/one/guardrails", json!(["mail"]), 403, "guardrail_blocked"),
    ] {
        let mut gateway = callers.start(folder.path(), json!({path: value})).await;
        let refused = gateway.post("/v1/chat/completions", &callers.one, &body).await;
        assert_eq!((refused.status, refused.header("x-tidegate-error")), (status, code), "{path}: {}", refused.text());
        gateway.stop().await;
    }
    let gateway = callers.start(folder.path(), json!({})).await;
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "hit", "and it was there all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_changed_cut_or_put_elsewhere_is_no_answer() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let mut gateway = callers.start(folder.path(), json!({})).await;
    let mut asked = Vec::new();
    for at in 0..5 {
        let body = question("own", &format!("number {at}"), at % 2 == 1);
        let (state, text) = cached(&gateway, &callers.one, &body).await;
        assert_eq!(state, "miss");
        asked.push((body, text));
    }
    gateway.stop().await;
    let all = files(folder.path());
    assert_eq!(all.len(), 5, "a stop writes what waits");
    let whole: Vec<Vec<u8>> = all.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut flipped = whole[0].clone();
    flipped[whole[0].len() / 2] ^= 1;
    std::fs::write(&all[0], &flipped).unwrap();
    std::fs::write(&all[1], &whole[1][..whole[1].len() - 1]).unwrap();
    std::fs::write(&all[2], b"").unwrap();
    std::fs::write(&all[3], &whole[4]).unwrap();
    let gateway = callers.start(folder.path(), json!({})).await;
    let mut hits = 0;
    for (body, text) in &asked {
        let (state, again) = cached(&gateway, &callers.one, body).await;
        assert!(state == "miss" || *text == again, "{state}: {again}");
        hits += usize::from(state == "hit");
    }
    assert_eq!(hits, 1, "the one that nobody touched");
    for (body, _) in &asked {
        assert_eq!(cached(&gateway, &callers.one, body).await.0, "hit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_grows_old_while_no_process_runs_and_an_erased_one_is_gone() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let short = json!({"/models/shared/cache/ttl": "4s"});
    let mut gateway = callers.start(folder.path(), short.clone()).await;
    let (short_lived, kept) = (question("shared", "for how long?", false), question("own", "till when?", false));
    assert_eq!(cached(&gateway, &callers.one, &short_lived).await.0, "miss");
    stored(folder.path(), 1).await;
    assert_eq!(cached(&gateway, &callers.one, &kept).await.0, "miss");
    stored(folder.path(), 2).await;
    gateway.stop().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut gateway = callers.start(folder.path(), short.clone()).await;
    stored(folder.path(), 1).await;
    assert_eq!(cached(&gateway, &callers.one, &kept).await.0, "hit");
    assert_eq!(cached(&gateway, &callers.one, &short_lived).await.0, "miss");
    stored(folder.path(), 2).await;

    // A file whose time of change says otherwise is as old as it is.
    gateway.stop().await;
    let later = std::time::UNIX_EPOCH + Duration::from_millis(clock::wall().0) + Duration::from_secs(3_600);
    for file in files(folder.path()) {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut gateway = callers.start(folder.path(), short.clone()).await;
    assert_eq!(cached(&gateway, &callers.one, &short_lived).await.0, "miss");
    assert_eq!(cached(&gateway, &callers.one, &kept).await.0, "hit");

    gateway.stop().await;
    std::fs::remove_dir_all(answers(folder.path())).unwrap();
    let gateway = callers.start(folder.path(), short).await;
    assert_eq!(cached(&gateway, &callers.one, &kept).await.0, "miss", "what was erased is gone");
    stored(folder.path(), 1).await;
    // Also under a gateway that runs: what comes next is stored again.
    std::fs::remove_dir_all(answers(folder.path())).unwrap();
    assert_eq!(wished(&gateway, &callers.one, "refresh", &kept).await.status, 200);
    stored(folder.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_answers_take_no_more_than_they_may() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let most = 64 << 10;
    let bounded = json!({"/limits/cache_store": "64KiB"});
    let mut gateway = callers.start(folder.path(), bounded.clone()).await;
    let body = |at: usize| question("own", &format!("{at} {}", "x".repeat(at * 400)), false);
    for at in 0..40 {
        assert_eq!(cached(&gateway, &callers.one, &body(at)).await.0, "miss");
        let taken: u64 = files(folder.path()).iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        assert!(taken <= most, "{taken} bytes after {at}");
    }
    gateway.stop().await;
    let kept = files(folder.path());
    let taken: u64 = kept.iter().map(|file| file.metadata().unwrap().len().max(4_096)).sum();
    assert!(taken <= most && kept.len() >= 3, "{taken} bytes in {} files", kept.len());
    let mut gateway = callers.start(folder.path(), bounded).await;
    assert_eq!(cached(&gateway, &callers.one, &body(39)).await.0, "hit", "the last one is there");
    assert_eq!(cached(&gateway, &callers.one, &body(0)).await.0, "miss", "the first one made room");
    gateway.stop().await;
    let _gateway = callers.start(folder.path(), json!({"/limits/cache_store": "0B"})).await;
    stored(folder.path(), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_up_no_call_and_no_stop() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let mut gateway = callers.start(folder.path(), json!({})).await;
    let body = question("own", "slow?", false);
    assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
    let file = the_file(folder.path()).await;
    gateway.stop().await;
    std::fs::remove_file(&file).unwrap();
    // Whoever opens this waits for ever, and so does whoever opens its draft to write.
    pipe(&file);
    assert!(Command::new("touch").args(["-d", "+1 hour"]).arg(&file).status().unwrap().success());
    let draft = file.with_extension("new");
    std::fs::write(&draft, b"left half made").unwrap();
    let mut gateway = callers.start(folder.path(), json!({})).await;
    until("the first trim", Duration::from_secs(10), async || !draft.exists()).await;
    pipe(&draft);
    // Longer than the time for which a call waits, by what a call takes on a busy machine.
    let patience = Duration::from_secs(1);
    for (wish, state) in [("", "miss"), ("refresh", "miss"), ("", "hit")] {
        let began = clock::now();
        let answer = wished(&gateway, &callers.one, wish, &body).await;
        assert_eq!((answer.status, answer.header("x-tidegate-cache")), (200, state), "{}", answer.text());
        assert!(began.elapsed() < patience, "{:?} with `{wish}`", began.elapsed());
    }
    // The thread that writes hangs by now: new answers are given, and wait for it within their bound.
    for at in 0..40 {
        let began = clock::now();
        let body = question("own", &format!("next {at} {}", "x".repeat(1_000)), false);
        assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
        assert!(began.elapsed() < patience, "{:?} for {at}", began.elapsed());
    }
    assert!(files(folder.path()).len() == 1, "nothing could be written");
    let began = clock::now();
    gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_made_is_told_and_fails_no_call() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(answers(folder.path()), b"no folder").unwrap();
    let mut gateway = callers.start(folder.path(), json!({})).await;
    for at in 0..5 {
        let body = question("own", &format!("question {at}"), false);
        assert_eq!(cached(&gateway, &callers.one, &body).await.0, "miss");
        assert_eq!(cached(&gateway, &callers.one, &body).await.0, "hit");
    }
    gateway.stop().await;
    let log = std::fs::read_to_string(&gateway.log).unwrap();
    let told = log.lines().filter(|line| line.contains("ERROR") || line.contains(r#""level":"error""#)).count();
    assert!((1..=2).contains(&told), "told once, and not for each answer: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_calls_go_on_and_what_is_stored_stays() {
    let (folder, callers) = (tempfile::tempdir().unwrap(), Callers::new());
    let Some(mounted) = Mounted::at(&answers(folder.path()), "256k") else { return };
    let mut gateway = callers.start(folder.path(), json!({})).await;
    let (old, new) = (question("own", "before", false), question("own", "during", false));
    let (_, first) = cached(&gateway, &callers.one, &old).await;
    stored(folder.path(), 1).await;
    mounted.fill();
    assert_eq!(cached(&gateway, &callers.one, &new).await.0, "miss");
    let refreshed = wished(&gateway, &callers.one, "refresh", &old).await;
    assert_eq!((refreshed.status, refreshed.header("x-tidegate-cache")), (200, "miss"));
    assert_eq!(cached(&gateway, &callers.one, &new).await.0, "hit", "from memory");
    gateway.stop().await;
    let mut gateway = callers.start(folder.path(), json!({})).await;
    assert_eq!(cached(&gateway, &callers.one, &old).await, ("hit".to_owned(), first), "what was stored is there");
    assert_eq!(cached(&gateway, &callers.one, &new).await.0, "miss");
    let told = async || std::fs::read_to_string(&gateway.log).unwrap().matches("cannot be stored").count() == 2;
    until("the second gateway's word", Duration::from_secs(10), told).await;
    mounted.empty();
    let after = question("own", "after", false);
    assert_eq!(cached(&gateway, &callers.one, &after).await.0, "miss");
    stored(folder.path(), 2).await;
    gateway.stop().await;
    tidegate_audit::verify::verify(&gateway.data.join("audit"), None).unwrap();
    let gateway = callers.start(folder.path(), json!({})).await;
    assert_eq!(cached(&gateway, &callers.one, &after).await.0, "hit", "it recovers by itself");
}
