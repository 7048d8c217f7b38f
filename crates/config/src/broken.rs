//! Broken configurations, and what is said to each: `broken/NAME.yaml` and `broken/NAME.txt`. One whose name begins with
//! `public-` is for a listener that others reach.
//!
//! Every text was read as its operator would. After a change of words, `TIDEGATE_UPDATE=1 cargo test -p
//! tidegate-config broken` writes them anew: read the difference before it is committed.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_ledger::Catalog;

use crate::{
    check::{Mode, Options},
    codes,
    environment::{Environment, Machine},
    live,
    snapshot::Ingredients,
    vendor::Vendors,
};

/// Files of the folder, and a few variables.
struct Bench(PathBuf);

impl Environment for Bench {
    fn variable(&self, name: &str) -> Option<String> {
        let known = [
            ("OPENAI_API_KEY", "sk-canary"),
            ("ANTHROPIC_API_KEY", "sk-canary"),
            ("EMPTY", ""),
            ("WEAK", "12345"),
            ("GOOD_KEY", "canary-of-a-key-that-is-long-enough"),
            ("DAMAGED_KEY", "tg_abcdefgh_0123456789"),
            ("SHORT_KEY", "short"),
            ("ODD_VALUE", "canary/of a value"),
        ];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn read(&self, path: &Path, most: usize) -> io::Result<String> {
        Machine.read(&self.0.join(path), most)
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        Machine.list(&self.0.join(path))
    }
}

fn said(folder: &Path, name: &str) -> String {
    let vendors = Vendors::builtin().unwrap();
    let public_listener = name.starts_with("public-");
    let options = Options { mode: Mode::Serve, secrets: true, public_listener, vendors: &vendors };
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let ingredients = Ingredients { vendors: &vendors, catalog, stored: Vec::new(), pins: Vec::new() };
    let path = PathBuf::from(format!("{name}.yaml"));
    match live::load(&[path], &Bench(folder.to_owned()), &options, &ingredients) {
        Ok(_) => format!("{name} is taken as sound\n"),
        Err(rejection) => {
            for problem in &rejection.problems {
                assert!(problem.hint.is_some() && !problem.code.explanation().is_empty(), "{name}: {problem}");
            }
            format!("{}\n", rejection.rendered.trim_end())
        }
    }
}

#[test]
fn every_broken_configuration_is_named_at_its_line_with_the_fix() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broken");
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = said(&folder, &name);
            texts.insert(name, text);
        }
    }
    assert!(texts.len() >= 200, "{} configurations", texts.len());
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        let expected = folder.join(format!("{name}.txt"));
        if std::env::var_os("TIDEGATE_UPDATE").is_some() {
            std::fs::write(&expected, text).unwrap();
        }
        let first = text.lines().next().unwrap_or_default();
        // `error[TG0217] name.yaml:7:27 path: what is wrong`, and what to do about it.
        let is_place = |word: &str| {
            let parts: Vec<&str> = word.split(':').collect();
            let numbers = parts.iter().skip(1).take(2).filter(|part| part.parse::<usize>().is_ok()).count();
            let file = parts.first().is_some_and(|file| file.ends_with(".yaml") || file.ends_with(".cedar"));
            file && numbers == 2
        };
        let placed = first.split_whitespace().any(is_place) || name == "cedar-folder-missing";
        if !(first.starts_with("error[TG") && placed && text.contains("hint: ")) {
            wrong.push(format!("{name} has no code, place or hint:\n{text}"));
        }
        if text.contains("canary")
            || text.contains("hunter2")
            || text.contains("4fGh7JkL9")
            || text.contains("a1B2c3D4")
        {
            wrong.push(format!("{name} shows a secret:\n{text}"));
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != *text {
            wrong.push(format!("{name} says something else than its text:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), texts.len(), wrong.join("\n"));
}

#[test]
fn every_code_that_checking_gives_is_tried_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broken");
    let mut said = String::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            said.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    // Codes with a test of their own in another file, and those that only another part can cause.
    let elsewhere = ["TG0101", "TG0102", "TG0110", "TG0112", "TG0228", "TG0233", "TG0235", "TG0901"];
    let missing: Vec<String> = codes::all()
        .map(|code| code.to_string())
        .filter(|code| !said.contains(&format!("error[{code}]")) && !elsewhere.contains(&code.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
