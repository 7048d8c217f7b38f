//! What the configuration makes of providers, models and MCP servers: where calls can be sent.
//!
//! Plain immutable data, shared by reference; health and budgets of a target live in `attempt`, so that a reload of
//! the configuration forgets neither.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderMap;
use tidegate_core::{
    capability::Capabilities,
    ids::{ProviderName, ServerName, TargetId, ToolName},
    money::NanoUsd,
};
use tidegate_ledger::Price;
use tidegate_protocol::llm::{Dialect, Operation, Params, Quirks};
use url::Url;

use crate::{
    address::{self, AddressError},
    breaker::BreakerPolicy,
    clocks::Timeouts,
    credential::Auth,
    mcp::Program,
    retry::RetryPolicy,
};

/// The address of a cloud's metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataUrl(Url);

/// Where bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A server on the network.
    Http {
        /// The base that paths are appended to, for example `https://api.openai.com/v1`.
        url: Url,
        /// Whether it may stand on loopback or a private network, because the configuration named its host for it.
        allow_private: bool,
    },
    /// Where a cloud says who this machine is. Made by this crate alone: no configuration and no caller names one.
    Metadata(MetadataUrl),
    /// The simulator inside this process.
    Sim,
    /// A program that is started, for MCP servers alone.
    Program(Arc<Program>),
}

impl Destination {
    /// A server on the network, from its URL as the configuration gives it.
    ///
    /// # Errors
    /// As [`address::parse_destination`].
    pub fn http(text: &str, allow_private: bool) -> Result<Self, AddressError> {
        Ok(Self::Http { url: address::parse_destination(text)?, allow_private })
    }

    /// A cloud's metadata service.
    pub(crate) fn metadata(text: &str) -> Result<Self, AddressError> {
        Ok(Self::Metadata(MetadataUrl(address::parse_destination(text)?)))
    }

    /// Whether its server is to be verified by a certificate.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Http { url, .. } if url.scheme() == "https")
    }

    /// The path of this base, which everything sent there is below.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Http { url, .. } | Self::Metadata(MetadataUrl(url)) => url.path(),
            Self::Sim => "/v1",
            Self::Program(_) => "",
        }
    }

    /// The URI of `path` under this base. `path` begins with `/`, or is empty for the base itself.
    pub(crate) fn uri(&self, path: &str) -> Result<http::Uri, http::Error> {
        let text = match self {
            Self::Http { url, .. } | Self::Metadata(MetadataUrl(url)) => {
                let base = url.as_str();
                let (base, query) = base.split_once('?').map_or((base, None), |(base, query)| (base, Some(query)));
                let base = if path.is_empty() { base } else { base.trim_end_matches('/') };
                match query {
                    Some(query) => {
                        let sign = if path.contains('?') { '&' } else { '?' };
                        format!("{base}{path}{sign}{query}")
                    }
                    None => format!("{base}{path}"),
                }
            }
            // Never asked for: nothing is sent to a program over HTTP.
            Self::Program(_) => format!("http://program.invalid{path}"),
            Self::Sim => format!("http://sim.invalid{path}"),
        };
        http::Uri::try_from(text).map_err(Into::into)
    }
}

/// Paths below a provider's base that are not those of its dialect. `{model}` in them is the model's name there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paths {
    /// For answers as a whole.
    pub generate: Option<Box<str>>,
    /// For answers as a stream, where that is another path.
    pub stream: Option<Box<str>>,
    /// For completions of the older kind.
    pub complete: Option<Box<str>>,
    /// For embeddings.
    pub embed: Option<Box<str>>,
    /// For counting tokens.
    pub count_tokens: Option<Box<str>>,
}

impl Paths {
    /// Whether every path is the dialect's.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The path of an operation; `None` where it is the dialect's.
    pub(crate) fn of(&self, operation: Operation, stream: bool, model: &str) -> Option<String> {
        let template = match operation {
            Operation::Generate if stream => self.stream.as_ref().or(self.generate.as_ref()),
            Operation::Generate => self.generate.as_ref(),
            Operation::Complete => self.complete.as_ref(),
            Operation::Embed | Operation::EmbedBatch => self.embed.as_ref(),
            Operation::CountTokens => self.count_tokens.as_ref(),
        };
        template.map(|template| template.replace("{model}", &segment(model)))
    }
}

