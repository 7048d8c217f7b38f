//! `connect` and `disconnect`: other programs' settings, changed so that they go through the gateway, and changed back.
//!
//! Shows the exact change, keeps what was there, writes only where the user's own settings stand. No key is written:
//! a program that can run a helper runs `tidegate key print`, others take it from their environment or ask for it. At a
//! gateway that lends keys, a client has one of its own, which goes when it is disconnected.

mod catalog;
mod diff;
mod edit;
mod own_key;
mod record;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use tidegate_core::secret::Secret;

use self::{
    catalog::{Client, Filled, Words},
    own_key::OwnKey,
    record::{Change, Record},
};
use crate::{
    caller::Caller,
    cli::{
        Admin,
        setup::{Connect, Disconnect},
        talk::DataPlane,
    },
    client::Client as Control,
    exit,
    output::{self, exit},
};

/// The most models that are written into a file one by one.
const MOST_MODELS: usize = 24;

/// Connects a client, or lists those that can be.
pub(crate) async fn connect(arguments: &Connect) -> Result<()> {
    let Some(name) = &arguments.client else { return list(arguments) };
    let client = catalog::find(name)?;
    let caller = Caller::new(&arguments.plane).await?;
    let models = models(&caller).await?;
    let (before, known) = record::before(&client.name)?;
    let recorded = known.as_ref().and_then(|known| known.key.clone());
    let mut own = match caller.lender().filter(|_| !arguments.print) {
        Some(control) => Some(OwnKey::plan(control, &client.name, &arguments.plane.data_dir, recorded.as_ref()).await?),
        None => None,
    };
    let words = words(arguments, &caller, &models, own.as_ref()).await?;
    let filled = client.fill(&words)?;
    if arguments.print {
        return print(&client, &filled);
    }
    let changes = changes(&filled, &before)?;
    let stands = known.is_some_and(|known| known.holds(&changes));
    if stands && recorded == own {
        output::talk(&format!("{} is connected already: nothing to change", client.title));
        return probe(&words).await;
    }
    show(changes.iter().map(|change| {
        let there = edit::read(&change.path).ok().and_then(|(_, text)| text);
        (change.path.clone(), there, Some(change.after.clone()))
    }));
    if arguments.dry_run {
        return Err(exit(exit::PENDING, "nothing was changed"));
    }
    if !agreed(arguments.yes)? {
        return Err(exit(exit::ERROR, "nothing was changed"));
    }
    let secret = write_all(&client, &changes, own.as_mut(), caller.lender()).await?;
    if let Some(old) = recorded.filter(|old| own.as_ref().is_none_or(|own| !own.same(old))) {
        old.revoke().await;
    }
    output::talk(&format!("{} is connected to {}", client.title, words.url));
    let asked = match (&secret, &own) {
        (Some(secret), _) => format!("it is {}, shown this once", secret.expose()),
        (None, Some(own)) => format!("`tidegate key rotate {}` makes another", own.name),
        (None, None) => "`tidegate key print` shows it".to_owned(),
    };
    for note in &filled.notes {
        output::talk(&format!("note: {}", note.replace("{asked_key}", &asked)));
    }
    probe(&words).await?;
    output::next(&filled.next);
    Ok(())
}

/// Each file's change. `before` is what they would hold without the connection.
fn changes(filled: &Filled, before: &record::Before) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for file in &filled.files {
        let (path, now) = edit::read(&file.path)?;
        let text = before.get(&path).cloned().unwrap_or(now);
        let after = file.applied(text.as_deref()).map_err(|error| refused(&path, &error))?;
        changes.push(Change { path, before: text, after, edits: file.edits.clone() });
    }
    Ok(changes)
}

/// Makes the client's key where it has none, then the changes; without the changes there is no key either.
async fn write_all(
    client: &Client,
    changes: &[Change],
    own: Option<&mut OwnKey>,
    control: Option<&Control>,
) -> Result<Option<Secret>> {
    let (Some(own), Some(control)) = (own, control) else {
        return Record::write(&client.name, changes, None).map(|()| None);
    };
    let secret = own.make(control).await?;
    if let Err(error) = Record::write(&client.name, changes, Some(own)) {
        if secret.is_some() {
            own.revoke().await;
        }
        return Err(error);
    }
    Ok(secret)
}

/// Undoes what `connect` did.
pub(crate) async fn disconnect(arguments: &Disconnect) -> Result<()> {
    let client = catalog::find(&arguments.client)?;
    let Some(record) = Record::read(&client.name)? else {
        let name = &client.name;
        return Err(exit(exit::NOT_FOUND, format!("{name} is not connected\nhint: tidegate connect lists what is")));
    };
    let undone = record.undone()?;
    for note in undone.iter().flat_map(|file| &file.notes) {
        output::talk(note);
    }
    show(undone.iter().map(|file| (file.path.clone(), file.now.clone(), file.then.clone())));
    if arguments.dry_run {
        return Err(exit(exit::PENDING, "nothing was changed"));
    }
    if !agreed(arguments.yes)? {
        return Err(exit(exit::ERROR, "nothing was changed"));
    }
    record.undo(&undone)?;
    if let Some(key) = &record.key {
        key.revoke().await;
    }
    output::talk(&format!("{} is disconnected", client.title));
    Ok(())
}

