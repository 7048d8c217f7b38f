//! What was promised, and whether it was kept.

use serde_json::Value;

use super::results::{Numbers, Results};

/// Where a leg tells its CPU time per request, in microseconds.
pub(super) const CPU: &str = "/cpu_us_per_request";

/// Events of a stream.
pub(super) const EVENTS: f64 = 100.0;

/// CPU per request as a multiple of nginx's: the leg, what it is, and the limits for keys and routing and for
/// everything on.
pub(super) const RATIOS: [(&str, &str, f64, f64); 4] = [
    ("c16", "1 KB, 16 connections", 2.5, 4.0),
    ("b100k", "100 KB, 50/s", 1.6, 3.0),
    ("b400k", "400 KB, 20/s", 3.0, 5.0),
    ("sse100", "half streams of 100 events, 100/s", 1.2, 1.5),
];

/// The gateway's two subjects.
pub(super) const GATEWAYS: [&str; 2] = ["bare", "everything"];

/// One promise.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) what: String,
    pub(super) limit: String,
    pub(super) measured: String,
    /// `None` where it was not measured.
    pub(super) met: Option<bool>,
}

pub(super) fn at_most(what: String, limit: f64, unit: &str, measured: &Numbers, decimals: usize) -> Verdict {
    Verdict {
        what,
        limit: format!("≤ {limit:.decimals$}{unit}"),
        measured: format!("{}{}", measured.show(decimals), if measured.0.is_empty() { "" } else { unit }),
        met: measured.median().map(|median| median <= limit),
    }
}

/// How a subject is called in a sentence.
pub(super) fn called(subject: &str) -> &'static str {
    if subject == "bare" { "keys and routing" } else { "everything on" }
}

/// Every promise.
pub(super) fn all(results: &Results) -> Vec<Verdict> {
    let mut verdicts = ratios(results);
    verdicts.extend(latencies(results));
    verdicts.extend(streams(results));
    verdicts.extend(resources(results));
    verdicts.extend(once(results));
    verdicts.extend(super::translation::verdicts(results));
    verdicts
}

/// CPU per request as a multiple of nginx's median.
pub(super) fn ratio(results: &Results, subject: &str, leg: &str) -> Numbers {
    match results.numbers("nginx", leg, CPU).median().filter(|nginx| *nginx > 0.0) {
        Some(nginx) => results.numbers(subject, leg, CPU).map(|own| own / nginx),
        None => Numbers(Vec::new()),
    }
}

fn ratios(results: &Results) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (leg, what, bare, everything) in RATIOS {
        for (subject, limit) in GATEWAYS.into_iter().zip([bare, everything]) {
            let what = format!("CPU per request, {what}; {}", called(subject));
            let mut verdict = at_most(what, limit, " × nginx", &ratio(results, subject, leg), 2);
            if results.ever_behind(subject, leg) {
                verdict.met = Some(false);
                verdict.measured.push_str(", and calls failed or were late");
            }
            verdicts.push(verdict);
        }
    }
    verdicts
}

fn latencies(results: &Results) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for leg in ["r500", "r2000"] {
        let rate = leg.trim_start_matches('r');
        for subject in GATEWAYS {
            for (quantile, limit) in [("p50", 3.0), ("p99", 1.0)] {
                let pointer = format!("/whole_ms/{quantile}");
                let nginx = results.added("nginx", leg, &pointer).median();
                let bound = nginx.map(|nginx| if quantile == "p50" { nginx * limit } else { nginx + limit });
                let what = format!("added {quantile} at {rate}/s; {}", called(subject));
                let rule = if quantile == "p50" { "3 × nginx" } else { "nginx + 1 ms" };
                let measured = results.added(subject, leg, &pointer);
                let mut verdict = at_most(what, bound.unwrap_or(0.0), " ms", &measured, 2);
                verdict.limit = bound.map_or_else(|| rule.to_owned(), |bound| format!("{rule}: ≤ {bound:.2} ms"));
                verdict.met = verdict.met.filter(|_| bound.is_some());
                if results.ever_behind(subject, leg) {
                    verdict.met = Some(false);
                    verdict.measured = "behind the rate, or calls failed".to_owned();
                }
                verdicts.push(verdict);
            }
        }
    }
    verdicts
}

