//! A client's WebSocket to a gateway that looks at what passes.

use std::{path::Path, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

use super::gateway::{Gateway, Start};

/// A gateway with one key for these models, guardrails that the key may have, and `more` of a configuration.
pub(crate) async fn start(folder: &Path, caller: &str, (models, key): (&[&str], Value), more: Value) -> Gateway {
    let mut caller_key = json!({"secret": "env:CALLER_KEY", "allow": {"models": models}});
    let mut config = json!({
        "version": 1,
        "guardrails": {
            "pii": {"detect": ["email"], "on": ["request", "response"], "action": "redact"},
            "cards": {"detect": ["card"], "on": ["request", "response"], "action": "block"},
        },
    });
    caller_key.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
    config["keys"] = json!({"k": caller_key});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Start::new("up", folder).config(config).env("CALLER_KEY", caller).run().await
}

/// Every call that the gateway has on record.
pub(crate) async fn calls(gateway: &Gateway) -> Vec<Value> {
    gateway.show("/api/v1/calls").await["calls"].as_array().unwrap().clone()
}

/// A client's socket.
pub(crate) struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    /// Opens one; the status and the body of the answer where it is refused.
    pub(crate) async fn open(gateway: &Gateway, key: &str, path: &str) -> Result<Self, (u16, String)> {
        let address = gateway.url.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, answer)) => {
                assert!(answer.headers().contains_key("x-tidegate-call-id"));
                Ok(Self(socket))
            }
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn say(&mut self, event: &Value) {
        self.send(Message::text(event.to_string())).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }

    pub(crate) async fn close(&mut self, frame: Option<CloseFrame>) {
        self.0.close(frame).await.unwrap();
    }

    /// The next event, or the code and reason of the end.
    pub(crate) async fn next(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match timeout(Duration::from_secs(20), self.0.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err((frame.code.into(), frame.reason.as_str().to_owned()));
                }
                Some(Ok(Message::Close(None))) | None | Some(Err(_)) => return Err((1006, String::new())),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The code and reason of the end, whatever comes before it.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }
}
