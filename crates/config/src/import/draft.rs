//! The configuration that is being written.
//!
//! Owns names that are free and fit, references in the place of secrets, and the text. Called by the importers.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value, json};

/// A configuration in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) providers: BTreeMap<String, Value>,
    pub(super) models: BTreeMap<String, Value>,
    pub(super) keys: BTreeMap<String, Value>,
    pub(super) teams: BTreeMap<String, Value>,
    pub(super) budgets: BTreeMap<String, Value>,
    pub(super) guardrails: BTreeMap<String, Value>,
    pub(super) mcp_servers: BTreeMap<String, Value>,
    pub(super) default_provider: Option<String>,
}

impl Draft {
    /// The provider of this type with these fields: one that is there already, or a new one.
    pub(super) fn provider(&mut self, vendor: &str, wanted: Option<&str>, mut fields: Map<String, Value>) -> String {
        let base = fit(wanted.unwrap_or(vendor));
        let with_type = |name: &str, fields: &mut Map<String, Value>| {
            if name == vendor {
                fields.remove("type");
            } else {
                fields.insert("type".to_owned(), vendor.into());
            }
        };
        for at in 1_u32.. {
            let name = if at == 1 { base.clone() } else { format!("{base}-{at}") };
            with_type(&name, &mut fields);
            match self.providers.get(&name) {
                Some(known) if *known != Value::Object(fields.clone()) => {}
                _ => {
                    self.providers.insert(name.clone(), Value::Object(fields));
                    return name;
                }
            }
        }
        base
    }

    /// The text.
    pub(super) fn write(&self, from: &str) -> String {
        let mut out = format!(
            "# yaml-language-server: $schema={}\n# Imported from a configuration of {from}. The report says what is not the same.\nversion: 1\n",
            crate::schema::SCHEMA_ID
        );
        let sections = [
            ("providers", &self.providers),
            ("models", &self.models),
            ("guardrails", &self.guardrails),
            ("mcp_servers", &self.mcp_servers),
            ("teams", &self.teams),
            ("keys", &self.keys),
            ("budgets", &self.budgets),
        ];
        for (name, objects) in sections {
            if !objects.is_empty() {
                let _ = writeln!(out, "{name}:");
                for (name, value) in objects {
                    let _ = writeln!(out, "  {}: {}", scalar(name), flow(value));
                }
            }
        }
        if let Some(provider) = &self.default_provider {
            let _ = writeln!(out, "default_provider: {}", scalar(provider));
        }
        out
    }
}

/// A name without the characters that names cannot have.
pub(super) fn fit(name: &str) -> String {
    let good = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let name: String = name.chars().map(good).take(100).collect();
    let name = name.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// The name of an environment variable.
pub(super) fn variable(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
        .collect();
    let name = name.trim_matches('_').chars().take(100).collect::<String>();
    if name.bytes().next().is_none_or(|first| first.is_ascii_digit()) { format!("KEY_{name}") } else { name }
}

/// `60s` and the like.
pub(super) fn seconds(value: &Value) -> Option<String> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim_end_matches('s').parse().ok())?;
    let milliseconds = (seconds * 1_000.0).round();
    if !(1.0..=86_400_000.0).contains(&milliseconds) {
        return None;
    }
    let text = format!("{milliseconds:.0}");
    Some(text.strip_suffix("000").map_or_else(|| format!("{text}ms"), |seconds| format!("{seconds}s")))
}

/// `10 usd/month` of an amount and a time like `30d`, `1M`, `1h`; and whether the period is another one.
pub(super) fn budget(amount: &Value, period: Option<&str>) -> Option<(Value, Option<String>)> {
    let amount = match amount {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let plain = !amount.is_empty() && amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plain {
        return None;
    }
    let (period, why) = match period {
        None => ("total", None),
        Some("1d" | "24h" | "daily" | "1D") => ("day", None),
        Some("7d" | "1w" | "weekly" | "1W") => ("week", None),
        Some("1mo" | "1M" | "monthly") => ("month", None),
        Some("30d") => ("month", Some("30 days became a calendar month".to_owned())),
        Some(other) if other.ends_with(['s', 'm', 'h']) => {
            ("day", Some(format!("`{other}` became a day: no shorter period is kept")))
        }
        Some(other) => ("month", Some(format!("`{other}` became a calendar month"))),
    };
    Some((json!(format!("{amount} usd/{period}")), why))
}

/// JSON as YAML on one line, without quotes where none are needed.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let all: Vec<String> =
                members.iter().map(|(name, value)| format!("{}: {}", scalar(name), flow(value))).collect();
            format!("{{ {} }}", all.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text, in quotes where it could be read as something else.
fn scalar(text: &str) -> String {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let reference = text
        .strip_prefix("env:")
        .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if (first && letters && !word) || reference { text.to_owned() } else { Value::from(text).to_string() }
}
