//! An MCP session over Streamable HTTP, as much of a client as one tool call needs.
//!
//! Declares no capability, so no server asks it for anything; a request that comes all the same is answered with
//! "method not found".

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, Reply, refused},
    exit,
    output::{self, exit},
};

/// The revision that is spoken.
const REVISION: &str = "2025-11-25";
/// The most pages of a list that are read.
const MOST_PAGES: usize = 64;

/// An open session with one server.
pub(super) struct Session {
    caller: Caller,
    path: String,
    id: String,
    revision: String,
    next: u64,
    call: String,
}

impl Session {
    /// Opens a session with `server`.
    pub(super) async fn begin(caller: Caller, server: &str) -> Result<Self> {
        let path = format!("/mcp/{}", crate::commands::key::segment(server));
        let mut session =
            Self { caller, path, id: String::new(), revision: String::new(), next: 0, call: String::new() };
        let hello = json!({
            "protocolVersion": REVISION, "capabilities": {},
            "clientInfo": {"name": "tidegate-cli", "version": env!("CARGO_PKG_VERSION")},
        });
        let said = session.request("initialize", hello).await?;
        let revision = said.get("protocolVersion").and_then(Value::as_str);
        session.revision = revision.context("the server names no revision of the protocol")?.to_owned();
        session.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(session)
    }

    /// The last request's call at the gateway.
    pub(super) fn call(&self) -> &str {
        &self.call
    }

    /// Every tool that the key may use.
    pub(super) async fn tools(&mut self) -> Result<Vec<Value>> {
        let mut tools = Vec::new();
        let mut params = json!({});
        for _ in 0..MOST_PAGES {
            let page = self.request("tools/list", params).await?;
            tools.extend(page.get("tools").and_then(Value::as_array).cloned().unwrap_or_default());
            match page.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(tools),
            }
        }
        Err(exit(exit::ERROR, format!("the server's list of tools has more than {MOST_PAGES} pages")))
    }

    /// A request's result.
    pub(super) async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        self.next = self.next.saturating_add(1);
        let id = self.next;
        let mut params = params;
        if method == "tools/call"
            && let Some(members) = params.as_object_mut()
        {
            members.insert("_meta".to_owned(), json!({"progressToken": id}));
        }
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut reply = self.post(&message).await?;
        reply.header("x-tidegate-call-id").clone_into(&mut self.call);
        if method == "initialize" {
            reply.header("mcp-session-id").clone_into(&mut self.id);
        }
        if !reply.streams() {
            let status = reply.status.as_u16();
            return self.result(status, &reply.json().await?);
        }
        let status = reply.status.as_u16();
        while let Some(frame) = reply.event().await? {
            let data = frame.data.as_deref().unwrap_or_default();
            if data.is_empty() {
                continue;
            }
            let message: Value = serde_json::from_slice(data).context("a message of the server is no JSON")?;
            if message.get("method").is_some() {
                self.heard(&message).await?;
            } else if message.get("id").and_then(Value::as_u64) == Some(id) {
                return self.result(status, &message);
            }
        }
        Err(refused("upstream_error", 502, "the stream ended without an answer", &self.call))
    }

    /// Ends the session. A server that does not take it ends it by itself.
    pub(super) async fn end(self) {
        if !self.id.is_empty() {
            let _ = self.caller.send(Method::DELETE, &self.path, &self.headers(), None).await;
        }
    }

    fn headers(&self) -> Vec<(&'static str, &str)> {
        let mut headers = vec![("accept", "application/json, text/event-stream")];
        if !self.id.is_empty() {
            headers.push(("mcp-session-id", self.id.as_str()));
        }
        if !self.revision.is_empty() {
            headers.push(("mcp-protocol-version", self.revision.as_str()));
        }
        headers
    }

    async fn post(&self, message: &Value) -> Result<Reply> {
        let reply = self.caller.send(Method::POST, &self.path, &self.headers(), Some(message)).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(reply.refusal().await) }
    }

    /// What the server says on the way.
    async fn heard(&self, message: &Value) -> Result<()> {
        let params = message.get("params");
        let part = |name: &str| params.and_then(|params| params.get(name));
        match message.get("method").and_then(Value::as_str).unwrap_or_default() {
            "notifications/progress" => {
                let said = part("message").and_then(Value::as_str).unwrap_or_default();
                let total = part("total").map(|total| format!("/{total}")).unwrap_or_default();
                let progress = part("progress").map(ToString::to_string).unwrap_or_default();
                output::talk(&output::printable(&format!("progress {progress}{total} {said}")));
            }
            "notifications/message" => {
                let data = part("data").map(|data| data.as_str().map_or_else(|| data.to_string(), str::to_owned));
                output::talk(&output::printable(&data.unwrap_or_default()));
            }
            _ => {}
        }
        if let Some(id) = message.get("id") {
            let no = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "not supported"}});
            self.post(&no).await?;
        }
        Ok(())
    }

    fn result(&self, status: u16, message: &Value) -> Result<Value> {
        if let Some(result) = message.get("result") {
            return Ok(result.clone());
        }
        let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let number = message.pointer("/error/code").and_then(Value::as_i64).unwrap_or(0);
        let said = if text("/error/message").is_empty() { "the server gave no answer" } else { text("/error/message") };
        let code = match (text("/error/data/code"), number) {
            ("", -32002) => "not_found",
            (code, _) => code,
        };
        let status = u16::try_from(number).unwrap_or(if status == 200 { 500 } else { status });
        Err(refused(code, status, &output::printable(said), &self.call))
    }
}
