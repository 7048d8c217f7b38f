//! The command line as a caller of the data plane: finds the gateway and a key, sends a request, reads what comes back.
//!
//! The key comes from `TIDEGATE_API_KEY`, from the gateway that `up` runs over the data directory, which lends one for a
//! while to whoever has its admin token, or from what `key store` kept (mode 0600). It never comes from an argument, and
//! a lent one is written nowhere and goes only to the gateway that lent it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tidegate_core::{clock, secret::Secret};
use tidegate_protocol::sse::{Frame, SseParser};
use tidegate_upstream::address::is_loopback;
use url::Url;

use crate::{
    cli::{Admin, talk::DataPlane},
    client::Client,
    commands::key::segment,
    directory::{self, Directory},
    exit,
    output::{Exit, exit},
    place::Place,
    wire,
};

/// Where a gateway listens that was told nothing else.
const USUAL: &str = "http://127.0.0.1:8787";
/// The largest answer that is read whole, in bytes.
const LARGEST: usize = 64 << 20;
/// The largest event of a stream, in bytes.
const LARGEST_EVENT: usize = 16 << 20;

/// The key that is lent to commands where no other is named.
pub(crate) const QUICK_START: &str = "quick-start";
/// For how long a command borrows a key; it borrows again after half of it.
const LOAN: Duration = Duration::from_secs(3_600);
/// For how long a helper borrows one, which prints it once for a program that keeps it.
pub(crate) const LOAN_OF_HELPERS: Duration = Duration::from_secs(12 * 3_600);

/// A caller of one gateway.
pub(crate) struct Caller {
    base: Url,
    key: tokio::sync::Mutex<Shown>,
    lender: Option<Lender>,
}

/// A key, and since when it is shown.
struct Shown {
    key: Secret,
    since: Instant,
}

/// A gateway that lends a key.
struct Lender {
    control: Client,
    name: String,
    length: Duration,
}

impl Lender {
    /// Borrows.
    async fn lend(&self) -> Result<Secret> {
        let path = format!("/keys/{}/lend", segment(&self.name));
        let made = self.control.post(&path, &json!({"expires": format!("{}s", self.length.as_secs())})).await?;
        let key = made.get("key").and_then(Value::as_str).context("the gateway's answer holds no key")?;
        Ok(Secret::new(key.to_owned()))
    }
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
    pub(crate) async fn new(plane: &DataPlane) -> Result<Self> {
        Self::usual(plane, LOAN).await
    }

    /// The same for a helper, whose key is kept by the program that ran it.
    pub(crate) async fn for_helper(plane: &DataPlane) -> Result<Self> {
        Self::usual(plane, LOAN_OF_HELPERS).await
    }

    async fn usual(plane: &DataPlane, length: Duration) -> Result<Self> {
        let (base, place) = found(plane)?;
        if let Some(key) = of_variable() {
            return Ok(Self::showing(base, key));
        }
        let gone = place.is_none() && is_loopback(&base);
        let missing = match place.filter(|place| wire::same_here(&base, &place.data_plane)) {
            Some(place) => match Self::lent(base.clone(), plane, place, QUICK_START, length).await {
                // A gateway that lends no keys: its callers have their own.
                Err(error) if ends_with(&error, exit::CONFLICT) => no_key(&base),
                result => return result,
            },
            None if gone && Directory::at(&plane.data_dir).existing_admin_token().is_some() => {
                not_running(&plane.data_dir)
            }
            None => no_key(&base),
        };
        directory::stored_key()?.map(|key| Self::showing(base, key)).ok_or(missing)
    }

    /// The caller that shows the key `name` of the gateway over the data directory, which lends it.
    pub(crate) async fn borrowing(plane: &DataPlane, name: &str, length: Duration) -> Result<Self> {
        let (base, place) = found(plane)?;
        let place = place.filter(|place| wire::same_here(&base, &place.data_plane));
        let place = place.ok_or_else(|| not_running(&plane.data_dir))?;
        Self::lent(base, plane, place, name, length).await
    }

    /// The caller of the gateway at `url` that shows `key`.
    pub(crate) fn with_key(url: &str, key: String) -> Result<Self> {
        Ok(Self::showing(wire::address(url)?, Secret::new(key)))
    }

    fn showing(base: Url, key: Secret) -> Self {
        Self { base, key: tokio::sync::Mutex::new(Shown { key, since: clock::now() }), lender: None }
    }

    async fn lent(base: Url, plane: &DataPlane, place: Place, name: &str, length: Duration) -> Result<Self> {
        let admin =
            Admin { admin_url: Some(place.control_plane), data_dir: plane.data_dir.clone(), output: plane.output };
        let lender = Lender { control: Client::new(&admin)?, name: name.to_owned(), length };
        let key = lender.lend().await?;
        Ok(Self { lender: Some(lender), ..Self::showing(base, key) })
    }

    /// The key that is shown, borrowed again where half of its time is over.
    pub(crate) async fn key(&self) -> Result<Secret> {
        let mut shown = self.key.lock().await;
        if let Some(lender) = &self.lender
            && clock::now().duration_since(shown.since) >= lender.length / 2
        {
            *shown = Shown { key: lender.lend().await?, since: clock::now() };
        }
        Ok(shown.key.clone())
    }

    /// The control plane of the gateway that lends the key; `None` where it is the user's own.
    pub(crate) fn lender(&self) -> Option<&Client> {
        self.lender.as_ref().map(|lender| &lender.control)
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
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.key().await?.expose()));
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

/// The gateway's address, and what it announced about itself.
fn found(plane: &DataPlane) -> Result<(Url, Option<Place>)> {
    let place = Place::of(&Directory::at(&plane.data_dir));
    let announced = place.as_ref().map(|place| place.data_plane.clone());
    let text = plane.url.clone().or(announced).unwrap_or_else(|| USUAL.to_owned());
    Ok((wire::address(&text)?, place))
}

fn of_variable() -> Option<Secret> {
    let key = std::env::var("TIDEGATE_API_KEY").ok()?;
    let key = key.trim();
    (!key.is_empty()).then(|| Secret::new(key.to_owned()))
}

/// Whether a command that ended with `error` has this exit code.
pub(crate) fn ends_with(error: &anyhow::Error, code: u8) -> bool {
    error.downcast_ref::<Exit>().is_some_and(|exit| exit.code == code)
}

fn not_running(data_dir: &std::path::Path) -> anyhow::Error {
    exit(
        exit::UNAVAILABLE,
        format!(
            "no gateway runs over {} at this address, so none lends a key\nhint: `tidegate up` starts one, or set \
             TIDEGATE_API_KEY",
            data_dir.display()
        ),
    )
}

fn no_key(base: &Url) -> anyhow::Error {
    exit(
        exit::UNAUTHENTICATED,
        format!(
            "there is no key to call {base} with: set TIDEGATE_API_KEY, keep one with `tidegate key store`, or name the \
             data directory of a gateway that `tidegate up` runs with --data-dir"
        ),
    )
}
