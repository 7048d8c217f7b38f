//! The mock upstream: an OpenAI chat endpoint that costs little and always says the same.
//!
//! `GET /settings?events=N&pause_us=N` changes what streams look like, `GET /count` tells how many calls came.

use std::{
    cell::Cell,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tidegate_bench::options::Options;
use tokio::time::{Instant, Sleep};

use crate::watch::MARK;

/// The text by which the load knows an answer of the mock.
pub(crate) const HELLO: &str = "mock-hello";

/// Bytes of text in an answer that is no stream.
const ANSWER: usize = 200;

/// How an event begins; the delta follows.
const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
    \"model\":\"gpt-4o-mini\",\"choices\":[";

struct Mock {
    events: Cell<u32>,
    pause: Cell<Duration>,
    calls: Cell<u64>,
    streams: Cell<u64>,
    answer: Bytes,
}

/// Serves until it is ended from outside.
pub(crate) fn run(options: &Options) -> Result<String> {
    let address: SocketAddr = options.text("listen").unwrap_or("127.0.0.1:19100").parse()?;
    ensure!(address.ip().is_loopback(), "the mock listens on loopback addresses only");
    let mock = Rc::new(Mock {
        events: Cell::new(100),
        pause: Cell::new(Duration::ZERO),
        calls: Cell::new(0),
        streams: Cell::new(0),
        answer: answer(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::bind(address).await?;
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let _ = socket.set_nodelay(true);
            let mock = Rc::clone(&mock);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| respond(Rc::clone(&mock), request));
                let mut builder = http1::Builder::new();
                // A caller that goes away is no business of the mock's.
                let _ = builder.max_buf_size(1 << 20).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    })
}

fn answer() -> Bytes {
    let text: String = format!("{HELLO} to the tide and back again, ").chars().cycle().take(ANSWER).collect();
    Bytes::from(format!(
        "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"gpt-4o-mini\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\",\"refusal\":null}},\
         \"logprobs\":null,\"finish_reason\":\"stop\"}}],\
         \"usage\":{{\"prompt_tokens\":20,\"completion_tokens\":40,\"total_tokens\":60}}}}"
    ))
}

async fn respond(mock: Rc<Mock>, request: Request<Incoming>) -> Result<Response<Out>, Infallible> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        return Ok(mock.told(head.uri.path(), head.uri.query().unwrap_or_default()));
    }
    let Ok(body) = body.collect().await else { return Ok(refusal(400)) };
    if !head.uri.path().ends_with("/chat/completions") {
        return Ok(refusal(404));
    }
    // One piece is taken as it is; several are joined.
    let body = body.to_bytes();
    mock.calls.set(mock.calls.get() + 1);
    let says = |text: &str| memmem::find(&body, text.as_bytes()).is_some();
    if says("\"stream\":true") || says("\"stream\": true") {
        mock.streams.set(mock.streams.get() + 1);
        let stream = Stream {
            next: 0,
            events: mock.events.get(),
            begun: Instant::now(),
            pause: mock.pause.get(),
            usage: says("include_usage"),
            timer: None,
        };
        return Ok(response(200, "text/event-stream", Out::Stream(stream)));
    }
    Ok(response(200, "application/json", Out::Whole(Some(mock.answer.clone()))))
}

impl Mock {
    fn told(&self, path: &str, query: &str) -> Response<Out> {
        match path {
            "/count" => {
                let text = format!("{{\"calls\":{},\"streams\":{}}}", self.calls.get(), self.streams.get());
                response(200, "application/json", Out::Whole(Some(text.into())))
            }
            "/settings" => {
                for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
                    match (name, value.parse::<u32>()) {
                        ("events", Ok(number)) => self.events.set(number.min(100_000)),
                        ("pause_us", Ok(number)) => self.pause.set(Duration::from_micros(number.into())),
                        _ => return refusal(400),
                    }
                }
                response(200, "application/json", Out::Whole(Some(Bytes::from_static(b"{}"))))
            }
            _ => refusal(404),
        }
    }
}

fn refusal(status: u16) -> Response<Out> {
    let body = Bytes::from_static(b"{\"error\":{\"message\":\"the mock does not know this\",\"type\":\"invalid\"}}");
    response(status, "application/json", Out::Whole(Some(body)))
}

fn response(status: u16, kind: &'static str, body: Out) -> Response<Out> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// A body in one piece, or a stream of events.
enum Out {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// The events of one answer: the role, `events` texts, and the end (stop, usage where asked for, `[DONE]`) in one
/// piece.
struct Stream {
    next: u32,
    events: u32,
    begun: Instant,
    pause: Duration,
    usage: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    fn is_over(&self) -> bool {
        self.next > self.events.saturating_add(1)
    }

    fn event(&self) -> Bytes {
        let text = match self.next {
            0 => format!(
                "{EVENT}{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"finish_reason\":null}}]}}\n\n"
            ),
            number if number <= self.events => format!(
                "{EVENT}{{\"index\":0,\"delta\":{{\"content\":\"{MARK}{:04} \"}},\"finish_reason\":null}}]}}\n\n",
                number - 1
            ),
            _ => {
                let usage = if self.usage {
                    let (events, all) = (self.events, self.events.saturating_add(20));
                    format!(
                        "{EVENT}],\"usage\":{{\"prompt_tokens\":20,\"completion_tokens\":{events},\
                         \"total_tokens\":{all}}}}}\n\n"
                    )
                } else {
                    String::new()
                };
                format!(
                    "{EVENT}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n{usage}data: [DONE]\n\n"
                )
            }
        };
        Bytes::from(text)
    }

    /// When the next event is due: counted from the beginning, so that late timers do not add up.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        if self.pause.is_zero() || self.next == 0 {
            return true;
        }
        let due = self.begun + self.pause * self.next;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

impl Body for Out {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) if stream.is_over() => Poll::Ready(None),
            Self::Stream(stream) => {
                if !stream.is_due(context) {
                    return Poll::Pending;
                }
                let event = stream.event();
                stream.next += 1;
                Poll::Ready(Some(Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_none(),
            Self::Stream(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Stream;
    use crate::watch::Watch;

    #[test]
    fn a_stream_of_the_mock_is_complete_and_counts_what_it_was_asked_to() {
        for usage in [false, true] {
            let begun = Instant::now();
            let mut stream = Stream { next: 0, events: 7, begun, pause: Duration::ZERO, usage, timer: None };
            let mut watch = Watch::new(tidegate_core::clock::now());
            let mut text = String::new();
            while !stream.is_over() {
                let event = stream.event();
                watch.frame(&event, tidegate_core::clock::now());
                text.push_str(std::str::from_utf8(&event).unwrap());
                stream.next += 1;
            }
            assert!(watch.is_complete(7) && watch.merged == 0 && watch.frames == 9);
            assert_eq!(text.contains("\"total_tokens\":27"), usage);
        }
        let _: serde_json::Value = serde_json::from_slice(&super::answer()).unwrap();
    }
}
