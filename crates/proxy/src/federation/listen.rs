//! What the servers say of their own accord, on one stream.
//!
//! Owns a task for each server, which opens its leg and follows its stream for as long as the client listens. A server
//! that cannot be reached is tried again, ever more slowly; the client is told once that it is missing, and that the
//! lists have changed when it is back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tidegate_core::fault::Fault;
use tidegate_protocol::{json::Limits, jsonrpc, mcp::Capabilities};
use tidegate_upstream::{
    mcp::{Leg, McpEvent},
    task::{self, Task},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Federation, Usable, usable};
use crate::{exchange::Exchange, gate::Gate, respond::Body, tool_flow};

/// Messages that wait for the client. A server that says more waits with them.
const WAITING: usize = 64;

/// The first pause before a server's stream is opened again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a server said.
pub(crate) struct Said {
    pub(crate) leg: Arc<Leg>,
    pub(crate) event: McpEvent,
}

/// What all servers say, until it is dropped or another stream takes its place.
pub(crate) struct Merged {
    said: mpsc::Receiver<Said>,
    over: CancellationToken,
    tasks: Vec<Task>,
}

impl Merged {
    /// The next message; `None` where another stream of the session has taken this one's place.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => None,
            said = self.said.recv() => match said {
                Some(said) => Some(said),
                // No server has a stream of its own: there is nothing to hear, but the client may stay.
                None => {
                    self.over.cancelled().await;
                    None
                }
            },
        }
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.stop();
        }
    }
}

/// Answers a client that listens.
pub(super) async fn listen(exchange: Exchange) -> Response<Body> {
    let (sender, said) = mpsc::channel(WAITING);
    let over = exchange.federation.as_ref().map(|federation| federation.listen()).unwrap_or_default();
    let tasks = exchange.federation.as_ref().map_or_else(Vec::new, |federation| {
        usable(&exchange)
            .into_iter()
            .map(|usable| {
                let follower = Follower {
                    gate: Arc::clone(&exchange.gate),
                    federation: Arc::clone(federation),
                    headers: exchange.headers.clone(),
                    usable,
                    sender: sender.clone(),
                };
                task::spawn("follow a server's own stream", follower.run())
            })
            .collect()
    });
    drop(sender);
    tool_flow::listen_to_all(exchange, Merged { said, over, tasks })
}

struct Follower {
    gate: Arc<Gate>,
    federation: Arc<Federation>,
    headers: HeaderMap,
    usable: Usable,
    sender: mpsc::Sender<Said>,
}

impl Follower {
    async fn run(self) {
        let leg = self.usable.leg(&self.federation);
        let (mut pause, mut missing) = (PAUSE.0, false);
        loop {
            match self.follow(&leg, &mut missing, &mut pause).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => {
                    if !missing {
                        missing = true;
                        self.tell_missing(&leg, &fault).await;
                    }
                }
            }
            tokio::select! {
                () = self.sender.closed() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = pause.saturating_mul(2).min(PAUSE.1);
        }
    }

    /// Follows the stream to its end. False where there is nothing to follow, or nobody to tell.
    async fn follow(&self, leg: &Arc<Leg>, missing: &mut bool, pause: &mut Duration) -> Result<bool, Fault> {
        let upstream = &self.gate.upstream;
        upstream.open(&self.usable.permit, leg, &self.headers, None).await?;
        self.gate.sessions.profiles.learn(&self.usable.server, leg);
        if std::mem::take(missing) {
            self.tell_back(leg).await;
        }
        let Some(mut messages) = upstream.listen(&self.usable.permit, leg, None).await? else { return Ok(false) };
        *pause = PAUSE.0;
        while let Some(event) = messages.next().await {
            if self.sender.send(Said { leg: Arc::clone(leg), event: event? }).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn tell_missing(&self, leg: &Arc<Leg>, fault: &Fault) {
        let data = serde_json::json!({
            "level": "warning", "logger": "tidegate",
            "data": {"server": leg.server().name.as_str(), "code": fault.code.as_str(),
                "message": fault.public_message},
        });
        self.tell(leg, "notifications/message", Some(data.to_string())).await;
    }

    async fn tell_back(&self, leg: &Arc<Leg>) {
        let can = leg.greeting().map(|said| Capabilities::of(&said)).unwrap_or_default();
        let lists = [("tools", can.tools), ("prompts", can.prompts), ("resources", can.resources)];
        for (name, _) in lists.iter().filter(|(_, has)| has.is_some()) {
            self.tell(leg, &format!("notifications/{name}/list_changed"), None).await;
        }
    }

    async fn tell(&self, leg: &Arc<Leg>, method: &str, params: Option<String>) {
        let bytes = jsonrpc::notification(method, params.as_deref().map(str::as_bytes));
        let Ok(message) = jsonrpc::read_one(Bytes::from(bytes), &Limits::default()) else { return };
        // Where nobody listens any more, there is nobody to tell.
        drop(self.sender.send(Said { leg: Arc::clone(leg), event: McpEvent::Notification(message) }).await);
    }
}
