//! An MCP client over Streamable HTTP, as much of one as the stories need.

use serde_json::{Value, json};

use super::{
    gateway::Gateway,
    http::{Answer, Open, open},
};

/// A session with a server.
pub(crate) struct Session {
    url: String,
    bearer: String,
    id: String,
}

impl Session {
    /// Initializes a session with the simulator; `None` where the gateway is gone.
    pub(crate) async fn begin(gateway: &Gateway, key: &str) -> Option<Self> {
        Self::at(gateway, key, "sim").await
    }

    /// Initializes a session with a server.
    pub(crate) async fn at(gateway: &Gateway, key: &str, server: &str) -> Option<Self> {
        let mut session =
            Self { url: format!("{}/mcp/{server}", gateway.url), bearer: format!("Bearer {key}"), id: String::new() };
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "stories", "version": "1"}});
        let answer = session.send("initialize", hello).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        session.id = answer.header("mcp-session-id").to_owned();
        Some(session)
    }

    /// The answer of the tool; `None` where the gateway is gone.
    pub(crate) async fn echo(&self, message: &str) -> Option<Answer> {
        self.send("tools/call", json!({"name": "echo", "arguments": {"message": message}})).await
    }

    /// Begins a call of the tool that reports its progress `steps` times.
    pub(crate) async fn slow(&self, steps: u32) -> Option<Open> {
        let arguments = json!({"steps": steps});
        self.open("tools/call", json!({"name": "slow", "arguments": arguments, "_meta": {"progressToken": "p"}})).await
    }

    pub(crate) async fn send(&self, method: &str, params: Value) -> Option<Answer> {
        let mut open = self.open(method, params).await?;
        let body = open.rest().await;
        Some(Answer { status: open.status, headers: open.headers, body })
    }

    async fn open(&self, method: &str, params: Value) -> Option<Open> {
        let mut headers = vec![
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        if !self.id.is_empty() {
            headers.extend([("mcp-session-id", self.id.as_str()), ("mcp-protocol-version", "2025-06-18")]);
        }
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        open("POST", &self.url, &headers, message).await.ok()
    }
}
