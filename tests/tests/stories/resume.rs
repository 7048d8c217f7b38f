//! Batches of revision 2025-03-26, and streams that are taken up again.

use serde_json::{Value, json};

use super::{
    gateway::{Gateway, Start},
    http::{self, Answer, Open},
};

struct Session<'a> {
    url: String,
    gateway: &'a Gateway,
    id: String,
}

impl<'a> Session<'a> {
    async fn begin(gateway: &'a Gateway, path: &str, revision: &str) -> Self {
        let mut session = Self { url: format!("{}{path}", gateway.url), gateway, id: String::new() };
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": revision,
            "capabilities": {}, "clientInfo": {"name": "stories", "version": "1"}}});
        let answer = session.post(&hello).await;
        assert_eq!(answer.json()["result"]["protocolVersion"], revision, "{}", answer.text());
        session.id = answer.header("mcp-session-id").to_owned();
        session
    }

    async fn open(&self, method: &str, body: String, last: Option<&str>) -> Open {
        let bearer = format!("Bearer {}", self.gateway.key);
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        if !self.id.is_empty() {
            headers.push(("mcp-session-id", self.id.as_str()));
        }
        headers.extend(last.map(|last| ("last-event-id", last)));
        http::open(method, &self.url, &headers, body).await.unwrap()
    }

    async fn post(&self, message: &Value) -> Answer {
        let mut open = self.open("POST", message.to_string(), None).await;
        let body = open.rest().await;
        Answer { status: open.status, headers: open.headers, body }
    }
}

fn call(id: u32, tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": {"progressToken": id}}})
}

/// The messages of a stream so far.
fn messages(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

#[tokio::test]
async fn each_message_of_a_batch_is_an_exchange_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    for (path, echo, slow) in [("/mcp/sim", "echo", "slow"), ("/mcp", "sim__echo", "sim__slow")] {
        let session = Session::begin(&gateway, path, "2025-03-26").await;
        let batch = json!([
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            call(2, echo, &json!({"message": "batched"})),
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 3, "method": "no/such"},
        ]);
        let answer = session.post(&batch).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut answers = answer.json().as_array().unwrap().clone();
        answers.sort_by_key(|answer| answer["id"].as_u64());
        assert_eq!(answers.len(), 3, "{answers:?}");
        assert_eq!(answers[0]["result"], json!({}));
        assert!(answers[1]["result"].to_string().contains("batched"));
        assert_eq!(answers[2]["error"]["code"], -32601);

        let told = session.post(&json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}])).await;
        assert_eq!((told.status, told.body.len()), (202, 0));

        let both = json!([call(4, slow, &json!({"steps": 2})), call(5, echo, &json!({"message": "beside"}))]);
        let answer = session.post(&both).await;
        assert!(answer.header("content-type").starts_with("text/event-stream"), "{}", answer.text());
        let said = messages(&answer.text());
        let ids: Vec<_> = said.iter().filter_map(|message| message["id"].as_u64()).collect();
        assert!(ids.contains(&4) && ids.contains(&5) && ids.len() == 2, "{}", answer.text());
        assert!(said.iter().any(|message| message["method"] == "notifications/progress"));

        let many: Vec<_> = (0..33).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).collect();
        assert_eq!(session.post(&json!(many)).await.status, 400);
        // Later revisions have no batches.
        let later = Session::begin(&gateway, path, "2025-06-18").await;
        assert_eq!(later.post(&batch).await.status, 400);
    }
}

#[tokio::test]
async fn a_stream_that_broke_is_taken_up_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).run().await;
    for (path, slow) in [("/mcp/sim", "slow"), ("/mcp", "sim__slow")] {
        let session = Session::begin(&gateway, path, "2025-11-25").await;
        let mut open = session.open("POST", call(9, slow, &json!({"steps": 8})).to_string(), None).await;
        let mut text = String::new();
        while messages(&text).len() < 2 {
            text.push_str(&String::from_utf8_lossy(&open.next().await.unwrap()));
        }
        drop(open);
        let last = text.lines().rfind(|line| line.starts_with("id: ")).unwrap().strip_prefix("id: ").unwrap();
        // Another session cannot have it.
        let other = Session::begin(&gateway, path, "2025-11-25").await;
        let refused = other.open("GET", String::new(), Some(last)).await;
        if refused.status == 200 {
            assert!(path == "/mcp", "a listening stream was promised");
        }
        drop(refused);

        let mut again = session.open("GET", String::new(), Some(last)).await;
        assert_eq!(again.status, 200);
        let rest = String::from_utf8(again.rest().await).unwrap();
        let (before, after) = (messages(&text), messages(&rest));
        assert_eq!(after.last().unwrap()["id"], 9, "{rest}");
        let steps: Vec<_> =
            before.iter().chain(&after).filter_map(|said| said["params"]["progress"].as_u64()).collect();
        assert_eq!(steps, (1..=8).collect::<Vec<_>>(), "{text}{rest}");
    }
}
