//! `key`: make, list, show, edit, issue, rotate, revoke, remove; print and keep the one that this user calls with.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{
    caller::{Caller, LOAN_OF_HELPERS, ends_with},
    cli::{Admin, EditKey, Key, talk::DataPlane},
    client::Client,
    directory, exit,
    output::{self, Format, exit},
};

/// Runs one of the commands.
pub(crate) async fn run(command: Key) -> Result<()> {
    match command {
        Key::Create { name, team, budget, allow, expires, guardrail, dry_run, admin } => {
            let mut body = json!({"name": name});
            let mut set = |name: &str, value: Value| {
                if let Some(members) = body.as_object_mut() {
                    members.insert(name.to_owned(), value);
                }
            };
            if let Some(team) = team {
                set("team", json!(team));
            }
            if !budget.is_empty() {
                set("budget", json!(budget));
            }
            if !allow.is_empty() {
                set("allow", allowed(&allow)?);
            }
            if let Some(expires) = expires {
                set("expires", json!(expires));
            }
            if !guardrail.is_empty() {
                set("guardrails", json!(guardrail));
            }
            if dry_run {
                return would(&admin, "made", &body);
            }
            let answer = Client::new(&admin)?.post("/keys", &body).await?;
            secret(&admin, &answer)?;
            output::next("TIDEGATE_API_KEY=tg_… tidegate chat hello");
            Ok(())
        }
        Key::List(admin) => {
            let answer = Client::new(&admin)?.get("/keys").await?;
            output::rows(
                admin.output,
                &list(&answer, "keys"),
                &[
                    ("id", "/id"),
                    ("name", "/name"),
                    ("team", "/team"),
                    ("state", "/state"),
                    ("owner", "/origin"),
                    ("expires", "/expires"),
                ],
            )
        }
        Key::Show { key, admin } => {
            let client = Client::new(&admin)?;
            output::object(admin.output, &one(&client, &key).await?)
        }
        Key::Issue { name, dry_run, admin } => {
            if dry_run {
                return would(&admin, "issued", &json!({"name": name}));
            }
            let answer = Client::new(&admin)?.post(&format!("/keys/{}/issue", segment(&name)), &json!({})).await?;
            secret(&admin, &answer)
        }
        Key::Rotate { key, dry_run, admin } => {
            let client = Client::new(&admin)?;
            let found = one(&client, &key).await?;
            if dry_run {
                return would(&admin, "rotated", &found);
            }
            let answer = client.post(&format!("/keys/{}/rotate", segment(&key)), &json!({})).await?;
            secret(&admin, &answer)
        }
        Key::Edit(arguments) => edit(&arguments).await,
        Key::Rm { key, dry_run, admin } => {
            let client = Client::new(&admin)?;
            let found = one(&client, &key).await?;
            if dry_run {
                return would(&admin, "removed", &found);
            }
            let answer = client.send(Method::DELETE, &format!("/keys/{}", segment(&key)), None).await?;
            output::talk(&format!("{key} is gone, and refused from now on"));
            if admin.output == Format::Table { Ok(()) } else { output::object(admin.output, &answer) }
        }
        Key::Revoke { key, dry_run, admin } => {
            let client = Client::new(&admin)?;
            let found = one(&client, &key).await?;
            if dry_run {
                return would(&admin, "revoked", &found);
            }
            let answer = client.post(&format!("/keys/{}/revoke", segment(&key)), &json!({})).await?;
            output::talk(&format!("{key} is refused from now on"));
            if admin.output == Format::Table { Ok(()) } else { output::object(admin.output, &answer) }
        }
        Key::Print { of, header, plane } => print(of.as_deref(), header, &plane).await,
        Key::Store => store(),
    }
}

