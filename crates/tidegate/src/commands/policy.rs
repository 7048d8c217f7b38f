//! `policy`: check and show.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_config::{
    check::{Mode, Options, check_pinned, policy_input},
    document::Document,
    environment::Machine,
    expect,
    problem::Problem,
    render,
    source::Sources,
    vendor::Vendors,
};

use crate::{
    cli::{Admin, Policy},
    client::Client,
    commands::key::list,
    output::{self, Format, exit},
};

/// Runs one of the commands.
pub(crate) async fn run(command: Policy) -> Result<()> {
    match command {
        Policy::Check(arguments) => super::check::check(&arguments),
        Policy::Test { table, config, pins, output } => test(&table, config, pins, output),
        Policy::Show { files, admin, .. } if files.is_empty() => {
            let answer = Client::new(&admin)?.get("/policies").await?;
            print(&admin, &list(&answer, "policies"))
        }
        Policy::Show { files, pins, admin } => {
            let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
            let options = Options { mode: Mode::Up, secrets: false, public_listener: false, vendors: &vendors };
            let sources = Sources::load(&files, &Machine)
                .map_err(|problems| exit(1, render::render_all(&problems, &Sources::default())))?;
            let written = Document::parse(sources);
            let pins = super::check::pins(pins.as_deref())?;
            let checked = check_pinned(&written, &Machine, &options, &pins)
                .map_err(|problems| exit(1, render::render_all(&problems, &written.sources)))?;
            let input = policy_input(&checked.document, &checked.policy_files, &pins);
            let rows: Vec<Value> = tidegate_policy::show(&input)
                .into_iter()
                .map(|shown| json!({"id": shown.id.to_string(), "origin": shown.origin.to_string(), "text": shown.text.to_string()}))
                .collect();
            print(&admin, &rows)
        }
    }
}

/// Decides every row of a table, and prints those that differ.
fn test(table: &Path, config: Vec<PathBuf>, pins: Option<PathBuf>, format: Format) -> Result<()> {
    let refused = |problems: Vec<Problem>, sources: &Sources| exit(1, render::render_all(&problems, sources));
    let sources = Sources::load(&[table.to_owned()], &Machine).map_err(|all| refused(all, &Sources::default()))?;
    let read = expect::read(sources).map_err(|(problems, sources)| refused(problems, &sources))?;
    let beside = |path: &str| table.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
    let config = if config.is_empty() { read.table.config.0.iter().map(|path| beside(path)).collect() } else { config };
    if config.is_empty() {
        return Err(exit(64, "which configuration? write `config: tidegate.yaml` into the table, or give --config"));
    }
    let pins = super::check::pins(pins.or_else(|| read.table.pins.as_deref().map(beside)).as_deref())?;
    let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
    let options = Options { mode: Mode::Up, secrets: false, public_listener: false, vendors: &vendors };
    let sources = Sources::load(&config, &Machine).map_err(|problems| refused(problems, &Sources::default()))?;
    let written = Document::parse(sources);
    let checked =
        check_pinned(&written, &Machine, &options, &pins).map_err(|problems| refused(problems, &written.sources))?;
    let outcomes = read.run(&checked).map_err(|problems| refused(problems, &read.sources))?;
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    let rows: Vec<Value> = outcomes
        .iter()
        .filter(|outcome| format != Format::Table || !outcome.passed)
        .map(|outcome| {
            let line = outcome.at.map(|at| at.line);
            json!({"test": outcome.name, "line": line, "expected": outcome.expected, "decided": outcome.decided,
                "passed": outcome.passed})
        })
        .collect();
    if !(rows.is_empty() && format == Format::Table) {
        let columns = [("line", "/line"), ("test", "/test"), ("expected", "/expected"), ("decided", "/decided")];
        output::rows(format, &rows, &columns)?;
    }
    if failed > 0 {
        return Err(exit(1, format!("{failed} of {} decisions differ from {}", outcomes.len(), table.display())));
    }
    output::talk(&format!("{} decisions as expected", outcomes.len()));
    Ok(())
}

fn print(admin: &Admin, rows: &[Value]) -> Result<()> {
    if admin.output != Format::Table {
        return output::rows(admin.output, rows, &[]);
    }
    for row in rows {
        let part = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        output::line(&format!("// {} ({})\n{}\n", part("id"), part("origin"), part("text").trim_end()));
    }
    Ok(())
}