fn streams(results: &Results) -> Vec<Verdict> {
    let count = |subject, pointer| -> f64 {
        ["sse20", "sse100"].iter().fold(0.0, |sum, leg| sum + results.numbers(subject, leg, pointer).sum())
    };
    let verdict = |subject| {
        let (all, complete) = (count(subject, "/streams"), count(subject, "/streams_complete"));
        let merged = count(subject, "/merged_events");
        Verdict {
            what: format!("streams with every event, in order, unmerged; {}", called(subject)),
            limit: "all".to_owned(),
            measured: format!("{complete:.0} of {all:.0}, {merged:.0} events merged"),
            met: (all > 0.0).then_some(complete >= all && merged == 0.0),
        }
    };
    GATEWAYS.into_iter().map(verdict).collect()
}

fn resources(results: &Results) -> Vec<Verdict> {
    let subject = "everything";
    let mib = |leg| results.numbers(subject, leg, "/rss_kib").map(|kib| kib / 1024.0);
    let idle = mib("idle");
    let bound = idle.median().map(|idle| idle * 1.2);
    let mut rested = at_most("memory 60 s after".to_owned(), bound.unwrap_or(0.0), " MiB", &mib("rested"), 1);
    rested.limit = format!("1.2 × idle{}", bound.map_or_else(String::new, |bound| format!(": ≤ {bound:.1} MiB")));
    rested.met = rested.met.filter(|_| bound.is_some());
    let start = results.numbers(subject, "start", "/ms");
    vec![
        at_most("memory, idle".to_owned(), 30.0, " MiB", &idle, 1),
        at_most("memory, peak of all legs".to_owned(), 80.0, " MiB", &mib("peak"), 1),
        rested,
        at_most("from spawn to the first 200, data there".to_owned(), 50.0, " ms", &start, 1),
    ]
}

fn once(results: &Results) -> Vec<Verdict> {
    let number = |leg, pointer| results.numbers("run", leg, pointer);
    let size = number("binary", "/bytes").map(|bytes| bytes / 1_000_000.0);
    let decision = number("decisions", "/p99_us");
    vec![
        at_most("decision p99, 1,000 policies of which 20 apply".to_owned(), 100.0, " µs", &decision, 1),
        durable(results),
        at_most("release binary, stripped".to_owned(), 40.0, " MB", &size, 1),
    ]
}

/// One sync a call, shared by those that wait together. The tree syncs now and then by itself, which is counted too.
fn durable(results: &Results) -> Verdict {
    let runs = results.told("durable").and_then(|told| told.get("runs")).and_then(Value::as_array);
    let shares: Vec<(f64, f64)> = runs
        .into_iter()
        .flatten()
        .filter_map(|run| {
            let number = |name| run.get(name).and_then(Value::as_f64);
            Some((number("concurrent")?, number("syncs")? / number("calls")?.max(1.0)))
        })
        .collect();
    let shown: Vec<String> = shares.iter().map(|(many, share)| format!("{share:.3} at {many:.0} at once")).collect();
    Verdict {
        what: "durable audit, syncs per call".to_owned(),
        limit: "≤ 1 and the tree's own, ≤ 0.5 where 16 or more wait".to_owned(),
        measured: if shown.is_empty() { "–".to_owned() } else { shown.join(", ") },
        met: (!shares.is_empty())
            .then(|| shares.iter().all(|(many, share)| *share <= if *many >= 16.0 { 0.5 } else { 1.05 })),
    }
}

/// CPU of one event of a stream in microseconds: what the mix of the leg costs beyond its half of whole answers.
pub(super) fn per_event(results: &Results, subject: &str) -> Option<f64> {
    let mix = results.numbers(subject, "sse100", CPU).median()?;
    let whole = results.numbers(subject, "r500", CPU).median()?;
    Some((2.0 * mix - whole) / EVENTS)
}