/// Prints the key to call with: `of` names one that the gateway lends, without it the one that commands show.
async fn print(of: Option<&str>, header: bool, plane: &DataPlane) -> Result<()> {
    let caller = match of {
        Some(name) => Caller::borrowing(plane, name, LOAN_OF_HELPERS).await?,
        None => Caller::for_helper(plane).await?,
    };
    let key = caller.key().await?;
    let key = key.expose();
    let text = if header { json!({"Authorization": format!("Bearer {key}")}).to_string() } else { key.to_owned() };
    output::line(&text);
    Ok(())
}

/// Changes what a key may do and spend.
async fn edit(arguments: &EditKey) -> Result<()> {
    let body = edits(arguments)?;
    if body.as_object().is_none_or(Map::is_empty) {
        return Err(exit(
            exit::USAGE,
            "nothing to change: name what is to be other, for example --budget '10 usd/month'",
        ));
    }
    let (client, admin) = (Client::new(&arguments.admin)?, &arguments.admin);
    one(&client, &arguments.key).await?;
    if arguments.dry_run {
        return would(admin, "changed like this", &body);
    }
    let answer = client.send(Method::PATCH, &format!("/keys/{}", segment(&arguments.key)), Some(&body)).await?;
    output::object(admin.output, &answer)?;
    output::talk("it counts from the next call on");
    Ok(())
}

/// The edit as the API takes it: only what is named stands in it.
fn edits(arguments: &EditKey) -> Result<Value> {
    let mut body = Map::new();
    for (name, text) in [("team", &arguments.team), ("expires", &arguments.expires)] {
        body.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
    }
    for (name, list) in [("budget", &arguments.budget), ("guardrails", &arguments.guardrail)] {
        body.extend((!list.is_empty()).then(|| (name.to_owned(), json!(list))));
    }
    let mut allow = Map::new();
    for argument in &arguments.allow {
        let (kind, names) = kind_and_names(argument)?;
        let list = allow.entry(kind).or_insert_with(|| json!([]));
        list.as_array_mut().into_iter().for_each(|list| list.extend(names.iter().map(|name| json!(name))));
    }
    let mut limits = Map::new();
    for argument in &arguments.limit {
        let (name, value) = argument.split_once('=').unwrap_or((argument.as_str(), ""));
        let value = match name {
            "requests" | "tokens" => json!(value),
            "concurrent" => json!(value.parse::<u32>().map_err(|_| {
                exit(exit::USAGE, format!("--limit {argument}: write a number, as in concurrent=5"))
            })?),
            _ => {
                let hint = "there are requests=, tokens= and concurrent=";
                return Err(exit(exit::USAGE, format!("--limit {argument}: {hint}")));
            }
        };
        limits.insert(name.to_owned(), value);
    }
    for (name, members) in [("allow", allow), ("limits", limits)] {
        body.extend((!members.is_empty()).then(|| (name.to_owned(), Value::Object(members))));
    }
    for name in &arguments.clear {
        let nothing = if name == "guardrails" { json!([]) } else { Value::Null };
        if body.insert(name.clone(), nothing).is_some() {
            return Err(exit(exit::USAGE, format!("--clear {name}: it is set as well, and only one can be meant")));
        }
    }
    Ok(Value::Object(body))
}

/// A key by its id or name; where there is none, the name that was meant.
async fn one(client: &Client, key: &str) -> Result<Value> {
    let error = match client.get(&format!("/keys/{}", segment(key))).await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    if !ends_with(&error, exit::NOT_FOUND) {
        return Err(error);
    }
    let rows = list(&client.get("/keys").await?, "keys");
    let names: Vec<&str> = rows.iter().filter_map(|row| row.get("name").and_then(Value::as_str)).collect();
    let hint = output::meant(key, &names).unwrap_or_else(|| "tidegate key list".to_owned());
    Err(exit(exit::NOT_FOUND, format!("there is no key `{key}`\nhint: {hint}")))
}

/// What would be done.
fn would(admin: &Admin, done: &str, what: &Value) -> Result<()> {
    output::object(admin.output, what)?;
    Err(exit(exit::PENDING, format!("this key would be {done}: nothing was done")))
}

