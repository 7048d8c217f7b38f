//! Upstreams that go away in the middle of a stream.

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use super::{
    gateway::{Gateway, Start, key, question},
    streams::{Dialect, hear},
};

const AT_ONCE: usize = 16;

fn whole(dialect: Dialect) -> String {
    dialect.stream(&["one ", "two ", "three"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_cut_at_every_byte_offset_never_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut upstreams = Vec::new();
    for dialect in Dialect::BOTH {
        let upstream = Scripted::answering(move |request| {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let at = body["model"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
            let text = whole(dialect);
            Reply::stream().send(&text.as_bytes()[..at]).then(Step::Close)
        });
        upstreams.push(upstream.await.unwrap());
    }
    let (secret, mut providers) = (key(), serde_json::Map::new());
    for (dialect, upstream) in Dialect::BOTH.into_iter().zip(&upstreams) {
        let provider = json!({"type": dialect.kind(), "base_url": upstream.url("/v1")});
        providers.insert(dialect.kind().to_owned(), provider);
    }
    let keys = json!({"k": {"secret": "env:K", "allow": {"models": "*"}}});
    let config = json!({"version": 1, "providers": providers, "keys": keys});
    let gateway = Start::new("serve", folder.path()).config(config).env("K", &secret).run().await;
    let pairs = Dialect::BOTH.into_iter().flat_map(|from| Dialect::BOTH.into_iter().map(move |to| (from, to)));
    // The model's name says where to cut: each is a target of its own, so that no breaker opens.
    let cases: Vec<_> = pairs
        .flat_map(|(from, to)| (0..=whole(to).len()).map(move |at| Case { surface: from, upstream: to, at }))
        .collect();
    let failures: Vec<(bool, Option<String>)> =
        stream::iter(&cases).map(|case| cut(&gateway, &secret, case)).buffer_unordered(AT_ONCE).collect().await;
    let streamed = failures.iter().filter(|(streamed, _)| *streamed).count();
    println!("{} cuts, {streamed} of them in a stream", cases.len());
    assert!(streamed > cases.len() / 2, "only {streamed} of {} were streams", cases.len());
    let failures: Vec<String> = failures.into_iter().filter_map(|(_, failure)| failure).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// A stream of `upstream`'s dialect that ends after `at` bytes, seen by a client of `surface`'s.
#[derive(Debug)]
struct Case {
    surface: Dialect,
    upstream: Dialect,
    at: usize,
}

/// Whether there was a stream, and what is wrong with it.
async fn cut(gateway: &Gateway, secret: &str, case: &Case) -> (bool, Option<String>) {
    let Case { surface, upstream, at } = *case;
    let model = format!("{}/cut-{at}", upstream.kind());
    let answer = gateway.post(surface.path(), secret, &question(&model, "count", true)).await;
    let text = whole(upstream);
    if answer.status != 200 {
        let fair = answer.status == 502 && answer.header("x-tidegate-error") == "upstream_unavailable";
        let failure = format!("{case:?}: {} {}", answer.status, answer.text());
        return (false, if fair && at < text.len() / 2 { None } else { Some(failure) });
    }
    let heard = hear(&answer.body);
    // A last line without its line break is a whole line to many clients, and the terminator says nothing more.
    let complete = at == text.len();
    let almost = !complete && text[at..].trim().is_empty();
    let well = heard.terminated && heard.errors.is_empty();
    let badly = !heard.terminated && heard.errors.len() == 1;
    let fair = if complete { well } else { badly || (almost && well) };
    (true, if fair { None } else { Some(format!("{case:?} of {}: {}", text.len(), answer.text())) })
}