/// A name as one segment of a path: everything but unreserved characters, `:` and `@` is escaped (RFC 3986).
pub(crate) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A vendor, or a server that speaks a vendor's dialect.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: ProviderName,
    /// The wire format it speaks, or the one of several that calls in none of them are written in.
    pub dialect: Dialect,
    /// Further wire formats that it speaks below the same base: callers of these are not translated.
    pub also: Vec<Dialect>,
    /// Where it is.
    pub base: Destination,
    /// Where it ranks documents, where that is not `/rerank` below its base.
    pub rerank: Option<Destination>,
    /// Where its paths are not those of its dialect.
    pub paths: Paths,
    /// How the gateway proves itself to it.
    pub auth: Auth,
    /// In which ways it departs from its dialect.
    pub quirks: Quirks,
    /// Headers that are always sent to it. They win over what a caller sends.
    pub headers: HeaderMap,
    /// Whether it speaks OpenAI's Realtime API at `/realtime` below its base.
    pub realtime: bool,
    /// What a call of its own API is taken to cost, where it may cost something; `None` where nobody said.
    pub api_call: Option<NanoUsd>,
}

impl Provider {
    /// The wire format that a call in the caller's `dialect` reaches it in.
    #[must_use]
    pub fn dialect_for(&self, dialect: Dialect) -> Dialect {
        if self.speaks(dialect) { dialect } else { self.dialect }
    }

    /// Whether it speaks this wire format.
    #[must_use]
    pub fn speaks(&self, dialect: Dialect) -> bool {
        self.dialect == dialect || self.also.contains(&dialect)
    }
}

/// A model at a provider.
#[derive(Debug)]
pub struct Target {
    /// Its name: `provider/model`, the model as the provider knows it.
    pub id: TargetId,
    /// Its provider.
    pub provider: Arc<Provider>,
    /// What it costs; `None` where nobody said.
    pub price: Option<Price>,
    /// The most tokens it generates in one answer, where known.
    pub max_output: Option<u64>,
    /// The longest prompt that it takes, in tokens, where known.
    pub max_input: Option<u64>,
    /// What it takes and gives beside text, as far as that is known.
    pub capabilities: Capabilities,
    /// Its clocks.
    pub timeouts: Timeouts,
    /// How it is retried.
    pub retry: RetryPolicy,
    /// When it is left alone.
    pub breaker: BreakerPolicy,
    /// After how long without an answer the next target is asked beside it; `None` where it never is.
    pub hedge: Option<Duration>,
    /// Parameters that are sent whatever the caller sends.
    pub params: Params,
}

impl Target {
    /// Whether `other` is the same model of the same provider, of which the same is said: what it costs, takes and gives.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.id == other.id
            && (self.max_output, self.max_input) == (other.max_output, other.max_input)
            && self.capabilities == other.capabilities
            && self.params == other.params
            && self.price == other.price
    }
}

/// An MCP server, reached over Streamable HTTP or started as a program.
#[derive(Debug)]
pub struct McpServer {
    /// Its name in the configuration.
    pub name: ServerName,
    /// Its endpoint; requests go to exactly this URL.
    pub base: Destination,
    /// How the gateway proves itself to it.
    pub auth: Auth,
    /// Headers that are always sent to it.
    pub headers: HeaderMap,
    /// Its clocks. `first_event` bounds how long a tool may stay silent.
    pub timeouts: Timeouts,
    /// How it is retried, as far as its calls may be at all.
    pub retry: RetryPolicy,
    /// When it is left alone.
    pub breaker: BreakerPolicy,
    /// The tools that are offered; `None` offers all.
    pub tools: Option<Vec<ToolName>>,
    /// Tools that the configuration declares safe to call twice.
    pub idempotent: BTreeMap<ToolName, bool>,
}

impl McpServer {
    /// Whether the configuration offers `tool`.
    #[must_use]
    pub fn offers(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|name| name.as_str() == tool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_one_segment_of_a_path() {
        let paths = Paths {
            generate: Some("/models/{model}:go".into()),
            stream: Some("/models/{model}:flow".into()),
            ..Paths::default()
        };
        let of = |stream| paths.of(Operation::Generate, stream, "org/m@1?x#y").unwrap();
        assert_eq!(of(false), "/models/org%2Fm@1%3Fx%23y:go");
        assert_eq!(of(true), "/models/org%2Fm@1%3Fx%23y:flow");
        assert_eq!(paths.of(Operation::Embed, false, "m"), None);
    }

    #[test]
    fn paths_are_appended_and_the_bases_query_is_kept() {
        for (base, path, expected) in [
            ("https://api.example.com/v1", "/chat/completions", "https://api.example.com/v1/chat/completions"),
            ("https://api.example.com/v1/", "/chat/completions", "https://api.example.com/v1/chat/completions"),
            ("https://x.example/o?api-version=1", "/chat", "https://x.example/o/chat?api-version=1"),
            (
                "https://x.example/o?api-version=1",
                "/chat?beta=true",
                "https://x.example/o/chat?beta=true&api-version=1",
            ),
            ("https://x.example/mcp/", "", "https://x.example/mcp/"),
        ] {
            let destination = Destination::http(base, false).unwrap();
            assert_eq!(destination.uri(path).unwrap().to_string(), expected);
        }
    }
}
