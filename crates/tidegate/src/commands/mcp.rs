//! `mcp pins`: look at pinned tools, write the file for `check --pins`, accept what changed, forget.

use std::path::Path;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};

use super::{
    key::{list, segment},
    objects::{self, Kind},
};
use crate::{
    cli::{Admin, Mcp, Pins, objects::Listed},
    client::Client,
    output::{self, Format, exit},
};

/// The most letters of a changed member that are shown on each side.
const MOST_SHOWN: usize = 400;

/// Runs one of the commands.
pub(crate) async fn run(command: Mcp) -> Result<()> {
    let command = match command {
        Mcp::Pins(command) => command,
        Mcp::List(admin) => return objects::run(Kind::Mcp, Listed::List(admin)).await,
        Mcp::Show { name, admin } => return objects::run(Kind::Mcp, Listed::Show { name, admin }).await,
    };
    match command {
        Pins::List { server, changed, admin } => {
            let answer = Client::new(&admin)?.get(&format!("/mcp/pins{}", query(server.as_deref()))).await?;
            let mut rows = list(&answer, "pins");
            rows.retain(|row| !changed || row.get("state").and_then(Value::as_str) == Some("changed"));
            show(&admin, &rows)
        }
        Pins::Export { server, file, admin } => {
            let answer = Client::new(&admin)?.get(&format!("/mcp/pins/export{}", query(server.as_deref()))).await?;
            let text = format!("{}\n", serde_json::to_string_pretty(&answer)?);
            export(&text, answer.as_array().map_or(0, Vec::len), file.as_deref())
        }
        Pins::Refresh { server, tool, dry_run, admin } => {
            let path = format!("/mcp/pins/{}/refresh", segment(&server));
            let answer = Client::new(&admin)?.post(&path, &json!({"tool": tool, "dry_run": dry_run})).await?;
            changes(&admin, &answer)?;
            let pending = |row: &Value| row.get("change").and_then(Value::as_str) != Some("not_listed");
            let pending = list(&answer, "changes").iter().filter(|row| pending(row)).count();
            if dry_run && pending > 0 {
                return Err(exit(
                    2,
                    format!("{pending} tools would be pinned anew: run it without --dry-run to accept"),
                ));
            }
            if !dry_run {
                output::talk(&format!("pinned: revision {} is active", text(&answer, "/revision")));
            }
            Ok(())
        }
        Pins::Rm { server, tool, admin } => {
            let path = format!("/mcp/pins/{}/{}", segment(&server), segment(&tool));
            let answer = Client::new(&admin)?.send(Method::DELETE, &path, None).await?;
            changes(&admin, &answer)?;
            output::talk("forgotten: the next list that names the tool pins it anew");
            Ok(())
        }
    }
}

fn query(server: Option<&str>) -> String {
    server.map_or_else(String::new, |server| format!("?server={}", segment(server)))
}

fn export(text: &str, count: usize, file: Option<&Path>) -> Result<()> {
    let Some(file) = file else {
        output::raw(text);
        return Ok(());
    };
    std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    output::talk(&format!("{count} pinned tools in {}: tidegate check --pins {} FILE", file.display(), file.display()));
    Ok(())
}

fn show(admin: &Admin, rows: &[Value]) -> Result<()> {
    let columns = [
        ("server", "/server"),
        ("tool", "/tool"),
        ("state", "/state"),
        ("changed", "/seen/changed"),
        ("since", "/seen/since"),
        ("pinned", "/pinned"),
    ];
    output::rows(admin.output, rows, &columns)?;
    if admin.output == Format::Table {
        for row in rows {
            differences(row, "/definition", "/seen/definition");
        }
    }
    Ok(())
}

fn changes(admin: &Admin, answer: &Value) -> Result<()> {
    if admin.output != Format::Table {
        return output::object(admin.output, answer);
    }
    let rows = list(answer, "changes");
    output::rows(
        admin.output,
        &rows,
        &[("server", "/server"), ("tool", "/tool"), ("change", "/change"), ("in", "/changed")],
    )?;
    for row in &rows {
        differences(row, "/before", "/now");
    }
    Ok(())
}

/// The members that differ between two definitions, each as it was and as it is.
fn differences(row: &Value, before: &str, now: &str) {
    let definition = |pointer: &str| serde_json::from_str::<Value>(&text(row, pointer)).ok();
    let (Some(before), Some(now)) = (definition(before), definition(now)) else { return };
    let members = |value: &Value| value.as_object().map(|members| members.keys().cloned().collect::<Vec<_>>());
    let mut names: Vec<String> = [members(&before), members(&now)].into_iter().flatten().flatten().collect();
    names.sort();
    names.dedup();
    let place = format!("{}/{}", text(row, "/server"), text(row, "/tool"));
    for name in names {
        let (was, is) = (before.get(&name), now.get(&name));
        if was != is {
            output::line(&format!("{place} {name}\n  - {}\n  + {}", shown(was), shown(is)));
        }
    }
}

/// A value of a server's, which may hold anything: on one line, short, without control characters.
fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(nothing)".to_owned() };
    let text = value.to_string();
    let safe = text.chars().map(|letter| if letter.is_control() { '·' } else { letter });
    let mut out: String = safe.take(MOST_SHOWN).collect();
    if text.chars().count() > MOST_SHOWN {
        out.push('…');
    }
    out
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
