//! An HTTP/1.1 upstream on loopback that plays a script: statuses, bodies, pauses, stalls and cuts at any byte.
//!
//! Owns its own tiny reading of requests, so that it can do what no proper server does. Tests alone call it.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tidegate_core::clock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// One thing an upstream does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends bytes.
    Send(Bytes),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the client goes away, and notes when that was.
    Stall,
    /// Closes the connection.
    Close,
}

/// What an upstream does with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(pub Vec<Step>);

impl Reply {
    /// A whole answer of some media type.
    #[must_use]
    pub fn new(status: u16, media_type: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-type: {media_type}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = BytesMut::from(head.as_bytes());
        bytes.extend_from_slice(body);
        Self(vec![Step::Send(bytes.freeze())])
    }

    /// A whole JSON answer.
    #[must_use]
    pub fn json(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::new(status, "application/json", &[], body)
    }

    /// A whole JSON answer with further headers.
    #[must_use]
    pub fn json_with(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self::new(status, "application/json", headers, body)
    }

    /// The head of an event stream whose end is the connection's; add events with [`Reply::then`].
    #[must_use]
    pub fn stream() -> Self {
        Self::stream_with(&[])
    }

    /// As [`Reply::stream`], with further headers.
    #[must_use]
    pub fn stream_with(headers: &[(&str, &str)]) -> Self {
        let mut head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n".to_owned();
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Self(vec![Step::Send(Bytes::from(head))])
    }

    /// An event stream of these bytes, which then closes.
    #[must_use]
    pub fn events(text: impl AsRef<[u8]>) -> Self {
        Self::stream().then(Step::Send(Bytes::copy_from_slice(text.as_ref()))).then(Step::Close)
    }

    /// Nothing at all: the request is read and never answered.
    #[must_use]
    pub fn silence() -> Self {
        Self(vec![Step::Stall])
    }

    /// The connection is closed instead of an answer.
    #[must_use]
    pub fn hang_up() -> Self {
        Self(vec![Step::Close])
    }

    /// One more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// More bytes.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(Bytes::copy_from_slice(bytes.as_ref())))
    }
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// When it was read to its end.
    pub at: Instant,
}

impl Received {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    received: Vec<Received>,
    gone: Vec<Instant>,
    sent: usize,
}

/// A function that answers requests that no script is left for.
pub type Answering = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// A running upstream; dropped, it is gone.
pub struct Scripted {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// Starts an upstream that plays one reply per request; when none is left, the last one again and again.
    ///
    /// # Errors
    /// Where no port is to be had.
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> io::Result<Self> {
        let script: VecDeque<Reply> = script.into_iter().collect();
        let last = script.back().cloned().unwrap_or_else(Reply::hang_up);
        Self::launch(script, Arc::new(move |_| last.clone())).await
    }

    /// Starts an upstream that answers by what it is asked.
    ///
    /// # Errors
    /// Where no port is to be had.
    pub async fn answering(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        Self::launch(VecDeque::new(), Arc::new(answer)).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test's upstream ends with the test, and its panic shows there")]
    async fn launch(script: VecDeque<Reply>, answering: Answering) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { script, ..State::default() }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared), Arc::clone(&answering)));
            }
        });
        Ok(Self { address, state, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// How many requests came so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state).received.len()
    }

    /// How many bytes were sent so far, whether the client has read them or not.
    #[must_use]
    pub fn sent(&self) -> usize {
        lock(&self.state).sent
    }

    /// Waits until a client has left a stalled reply, at most `limit`, and says when that was.
    pub async fn client_gone(&self, limit: Duration) -> Option<Instant> {
        let end = clock::now().checked_add(limit)?;
        loop {
            if let Some(at) = lock(&self.state).gone.first() {
                return Some(*at);
            }
            if clock::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, answering: Answering) {
    let mut buffer = BytesMut::new();
    // An error of the connection ends it, as does the client.
    while let Ok(Some(request)) = read_request(&mut stream, &mut buffer).await {
        let scripted = {
            let mut state = lock(&state);
            state.received.push(request.clone());
            state.script.pop_front()
        };
        let reply = scripted.unwrap_or_else(|| answering(&request));
        for step in reply.0 {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        lock(&state).gone.push(clock::now());
                        return;
                    }
                    let mut state = lock(&state);
                    state.sent = state.sent.saturating_add(bytes.len());
                }
                Step::Pause(pause) => tokio::time::sleep(pause).await,
                Step::Stall => {
                    let mut rest = [0_u8; 1024];
                    while matches!(stream.read(&mut rest).await, Ok(length) if length > 0) {}
                    lock(&state).gone.push(clock::now());
                    return;
                }
                Step::Close => return,
            }
        }
    }
}

/// One request with its body, by its content length; `None` where the client is done.
async fn read_request(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Received>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer.split_to(end.saturating_add(4))).into_owned();
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = buffer.split_to(length).freeze();
    Ok(Some(Received { method, path, headers, body, at: clock::now() }))
}
