//! What translating between dialects costs, beside the lane that changes nothing: its figures, limits and tables.

use serde_json::Value;

use super::{
    report::table,
    results::{Numbers, Results},
    verdicts::{Verdict, at_most},
};

/// The name of the stages' command, of its result, and of the part of a run.
pub(super) const NAME: &str = "translation";

/// The most that translating a conversation may cost, as a multiple of the verbatim lane of the caller's dialect.
const TIMES: f64 = 3.0;
/// The most that translating an event may add, in microseconds.
const EVENT: f64 = 2.0;
/// The most that one dialect may cost as a multiple of another, on the same conversation.
const BETWEEN: f64 = 2.0;

/// A pair of dialects and its CPU in microseconds.
struct Pair<'a> {
    from: &'a str,
    to: &'a str,
    us: f64,
}

fn pairs<'a>(results: &'a Results, what: &str) -> Vec<Pair<'a>> {
    let rows = results.told(NAME).and_then(|told| told.get(what)).and_then(Value::as_array);
    let pair = |row: &'a Value| {
        let text = |name| row.get(name).and_then(Value::as_str);
        Some(Pair { from: text("from")?, to: text("to")?, us: row.get("us").and_then(Value::as_f64)? })
    };
    rows.into_iter().flatten().filter_map(pair).collect()
}

fn of(pairs: &[Pair<'_>], from: &str, to: &str) -> Option<f64> {
    pairs.iter().find(|pair| pair.from == from && pair.to == to).map(|pair| pair.us)
}

/// What was promised of translation.
pub(super) fn verdicts(results: &Results) -> Vec<Verdict> {
    let (requests, streams) = (pairs(results, "requests"), pairs(results, "streams"));
    let times = of(&requests, "openai_chat", "anthropic").zip(of(&requests, "openai_chat", "openai_chat"));
    let times = times.map(|(translated, verbatim)| translated / verbatim);
    let added = of(&streams, "openai_chat", "anthropic").zip(of(&streams, "openai_chat", "openai_chat"));
    let added = added.map(|(translated, verbatim)| translated - verbatim);
    let numbers = |number: Option<f64>| Numbers(number.into_iter().collect());
    vec![
        at_most("translation, OpenAI Chat to Anthropic, 100 KB".to_owned(), TIMES, " × verbatim", &numbers(times), 2),
        at_most("translation of an event, OpenAI Chat to Anthropic".to_owned(), EVENT, " µs added", &numbers(added), 2),
        at_most(
            "reading a conversation, dearest dialect by cheapest".to_owned(),
            BETWEEN,
            " ×",
            &numbers(spread(&requests, |pair| pair.from == pair.to, |pair| pair.from)),
            2,
        ),
        at_most(
            "translating from a dialect, dearest by cheapest".to_owned(),
            BETWEEN,
            " ×",
            &numbers(spread(&requests, |pair| pair.from != pair.to, |pair| pair.from)),
            2,
        ),
        at_most(
            "translating to a dialect, dearest by cheapest".to_owned(),
            BETWEEN,
            " ×",
            &numbers(spread(&requests, |pair| pair.from != pair.to, |pair| pair.to)),
            2,
        ),
    ]
}

/// The dearest mean by the cheapest, over dialects.
fn spread<'a>(
    pairs: &'a [Pair<'a>],
    counts: impl Fn(&Pair<'a>) -> bool,
    by: impl Fn(&Pair<'a>) -> &'a str,
) -> Option<f64> {
    let mut sums: std::collections::BTreeMap<&str, (f64, f64)> = std::collections::BTreeMap::new();
    for pair in pairs.iter().filter(|pair| counts(pair)) {
        let (sum, many) = sums.entry(by(pair)).or_default();
        *sum += pair.us;
        *many += 1.0;
    }
    let means: Vec<f64> = sums.values().map(|(sum, many)| sum / many).collect();
    let most = means.iter().copied().fold(0.0, f64::max);
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    (!means.is_empty() && least > 0.0).then(|| most / least)
}

/// The tables of a whole run's document.
pub(super) fn section(results: &Results) -> String {
    let requests = matrix(&pairs(results, "requests"), 0);
    let streams = matrix(&pairs(results, "streams"), 2);
    format!(
        "CPU microseconds of the protocol's own code: a conversation of 100 KB, read and written for the target; and \
         an event of a stream of 100, read and written for the caller. From the dialect of the row to that of the \
         column; the verbatim lane where they are one. The least of several rounds.\n\n{requests}\n{streams}"
    )
}

/// The part of the document, where nothing else was measured.
pub(super) fn alone(results: &Results) -> String {
    let rows: Vec<Vec<String>> = verdicts(results)
        .into_iter()
        .map(|verdict| {
            let word = if verdict.met == Some(true) { "met" } else { "**missed**" };
            vec![verdict.what, verdict.limit, verdict.measured, word.to_owned()]
        })
        .collect();
    format!("\n## Translation\n{}\n{}", table(&["what", "limit", "measured", ""], &rows), section(results))
}

fn matrix(pairs: &[Pair<'_>], digits: usize) -> String {
    let mut names: Vec<&str> = Vec::new();
    for pair in pairs {
        if !names.contains(&pair.from) {
            names.push(pair.from);
        }
    }
    let cell = |from, to| of(pairs, from, to).map_or("–".to_owned(), |us| format!("{us:.digits$}"));
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|from| std::iter::once((*from).to_owned()).chain(names.iter().map(|to| cell(from, to))).collect())
        .collect();
    let head: Vec<&str> = std::iter::once("µs").chain(names.iter().copied()).collect();
    table(&head, &rows)
}
