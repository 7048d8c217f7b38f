//! All MCP servers as one, before servers that do not behave: lists without end, definitions of another shape, refusals,
//! equal ids.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Received, Reply, Scripted, Step};

use super::{
    gateway::{self, Gateway, Start},
    http::{self, Answer},
};

const REVISION: &str = "2025-11-25";

/// A server that opens sessions, has `tools` and leaves the rest to `answer`, which gets the message.
async fn server(answer: impl Fn(&Received, &Value) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::answering(move |received| {
        let message: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        match message["method"].as_str() {
            Some("initialize") => {
                let result = json!({"protocolVersion": REVISION, "serverInfo": {"name": "s", "version": "1"},
                    "capabilities": {"tools": {"listChanged": true}, "tasks": {"list": {}}}});
                Reply::json_with(200, &[("mcp-session-id", "s-1")], reply(&message, &result))
            }
            Some(method) if method.starts_with("notifications/") => Reply::json(202, ""),
            _ if received.method == "DELETE" => Reply::json(200, ""),
            _ => answer(received, &message),
        }
    })
    .await
    .unwrap()
}

fn reply(message: &Value, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()
}

fn tools(message: &Value, names: &[&str]) -> Reply {
    let tools: Vec<_> = names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect();
    Reply::json(200, reply(message, &json!({"tools": tools})))
}

/// A gateway before these servers, and a client of its `/mcp`.
struct Client {
    gateway: Gateway,
    bearer: String,
    session: String,
}

impl Client {
    async fn before(folder: &Path, servers: &[(&str, &Scripted)]) -> Self {
        let key = gateway::key();
        let servers: serde_json::Map<String, Value> =
            servers.iter().map(|(name, server)| ((*name).to_owned(), json!({"url": server.url("/mcp")}))).collect();
        let config = json!({"version": 1, "mcp_servers": servers,
            "keys": {"k": {"secret": "env:K", "allow": {"mcp_servers": "*"}}}});
        let gateway = Start::new("serve", folder).config(config).env("K", &key).run().await;
        let mut client = Self { gateway, bearer: format!("Bearer {key}"), session: String::new() };
        let hello = json!({"protocolVersion": REVISION, "capabilities": {"roots": {}},
            "clientInfo": {"name": "stories", "version": "1"}});
        let answer = client.ask("initialize", hello).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        client.session = answer.header("mcp-session-id").to_owned();
        client
    }

    async fn send(&self, method: &str, message: &Value) -> Answer {
        let body = if message.is_null() { String::new() } else { message.to_string() };
        http::send(method, &format!("{}/mcp", self.gateway.url), &self.headers(), body).await
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        if !self.session.is_empty() {
            headers.extend([("mcp-session-id", self.session.as_str()), ("mcp-protocol-version", REVISION)]);
        }
        headers
    }

