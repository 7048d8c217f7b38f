//! The tables, for people: on the terminal and in `docs/benchmarks.md`.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    results::{Numbers, Results},
    subject::{SUBJECTS, Subject},
    translation,
    verdicts::{self, CPU, RATIOS, Verdict},
};

/// The whole document.
pub(super) fn document(results: &Results) -> String {
    let mut text = String::from("# Benchmarks\n");
    text.push_str(&introduction(results));
    let sections: [(&str, String); 8] = [
        ("Promised and kept", kept(results)),
        ("CPU per request", cpu(results)),
        ("Closed loop, 1 KB", closed(results)),
        ("Fixed rate, 1 KB and more", rates(results)),
        ("Streams", streams(results)),
        ("Memory and start", memory(results)),
        ("Decisions and durable audit", once(results)),
        ("Translation", translation::section(results)),
    ];
    for (title, body) in sections {
        let _ = write!(text, "\n## {title}\n{body}");
    }
    text
}

fn introduction(results: &Results) -> String {
    let told = results.told("machine");
    let text = |name: &str| match told.and_then(|told| told.get(name)) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "–".to_owned(),
    };
    let machine = if told.is_some() {
        format!(
            "Measured on {} at {}: {} ({} cores, {} GiB), Linux {}, {}, {}; {} rounds, load average before {}.{}",
            text("date"),
            text("commit"),
            text("cpu"),
            text("cores"),
            text("memory_gib"),
            text("kernel"),
            text("nginx"),
            text("rustc"),
            text("rounds"),
            text("load_before"),
            if text("quick") == "true" { " A quick run: its figures say little." } else { "" }
        )
    } else {
        "Not measured yet.".to_owned()
    };
    format!(
        "{machine}\n\n\
         Written by `cargo xtask bench`; it needs nginx (`apt-get install nginx-light`), two cores, 15 minutes, and a \
         machine that does nothing else. As root it runs in a network namespace of its own.\n\n\
         What is measured runs alone on core 0, the mock upstream and the load on core 1, all over loopback. Each \
         round measures every subject once, so noise meets all of them. Figures are medians over the rounds, with the \
         smallest and the largest in brackets. *Added* is what a figure exceeds that of the same round without a \
         gateway by. At a fixed rate, times count from when a request was due. nginx passes on with one worker and \
         kept connections, reads nothing and logs nothing: the least that a proxy costs. Compare figures within one \
         run only. The configurations are in `bench/peers`.\n"
    )
}

/// A table in Markdown whose columns also stand in line on a terminal.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| -> String {
        let padded: String = widths
            .iter()
            .map(|width| {
                let cell = cells.next().unwrap_or_default();
                format!(" {cell}{} |", " ".repeat(width.saturating_sub(cell.chars().count())))
            })
            .collect();
        format!("|{padded}\n")
    };
    let mut text = line(&mut head.iter().copied());
    let rules: String = widths.iter().map(|width| format!(" {} |", "-".repeat((*width).max(3)))).collect();
    let _ = writeln!(text, "|{rules}");
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

fn kept(results: &Results) -> String {
    let verdicts = verdicts::all(results);
    let count = |met: Option<bool>| verdicts.iter().filter(|verdict| verdict.met == met).count();
    let rows: Vec<Vec<String>> = verdicts
        .iter()
        .map(|Verdict { what, limit, measured, met }| {
            let word = match met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "not measured",
            };
            vec![what.clone(), limit.clone(), measured.clone(), word.to_owned()]
        })
        .collect();
    format!(
        "{} met, {} missed, {} not measured.\n\n{}",
        count(Some(true)),
        count(Some(false)),
        count(None),
        table(&["what", "limit", "measured", ""], &rows)
    )
}

/// A row for each subject, or for those that run as a process.
fn rows(with_direct: bool, cells: impl Fn(&Subject) -> Vec<String>) -> Vec<Vec<String>> {
    let chosen = SUBJECTS.iter().filter(|subject| with_direct || subject.name != "direct");
    chosen.map(|subject| std::iter::once(subject.shown.to_owned()).chain(cells(subject)).collect()).collect()
}

fn cpu(results: &Results) -> String {
    let rows = rows(false, |subject| {
        let mut cells: Vec<String> = RATIOS
            .iter()
            .map(|(leg, ..)| {
                let own = results.numbers(subject.name, leg, CPU).show(0);
                let times = verdicts::ratio(results, subject.name, leg).median();
                times.map_or(own.clone(), |times| format!("{own}, {times:.2} ×"))
            })
            .collect();
        cells.push(verdicts::per_event(results, subject.name).map_or("–".to_owned(), |micros| format!("{micros:.1}")));
        cells
    });
    let head = ["µs", "1 KB, 16 connections", "100 KB, 50/s", "400 KB, 20/s", "half streams, 100/s", "one event"];
    format!(
        "User and system time of the process and its children, and as a multiple of nginx's.\n\n{}",
        table(&head, &rows)
    )
}

fn closed(results: &Results) -> String {
    let rows = rows(true, |subject| {
        let mut cells = Vec::new();
        for leg in ["c1", "c16", "c64"] {
            cells.push(results.numbers(subject.name, leg, "/per_second").show(0));
            cells.push(results.numbers(subject.name, leg, "/whole_ms/p99").show(2));
        }
        cells
    });
    table(&["", "1: calls/s", "p99 ms", "16: calls/s", "p99 ms", "64: calls/s", "p99 ms"], &rows)
}

