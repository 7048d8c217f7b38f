//! `call`: one tool call through the gateway, over MCP.
//!
//! Results go to stdout; progress and the server's log messages to stderr.

mod arguments;
mod session;

use anyhow::Result;
use serde_json::{Value, json};

use self::session::Session;
use crate::{
    caller::Caller,
    cli::talk::Call,
    exit,
    output::{self, Format, exit},
};

/// Runs the command.
pub(crate) async fn run(arguments: &Call) -> Result<()> {
    let (server, tool) = named(&arguments.tool);
    let mut session = Session::begin(Caller::new(&arguments.plane).await?, server).await?;
    let done = match tool {
        None => tools(&mut session, server, arguments.plane.output).await,
        Some(tool) => call(&mut session, tool, arguments).await,
    };
    session.end().await;
    done
}

/// The server and the tool that a name means: `SERVER/TOOL`, `SERVER__TOOL`, or a server alone.
fn named(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/').or_else(|| text.split_once("__")) {
        Some((server, tool)) if !tool.is_empty() => (server, Some(tool)),
        Some((server, _)) => (server, None),
        None => (text, None),
    }
}

async fn tools(session: &mut Session, server: &str, format: Format) -> Result<()> {
    let tools = session.tools().await?;
    let rows: Vec<Value> = tools
        .into_iter()
        .map(|tool| {
            let properties = tool.pointer("/inputSchema/properties").and_then(Value::as_object);
            let names: Vec<&String> = properties.map(|members| members.keys().collect()).unwrap_or_default();
            json!({"name": tool.get("name"), "arguments": names, "description": tool.get("description"), "definition": tool})
        })
        .collect();
    let columns = [("tool", "/name"), ("arguments", "/arguments"), ("what it does", "/description")];
    output::rows(format, &rows, &columns)?;
    if let Some(name) = rows.first().and_then(|row| row.get("name")).and_then(Value::as_str) {
        output::next(&format!("tidegate call {server}/{name}"));
    }
    Ok(())
}

async fn call(session: &mut Session, tool: &str, arguments: &Call) -> Result<()> {
    let given = match &arguments.json {
        Some(text) => arguments::whole(text)?,
        None if arguments.arguments.is_empty() => json!({}),
        None => {
            let tools = session.tools().await?;
            let named = |known: &&Value| known.get("name").and_then(Value::as_str) == Some(tool);
            let schema = tools.iter().find(named).and_then(|known| known.get("inputSchema")).cloned();
            arguments::single(&arguments.arguments, schema.as_ref())?
        }
    };
    let answered = session.request("tools/call", json!({"name": tool, "arguments": given})).await;
    let result = match answered {
        Ok(result) => result,
        Err(error) => return Err(nearest(session, tool, error).await),
    };
    show(arguments.plane.output, &result)?;
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        return Err(exit(exit::ERROR, format!("the tool {tool} says that it failed")));
    }
    if arguments.plane.output == Format::Table && !session.call().is_empty() {
        output::next(&format!("tidegate why {}", session.call()));
    }
    Ok(())
}

/// The error, and where the server has no such tool, that it has none and the name that was meant.
async fn nearest(session: &mut Session, tool: &str, error: anyhow::Error) -> anyhow::Error {
    let code = error.downcast_ref::<output::Exit>().map(|exit| exit.code);
    if !matches!(code, Some(exit::NOT_FOUND | exit::ERROR)) {
        return error;
    }
    let Ok(tools) = session.tools().await else { return error };
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool.get("name").and_then(Value::as_str)).collect();
    if names.contains(&tool) {
        return error;
    }
    let hint = output::meant(tool, &names).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    exit(exit::NOT_FOUND, format!("{error:#}{hint}"))
}

/// What a tool answered: as it is for scripts, its text for people.
fn show(format: Format, result: &Value) -> Result<()> {
    if format != Format::Table {
        return output::object(format, result);
    }
    let blocks = result.get("content").and_then(Value::as_array);
    let mut shown = false;
    for block in blocks.into_iter().flatten() {
        shown = true;
        let part = |pointer: &str| block.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match part("/type") {
            "text" => output::line(&output::printable(part("/text"))),
            "resource" if !part("/resource/text").is_empty() => {
                output::line(&output::printable(part("/resource/text")))
            }
            "resource" | "resource_link" => {
                output::line(&output::printable(&format!("[resource {}{}]", part("/uri"), part("/resource/uri"))));
            }
            kind => output::line(&output::printable(&format!("[{kind} {}: see -o json]", part("/mimeType")))),
        }
    }
    match result.get("structuredContent") {
        Some(structured) if !shown => output::line(&serde_json::to_string_pretty(structured)?),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_named_either_way() {
        assert_eq!(named("notes/search"), ("notes", Some("search")));
        assert_eq!(named("notes__search__all"), ("notes", Some("search__all")));
        assert_eq!(named("notes/a__b"), ("notes", Some("a__b")));
        assert_eq!(named("notes"), ("notes", None));
        assert_eq!(named("notes/"), ("notes", None));
    }
}
