//! P3: clients that are slow, on purpose or not.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tidegate_core::clock;
use tidegate_testkit::scripted::{Reply, Scripted, Step};
use tokio::io::AsyncReadExt as _;

use super::{Raw, head, in_flight, many_descriptors, resident, scaled, serve};
use crate::stories::{
    gateway::{key, question, until},
    streams::Dialect,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_slow_senders_are_let_go_and_honest_clients_are_unharmed() {
    many_descriptors();
    let (folder, secret, count) = (tempfile::tempdir().unwrap(), key(), scaled(200, 4_000));
    // Room enough for the long form to open all of its connections before the first is let go.
    let patience = scaled(Duration::from_secs(1), Duration::from_secs(10));
    let time = format!("{}s", patience.as_secs());
    let limits = json!({"header_timeout": time, "body_timeout": time});
    let gateway = serve(folder.path(), &secret, &limits, &json!({})).await;
    let mut slow = Vec::new();
    for number in 0..count {
        let mut raw = Raw::connect(&gateway).await;
        let first = match number % 2 {
            0 => "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ".to_owned(),
            _ => head(&secret, "content-length: 100000"),
        };
        assert!(raw.send(first).await);
        slow.push((number % 2 == 0, raw));
    }
    let opened = clock::now();
    // A byte now and then keeps nobody alive.
    let trickling = join_all(slow.into_iter().map(|(in_head, mut raw)| async move {
        let end = opened + patience + Duration::from_secs(5);
        let mut alive = true;
        while alive && clock::now() < end {
            alive = raw.send(" ").await;
            tokio::time::sleep(patience / 5).await;
        }
        let answer = raw.rest(Duration::from_millis(10)).await;
        let fair = if in_head { answer.is_empty() } else { answer.is_empty() || answer.starts_with(b"HTTP/1.1 408") };
        (alive, fair)
    }));
    let honest = async {
        let mut slowest = Duration::ZERO;
        while clock::now() < opened + patience {
            let before = clock::now();
            let answer = gateway.post(Dialect::OpenAi.path(), &secret, &question("sim/chat", "hi", false)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            slowest = slowest.max(clock::now() - before);
        }
        slowest
    };
    let (slow, slowest) = tokio::join!(trickling, honest);
    println!("{count} slow clients; the slowest honest call took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let alive = slow.iter().filter(|(alive, _)| *alive).count();
    let unfair = slow.iter().filter(|(_, fair)| !fair).count();
    assert_eq!((alive, unfair), (0, 0), "of {count}");
}

/// An upstream that says more than anybody keeps.
async fn flood(mebibytes: usize) -> Scripted {
    let event = format!(
        "data: {}\n\n",
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": "x".repeat(900)}, "finish_reason": null}]})
    );
    let piece = Bytes::from(event.repeat(64));
    let mut reply = Reply::stream();
    for _ in 0..(mebibytes << 20) / piece.len() {
        reply = reply.then(Step::Send(piece.clone()));
    }
    Scripted::start([reply.then(Step::Close)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_client_that_does_not_read_pauses_its_upstream_and_is_cut() {
    const EACH: usize = 64;
    let (folder, secret, count) = (tempfile::tempdir().unwrap(), key(), scaled(24, 100));
    let upstream = flood(EACH).await;
    let limits = json!({"send_timeout": "2s"});
    let out = json!({"out": {"type": "openai", "base_url": upstream.url("/v1")}});
    let gateway = serve(folder.path(), &secret, &limits, &out).await;
    let before = resident(&gateway);
    let body = question("out/m", "talk", true).to_string();
    let mut deaf = Vec::new();
    for _ in 0..count {
        let mut raw = Raw::connect(&gateway).await;
        assert!(raw.send(format!("{}{body}", head(&secret, &format!("content-length: {}", body.len())))).await);
        deaf.push(raw);
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (sent, grown) = (upstream.sent() / count, resident(&gateway).saturating_sub(before));
    println!(
        "per deaf client: the upstream sent {} KiB, the gateway as a whole grew by {} KiB",
        sent >> 10,
        grown >> 10
    );
    // What sockets hold on both sides is the system's; of 64 MiB it is a small part.
    assert!(sent < (EACH << 20) / 4, "{sent} bytes");
    // The first calls warm the process up, whoever makes them.
    assert!(grown < (16 << 20) + count as u64 * (256 << 10), "{grown} bytes");
    until("the cut", Duration::from_secs(20), async || in_flight(&gateway).await == 0).await;
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_stream_of_http2_that_is_not_read_is_cut_alone() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let upstream = flood(64).await;
    let out = json!({"out": {"type": "openai", "base_url": upstream.url("/v1")}});
    let gateway = serve(folder.path(), &secret, &json!({"send_timeout": "1s"}), &out).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let ask = async |model: &str, stream: bool| {
        let request = http::Request::post(format!("{}/v1/chat/completions", gateway.url))
            .header("authorization", format!("Bearer {secret}"))
            .body(Full::new(Bytes::from(question(model, "talk", stream).to_string())))
            .unwrap();
        client.request(request).await.unwrap()
    };
    let deaf = ask("out/m", true).await;
    assert_eq!(deaf.status(), 200);
    until("the cut", Duration::from_secs(20), async || in_flight(&gateway).await == 0).await;
    // The other streams of the connection go on.
    let answer = ask("sim/chat", false).await;
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    let rest = deaf.into_body().collect().await.map(|whole| whole.to_bytes().len()).unwrap_or_default();
    assert!(rest < 4 << 20, "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_slow_but_steady_reader_gets_everything() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let (upstream, patience) = (flood(4).await, Duration::from_secs(1));
    let out = json!({"out": {"type": "openai", "base_url": upstream.url("/v1")}});
    let gateway = serve(folder.path(), &secret, &json!({"send_timeout": "1s"}), &out).await;
    let body = question("out/m", "talk", true).to_string();
    let mut raw = Raw::connect(&gateway).await;
    assert!(raw.send(format!("{}{body}", head(&secret, &format!("content-length: {}", body.len())))).await);
    let (mut length, before, mut piece) = (0, clock::now(), vec![0; 32 << 10]);
    // Nothing marks the end of an answer to a client that may send another request, so the length does.
    while length < (4 << 20) - (128 << 10) {
        let read = tokio::time::timeout(Duration::from_secs(10), raw.0.read(&mut piece)).await.unwrap().unwrap();
        assert!(read > 0, "cut after {length} bytes");
        length += read;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(clock::now() - before > patience * 2, "{:?}", clock::now() - before);
}
