//! The command line as a caller of the data plane: finds the gateway and a key, sends a request, reads what comes back.
//!
//! The key comes from `TIDEGATE_API_KEY`, from the file that `up` leaves in its data directory (such a key goes to this
//! machine only), or from what `key store` kept; both files have mode 0600. It never comes from an argument.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tidegate_core::secret::Secret;
use tidegate_protocol::sse::{Frame, SseParser};
use url::Url;

use crate::{
    cli::talk::DataPlane,
    directory::{self, Directory},
    exit,
    output::exit,
    place::Place,
    wire,
};

/// Where a gateway listens that was told nothing else.
const USUAL: &str = "http://127.0.0.1:8787";
/// The largest answer that is read whole, in bytes.
const LARGEST: usize = 64 << 20;
/// The largest event of a stream, in bytes.
const LARGEST_EVENT: usize = 16 << 20;

/// A caller of one gateway.
pub(crate) struct Caller {
    base: Url,
    key: Secret,
}

/// An answer whose body is still to be read.
pub(crate) struct Reply {
    /// The status, which may be an error's.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    body: Incoming,
    events: SseParser,
}

impl Caller {
    /// The caller that the arguments mean.
    pub(crate) fn new(plane: &DataPlane) -> Result<Self> {
        let directory = Directory::at(&plane.data_dir);
        let place = Place::of(&directory);
        let text = plane.url.clone().or(place.map(|place| place.data_plane)).unwrap_or_else(|| USUAL.to_owned());
        let base = wire::address(&text)?;
        let key = key(&directory, &base)?;
        Ok(Self { base, key })
    }

    /// The caller of the gateway at `url` that shows `key`.
    pub(crate) fn with_key(url: &str, key: String) -> Result<Self> {
        Ok(Self { base: wire::address(url)?, key: Secret::new(key) })
    }

    /// The key that is shown.
    pub(crate) fn key(&self) -> &Secret {
        &self.key
    }

    /// The gateway's address.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Sends a request with a JSON body, or without one where it is `None`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply> {
        let mut request = Request::builder().method(method).uri(wire::below(&self.base, path));
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.key.expose()));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        Ok(Reply::of(wire::send(request.body(Full::new(Bytes::from(text)))?).await?))
    }
}

impl Reply {
    /// An answer that has just begun.
    pub(crate) fn of(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, events: SseParser::new(LARGEST_EVENT) }
    }

    /// A header as text; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the body is a stream of events.
    pub(crate) fn streams(&self) -> bool {
        self.header("content-type").starts_with("text/event-stream")
    }

    /// The whole body.
    pub(crate) async fn whole(self) -> Result<Bytes> {
        let read = Limited::new(self.body, LARGEST).collect().await;
        Ok(read.map_err(|error| exit(exit::UNAVAILABLE, format!("the answer broke off: {error}")))?.to_bytes())
    }

    /// The whole body as JSON.
    pub(crate) async fn json(self) -> Result<Value> {
        serde_json::from_slice(&self.whole().await?).context("the gateway's answer is no JSON")
    }

    /// The next event of the stream; `None` at its end.
    pub(crate) async fn event(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.events.next_frame() {
                let frame = frame.map_err(|error| exit(exit::ERROR, error.to_string()))?;
                if frame.data.is_some() {
                    return Ok(Some(frame));
                }
                continue;
            }
            match self.body.frame().await {
                None => return Ok(self.events.finish().filter(|frame| frame.data.is_some())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.events.push(data);
                    }
                }
                Some(Err(error)) => return Err(exit(exit::UNAVAILABLE, format!("the answer broke off: {error}"))),
            }
        }
    }

    /// What the gateway said no with.
    pub(crate) async fn refusal(self) -> anyhow::Error {
        let (status, code) = (self.status.as_u16(), self.header("x-tidegate-error").to_owned());
        let call = self.header("x-tidegate-call-id").to_owned();
        let body: Value = match self.whole().await {
            Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
            Err(error) => return error,
        };
        let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("the gateway refused");
        refused(&code, status, said, &call)
    }
}

/// An error of the data plane as a command ends with it.
pub(crate) fn refused(code: &str, status: u16, said: &str, call: &str) -> anyhow::Error {
    let exit_code = match (code, status) {
        ("upstream_error", 404) => exit::NOT_FOUND,
        _ => exit::of_fault(code).unwrap_or_else(|| exit::of_status(status)),
    };
    let mut text = if code.is_empty() { said.to_owned() } else { format!("{code}: {said}") };
    if exit_code == exit::UNAUTHENTICATED {
        text.push_str("\nhint: set TIDEGATE_API_KEY to a valid key; `tidegate key create NAME` makes one");
    } else if !call.is_empty() {
        text.push_str(&format!("\nhint: tidegate why {call}"));
    }
    exit(exit_code, text)
}

/// The key to show at `base`.
fn key(directory: &Directory, base: &Url) -> Result<Secret> {
    if let Ok(key) = std::env::var("TIDEGATE_API_KEY")
        && !key.trim().is_empty()
    {
        return Ok(Secret::new(key.trim().to_owned()));
    }
    let kept = if wire::is_loopback(base) { directory.quick_start_key()? } else { None };
    let kept = kept.map_or_else(directory::stored_key, |key| Ok(Some(key)))?;
    kept.ok_or_else(|| {
        exit(
            exit::UNAUTHENTICATED,
            format!(
                "there is no key to call {base} with: set TIDEGATE_API_KEY, keep one with `tidegate key store`, or name \
                 the data directory of a gateway that `tidegate up` runs with --data-dir"
            ),
        )
    })
}
