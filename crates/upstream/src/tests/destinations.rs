//! Where calls can go, and where they cannot: proofs, the SSRF guard end to end, and the way into the process.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tidegate_audit::record::CallKind;
use tidegate_core::{
    facts::Resource,
    fault::{FaultCode, Phase},
    ids::CallId,
};
use tidegate_protocol::llm::Dialect;
use tidegate_testkit::scripted::{Reply, Scripted};
use tokio::io::DuplexStream;

use crate::{Destination, Destinations, Dispatch, InMemoryService, Target, UpstreamOptions, task, testing::*};

#[tokio::test]
async fn caller_never_names_destination() {
    let configured = Scripted::start([Reply::json(200, CHAT_ANSWER)]).await.unwrap();
    let evil = Scripted::start([Reply::json(200, CHAT_ANSWER)]).await.unwrap();
    let place = evil.url("/v1");
    let body = format!(
        r#"{{"model":"{place}","api_base":"{place}","base_url":"{place}","messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let mut forward = HeaderMap::new();
    for name in ["host", "x-forwarded-host", "x-base-url", "api-base", "forwarded", "x-tidegate-upstream"] {
        forward.insert(name, place.parse().unwrap());
    }
    let asking = Asking { forward, ..Asking::default() };
    let target = Arc::new(target("a", Dialect::OpenAiChat, &configured.url("/v1")));
    Bench::new().ask_with(&model_call(Dialect::OpenAiChat, &body), &[target], asking).await.unwrap();
    assert_eq!((configured.count(), evil.count()), (1, 0));
    let received = configured.received();
    assert_eq!(received[0].header("host"), Some(configured.address().to_string().as_str()));
}

#[tokio::test]
async fn a_private_destination_that_was_not_named_is_not_connected_to() {
    let server = Scripted::start([Reply::json(200, CHAT_ANSWER)]).await.unwrap();
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "localtest.invalid"] {
        let url = format!("http://{host}:{port}/v1");
        let mut hidden = target("a", Dialect::OpenAiChat, &url);
        let provider = Arc::get_mut(&mut hidden.provider).unwrap();
        provider.base = Destination::http(&url, false).unwrap();
        let failed = Bench::new().ask(&chat(false), &[Arc::new(hidden)]).await.unwrap_err();
        assert_eq!(failed.fault.code, FaultCode::UpstreamUnavailable, "{host}");
        assert_eq!(failed.attempts[0].phase, Phase::Connect, "{host}");
    }
    assert_eq!(server.count(), 0);
}

/// The gateway's own questions stand behind the same guard, show no credential, and read no more than they were told.
#[tokio::test]
async fn a_probe_goes_where_a_call_may_go_and_reads_no_more_than_it_is_told() {
    let server =
        Scripted::start([Reply::json(200, "[1, 2, 3]"), Reply::json(200, "[1, 2, 3]"), Reply::json(401, "{}")])
            .await
            .unwrap();
    let upstream = crate::Upstream::new(UpstreamOptions::default()).unwrap();
    let second = std::time::Duration::from_secs(1);
    let hidden = Destination::http(&server.url("/v1"), false).unwrap();
    let refused = upstream.probe(&hidden, "/models", second, 64).await.unwrap_err();
    assert!(matches!(&refused, crate::ProbeError::Unanswered(why) if why.contains("may not go there")), "{refused}");
    assert_eq!(server.count(), 0, "nothing was connected to");

    let named = Destination::http(&server.url("/v1"), true).unwrap();
    let probed = upstream.probe(&named, "/models", second, 64).await.unwrap();
    assert_eq!((probed.status.as_u16(), &probed.body[..]), (200, &b"[1, 2, 3]"[..]));
    assert!(upstream.probe(&named, "/models", second, 4).await.is_err(), "larger than it may be");
    let unread = upstream.probe(&named, "/models", second, 0).await.unwrap();
    assert_eq!((unread.status.as_u16(), unread.body.len()), (401, 0));
    assert!(server.received().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn a_call_that_changed_after_its_permit_is_not_sent() {
    let server = Scripted::start([Reply::json(200, CHAT_ANSWER)]).await.unwrap();
    let bench = Bench::new();
    let target: Arc<Target> = Arc::new(target("a", Dialect::OpenAiChat, &server.url("/v1")));
    let id = CallId::new();
    let mut call = chat(false);
    let permit = bench.permit(id, &call, &[Resource::Model(target.id.clone())]);
    let path = call.segments()[0].path;
    assert!(call.segments_mut().replace(path, "something else"));
    let dispatch = Dispatch {
        id,
        permit: &permit,
        reservation: bench.reservation(id, None),
        intent: intent(CallKind::Model),
        call: &call,
        to: Destinations::Models(vec![target]),
        forward: &HeaderMap::new(),
        deadline: None,
        trace: None,
    };
    let failed = bench.upstream.dispatch(dispatch).await.unwrap_err();
    assert_eq!(failed.fault.code, FaultCode::Internal);
    assert!(failed.running.is_some_and(|running| !running.reservation.is_committed()));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn denied_call_never_reaches_upstream() {
    let server = Scripted::start([Reply::json(200, CHAT_ANSWER)]).await.unwrap();
    let bench = Bench::new();
    let allowed: Arc<Target> = Arc::new(target("a", Dialect::OpenAiChat, "http://127.0.0.1:1/v1"));
    let denied: Arc<Target> = Arc::new(target("b", Dialect::OpenAiChat, &server.url("/v1")));
    let id = CallId::new();
    let call = chat(false);
    let permit = bench.permit(id, &call, &[Resource::Model(allowed.id.clone())]);
    for (call_id, targets) in [(id, vec![denied.clone()]), (CallId::new(), vec![denied])] {
        let dispatch = Dispatch {
            id: call_id,
            permit: &permit,
            reservation: bench.reservation(call_id, None),
            intent: intent(CallKind::Model),
            call: &call,
            to: Destinations::Models(targets),
            forward: &HeaderMap::new(),
            deadline: None,
            trace: None,
        };
        bench.upstream.dispatch(dispatch).await.unwrap_err();
    }
    assert_eq!(server.count(), 0);
}

struct Inside;

impl InMemoryService for Inside {
    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        task::spawn("inside", async move {
            let service = hyper::service::service_fn(|_| async {
                let body = Full::new(Bytes::from_static(CHAT_ANSWER.as_bytes()));
                let answer = http::Response::builder().header("content-type", "application/json").body(body);
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
        });
        near
    }
}

#[tokio::test]
async fn the_simulator_is_reached_through_memory_and_only_where_it_runs() {
    let mut inside = target("a", Dialect::OpenAiChat, "http://unused.invalid/v1");
    Arc::get_mut(&mut inside.provider).unwrap().base = Destination::Sim;
    let targets = [Arc::new(inside)];
    let bench = Bench::with(UpstreamOptions { sim: Some(Arc::new(Inside)), ..UpstreamOptions::default() });
    bench.ask(&chat(false), &targets).await.unwrap();
    let failed = Bench::new().ask(&chat(false), &targets).await.unwrap_err();
    assert_eq!(failed.attempts[0].phase, Phase::Connect);
}
