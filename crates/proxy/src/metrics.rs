//! What the data plane measures, in the words of `core`'s registry.
//!
//! Labels hold names from the configuration and the closed sets of the code; where one is a caller's own text (a model's
//! name at a provider, a tool's), the registry bounds their number. Never decides, never holds content.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tidegate_core::{
    event::{Stage, StageEvent, StageVerdict},
    facts::{GuardAction, GuardVerdict},
    fault::{AttemptReport, FaultCode, FaultOrigin, Phase},
    metric::{Metric, Registry, Series},
    usage::Usage,
};

/// Who answered a model call, as its labels say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelLabels<'a> {
    pub(crate) operation: &'static str,
    /// The vendor, by its name in the conventions.
    pub(crate) vendor: &'a str,
    pub(crate) model: &'a str,
    /// The provider, by its name in the configuration.
    pub(crate) provider: &'a str,
}

/// Verdicts in the order of the pre-resolved series.
const VERDICTS: [&str; 4] = ["pass", "changed", "refused", "failed"];

/// Every metric of the data plane.
pub struct Metrics {
    registry: Arc<Registry>,
    /// One series a stage and verdict, resolved when first needed: these are recorded a dozen times a call.
    stages: [[OnceLock<Arc<Series>>; 4]; Stage::ALL.len()],
    pub(crate) in_flight: InFlight,
    /// Refusals before the caller was known, and sheds: they leave no record each.
    pub(crate) unidentified: Arc<Series>,
    finished: AtomicU64,
    own_failures: AtomicU64,
}

/// How many requests are in flight.
pub(crate) struct InFlight(Arc<Series>);

impl InFlight {
    pub(crate) fn inc(&self) {
        self.0.shift(1.0);
    }

    pub(crate) fn dec(&self) {
        self.0.shift(-1.0);
    }

    pub(crate) fn get(&self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "it counts requests")]
        let count = self.0.level() as i64;
        count
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Arc::new(Registry::new()))
    }
}

