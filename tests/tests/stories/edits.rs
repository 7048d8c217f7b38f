//! Keys that are changed and removed while they are used.

use serde_json::json;

use super::{
    gateway::{Start, question},
    terminal::tidegate,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_key_goes_by_its_new_rules_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    let make = ["key", "create", "ci", "--budget", "0.0001 usd/day", "--allow", "models=sim/chat", "-o", "json"];
    let key = tidegate(&gateway, &make).await.json()["key"].as_str().unwrap().to_owned();
    let ask = async |model: &str| {
        let answer = gateway.post("/v1/chat/completions", &key, &question(model, "hello", false)).await;
        (answer.status, answer.header("x-tidegate-error").to_owned())
    };
    assert_eq!(ask("sim/chat").await, (402, "budget_exhausted".to_owned()));

    let dry = tidegate(&gateway, &["key", "edit", "ci", "--budget", "1 usd/day", "--dry-run", "-o", "json"]).await;
    assert_eq!((dry.code, dry.json()), (2, json!({"budget": ["1 usd/day"]})), "{dry:?}");
    assert_eq!(ask("sim/chat").await.0, 402);
    let edited = tidegate(&gateway, &["key", "edit", "ci", "--budget", "1 usd/day", "-o", "json"]).await;
    assert_eq!(edited.code, 0, "{edited:?}");
    assert_eq!(edited.json()["allow"]["models"], json!(["sim/chat"]), "what was not named stays");
    assert_eq!(ask("sim/chat").await.0, 200);

    assert_eq!(ask("sim/tools").await.0, 404);
    assert_eq!(tidegate(&gateway, &["key", "edit", "ci", "--allow", "models=sim/tools"]).await.code, 0);
    assert_eq!((ask("sim/tools").await.0, ask("sim/chat").await.0), (200, 404));

    assert_eq!(tidegate(&gateway, &["key", "edit", "ci", "--limit", "requests=1/hour"]).await.code, 0);
    let (first, second) = (ask("sim/tools").await, ask("sim/tools").await);
    assert!([first, second].contains(&(429, "rate_limited".to_owned())));
    assert_eq!(tidegate(&gateway, &["key", "edit", "ci", "--clear", "limits", "--clear", "budget"]).await.code, 0);
    assert_eq!(ask("sim/tools").await.0, 200);

    let wrong = tidegate(&gateway, &["key", "edit", "ci", "--budget", "1 eur/day"]).await;
    assert_eq!(wrong.code, 64, "{wrong:?}");
    assert_eq!(tidegate(&gateway, &["key", "edit", "nobody", "--clear", "team"]).await.code, 4);
    assert_eq!(tidegate(&gateway, &["key", "edit", "ci"]).await.code, 64);

    assert_eq!(tidegate(&gateway, &["key", "rm", "ci", "--dry-run"]).await.code, 2);
    assert_eq!(ask("sim/tools").await.0, 200);
    assert_eq!(tidegate(&gateway, &["key", "rm", "ci"]).await.code, 0);
    assert_eq!(ask("sim/tools").await.0, 401);
    assert_eq!(tidegate(&gateway, &["key", "show", "ci"]).await.code, 4);
    assert_eq!(tidegate(&gateway, &["key", "rm", "ci"]).await.code, 4);
    // The name is free again.
    assert_eq!(tidegate(&gateway, &make).await.code, 0);
}