/// The figure, or that the subject did not keep up.
fn kept_up(results: &Results, subject: &str, leg: &str, numbers: &Numbers, decimals: usize) -> String {
    if results.ever_behind(subject, leg) { "behind".to_owned() } else { numbers.show(decimals) }
}

fn rates(results: &Results) -> String {
    let legs = [("r500", "500/s"), ("r2000", "2,000/s"), ("b100k", "100 KB, 50/s"), ("b400k", "400 KB, 20/s")];
    let rows = rows(true, |subject| {
        let mut cells = Vec::new();
        for (leg, _) in legs {
            for quantile in ["p50", "p99"] {
                let pointer = format!("/whole_ms/{quantile}");
                let numbers = match subject.name {
                    "direct" => results.numbers("direct", leg, &pointer),
                    name => results.added(name, leg, &pointer),
                };
                cells.push(kept_up(results, subject.name, leg, &numbers, 2));
            }
        }
        cells
    });
    let mut head = vec![String::new()];
    for (_, shown) in legs {
        head.extend([format!("{shown}: p50"), "p99".to_owned()]);
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    format!("Added milliseconds; in the row *direct* the time itself.\n\n{}", table(&head, &rows))
}

fn streams(results: &Results) -> String {
    let mut all = Vec::new();
    for (leg, shown) in [("sse20", "20/s"), ("sse100", "100/s")] {
        all.extend(rows(true, |subject| {
            let number = |pointer| results.numbers(subject.name, leg, pointer);
            let first = |quantile: &str| {
                let pointer = format!("/first_event_ms/{quantile}");
                let numbers = match subject.name {
                    "direct" => results.numbers("direct", leg, &pointer),
                    name => results.added(name, leg, &pointer),
                };
                kept_up(results, subject.name, leg, &numbers, 2)
            };
            vec![
                shown.to_owned(),
                first("p50"),
                first("p99"),
                number("/gap_ms/p99").show(2),
                format!("{:.0} of {:.0}", number("/streams_complete").sum(), number("/streams").sum()),
                number("/events_per_stream").show(0),
                number("/frames_per_stream").show(0),
                format!("{:.0}", number("/merged_events").sum()),
            ]
        }));
    }
    let head = ["", "rate", "first event p50", "p99", "gap p99", "complete", "events", "frames", "merged"];
    format!(
        "Half of the calls are streams of 100 events, 5 ms apart. Added milliseconds to the first event (*direct*: the \
         time itself); the gap between events; how many streams had every event in order and their end; events and \
         frames a stream; events that came in one frame with another.\n\n{}",
        table(&head, &all)
    )
}

fn memory(results: &Results) -> String {
    let rows = rows(false, |subject| {
        let mib = |leg| results.numbers(subject.name, leg, "/rss_kib").map(|kib| kib / 1024.0).show(1);
        let number = |leg, pointer| results.numbers(subject.name, leg, pointer);
        vec![
            mib("idle"),
            mib("peak"),
            mib("rested"),
            number("idle", "/processes").show(0),
            number("idle", "/threads").show(0),
            number("start", "/ms").show(1),
        ]
    });
    table(&["MiB resident", "idle", "peak", "60 s after", "processes", "threads", "start, ms"], &rows)
}

fn once(results: &Results) -> String {
    let number = |leg: &str, pointer: &str, decimals| results.numbers("run", leg, pointer).show(decimals);
    let mut text = format!(
        "A decision with 1,000 policies of which 20 apply takes {} µs in the median, {} µs at p99. One sync of the \
         disk takes {} µs by itself. Calls with durable audit wait for:\n\n",
        number("decisions", "/p50_us", 1),
        number("decisions", "/p99_us", 1),
        number("durable", "/sync_p50_us", 0),
    );
    let runs = results.told("durable").and_then(|told| told.get("runs")).and_then(Value::as_array);
    let rows: Vec<Vec<String>> = runs
        .into_iter()
        .flatten()
        .map(|run| {
            let number = |name: &str| run.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            vec![
                format!("{:.0}", number("concurrent")),
                format!("{:.0}", number("calls")),
                format!("{:.0}", number("syncs")),
                format!("{:.0}", number("p50_us")),
                format!("{:.0}", number("p99_us")),
            ]
        })
        .collect();
    text.push_str(&table(&["at once", "calls", "syncs", "wait p50, µs", "wait p99, µs"], &rows));
    text
}

/// CPU per request as bars, for the terminal.
pub(super) fn bars(results: &Results) -> String {
    let mut text = String::new();
    for (leg, what, ..) in RATIOS {
        let values: Vec<(&str, f64)> = SUBJECTS
            .iter()
            .filter(|subject| subject.name != "direct")
            .filter_map(|subject| Some((subject.shown, results.numbers(subject.name, leg, CPU).median()?)))
            .collect();
        let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if most <= 0.0 {
            continue;
        }
        let _ = writeln!(text, "CPU per request, {what}");
        for (name, value) in values {
            // In 0 to 40, since `value` is at most `most`.
            let length = (40.0 * value / most).round() as usize;
            let _ = writeln!(text, "  {name:<28} {value:>8.1} µs  {}", "#".repeat(length));
        }
    }
    text
}