impl Metrics {
    /// The data plane's measures in `registry`.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        // At zero from the start, so that the first fault is a rise that a rate sees.
        for code in [FaultCode::Internal, FaultCode::AuditUnavailable, FaultCode::Overloaded] {
            for surface in ["openai", "anthropic", "gemini", "mcp"] {
                registry.add(Metric::GatewayFaults, &[code.as_str(), surface], 0);
            }
        }
        Self {
            stages: Default::default(),
            in_flight: InFlight(registry.handle(Metric::InFlight, &[])),
            unidentified: registry.handle(Metric::Unidentified, &[]),
            finished: AtomicU64::new(0),
            own_failures: AtomicU64::new(0),
            registry,
        }
    }

    /// Notes which revision is active, and which one was rejected since.
    pub fn revision(&self, active: u64, rejected: Option<u64>) {
        #[expect(clippy::cast_precision_loss, reason = "revisions are counted one by one")]
        let number = |number: u64| number as f64;
        self.registry.set(Metric::Revision, &[], number(active));
        self.registry.set(Metric::RejectedRevision, &[], rejected.map_or(0.0, number));
    }

    /// Notes whether the audit log takes records.
    pub fn audit_writable(&self, writable: bool) {
        self.registry.set(Metric::AuditWritable, &[], f64::from(u8::from(writable)));
    }

    /// Counts a question to a cache, by what it had.
    pub(crate) fn cache_looked_up(&self, result: &'static str) {
        self.registry.add(Metric::CacheLookups, &[result], 1);
    }

    /// Counts a definition that a server gives in place of a pinned one.
    pub fn definition_changed(&self, server: &str) {
        self.registry.add(Metric::DefinitionChanges, &[server], 1);
    }

    /// Notes how many tools are not as pinned.
    pub fn changed_tools(&self, count: usize) {
        #[expect(clippy::cast_precision_loss, reason = "tools are counted one by one")]
        self.registry.set(Metric::ChangedTools, &[], count as f64);
    }

    /// The registry as Prometheus' text format (OpenMetrics 1.0).
    #[must_use]
    pub fn text(&self) -> String {
        self.registry.text()
    }

    pub(crate) fn stage(&self, event: &StageEvent) {
        let at = match event.verdict {
            StageVerdict::Pass => 0,
            StageVerdict::Changed => 1,
            StageVerdict::Refused => 2,
            StageVerdict::Failed => 3,
        };
        let slot = self.stages.get(event.stage as usize).and_then(|verdicts| verdicts.get(at));
        let (Some(slot), Some(verdict)) = (slot, VERDICTS.get(at)) else { return };
        slot.get_or_init(|| self.registry.handle(Metric::StageDuration, &[event.stage.as_str(), verdict]))
            .observe(f64::from(event.micros) / 1e6);
    }

    /// The gateway's own work on a call that has ended: every stage but the dispatch.
    pub(crate) fn own_work(&self, surface: &'static str, stages: &[StageEvent]) {
        let own = stages.iter().filter(|event| event.stage != Stage::Dispatch);
        let micros: u64 = own.map(|event| u64::from(event.micros)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 52 bits")]
        self.registry.observe(Metric::OwnDuration, &[surface], micros as f64 / 1e6);
    }

    pub(crate) fn finding(&self, verdict: &GuardVerdict) {
        let action = match verdict.action {
            GuardAction::Label => "label",
            GuardAction::Tokenize => "tokenize",
            GuardAction::Redact => "redact",
            GuardAction::Block => "block",
        };
        let labels = [verdict.guardrail.as_str(), &verdict.category, action];
        self.registry.add(Metric::Findings, &labels, u64::from(verdict.count));
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
        // The registry of statuses knows three digits; 499 (the caller left) among them.
        let status = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        self.registry.add(Metric::Requests, &[surface, action, status.as_str(), error], 1);
        let finished = self.finished.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let own = fault.is_some_and(|(_, origin)| origin == FaultOrigin::Internal);
        if own {
            self.registry.add(Metric::GatewayFaults, &[error, surface], 1);
        }
        let failures = self.own_failures.fetch_add(u64::from(own), Ordering::Relaxed).saturating_add(u64::from(own));
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
        self.registry.set(Metric::FailureRatio, &[], failures as f64 / finished as f64);
    }

    pub(crate) fn model_duration(&self, labels: ModelLabels<'_>, error: &str, seconds: f64) {
        let ModelLabels { operation, vendor, model, provider } = labels;
        self.registry.observe(Metric::ModelDuration, &[operation, vendor, model, error, provider], seconds);
    }

    pub(crate) fn first_chunk(&self, labels: ModelLabels<'_>, seconds: f64) {
        let ModelLabels { operation, vendor, model, provider } = labels;
        self.registry.observe(Metric::FirstChunk, &[operation, vendor, model, provider], seconds);
    }

    pub(crate) fn tool_duration(&self, method: &str, tool: &str, error: &str, server: &str, seconds: f64) {
        self.registry.observe(Metric::ToolDuration, &[method, tool, error, server], seconds);
    }

    /// Counts attempts: `reports` of one call.
    pub(crate) fn attempts(&self, reports: &[AttemptReport]) {
        for report in reports {
            let provider = report.target.split('/').next().unwrap_or_default();
            let phase = match report.phase {
                Phase::Refused => "refused",
                Phase::Connect => "connect",
                Phase::FirstEvent => "first_event",
                Phase::Events => "events",
                Phase::Done => "done",
            };
            let error = report.timing.as_ref().and_then(|timing| timing.fault.as_deref()).unwrap_or("none");
            self.registry.add(Metric::Attempts, &[provider, phase, error], 1);
        }
    }

    pub(crate) fn usage(&self, labels: ModelLabels<'_>, usage: &Usage) {
        let ModelLabels { operation, vendor, model, provider } = labels;
        for (kind, tokens) in [("input", usage.prompt_total()), ("output", usage.output)] {
            #[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 52 bits")]
            let tokens = tokens as f64;
            self.registry.observe(Metric::TokenUsage, &[operation, vendor, model, kind, provider], tokens);
        }
        let classes = [
            ("input", usage.prompt_total()),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write_5m.saturating_add(usage.cache_write_1h)),
            ("reasoning", usage.reasoning),
        ];
        for (class, tokens) in classes {
            self.registry.add(Metric::Tokens, &[operation, vendor, model, class, provider], tokens);
        }
    }

    pub(crate) fn spent(&self, key: &str, team: Option<&str>, cost: tidegate_core::money::NanoUsd) {
        self.registry.add(Metric::Spend, &[key, team.unwrap_or_default()], cost.0);
    }
}
