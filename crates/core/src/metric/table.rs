//! What is measured: every metric of the gateway with its name, unit, labels and buckets.
//!
//! Names follow the OpenTelemetry GenAI and MCP conventions (v1.41) where those have one; the gateway's own stand under
//! `tidegate.`. Labels hold names from the configuration and the closed sets of the code, and where a name is a caller's
//! own (a model's at a provider, a tool's), the registry's bound holds.

/// Upper bounds of durations in seconds, as the GenAI conventions give them.
const DURATION: &[f64] = &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Upper bounds of durations of MCP operations in seconds, as the MCP conventions give them.
const MCP_DURATION: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Upper bounds of tokens, as the GenAI conventions give them.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Upper bounds of the gateway's own work in seconds: it is a matter of micros.
const OWN_WORK: &[f64] = &[0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0];

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Sorts observations into buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The kind's name in OpenMetrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What a metric counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A share between 0 and 1.
    Ratio,
    /// Billionths of a dollar.
    NanoUsd,
    /// Things, named for OpenTelemetry: `{token}`.
    Of(&'static str),
}

impl Unit {
    /// The unit's name in OpenTelemetry (UCUM).
    #[must_use]
    pub fn ucum(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Ratio => "1",
            Self::NanoUsd => "{nano_usd}",
            Self::Of(things) => things,
        }
    }

    /// What a name in Prometheus ends with.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::NanoUsd => "nano_usd",
            Self::Of(_) => "",
        }
    }
}

/// One metric, described.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Descriptor {
    /// Its name in OpenTelemetry.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// Its labels, by their names in OpenTelemetry.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: &'static str,
}

impl Descriptor {
    /// The family's name in Prometheus: dots become underscores, the unit comes last.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let name = self.name.replace('.', "_");
        let suffix = self.unit.suffix();
        if suffix.is_empty() || name.ends_with(suffix) { name } else { format!("{name}_{suffix}") }
    }

    /// The names of this family's samples in Prometheus.
    #[must_use]
    pub fn samples(&self) -> Vec<String> {
        let name = self.prometheus();
        match self.kind {
            Kind::Counter => vec![format!("{name}_total")],
            Kind::Gauge => vec![name],
            Kind::Histogram(_) => ["bucket", "count", "sum"].iter().map(|part| format!("{name}_{part}")).collect(),
        }
    }
}

