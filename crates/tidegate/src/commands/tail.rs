//! `tail`: calls as they finish.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    cli::talk::Tail,
    client::Client,
    commands::key::{list, segment},
    exit,
    output::{self, Format, exit},
};

/// The columns of a line: title, place in the row, width.
const COLUMNS: [(&str, &str, usize); 8] = [
    ("at (UTC)", "/at", 12),
    ("status", "/status", 6),
    ("ms", "/millis", 6),
    ("usd", "/usd", 10),
    ("key", "/key", 14),
    ("served by", "/served_by", 22),
    ("what", "/resource", 24),
    ("error", "/error", 20),
];

/// Runs the command.
pub(crate) async fn run(arguments: &Tail) -> Result<()> {
    let filters: String = [("key", &arguments.key), ("error", &arguments.error)]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("&{name}={}", segment(value))))
        .collect();
    let client = Client::new(&arguments.admin)?;
    let mut stream = client.stream(&format!("/calls/stream?{}", filters.trim_start_matches('&'))).await?;
    let format = arguments.admin.output;
    if format == Format::Table {
        let titles: Vec<String> = COLUMNS.iter().map(|(title, _, width)| format!("{title:<width$}")).collect();
        output::talk(&format!("{}  call", titles.join("  ")));
    }
    if arguments.last > 0 {
        let earlier = client.get(&format!("/calls?limit={}{filters}", arguments.last)).await?;
        for call in list(&earlier, "calls").iter().rev() {
            show(format, call)?;
        }
    }
    let mut shown = 0_usize;
    while arguments.count.is_none_or(|most| shown < most) {
        let Some(frame) = stream.event().await? else {
            return Err(exit(exit::UNAVAILABLE, "the gateway stopped"));
        };
        let data: Value = serde_json::from_slice(frame.data.as_deref().unwrap_or_default())
            .context("an event of the gateway is no JSON")?;
        if frame.event_name() == "call" {
            show(format, &data)?;
            shown = shown.saturating_add(1);
        } else if let Some(missed) = data.get("missed") {
            output::talk(&format!("{missed} calls were missed: they came faster than they could be shown"));
        }
    }
    Ok(())
}

fn show(format: Format, call: &Value) -> Result<()> {
    match format {
        Format::Table => output::line(&row(call)),
        Format::Yaml => output::raw(&format!("---\n{}", output::yaml(call))),
        Format::Json | Format::Jsonl => output::line(&serde_json::to_string(call)?),
    }
    Ok(())
}

fn row(call: &Value) -> String {
    let mut cells: Vec<String> = Vec::new();
    for (title, pointer, width) in COLUMNS {
        let text = match call.pointer(pointer) {
            None | Some(Value::Null) => "–".to_owned(),
            Some(Value::String(text)) => output::printable(text).into_owned(),
            Some(other) => other.to_string(),
        };
        // Of the moment, the time of day.
        let text = if title.starts_with("at") { text.chars().skip(11).take(width).collect() } else { text };
        cells.push(format!("{text:<width$}"));
    }
    cells.push(call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned());
    cells.join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_made_of_a_call_and_of_no_control_character_in_it() {
        let call = json!({"id": "call_1", "at": "2026-11-24T18:06:18.044Z", "status": 200, "millis": 7, "usd": "0.000032",
            "key": "quick-start", "served_by": "sim/chat", "resource": "sim/\u{1b}[31mchat"});
        let row = row(&call);
        assert!(row.starts_with("18:06:18.044  200     7       0.000032    quick-start "), "{row}");
        assert!(row.ends_with("call_1") && !row.contains('\u{1b}'), "{row}");
    }
}
