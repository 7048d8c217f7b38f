//! Where traces and metrics are sent, as users write it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::{
    provider::Headers,
    read::{Field, Reader, choice, object},
    scalar::Time,
};
use crate::{
    codes,
    node::{Node, Value},
};

object! {
    /// What is told to other systems of what the gateway does. `/metrics` and the log need no setting.
    #[derive(Default)]
    pub struct Telemetry("telemetry settings") {
        required {}
        optional {
            /// An OpenTelemetry collector that gets traces and metrics; without it, `OTEL_EXPORTER_OTLP_ENDPOINT` names
            /// one, or nothing is sent.
            #[schemars(example = serde_json::json!({ "endpoint": "http://127.0.0.1:4318" }))]
            pub otlp: Option<Otlp>,
        }
        later {
            "prometheus": "remove it: metrics are at `/metrics` without any setting",
            "logs": "remove it: the log is JSON lines on stderr; `--log` sets how much",
        }
    }
}

object! {
    /// An OpenTelemetry collector, reached over OTLP/HTTP with protobuf.
    pub struct Otlp("an OTLP destination") {
        required {
            /// Its base: `/v1/traces` and `/v1/metrics` are appended. A private or loopback address is reached only
            /// because it is named here.
            #[schemars(example = &"http://127.0.0.1:4318")]
            pub endpoint: String = "http://127.0.0.1:4318",
        }
        optional {
            /// Headers of every request to it: texts or references.
            #[schemars(example = serde_json::json!({ "authorization": "env:OTLP_AUTHORIZATION" }))]
            pub headers: Headers,
            /// Which names of the GenAI conventions are spoken. `a` is the rule.
            #[schemars(example = &"a")]
            pub profile: TelemetryProfile,
            /// The share of traces that are sent, from 0 to 1; without it, all. A trace that the caller began
            /// (`traceparent`) is sent where the caller says that it is sampled.
            #[schemars(example = 0.1)]
            pub sample: Option<Share>,
            /// Whether spans hold what was said. `off` is the rule.
            #[schemars(example = &"off")]
            pub content: TelemetryContent,
            /// How often metrics are sent; without it, every 60 seconds.
            #[schemars(example = &"60s")]
            pub interval: Option<Time>,
        }
        later {
            "protocol": "remove it: it is OTLP over HTTP with protobuf, on port 4318 of most collectors",
            "compression": "remove it",
        }
    }
}

choice! {
    /// Names of the GenAI conventions.
    #[derive(Default)]
    pub enum TelemetryProfile {
        /// Version 1.41 of the semantic conventions, which backends know.
        #[default]
        A = "a",
        /// The conventions' own repository, still in development.
        B = "b",
    }
    later {}
}

choice! {
    /// What spans hold of what was said.
    #[derive(Default)]
    pub enum TelemetryContent {
        /// Nothing.
        #[default]
        Off = "off",
        /// What guardrails let through.
        Redacted = "redacted",
    }
    later {
        "full": "use `redacted`",
    }
}

/// A share of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Share(pub f64);

impl Field for Share {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let share = match &node.value {
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            Value::Number(number) => Some(*number).filter(|share| (0.0..=1.0).contains(share)),
            _ => None,
        };
        if share.is_none() {
            let message = format!("expected a share from 0 to 1, found {}", node.describe());
            reader.problem(codes::OUT_OF_RANGE, node, message, "write for example `0.1` for a tenth");
        }
        share.map(Self)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "A share of a whole, from 0 to 1.",
            "examples": [0.1],
        })
    }
}
