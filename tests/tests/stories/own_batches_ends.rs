//! Ends of the gateway's own batches that are no results: time that is over, a disk that is full, a file that cannot be
//! read; and what is known of files and batches after a restart.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tidegate_core::clock;

use super::{
    gateway::{Gateway, Sim, until},
    kill,
    mounted::Mounted,
    own_batches::{Keys, LONG, batch, config, ended, ids, lines_of, request, send, shown, upload},
};

const DAY: i64 = 86_400_000;

fn slow(count: usize) -> Vec<String> {
    (0..count).map(|at| request(&format!("{at:02}"), "slow", &format!("line {at}"))).collect()
}

fn now() -> i64 {
    i64::try_from(clock::wall().0).unwrap()
}

/// Moves what the state of a gateway that does not run knows of a batch.
fn moved(data: &Path, change: &str, batch: &str, to: i64) {
    let state = rusqlite::Connection::open(data.join("state.db")).unwrap();
    assert_eq!(state.execute(&format!("UPDATE batch SET {change} WHERE id = ?1"), (batch, to)).unwrap(), 1);
}

const ITS_TIME: &str = "told = json_set(told, '$.expires', ?2)";

async fn asked(sim: &Sim) -> usize {
    sim.requests().await.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_time_is_over_begins_no_further_line() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let start = keys.start(folder.path(), config(&sim, &json!({"/batches/concurrent": 2})));
    let a = &keys.0[0];
    let mut gateway = start.run().await;
    let id = batch(&gateway, a, &slow(40)).await;
    let whole = shown(&gateway, a, &id).await;
    let length = whole["expires_at"].as_i64().unwrap() - whole["created_at"].as_i64().unwrap();
    assert!((86_399..=86_401).contains(&length), "{whole}");
    until("an answer", LONG, || async { shown(&gateway, a, &id).await["request_counts"]["completed"] != 0 }).await;
    gateway.stop().await;
    // The rest of the day passes.
    moved(&gateway.data, ITS_TIME, &id, now() + 3_000);
    let gateway = start.run().await;
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["status"], "expired", "{done}");
    assert!(done["expired_at"].is_i64() && done["completed_at"].is_null(), "{done}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    let failures = lines_of(&gateway, a, &done["error_file_id"]).await;
    assert!(!answers.is_empty() && !failures.is_empty());
    assert_eq!(answers.len() + failures.len(), 40, "each line has one end");
    assert!(failures.iter().all(|line| line["error"]["code"] == "batch_expired"), "{failures:?}");
    assert_eq!(asked(&sim).await, answers.len(), "what was begun came to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_a_kill_cut_off_is_unknown_also_where_the_time_is_over() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let start = keys.start(folder.path(), config(&sim, &json!({"/batches/concurrent": 2})));
    let a = &keys.0[0];
    let mut gateway = start.run().await;
    let id = batch(&gateway, a, &slow(10)).await;
    until("two lines in flight", LONG, || async { asked(&sim).await >= 2 }).await;
    gateway.kill().await;
    let begun = asked(&sim).await;
    moved(&gateway.data, ITS_TIME, &id, now() - 1);
    let gateway = start.run().await;
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["status"], "expired", "{done}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    let failures = lines_of(&gateway, a, &done["error_file_id"]).await;
    let code = |code: &str| failures.iter().filter(|line| line["error"]["code"] == code).count();
    assert_eq!((code("outcome_unknown"), code("batch_expired")), (begun - answers.len(), 10 - begun), "{failures:?}");
    assert_eq!(asked(&sim).await, begun, "and none is asked any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_a_batch_waits_and_loses_nothing() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let Some(mounted) = Mounted::at(&folder.path().join("data/files"), "2m") else { return };
    let mut gateway = keys.start(folder.path(), config(&sim, &json!({"/batches/concurrent": 2}))).run().await;
    let a = &keys.0[0];
    // Each answer needs a page of its own.
    let words = "word ".repeat(1_600);
    let line = |at| request(&format!("{at}"), "slow", &words).replace(r#""max_tokens":64"#, r#""max_tokens":4000"#);
    let lines: Vec<String> = (0..6).map(line).collect();
    let id = batch(&gateway, a, &lines).await;
    until("two answers", LONG, || async { asked(&sim).await >= 3 }).await;
    mounted.fill();
    let refused = upload(&gateway, a, "batch", &request("x", "chat", &words)).await;
    assert_eq!((refused.status, refused.header("x-tidegate-error")), (503, "overloaded"), "{}", refused.text());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let waiting = shown(&gateway, a, &id).await;
    assert_eq!(waiting["status"], "in_progress", "{waiting}");
    assert!(asked(&sim).await <= 4, "a line began whose end could not be noted");
    let call = gateway.post("/v1/chat/completions", a, &super::gateway::question("chat", "hi", false)).await;
    assert_eq!(call.status, 200, "other calls go on: {}", call.text());
    let before = asked(&sim).await - 1;
    mounted.empty();
    let done = ended(&gateway, a, &id).await;
    assert_eq!(done["request_counts"], json!({"total": 6, "completed": 6, "failed": 0}), "{done}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    assert_eq!(ids(&answers), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(asked(&sim).await, 7, "no line was asked twice; {before} were before there was room");
    assert_eq!(upload(&gateway, a, "batch", &request("x", "chat", "y")).await.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_file_cannot_be_read_to_its_end_fails_and_keeps_what_was_answered() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({}))).run().await;
    let a = &keys.0[0];
    let words = "x".repeat(200_000);
    let lines: Vec<String> = (0..16).map(|at| request(&format!("{at:02}"), "slow", &words)).collect();
    let id = batch(&gateway, a, &lines).await;
    until("the first line", LONG, || async { asked(&sim).await > 0 }).await;
    let input = shown(&gateway, a, &id).await["input_file_id"].as_str().unwrap().to_owned();
    let path = gateway.data.join("files").join(&input);
    let mut bytes = std::fs::read(&path).unwrap();
    // In the last piece that holds lines.
    let at = bytes.len() - 1_000;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let done = ended(&gateway, a, &id).await;
    let error = &done["errors"]["data"][0];
    assert_eq!((&done["status"], &error["code"]), (&json!("failed"), &json!("invalid_input_file")), "{done}");
    assert!(error["message"].as_str().unwrap().contains("upload it again") && done["failed_at"].is_i64(), "{done}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    assert!((8..16).contains(&answers.len()), "{}", answers.len());
    assert_eq!(asked(&sim).await, answers.len(), "what was paid for is there");
    let again = send(&gateway, a, "DELETE", &format!("/v1/files/{input}"), Value::Null).await;
    assert_eq!(again.status, 200, "it reads the file no more: {}", again.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moderations_run_in_a_batch() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let gateway = keys.start(folder.path(), config(&sim, &json!({}))).run().await;
    let a = &keys.0[0];
    let line = |id: &str, input: &str| {
        json!({"custom_id": id, "method": "POST", "url": "/v1/moderations", "body": {"model": "chat", "input": input}})
            .to_string()
    };
    let file = upload(&gateway, a, "batch", &[line("a", "fine"), line("b", "harm")].join("\n")).await;
    let asked = json!({"input_file_id": file.json()["id"], "endpoint": "/v1/moderations", "completion_window": "24h"});
    let made = send(&gateway, a, "POST", "/v1/batches", asked).await;
    let done = ended(&gateway, a, made.json()["id"].as_str().unwrap()).await;
    let failures = lines_of(&gateway, a, &done["error_file_id"]).await;
    assert_eq!(done["request_counts"], json!({"total": 2, "completed": 2, "failed": 0}), "{done}: {failures:?}");
    let answers = lines_of(&gateway, a, &done["output_file_id"]).await;
    let flagged: Vec<&Value> = answers.iter().map(|line| &line["response"]["body"]["results"][0]["flagged"]).collect();
    assert_eq!(flagged, [&json!(false), &json!(true)]);
}

async fn kept(gateway: &Gateway, key: &str, path: &str) -> (u16, String) {
    let answer = send(gateway, key, "GET", path, Value::Null).await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_batches_have_the_same_owners_after_a_restart() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let start = keys.start(folder.path(), config(&sim, &json!({})));
    let [a, b, c, d] = &keys.0;
    let mut gateway = start.run().await;
    let of_team = batch(&gateway, a, &[request("one", "chat", "of the team")]).await;
    let of_key = batch(&gateway, c, &[request("one", "chat", "of the key")]).await;
    let done = ended(&gateway, a, &of_team).await;
    ended(&gateway, c, &of_key).await;
    let file = |name: &str| format!("/v1/files/{}", done[name].as_str().unwrap());
    let paths = [
        format!("/v1/batches/{of_team}"),
        file("input_file_id"),
        format!("{}/content", file("input_file_id")),
        format!("{}/content", file("output_file_id")),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(kept(&gateway, a, path).await);
    }
    for how in ["kill -9", "stop"] {
        if how == "stop" {
            gateway.stop().await
        } else {
            gateway.kill().await
        }
        gateway = start.run().await;
        for (path, before) in paths.iter().zip(&before) {
            assert_eq!(before.0, 200);
            assert_eq!(kept(&gateway, a, path).await, *before, "{path} after {how}");
            assert_eq!(kept(&gateway, b, path).await, *before, "{path} after {how}, its team");
            assert_eq!(kept(&gateway, c, path).await.0, 404, "{path} after {how}, another key");
            assert_eq!(kept(&gateway, d, path).await.0, 403, "{path} after {how}, one without models");
        }
        for (key, theirs) in [(a, &of_team), (b, &of_team), (c, &of_key)] {
            let listed = send(&gateway, key, "GET", "/v1/batches", Value::Null).await.json();
            let listed = listed["data"].as_array().unwrap().clone();
            assert_eq!(listed.iter().map(|batch| &batch["id"]).collect::<Vec<_>>(), [theirs], "after {how}");
        }
    }
    for name in ["input_file_id", "output_file_id"] {
        assert_eq!(send(&gateway, c, "DELETE", &file(name), Value::Null).await.status, 404);
        assert_eq!(send(&gateway, b, "DELETE", &file(name), Value::Null).await.status, 200);
    }
    assert_eq!(kill::files(&gateway.data.join("files")).len(), 2, "what is left is the other key's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_forgotten_after_the_time_for_which_they_are_kept() {
    let (folder, sim, keys) = (tempfile::tempdir().unwrap(), Sim::start().await, Keys::new());
    let more = json!({"/batches/keep": "2d", "/audit": {"retention": "1h"}});
    let start = keys.start(folder.path(), config(&sim, &more));
    let c = &keys.0[2];
    let mut gateway = start.run().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let id = batch(&gateway, c, &[request("one", "chat", "x")]).await;
        let done = ended(&gateway, c, &id).await;
        let output = format!("/v1/files/{}", done["output_file_id"].as_str().unwrap());
        made.push((id, output));
    }
    for (_, output) in &made[..2] {
        assert_eq!(send(&gateway, c, "DELETE", output, Value::Null).await.status, 200);
    }
    gateway.stop().await;
    // A batch may have run for a day; from then on two days count.
    for ((id, _), days) in made.iter().zip([4, 2, 4]) {
        moved(&gateway.data, "created = ?2", id, now() - days * DAY);
    }
    let gateway = start.run().await;
    let there = async |at: usize| send(&gateway, c, "GET", &format!("/v1/batches/{}", made[at].0), Value::Null).await;
    until("forgetting", LONG, || async { there(0).await.status == 404 }).await;
    assert_eq!(there(1).await.status, 200, "its time is not over, whatever audit.retention says");
    assert_eq!(there(2).await.status, 200, "it has a file left");
}
