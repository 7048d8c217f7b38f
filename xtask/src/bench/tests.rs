//! The tables and verdicts, from rows that are written here.

use super::{LEGS, SUBJECTS, chosen, plan, report, results::Results, verdicts};

/// Three rounds in which nginx takes 20 µs and the gateway `bare` and `everything` µs.
fn results(bare: [f64; 3], everything: [f64; 3]) -> Results {
    let mut text = String::new();
    for round in 0..3 {
        for (subject, cpu) in
            [("direct", 9.0), ("nginx", 20.0), ("bare", bare[round]), ("everything", everything[round])]
        {
            let whole = format!("{{\"p50\":{},\"p99\":{}}}", cpu / 100.0, cpu / 10.0);
            for leg in ["c16", "b100k", "b400k", "r500", "r2000"] {
                text.push_str(&format!(
                    "{{\"subject\":\"{subject}\",\"round\":{round},\"leg\":\"{leg}\",\"told\":\
                     {{\"cpu_us_per_request\":{cpu},\"whole_ms\":{whole},\"errors\":0}}}}\n"
                ));
            }
            text.push_str(&format!(
                "{{\"subject\":\"{subject}\",\"round\":{round},\"leg\":\"sse100\",\"told\":\
                 {{\"cpu_us_per_request\":1000,\"streams\":50,\"streams_complete\":50,\"merged_events\":0}}}}\n"
            ));
        }
    }
    Results::parse(&text).unwrap()
}

fn verdict<'a>(all: &'a [verdicts::Verdict], what: &str) -> &'a verdicts::Verdict {
    all.iter().find(|verdict| verdict.what == what).unwrap_or_else(|| panic!("no verdict on {what}"))
}

#[test]
fn a_ratio_is_met_up_to_its_limit_by_the_median_and_missed_above() {
    let all = verdicts::all(&results([50.0, 49.0, 90.0], [81.0, 80.0, 82.0]));
    let bare = verdict(&all, "CPU per request, 1 KB, 16 connections; keys and routing");
    assert_eq!((bare.met, bare.measured.as_str()), (Some(true), "2.50 (2.45 to 4.50) × nginx"));
    let everything = verdict(&all, "CPU per request, 1 KB, 16 connections; everything on");
    assert_eq!((everything.met, everything.limit.as_str()), (Some(false), "≤ 4.00 × nginx"));
}

#[test]
fn added_times_are_measured_against_those_of_nginx() {
    let all = verdicts::all(&results([40.0; 3], [45.0; 3]));
    // nginx adds 0.11 ms to the median and 1.1 ms to the 99th percentile.
    let bare = verdict(&all, "added p50 at 500/s; keys and routing");
    assert_eq!((bare.met, bare.limit.as_str()), (Some(true), "3 × nginx: ≤ 0.33 ms"));
    assert_eq!(verdict(&all, "added p50 at 500/s; everything on").met, Some(false));
    assert_eq!(verdict(&all, "added p99 at 2000/s; keys and routing").met, Some(false));
    let streams = verdict(&all, "streams with every event, in order, unmerged; everything on");
    assert_eq!((streams.met, streams.measured.as_str()), (Some(true), "150 of 150, 0 events merged"));
}

#[test]
fn what_was_not_measured_is_neither_met_nor_missed() {
    let none = Results::parse("").unwrap();
    assert!(verdicts::all(&none).iter().all(|verdict| verdict.met.is_none()));
    let text = report::document(&none);
    assert!(text.contains("Not measured yet.") && text.contains("0 met, 0 missed"));
    assert_eq!(report::bars(&none), "");
}

#[test]
fn a_call_that_failed_or_came_late_spoils_its_leg() {
    let row = |told: &str| format!("{{\"subject\":\"bare\",\"round\":1,\"leg\":\"r500\",\"told\":{told}}}\n");
    let behind = |told: &str| Results::parse(&row(told)).unwrap().was_behind("bare", 1, "r500");
    assert!(!behind("{\"rate\":500,\"per_second\":499,\"errors\":0}"));
    assert!(behind("{\"rate\":500,\"per_second\":470,\"errors\":0}"));
    assert!(behind("{\"rate\":500,\"per_second\":500,\"errors\":1}"));
    assert!(!behind("{\"rate\":null,\"per_second\":9,\"errors\":0}"));
}

#[test]
fn a_table_stands_in_line_whatever_is_in_it() {
    let rows = vec![vec!["nginx".to_owned(), "24 µs".to_owned()], vec!["–".to_owned()]];
    let expected = "| who   | CPU   |\n| ----- | ----- |\n| nginx | 24 µs |\n| –     |       |\n";
    assert_eq!(report::table(&["who", "CPU"], &rows), expected);
}

#[test]
fn the_document_and_the_bars_show_every_subject() {
    let results = results([50.0; 3], [80.0; 3]);
    let text = report::document(&results);
    for subject in SUBJECTS.iter().filter(|subject| subject.name != "direct") {
        assert!(text.contains(subject.shown));
        assert!(report::bars(&results).contains(subject.shown));
    }
    assert!(text.contains("80, 4.00 ×"), "{text}");
}

#[test]
fn options_choose_legs_and_subjects_by_name() {
    let texts = |text: &str| -> Vec<String> { text.split(' ').map(ToOwned::to_owned).collect() };
    let quick = plan(&texts("--quick --legs c16,b100k")).unwrap();
    assert_eq!((quick.rounds, quick.legs.len(), quick.is_whole()), (1, 2, false));
    assert!(plan(&[]).unwrap().is_whole());
    assert!(plan(&texts("--rounds 0")).is_err() && plan(&texts("--legs c17")).is_err());
    assert!(chosen("sse100", &LEGS, |leg| leg.name).unwrap()[0].after == Some("sse20"));
}
