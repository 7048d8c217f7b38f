//! The way to the next revision.

use std::sync::Arc;

use tidegate_ledger::Catalog;

use super::*;
use crate::{
    check::{Mode, tests::mutated},
    environment::Fixed,
    vendor::Vendors,
};

const WHOLE: &str = include_str!("../check/tests/whole.yaml");

fn with<T>(run: impl FnOnce(&Options<'_>, &Ingredients<'_>) -> T) -> T {
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Up, secrets: true, public_listener: false, vendors: &vendors };
    let catalog = Arc::new(Catalog::builtin().unwrap());
    run(&options, &Ingredients { vendors: &vendors, catalog, stored: Vec::new(), pins: Vec::new() })
}

fn machine() -> Fixed {
    crate::snapshot::tests_support::machine()
}

fn at(millis: u64) -> UnixMillis {
    UnixMillis(millis)
}

#[test]
fn bad_config_leaves_last_good() {
    with(|options, ingredients| {
        let environment = machine();
        let good = compile(Sources::of_text("t.yaml", WHOLE), &environment, options, ingredients).unwrap();
        let live = Live::new(good.snapshot, at(0));
        let first = live.current().snapshot.revision;
        let mut rejected = 0;
        for seed in 0..100 {
            let text = mutated(WHOLE, seed);
            match compile(Sources::of_text("t.yaml", &text), &environment, options, ingredients) {
                Ok(_) => {}
                Err(rejection) => {
                    rejected += 1;
                    assert!(!rejection.problems.is_empty() && !rejection.rendered.is_empty());
                    live.reject(rejection, at(seed));
                }
            }
            assert_eq!(live.current().snapshot.revision, first);
            assert_eq!(live.current().number, 1);
        }
        assert!(rejected > 50, "{rejected}");
        assert!(live.status().starts_with("revision 1 active, "), "{}", live.status());
    });
}

#[test]
fn status_says_what_is_active_and_why_the_next_was_refused() {
    with(|options, ingredients| {
        let environment = machine();
        let made = |text: &str| compile(Sources::of_text("t.yaml", text), &environment, options, ingredients);
        let live = Live::new(made("version: 1\n").unwrap().snapshot, at(0));
        assert_eq!(live.status(), "revision 1 active");
        let bad = "version: 1\nmodels: { chat: antropic/x, other: nothing }\n";
        assert_eq!(live.reject(made(bad).unwrap_err(), at(1)), 2);
        assert_eq!(live.reject(made(bad).unwrap_err(), at(2)), 2);
        assert_eq!(
            live.status(),
            "revision 1 active, 2 rejected: error[TG0217] t.yaml:2:17 models.chat: provider `antropic` is not defined (and 1 more)"
        );
        assert_eq!(live.last_rejected().unwrap().at, at(1));
        assert_eq!(live.activate(made("version: 1\nteams: { a: {} }\n").unwrap().snapshot, at(3)), 3);
        assert_eq!(live.status(), "revision 3 active");
        // The same content is the same revision.
        assert_eq!(live.activate(made("teams: { a: {} }\nversion: 1\n").unwrap().snapshot, at(4)), 3);
        assert_eq!(live.current().at, at(3));
    });
}

#[test]
fn a_call_in_flight_keeps_its_revision() {
    with(|options, ingredients| {
        let environment = machine();
        let made = |text: &str| compile(Sources::of_text("t.yaml", text), &environment, options, ingredients).unwrap();
        let live = Live::new(made("version: 1\n").snapshot, at(0));
        let held = live.current();
        live.activate(made("version: 1\nteams: { a: {} }\n").snapshot, at(1));
        assert_ne!(held.snapshot.revision, live.current().snapshot.revision);
        assert!(held.snapshot.document.teams.is_empty());
    });
}

#[test]
fn files_are_loaded_and_what_they_refer_to_is_watched() {
    with(|options, ingredients| {
        let environment = machine().file("tidegate.yaml", WHOLE);
        let candidate = load(&[PathBuf::from("tidegate.yaml")], &environment, options, ingredients).unwrap();
        assert_eq!(candidate.watched, [PathBuf::from("policies"), PathBuf::from("tidegate.yaml")]);
        // What a refused one refers to is watched too: the file that it lacks may come.
        let lacking = "version: 1\npolicies: more.cedar\n";
        let error =
            compile(Sources::of_text("tidegate.yaml", lacking), &environment, options, ingredients).unwrap_err();
        assert_eq!(error.watched, [PathBuf::from("more.cedar")]);
        let error = load(&[PathBuf::from("none.yaml")], &environment, options, ingredients).unwrap_err();
        assert_eq!(error.problems[0].code, crate::codes::UNREADABLE);
    });
}
