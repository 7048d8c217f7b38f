//! Secrets in streams, split wherever they can be.

use std::collections::HashSet;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{
    gateway::{Gateway, Start, key, question},
    streams::{Channel, Dialect, hear},
};

/// The longest beginning of a secret that says nothing: the public mark of its kind.
const HARMLESS: usize = 4;
/// What stands around the secret; JSON, since it also stands in the arguments of a tool.
const BEFORE: &str = "{\"text\": \"so the key is ";
const AFTER: &str = " and that is all\"}";
/// Calls at the same time.
const AT_ONCE: usize = 8;

/// Made of parts, so that no scanner takes this file for a leak.
fn secret() -> String {
    ["AKIA", "Q3EGZV7X", "J5WKT2PB"].concat()
}

/// The pieces of an answer whose secret is split at `first` and `second`.
fn pieces(first: usize, second: usize) -> Vec<String> {
    let secret = secret();
    let (head, rest) = secret.split_at(first);
    let (middle, tail) = rest.split_at(second - first);
    let whole = [format!("{BEFORE}{head}"), middle.to_owned(), format!("{tail}{AFTER}")];
    whole.into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// An upstream that splits where the model's name says, and whose bytes come one event at a time or in odd parts.
async fn upstream(dialect: Dialect) -> Scripted {
    Scripted::answering(move |request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let model = body["model"].as_str().unwrap().to_owned();
        let numbers: Vec<usize> = model.split('-').skip(1).map(|number| number.parse().unwrap()).collect();
        let [first, second, step, channel] = numbers[..] else { panic!("{model}") };
        let pieces = if first == 0 && second == 0 {
            format!("{BEFORE}{}{AFTER}", secret()).chars().map(String::from).collect()
        } else {
            pieces(first, second)
        };
        let text = dialect.stream_in(Channel::ALL[channel], &pieces.iter().map(String::as_str).collect::<Vec<_>>());
        let mut reply = Reply::stream();
        for part in text.as_bytes().chunks(step) {
            reply = reply.send(part);
        }
        reply.then(tidegate_testkit::scripted::Step::Close)
    })
    .await
    .unwrap()
}

async fn gateway(folder: &std::path::Path, upstreams: &[(Dialect, Scripted)], keys: &[(&str, String)]) -> Gateway {
    let providers: serde_json::Map<String, serde_json::Value> = upstreams
        .iter()
        .map(|(dialect, upstream)| {
            let provider = json!({"type": dialect.kind(), "base_url": upstream.url("/v1")});
            (dialect.kind().to_owned(), provider)
        })
        .collect();
    let config = json!({
        "version": 1,
        "providers": providers,
        "guardrails": {
            "redact": {"detect": ["secrets"], "on": ["response"], "action": "redact"},
            "block": {"detect": ["secrets"], "on": ["response"], "action": "block"},
        },
        "keys": {
            "redacted": {"secret": "env:REDACT", "allow": {"models": "*"}, "guardrails": ["redact"]},
            "blocked": {"secret": "env:BLOCK", "allow": {"models": "*"}, "guardrails": ["block"]},
        },
    });
    let mut start = Start::new("serve", folder).config(config);
    for (name, key) in keys {
        start = start.env(name, key);
    }
    start.run().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_split_over_any_chunk_border_never_reaches_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let mut upstreams = Vec::new();
    for dialect in Dialect::BOTH {
        upstreams.push((dialect, upstream(dialect).await));
    }
    let keys = [("REDACT", key()), ("BLOCK", key())];
    let gateway = gateway(folder.path(), &upstreams, &keys).await;
    let length = secret().len();
    let splits = (0..=length).map(|at| (at, length, 1 << 20)).chain((1..length - 1).map(|at| (at, at + 1, 7)));
    let splits: HashSet<_> = splits.chain([(0, 0, 1 << 20), (0, 0, 3), (5, 11, 1)]).collect();
    let channel = |split: (usize, usize, usize)| (0..Channel::ALL.len()).map(move |channel| (split, channel));
    // Every way of writing the answer, for every dialect, with every key: some of them at a time.
    let cases: Vec<_> = Dialect::BOTH
        .into_iter()
        .flat_map(|dialect| splits.iter().flat_map(move |split| channel(*split)).map(move |split| (dialect, split)))
        .flat_map(|(dialect, split)| keys.iter().map(move |(action, key)| (dialect, split, *action, key)))
        .collect();
    let failures: Vec<String> = stream::iter(&cases)
        .map(|(dialect, split, action, key)| one(&gateway, *dialect, *split, action, key))
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Makes one call and says what is wrong with its answer.
async fn one(
    gateway: &Gateway,
    dialect: Dialect,
    ((first, second, step), channel): ((usize, usize, usize), usize),
    action: &str,
    key: &str,
) -> Option<String> {
    let model = format!("{}/split-{first}-{second}-{step}-{channel}", dialect.kind());
    let answer = gateway.post(dialect.path(), key, &question(&model, "the key?", true)).await;
    let what =
        |problem: &str| Some(format!("{model} {:?} {action}: {problem}: {}", Channel::ALL[channel], answer.text()));
    let secret = secret();
    if answer.text().contains(&secret) {
        return what("the secret is there as it stands");
    }
    if answer.status != 200 {
        return what("refused before a stream");
    }
    let heard = hear(&answer.body);
    let leaked = (HARMLESS + 1..=secret.len()).rev().find(|length| heard.text.contains(&secret[..*length]));
    if let Some(length) = leaked {
        return what(&format!("{length} bytes of the secret leaked"));
    }
    let tail = (1..secret.len() - HARMLESS).find(|from| heard.text.contains(&secret[*from..]));
    if let Some(from) = tail {
        return what(&format!("the secret from byte {from} on leaked"));
    }
    if action == "BLOCK" {
        let ended = !heard.terminated && heard.errors.len() == 1 && heard.errors[0].contains("guardrail");
        return if ended { None } else { what("a blocked stream does not end with its error") };
    }
    let sent =
        if (first, second) == (0, 0) { BEFORE.len() + secret.len() + AFTER.len() } else { pieces(first, second).len() };
    let frames = sent + if dialect == Dialect::OpenAi { 3 } else { 5 };
    if heard.frames != frames {
        return what(&format!("{} frames instead of {frames}", heard.frames));
    }
    let kept = heard.text.starts_with(BEFORE) && heard.text.ends_with(AFTER);
    if heard.terminated && heard.errors.is_empty() && kept { None } else { what("the rest of the text is not whole") }
}
