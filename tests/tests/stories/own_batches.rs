//! Batches that the gateway runs by itself: whose they are, what runs, what is left after a crash.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{
    gateway::{Gateway, Sim, Start, key, until},
    http,
    resilience::{most_resident, resident},
};

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn config(sim: &Sim, more: &Value) -> Value {
    let mut config = json!({
        "version": 1,
        "providers": {"out": {"type": "openai", "base_url": format!("{}/v1", sim.url)}},
        "models": {
            "chat": {"route": "out/chat", "price": {"input": "1 usd/mtok", "output": "4 usd/mtok"}},
            "slow": {"route": "out/slow", "price": {"input": "1 usd/mtok", "output": "4 usd/mtok"}},
        },
        "batches": {"own": true, "concurrent": 4},
        "teams": {"research": {}},
        "keys": {
            "a": {"secret": "env:A", "team": "research", "allow": {"models": ["chat", "slow"]}, "budget": "100 usd/month"},
            "b": {"secret": "env:B", "team": "research", "allow": {"models": ["chat"]}},
            "c": {"secret": "env:C", "allow": {"models": ["chat"]}},
            "d": {"secret": "env:D"},
        },
    });
    for (path, value) in more.as_object().unwrap() {
        let (parent, name) = path.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    config
}

pub(crate) struct Keys(pub(crate) [String; 4]);

impl Keys {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| key()))
    }

    pub(crate) fn start<'a>(&self, folder: &Path, config: Value) -> Start<'a> {
        let start = Start::new("serve", folder).config(config);
        ["A", "B", "C", "D"].iter().zip(&self.0).fold(start, |start, (name, key)| start.env(name, key))
    }
}

pub(crate) async fn send(gateway: &Gateway, key: &str, method: &str, path: &str, body: Value) -> http::Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http::send(method, &format!("{}{path}", gateway.url), &headers, body).await
}

pub(crate) async fn upload(gateway: &Gateway, key: &str, purpose: &str, lines: &str) -> http::Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=xyz")];
    // The file before its purpose, as some clients send it.
    let body = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"lines.jsonl\"\r\n\r\n{lines}\r\n--xyz\r\n\
         Content-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--xyz--\r\n"
    );
    http::send("POST", &format!("{}/v1/files", gateway.url), &headers, body).await
}

pub(crate) fn request(id: &str, model: &str, prompt: &str) -> String {
    let body = json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": prompt}]});
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
}

