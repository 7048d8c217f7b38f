//! What is generated from the table of metrics: their reference and the Grafana dashboard.
//!
//! Owns wording and layout. Names come from the table alone, so that neither can name what is not measured. Printed by
//! `tidegate schema --metrics` and `--dashboard`.

use serde_json::{Value, json};
use tidegate_core::metric::{Kind, Metric};

/// `docs/generated/metrics.md`.
pub(crate) fn metrics() -> String {
    let mut out = String::from(
        "# Metrics\nGenerated from the registry by `cargo xtask schemas`. `GET /metrics` shows them in OpenMetrics text; \
         over OTLP they go under the names in the second column (profile A).\n\n\
         | Prometheus | OpenTelemetry | type, unit | labels | says |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in Metric::ALL {
        let of = metric.descriptor();
        let labels: Vec<String> = of.labels.iter().map(|label| format!("`{}`", label.replace('.', "_"))).collect();
        let family = match of.kind {
            Kind::Counter => of.samples().join(""),
            _ => of.prometheus(),
        };
        out.push_str(&format!(
            "| `{family}` | `{}` | {}, `{}` | {} | {} |\n",
            of.name,
            of.kind.as_str(),
            of.unit.ucum(),
            labels.join(", "),
            of.help
        ));
    }
    out.push_str("\nAn empty label is left out. A family has at most 2,000 series; what comes beyond counts under `other`.\n\n## Buckets\n");
    for metric in Metric::ALL {
        if let Kind::Histogram(bounds) = metric.descriptor().kind {
            let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
            out.push_str(&format!("- `{}`: {}\n", metric.descriptor().prometheus(), bounds.join(", ")));
        }
    }
    out
}

/// The first sample of a metric in Prometheus.
fn name(metric: Metric) -> String {
    metric.descriptor().samples().into_iter().next().unwrap_or_default()
}

/// Events a second, by labels.
fn rate(metric: Metric, by: &str) -> String {
    let sum = format!("rate({}[$__rate_interval])", name(metric));
    if by.is_empty() { format!("sum({sum})") } else { format!("sum by ({by}) ({sum})") }
}

/// A quantile of a histogram, by labels.
fn quantile(metric: Metric, share: &str, by: &str) -> String {
    let comma = if by.is_empty() { "" } else { ", " };
    format!("histogram_quantile({share}, sum by (le{comma}{by}) (rate({}[$__rate_interval])))", name(metric))
}

struct Panel {
    title: &'static str,
    unit: &'static str,
    /// Expression and legend.
    lines: Vec<(String, &'static str)>,
}

fn panels() -> Vec<Panel> {
    let panel = |title, unit, lines| Panel { title, unit, lines };
    let requests = name(Metric::Requests);
    vec![
        panel("Requests", "reqps", vec![(rate(Metric::Requests, "surface"), "{{surface}}")]),
        panel(
            "Errors by code",
            "reqps",
            vec![(format!("sum by (error) (rate({requests}{{error!=\"none\"}}[$__rate_interval]))"), "{{error}}")],
        ),
        panel(
            "Gateway's own failures (service level)",
            "percentunit",
            vec![(
                format!("{} / {}", rate(Metric::GatewayFaults, ""), rate(Metric::Requests, "")),
                "share of requests",
            )],
        ),
        panel("Calls in flight", "short", vec![(name(Metric::InFlight), "{{instance}}")]),
        panel(
            "Model calls: duration",
            "s",
            vec![
                (quantile(Metric::ModelDuration, "0.5", "gen_ai_request_model"), "p50 {{gen_ai_request_model}}"),
                (quantile(Metric::ModelDuration, "0.95", "gen_ai_request_model"), "p95 {{gen_ai_request_model}}"),
            ],
        ),
        panel(
            "Streams: time to first chunk",
            "s",
            vec![(quantile(Metric::FirstChunk, "0.95", "gen_ai_request_model"), "p95 {{gen_ai_request_model}}")],
        ),
        panel(
            "Tokens a second",
            "short",
            vec![(rate(Metric::Tokens, "class, gen_ai_request_model"), "{{class}} {{gen_ai_request_model}}")],
        ),
        panel(
            "Spend in dollars an hour",
            "currencyUSD",
            vec![(format!("{} * 3600 / 1e9", rate(Metric::Spend, "key")), "{{key}}")],
        ),
        panel(
            "Attempts at upstreams",
            "reqps",
            vec![(rate(Metric::Attempts, "tidegate_provider, error"), "{{tidegate_provider}} {{error}}")],
        ),
        panel(
            "MCP: duration",
            "s",
            vec![(
                quantile(Metric::ToolDuration, "0.95", "tidegate_server, mcp_method_name"),
                "p95 {{tidegate_server}} {{mcp_method_name}}",
            )],
        ),
        panel(
            "The gateway's own work on a call",
            "s",
            vec![(quantile(Metric::OwnDuration, "0.5", ""), "p50"), (quantile(Metric::OwnDuration, "0.99", ""), "p99")],
        ),
        panel("Stages", "s", vec![(quantile(Metric::StageDuration, "0.99", "stage"), "p99 {{stage}}")]),
        panel(
            "Guardrail findings",
            "short",
            vec![(rate(Metric::Findings, "guardrail, action"), "{{guardrail}} {{action}}")],
        ),
        panel("Refused before the caller was known", "reqps", vec![(rate(Metric::Unidentified, ""), "refused")]),
        panel(
            "Revision: active, and rejected",
            "short",
            vec![
                (name(Metric::Revision), "active {{instance}}"),
                (name(Metric::RejectedRevision), "rejected {{instance}}"),
            ],
        ),
        panel("Audit log writable", "short", vec![(name(Metric::AuditWritable), "{{instance}}")]),
        panel(
            "Telemetry that was dropped",
            "short",
            vec![(rate(Metric::TelemetryDropped, "signal, reason"), "{{signal}} {{reason}}")],
        ),
    ]
}

/// `deploy/grafana/tidegate.json`.
pub(crate) fn dashboard() -> Value {
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    let panels: Vec<Value> = (0_u32..)
        .zip(panels())
        .map(|(at, panel)| {
            let targets: Vec<Value> = ('A'..='Z')
                .zip(&panel.lines)
                .map(|(id, (expression, legend))| {
                    json!({ "refId": id.to_string(), "datasource": source, "expr": expression, "legendFormat": legend })
                })
                .collect();
            json!({
                "id": at.saturating_add(1),
                "title": panel.title,
                "type": "timeseries",
                "datasource": source,
                "gridPos": { "h": 8, "w": 12, "x": at % 2 * 12, "y": at / 2 * 8 },
                "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
                "targets": targets,
            })
        })
        .collect();
    json!({
        "uid": "tidegate",
        "title": "Tidegate",
        "tags": ["tidegate"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [{ "name": "datasource", "type": "datasource", "query": "prometheus" }] },
        "panels": panels,
    })
}
