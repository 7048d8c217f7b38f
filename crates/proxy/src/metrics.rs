//! What Prometheus reads. Names follow the OpenTelemetry GenAI conventions (v1.41) where they have one, with units as
//! Prometheus wants them; the gateway's own stand under `tidegate_`.
//!
//! Labels hold names from the configuration and the closed sets of the code only: never a caller's text, so that their
//! number is bounded.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tidegate_core::{
    event::{StageEvent, StageVerdict},
    facts::GuardVerdict,
    fault::FaultOrigin,
};

/// Upper bounds of durations in seconds, as the GenAI conventions give them.
const DURATION: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Upper bounds of tokens, as the GenAI conventions give them.
const TOKENS: [f64; 14] = [
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

/// Upper bounds of a stage's duration in seconds: the gateway's own work is micros.
const STAGE: [f64; 10] = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct CallLabels {
    pub(crate) gen_ai_operation_name: &'static str,
    pub(crate) gen_ai_provider_name: String,
    pub(crate) gen_ai_request_model: String,
    pub(crate) error_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TokenLabels {
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    surface: &'static str,
    action: &'static str,
    status: u16,
    error: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FaultLabels {
    code: &'static str,
    surface: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FindingLabels {
    guardrail: String,
    category: String,
    action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SpendLabels {
    key: String,
    team: String,
}

type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every metric of the data plane.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    model_duration: Seconds<CallLabels>,
    tool_duration: Seconds<CallLabels>,
    tokens: Seconds<TokenLabels>,
    stages: Seconds<StageLabels>,
    gateway_faults: Family<FaultLabels, Counter>,
    failure_ratio: Gauge<f64, AtomicU64>,
    revision: Gauge,
    rejected_revision: Gauge,
    findings: Family<FindingLabels, Counter>,
    spend: Family<SpendLabels, Counter>,
    pub(crate) in_flight: Gauge,
    /// Refusals before the caller was known, and sheds: they leave no record each.
    pub(crate) unidentified: Counter,
    finished: AtomicU64,
    own_failures: AtomicU64,
}

fn durations() -> Histogram {
    Histogram::new(DURATION)
}

fn token_sizes() -> Histogram {
    Histogram::new(TOKENS)
}

fn stage_durations() -> Histogram {
    Histogram::new(STAGE)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero, registered.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            model_duration: Family::new_with_constructor(durations),
            tool_duration: Family::new_with_constructor(durations),
            tokens: Family::new_with_constructor(token_sizes),
            stages: Family::new_with_constructor(stage_durations),
            gateway_faults: Family::default(),
            failure_ratio: Gauge::default(),
            revision: Gauge::default(),
            rejected_revision: Gauge::default(),
            findings: Family::default(),
            spend: Family::default(),
            in_flight: Gauge::default(),
            unidentified: Counter::default(),
            finished: AtomicU64::new(0),
            own_failures: AtomicU64::new(0),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("tidegate_requests", "Finished calls", self.requests.clone());
        registry.register_with_unit(
            "gen_ai_client_operation_duration",
            "Duration of model calls",
            Unit::Seconds,
            self.model_duration.clone(),
        );
        registry.register_with_unit(
            "mcp_client_operation_duration",
            "Duration of tool calls and other MCP requests",
            Unit::Seconds,
            self.tool_duration.clone(),
        );
        registry.register("gen_ai_client_token_usage", "Tokens of model calls", self.tokens.clone());
        registry.register_with_unit(
            "tidegate_stage_duration",
            "Duration of each stage of the pipeline",
            Unit::Seconds,
            self.stages.clone(),
        );
        registry.register(
            "tidegate_gateway_fault",
            "Calls that failed through the gateway's own doing",
            self.gateway_faults.clone(),
        );
        registry.register(
            "tidegate_gateway_failure_ratio",
            "Calls that failed through the gateway's own doing, of all finished calls since the start",
            self.failure_ratio.clone(),
        );
        registry.register("tidegate_revision_number", "Number of the active revision", self.revision.clone());
        registry.register(
            "tidegate_revision_rejected_number",
            "Number of the revision that was rejected last, while the one before it keeps serving; 0 where none is",
            self.rejected_revision.clone(),
        );
        registry.register("tidegate_guard_findings", "What guardrails found", self.findings.clone());
        registry.register("tidegate_spend_nano_usd", "Settled cost in billionths of a dollar", self.spend.clone());
        registry.register("tidegate_calls_in_flight", "Calls in flight", self.in_flight.clone());
        registry.register(
            "tidegate_unidentified_refusals",
            "Requests refused before their caller was known",
            self.unidentified.clone(),
        );
    }

    /// Notes which revision is active, and which one was rejected since.
    pub fn revision(&self, active: u64, rejected: Option<u64>) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.revision.set(number(active));
        self.rejected_revision.set(rejected.map_or(0, number));
    }

    /// The registry as Prometheus' text format (OpenMetrics 1.0).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }

    pub(crate) fn stage(&self, event: &StageEvent) {
        let verdict = match event.verdict {
            StageVerdict::Pass => "pass",
            StageVerdict::Changed => "changed",
            StageVerdict::Refused => "refused",
            StageVerdict::Failed => "failed",
        };
        let labels = StageLabels { stage: event.stage.as_str(), verdict };
        self.stages.get_or_create(&labels).observe(f64::from(event.micros) / 1e6);
    }

    pub(crate) fn finding(&self, verdict: &GuardVerdict) {
        let action = match verdict.action {
            tidegate_core::facts::GuardAction::Label => "label",
            tidegate_core::facts::GuardAction::Redact => "redact",
            tidegate_core::facts::GuardAction::Block => "block",
        };
        let labels =
            FindingLabels { guardrail: verdict.guardrail.to_string(), category: verdict.category.to_string(), action };
        self.findings.get_or_create(&labels).inc_by(u64::from(verdict.count));
    }

    /// Counts a finished call, identified or not.
    pub(crate) fn finished(
        &self,
        surface: &'static str,
        action: &'static str,
        status: u16,
        fault: Option<(&'static str, FaultOrigin)>,
    ) {
        let error = fault.map_or("none", |(code, _)| code);
        self.requests.get_or_create(&RequestLabels { surface, action, status, error }).inc();
        let finished = self.finished.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let own = fault.is_some_and(|(_, origin)| origin == FaultOrigin::Internal);
        if own {
            self.gateway_faults.get_or_create(&FaultLabels { code: error, surface }).inc();
        }
        let failures = self.own_failures.fetch_add(u64::from(own), Ordering::Relaxed).saturating_add(u64::from(own));
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
        self.failure_ratio.set(failures as f64 / finished as f64);
    }

    pub(crate) fn duration(&self, is_tool: bool, labels: &CallLabels, seconds: f64) {
        let family = if is_tool { &self.tool_duration } else { &self.model_duration };
        family.get_or_create(labels).observe(seconds);
    }

    pub(crate) fn usage(&self, provider: &str, model: &str, usage: &tidegate_core::usage::Usage) {
        for (kind, tokens) in [("input", usage.prompt_total()), ("output", usage.output)] {
            let labels = TokenLabels {
                gen_ai_provider_name: provider.to_owned(),
                gen_ai_request_model: model.to_owned(),
                gen_ai_token_type: kind,
            };
            #[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 52 bits")]
            self.tokens.get_or_create(&labels).observe(tokens as f64);
        }
    }

    pub(crate) fn spent(&self, key: &str, team: Option<&str>, cost: tidegate_core::money::NanoUsd) {
        let labels = SpendLabels { key: key.to_owned(), team: team.unwrap_or_default().to_owned() };
        self.spend.get_or_create(&labels).inc_by(cost.0);
    }
}
