//! The form of a vendor file.
//!
//! Owns its fields and what they must be; strict, since a flag that is misspelt would be a quirk that is not kept to.
//! Called by `Vendors::builtin` alone.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_protocol::llm::{Dialect, Members, Quirks};
use tidegate_upstream::Paths;

use super::{Scheme, Vendor, template::Variable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    title: String,
    dialect: String,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    realtime: bool,
    base_url: Option<String>,
    rerank_url: Option<String>,
    #[serde(default)]
    base_url_for: Vec<For>,
    auth: String,
    #[serde(default)]
    env: Vec<String>,
    base_url_env: Option<String>,
    #[serde(default = "yes")]
    found_by_key: bool,
    source: String,
    date: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    #[serde(default)]
    paths: PathTemplates,
    #[serde(default)]
    quirks: QuirkFlags,
}

fn yes() -> bool {
    true
}

/// An address for one value of a variable.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct For {
    variable: String,
    value: String,
    base_url: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PathTemplates {
    generate: Option<String>,
    stream: Option<String>,
    complete: Option<String>,
    embed: Option<String>,
    count_tokens: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a file, each with its own name there")]
struct QuirkFlags {
    no_stream_usage: bool,
    max_completion_tokens_as_max_tokens: bool,
    no_reasoning_effort: bool,
    thinking_budget_only: bool,
    no_developer_role: bool,
    no_message_name: bool,
    tool_choice_any: bool,
    no_forced_tool: bool,
    no_strict_tools: bool,
    no_json_schema: bool,
    anthropic_on_vertex: bool,
    /// Members of a Chat body that it refuses.
    without: Vec<String>,
}

/// A vendor from its file.
pub(super) fn read(text: &str) -> Result<Vendor, String> {
    vendor(toml::from_str(text).map_err(|error| error.to_string())?)
}

fn vendor(file: File) -> Result<Vendor, String> {
    let named = |name: &String| Dialect::parse(name).ok_or_else(|| format!("there is no dialect `{name}`"));
    let dialect = named(&file.dialect)?;
    let also = file.also.iter().map(named).collect::<Result<_, _>>()?;
    let scheme = scheme(&file.auth)?;
    let quirks = quirks(&file.quirks)?;
    let variables =
        file.variables.into_iter().map(|(name, variable)| variable.named(&name)).collect::<Result<Vec<_>, _>>()?;
    let paths = Paths {
        generate: file.paths.generate.map(Into::into),
        stream: file.paths.stream.map(Into::into),
        complete: file.paths.complete.map(Into::into),
        embed: file.paths.embed.map(Into::into),
        count_tokens: file.paths.count_tokens.map(Into::into),
    };
    let vendor = Vendor {
        name: file.name,
        title: file.title,
        dialect,
        also,
        realtime: file.realtime,
        base_url: file.base_url,
        rerank_url: file.rerank_url,
        base_url_for: file.base_url_for.into_iter().map(|one| (one.variable, one.value, one.base_url)).collect(),
        variables,
        paths,
        scheme,
        env: file.env,
        base_url_env: file.base_url_env,
        found_by_key: file.found_by_key,
        headers: file.headers,
        quirks,
        source: file.source,
        date: file.date,
    };
    vendor.variables_are_whole()?;
    Ok(vendor)
}

fn scheme(auth: &str) -> Result<Scheme, String> {
    Ok(match auth {
        "none" => Scheme::None,
        "bearer" => Scheme::Bearer,
        "optional-bearer" => Scheme::OptionalBearer,
        "google" => Scheme::Google,
        "aws" => Scheme::Aws,
        "azure" => Scheme::Azure("api-key".to_owned()),
        "azure-anthropic" => Scheme::Azure("x-api-key".to_owned()),
        header if http::HeaderName::from_bytes(header.as_bytes()).is_ok() => Scheme::Header(auth.to_owned()),
        other => return Err(format!("`{other}` is no way to authenticate")),
    })
}

fn quirks(flags: &QuirkFlags) -> Result<Quirks, String> {
    let refused = Members::of(flags.without.iter().map(String::as_str))
        .map_err(|name| format!("`{name}` is no member that can be left out"))?;
    Ok(Quirks {
        no_stream_usage: flags.no_stream_usage,
        max_completion_tokens_as_max_tokens: flags.max_completion_tokens_as_max_tokens,
        no_reasoning_effort: flags.no_reasoning_effort,
        thinking_budget_only: flags.thinking_budget_only,
        no_developer_role: flags.no_developer_role,
        no_message_name: flags.no_message_name,
        tool_choice_any: flags.tool_choice_any,
        no_forced_tool: flags.no_forced_tool,
        no_strict_tools: flags.no_strict_tools,
        no_json_schema: flags.no_json_schema,
        refused,
        anthropic_on_vertex: flags.anthropic_on_vertex,
    })
}
