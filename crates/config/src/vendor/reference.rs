//! `docs/providers.md`: the catalogue as a table.
//!
//! Owns wording and layout; every fact comes from the vendor files. Printed by `tidegate schema --providers`.

use std::fmt::Write as _;

use super::{Scheme, Vendor, Vendors};

/// The document.
#[must_use]
pub fn reference(vendors: &Vendors) -> String {
    let mut out = String::from(
        "# Providers\nGenerated from `catalog/providers/` by `cargo xtask schemas`. A provider takes the type of its name, or \
         the one in `type`. Anything that speaks one of these dialects is a provider too: give it the type of its \
         dialect's vendor (`openai`, `anthropic`) and a `base_url`.\n\n",
    );
    let _ = writeln!(out, "{} types.\n", vendors.iter().count());
    out.push_str("| type | address | dialects | proves itself by | variables | key from |\n| --- | --- | --- | --- | --- | --- |\n");
    for vendor in vendors.iter() {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            vendor.name,
            address(vendor),
            dialects(vendor),
            proof(&vendor.scheme),
            variables(vendor),
            code_list(&vendor.env)
        );
    }
    out.push_str("\n## Habits\nWhere a vendor departs from its dialect. What a call loses by them stands in `x-tidegate-loss` and on record.\n\n| type | habits |\n| --- | --- |\n");
    for vendor in vendors.iter() {
        let habits = habits(vendor);
        if !habits.is_empty() {
            let _ = writeln!(out, "| `{}` | {} |", vendor.name, habits.join("; "));
        }
    }
    out.push_str("\n## Sources\nWhere address and authentication are documented. What was compared with what, and what was left out, stands at the top of each file.\n\n| type | name | source | compared |\n| --- | --- | --- | --- |\n");
    for vendor in vendors.iter() {
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", vendor.name, vendor.title, vendor.source, vendor.date);
    }
    out
}

fn address(vendor: &Vendor) -> String {
    let mut all: Vec<String> = vendor.base_url.iter().map(|url| format!("`{url}`")).collect();
    for (name, value, url) in &vendor.base_url_for {
        all.push(format!("with `{name}: {value}` `{url}`"));
    }
    if all.is_empty() { "inside the gateway".to_owned() } else { all.join(", ") }
}

fn dialects(vendor: &Vendor) -> String {
    let all = std::iter::once(&vendor.dialect).chain(&vendor.also);
    all.map(|dialect| format!("`{}`", dialect.name())).collect::<Vec<_>>().join(", ")
}

fn proof(scheme: &Scheme) -> String {
    match scheme {
        Scheme::None => "nothing".to_owned(),
        Scheme::Bearer => "`key` as a bearer".to_owned(),
        Scheme::OptionalBearer => "`key` as a bearer, if there is one".to_owned(),
        Scheme::Header(header) => format!("`key` in `{header}`"),
        Scheme::Azure(header) => format!("`key` in `{header}`, or `credentials` of Entra ID"),
        Scheme::Aws => "a signature with keys of `aws`, or a Bedrock API key as `key`".to_owned(),
        Scheme::Google => "`credentials` of Google Cloud, or an access token as `key`".to_owned(),
    }
}

fn variables(vendor: &Vendor) -> String {
    let one = |variable: &super::Variable| {
        let mut text = format!("`{}`: {}", variable.name, variable.what);
        if let Some(default) = &variable.default {
            let _ = write!(text, " (else `{default}`)");
        }
        if !variable.env.is_empty() {
            let _ = write!(text, ", from {}", code_list(&variable.env));
        }
        text
    };
    vendor.variables.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn code_list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a vendor's quirks mean, in words.
fn habits(vendor: &Vendor) -> Vec<String> {
    let quirks = &vendor.quirks;
    let flags = [
        (quirks.no_stream_usage, "is not asked for the usage of streams"),
        (quirks.max_completion_tokens_as_max_tokens, "is told `max_tokens`"),
        (quirks.no_reasoning_effort, "takes no `reasoning_effort`"),
        (quirks.thinking_budget_only, "takes a budget of thinking"),
        (quirks.no_developer_role, "is told `developer` as `system`"),
        (quirks.no_message_name, "takes no `name` of a message"),
        (quirks.tool_choice_any, "is told `required` as `any`"),
        (quirks.no_forced_tool, "cannot be made to call a tool"),
        (quirks.no_strict_tools, "takes no `strict` of a tool"),
        (quirks.no_json_schema, "takes no schema of the answer"),
        (quirks.anthropic_on_vertex, "takes version and no model in the body"),
    ];
    let mut habits: Vec<String> =
        flags.into_iter().filter(|(set, _)| *set).map(|(_, words)| words.to_owned()).collect();
    if !quirks.refused.is_empty() {
        let names: Vec<String> = quirks.refused.names().map(str::to_owned).collect();
        habits.push(format!("is not sent {}", code_list(&names)));
    }
    if !vendor.paths.is_empty() {
        habits.push("has paths of its own".to_owned());
    }
    habits
}