pub(crate) async fn batch(gateway: &Gateway, key: &str, lines: &[String]) -> String {
    let file = upload(gateway, key, "batch", &lines.join("\n")).await;
    assert_eq!(file.status, 200, "{}", file.text());
    let asked = json!({
        "input_file_id": file.json()["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "metadata": {"for": "a story"},
    });
    let made = send(gateway, key, "POST", "/v1/batches", asked).await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn shown(gateway: &Gateway, key: &str, id: &str) -> Value {
    let answer = send(gateway, key, "GET", &format!("/v1/batches/{id}"), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

pub(crate) async fn ended(gateway: &Gateway, key: &str, id: &str) -> Value {
    until("the end of a batch", LONG, || async {
        let status = shown(gateway, key, id).await["status"].as_str().unwrap().to_owned();
        ["completed", "failed", "expired", "cancelled"].contains(&status.as_str())
    })
    .await;
    shown(gateway, key, id).await
}

pub(crate) async fn lines_of(gateway: &Gateway, key: &str, file: &Value) -> Vec<Value> {
    let Some(id) = file.as_str() else { return Vec::new() };
    let answer = send(gateway, key, "GET", &format!("/v1/files/{id}/content"), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["custom_id"].as_str().unwrap().to_owned());
    lines
}

pub(crate) fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["custom_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_runs_each_line_as_a_call_of_its_key() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({}))).run().await;
    let [a, b, c, d] = &keys.0;
    let lines = [
        request("one", "chat", "first"),
        request("two", "chat", "second"),
        request("fails", "chat", "[[sim: fail 400]]"),
    ];
    let id = batch(&gateway, a, &lines).await;
    assert!(id.starts_with("batch_tg_"), "{id}");
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["request_counts"], json!({"total": 3, "completed": 2, "failed": 1}));
    assert_eq!(done["metadata"], json!({"for": "a story"}));
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    assert_eq!(ids(&answers), ["one", "two"]);
    assert_eq!(answers[0]["response"]["status_code"], 200);
    let text = &answers[0]["response"]["body"]["choices"][0]["message"]["content"];
    assert_eq!(text, "echo: first");
    let failures = lines_of(&gateway, a, &done["error_file_id"]).await;
    assert_eq!((ids(&failures), &failures[0]["response"]["status_code"]), (vec!["fails"], &json!(400)));

    // Each line is a call on record, paid for by the key that made the batch.
    let call = answers[0]["response"]["request_id"].as_str().unwrap();
    let story = gateway.show(&format!("/api/v1/calls/{call}")).await;
    assert_eq!((&story["call"]["key"], &story["call"]["action"]), (&json!("a"), &json!("invoke_model")), "{story}");
    let spend = gateway.show("/api/v1/spend?by=key").await.to_string();
    assert!(spend.contains(r#""key":"a""#), "{spend}");

    // The team sees it; nobody else does, and who may use no model may not use batches.
    assert_eq!(shown(&gateway, b, &id).await["status"], "completed");
    for path in [
        format!("/v1/batches/{id}"),
        format!("/v1/files/{}", done["output_file_id"].as_str().unwrap()),
        format!("/v1/files/{}/content", done["output_file_id"].as_str().unwrap()),
    ] {
        assert_eq!(send(&gateway, c, "GET", &path, Value::Null).await.status, 404, "{path}");
        assert_eq!(send(&gateway, d, "GET", &path, Value::Null).await.status, 403, "{path}");
    }
    let listed = send(&gateway, c, "GET", "/v1/batches", Value::Null).await.json();
    assert_eq!(listed["data"], json!([]));
    assert_eq!(upload(&gateway, d, "batch", &lines[0]).await.status, 403);
    let listed = send(&gateway, b, "GET", "/v1/batches?limit=1", Value::Null).await.json();
    assert_eq!((&listed["data"][0]["id"], &listed["has_more"]), (&json!(id), &json!(false)));
    let files = send(&gateway, b, "GET", "/v1/files?purpose=batch", Value::Null).await.json();
    assert_eq!(files["data"].as_array().unwrap().len(), 1, "{files}");

    // What was said lies nowhere in the clear.
    for file in super::kill::files(&gateway.data.join("files")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"second"), "{}", file.display());
    }
    for file in ["output_file_id", "error_file_id", "input_file_id"] {
        let path = format!("/v1/files/{}", done[file].as_str().unwrap());
        let gone = send(&gateway, b, "DELETE", &path, Value::Null).await;
        assert_eq!((gone.status, &gone.json()["deleted"]), (200, &json!(true)), "{file}");
        assert_eq!(send(&gateway, a, "GET", &path, Value::Null).await.status, 404);
    }
    assert!(super::kill::files(&gateway.data.join("files")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_lines_is_told_before_one_runs() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({"/batches/file": "2KiB"}))).run().await;
    let a = &keys.0[0];
    let good = request("x", "chat", "never");
    let id = batch(&gateway, a, &[good.clone(), "{".to_owned(), good.clone(), request("y", "slow", "z")]).await;
    let failed = ended(&gateway, a, &id).await;
    assert_eq!(failed["status"], "failed");
    let told: Vec<(&str, u64)> = failed["errors"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["code"].as_str().unwrap(), error["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("invalid_json_line", 2), ("duplicate_custom_id", 3), ("mismatched_model", 4)]);
    assert!(sim.requests().await.is_empty());
    let large = upload(&gateway, a, "batch", &"x".repeat(4_096)).await;
    assert_eq!((large.status, large.header("x-tidegate-error")), (413, "too_large"), "{}", large.text());
    let file = upload(&gateway, a, "batch", &good).await.json()["id"].clone();
    for (field, value) in [
        ("endpoint", json!("/v1/messages")),
        ("completion_window", json!("1h")),
        ("input_file_id", json!("file-tg-00000000000000000000000000000000")),
        ("metadata", json!({"x": 7})),
        ("more", json!(1)),
    ] {
        let mut asked = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        asked[field] = value;
        let refused = send(&gateway, a, "POST", "/v1/batches", asked).await;
        assert!([400, 404].contains(&refused.status), "{field}: {}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_cancelled_begins_no_further_line() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({"/batches/concurrent": 1}))).run().await;
    let a = &keys.0[0];
    let lines: Vec<String> = (0..50).map(|at| request(&format!("{at:02}"), "slow", "x")).collect();
    let id = batch(&gateway, a, &lines).await;
    until("the first line", LONG, || async { !sim.requests().await.is_empty() }).await;
    let input = shown(&gateway, a, &id).await["input_file_id"].as_str().unwrap().to_owned();
    let read = send(&gateway, a, "DELETE", &format!("/v1/files/{input}"), Value::Null).await;
    assert_eq!(read.status, 400, "a file that is read cannot be deleted: {}", read.text());
    let cancelling = send(&gateway, a, "POST", &format!("/v1/batches/{id}/cancel"), Value::Null).await;
    assert_eq!(cancelling.json()["status"], "cancelling", "{}", cancelling.text());
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["status"], "cancelled", "{done}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    let failures = lines_of(&gateway, a, &done["error_file_id"]).await;
    assert_eq!(answers.len() + failures.len(), 50);
    assert_eq!(failures.last().unwrap()["error"]["code"], "batch_cancelled");
    assert_eq!(sim.requests().await.len(), answers.len(), "what was begun came to its end");
    let again = send(&gateway, a, "POST", &format!("/v1/batches/{id}/cancel"), Value::Null).await;
    assert_eq!(again.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_stops_its_batch() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({"/batches/concurrent": 1}))).run().await;
    let body = json!({"name": "maker", "team": "research", "allow": {"models": ["slow"]}});
    let token = format!("Bearer {}", gateway.admin_token);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let made = http::send("POST", &format!("{}/api/v1/keys", gateway.admin), &headers, body.to_string()).await;
    let secret = made.json()["key"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned();
    let lines: Vec<String> = (0..30).map(|at| request(&format!("{at:02}"), "slow", "x")).collect();
    let id = batch(&gateway, &secret, &lines).await;
    until("the first line", LONG, || async { !sim.requests().await.is_empty() }).await;
    let path = format!("{}/api/v1/keys/{}", gateway.admin, made.json()["id"].as_str().unwrap());
    let revoked = http::send("DELETE", &path, &headers, "").await;
    assert!(revoked.status < 300, "{}", revoked.text());
    // Its team still sees what came of it.
    let done = ended(&gateway, &keys.0[0], &id).await;
    assert_eq!(
        (&done["status"], &done["errors"]["data"][0]["code"]),
        (&json!("failed"), &json!("key_revoked")),
        "{done}"
    );
    let failures = lines_of(&gateway, &keys.0[0], &done["error_file_id"]).await;
    assert!(failures.len() >= 28, "{}", failures.len());
    assert!(sim.requests().await.len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_minus_nine_no_line_is_asked_twice_and_none_is_forgotten() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let start = keys.start(folder.path(), config(&sim, &json!({})));
    let a = &keys.0[0];
    let mut gateway = start.run().await;
    let lines: Vec<String> = (0..60).map(|at| request(&format!("{at:02}"), "slow", &format!("line {at}"))).collect();
    let id = batch(&gateway, a, &lines).await;
    let mut seen = 0;
    for _ in 0..4 {
        until("progress", LONG, || async {
            let done = shown(&gateway, a, &id).await["request_counts"]["completed"].as_u64().unwrap();
            done > seen || done >= 60
        })
        .await;
        seen = shown(&gateway, a, &id).await["request_counts"]["completed"].as_u64().unwrap();
        gateway.kill().await;
        // What an upload that was under way would leave: nobody was told of it, so it goes.
        let half_made = ["", ".new"].map(|end| gateway.data.join(format!("files/file-tg-{}{end}", "0".repeat(32))));
        for path in &half_made {
            std::fs::write(path, b"half").unwrap();
        }
        gateway = start.run().await;
        assert!(half_made.iter().all(|path| !path.exists()));
    }
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["status"], "completed", "{done}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    let failures = lines_of(&gateway, a, &done["error_file_id"]).await;
    let mut all: Vec<&str> = ids(&answers);
    all.extend(ids(&failures));
    all.sort_unstable();
    let expected: Vec<String> = (0..60).map(|at| format!("{at:02}")).collect();
    assert_eq!(all, expected, "each line has one end");
    assert!(u64::try_from(answers.len()).unwrap() >= seen, "what was counted is lost");
    for failure in &failures {
        assert_eq!(failure["error"]["code"], "outcome_unknown", "{failure}");
    }
    assert!(failures.len() <= 16, "no more are unknown than were in flight: {}", failures.len());
    // The provider was asked at most once for each line.
    let asked = sim.requests().await;
    assert!(asked.len() <= 60 && asked.len() >= answers.len(), "{} of 60", asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_lines_in_flight_end_and_the_next_start_goes_on() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let start = keys.start(folder.path(), config(&sim, &json!({})));
    let a = &keys.0[0];
    let mut gateway = start.run().await;
    let lines: Vec<String> = (0..20).map(|at| request(&format!("{at:02}"), "slow", "x")).collect();
    let id = batch(&gateway, a, &lines).await;
    until("the first line", LONG, || async { !sim.requests().await.is_empty() }).await;
    gateway.stop().await;
    let gateway = start.run().await;
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["request_counts"], json!({"total": 20, "completed": 20, "failed": 0}), "{done}");
    assert_eq!(sim.requests().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_a_limit_and_a_guardrail_count_for_every_line() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let more = json!({
        "/guardrails": {"pii": {"detect": ["email"], "on": ["request"], "action": "block"}},
        "/keys/c": {"secret": "env:C", "allow": {"models": ["chat"]}, "guardrails": ["pii"], "limits": {"requests": "3/s"}},
        "/keys/b": {"secret": "env:B", "allow": {"models": ["chat"]}, "budget": "0.0003 usd/month"},
    });
    let gateway = keys.start(folder.path(), config(&sim, &more)).run().await;
    let [_, b, c, _] = &keys.0;
    let mut lines: Vec<String> = (0..8).map(|at| request(&format!("{at}"), "chat", "x")).collect();
    lines.push(request("blocked", "chat", "to jo@example.com"));
    lines.push(request("stream", "chat", "x").replace(r#""max_tokens":64"#, r#""max_tokens":64,"stream":true"#));
    let id = batch(&gateway, c, &lines).await;
    let done = ended(&gateway, c, &id).await;
    assert_eq!(done["request_counts"], json!({"total": 10, "completed": 8, "failed": 2}), "{done}");
    let failures = lines_of(&gateway, c, &done["error_file_id"]).await;
    let told: Vec<&Value> = failures.iter().map(|line| &line["response"]["status_code"]).collect();
    assert_eq!((ids(&failures), told), (vec!["blocked", "stream"], vec![&json!(403), &json!(400)]));

    let id = batch(&gateway, b, &lines[..8]).await;
    let done = ended(&gateway, b, &id).await;
    let failures = lines_of(&gateway, b, &done["error_file_id"]).await;
    assert!(!failures.is_empty() && failures.iter().all(|line| line["response"]["status_code"] == 402), "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_a_providers_stays_a_providers() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let vendor = Scripted::answering(|request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/files") => Reply::json(200, r#"{"id":"file-theirs"}"#),
        ("POST", "/v1/batches") => Reply::json(200, r#"{"id":"batch_theirs"}"#),
        ("GET", "/v1/files?purpose=fine-tune" | "/v1/files") => Reply::json(200, r#"{"data":"theirs"}"#),
        _ => Reply::json(200, r#"{"id":"theirs"}"#),
    })
    .await
    .unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let policy = r#"@id("api") permit (principal, action == Tidegate::Action::"call_provider_api", resource);"#;
    std::fs::write(policies.join("api.cedar"), policy).unwrap();
    let more = json!({
        "/policies": policies,
        "/providers/vendor": {"type": "openai", "base_url": vendor.url("/v1")},
        "/default_provider": "vendor",
    });
    let gateway = keys.start(folder.path(), config(&sim, &more)).run().await;
    let c = &keys.0[2];
    let theirs = upload(&gateway, c, "fine-tune", "{}").await;
    assert_eq!(theirs.json()["id"], "file-theirs", "{}", theirs.text());
    let asked = json!({"input_file_id": "file-theirs", "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    assert_eq!(send(&gateway, c, "POST", "/v1/batches", asked).await.json()["id"], "batch_theirs");
    for path in ["/v1/batches/batch_theirs", "/v1/files/file-theirs", "/proxy/vendor/v1/files"] {
        let answer = send(&gateway, c, "GET", path, Value::Null).await;
        assert!(answer.status == 200 && answer.text().contains("theirs"), "{path}: {}", answer.text());
    }
    let before = vendor.count();
    let ours = upload(&gateway, c, "batch", &request("x", "chat", "y")).await;
    assert!(ours.json()["id"].as_str().unwrap().starts_with("file-tg-"));
    assert_eq!(vendor.count(), before);
}

#[tokio::test]
async fn a_large_file_that_says_first_what_it_is_for_is_never_held() {
    const MIB: u64 = 1 << 20;
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let sim = Sim::start().await;
    let gateway = keys.start(folder.path(), config(&sim, &json!({}))).run().await;
    let before = resident(&gateway);
    let line = format!("{}\n", "x".repeat(1023));
    let file = line.repeat(64 * 1024);
    let body = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--xyz\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"lines.jsonl\"\r\n\r\n{file}\r\n--xyz--\r\n"
    );
    let bearer = format!("Bearer {}", keys.0[0]);
    let headers = [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=xyz")];
    let kept = http::send("POST", &format!("{}/v1/files", gateway.url), &headers, body).await;
    assert_eq!((kept.status, &kept.json()["bytes"]), (200, &json!(file.len())), "{}", kept.text());
    let grown = most_resident(&gateway).saturating_sub(before);
    assert!(grown < 24 * MIB, "a file of 64 MiB took {} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_slow_keeps_nobody_from_looking() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({"/batches/concurrent": 1}))).run().await;
    let a = &keys.0[0];
    let lines: Vec<String> = (0..40).map(|at| request(&format!("{at:02}"), "slow", "x")).collect();
    let id = batch(&gateway, a, &lines).await;
    until("a batch in progress", LONG, || async { shown(&gateway, a, &id).await["status"] == "in_progress" }).await;
    let state = rusqlite::Connection::open(gateway.data.join("state.db")).unwrap();
    state.execute_batch("BEGIN IMMEDIATE").unwrap();
    let path = format!("/v1/batches/{id}/cancel");
    let cancelling = send(&gateway, a, "POST", &path, json!({}));
    let looking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // As many at once as there are threads that could wait.
        let all = futures_util::future::join_all((0..8).map(|_| shown(&gateway, a, &id)));
        let looked = tokio::time::timeout(Duration::from_secs(2), all).await;
        state.execute_batch("ROLLBACK").unwrap();
        looked
    };
    let (cancelled, looked) = tokio::join!(cancelling, looking);
    assert!(looked.is_ok(), "whoever looks waits for what is written");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    assert_eq!(ended(&gateway, a, &id).await["status"], "cancelled");
}
