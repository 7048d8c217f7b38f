//! Vendors as data: where each is, what it speaks, how the gateway proves itself there, and its habits.
//!
//! Reads `catalog/providers/*.toml`, which are part of the binary. To add a vendor of a known dialect, add a file there
//! and name it below. Used by `check`, by the snapshot and by whoever looks for providers in the environment.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_protocol::llm::{Dialect, Quirks};

/// How the gateway proves itself to a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all.
    None,
    /// `Authorization: Bearer`, and a key is required.
    Bearer,
    /// `Authorization: Bearer` where a key is given.
    OptionalBearer,
    /// The key alone in this header.
    Header(String),
    /// A signature of AWS, or `Authorization: Bearer` where a key is given.
    Aws,
}

/// A vendor, or a kind of server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendor {
    /// The type's name in the configuration.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The wire format it speaks.
    pub dialect: Dialect,
    /// Further wire formats that it speaks below the same address.
    pub also: Vec<Dialect>,
    /// Its own address, or where such a server usually listens on this machine; `None` for the simulator.
    pub base_url: Option<String>,
    /// How the gateway proves itself there.
    pub scheme: Scheme,
    /// The environment variables that usually hold its key, the first of which counts first.
    pub env: Vec<String>,
    /// The environment variable that usually holds another address.
    pub base_url_env: Option<String>,
    /// Headers that it needs.
    pub headers: BTreeMap<String, String>,
    /// Where it departs from its dialect.
    pub quirks: Quirks,
    /// Where its address and authentication are documented.
    pub source: String,
    /// When its address was last compared with a copy of that page, or of what the file names instead.
    pub date: String,
}

impl Vendor {
    /// Whether this is the simulator inside the gateway.
    #[must_use]
    pub fn is_sim(&self) -> bool {
        self.name == "sim"
    }

    /// Whether it needs a key.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        matches!(self.scheme, Scheme::Bearer | Scheme::Header(_))
    }

    /// Whether such a server runs on this machine as a rule.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.base_url.as_deref().is_some_and(|url| url.starts_with("http://127.0.0.1:"))
    }
}

/// A catalogue file that is wrong: a fault of the build, which a test excludes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("vendor file {file}: {problem}")]
pub struct VendorError {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

/// Every vendor by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendors(BTreeMap<String, Vendor>);

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../catalog/providers/", $name, ".toml")))),*]
    };
}

/// The vendor files, as they are part of the binary.
pub(crate) const FILES: [(&str, &str); 16] = files!(
    "anthropic",
    "bedrock",
    "deepseek",
    "fireworks",
    "google",
    "groq",
    "llama-cpp",
    "lm-studio",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "sim",
    "together",
    "vllm",
    "xai",
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    title: String,
    dialect: String,
    #[serde(default)]
    also: Vec<String>,
    base_url: Option<String>,
    auth: String,
    #[serde(default)]
    env: Vec<String>,
    base_url_env: Option<String>,
    source: String,
    date: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    quirks: QuirkFlags,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct QuirkFlags {
    no_stream_usage: bool,
    max_completion_tokens_as_max_tokens: bool,
    no_reasoning_effort: bool,
    thinking_budget_only: bool,
}

impl Vendors {
    /// The vendors that ship with this release.
    ///
    /// # Errors
    /// Where a shipped file is wrong, which a test excludes.
    pub fn builtin() -> Result<Self, VendorError> {
        let mut vendors = BTreeMap::new();
        for (name, text) in FILES {
            let refuse = |problem: String| VendorError { file: format!("{name}.toml"), problem };
            let file: File = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
            if file.name != name {
                return Err(refuse(format!("it is named `{}` inside", file.name)));
            }
            vendors.insert(file.name.clone(), vendor(file).map_err(refuse)?);
        }
        Ok(Self(vendors))
    }

    /// The vendor of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Vendor> {
        self.0.get(name)
    }

    /// Every vendor, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Vendor> {
        self.0.values()
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn vendor(file: File) -> Result<Vendor, String> {
    let named = |name: &String| Dialect::parse(name).ok_or_else(|| format!("there is no dialect `{name}`"));
    let dialect = named(&file.dialect)?;
    let also = file.also.iter().map(named).collect::<Result<_, _>>()?;
    let scheme = match file.auth.as_str() {
        "none" => Scheme::None,
        "bearer" => Scheme::Bearer,
        "optional-bearer" => Scheme::OptionalBearer,
        "aws" => Scheme::Aws,
        header if http::HeaderName::from_bytes(header.as_bytes()).is_ok() => Scheme::Header(file.auth),
        other => return Err(format!("`{other}` is no way to authenticate")),
    };
    let quirks = Quirks {
        no_stream_usage: file.quirks.no_stream_usage,
        max_completion_tokens_as_max_tokens: file.quirks.max_completion_tokens_as_max_tokens,
        no_reasoning_effort: file.quirks.no_reasoning_effort,
        thinking_budget_only: file.quirks.thinking_budget_only,
    };
    Ok(Vendor {
        name: file.name,
        title: file.title,
        dialect,
        also,
        base_url: file.base_url,
        scheme,
        env: file.env,
        base_url_env: file.base_url_env,
        headers: file.headers,
        quirks,
        source: file.source,
        date: file.date,
    })
}

#[cfg(test)]
mod tests;