macro_rules! metrics {
    ($($(#[$meta:meta])* $metric:ident = $name:literal, $kind:expr, $unit:expr, [$($label:literal),*], $help:literal;)*) => {
        /// A metric of the gateway.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric { $(#[doc = $help] $metric,)* }

        impl Metric {
            /// Every metric, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$metric,)*];

            /// What it is.
            #[must_use]
            pub fn descriptor(self) -> &'static Descriptor {
                match self {
                    $(Self::$metric => &const {
                        Descriptor { name: $name, kind: $kind, unit: $unit, labels: &[$($label),*], help: $help }
                    },)*
                }
            }
        }
    };
}

metrics! {
    Requests = "tidegate.requests", Kind::Counter, Unit::Of("{request}"),
        ["surface", "action", "status", "error"],
        "Finished requests, by the surface they came to, what was asked, the HTTP status and the error code (`none`: no error)";
    InFlight = "tidegate.calls.in_flight", Kind::Gauge, Unit::Of("{call}"), [],
        "Requests in flight";
    Unidentified = "tidegate.unidentified.refusals", Kind::Counter, Unit::Of("{request}"), [],
        "Requests refused before their caller was known";
    ModelDuration = "gen_ai.client.operation.duration", Kind::Histogram(DURATION), Unit::Seconds,
        ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "error.type", "tidegate.provider"],
        "Duration of model calls, from the first byte of the request to the last of the answer";
    FirstChunk = "gen_ai.client.operation.time_to_first_chunk", Kind::Histogram(DURATION), Unit::Seconds,
        ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "tidegate.provider"],
        "Time from the dispatch of a streamed model call to the first event of its answer, failed attempts included";
    TokenUsage = "gen_ai.client.token.usage", Kind::Histogram(TOKENS), Unit::Of("{token}"),
        ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type", "tidegate.provider"],
        "Tokens of a model call: the whole prompt (`input`) and everything generated (`output`)";
    Tokens = "tidegate.tokens", Kind::Counter, Unit::Of("{token}"),
        ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "class", "tidegate.provider"],
        "Tokens by class: `input` is the whole prompt, of which `cache_read` and `cache_write` are parts; `output` includes `reasoning`";
    ToolDuration = "mcp.client.operation.duration", Kind::Histogram(MCP_DURATION), Unit::Seconds,
        ["mcp.method.name", "gen_ai.tool.name", "error.type", "tidegate.server"],
        "Duration of requests to MCP servers, from the first byte of the request to the last of the answer";
    Attempts = "tidegate.attempts", Kind::Counter, Unit::Of("{attempt}"),
        ["tidegate.provider", "phase", "error"],
        "Attempts at providers and MCP servers, by how far they came and the error code (`none`: answered)";
    StageDuration = "tidegate.stage.duration", Kind::Histogram(OWN_WORK), Unit::Seconds,
        ["stage", "verdict"],
        "Duration of each stage of the pipeline";
    OwnDuration = "tidegate.gateway.duration", Kind::Histogram(OWN_WORK), Unit::Seconds,
        ["surface"],
        "The gateway's own work on a call: all stages but the dispatch";
    GatewayFaults = "tidegate.gateway.fault", Kind::Counter, Unit::Of("{request}"),
        ["code", "surface"],
        "Requests that failed through the gateway's own doing: the service level";
    FailureRatio = "tidegate.gateway.failure_ratio", Kind::Gauge, Unit::Ratio, [],
        "Requests that failed through the gateway's own doing, of all finished ones since the start";
    Findings = "tidegate.guard.findings", Kind::Counter, Unit::Of("{finding}"),
        ["guardrail", "category", "action"],
        "What guardrails found";
    Spend = "tidegate.spend.nano_usd", Kind::Counter, Unit::NanoUsd,
        ["key", "team"],
        "Settled cost in billionths of a dollar";
    Revision = "tidegate.revision.number", Kind::Gauge, Unit::Of("{revision}"), [],
        "Number of the active revision";
    RejectedRevision = "tidegate.revision.rejected.number", Kind::Gauge, Unit::Of("{revision}"), [],
        "Number of the revision that was rejected last, while the one before it keeps serving; 0 where none is";
    CacheLookups = "tidegate.cache.lookups", Kind::Counter, Unit::Of("{lookup}"), ["result"],
        "Calls of models with a cache, by what it had: hit, miss, or refresh where the caller wanted a new answer";
    DefinitionChanges = "tidegate.tool.definition.changes", Kind::Counter, Unit::Of("{change}"),
        ["server"],
        "Definitions of tools that were seen in place of pinned ones";
    ChangedTools = "tidegate.tools.changed", Kind::Gauge, Unit::Of("{tool}"), [],
        "Tools whose definition is not the one that was pinned";
    AuditWritable = "tidegate.audit.writable", Kind::Gauge, Unit::Of("{state}"), [],
        "1 where the audit log takes records, else 0: then no call is sent upstream";
    TelemetrySent = "tidegate.telemetry.sent", Kind::Counter, Unit::Of("{item}"),
        ["signal"],
        "Spans and data points that the OpenTelemetry collector took";
    TelemetryDropped = "tidegate.telemetry.dropped", Kind::Counter, Unit::Of("{item}"),
        ["signal", "reason"],
        "Calls' traces (`queue_full`), spans and data points (`refused`, `unreachable`) that never reached the OpenTelemetry collector";
    LogSuppressed = "tidegate.log.suppressed", Kind::Counter, Unit::Of("{line}"), [],
        "Lines of the log that were left out since too many of their kind came in one second";
    SeriesOverflow = "tidegate.metric.overflow", Kind::Counter, Unit::Of("{record}"),
        ["metric"],
        "Records that found no room for a series of their own and were counted under `other`";
}
