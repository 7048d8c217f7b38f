//! A price list of others, from its file to what a call costs.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{
    gateway::{Start, binary, key, question, until},
    terminal::{Done, bare, run},
};

/// LiteLLM's form: a dollar and four for a million tokens of `m0`, `m1`, …, and one model that costs nothing.
fn list(input: &str) -> String {
    let model = |input: &str, output: &str| {
        format!(
            r#"{{"litellm_provider":"openai","mode":"chat","input_cost_per_token":{input},"output_cost_per_token":{output}}}"#
        )
    };
    let mut models: Vec<String> = (0..10).map(|at| format!("\"m{at}\": {}", model(input, "4e-06"))).collect();
    models.push(format!("\"gift\": {}", model("0.0", "0.0")));
    format!("{{\n{}\n}}\n", models.join(",\n"))
}

async fn catalog(folder: &Path, arguments: &[&str]) -> Done {
    let mut command = bare(binary(), folder);
    command.arg("catalog").args(arguments);
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_price_is_what_a_call_costs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("list.json"), list("1e-06")).unwrap();

    let diff = catalog(here, &["diff", "list.json", "-o", "json"]).await;
    assert_eq!(diff.code, 2, "{diff:?}");
    let told = diff.json();
    assert_eq!((told["models"].clone(), told["changes"].as_array().unwrap().len()), (json!(11), 11), "{told}");
    let finding = &told["findings"][0];
    assert_eq!(
        (&finding["kind"], &finding["model"], &finding["line"]),
        (&json!("zero"), &json!("openai/gift"), &json!(12))
    );

    // Refused while nobody looked at what was found; nothing is written by looking.
    for (arguments, code) in [
        (vec!["import", "list.json"], 1),
        (vec!["import", "list.json", "--accept", "zero=openai/other"], 1),
        (vec!["import", "list.json", "--accept", "everything"], 64),
        (vec!["import", "list.json", "--accept", "zero", "--dry-run"], 2),
        (vec!["import", "nowhere.json"], 1),
    ] {
        let done = catalog(here, &arguments).await;
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
        assert!(!here.join("prices").exists(), "{arguments:?}");
    }
    let done = catalog(here, &["import", "list.json", "--accept", "zero=openai/gift", "--date", "2026-06-01"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let written = std::fs::read_to_string(here.join("prices/imported.json")).unwrap();
    let file: Value = serde_json::from_str(&written).unwrap();
    assert_eq!((&file["format"], &file["date"]), (&json!("catalog.v1"), &json!("2026-06-01")));
    assert!(file["source"].as_str().unwrap().contains("litellm"));
    assert_eq!(catalog(here, &["diff", "list.json"]).await.code, 0, "nothing differs any more");

    // The gateway goes by it, and takes up another without a restart.
    let upstream = Scripted::answering(|_| {
        Reply::json(
            200,
            json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}})
            .to_string(),
        )
    });
    let upstream = upstream.await.unwrap();
    let config = json!({
        "version": 1, "prices": here.join("prices").to_str().unwrap(),
        "providers": {"openai": {"base_url": upstream.url("/v1"), "key": "env:VENDOR"}},
        "keys": {"a": {"secret": "env:A", "allow": {"models": "*"}, "budget": "1 usd/day"}},
    });
    let secret = key();
    let start = Start::new("serve", here).config(config).env("A", &secret).env("VENDOR", "of-the-vendor-0123456789");
    let gateway = start.run().await;
    let cost = async || {
        let answer = gateway.post("/v1/chat/completions", &secret, &question("openai/m1", "hello", false)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-tidegate-cost-usd").to_owned()
    };
    assert_eq!(cost().await, "0.003");

    std::fs::write(here.join("list.json"), list("9e-06")).unwrap();
    let done = catalog(here, &["import", "list.json", "--accept", "zero"]).await;
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("finding[moved]") && done.err.contains("--accept"), "{done:?}");
    let done = catalog(here, &["import", "list.json", "--accept", "zero", "--accept", "moved"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    until("the new price", std::time::Duration::from_secs(10), async || cost().await == "0.011").await;

    // A file that is broken is not taken, and the prices stay.
    std::fs::write(here.join("prices/imported.json"), "{\"gpt\": NaN}").unwrap();
    until("the refusal", std::time::Duration::from_secs(10), async || {
        gateway.show("/api/v1/status").await.to_string().contains("TG0503")
    })
    .await;
    assert_eq!(cost().await, "0.011");
    let done = catalog(here, &["import", "list.json", "--accept", "zero"]).await;
    assert!(done.code == 1 && done.err.contains("move it away"), "{done:?}");
}