/// Keeps a key for this user.
fn store() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().lock().take(1_024).read_to_string(&mut text).context("stdin holds no text")?;
    let key = text.trim();
    if tidegate_config::identity::parse(key).is_err() {
        return Err(exit(exit::USAGE, "stdin holds no key: tg_, an id and a secret\nhint: tidegate key store < FILE"));
    }
    let path = directory::stored_key_place().ok_or_else(|| exit(exit::USAGE, "there is no home folder: set HOME"))?;
    super::connect::write(&path, key)?;
    output::talk(&format!("kept in {}, which only you can read", path.display()));
    Ok(())
}

/// `models=a,b` and the like as the API takes them.
fn allowed(arguments: &[String]) -> Result<Value> {
    let (mut models, mut servers) = (Vec::new(), Vec::new());
    for argument in arguments {
        let (kind, names) = kind_and_names(argument)?;
        if kind == "models" { models.extend(names) } else { servers.extend(names) }
    }
    Ok(json!({"models": models, "mcp_servers": servers}))
}

/// What one `--allow` names: `models` or `mcp_servers`, and which.
fn kind_and_names(argument: &str) -> Result<(String, Vec<String>)> {
    let Some((kind, names)) = argument.split_once('=') else {
        return Err(exit(64, format!("--allow {argument}: write models=a,b or mcp_servers=x,y")));
    };
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match kind.trim() {
        kind @ ("models" | "mcp_servers") => Ok((kind.to_owned(), names)),
        other => Err(exit(64, format!("--allow {other}=…: there are models= and mcp_servers="))),
    }
}

/// Prints a fresh key, once.
fn secret(admin: &Admin, answer: &Value) -> Result<()> {
    if let Some(note) = answer.get("note").and_then(Value::as_str) {
        output::talk(note);
    }
    if admin.output != Format::Table {
        return output::object(admin.output, answer);
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    output::line(text("key"));
    output::talk(&format!("key {} ({}): shown once, only its HMAC is kept", text("name"), text("id")));
    Ok(())
}

/// The rows of an answer: itself, or its member `name`.
pub(crate) fn list(answer: &Value, name: &str) -> Vec<Value> {
    answer.as_array().or_else(|| answer.get(name).and_then(Value::as_array)).cloned().unwrap_or_default()
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn allow_arguments_add_up() {
        let value = allowed(&["models=a, b".to_owned(), "mcp_servers=x".to_owned(), "models=c".to_owned()]).unwrap();
        assert_eq!(value, json!({"models": ["a", "b", "c"], "mcp_servers": ["x"]}));
        assert!(allowed(&["tools=x".to_owned()]).is_err());
        assert!(allowed(&["models".to_owned()]).is_err());
    }

    #[test]
    fn an_edit_says_only_what_was_named() {
        let edits = |words: &[&str]| {
            let words = ["tidegate", "key", "edit", "ci"].iter().chain(words);
            match crate::cli::Cli::try_parse_from(words).unwrap().command {
                crate::cli::Command::Key(Key::Edit(arguments)) => edits(&arguments),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(edits(&[]).unwrap(), json!({}));
        let words =
            ["--budget", "1 usd/day", "--allow", "models=a, b", "--allow", "models=c", "--limit", "concurrent=5"];
        assert_eq!(
            edits(&words).unwrap(),
            json!({"budget": ["1 usd/day"], "allow": {"models": ["a", "b", "c"]}, "limits": {"concurrent": 5}})
        );
        let words = ["--clear", "budget", "--clear", "guardrails", "--allow", "mcp_servers=", "--limit", "tokens=9/s"];
        assert_eq!(
            edits(&words).unwrap(),
            json!({"budget": null, "guardrails": [], "allow": {"mcp_servers": []}, "limits": {"tokens": "9/s"}})
        );
        for wrong in [["--clear", "budget", "--budget", "1 usd/day"], ["--limit", "speed=9", "--limit", "tokens=9/s"]] {
            assert!(edits(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("a/../b?c"), "a%2F..%2Fb%3Fc");
    }
}
