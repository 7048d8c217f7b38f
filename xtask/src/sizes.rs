//! Files and functions keep their size: what is larger usually holds two ideas.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::say;

/// Lines that a source file may have; tests may have twice as many.
const FILE: usize = 600;

/// Lines that the pipeline's one function may have.
const PIPELINE: usize = 120;

/// Lines that any other function may have (clippy counts those of code; this counts all).
const FUNCTION: usize = 140;

pub(crate) fn check(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    let mut files = Vec::new();
    for folder in ["crates", "testkit", "xtask", "tests", "fuzz", "bench"] {
        collect(&root.join(folder), &mut files)?;
    }
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let lines = text.lines().count();
        let is_test = shown.contains("tests") || shown.starts_with("testkit");
        let most = if is_test { 2 * FILE } else { FILE };
        if lines > most {
            wrong.push(format!("{shown} has {lines} lines, at most {most}"));
        }
        if !text.starts_with("//!") && !is_test && !shown.contains("/examples/") {
            wrong.push(format!("{shown} does not say at its top what it owns (`//!`)"));
        }
        let most = if shown.ends_with("proxy/src/pipeline.rs") { PIPELINE } else { FUNCTION };
        if !is_test {
            wrong.extend(
                functions(&text)
                    .filter(|(_, length)| *length > most)
                    .map(|(name, length)| format!("{shown}: fn {name} has {length} lines, at most {most}")),
            );
        }
    }
    if !wrong.is_empty() {
        bail!("sizes:\n  {}", wrong.join("\n  "));
    }
    say(&format!("sizes: {} files keep theirs\n", files.len()));
    Ok(())
}

/// Every Rust file below a folder.
pub(crate) fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Names and lengths of functions, by their indentation: a function ends at the first closing brace that stands as far
/// in as its `fn` line. The formatter keeps that true.
fn functions(text: &str) -> impl Iterator<Item = (String, usize)> + '_ {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len().saturating_sub(trimmed.len());
        let Some(name) = function_name(trimmed) else { continue };
        let closing = format!("{}}}", " ".repeat(indent));
        let body = lines.iter().skip(start).position(|line| *line == closing);
        // What a trait only names has no body: the next brace is that of another function.
        let length = if line.ends_with(';') { 1 } else { body.map_or(1, |end| end.saturating_add(1)) };
        found.push((name, length));
    }
    found.into_iter()
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    Some(name.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect())
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn a_function_is_as_long_as_its_lines() {
        let text = "impl X {\n    pub fn a() {\n        1;\n    }\n}\nfn b() {}\n";
        assert_eq!(functions(text).collect::<Vec<_>>(), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
        let text = "trait X {\n    fn a();\n}\nimpl X for Y {\n    fn b() {\n        1;\n    }\n}\n";
        assert_eq!(functions(text).collect::<Vec<_>>(), [("a".to_owned(), 1), ("b".to_owned(), 3)]);
    }
}
