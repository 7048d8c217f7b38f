//! A provider's own batches: what they came to is charged once, at the price of batches, to the key that made them, when
//! their results are first fetched whole.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use rand::RngExt as _;
use serde_json::{Value, json};
use tidegate_core::ids::CallId;
use tidegate_testkit::scripted::{Received, Reply, Scripted, Step};

use super::{
    gateway::{Gateway, Sim, Start, key, until},
    http,
};

const SOON: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
@id("batches") permit (principal, action == Tidegate::Action::"call_provider_api", resource)
when { context.api.path like "/v1/batches*" || context.api.path like "/v1/files*"
    || context.api.path like "/v1/messages/batches*" };
"#;

fn config(folder: &Path, providers: &Value) -> Value {
    let policies = folder.join("policies");
    std::fs::create_dir_all(&policies).unwrap();
    std::fs::write(policies.join("batches.cedar"), POLICY).unwrap();
    json!({
        "version": 1,
        "policies": policies,
        "providers": providers,
        "default_provider": {"openai": "openai", "anthropic": "anthropic"},
        "teams": {"research": {"budget": "100 usd/month"}},
        "budgets": {"mini": {"scope": {"model": "openai/gpt-4.1-mini"}, "budget": "50 usd/month"}},
        "keys": {
            "maker": {"secret": "env:MAKER", "team": "research", "budget": "0.01 usd/month",
                "allow": {"models": ["openai/gpt-4.1-mini"]}},
            "other": {"secret": "env:OTHER"},
        },
    })
}

struct Keys {
    maker: String,
    other: String,
}

impl Keys {
    fn new() -> Self {
        Self { maker: key(), other: key() }
    }

    fn start<'a>(&self, folder: &Path, config: Value) -> Start<'a> {
        let start = Start::new("serve", folder).config(config).env("VENDOR", "sk-vendor-secret-0123456789abcdef");
        start.env("MAKER", &self.maker).env("OTHER", &self.other)
    }
}

/// A gateway before `upstream` as OpenAI and as Anthropic.
fn before<'a>(folder: &Path, upstream: &Scripted, keys: &Keys) -> Start<'a> {
    let provider = json!({"base_url": upstream.url("/v1"), "key": "env:VENDOR", "api_call": "0 usd"});
    keys.start(folder, config(folder, &json!({"openai": provider, "anthropic": provider})))
}

async fn send(gateway: &Gateway, key: &str, method: &str, path: &str, body: &Value) -> http::Answer {
    let answer = ask(gateway, key, method, path, body, &[]).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer
}

async fn ask(
    gateway: &Gateway,
    key: &str,
    method: &str,
    path: &str,
    body: &Value,
    more: &[(&str, &str)],
) -> http::Answer {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    headers.extend(more);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http::send(method, &format!("{}{path}", gateway.url), &headers, body).await
}

/// The text of a budget's `spent_usd`.
async fn spent(gateway: &Gateway, key: &str) -> String {
    gateway.show(&format!("/api/v1/keys/{key}")).await["budgets"][0]["spent_usd"].as_str().unwrap().to_owned()
}

/// The finished calls that are a settlement, newest first.
async fn settlements(gateway: &Gateway) -> Vec<Value> {
    let listed = gateway.show("/api/v1/calls?limit=1000").await;
    let of = |call: &&Value| call["resource"].as_str().unwrap_or_default().contains(" results of ");
    listed["calls"].as_array().unwrap().iter().filter(of).cloned().collect()
}

async fn settled(gateway: &Gateway, count: usize) -> Vec<Value> {
    until("the settlements", SOON, || async { settlements(gateway).await.len() >= count }).await;
    let found = settlements(gateway).await;
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// A line of results: 1,000 tokens of prompt, 400 of them from a cache, and 100 of answer.
fn answered(id: &str, model: &str) -> String {
    let usage = json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100,
        "prompt_tokens_details": {"cached_tokens": 400}});
    let body = json!({"id": "c", "object": "chat.completion", "model": model, "choices": [], "usage": usage});
    json!({"id": "r", "custom_id": id, "response": {"status_code": 200, "body": body}, "error": null}).to_string()
}

