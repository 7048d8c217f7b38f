//! `key`: make, list, issue, rotate, revoke.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cli::{Admin, Key},
    client::Client,
    output::{self, Format, exit},
};

/// Runs one of the commands.
pub(crate) async fn run(command: Key) -> Result<()> {
    match command {
        Key::Create { name, team, budget, allow, expires, guardrail, admin } => {
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
            let answer = Client::new(&admin)?.post("/keys", &body).await?;
            secret(&admin, &answer)
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
        Key::Issue { name, admin } => {
            let answer = Client::new(&admin)?.post(&format!("/keys/{}/issue", segment(&name)), &json!({})).await?;
            secret(&admin, &answer)
        }
        Key::Rotate { key, admin } => {
            let answer = Client::new(&admin)?.post(&format!("/keys/{}/rotate", segment(&key)), &json!({})).await?;
            secret(&admin, &answer)
        }
        Key::Revoke { key, admin } => {
            let answer = Client::new(&admin)?.post(&format!("/keys/{}/revoke", segment(&key)), &json!({})).await?;
            output::talk(&format!("{key} is refused from now on"));
            if admin.output == Format::Table { Ok(()) } else { output::object(admin.output, &answer) }
        }
    }
}

/// `models=a,b` and the like as the API takes them.
fn allowed(arguments: &[String]) -> Result<Value> {
    let (mut models, mut servers) = (Vec::new(), Vec::new());
    for argument in arguments {
        let Some((kind, names)) = argument.split_once('=') else {
            return Err(exit(64, format!("--allow {argument}: write models=a,b or mcp_servers=x,y")));
        };
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        match kind.trim() {
            "models" => models.extend(names),
            "mcp_servers" => servers.extend(names),
            other => return Err(exit(64, format!("--allow {other}=…: there are models= and mcp_servers="))),
        }
    }
    Ok(json!({"models": models, "mcp_servers": servers}))
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
    use super::*;

    #[test]
    fn allow_arguments_add_up() {
        let value = allowed(&["models=a, b".to_owned(), "mcp_servers=x".to_owned(), "models=c".to_owned()]).unwrap();
        assert_eq!(value, json!({"models": ["a", "b", "c"], "mcp_servers": ["x"]}));
        assert!(allowed(&["tools=x".to_owned()]).is_err());
        assert!(allowed(&["models".to_owned()]).is_err());
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("a/../b?c"), "a%2F..%2Fb%3Fc");
    }
}
