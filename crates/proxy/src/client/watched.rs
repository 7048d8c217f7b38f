//! An answer on a stream of HTTP/2 that gives up on a client who does not read.
//!
//! Streams share a socket, which tells nothing of the one among them that is not read: its window is empty, and its body
//! is not asked any more. So somebody else has to let go of it.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tidegate_core::clock;
use tidegate_upstream::task;

use super::Pace;
use crate::respond::{Body, Broken};

struct Shared {
    /// Gone when nobody read it for too long.
    body: Option<Body>,
    pace: Pace,
    /// Since when the client has what it asked for and does not ask again; `None` while it waits for us.
    offered: Option<Instant>,
}

struct Watched(Arc<Mutex<Shared>>);

/// The same body, dropped when it is left unread for `patience`: its call ends with it.
pub(crate) fn watched(body: Body, patience: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let shared = Shared { body: Some(body), pace: Pace::new(patience), offered: Some(clock::now()) };
    let shared = Arc::new(Mutex::new(shared));
    task::spawn("unread answer", let_go(Arc::downgrade(&shared), patience));
    Watched(shared).boxed_unsync()
}

async fn let_go(shared: Weak<Mutex<Shared>>, patience: Duration) {
    let mut pause = patience;
    loop {
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        let unread = {
            let mut shared = shared.lock();
            let waited = shared.offered.map(|since| clock::now().saturating_duration_since(since));
            let left = waited.map_or(patience, |waited| shared.pace.left().saturating_sub(waited));
            pause = left.max(Duration::from_millis(10));
            if left.is_zero() { shared.body.take() } else { None }
        };
        if unread.is_some() {
            tracing::debug!("an answer was left unread for too long");
            return;
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut shared = self.0.lock();
        let now = clock::now();
        let waited = shared.offered.take().map(|since| now.saturating_duration_since(since));
        let Some(body) = shared.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
            shared.pace.moved(waited.unwrap_or_default(), bytes.map_or(0, Bytes::len));
            shared.offered = Some(now);
        } else {
            shared.pace.moved(waited.unwrap_or_default(), 0);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    /// Says when it is dropped.
    struct Token(Arc<std::sync::atomic::AtomicBool>);

    impl Drop for Token {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn endless(pause: Duration) -> (Body, Arc<std::sync::atomic::AtomicBool>) {
        let dropped = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let token = Token(Arc::clone(&dropped));
        let frames = stream::unfold(token, move |token| async move {
            tokio::time::sleep(pause).await;
            Some((Ok(Frame::data(Bytes::from_static(&[0; 2048]))), token))
        });
        (StreamBody::new(frames).boxed_unsync(), dropped)
    }

    #[tokio::test]
    async fn an_unread_answer_is_let_go_and_one_that_waits_for_its_upstream_is_not() {
        let patience = Duration::from_millis(150);
        let (body, unread) = endless(Duration::ZERO);
        let mut body = watched(body, patience);
        assert!(body.frame().await.is_some());
        tokio::time::sleep(patience * 3).await;
        assert!(unread.load(std::sync::atomic::Ordering::SeqCst));
        assert!(body.frame().await.is_none());

        let (body, waiting) = endless(patience * 3);
        let mut body = watched(body, patience);
        assert!(body.frame().await.is_some());
        assert!(body.frame().await.is_some());
        assert!(!waiting.load(std::sync::atomic::Ordering::SeqCst));
    }
}
