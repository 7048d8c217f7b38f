//! A plain HTTP client with an end to every wait.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

/// How long a whole exchange may take.
const LIMIT: Duration = Duration::from_secs(60);

/// An answer whose body is still to be read; dropped, its connection is closed.
pub(crate) struct Open {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    body: Incoming,
    _client: Client<HttpConnector, Full<Bytes>>,
}

impl Open {
    /// The next bytes; `None` at the end, however it came about.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = timeout(LIMIT, self.body.frame()).await.expect("the body moves").and_then(Result::ok)?;
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
    }

    /// Everything that is left.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await {
            all.extend_from_slice(&bytes);
        }
        all
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends a request over a connection of its own and waits for the head of the answer.
pub(crate) async fn open(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Open, hyper_util::client::legacy::Error> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = timeout(LIMIT, client.request(request)).await.expect("the answer begins")?;
    let (parts, body) = response.into_parts();
    Ok(Open { status: parts.status.as_u16(), headers: parts.headers, body, _client: client })
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut open = open(method, url, headers, body).await.unwrap();
    let body = open.rest().await;
    Answer { status: open.status, headers: open.headers, body }
}