fn failed(id: &str) -> String {
    json!({"custom_id": id, "response": {"status_code": 400, "body": {"error": {"message": "no"}}}, "error": null})
        .to_string()
}

/// A vendor that keeps batches `b1`, `b2`, …, whose results are in `out-b1` and so on.
async fn vendor(results: impl Fn(&Received, &str) -> Reply + Send + Sync + 'static) -> Scripted {
    let made = AtomicUsize::new(0);
    let answering = Scripted::answering(move |request| {
        let path = request.path.split('?').next().unwrap_or_default();
        let done = |id: &str| {
            json!({"id": id, "object": "batch", "status": "completed", "output_file_id": format!("out-{id}"),
                "usage": {"input_tokens": 7_777_777, "output_tokens": 7}})
        };
        match (request.method.as_str(), path) {
            ("POST", "/v1/batches") => {
                let id = format!("b{}", made.fetch_add(1, Ordering::Relaxed) + 1);
                Reply::json(200, json!({"id": id, "object": "batch", "status": "in_progress"}).to_string())
            }
            ("GET", "/v1/batches") => {
                let all: Vec<Value> =
                    (1..=made.load(Ordering::Relaxed)).map(|number| done(&format!("b{number}"))).collect();
                Reply::json(200, json!({"object": "list", "data": all}).to_string())
            }
            ("GET", path) if path.starts_with("/v1/batches/") => {
                Reply::json(200, done(path.trim_start_matches("/v1/batches/")).to_string())
            }
            ("GET", path) => match path.strip_prefix("/v1/files/out-").and_then(|path| path.strip_suffix("/content")) {
                Some(id) => results(request, id),
                None => Reply::json(404, "{}"),
            },
            _ => Reply::json(404, "{}"),
        }
    });
    answering.await.unwrap()
}

fn lines(lines: &[String]) -> Reply {
    Reply::new(200, "application/octet-stream", &[], lines.join("\n"))
}

