//! The commands as a person or a script runs them: what is printed where, and how they end.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use super::gateway::{Gateway, Start, binary, question};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A program with nothing of this machine's user in its environment.
pub(crate) fn bare(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", folder.join("home")).env("PATH", "/usr/bin:/bin").current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Done {
    let Output { status, stdout, stderr } =
        timeout(Duration::from_secs(60), command.output()).await.expect("the command ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// Runs a command of the user who started `gateway`.
pub(crate) async fn tidegate(gateway: &Gateway, arguments: &[&str]) -> Done {
    let mut command = bare(binary(), gateway.data.parent().unwrap());
    command.args(arguments).env("TIDEGATE_DATA_DIR", &gateway.data);
    run(command).await
}

/// The same with another key than the quick start's.
pub(crate) async fn with_key(gateway: &Gateway, key: &str, arguments: &[&str]) -> Done {
    let mut command = bare(binary(), gateway.data.parent().unwrap());
    command.args(arguments).env("TIDEGATE_DATA_DIR", &gateway.data).env("TIDEGATE_API_KEY", key);
    run(command).await
}

/// Every file below a folder.
fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// An earlier version kept the key of its quick start in a file: a start takes it away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_an_earlier_version_left_in_the_clear_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Start::new("up", folder.path()).run().await;
    gateway.stop().await;
    let file = gateway.data.join("keys/quick-start");
    std::fs::write(&file, &gateway.key).unwrap();
    let again = Start::new("up", folder.path()).run().await;
    assert!(!file.exists());
    assert_eq!(tidegate(&again, &["chat", "hello"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_needs_no_key_no_address_and_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Start::new("up", folder.path()).run().await;
    let done = tidegate(&gateway, &["chat", "hello"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("hello") && done.out.ends_with('\n') && !done.out.contains("tg_"), "{done:?}");
    assert!(done.err.contains("sim/chat · "), "{done:?}");
    let told = tidegate(&gateway, &["chat", "--model", "sim/stream", "-o", "json", "hello"]).await.json();
    assert_eq!(told["model"], "sim/stream");
    assert_eq!(told["finish"], "stop");
    assert!(told["output_tokens"].as_u64().unwrap() > 0 && told["call"].as_str().unwrap().starts_with("call_"));

    // What goes wrong has its exit code, and says what to do.
    let wrong = tidegate(&gateway, &["chat", "--model", "sim/none", "hello"]).await;
    assert_eq!((wrong.code, wrong.out.as_str()), (4, ""), "{wrong:?}");
    assert!(wrong.err.contains("no such model") && wrong.err.contains("tidegate why call_"), "{wrong:?}");
    let wrong = tidegate(&gateway, &["chat", "[[sim: cut after 1]] one two three"]).await;
    assert_eq!(wrong.code, 6, "{wrong:?}");
    let wrong = with_key(&gateway, "tg_abcdefgh_wrong", &["chat", "hello"]).await;
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert_eq!(tidegate(&gateway, &["chat"]).await.code, 64, "nothing to say");

    // No key stands on disk: the gateway lends one for a while, and it goes nowhere else.
    let lent = tidegate(&gateway, &["key", "print"]).await.out.trim().to_owned();
    assert!(lent.starts_with(gateway.key.get(..12).unwrap()) && lent != gateway.key, "another secret of the same key");
    for file in files_below(folder.path()) {
        let held = std::fs::read(&file).unwrap_or_default();
        let has = |secret: &str| held.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!has(&gateway.key) && !has(&lent), "a key stands in the clear in {}", file.display());
    }
    let place = std::fs::read_to_string(gateway.data.join("gateway.json")).unwrap();
    assert!(!place.contains("tg_") && place.contains(&gateway.url), "{place}");
    let away = tidegate(&gateway, &["chat", "--url", "https://gateway.invalid", "hello"]).await;
    assert_eq!(away.code, 3, "a lent key left the machine: {away:?}");
    let clear = with_key(&gateway, &gateway.key, &["chat", "--url", "http://gateway.invalid", "hello"]).await;
    assert_eq!(clear.code, 64, "{clear:?}");

    gateway.stop().await;
    assert!(!gateway.data.join("gateway.json").exists());
    assert_eq!(tidegate(&gateway, &["chat", "--url", &gateway.url, "hello"]).await.code, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_is_called_by_either_name_and_denials_have_their_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let done = tidegate(&gateway, &["call", "sim/add", "--arg", "a=2", "--arg", "b=40"]).await;
    assert_eq!((done.code, done.out.trim()), (0, "42"), "{done:?}");
    let done = tidegate(&gateway, &["call", "sim__echo", "--arg", "message=42"]).await;
    assert_eq!((done.code, done.out.trim()), (0, "42"), "{done:?}");
    let done = tidegate(&gateway, &["call", "sim/echo", "--json", r#"{"message": "hi"}"#, "-o", "json"]).await;
    assert_eq!(done.json()["content"][0]["text"], "hi");
    let done = tidegate(&gateway, &["call", "sim", "-o", "json"]).await;
    let names: Vec<Value> = done.json().as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert!(names.contains(&json!("echo")) && names.contains(&json!("send_mail")), "{names:?}");
    let done = tidegate(&gateway, &["call", "sim/slow", "--arg", "steps=2"]).await;
    assert!(done.code == 0 && done.err.contains("progress 1"), "{done:?}");
    assert_eq!(tidegate(&gateway, &["call", "sim/fail"]).await.code, 1);
    let wrong = tidegate(&gateway, &["call", "sim/ehco", "--json", "{}"]).await;
    assert!(wrong.code == 4 && wrong.err.contains("did you mean `echo`?"), "{wrong:?}");
    assert_eq!(tidegate(&gateway, &["call", "none/echo"]).await.code, 4);
    assert_eq!(tidegate(&gateway, &["call", "sim/add", "--arg", "a=two"]).await.code, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_policy_denies_ends_with_seven() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let forbid = r#"permit (principal, action == Tidegate::Action::"propose_tool", resource);
forbid (principal, action == Tidegate::Action::"propose_tool", resource == Tidegate::ProposedTool::"shell");"#;
    std::fs::write(policies.join("all.cedar"), forbid).unwrap();
    let config = json!({"version": 1, "providers": {"sim": {}}, "policies": "./policies"});
    let gateway = Start::new("up", folder.path()).config(config).run().await;
    let done = tidegate(&gateway, &["chat", "[[sim: tool shell {}]]"]).await;
    assert_eq!(done.code, 7, "{done:?}");
    assert!(done.err.contains("policy_denied"), "{done:?}");
    let made = tidegate(&gateway, &["key", "create", "poor", "--budget", "0.000001 usd/month", "-o", "json"]).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let done = with_key(&gateway, &key, &["chat", "hello"]).await;
    assert_eq!(done.code, 7, "{done:?}");
    assert!(done.err.contains("budget_exhausted"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_calls_as_they_finish() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Start::new("up", folder.path()).run().await;
    gateway.post("/v1/chat/completions", &gateway.key, &question("sim/chat", "early", false)).await;
    let mut command = bare(binary(), folder.path());
    command.args(["tail", "-o", "jsonl", "-n", "1", "--count", "2"]).env("TIDEGATE_DATA_DIR", &gateway.data);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Option<Value> {
        let line = timeout(Duration::from_secs(10), lines.next_line()).await.expect("a call is shown").unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    };
    assert_eq!(next().await.unwrap()["resource"], "sim/chat");
    for model in ["sim/stream", "sim/none"] {
        gateway.post("/v1/chat/completions", &gateway.key, &question(model, "late", false)).await;
        let call = next().await.unwrap();
        assert_eq!(call["resource"], model, "{call}");
    }
    assert!(next().await.is_none());
    assert!(child.wait().await.unwrap().success());

    // One that nobody ends does not hold up the gateway's own end, and says why it ended.
    let mut command = bare(binary(), folder.path());
    command.args(["tail", "-n", "1"]).env("TIDEGATE_DATA_DIR", &gateway.data);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("sim/none"));
    let began = tokio::time::Instant::now();
    gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(child.wait().await.unwrap().code(), Some(6));
}
