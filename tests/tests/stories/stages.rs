//! One pipeline for every kind of call.

use serde_json::{Value, json};
use tidegate_core::event::Stage;

use super::{
    gateway::{Start, question},
    mcp::Session,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_passes_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let models = json!({"kept": {"route": "sim/chat", "cache": {"ttl": "1h"}}});
    let config = json!({"version": 1, "models": models, "mcp_servers": {"sim": {"url": "sim:mcp"}}});
    let gateway = Start::new("up", folder.path()).config(config).run().await;
    let unary = gateway.post("/v1/chat/completions", &gateway.key, &question("kept", "hi", false)).await;
    let stream = gateway.post("/v1/messages", &gateway.key, &question("kept", "hi", true)).await;
    let session = Session::begin(&gateway, &gateway.key).await.expect("a session");
    let tool = session.echo("over the wire").await.unwrap();
    assert!(tool.text().contains("over the wire"), "{}", tool.text());
    let kinds = [("model", unary), ("model stream", stream), ("MCP tool", tool)];
    let mut stories = Vec::new();
    for (kind, answer) in kinds {
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
        let story = gateway.show(&format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"))).await;
        stories.push((kind, story));
    }
    let verdict = |story: &Value, stage: &str| {
        let stages = story["call"]["stages"].as_array().unwrap();
        stages.iter().find(|event| event["stage"] == stage).map(|event| event["verdict"].as_str().unwrap().to_owned())
    };
    println!("{:<16}{}", "stage", stories.iter().map(|(kind, _)| format!("{kind:<14}")).collect::<String>());
    let mut missing = Vec::new();
    for stage in Stage::ALL {
        let name = serde_json::to_value(stage).unwrap().as_str().unwrap().to_owned();
        let row: Vec<Option<String>> = stories.iter().map(|(_, story)| verdict(story, &name)).collect();
        let shown = row.iter().map(|cell| format!("{:<14}", cell.as_deref().unwrap_or("-"))).collect::<String>();
        println!("{name:<16}{shown}");
        let absent = stories.iter().zip(&row).filter(|(_, cell)| cell.is_none());
        missing.extend(absent.map(|((kind, _), _)| format!("{kind}: {name}")));
    }
    // What a tool does to the world is never done from memory.
    missing.retain(|pair| pair != "MCP tool: cache");
    assert!(missing.is_empty(), "{missing:?}");
}
