//! The schema says everything, and what it says is what is read.

use std::path::PathBuf;

use super::*;

fn each_property(value: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "properties" {
                    for (field, schema) in member.as_object().unwrap() {
                        visit(&format!("{path}/{field}"), schema);
                    }
                }
                if name != "examples" {
                    each_property(member, &format!("{path}/{name}"), visit);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_property(item, path, visit)),
        _ => {}
    }
}

#[test]
fn every_field_has_a_description_and_an_example() {
    let schema = value();
    let mut count = 0;
    let mut lacking = Vec::new();
    each_property(&schema, "", &mut |path, field| {
        count += 1;
        let described = field.get("description").and_then(Value::as_str).is_some_and(|text| text.len() > 4);
        let example = field.get("examples").and_then(Value::as_array).is_some_and(|examples| !examples.is_empty());
        if !described || !example {
            lacking.push(path.to_owned());
        }
    });
    assert!(count > 50, "{count}");
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated/tidegate.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, json_schema()).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == json_schema(), "the types have changed: run with UPDATE_GOLDEN=1 and look at the difference");
}

/// The examples of the schema's root are configuration: each must be read without a problem.
#[test]
fn examples_are_read_as_they_stand() {
    let schema = value();
    for (field, property) in schema["properties"].as_object().unwrap() {
        for example in property["examples"].as_array().unwrap() {
            let text = if field == "version" {
                "{\"version\": 1}".to_owned()
            } else {
                format!("{{\"version\": 1, \"{field}\": {example}}}")
            };
            let written = Document::parse(crate::source::Sources::of_text("example.json", &text));
            assert!(written.problems.is_empty(), "{field}: {:?}", written.problems);
        }
    }
}

#[test]
fn a_path_is_explained_with_example_and_fields() {
    let text = explain("providers.openai.key").unwrap();
    assert!(text.contains("reference") && text.contains("example: \"env:OPENAI_API_KEY\""), "{text}");
    let text = explain("models.chat.route.fallback[1]").unwrap();
    assert!(text.contains("The first that works"), "{text}");
    let text = explain("keys.team-a").unwrap();
    assert!(text.contains("budget: "), "{text}");
    let text = explain("guardrails.pii.action").unwrap();
    assert!(text.contains("one of `block`, `tokenize`, `redact` or `label`"), "{text}");
    assert!(explain("").unwrap().contains("providers: "));
}

#[test]
fn a_path_that_is_not_there_names_the_nearest() {
    assert!(explain("provders").unwrap_err().contains("did you mean `providers`?"));
    assert!(explain("keys.a.buget").unwrap_err().contains("did you mean `budget`?"));
    assert!(explain("providers.openai.key.deeper").is_err());
}
