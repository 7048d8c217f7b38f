//! `import`: another gateway's configuration, written anew for this one. Reads one file, writes one; what becomes of each
//! setting is `config`'s to say.

use std::{
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_config::{
    check::{self, Mode, Options},
    document::Document,
    environment::Machine,
    import::{self, Entry, Gateway, Imported, Outcome},
    render,
    source::{MAX_FILE_BYTES, Sources},
    vendor::Vendors,
};

use crate::{
    cli::import::{Import, Source},
    exit,
    output::{self, Format, exit},
};

/// Reads, writes and reports.
pub(crate) fn run(arguments: &Import) -> Result<()> {
    let file = arguments.file.display();
    if !arguments.dry_run && !arguments.force && arguments.file.exists() {
        let hint = "hint: --force writes over it, --file names another, --dry-run shows what would be written";
        return Err(exit(exit::CONFLICT, format!("{file} is there already\n{hint}")));
    }
    let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
    let text = read(&arguments.source)?;
    let gateway = match arguments.from {
        Source::Litellm => Gateway::LiteLlm,
        Source::Portkey => Gateway::Portkey,
        Source::Bifrost => Gateway::Bifrost,
        Source::Agentgateway => Gateway::Agentgateway,
    };
    let name = arguments.source.display().to_string();
    let imported = import::import(&text, gateway, &vendors)
        .map_err(|problems| exit(exit::ERROR, render::render_all(&problems, &Sources::of_text(&name, &text))))?;
    sound(&imported.config, &vendors)?;
    report(arguments, &imported)?;
    if arguments.dry_run {
        if arguments.output == Format::Table {
            output::raw(&imported.config);
        }
        return Ok(());
    }
    std::fs::write(&arguments.file, &imported.config).with_context(|| format!("cannot write `{file}`"))?;
    output::talk(&format!("wrote {file}"));
    output::next(&format!("tidegate check {file}"));
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let name = path.display();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read `{name}`"))?;
    if text.len() > MAX_FILE_BYTES {
        return Err(exit(exit::ERROR, format!("{name} is larger than a configuration may be")));
    }
    Ok(text)
}

/// What is written is what `check` takes, or it is not written.
fn sound(config: &str, vendors: &Vendors) -> Result<()> {
    let options = Options { mode: Mode::Serve, secrets: false, public_listener: false, vendors };
    let written = Document::parse(Sources::of_text("tidegate.yaml", config));
    match check::check(&written, &Machine, &options) {
        Ok(_) => Ok(()),
        Err(problems) => {
            let said = render::render_all(&problems, &written.sources);
            let why = "what was made of it is not sound, so nothing was written: correct the source, or write by hand";
            Err(exit(exit::ERROR, format!("{said}\n{why}\n\n{config}")))
        }
    }
}

fn report(arguments: &Import, imported: &Imported) -> Result<()> {
    let rows: Vec<Value> = imported.report.iter().map(row).collect();
    let count = |outcome| imported.report.iter().filter(|entry| entry.outcome == outcome).count();
    let (exact, near, dropped) = (count(Outcome::Exact), count(Outcome::Approximated), count(Outcome::Dropped));
    if arguments.output != Format::Table {
        let document = json!({
            "file": if arguments.dry_run { Value::Null } else { json!(arguments.file) },
            "config": imported.config,
            "counts": { "exact": exact, "approximated": near, "dropped": dropped },
            "report": rows,
        });
        return output::object(arguments.output, &document);
    }
    // What is the same needs no reading.
    let told: Vec<Value> = imported.report.iter().filter(|entry| entry.outcome != Outcome::Exact).map(row).collect();
    if !told.is_empty() {
        let columns = [("in the source", "/path"), ("outcome", "/outcome"), ("here", "/to"), ("why", "/why")];
        output::talk(&output::table(&told, &columns));
    }
    output::talk(&format!("{exact} exact, {near} approximated, {dropped} dropped"));
    Ok(())
}

fn row(entry: &Entry) -> Value {
    json!({
        "path": entry.path,
        "outcome": entry.outcome.as_str(),
        "to": if entry.to.is_empty() { Value::Null } else { json!(entry.to) },
        "why": if entry.why.is_empty() { Value::Null } else { json!(entry.why) },
    })
}
