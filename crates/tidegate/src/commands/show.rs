//! `calls`, `why`, `spend`, `status`: what the gateway saw.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cli::{Admin, Calls, Spend},
    client::Client,
    commands::key::{list, segment},
    output::{self, Format, progress},
};

/// Recent calls, newest first.
pub(crate) async fn calls(arguments: &Calls) -> Result<()> {
    let mut query = format!("?limit={}", arguments.limit);
    for (name, value) in [("key", &arguments.key), ("error", &arguments.error)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let client = Client::new(&arguments.admin)?;
    let path = format!("/calls{query}");
    let answer = progress::waiting("calls", arguments.admin.output, client.get(&path)).await?;
    let rows = list(&answer, "calls");
    output::rows(
        arguments.admin.output,
        &rows,
        &[
            ("call", "/id"),
            ("at (UTC)", "/at"),
            ("key", "/key"),
            ("what", "/resource"),
            ("served by", "/served_by"),
            ("status", "/status"),
            ("error", "/error"),
            ("ms", "/millis"),
            ("usd", "/usd"),
        ],
    )
}

/// The whole story of one call.
pub(crate) async fn why(call: &str, admin: &Admin) -> Result<()> {
    let answer = Client::new(admin)?.get(&format!("/calls/{}", segment(call))).await?;
    if admin.output != Format::Table {
        return output::object(admin.output, &answer);
    }
    tell(answer.get("call").filter(|call| call.is_object()).unwrap_or(&answer));
    Ok(())
}

fn tell(call: &Value) {
    let text = |pointer: &str| match call.pointer(pointer) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    output::line(&format!("{}  {}  {} ms", text("/id"), text("/at"), text("/millis")));
    output::line(&format!("  who       key {} (team {})", text("/key"), text("/team")));
    output::line(&format!("  what      {} {} on {}", text("/action"), text("/resource"), text("/surface")));
    output::line(&format!(
        "  ended     {} {}",
        text("/status"),
        call.get("error").and_then(Value::as_str).unwrap_or("ok")
    ));
    output::line(&format!(
        "  served    {} (revision {}, audit leaf {})",
        text("/served_by"),
        text("/revision"),
        text("/receipt")
    ));
    output::line(&format!(
        "  used      {} in, {} out, {} usd",
        text("/usage/input"),
        text("/usage/output"),
        text("/usd")
    ));
    output::line("  facts");
    for fact in call.get("facts").and_then(Value::as_array).into_iter().flatten() {
        output::line(&format!(
            "    {:<20} {}",
            fact.get(0).and_then(Value::as_str).unwrap_or_default(),
            fact.get(1).and_then(Value::as_str).unwrap_or_default()
        ));
    }
    for (title, member) in [("policies", "policies"), ("would deny", "observed")] {
        let names: Vec<&str> =
            call.get(member).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            output::line(&format!("  {title:<9} {}", names.join(", ")));
        }
    }
    for verdict in call.get("verdicts").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| {
            verdict
                .get(name)
                .map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let category = part("category");
        let said = match category.strip_prefix("guardrail.") {
            Some(why) => {
                let then = if part("action") == "block" { "so it did not pass" } else { "and it passed unseen" };
                format!("  guard     {} failed ({why}) on the {}, {then}", part("guardrail"), part("origin"))
            }
            None => format!(
                "  guard     {} found {} × {category} in {}: {}",
                part("guardrail"),
                part("count"),
                part("origin"),
                part("action")
            ),
        };
        output::line(&said);
    }
    for attempt in call.get("attempts").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| {
            attempt
                .get(name)
                .map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        output::line(&format!(
            "  attempt   {} {} {} after {} ms",
            part("target"),
            part("status"),
            part("outcome"),
            part("millis")
        ));
    }
    waterfall(call);
}

/// One bar a stage, as long as its share of the slowest.
fn waterfall(call: &Value) {
    let stages: Vec<&Value> = call.get("stages").and_then(Value::as_array).into_iter().flatten().collect();
    let micros = |stage: &Value| stage.get("micros").and_then(Value::as_u64).unwrap_or(0);
    let longest = stages.iter().map(|stage| micros(stage)).max().unwrap_or(0).max(1);
    output::line("  stages");
    for stage in stages {
        let part = |name: &str| stage.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let bar = "█".repeat(usize::try_from(micros(stage).saturating_mul(30).div_ceil(longest)).unwrap_or(0));
        output::line(&format!(
            "    {:<15} {:>9} µs  {:<8} {:<30} {}",
            part("stage"),
            micros(stage),
            part("verdict"),
            bar,
            part("detail")
        ));
    }
}

/// What was spent.
pub(crate) async fn spend(arguments: &Spend) -> Result<()> {
    let client = Client::new(&arguments.admin)?;
    let path = format!("/spend?by={}", arguments.by);
    let answer = progress::waiting("spend", arguments.admin.output, client.get(&path)).await?;
    let name = format!("/{}", arguments.by);
    output::rows(
        arguments.admin.output,
        &list(&answer, "rows"),
        &[
            (arguments.by.as_str(), name.as_str()),
            ("usd", "/usd"),
            ("calls", "/calls"),
            ("input tokens", "/input_tokens"),
            ("output tokens", "/output_tokens"),
        ],
    )
}

/// The gateway's state.
pub(crate) async fn status(admin: &Admin) -> Result<()> {
    let answer = Client::new(admin)?.get("/status").await?;
    output::object(admin.output, &answer)
}
