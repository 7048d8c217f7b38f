//! Vendors as data: where each is, what it speaks, how the gateway proves itself there, and its habits.
//!
//! Reads `catalog/providers/*.toml`, which are part of the binary. To add a vendor of a known dialect, add a file there,
//! name it below and add its fixture. Used by `check`, by the snapshot and by whoever looks for providers in the
//! environment.

mod file;
#[cfg(test)]
mod fixtures;
mod reference;
mod template;

use std::collections::BTreeMap;

use tidegate_protocol::llm::{Dialect, Quirks};
use tidegate_upstream::Paths;

pub use reference::reference;
pub use template::{SETTINGS, Variable, allowed, fits};

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
    /// The key in this header, or a token of Microsoft Entra ID as a bearer.
    Azure(String),
    /// A token of Google's as a bearer.
    Google,
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
    /// Its own address, or where such a server usually listens on this machine; `None` for the simulator. Its
    /// `{variables}` are filled from the provider's own settings.
    pub base_url: Option<String>,
    /// Where documents are ranked, where that is not `/rerank` below its own address.
    pub rerank_url: Option<String>,
    /// Other addresses, for some values of one variable: the variable, its value, the address.
    pub base_url_for: Vec<(String, String, String)>,
    /// What has to be known of an account before its address is.
    pub variables: Vec<Variable>,
    /// Whether it speaks OpenAI's Realtime API at `/realtime` below the same address.
    pub realtime: bool,
    /// Paths that are not those of its dialect.
    pub paths: Paths,
    /// How the gateway proves itself there.
    pub scheme: Scheme,
    /// The environment variables that usually hold its key, the first of which counts first.
    pub env: Vec<String>,
    /// The environment variable that usually holds another address.
    pub base_url_env: Option<String>,
    /// Whether a key in its usual variable, or an answer at its usual port, is enough to take it for a provider. Not
    /// where such a thing is there for other reasons.
    pub found_by_key: bool,
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
        matches!(self.scheme, Scheme::Bearer | Scheme::Header(_) | Scheme::Azure(_))
    }

    /// Whether its credential can be a token that is asked for, and not a key.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        matches!(self.scheme, Scheme::Azure(_) | Scheme::Google)
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
pub(crate) const FILES: [(&str, &str); 66] = files!(
    "ai21",
    "anthropic",
    "azure-ai",
    "azure-anthropic",
    "azure-openai",
    "azure-openai-classic",
    "baseten",
    "bedrock",
    "cerebras",
    "chutes",
    "cohere",
    "crusoe",
    "dashscope",
    "databricks",
    "deepinfra",
    "deepseek",
    "featherless",
    "fireworks",
    "friendli",
    "github-models",
    "gmi",
    "google",
    "groq",
    "huggingface",
    "hyperbolic",
    "inference-net",
    "jina",
    "lambda",
    "llama-cpp",
    "lm-studio",
    "meta-llama",
    "minimax",
    "minimax-anthropic",
    "mistral",
    "moonshot",
    "nebius",
    "novita",
    "nscale",
    "nvidia-nim",
    "ollama",
    "openai",
    "openrouter",
    "oracle",
    "ovhcloud",
    "perplexity",
    "sambanova",
    "scaleway",
    "sglang",
    "siliconflow",
    "sim",
    "snowflake-cortex",
    "tgi",
    "together",
    "upstage",
    "venice",
    "vercel",
    "vertex",
    "vertex-anthropic",
    "vertex-openai",
    "vllm",
    "volcengine",
    "voyage",
    "workers-ai",
    "xai",
    "zai",
    "zhipu",
);

impl Vendors {
    /// The vendors that ship with this release.
    ///
    /// # Errors
    /// Where a shipped file is wrong, which a test excludes.
    pub fn builtin() -> Result<Self, VendorError> {
        let mut vendors = BTreeMap::new();
        for (name, text) in FILES {
            let refuse = |problem: String| VendorError { file: format!("{name}.toml"), problem };
            let vendor = file::read(text).map_err(refuse)?;
            if vendor.name != name {
                return Err(refuse(format!("it is named `{}` inside", vendor.name)));
            }
            vendors.insert(name.to_owned(), vendor);
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

#[cfg(test)]
mod tests;
