//! Where telemetry goes, and how much of it: what the configuration makes of `telemetry.otlp`.
//!
//! Plain immutable data, swapped whole when the configuration changes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::HeaderMap;

use crate::target::Destination;

/// Which names the GenAI conventions are spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// v1.41 of the semantic conventions: what backends know.
    #[default]
    A,
    /// The conventions that moved to a repository of their own (gen-ai 1.42.0), still in development.
    B,
}

impl Profile {
    /// The schema that names are from.
    #[must_use]
    pub fn schema(self) -> &'static str {
        match self {
            Self::A => "https://opentelemetry.io/schemas/1.41.0",
            Self::B => "https://opentelemetry.io/schemas/gen-ai/1.42.0",
        }
    }
}

/// A provider or MCP server, as spans name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The vendor by its name in the conventions; empty for MCP servers.
    pub vendor: Arc<str>,
    /// Its host.
    pub address: Arc<str>,
    /// Its port.
    pub port: u16,
}

impl Place {
    /// The place of a destination, under `vendor`.
    #[must_use]
    pub fn of(destination: &Destination, vendor: &str) -> Self {
        let (address, port) = match destination {
            Destination::Http { url, .. } => {
                (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0))
            }
            _ => ("", 0),
        };
        Self { vendor: Arc::from(vendor), address: Arc::from(address), port }
    }
}

/// The vendor's name in the conventions (`gen_ai.provider.name`), from its name in the catalogue. A vendor that the
/// conventions do not know keeps its own.
#[must_use]
pub fn vendor(catalogue: &str) -> &str {
    match catalogue {
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" | "google" => "gcp.gemini",
        "vertex" => "gcp.vertex_ai",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

/// Where telemetry goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector's base, to which `/v1/traces` and `/v1/metrics` are appended.
    pub endpoint: Destination,
    /// Headers of every request to it.
    pub headers: HeaderMap,
    /// Which names are spoken.
    pub profile: Profile,
    /// The share of traces that begin here and are sent, from 0 to 1. A trace that a caller began follows the caller.
    pub sample: f64,
    /// Whether what was said is sent too, as guardrails let it through.
    pub content: bool,
    /// How often metrics are sent.
    pub interval: Duration,
    /// What this process is, for `Resource`.
    pub resource: Vec<(Arc<str>, Arc<str>)>,
    /// Providers and MCP servers by their names in the configuration.
    pub places: HashMap<Arc<str>, Place>,
}

/// How often metrics are sent where nothing is set.
pub const INTERVAL: Duration = Duration::from_secs(60);
