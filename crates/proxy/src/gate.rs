//! Everything that a call meets on its way, in one place: what `compose` wires and the stages use.

use std::sync::Arc;

use tidegate_audit::{Audit, blob::BlobQueue};
use tidegate_config::{identity::KeyTable, live::Live};
use tidegate_core::calls::CallIndex;
use tidegate_ledger::Ledger;
use tidegate_upstream::{Upstream, export::Exporter};

use crate::{
    answers::Answers, batches::Batches, discovery::Discovery, floods::Floods, live::Registry, metrics::Metrics,
    owners::Owners, repeats::Repeats, session::Sessions,
};

/// The parts of the data plane.
pub struct Gate {
    /// The configuration that is active, and the last one that was refused.
    pub live: Arc<Live>,
    /// The keys, by their digests.
    pub keys: Arc<KeyTable>,
    /// Budgets and limits.
    pub ledger: Ledger,
    /// The log.
    pub audit: Arc<Audit>,
    /// Where bodies are kept; `None` where this process keeps none.
    pub blobs: Option<Arc<BlobQueue>>,
    /// Who is told which tools servers list.
    pub discovery: Arc<dyn Discovery>,
    /// The only way out.
    pub upstream: Arc<Upstream>,
    /// Finished calls, for people.
    pub calls: Arc<dyn CallIndex>,
    /// Calls in flight.
    pub registry: Registry,
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// The way out for traces.
    pub export: Arc<Exporter>,
    /// MCP sessions of callers.
    pub sessions: Sessions,
    /// Answers that are given again.
    pub repeats: Repeats,
    /// Answers that are given again to the same question.
    pub answers: Answers,
    /// Refusals that are only counted.
    pub floods: Floods,
    /// The gateway's own batches.
    pub batches: Batches,
    /// Which provider keeps which stored response.
    pub owners: Owners,
}