/// Writes a file of the user's, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    edit::write(path, Some(text))
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> anyhow::Error {
    exit(exit::CONFLICT, format!("{}: {error}: nothing was changed\nhint: correct the file first", path.display()))
}

fn list(arguments: &Connect) -> Result<()> {
    let mut rows = Vec::new();
    for client in catalog::all()? {
        let connected = Record::read(&client.name)?.is_some();
        rows.push(
            json!({"client": client.name, "title": client.title, "connected": connected, "sources": client.sources}),
        );
    }
    output::rows(
        arguments.plane.output,
        &rows,
        &[("client", "/client"), ("what it is", "/title"), ("connected", "/connected")],
    )?;
    output::next("tidegate connect claude-code --dry-run");
    Ok(())
}

/// The lines that a shell takes.
fn print(client: &Client, filled: &Filled) -> Result<()> {
    match &filled.lines {
        Some(lines) => {
            output::raw(lines);
            Ok(())
        }
        None => {
            let name = &client.name;
            Err(exit(
                exit::USAGE,
                format!("{name} reads files, not variables: tidegate connect {name} --dry-run shows them"),
            ))
        }
    }
}

/// Shows each file's change.
fn show(files: impl Iterator<Item = (PathBuf, Option<String>, Option<String>)>) {
    for (path, before, after) in files {
        if before != after {
            output::talk(&diff::unified(&path, before.as_deref(), after.as_deref()));
        }
    }
}

/// Asks where somebody can answer.
fn agreed(yes: bool) -> Result<bool> {
    if yes || !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(true);
    }
    output::prompt("change this? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the terminal cannot be read")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// The models that the key may use.
async fn models(caller: &Caller) -> Result<Vec<String>> {
    let reply = caller.send(Method::GET, "/v1/models", &[], None).await?;
    if !reply.status.is_success() {
        return Err(reply.refusal().await);
    }
    let listed = reply.json().await?;
    let names = listed.get("data").and_then(Value::as_array).into_iter().flatten();
    Ok(names.filter_map(|model| model.get("id").and_then(Value::as_str)).map(str::to_owned).collect())
}

async fn words(arguments: &Connect, caller: &Caller, models: &[String], own: Option<&OwnKey>) -> Result<Words> {
    let url = caller.base().as_str().trim_end_matches('/').to_owned();
    let models = models.iter().take(MOST_MODELS).map(|name| {
        json!({"id": name, "name": name, "url": format!("{url}/v1/chat/completions"), "toolCalling": true,
            "vision": false, "maxInputTokens": 128_000, "maxOutputTokens": 16_000})
    });
    Ok(Words {
        helper: helper(&arguments.plane.data_dir, &url, own)?,
        models: models.collect(),
        servers: servers(&arguments.plane, caller, &url).await,
        url,
    })
}

/// The command by which a program gets the key: it holds paths and a name, never the key.
fn helper(data_dir: &Path, url: &str, own: Option<&OwnKey>) -> Result<String> {
    let program = std::env::current_exe().context("this program's own path is not known")?;
    let data = std::path::absolute(data_dir).context("the data directory's path is not known")?;
    let (program, data, url) = (catalog::quoted(&program)?, catalog::quoted(&data)?, catalog::quoted(Path::new(url))?);
    let of = own.map(|own| format!(" --of {}", own.name)).unwrap_or_default();
    Ok(format!("{program} key print{of} --data-dir {data} --url {url}"))
}

/// The gateway's MCP endpoints by the name that a client shows: one for all servers where there is one, else each.
async fn servers(plane: &DataPlane, caller: &Caller, url: &str) -> Vec<(String, String)> {
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": {"name": "tidegate-cli", "version": env!("CARGO_PKG_VERSION")}}});
    let accept = [("accept", "application/json, text/event-stream")];
    if let Ok(reply) = caller.send(Method::POST, "/mcp", &accept, Some(&hello)).await
        && reply.status.is_success()
    {
        return vec![("tidegate".to_owned(), format!("{url}/mcp"))];
    }
    let admin = Admin { admin_url: None, data_dir: plane.data_dir.clone(), output: plane.output };
    let Ok(control) = Control::new(&admin) else { return Vec::new() };
    let Ok(status) = control.get("/status").await else { return Vec::new() };
    let listed = status.get("servers").and_then(Value::as_array).into_iter().flatten();
    let name = |server: &Value| server.get("name").and_then(Value::as_str).map(str::to_owned);
    listed.filter_map(name).map(|name| (format!("tidegate-{name}"), format!("{url}/mcp/{name}"))).collect()
}

/// Does what the client will do: runs the helper, and asks with what it prints which models there are.
async fn probe(words: &Words) -> Result<()> {
    let helped = tokio::process::Command::new("/bin/sh").args(["-c", &words.helper]).output().await?;
    let key = String::from_utf8_lossy(&helped.stdout).trim().to_owned();
    if !helped.status.success() || key.is_empty() {
        return Err(exit(
            exit::ERROR,
            format!("the helper prints no key: {}", String::from_utf8_lossy(&helped.stderr)),
        ));
    }
    let caller = Caller::with_key(&words.url, key)?;
    let models = models(&caller).await.context("the settings are written, but the gateway does not answer them")?;
    output::talk(&format!("asked as the client will: {} models", models.len()));
    Ok(())
}
