//! How commands speak: data on stdout, talk on stderr; tables for people, JSON for scripts.

pub(crate) mod progress;
mod yaml;

use std::{
    borrow::Cow,
    fmt,
    io::{IsTerminal as _, Write as _},
};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

pub(crate) use self::yaml::yaml;

/// The form of a command's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table that fits the terminal.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// One JSON value a line.
    Jsonl,
}

/// An error with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

/// An error that ends with `code`.
pub(crate) fn exit(code: u8, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Exit { code, message: message.into() })
}

/// A line of data.
pub(crate) fn line(text: &str) {
    let mut out = anstream::stdout().lock();
    // A closed pipe is the reader's way to say that it has enough.
    let _ = writeln!(out, "{text}");
}

/// Text of data as it is.
pub(crate) fn raw(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A line of talk.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// The next useful command. Nothing where nobody reads it.
pub(crate) fn next(command: &str) {
    if std::io::stderr().is_terminal() || std::env::var_os("TIDEGATE_HINTS").is_some_and(|wanted| wanted == "always") {
        talk(&format!("next: {command}"));
    }
}

/// The name that was meant by `wrong`, as a hint; `None` where none is near.
pub(crate) fn meant(wrong: &str, names: &[&str]) -> Option<String> {
    let near = tidegate_config::problem::nearest(wrong, names.iter().copied());
    near.map(|name| format!("did you mean `{}`?", printable(name)))
}

/// Asks for a line.
pub(crate) fn prompt(text: &str) {
    let mut err = anstream::stderr().lock();
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}

/// Ends a line of live text.
pub(crate) fn end_line(live: bool) {
    if live {
        raw("\n");
    }
}

/// Foreign text as a terminal may have it: without control characters, which could move its cursor or speak in its
/// user's name.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let foul = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if text.chars().any(foul) {
        Cow::Owned(text.chars().map(|letter| if foul(letter) { '·' } else { letter }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// What went wrong.
pub(crate) fn problem(text: &str) {
    if text.starts_with("error[") || text.starts_with("error:") {
        talk(text);
    } else {
        talk(&format!("error: {text}"));
    }
}

/// Rows of a list: in a table the named columns, as JSON whole.
pub(crate) fn rows(format: Format, rows: &[Value], columns: &[(&str, &str)]) -> Result<()> {
    match format {
        Format::Json => line(&serde_json::to_string_pretty(rows)?),
        Format::Jsonl => {
            for row in rows {
                line(&serde_json::to_string(row)?);
            }
        }
        Format::Yaml => raw(&yaml(&Value::from(rows.to_vec()))),
        Format::Table if rows.is_empty() => talk("nothing to show"),
        Format::Table => line(&table(rows, columns)),
    }
    Ok(())
}

/// Rows as a table of the named columns.
pub(crate) fn table(rows: &[Value], columns: &[(&str, &str)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for row in rows {
        table.add_row(columns.iter().map(|(_, pointer)| cell(row.pointer(pointer))));
    }
    table.to_string()
}

/// One object: in a table a row a member, as JSON whole.
pub(crate) fn object(format: Format, value: &Value) -> Result<()> {
    match format {
        Format::Json => line(&serde_json::to_string_pretty(value)?),
        Format::Jsonl => line(&serde_json::to_string(value)?),
        Format::Yaml => raw(&yaml(value)),
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
            for (name, value) in value.as_object().into_iter().flatten() {
                table.add_row([name.clone(), cell(Some(value))]);
            }
            line(&table.to_string());
        }
    }
    Ok(())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}