async fn made(gateway: &Gateway, keys: &Keys) -> String {
    let asked = json!({"input_file_id": "f", "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = send(gateway, &keys.maker, "POST", "/v1/batches", &asked).await;
    batch.json()["id"].as_str().unwrap().to_owned()
}

async fn looked_up(gateway: &Gateway, key: &str, id: &str) {
    let batch = send(gateway, key, "GET", &format!("/v1/batches/{id}"), &Value::Null).await.json();
    assert_eq!(batch["output_file_id"], format!("out-{id}"));
}

async fn fetched(gateway: &Gateway, key: &str, id: &str) -> http::Answer {
    send(gateway, key, "GET", &format!("/v1/files/out-{id}/content"), &Value::Null).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_paid_for_once_at_the_price_of_batches_by_the_key_that_made_it() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let upstream = vendor(|_, id| match id {
        "b1" => lines(&[
            answered("a", "gpt-4.1-2025-04-14"),
            answered("b", "gpt-4.1-mini"),
            failed("c"),
            answered("d", "gpt-4.1-2025-04-14"),
            answered("e", "nobody-knows-it"),
        ]),
        _ => lines(&[failed("a"), failed("b")]),
    })
    .await;
    let start = before(folder.path(), &upstream, &keys);
    let mut gateway = start.run().await;
    let id = made(&gateway, &keys).await;
    assert_eq!(spent(&gateway, "maker").await, "0");
    // Found in a list, and by a process that did not make it, before somebody else fetches it eight times at once.
    gateway.kill().await;
    let mut gateway = start.run().await;
    send(&gateway, &keys.other, "GET", "/v1/batches", &Value::Null).await;
    let all = join_all((0..8).map(|_| fetched(&gateway, &keys.other, &id))).await;
    assert!(all.iter().all(|answer| answer.body == all[0].body && answer.text().lines().count() == 5));

    // 600 × 1 + 400 × 0.5 + 100 × 4 of gpt-4.1, twice; 600 × 0.2 + 400 × 0.1 + 100 × 0.8 of its smaller kind.
    let found = settled(&gateway, 3).await;
    let of = |model: &str| found.iter().find(|call| call["served_by"] == format!("openai/{model}")).unwrap();
    let (large, small, unknown) = (of("gpt-4.1-2025-04-14"), of("gpt-4.1-mini"), of("nobody-knows-it"));
    assert_eq!((&large["usd"], &small["usd"], &unknown["usd"]), (&json!("0.0024"), &json!("0.00024"), &Value::Null));
    assert_eq!((&large["key"], &large["team"], &large["status"]), (&json!("maker"), &json!("research"), &json!(200)));
    assert_eq!(large["resource"], "openai results of b1");
    let story = gateway.show(&format!("/api/v1/calls/{}", large["id"].as_str().unwrap())).await;
    assert!(story.to_string().contains("intent") && story.to_string().contains("outcome"), "{story}");
    let usage = &story["call"]["usage"];
    assert_eq!((&usage["input"], &usage["cache_read"], &usage["output"]), (&json!(1_200), &json!(800), &json!(200)));
    assert_eq!(usage["service"], "batch");
    assert_eq!(spent(&gateway, "maker").await, "0.00264", "as soon as the answer is whole");
    let spend = gateway.show("/api/v1/spend?by=key").await;
    let rows = spend["rows"].as_array().unwrap();
    let of_key = |name: &str| rows.iter().find(|row| row["key"] == name).cloned().unwrap_or_default();
    assert_eq!(of_key("maker")["usd"], "0.00264", "{spend}");
    assert_ne!(of_key("other")["usd"], "0.00264", "{spend}");
    assert_eq!(of_key("other")["input_tokens"], 0, "what is looked up uses nothing: {spend}");
    let budgets = gateway.show("/api/v1/budgets").await.to_string();
    assert!(budgets.contains("0.00024"), "the budget of its model: {budgets}");
    let calls = gateway.show("/api/v1/calls?limit=1000").await;
    let fetches: Vec<&Value> =
        calls["calls"].as_array().unwrap().iter().filter(|call| call["key"] == "other").collect();
    assert!(fetches.iter().all(|call| call["status"] == 200 && call["error"].is_null()), "{fetches:?}");

    // Never again: not in this process, and not in another.
    fetched(&gateway, &keys.maker, &id).await;
    gateway.stop().await;
    let mut gateway = start.run().await;
    fetched(&gateway, &keys.maker, &id).await;
    assert_eq!((settlements(&gateway).await.len(), spent(&gateway, "maker").await.as_str()), (3, "0.00264"));

    // Answers that failed cost nothing and leave no call; the budget counts, also where it is gone over.
    let none = made(&gateway, &keys).await;
    looked_up(&gateway, &keys.maker, &none).await;
    fetched(&gateway, &keys.maker, &none).await;
    gateway.stop().await;
    let gateway = start.run().await;
    assert_eq!((settlements(&gateway).await.len(), spent(&gateway, "maker").await.as_str()), (3, "0.00264"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_a_batch_went_over_takes_no_further_call() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let upstream = vendor(|_, _| {
        let many: Vec<String> = (0..20).map(|at| answered(&at.to_string(), "gpt-4.1")).collect();
        lines(&many)
    })
    .await;
    let gateway = before(folder.path(), &upstream, &keys).run().await;
    let id = made(&gateway, &keys).await;
    looked_up(&gateway, &keys.maker, &id).await;
    let question = json!({"model": "openai/gpt-4.1-mini", "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}]});
    let fits = ask(&gateway, &keys.maker, "POST", "/v1/chat/completions", &question, &[]).await;
    assert_eq!(fits.status, 404, "it reaches the vendor, who knows no such path: {}", fits.text());
    fetched(&gateway, &keys.maker, &id).await;
    assert_eq!(spent(&gateway, "maker").await, "0.024", "more than the budget has, since it was spent");
    let refused = ask(&gateway, &keys.maker, "POST", "/v1/chat/completions", &question, &[]).await;
    assert_eq!((refused.status, refused.header("x-tidegate-error")), (402, "budget_exhausted"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_did_not_come_whole_are_paid_for_when_they_do() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let tries = Arc::new(AtomicUsize::new(0));
    let upstream = vendor(move |request, id| {
        let whole = [answered("a", "gpt-4.1"), answered("b", "gpt-4.1")].join("\n");
        let (half, rest) = whole.split_at(whole.len() - 100);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n";
        match id {
            // Breaks off the first time.
            "b1" if tries.fetch_add(1, Ordering::Relaxed) == 0 => {
                Reply(vec![]).send(format!("{head}content-length: {}\r\n\r\n{half}", whole.len())).then(Step::Close)
            }
            // Goes on only after the client has left.
            "b2" => Reply(vec![])
                .send(format!("{head}content-length: {}\r\n\r\n{half}", whole.len()))
                .then(Step::Pause(Duration::from_millis(1_500)))
                .send(rest),
            // A server that knows ranges.
            "b3" if request.header("range").is_some() || request.header("if-none-match").is_some() => {
                Reply::new(206, "application/octet-stream", &[("content-range", "bytes 0-9/900")], &whole[..10])
            }
            // Compressed, though it was asked for plain.
            "b4" => Reply::new(200, "application/octet-stream", &[("content-encoding", "gzip")], [31, 139, 8, 10, 10]),
            // Without an announced length.
            "b5" => Reply(vec![])
                .send(format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n", half.len()))
                .send(format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len())),
            // As JSON, which a single line is.
            "b6" => Reply::json(200, answered("a", "gpt-4.1")),
            _ => lines(&[whole]),
        }
    })
    .await;
    let gateway = before(folder.path(), &upstream, &keys).run().await;
    for _ in 0..6 {
        let id = made(&gateway, &keys).await;
        looked_up(&gateway, &keys.maker, &id).await;
    }
    let bearer = format!("Bearer {}", keys.maker);
    let headers = [("authorization", bearer.as_str())];
    let open = async |id: &str| {
        http::open("GET", &format!("{}/v1/files/out-{id}/content", gateway.url), &headers, "").await.unwrap()
    };

    let cut = open("b1").await.rest().await;
    assert!(!cut.is_empty());
    assert_eq!(spent(&gateway, "maker").await, "0", "half of the results are no bill");
    fetched(&gateway, &keys.maker, "b1").await;
    assert_eq!(spent(&gateway, "maker").await, "0.0024");

    let mut leaving = open("b2").await;
    assert!(leaving.next().await.is_some());
    drop(leaving);
    settled(&gateway, 2).await;
    assert_eq!(spent(&gateway, "maker").await, "0.0048", "who leaves before the last byte pays too");

    let path = "/v1/files/out-b3/content";
    let part = [("range", "bytes=0-9"), ("if-none-match", "\"x\"")];
    let answer = ask(&gateway, &keys.maker, "GET", path, &Value::Null, &part).await;
    assert_eq!((answer.status, answer.text().lines().count()), (200, 2), "whole, as long as it is not paid for");
    assert_eq!(spent(&gateway, "maker").await, "0.0072");
    let answer = ask(&gateway, &keys.maker, "GET", path, &Value::Null, &part).await;
    assert_eq!((answer.status, answer.body.len()), (206, 10), "then in pieces, if that is wanted");

    let answer = fetched(&gateway, &keys.maker, "b4").await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let found = settled(&gateway, 4).await;
    assert_eq!((&found[0]["usd"], &found[0]["served_by"]), (&Value::Null, &json!("openai")), "its cost is not known");

    fetched(&gateway, &keys.maker, "b5").await;
    assert_eq!(spent(&gateway, "maker").await, "0.0096");
    fetched(&gateway, &keys.maker, "b6").await;
    assert_eq!(spent(&gateway, "maker").await, "0.0108");
    assert_eq!(settlements(&gateway).await.len(), 6);
}

/// Changes what the state knows of results.
fn change(gateway: &Gateway, path: &str, change: impl FnOnce(&mut Value)) {
    let state = rusqlite::Connection::open(gateway.data.join("state.db")).unwrap();
    let told: String = state.query_row("SELECT told FROM made WHERE path = ?1", [path], |row| row.get(0)).unwrap();
    let mut told: Value = serde_json::from_str(&told).unwrap();
    change(&mut told);
    state.execute("UPDATE made SET told = ?2 WHERE path = ?1", [path, &told.to_string()]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_due_when_the_process_died_is_charged_once_at_the_next_start() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let upstream = vendor(|_, _| lines(&[answered("a", "gpt-4.1")])).await;
    let start = before(folder.path(), &upstream, &keys);
    let mut gateway = start.run().await;
    for _ in 0..2 {
        let id = made(&gateway, &keys).await;
        looked_up(&gateway, &keys.maker, &id).await;
    }
    fetched(&gateway, &keys.maker, "b1").await;
    let call = settled(&gateway, 1).await[0]["id"].as_str().unwrap().to_owned();
    gateway.stop().await;
    // As after a death between the record and the note that it is made, and between the first note and the record.
    let due = |call: &str| {
        let usage = json!({"input": 600, "cache_read": 400, "cache_write_5m": 0, "cache_write_1h": 0, "output": 100,
            "reasoning": 0, "service": "batch", "source": "vendor"});
        let at = tidegate_core::clock::wall().0;
        json!([{"call": call, "at": at, "model": "gpt-4.1", "lines": 1, "usage": usage, "cost": "1200000"}])
    };
    change(&gateway, "files/out-b1", |told| told["results"]["due"] = due(&call));
    let lost = CallId::new().to_string();
    change(&gateway, "files/out-b2", |told| {
        told["results"]["settled"] = json!(lost);
        told["results"]["due"] = due(&lost);
    });
    for _ in 0..2 {
        let mut gateway = start.run().await;
        assert_eq!(spent(&gateway, "maker").await, "0.0024");
        let found = settled(&gateway, 2).await;
        assert!(found.iter().all(|call| call["usd"] == "0.0012" && call["receipt"].is_u64()), "{found:?}");
        assert!(found.iter().any(|found| found["id"] == lost));
        fetched(&gateway, &keys.maker, "b2").await;
        assert_eq!(settled(&gateway, 2).await.len(), 2);
        gateway.stop().await;
        change(&gateway, "files/out-b2", |told| assert!(told["results"].get("due").is_none(), "{told}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_at_any_moment_of_a_settlement_leaves_one() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let upstream = vendor(|_, _| lines(&[answered("a", "gpt-4.1"), answered("b", "gpt-4.1-mini")])).await;
    let start = before(folder.path(), &upstream, &keys);
    let rounds = 8;
    for round in 0..rounds {
        let mut gateway = start.run().await;
        let id = made(&gateway, &keys).await;
        looked_up(&gateway, &keys.maker, &id).await;
        let pause = Duration::from_micros(if round == 0 { 0 } else { rand::rng().random_range(0..25_000) });
        let path = format!("/v1/files/out-{id}/content");
        tokio::select! {
            answer = ask(&gateway, &keys.maker, "GET", &path, &Value::Null, &[]) => {
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            () = tokio::time::sleep(pause) => {}
        }
        gateway.kill().await;
        let mut gateway = start.run().await;
        fetched(&gateway, &keys.maker, &id).await;
        settled(&gateway, 2 * (round + 1)).await;
        gateway.kill().await;
    }
    let gateway = start.run().await;
    let found = settled(&gateway, 2 * rounds).await;
    let cost: u64 = found.iter().map(|call| if call["usd"] == "0.0012" { 1_200 } else { 240 }).sum();
    assert_eq!(cost, u64::try_from(rounds).unwrap() * 1_440, "{found:?}");
    assert_eq!(spent(&gateway, "maker").await, "0.01152");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sims_batches_cost_half_and_messages_lead_to_the_gateway() {
    let (folder, keys, sim) = (tempfile::tempdir().unwrap(), Keys::new(), Sim::start().await);
    let prices = folder.path().join("prices");
    std::fs::create_dir(&prices).unwrap();
    let half = json!({"batch": {"input": "0.5", "output": "2"}});
    let model =
        |provider: &str| json!({"provider": provider, "model": "chat", "input": "1", "output": "4", "levels": half});
    let file = json!({"format": "catalog.v1", "source": "a story", "date": "2026-11-30",
        "models": [model("openai"), model("anthropic")]});
    std::fs::write(prices.join("sim.json"), file.to_string()).unwrap();
    let provider = |kind: &str| json!({"type": kind, "base_url": format!("{}/v1", sim.url), "key": "env:VENDOR", "api_call": "0 usd"});
    let providers = json!({"openai": provider("openai"), "anthropic": provider("anthropic")});
    let mut config = config(folder.path(), &providers);
    config["prices"] = json!(prices);
    let gateway = keys.start(folder.path(), config).run().await;

    let bearer = format!("Bearer {}", keys.maker);
    let form = [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=xyz")];
    let line = |id: &str, prompt: &str| {
        let body = json!({"model": "chat", "messages": [{"role": "user", "content": prompt}]});
        json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
    };
    let file = format!(
        "--xyz\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--xyz\r\ncontent-disposition: \
         form-data; name=\"file\"; filename=\"lines.jsonl\"\r\n\r\n{}\n{}\r\n--xyz--\r\n",
        line("a", "twelve bytes"),
        line("b", "[[sim: fail 400]]")
    );
    let file = http::send("POST", &format!("{}/v1/files", gateway.url), &form, file).await.json();
    let asked = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = send(&gateway, &keys.maker, "POST", "/v1/batches", &asked).await.json();
    let path = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    let batch = send(&gateway, &keys.maker, "GET", &path, &Value::Null).await.json();
    assert_eq!(batch["request_counts"], json!({"total": 2, "completed": 1, "failed": 1}), "{batch}");
    for file in ["error_file_id", "output_file_id"] {
        let path = format!("/v1/files/{}/content", batch[file].as_str().unwrap());
        send(&gateway, &keys.maker, "GET", &path, &Value::Null).await;
    }
    // 3 tokens of prompt at half a dollar a million, 5 of answer at two.
    let first = settled(&gateway, 1).await;
    assert_eq!(first[0]["usd"], "0.0000115", "{first:?}");

    let version = [("anthropic-version", "2023-06-01")];
    let params = json!({"model": "chat", "max_tokens": 50, "messages": [{"role": "user", "content": "twelve bytes"}]});
    let asked = json!({"requests": [{"custom_id": "a", "params": params}, {"custom_id": "b", "params": params}]});
    let made = ask(&gateway, &keys.maker, "POST", "/v1/messages/batches", &asked, &version).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let path = format!("/v1/messages/batches/{}", made.json()["id"].as_str().unwrap());
    let batch = ask(&gateway, &keys.maker, "GET", &path, &Value::Null, &version).await.json();
    assert_eq!(batch["results_url"], format!("{path}/results"), "not where the key of the gateway does not belong");
    let results = batch["results_url"].as_str().unwrap();
    let answer = ask(&gateway, &keys.other, "GET", results, &Value::Null, &version).await;
    assert_eq!((answer.status, answer.text().lines().count()), (200, 2), "{}", answer.text());
    let both = settled(&gateway, 2).await;
    assert_eq!((&both[0]["usd"], &both[0]["surface"]), (&json!("0.000023"), &json!("anthropic")), "{both:?}");
    assert_eq!(spent(&gateway, "maker").await, "0.0000345");
}
