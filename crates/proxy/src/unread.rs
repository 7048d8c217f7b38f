//! Bodies of requests that were answered without being read: a refused credential, a path that leads nowhere.
//!
//! Owns what becomes of them. A connection with a request that was not read to its end is closed after the answer, and a
//! client that was not told sends its next request into nothing. So what is small and there is read and thrown away, and
//! for all else the answer says that it is the last. Never keeps a byte. Called by the pipeline alone.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};

use crate::respond::Body;

/// The most that is read for nothing, in bytes.
const MOST: usize = 64 << 10;

/// The longest that is waited for it: it was sent with the head, or right behind it.
const PATIENCE: Duration = Duration::from_millis(250);

/// Reads what is left of `body` and throws it away, or marks `response` as the connection's last.
pub(crate) async fn pass_over(body: Option<Incoming>, mut response: Response<Body>) -> Response<Body> {
    let Some(body) = body.filter(|body| !body.is_end_stream()) else { return response };
    // Who is shed is not waited for.
    let shed = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    if shed || !passed(body).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether all of it came.
async fn passed(body: Incoming) -> bool {
    let small = usize::try_from(body.size_hint().lower()).is_ok_and(|least| least <= MOST);
    let mut body = Limited::new(body, MOST);
    let all = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    small && tokio::time::timeout(PATIENCE, all).await.unwrap_or(false)
}
