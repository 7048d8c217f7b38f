//! Places of values and names.

use crate::{document::Document, source::Sources};

#[test]
fn a_path_that_is_not_there_stands_where_the_nearest_thing_around_it_does() {
    let written = Document::parse(Sources::of_text("t", "version: 1\nlimits: { body: 1MiB }\n"));
    let places = &written.places;
    assert_eq!(places.value("limits.body"), places.value("limits.body.deeper[3].still"));
    assert_eq!(places.value("hosts"), places.value(""));
    assert!(places.has("limits.body") && !places.has("hosts"));
}

#[test]
fn fields_that_are_keywords_lose_their_mark() {
    assert_eq!(super::plain("r#type"), "type");
    assert_eq!(super::plain("rate"), "rate");
}
