//! What the gateway remembers of each target between calls: its breaker and its retry budget.
//!
//! Kept apart from the configuration, so that a reload forgets nothing. Keyed by the target's printed name; targets
//! come from configuration alone, so the table grows with it and no further.

use std::{collections::HashMap, sync::Arc, time::Instant};

use parking_lot::RwLock;

use crate::{
    breaker::{Admission, Breaker, BreakerPolicy},
    retry::RetryBudget,
};

/// The memory of one target.
#[derive(Debug)]
pub(crate) struct TargetHealth {
    pub(crate) breaker: Breaker,
    pub(crate) budget: RetryBudget,
}

/// The memory of every target.
#[derive(Debug, Default)]
pub(crate) struct Health {
    targets: RwLock<HashMap<Box<str>, Arc<TargetHealth>>>,
}

impl Health {
    /// The memory of the target called `name`, made at its first call.
    pub(crate) fn of(&self, name: &str, policy: BreakerPolicy, now: Instant) -> Arc<TargetHealth> {
        if let Some(known) = self.targets.read().get(name) {
            return Arc::clone(known);
        }
        let mut targets = self.targets.write();
        let fresh = || {
            Arc::new(TargetHealth {
                breaker: Breaker::new(policy, now),
                budget: RetryBudget::new(now, RetryBudget::FLOOR),
            })
        };
        Arc::clone(targets.entry(name.into()).or_insert_with(fresh))
    }
}

/// One attempt that a breaker let through. Reports to it exactly once: dropped without a word (the caller left), it
/// gives a probe back.
pub(crate) struct Admitted {
    health: Arc<TargetHealth>,
    reported: bool,
}

impl Admitted {
    /// # Errors
    /// What the breaker says where it lets nothing through.
    pub(crate) fn ask(health: &Arc<TargetHealth>, now: Instant) -> Result<Self, Admission> {
        let admission = health.breaker.admit(now);
        if !admission.admits() {
            return Err(admission);
        }
        Ok(Self { health: Arc::clone(health), reported: false })
    }

    pub(crate) fn succeeded(mut self, now: Instant) {
        self.reported = true;
        self.health.breaker.succeeded(now);
    }

    pub(crate) fn failed(mut self, now: Instant) {
        self.reported = true;
        self.health.breaker.failed(now);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.reported {
            self.health.breaker.abandoned(tidegate_core::clock::now());
        }
    }
}
