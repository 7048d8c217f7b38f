//! What a pattern reads, and what may stand around it.

use super::*;

fn read(pattern: &str, separators: &str, text: &str) -> Option<String> {
    let shape = Shape::new(pattern, separators);
    let reading = shape.read(&Input::new(text, 0, true), 0).unwrap();
    reading.map(|reading| String::from_utf8(reading.symbols.to_vec()).unwrap())
}

#[test]
fn separators_of_one_number_are_the_same() {
    assert_eq!(read("NXX_XX", "- ", "234-56").as_deref(), Some("23456"));
    assert_eq!(read("NXX_XX_X", "- ", "234-56 7"), None);
    assert_eq!(read("A~XX~Y", "- ", "B 12").as_deref(), Some("B12"));
    assert_eq!(read("[13]X", "", "2X"), None);
}

#[test]
fn what_may_go_on_is_undecided() {
    let shape = Shape::new("XXY", "");
    assert_eq!(shape.read(&Input::new("12", 0, false), 0), Err(()));
    assert!(apart_after(&Input::new("12.", 0, false), 2, None).is_err());
}

#[test]
fn a_number_stands_apart() {
    let around = |text: &str, start, end, separator| {
        let input = Input::new(text, 0, true);
        apart_before(&input, start, separator) && apart_after(&input, end, separator) == Ok(true)
    };
    assert!(around("(12).", 1, 3, None));
    assert!(around("a: 12, 13", 3, 5, Some(b'-')));
    assert!(!around("1 12", 2, 4, Some(b' ')));
    assert!(!around("12 1", 0, 2, Some(b' ')));
    assert!(!around("12-a", 0, 2, None));
    assert!(!around("v12", 1, 3, None));
    assert!(!around("12.5", 0, 2, None));
    assert!(!around("/a/12", 3, 5, None) || !around("a/12", 2, 4, None));
}
