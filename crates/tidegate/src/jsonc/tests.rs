//! What stays, and what is put where.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn comments_and_form_stay_as_they_are() {
    let text = "// mine\n{\n\t\"a\": 1, // one\n\t/* two */ \"b\": { \"x\": [1, 2,], },\n\t\"c\": \"//no comment\" // last\n}\n";
    let changed = set(text, &["d", "e"], &json!({"f": true})).unwrap();
    let wanted = text.replace(
        "\"//no comment\" // last\n}",
        "\"//no comment\", // last\n\t\"d\": {\n\t\t\"e\": {\n\t\t\t\"f\": true\n\t\t}\n\t}\n}",
    );
    assert_eq!(changed, wanted);
    assert_eq!(remove(&changed, &["d"]).unwrap(), text);
    assert_eq!(set(text, &["b", "x"], &json!(7)).unwrap(), text.replace("[1, 2,]", "7"));
    assert_eq!(set(text, &["b", "y"], &json!(7)).unwrap(), text.replace("[1, 2,], }", "[1, 2,], \"y\": 7 }"));
    assert_eq!(append(text, &["b", "x"], &json!(3)).unwrap(), text.replace("[1, 2,]", "[1, 2, 3]"));
}

#[test]
fn every_form_of_a_container_takes_another_part() {
    for (text, wanted) in [
        ("", "{\n  \"k\": {\n    \"v\": 1\n  }\n}\n"),
        ("{}", "{\n  \"k\": {\n    \"v\": 1\n  }\n}"),
        ("{ \"a\": 1 }", "{ \"a\": 1, \"k\": {\"v\":1} }"),
        ("{\r\n    \"a\": 1,\r\n}\r\n", "{\r\n    \"a\": 1,\r\n    \"k\": {\r\n        \"v\": 1\r\n    },\r\n}\r\n"),
        ("{\n  // nothing yet\n}\n", "{\n  // nothing yet\n  \"k\": {\n    \"v\": 1\n  }\n}\n"),
        ("\u{feff}{\n  \"k\": {}\n}", "\u{feff}{\n  \"k\": {\n    \"v\": 1\n  }\n}"),
    ] {
        let changed = set(text, &["k", "v"], &json!(1)).unwrap();
        assert_eq!(changed, wanted);
        assert_eq!(get(&changed, &["k", "v"]).unwrap(), Some(json!(1)));
    }
    assert_eq!(append("", &["list"], &json!(1)).unwrap(), "{\n  \"list\": [\n    1\n  ]\n}\n");
    assert_eq!(append("[]\n", &[], &json!({"a": 1})).unwrap(), "[\n  {\n    \"a\": 1\n  }\n]\n");
    assert_eq!(append("", &[], &json!(1)).unwrap(), "[\n  1\n]\n");
}

#[test]
fn what_is_no_json_or_of_another_kind_is_refused_with_its_line() {
    for (text, line) in
        [("{\n\"a\" 1}", 2), ("{", 1), ("{}\n}", 2), ("{\"a\": tru}", 1), ("/* x", 1), ("[1 2]", 1), ("{,}", 1)]
    {
        let error = set(text, &["k"], &json!(1)).unwrap_err();
        assert!(matches!(error, JsoncError::Malformed { line: at, .. } if at == line), "{text}: {error}");
    }
    assert!(set("{\"a\": 1}", &["a", "b"], &json!(1)).is_err());
    assert!(append("{\"a\": 1}", &["a"], &json!(1)).is_err());
    assert!(set(&"[".repeat(100_000), &["a"], &json!(1)).is_err());
}

#[test]
fn items_are_found_by_what_they_are() {
    let text = "{\n  \"inputs\": [\n    {\"id\": \"a\"}, // first\n    {\"id\": \"b\"}\n  ]\n}\n";
    let changed = append(text, &["inputs"], &json!({"id": "c"})).unwrap();
    assert_eq!(remove_item(&changed, &["inputs"], &json!({"id": "c"})).unwrap(), text);
    assert_eq!(remove_item(text, &["inputs"], &json!({"id": "x"})).unwrap(), text);
    assert_eq!(remove(text, &["none", "such"]).unwrap(), text);
    for (text, wanted) in [
        ("{\n  \"k\": 1, // ours\n  // theirs\n  \"n\": 2\n}", "{\n   // ours\n  // theirs\n  \"n\": 2\n}"),
        ("{\"n\": 2, // c\n \"k\": 1 }", "{\"n\": 2 // c\n }"),
        ("{\n  \"n\": 2,\n  \"k\": 1,\n}", "{\n  \"n\": 2,\n}"),
        ("{\n  \"k\": 1\n}", "{\n}"),
        ("{\"k\": 1, \"n\": 2}", "{ \"n\": 2}"),
    ] {
        assert_eq!(remove(text, &["k"]).unwrap(), wanted);
        assert_eq!(get(wanted, &["k"]).unwrap(), None);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_change_means_what_it_says_and_nothing_else(root in prop::collection::btree_map("[a-d]", value(), 0..5), new in value(), compact: bool) {
        let root = Value::Object(root.into_iter().collect());
        let text = if compact { root.to_string() } else { serde_json::to_string_pretty(&root).unwrap() };
        let changed = set(&text, &["a"], &new).unwrap();
        let mut wanted = root.clone();
        wanted["a"] = new.clone();
        prop_assert_eq!(plain(&changed).unwrap(), wanted.clone());
        let removed = remove(&changed, &["a"]).unwrap();
        wanted.as_object_mut().unwrap().remove("a");
        prop_assert_eq!(plain(&removed).unwrap(), wanted.clone());
        let listed = append(&removed, &["z"], &new).unwrap();
        let listed = append(&listed, &["z"], &json!("more")).unwrap();
        wanted["z"] = json!([new, "more"]);
        prop_assert_eq!(plain(&listed).unwrap(), wanted);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}", more in "[{}\\[\\],:\"/* a1\n]{0,40}") {
        let _ = set(&text, &["a"], &json!(1));
        let _ = set(&more, &["a"], &json!(1));
        let _ = append(&more, &["a"], &json!(1));
        let _ = remove(&more, &["a"]);
    }
}
