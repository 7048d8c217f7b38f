//! Configurations as they are really written, imported: `tests/NAME.yaml` or `.json`, and what comes of each in
//! `tests/NAME.txt`. After a change, `TIDEGATE_UPDATE=1 cargo test -p tidegate-config import` writes those anew: read the
//! difference before it is committed.

use std::path::{Path, PathBuf};

use super::*;
use crate::{
    check::{Mode, Options, check},
    document::Document,
    environment::Fixed,
    render,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/tests")
}

fn gateway(name: &str) -> Gateway {
    [Gateway::LiteLlm, Gateway::Portkey, Gateway::Bifrost, Gateway::Agentgateway]
        .into_iter()
        .find(|gateway| name.starts_with(gateway.as_str()))
        .unwrap()
}

/// Whether `check` takes a configuration, and what it says where it does not.
fn sound(config: &str, vendors: &Vendors) -> Result<(), String> {
    let options = Options { mode: Mode::Serve, secrets: false, public_listener: false, vendors };
    let written = Document::parse(Sources::of_text("tidegate.yaml", config));
    check(&written, &Fixed::default(), &options)
        .map(|_| ())
        .map_err(|problems| render::render_all(&problems, &written.sources))
}

/// Every place of a source that holds something.
fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, value)| leaves(value, &node::join(path, name), out));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(at, value)| leaves(value, &format!("{path}[{at}]"), out));
        }
        _ => out.push(path.to_owned()),
    }
}

#[test]
fn every_sample_is_imported_as_it_was_and_is_sound() {
    let vendors = Vendors::builtin().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            continue;
        }
        seen += 1;
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = std::fs::read_to_string(&path).unwrap();
        let imported =
            import(&source, gateway(&name), &vendors).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        sound(&imported.config, &vendors).unwrap_or_else(|said| panic!("{name}: {said}\n{}", imported.config));
        let mut text = format!("{}\n", imported.config);
        for entry in &imported.report {
            let to = if entry.to.is_empty() { "-" } else { &entry.to };
            text.push_str(&format!(
                "{:<12} {} -> {to}{}\n",
                entry.outcome.as_str(),
                entry.path,
                if entry.why.is_empty() { String::new() } else { format!(": {}", entry.why) }
            ));
        }
        assert!(!text.contains("canary"), "{name} shows a secret:\n{text}");
        every_place_is_told(&name, &source, &imported.report);
        let expected = path.with_extension("txt");
        if std::env::var_os("TIDEGATE_UPDATE").is_some() {
            std::fs::write(&expected, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&expected).unwrap_or_default(), "{name}");
    }
    assert!(seen >= 8, "{seen} samples");
}

/// Each place of a source is in the report, itself or with what it stands in.
fn every_place_is_told(name: &str, source: &str, report: &[Entry]) {
    let sources = Sources::of_text("source", source);
    let (node, _) = node::parse(0, &sources.files()[0]);
    let mut all = Vec::new();
    leaves(&plain(&node.unwrap()), "", &mut all);
    for leaf in all {
        let told = report.iter().any(|entry| {
            leaf.strip_prefix(entry.path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
        });
        assert!(told, "{name}: nothing is said of `{leaf}`");
    }
}

#[test]
fn what_is_not_known_is_told_as_dropped() {
    let vendors = Vendors::builtin().unwrap();
    for gateway in [Gateway::LiteLlm, Gateway::Portkey, Gateway::Bifrost, Gateway::Agentgateway] {
        let imported = import("made_up: { deep: [1, { x: y }] }\nother: true\n", gateway, &vendors).unwrap();
        let told: Vec<(&str, Outcome)> =
            imported.report.iter().map(|entry| (entry.path.as_str(), entry.outcome)).collect();
        assert_eq!(told, [("made_up", Outcome::Dropped), ("other", Outcome::Dropped)], "{gateway:?}");
        sound(&imported.config, &vendors).unwrap();
    }
}

#[test]
fn what_is_no_mapping_is_survived_and_what_is_no_yaml_refused() {
    let vendors = Vendors::builtin().unwrap();
    for text in [
        "[]",
        "[1, 2]",
        "text",
        "3",
        "model_list: 3",
        "model_list: [1, [], {}]",
        "providers: []",
        "binds: {}",
        "targets: [[]]",
    ] {
        for gateway in [Gateway::LiteLlm, Gateway::Portkey, Gateway::Bifrost, Gateway::Agentgateway] {
            let imported = import(text, gateway, &vendors).unwrap();
            sound(&imported.config, &vendors).unwrap_or_else(|said| panic!("{text}: {said}"));
        }
    }
    for text in ["{", "a: [", "a: 1\na: 2\n", "%"] {
        assert!(!import(text, Gateway::LiteLlm, &vendors).unwrap_err().is_empty(), "{text}");
    }
}