    async fn ask(&self, method: &str, params: Value) -> Answer {
        self.send("POST", &json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})).await
    }

    async fn names(&self) -> (Vec<String>, Value) {
        let answer = self.ask("tools/list", json!({})).await.json();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
        (names, answer["result"].clone())
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_server_that_lists_in_circles_is_cut_short() {
    let circling = server(|_, message| {
        let result = json!({"tools": [{"name": "a", "inputSchema": {}}], "nextCursor": "again"});
        Reply::json(200, reply(message, &result))
    })
    .await;
    let endless = server(|received, message| {
        let page = received.text().len().wrapping_add(usize::from(message["id"].is_null()));
        let cursor = message["params"]["cursor"].as_str().unwrap_or("0").parse::<u64>().unwrap().wrapping_add(1);
        let result = json!({"tools": [{"name": format!("t{page}-{cursor}"), "inputSchema": {}}],
            "nextCursor": cursor.to_string()});
        Reply::json(200, reply(message, &result))
    })
    .await;
    let folder = folder();
    let client = Client::before(folder.path(), &[("circling", &circling), ("endless", &endless)]).await;
    let (names, result) = client.names().await;
    assert_eq!(result["_meta"]["tidegate/cut_short"], json!(["circling", "endless"]));
    assert_eq!(names.iter().filter(|name| name.starts_with("circling__")).count(), 2);
    assert_eq!(names.iter().filter(|name| name.starts_with("endless__")).count(), 100);
    assert!(circling.count() < 10 && endless.count() < 120, "{} {}", circling.count(), endless.count());
}

#[tokio::test]
async fn a_definition_of_another_shape_spoils_nothing_else() {
    let deep = server(|_, message| {
        let schema = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
        let id = &message["id"];
        Reply::json(
            200,
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{"name":"x","inputSchema":{schema}}}]}}}}"#),
        )
    })
    .await;
    let odd = server(|_, message| {
        let result = json!({"tools": [7, null, {"name": 5}, {"title": "no name"}, {"name": "fine"}], "nextCursor": 9});
        Reply::json(200, reply(message, &result))
    })
    .await;
    let none = server(|_, message| Reply::json(200, reply(message, &json!({"tools": "many"})))).await;
    let folder = folder();
    let client = Client::before(folder.path(), &[("deep", &deep), ("none", &none), ("odd", &odd)]).await;
    let (names, result) = client.names().await;
    assert_eq!(names, ["odd__fine"]);
    assert_eq!(result["_meta"]["tidegate/unavailable"][0]["server"], "deep");
    assert_eq!(result["_meta"]["tidegate/unavailable"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_never_an_empty_list() {
    let refusing = server(|_, _| Reply::json(401, r#"{"error":"who are you?"}"#)).await;
    let folder = folder();
    let client = Client::before(folder.path(), &[("refusing", &refusing)]).await;
    let answer = client.ask("tools/list", json!({})).await.json();
    assert_eq!(answer["error"]["code"], 401, "{answer}");
    assert_eq!(answer["error"]["data"]["code"], "upstream_error");
    assert!(answer.get("result").is_none());
}

#[tokio::test]
async fn a_hanging_server_does_not_hold_up_the_others_twice() {
    let hanging = Scripted::answering(|_| Reply::silence()).await.unwrap();
    let fine = server(|_, message| tools(message, &["x"])).await;
    let folder = folder();
    let client = Client::before(folder.path(), &[("fine", &fine), ("hanging", &hanging)]).await;
    let (names, result) = client.names().await;
    assert_eq!(names, ["fine__x"]);
    assert_eq!(result["_meta"]["tidegate/unavailable"][0]["server"], "hanging");
    assert_eq!(hanging.count(), 1, "it was asked again at once");
}

#[tokio::test]
async fn what_is_not_spoken_is_offered_to_neither_side() {
    let plain = server(|_, message| tools(message, &["x"])).await;
    let folder = folder();
    let client = Client::before(folder.path(), &[("plain", &plain)]).await;
    let hello = json!({"protocolVersion": REVISION, "capabilities": {"tasks": {}, "roots": {}},
        "clientInfo": {"name": "stories", "version": "1"}});
    for path in ["/mcp", "/mcp/plain"] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello});
        let headers = [("authorization", client.bearer.as_str()), ("content-type", "application/json")];
        let url = format!("{}{path}", client.gateway.url);
        let answer = http::send("POST", &url, &headers, message.to_string()).await.json();
        assert_eq!(answer["result"]["capabilities"], json!({"tools": {"listChanged": true}}), "{path}: {answer}");
    }
    assert!(plain.received().iter().all(|received| !received.text().contains("tasks")));
}

/// A server that asks its client something on its own stream, under the id 1, and tells of a changed list.
async fn asking() -> Scripted {
    server(|received, message| {
        if received.method != "GET" {
            return if message["method"].is_null() { Reply::json(202, "") } else { tools(message, &["x"]) };
        }
        Reply::stream()
            .send("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n")
            .send("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n")
            .then(Step::Stall)
    })
    .await
}

#[tokio::test]
async fn no_cross_client_answers_between_servers() {
    let (one, two) = (asking().await, asking().await);
    let folder = folder();
    let client = Client::before(folder.path(), &[("one", &one), ("two", &two)]).await;
    let url = format!("{}/mcp", client.gateway.url);
    let mut stream = http::open("GET", &url, &client.headers(), "").await.unwrap();
    let mut text = String::new();
    while text.matches("roots/list").count() < 2 || text.matches("list_changed").count() < 2 {
        text.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap()));
    }
    let ids: Vec<i64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter(|message| message["method"] == "roots/list")
        .map(|message| message["id"].as_i64().unwrap())
        .collect();
    assert_ne!(ids[0], ids[1], "two servers ask under one id");
    for id in &ids {
        let roots = json!({"roots": [{"uri": format!("file:///{id}")}]});
        let answer = client.send("POST", &json!({"jsonrpc": "2.0", "id": id, "result": roots})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    // Each server got one answer, under its own id; no answer is taken twice.
    let answers = |server: &Scripted| -> Vec<Value> {
        let bodies = server.received().into_iter().filter_map(|received| serde_json::from_slice(&received.body).ok());
        bodies.filter(|message: &Value| message["result"]["roots"].is_array()).collect()
    };
    let (first, second) = (answers(&one), answers(&two));
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!((&first[0]["id"], &second[0]["id"]), (&json!(1), &json!(1)));
    assert_ne!(first[0]["result"], second[0]["result"]);
    let again = client.send("POST", &json!({"jsonrpc": "2.0", "id": ids[0], "result": {"roots": []}})).await;
    assert_eq!(again.status, 400, "{}", again.text());
}

#[tokio::test]
async fn a_server_that_comes_back_is_listed_again() {
    let flaky = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let up = std::sync::Arc::clone(&flaky);
    let back = server(move |_, message| {
        if up.load(std::sync::atomic::Ordering::Relaxed) { tools(message, &["x"]) } else { Reply::json(503, "{}") }
    })
    .await;
    let fine = server(|_, message| tools(message, &["y"])).await;
    let folder = folder();
    let client = Client::before(folder.path(), &[("back", &back), ("fine", &fine)]).await;
    assert_eq!(client.names().await.0, ["fine__y"]);
    flaky.store(true, std::sync::atomic::Ordering::Relaxed);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
    loop {
        let (names, result) = client.names().await;
        if names == ["back__x", "fine__y"] {
            assert!(result.get("_meta").is_none());
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{result}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
