//! Canonical form and merging.

use super::*;
use crate::source::Source;

fn read(text: &str) -> Written {
    Document::parse(Sources::of_text("t.yaml", text))
}

#[test]
fn the_canonical_form_is_read_back_as_the_same_document() {
    let text = include_str!("../check/tests/whole.yaml");
    let written = read(text);
    assert!(written.problems.is_empty(), "{:?}", written.problems);
    let canonical = written.document.canonical().unwrap();
    let again = read(&canonical);
    assert!(again.problems.is_empty(), "{:?}", again.problems);
    assert_eq!(again.document, written.document);
    assert_eq!(again.document.canonical().unwrap(), canonical);
}

#[test]
fn short_and_long_forms_mean_the_same() {
    let short =
        read("version: 1\nmodels:\n  a: { fallback: [x/y, x/z] }\n  b: x/y\n  c: { weighted: { x/y: 1, x/z: 2 } }\n");
    let long = read(
        "version: 1\nmodels:\n  a: { route: { fallback: [x/y, x/z] } }\n  b: { route: x/y }\n  c: { route: { weighted: [{ use: x/y }, { use: x/z, weight: 2 }] } }\n",
    );
    assert!(short.problems.is_empty() && long.problems.is_empty());
    assert_eq!(short.document, long.document);
}

#[test]
fn each_file_of_a_folder_may_say_its_version_and_settings_of_the_whole_stand_once() {
    let file = |name: &str, text: &str| Source { name: name.into(), text: text.into(), folder: "".into() };
    let written = Document::parse(Sources::of(vec![
        file("a.yaml", "version: 1\nhosts: [a.example]\n"),
        file("b.yaml", "version: 1\nhosts: [b.example]\nteams: { x: {} }\n"),
        file("c.yaml", "teams: { x: {}, y: {} }\nmodels: []\n"),
        file("d.yaml", "models: { a: x/y }\n"),
    ]));
    let found: Vec<(String, u32)> =
        written.problems.iter().map(|problem| (problem.path.clone(), problem.span.unwrap().file)).collect();
    assert_eq!(
        found,
        [("hosts".to_owned(), 1), ("teams.x".to_owned(), 2), ("models".to_owned(), 2), ("models".to_owned(), 3)]
    );
}

#[test]
fn a_document_that_could_not_be_read_permits_nothing() {
    let written = read("version: [");
    assert_eq!(written.document, Document::empty());
    assert_eq!(written.problems.len(), 1);
}
