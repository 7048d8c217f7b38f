use super::*;
use crate::harness::{at, entry};

#[test]
fn a_report_counts_what_was_sent_in_its_span_and_puts_the_dearest_first() {
    let noon = at("2026-11-11T12:00:00Z");
    let later = at("2026-11-11T13:00:00Z");
    let mut entries = vec![
        entry(EntryKind::Settled, noon, Some(10), 0),
        entry(EntryKind::Settled, noon, Some(5), 2),
        entry(EntryKind::Unknown, noon, None, 7),
        entry(EntryKind::Void, noon, Some(0), 0),
        entry(EntryKind::Settled, later, Some(1_000), 0),
    ];
    let mut other = entry(EntryKind::Settled, noon, Some(30), 0);
    other.attribution.key_name = "b".into();
    other.attribution.team = None;
    entries.push(other);
    let query = SpendQuery { by: SpendBy::Key, from: noon, to: later };
    let row = |name: &str, cost, held, calls| SpendRow {
        name: name.to_owned(),
        cost: NanoUsd(cost),
        held: NanoUsd(held),
        calls,
        input_tokens: 0,
        output_tokens: 3 * calls,
    };
    assert_eq!(summarize(&entries, query), [row("b", 30, 0, 1), row("a", 15, 9, 3)]);
    let by_team = SpendQuery { by: SpendBy::Team, ..query };
    assert_eq!(summarize(&entries, by_team), [row("", 30, 0, 1), row("research", 15, 9, 3)]);
}

#[test]
fn an_entry_survives_json_with_its_amounts_exact() {
    let mut entry = entry(EntryKind::Settled, at("2026-11-11T12:00:00Z"), Some(9_007_199_254_740_993), 1);
    entry.attribution.target = Some("openai/gpt-5.2".into());
    let text = serde_json::to_string(&entry).unwrap();
    assert!(text.contains("\"9007199254740993\""), "{text}");
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
}
