//! P4: what is too large, too deep, too compressed or too often is refused before it costs anything.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tidegate_core::clock;
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{Raw, head, resident, scaled, serve};
use crate::stories::{
    gateway::{Gateway, key, question},
    http::send,
    streams::Dialect,
};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_heads_over_32_kib_or_100_fields_are_431() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let fields = |count: usize| (0..count).map(|n| (format!("x-{n}"), "v".to_owned())).collect::<Vec<_>>();
    let heads = [
        ("99 fields", fields(94), 200),
        ("over 100 fields", fields(101), 431),
        ("30 KiB", vec![("x-long".to_owned(), "v".repeat(30 << 10))], 200),
        ("over 32 KiB", vec![("x-long".to_owned(), "v".repeat(33 << 10))], 431),
    ];
    let body = Bytes::from(question("sim/chat", "hi", false).to_string());
    for (name, fields, expected) in heads {
        for http2 in [false, true] {
            let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .http2_max_header_list_size(1 << 20)
                .build_http();
            let mut request = http::Request::post(format!("{}/v1/chat/completions", gateway.url))
                .header("authorization", format!("Bearer {secret}"));
            for (name, value) in &fields {
                request = request.header(name, value);
            }
            let answer = client.request(request.body(Full::new(body.clone())).unwrap()).await;
            let status = answer.as_ref().map(|answer| answer.status().as_u16());
            assert!(matches!(status, Ok(status) if status == expected), "{name}, http2 {http2}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_bodies_over_the_limit_are_413_before_they_are_there() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({"body": "64KiB"}), &json!({})).await;
    // Announced: refused on sight of the head alone.
    let mut raw = Raw::connect(&gateway).await;
    let before = clock::now();
    raw.send(head(&secret, "content-length: 10000000000")).await;
    assert_eq!(raw.status_line(SOON).await, "HTTP/1.1 413 Payload Too Large");
    assert!(clock::now() - before < Duration::from_secs(1));
    // Not announced: refused as soon as it is over the limit, with the rest still to come.
    let mut raw = Raw::connect(&gateway).await;
    raw.send(head(&secret, "transfer-encoding: chunked")).await;
    raw.send(format!("10001\r\n{}\r\n", " ".repeat(65_537))).await;
    assert_eq!(raw.status_line(SOON).await, "HTTP/1.1 413 Payload Too Large");
    assert!(gateway.sim_requests().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_json_deeper_than_128_is_refused() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let deep = |depth: usize| {
        // The request's own object is the first level.
        let inner = format!("{}1{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let text = question("sim/chat", "hi", false).to_string();
        format!("{},\"x\": {inner}}}", text.strip_suffix('}').unwrap())
    };
    let bearer = format!("Bearer {secret}");
    for (depth, status) in [(120, 200), (129, 400), (1_000_000, 400)] {
        let url = format!("{}/v1/chat/completions", gateway.url);
        let answer = send("POST", &url, &[("authorization", &bearer)], deep(depth)).await;
        assert_eq!(answer.status, status, "{depth}: {}", answer.text().chars().take(300).collect::<String>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_nothing_is_decompressed() {
    // A gzip member of ten million zeros, as short as they come, would not even be looked into.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 1000]].concat();
    let upstream = Scripted::start([Reply::json_with(200, &[("content-encoding", "gzip")], &bomb)]).await.unwrap();
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let out = json!({"out": {"type": "openai", "base_url": upstream.url("/v1")}});
    let gateway = serve(folder.path(), &secret, &json!({}), &out).await;
    let answer = gateway.post(Dialect::OpenAi.path(), &secret, &question("out/m", "hi", false)).await;
    assert_eq!((answer.status, answer.header("x-tidegate-error")), (502, "upstream_unavailable"), "{}", answer.text());
    let asked = upstream.received();
    assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    let bearer = format!("Bearer {secret}");
    for encoding in ["gzip", "br", "gzip, gzip", "zstd"] {
        let headers = [("authorization", bearer.as_str()), ("content-encoding", encoding)];
        let url = format!("{}/v1/chat/completions", gateway.url);
        let answer = send("POST", &url, &headers, bomb.clone()).await;
        assert_eq!((answer.status, answer.header("x-tidegate-error")), (415, "invalid_request"), "{}", answer.text());
    }
    assert_eq!(upstream.count(), asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_http2_with_prior_knowledge_serves_whole_answers_and_streams() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let ask = async |stream: bool, host: Option<&str>| {
        let mut request = http::Request::post(format!("{}/v1/chat/completions", gateway.url))
            .header("authorization", format!("Bearer {secret}"));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let body = question("sim/chat", "one two three", stream).to_string();
        let answer = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.unwrap().to_bytes())
    };
    let (status, whole) = ask(false, None).await;
    assert_eq!(status, 200);
    let whole: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    let (status, streamed) = ask(true, None).await;
    assert_eq!(status, 200);
    let heard = crate::stories::streams::hear(&streamed);
    assert!(heard.terminated && heard.errors.is_empty(), "{heard:?}");
    assert_eq!(whole["choices"][0]["message"]["content"], heard.text.as_str());
    assert_eq!(ask(false, Some("evil.example")).await.0, 403);
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://x/` in HPACK: three fields of the static table, and `:authority: x` written out.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'x'];

async fn speak_http2(gateway: &Gateway) -> Raw {
    let mut raw = Raw::connect(gateway).await;
    assert!(raw.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()).await);
    raw
}

/// Whether the gateway said goodbye among these frames.
fn goodbye(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        if head[3] == GOAWAY {
            return true;
        }
        bytes = rest.get(length..).unwrap_or_default();
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_http2_is_not_abused() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let count: u32 = scaled(20_000, 1_000_000);
    let before = resident(&gateway);

    // Streams that are reset as soon as they are begun.
    let mut raw = speak_http2(&gateway).await;
    let mut resets = Vec::new();
    for number in 0..count {
        let stream = 2 * number + 1;
        resets.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &GET));
        resets.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    raw.send(&resets).await;
    let said = raw.rest(SOON).await;
    assert!(goodbye(&said) || said.is_empty(), "rapid resets go on: {} bytes", said.len());

    // A head that never ends.
    let mut raw = speak_http2(&gateway).await;
    raw.send(frame(HEADERS, END_STREAM, 1, &GET)).await;
    let field = [&[0x40, 1, b'x', 0x7f, 0x81, 0x7e][..], &vec![b'v'; 16_384 - 6]].concat();
    let mut sent = 0;
    for _ in 0..count {
        if !raw.send(frame(CONTINUATION, 0, 1, &field)).await {
            break;
        }
        sent += field.len();
        if sent > 64 << 20 {
            panic!("a head that never ends is read for ever");
        }
    }

    // Settings and pings that want an answer each, from a client that takes none.
    for flood in [frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), frame(PING, 0, 0, &[7; 8])] {
        let mut raw = speak_http2(&gateway).await;
        let flood = flood.repeat(1_000);
        let flooding = async {
            for _ in 0..count / 1_000 {
                if !raw.send(&flood).await {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(SOON, flooding).await;
        let answer = gateway.post(Dialect::OpenAi.path(), &secret, &question("sim/chat", "hi", false)).await;
        assert_eq!(answer.status, 200);
    }
    let grown = resident(&gateway).saturating_sub(before);
    println!("after the abuse the gateway is {} KiB larger", grown >> 10);
    assert!(grown < 48 << 20, "{grown} bytes");
}
