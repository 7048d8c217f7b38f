//! How long guardrails may look, and what becomes of text that one could not look at.
//!
//! Owns the time that a look has taken and which guardrails failed in it: by their limit, or by a panic of a detector.
//! A guardrail that failed is a finding of its own, so that records, metrics and policies learn of it the way they learn
//! of everything that guardrails say. Reads the clock between pieces of text, and only where a guardrail has a limit.
//! The chain asks it; the proxy makes one for each request and answer, a stream's window one for each stream.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;
use tidegate_core::{clock, facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{finding::Finding, spec::OnError};

/// What finds that a guardrail failed.
const DETECTOR: &str = "guardrail";

/// Why a guardrail could not look at a text to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Its time was over.
    Timeout,
    /// A detector of it gave up.
    Panic,
}

impl Failure {
    /// The category of the finding.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Timeout => "guardrail.timeout",
            Self::Panic => "guardrail.error",
        }
    }
}

/// How one guardrail behaves when it fails.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) guardrail: GuardrailName,
    pub(crate) limit: Option<Duration>,
    pub(crate) on_error: OnError,
}

impl Terms {
    /// Whether a look that has taken so long is over for it.
    pub(crate) fn is_late(&self, elapsed: Duration) -> bool {
        self.limit.is_some_and(|limit| elapsed > limit)
    }
}

/// The time of one look, and who failed in it.
#[derive(Debug, Default)]
pub struct Watch {
    started: Cell<Option<Instant>>,
    failed: RefCell<SmallVec<[(Terms, Failure); 1]>>,
    told: Cell<usize>,
}

impl Watch {
    /// A look that begins now; `limited` where a guardrail has a limit, so that time counts.
    pub(crate) fn begin(limited: bool) -> Self {
        Self { started: Cell::new(limited.then(clock::now)), ..Self::default() }
    }

    /// Another look begins; who failed stays failed.
    pub(crate) fn again(&self) {
        if self.started.get().is_some() {
            self.started.set(Some(clock::now()));
        }
    }

    /// How long this look has taken; `None` where time does not count.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.started.get().map(|started| clock::now().saturating_duration_since(started))
    }

    /// Notes that a guardrail failed.
    pub(crate) fn fail(&self, terms: &Terms, failure: Failure) {
        if !self.has_failed(&terms.guardrail) {
            self.failed.borrow_mut().push((terms.clone(), failure));
        }
    }

    pub(crate) fn has_failed(&self, guardrail: &GuardrailName) -> bool {
        self.failed.borrow().iter().any(|(terms, _)| terms.guardrail == *guardrail)
    }

    /// Whether nothing failed.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed.borrow().is_empty()
    }

    /// The failures that were not told yet, as findings without a place: one that is closed blocks.
    #[must_use]
    pub fn failures(&self, origin: Origin) -> SmallVec<[Finding; 1]> {
        let failed = self.failed.borrow();
        let new = failed.get(self.told.get()..).unwrap_or_default();
        self.told.set(failed.len());
        new.iter()
            .map(|(terms, failure)| Finding {
                range: 0..0,
                detector: DETECTOR,
                category: Arc::from(failure.category()),
                guardrail: terms.guardrail.clone(),
                action: match terms.on_error {
                    OnError::Closed => GuardAction::Block,
                    OnError::Open => GuardAction::Label,
                },
                origin,
                replacement: None,
            })
            .collect()
    }
}
