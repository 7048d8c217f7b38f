//! An OpenTelemetry collector on loopback that keeps what it gets, read with OpenTelemetry's own types.
//!
//! Owns the decoding, so that what the gateway writes by hand is judged by other people's code. Tests alone call it.

use std::{collections::BTreeMap, io, time::Duration};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::Metric,
    trace::v1::Span,
};
use prost::Message as _;
use tidegate_core::clock;

pub use opentelemetry_proto::tonic::{
    metrics::v1::{HistogramDataPoint, NumberDataPoint, metric::Data, number_data_point},
    trace::v1::{span::SpanKind, status::StatusCode},
};

use crate::scripted::{Received, Reply, Scripted};

/// A running collector; dropped, it is gone.
pub struct Collector {
    upstream: Scripted,
}

/// A span with what surrounds it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The span.
    pub span: Span,
    /// The attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// The schema of its scope.
    pub schema: String,
}

impl Seen {
    /// The span's attributes as text.
    #[must_use]
    pub fn attributes(&self) -> BTreeMap<String, String> {
        texts(&self.span.attributes)
    }

    /// One attribute as text; empty where it is not there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> String {
        self.attributes().remove(name).unwrap_or_default()
    }
}

impl Collector {
    /// Starts a collector that takes everything.
    ///
    /// # Errors
    /// Where no port is to be had.
    pub async fn start() -> io::Result<Self> {
        Self::playing([Reply::new(200, "application/x-protobuf", &[], [])]).await
    }

    /// Starts a collector that answers by a script; its last reply is repeated.
    ///
    /// # Errors
    /// Where no port is to be had.
    pub async fn playing(script: impl IntoIterator<Item = Reply>) -> io::Result<Self> {
        Ok(Self { upstream: Scripted::start(script).await? })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.upstream.url("")
    }

    /// The requests so far, as they came.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.upstream.received()
    }

    fn bodies(&self, path: &str) -> Vec<bytes::Bytes> {
        self.received().into_iter().filter(|request| request.path == path).map(|request| request.body).collect()
    }

    /// Every span so far.
    ///
    /// # Panics
    /// Where what came is no OTLP.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test fails on what is no OTLP")]
    pub fn spans(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for body in self.bodies("/v1/traces") {
            let request = ExportTraceServiceRequest::decode(body).expect("traces are OTLP");
            for of_resource in request.resource_spans {
                let resource = texts(&of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
                for scope in of_resource.scope_spans {
                    let schema = scope.schema_url;
                    let spans = scope.spans.into_iter();
                    seen.extend(spans.map(|span| Seen { span, resource: resource.clone(), schema: schema.clone() }));
                }
            }
        }
        seen
    }

    /// The spans of the trace with this id in hexadecimal.
    #[must_use]
    pub fn trace(&self, id: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|seen| hex(&seen.span.trace_id) == id).collect()
    }

    /// The metrics of the last request for metrics.
    ///
    /// # Panics
    /// Where what came is no OTLP.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test fails on what is no OTLP")]
    pub fn metrics(&self) -> Vec<Metric> {
        let Some(body) = self.bodies("/v1/metrics").pop() else { return Vec::new() };
        let request = ExportMetricsServiceRequest::decode(body).expect("metrics are OTLP");
        let scopes = request.resource_metrics.into_iter().flat_map(|of_resource| of_resource.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }

    /// Waits until `seen` is true of this collector; false after `limit`.
    pub async fn until(&self, limit: Duration, seen: impl Fn(&Self) -> bool) -> bool {
        let end = clock::now().checked_add(limit);
        loop {
            if seen(self) {
                return true;
            }
            if end.is_none_or(|end| clock::now() >= end) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Attributes as text.
#[must_use]
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => {
            let all: Vec<String> = list.values.iter().map(|value| text(Some(value))).collect();
            all.join(",")
        }
        _ => String::new(),
    }
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
