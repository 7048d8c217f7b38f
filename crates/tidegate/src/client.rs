//! The command line's way to a running gateway: its admin API, over HTTP.
//!
//! Finds it by `--admin-url` or `TIDEGATE_ADMIN_URL`, and shows the admin token that stands in the data directory.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::Value;
use tidegate_core::secret::Secret;

use crate::{caller::Reply, cli::Admin, directory::Directory, exit, output::exit, place::Place, wire};

/// Where the admin API is that was told nothing else.
const USUAL: &str = "http://127.0.0.1:8788";
/// The largest answer that is read.
const LARGEST: usize = 256 * 1024 * 1024;

/// The admin API of one gateway.
pub(crate) struct Client {
    authority: String,
    token: Secret,
}

impl Client {
    /// The gateway that the arguments mean.
    pub(crate) fn new(admin: &Admin) -> Result<Self> {
        let directory = Directory::at(&admin.data_dir);
        let place = Place::of(&directory).map(|place| place.control_plane);
        let text = admin.admin_url.clone().or(place).unwrap_or_else(|| USUAL.to_owned());
        let url = url::Url::parse(&text).with_context(|| format!("{text} is no URL"))?;
        if url.scheme() != "http" {
            return Err(exit(
                64,
                "the admin API is reached over http on this machine; a tunnel brings it from elsewhere",
            ));
        }
        let host = url.host_str().unwrap_or("127.0.0.1");
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or(8788));
        let token = match std::env::var("TIDEGATE_ADMIN_TOKEN") {
            Ok(token) if !token.is_empty() => Secret::new(token),
            _ => directory.existing_admin_token().ok_or_else(|| {
                exit(
                    3,
                    format!(
                        "there is no admin token under {}: name the gateway's data directory with --data-dir or \
                         TIDEGATE_DATA_DIR, or set TIDEGATE_ADMIN_TOKEN",
                        directory.keys().display()
                    ),
                )
            })?,
        };
        Ok(Self { authority, token })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// One request below `/api/v1`.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, bytes) = self.exchange(method, path, body).await?;
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).context("the gateway's answer is no JSON");
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("the gateway refused");
        let hint = answer.pointer("/error/hint").and_then(Value::as_str);
        let text = hint.map_or_else(|| message.to_owned(), |hint| format!("{message}\nhint: {hint}"));
        let code = answer.pointer("/error/code").and_then(Value::as_str).and_then(exit::of_fault);
        Err(exit(code.unwrap_or_else(|| exit::of_status(status.as_u16())), text))
    }

    /// A stream of events below `/api/v1`.
    pub(crate) async fn stream(&self, path: &str) -> Result<Reply> {
        let request = Request::builder()
            .uri(format!("http://{}/api/v1{path}", self.authority))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .body(Full::new(Bytes::new()))?;
        let reply = Reply::of(wire::send(request).await?);
        if reply.status.is_success() { Ok(reply) } else { Err(reply.refusal().await) }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes)> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/api/v1{path}", self.authority))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(text)))?;
        let response = wire::send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let bytes = body.map_err(|error| anyhow::anyhow!("the gateway's answer could not be read: {error}"))?;
        Ok((status, bytes.to_bytes()))
    }
}
