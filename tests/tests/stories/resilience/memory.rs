//! P21 and P1: what open streams cost, and that memory comes back.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tidegate_core::clock;

use super::{Raw, anonymous, head, in_flight, many_descriptors, most_connections, resident, scaled, serve};
use crate::stories::{
    gateway::{Sim, key, question, until},
    streams::{Dialect, hear},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p21_an_idle_stream_costs_at_most_96_kib() {
    many_descriptors();
    let (folder, secret, sim) = (tempfile::tempdir().unwrap(), key(), Sim::start().await);
    let count = scaled(500, 10_000).min(most_connections() - 100);
    let out = json!({"out": {"type": "openai", "base_url": format!("{}/v1", sim.url)}});
    let gateway = serve(folder.path(), &secret, &json!({}), &out).await;
    let body = question("out/stream", "[[sim: stall after 1]] hello", true).to_string();
    let request = format!("{}{body}", head(&secret, &format!("content-length: {}", body.len())));
    let open = async |count: usize| {
        let mut streams = Vec::with_capacity(count);
        for at in 0..count {
            let mut raw = Raw::connect(&gateway).await;
            assert!(raw.send(&request).await);
            // A few at a time, so that nobody is called a flood.
            if at % 50 == 49 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            streams.push(raw);
        }
        for raw in &mut streams {
            let status = raw.status_line(Duration::from_secs(60)).await;
            assert!(status.ends_with("200 OK"), "{status}");
        }
        streams
    };
    // What the first calls of a process cost is not theirs alone.
    drop(open(50).await);
    until("quiet", Duration::from_secs(20), async || in_flight(&gateway).await == 0).await;
    let before = resident(&gateway);
    let streams = open(count).await;
    assert_eq!(in_flight(&gateway).await, u64::try_from(count).unwrap());
    let each = || resident(&gateway).saturating_sub(before) / u64::try_from(count).unwrap();
    // What opening them needed for a moment goes back to the system some seconds later.
    let opened = clock::now();
    while each() > 96 << 10 && clock::now() - opened < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let each = each();
    println!("{count} idle streams: {:.1} KiB each", each as f64 / 1024.0);
    assert!(each <= 96 << 10, "{each} bytes a stream");
    drop(streams);
    until("the end of them all", Duration::from_secs(60), async || in_flight(&gateway).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p21_memory_is_level_under_load_and_comes_back() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({}), &json!({})).await;
    let length = scaled(Duration::from_secs(4), Duration::from_secs(60));
    let body = question("sim/chat", &format!("[[sim: say ok]] {}", "lorem ipsum ".repeat(10_000)), false);
    let resident = anonymous;
    let load = async |length: Duration| {
        let (end, mut most, mut calls) = (clock::now() + length, 0, 0);
        while clock::now() < end {
            let round = (0..8).map(|_| gateway.post(Dialect::OpenAi.path(), &secret, &body));
            for answer in futures_util::future::join_all(round).await {
                assert_eq!(answer.status, 200, "{}", answer.text());
                calls += 1;
            }
            most = most.max(resident(&gateway));
        }
        (most, calls)
    };
    assert_eq!(gateway.post(Dialect::OpenAi.path(), &secret, &question("sim/chat", "hi", false)).await.status, 200);
    let idle = resident(&gateway);
    let (first, _) = load(length / 2).await;
    let (second, calls) = load(length / 2).await;
    let mut after = resident(&gateway);
    let waited = clock::now();
    // What the allocator keeps in hand for its threads does not go back to the system, and does not grow either.
    let enough = idle * 12 / 10 + (32 << 20);
    while after > enough && clock::now() - waited < scaled(Duration::from_secs(10), Duration::from_secs(120)) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        after = resident(&gateway);
    }
    let show = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "idle {:.1} MiB, {calls} calls of 120 KiB: at most {:.1}, then {:.1} MiB; {:?} later {:.1} MiB",
        show(idle),
        show(first),
        show(second),
        clock::now() - waited,
        show(after)
    );
    assert!(second <= first * 12 / 10 + (16 << 20), "it grows: {first} then {second}");
    assert!(after <= enough, "{after} bytes after {idle}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_event_of_any_stream_is_lost() {
    many_descriptors();
    const PIECES: usize = 20;
    let (folder, secret, sim) = (tempfile::tempdir().unwrap(), key(), Sim::start().await);
    let (count, pause) = scaled((300, 50), (5_000, 1_000));
    let out = json!({"out": {"type": "openai", "base_url": format!("{}/v1", sim.url)}});
    let gateway = serve(folder.path(), &secret, &json!({}), &out).await;
    let body = question("out/stream", &format!("[[sim: stream {PIECES} chunks, {pause}ms]]"), true);
    let alone = gateway.post(Dialect::OpenAi.path(), &secret, &body).await;
    let expected = hear(&alone.body);
    assert!(expected.terminated && expected.frames > PIECES, "{expected:?}");
    let heard: Vec<_> = stream::iter(0..count)
        .map(|_| async {
            let answer = gateway.post(Dialect::OpenAi.path(), &secret, &body).await;
            (answer.status, hear(&answer.body))
        })
        .buffer_unordered(count)
        .collect()
        .await;
    let wrong: Vec<_> = heard
        .iter()
        .filter(|(status, heard)| {
            *status != 200 || !heard.terminated || heard.frames != expected.frames || heard.text != expected.text
        })
        .collect();
    println!("{count} streams at the same time, {} events", heard.iter().map(|(_, heard)| heard.frames).sum::<usize>());
    assert!(wrong.is_empty(), "{} of {count} streams, the first: {:?}", wrong.len(), wrong[0]);
    assert_eq!(sim.requests().await.len(), count + 1);
}
