//! P2 and P23: more calls than fit, and more connections than there are descriptors for.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use serde_json::json;
use tidegate_core::clock;

use super::{Raw, in_flight, processor_time, scaled, serve};
use crate::stories::{
    gateway::{Gateway, Start, key, question, until},
    http::send,
    streams::Dialect,
};

/// Calls that fit, and how long each takes: together they are the capacity.
const PLACES: u32 = 16;
const EACH: Duration = Duration::from_millis(200);

/// What became of calls.
#[derive(Default)]
struct Tally {
    good: u32,
    sheds: Vec<Duration>,
    /// The gateway's own share of the sheds, as `server-timing` tells it, in milliseconds.
    own: Vec<f64>,
    other: Vec<u16>,
}

impl Tally {
    fn shed_within(&mut self, percent: usize) -> Duration {
        self.sheds.sort();
        let at = (self.sheds.len() * percent / 100).min(self.sheds.len().saturating_sub(1));
        self.sheds.get(at).copied().unwrap_or_default()
    }
}

/// Begins `rate` calls a second for `length`, whatever became of those before.
async fn offer(gateway: &Gateway, secret: &str, rate: u32, length: Duration) -> Tally {
    let body = question("sim/chat", "[[sim: stream 2 chunks, 100ms]]", false);
    let (mut tally, mut open, started) = (Tally::default(), FuturesUnordered::new(), clock::now());
    let total = u32::try_from(u128::from(rate) * length.as_millis() / 1000).unwrap();
    let call = async || {
        let before = clock::now();
        let answer = gateway.post(Dialect::OpenAi.path(), secret, &body).await;
        (answer, clock::now() - before)
    };
    for number in 0..total {
        let due = started + Duration::from_secs(1) * number / rate;
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = async { while let Some(done) = open.next().await { note(&mut tally, done) }; std::future::pending().await } => {}
        }
        open.push(call());
    }
    while let Some(done) = open.next().await {
        note(&mut tally, done);
    }
    tally
}

fn note(tally: &mut Tally, (answer, took): (crate::stories::http::Answer, Duration)) {
    if answer.status == 503 {
        let timing =
            answer.header("server-timing").strip_prefix("gateway;dur=").and_then(|rest| rest.split(',').next());
        tally.own.push(timing.unwrap().parse().unwrap());
    }
    match (answer.status, answer.header("x-tidegate-error"), answer.header("retry-after")) {
        (200, ..) => tally.good += 1,
        (503, "overloaded", "1") => tally.sheds.push(took),
        (status, ..) => tally.other.push(status),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_what_does_not_fit_is_shed_at_once_and_the_rest_goes_on() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let gateway = serve(folder.path(), &secret, &json!({"concurrent": PLACES}), &json!({})).await;
    let length = scaled(Duration::from_secs(2), Duration::from_secs(30));
    let body = question("sim/chat", "[[sim: stream 2 chunks, 100ms]]", false);
    // The most that comes through when nobody asks in vain.
    let (started, mut peak) = (clock::now(), 0);
    while clock::now() - started < length {
        let round = (0..PLACES).map(|_| gateway.post(Dialect::OpenAi.path(), &secret, &body));
        peak += join_all(round).await.iter().filter(|answer| answer.status == 200).count();
    }
    let peak = f64::from(u32::try_from(peak).unwrap()) / (clock::now() - started).as_secs_f64();
    let capacity = PLACES * 1000 / u32::try_from(EACH.as_millis()).unwrap();

    let health = async {
        let mut times = Vec::new();
        for _ in 0..length.as_millis() / 50 {
            let before = clock::now();
            assert_eq!(send("GET", &format!("{}/healthz", gateway.admin), &[], "").await.status, 200);
            times.push(clock::now() - before);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        times.sort();
        times[times.len() * 95 / 100]
    };
    let (mut storm, health) = tokio::join!(offer(&gateway, &secret, 3 * capacity, length), health);
    let goodput = f64::from(storm.good) / length.as_secs_f64();
    let (half, most) = (storm.shed_within(50), storm.shed_within(95));
    println!(
        "peak {peak:.1}/s, goodput at three times {goodput:.1}/s, {} sheds in {half:?} (95 %: {most:?}), health {health:?}",
        storm.sheds.len()
    );
    assert!(storm.other.is_empty(), "{:?}", storm.other);
    assert!(goodput >= 0.9 * peak, "{goodput} of {peak}");
    assert!(storm.sheds.len() > usize::try_from(capacity).unwrap());
    storm.own.sort_by(f64::total_cmp);
    let own = storm.own[storm.own.len() * 95 / 100];
    assert!(own < 10.0, "{own} ms");
    // The client and whatever else runs on this machine are in these figures: only a long run has it to itself.
    assert!(half < scaled(Duration::from_millis(500), Duration::from_millis(10)), "{half:?}");
    assert!(health < scaled(Duration::from_secs(1), Duration::from_millis(100)), "{health:?}");

    let before = clock::now();
    until("an empty gateway", Duration::from_secs(10), async || in_flight(&gateway).await == 0).await;
    let calm = offer(&gateway, &secret, capacity / 2, length / 2).await;
    println!("recovered within {:?}", clock::now() - before - length / 2);
    // A machine that stands still for a moment makes a small crowd of what comes at an even pace.
    let most = scaled(usize::try_from(calm.good).unwrap() / 20, 0);
    assert!(calm.sheds.len() <= most && calm.other.is_empty(), "{} sheds, {:?}", calm.sheds.len(), calm.other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p23_without_descriptors_accepting_pauses_and_does_not_spin() {
    // With 256 clients are held back before descriptors run out; with 32 they do run out.
    for descriptors in [256, 32] {
        let (folder, secret) = (tempfile::tempdir().unwrap(), key());
        let config = json!({
            "version": 1,
            "limits": {"header_timeout": "2s"},
            "keys": {"k": {"secret": "env:K", "allow": {"models": "*"}}},
        });
        let start = Start::new("up", folder.path()).config(config).env("K", &secret);
        let gateway = start.within(&format!("ulimit -n {descriptors}")).run().await;
        let mut idle = Vec::new();
        for _ in 0..120 {
            idle.push(Raw::connect(&gateway).await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = processor_time(&gateway);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let used = processor_time(&gateway) - before;
        let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.id())).unwrap().count();
        println!("{descriptors}: {open} descriptors in use, {used:?} of processor time in a second");
        assert!(open <= descriptors + 2 && used < Duration::from_millis(300), "{open}, {used:?}");
        // Those who only wait are let go, and then there is room again.
        drop(idle);
        let answer = gateway.post(Dialect::OpenAi.path(), &secret, &question("sim/chat", "hi", false)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
