//! `catalog`: price lists that others keep, looked at and imported. Reads files and stdin, writes one price file; what a
//! list means, and whether it is plausible, is the ledger's.

mod price;

use std::{
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use jiff::civil::Date;
use serde_json::{Value, json};
use tidegate_config::source::MAX_FILE_BYTES;
use tidegate_core::clock;
use tidegate_ledger::{
    Catalog as Prices,
    import::{
        self, Foreign, MOST_BYTES, Reading,
        accept::Accepted,
        diff::{self, Change, Difference},
        write,
    },
    period,
};

use crate::{
    cli::catalog::{Catalog, From, List},
    exit,
    output::{self, Format, exit, progress},
};

/// The most findings that are told; `-o json` has all of them.
const MOST_TOLD: usize = 30;

/// A list that was read, and what it would change.
struct Looked {
    foreign: Foreign,
    on: Date,
    reading: Reading,
    changes: Vec<Difference>,
}

/// Runs one of the commands.
pub(crate) fn run(command: Catalog) -> Result<()> {
    match command {
        Catalog::Diff { list } => {
            let looked = progress::during("diff", list.output, || look(&list))?;
            print(&list, &looked, &Accepted::default())?;
            if looked.changes.is_empty() {
                return Ok(());
            }
            Err(exit(exit::PENDING, format!("{} models would change: nothing was done", looked.changes.len())))
        }
        Catalog::Price { lines, file } => price::run(&lines, &file),
        Catalog::Import { list, accept, source, dry_run } => {
            let accepted = Accepted::read(&accept).map_err(|error| exit(exit::USAGE, format!("--accept: {error}")))?;
            bring_in(&list, &accepted, source, dry_run)
        }
    }
}

fn bring_in(list: &List, accepted: &Accepted, source: Option<String>, dry_run: bool) -> Result<()> {
    let looked = progress::during("import", list.output, || look(list))?;
    print(list, &looked, accepted)?;
    let refused = accepted.refused(&looked.reading);
    let unseen = looked.reading.more_findings;
    if !refused.is_empty() || unseen > 0 {
        let count = u64::try_from(refused.len()).unwrap_or(u64::MAX).saturating_add(unseen);
        let kinds: std::collections::BTreeSet<&str> = refused.iter().map(|finding| finding.kind.as_str()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let hint = if unseen > 0 {
            "so many at once are no price list: look where it comes from".to_owned()
        } else {
            format!("look at each, then --accept KIND or --accept KIND=MODEL: {}", kinds.join(", "))
        };
        return Err(exit(exit::ERROR, format!("{count} findings are not accepted: nothing was written\nhint: {hint}")));
    }
    if looked.reading.models.is_empty() {
        return Err(exit(exit::ERROR, "the list has no model that the gateway can price: nothing was written"));
    }
    if dry_run {
        if looked.changes.is_empty() {
            return Ok(());
        }
        return Err(exit(exit::PENDING, format!("{} models would change: nothing was done", looked.changes.len())));
    }
    let source = source.map_or_else(|| looked.foreign.source(), Ok)?;
    let text = write::file(&looked.reading.models, &source, looked.on);
    // What is written is what a start will read, or it is not written.
    Prices::from_json(&[("what would be written", &text)])?;
    if text.len() > MAX_FILE_BYTES {
        return Err(exit(exit::ERROR, "the file would be larger than a price file may be: narrow it with --provider"));
    }
    put(&list.file, &text).with_context(|| format!("cannot write `{}`", list.file.display()))?;
    let (file, count) = (list.file.display(), looked.reading.models.len());
    output::talk(&format!("{count} prices are in {file}; `prices: {file}` in tidegate.yaml makes them count"));
    output::next("tidegate check tidegate.yaml");
    Ok(())
}

/// Reads a list and holds it against the present prices.
fn look(list: &List) -> Result<Looked> {
    let text = read(&list.list)?;
    let name = list.list.display();
    let foreign = match list.from {
        Some(From::Litellm) => Foreign::LiteLlm,
        Some(From::GenaiPrices) => Foreign::GenaiPrices,
        None => Foreign::of(&text).ok_or_else(|| {
            exit(exit::ERROR, format!("{name} is no price list: it begins with neither an object nor a list of JSON"))
        })?,
    };
    let on = day(list.date.as_deref())?;
    let mut reading = import::read(&text, foreign, on, &list.provider)
        .map_err(|error| exit(exit::ERROR, format!("{name} as {}: {error}", foreign.as_str())))?;
    let shipped = Prices::builtin().context("a built-in price file is wrong")?;
    let replaced = replaced(&list.file)?;
    let present = replaced.as_ref().map_or_else(|| shipped.clone(), |replaced| shipped.with(replaced));
    import::compare(&mut reading, &present, replaced.as_ref());
    let next = match reading.models.is_empty() {
        true => shipped,
        false => {
            let text = write::file(&reading.models, foreign.as_str(), on);
            shipped.with(&Prices::from_json(&[("what would be written", &text)])?)
        }
    };
    Ok(Looked { foreign, on, changes: diff::diff(&present, &next), reading })
}

/// The text of a list, from a file or stdin, never more than a list can have.
fn read(path: &Path) -> Result<String> {
    let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let name = path.display();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read the list `{name}`"))?;
    if bytes.len() > MOST_BYTES {
        return Err(exit(exit::ERROR, format!("{name} is larger than {} MiB: no price list is", MOST_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        exit(exit::ERROR, format!("{name} is no UTF-8 text: byte {at} is wrong"))
    })
}

/// The file that an import would replace; `None` where there is none.
fn replaced(path: &Path) -> Result<Option<Prices>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read the price file `{}`", path.display())),
    };
    let prices = Prices::from_json(&[(&path.display().to_string(), &text)])
        .map_err(|error| exit(exit::ERROR, format!("{error}\nhint: move it away, or name another with --file")))?;
    Ok(Some(prices))
}

fn day(given: Option<&str>) -> Result<Date> {
    let today = period::rfc3339(clock::wall());
    let text = given.unwrap_or_else(|| today.get(..10).unwrap_or_default());
    text.parse().map_err(|_| exit(exit::USAGE, format!("--date {text}: write a day as 2026-03-21")))
}

/// Writes the file whole or not at all: a gateway may be reading it.
fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let aside = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    std::fs::write(&aside, text)?;
    std::fs::rename(&aside, path)
}

fn print(list: &List, looked: &Looked, accepted: &Accepted) -> Result<()> {
    if list.output != Format::Table {
        return output::object(list.output, &document(list, looked, accepted));
    }
    let rows: Vec<Value> = looked.changes.iter().map(row).collect();
    if rows.is_empty() {
        output::talk("nothing would change");
    } else {
        let columns = [("model", "/model"), ("change", "/change"), ("dollars for a million tokens", "/what")];
        output::rows(Format::Table, &rows, &columns)?;
    }
    let findings = &looked.reading.findings;
    for finding in findings.iter().take(MOST_TOLD) {
        let line = if finding.line > 0 { format!("line {}: ", finding.line) } else { String::new() };
        let model = if finding.model.is_empty() { String::new() } else { format!("{}: ", finding.model) };
        let said = if accepted.covers(finding) { "accepted" } else { "finding" };
        output::talk(&output::printable(&format!("{said}[{}] {line}{model}{}", finding.kind, finding.message)));
    }
    if findings.len() > MOST_TOLD {
        output::talk(&format!("and {} more: -o json has all of them", findings.len().saturating_sub(MOST_TOLD)));
    }
    let left_out = &looked.reading.left_out;
    output::talk(&format!(
        "{} models of {}; left out: {} of providers that the gateway has no type for, {} not paid by tokens of text, {} \
         without a price",
        looked.reading.models.len(),
        looked.foreign.as_str(),
        left_out.of_other_providers(),
        left_out.kinds,
        left_out.unpriced
    ));
    Ok(())
}

/// What differs of a model, in one line.
fn row(difference: &Difference) -> Value {
    let told = |(name, sides): (&String, &diff::Sides)| match (&sides.before, &sides.after) {
        (Some(before), Some(after)) => format!("{name} {before} → {after}"),
        (None, Some(after)) if difference.change == Change::Added => format!("{name} {after}"),
        (None, Some(after)) => format!("{name} – → {after}"),
        (Some(before), None) if difference.change == Change::Removed => format!("{name} {before}"),
        (before, _) => format!("{name} {} → –", before.as_deref().unwrap_or("–")),
    };
    let what: Vec<String> = difference.fields.iter().map(told).collect();
    let change = match difference.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    };
    json!({"model": output::printable(&difference.model), "change": change, "what": what.join(", ")})
}

fn document(list: &List, looked: &Looked, accepted: &Accepted) -> Value {
    let findings: Vec<Value> = looked
        .reading
        .findings
        .iter()
        .map(|finding| {
            json!({
                "kind": finding.kind.as_str(), "model": finding.model, "line": finding.line,
                "message": finding.message, "accepted": accepted.covers(finding),
            })
        })
        .collect();
    let left_out = &looked.reading.left_out;
    json!({
        "from": looked.foreign.as_str(),
        "date": looked.on.to_string(),
        "file": list.file.display().to_string(),
        "models": looked.reading.models.len(),
        "changes": looked.changes,
        "findings": findings,
        "more_findings": looked.reading.more_findings,
        "left_out": {
            "other_providers": left_out.providers,
            "other_kinds": left_out.kinds,
            "without_price": left_out.unpriced,
        },
    })
}
