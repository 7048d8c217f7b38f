//! `policy`: check and show.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidegate_config::{
    check::{Mode, Options, check_pinned, policy_input},
    document::Document,
    environment::Machine,
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
