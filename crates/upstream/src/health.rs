//! What the gateway remembers of each target between calls: its breaker and its load; and of each provider: its retry
//! budget.
//!
//! Kept apart from the configuration, so that a reload forgets nothing. Keyed by the target's printed name; targets
//! come from configuration alone, so the table grows with it and no further.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::{
    breaker::{Admission, Breaker, BreakerPolicy},
    load::Load,
    retry::RetryBudget,
    route::Measure,
};

/// The memory of one target.
#[derive(Debug)]
pub(crate) struct TargetHealth {
    pub(crate) breaker: Breaker,
    pub(crate) load: Load,
}

/// The memory of every target.
#[derive(Debug, Default)]
pub(crate) struct Health {
    targets: RwLock<HashMap<Box<str>, Arc<TargetHealth>>>,
    budgets: RwLock<HashMap<Box<str>, Arc<RetryBudget>>>,
}

/// Whether a target takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It does.
    Up,
    /// One call goes to it as a probe, whose result decides.
    Probing,
    /// It failed too often and is left alone for so long.
    Down(Duration),
    /// It asked to be left alone for so long.
    Cooling(Duration),
}

impl Availability {
    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Probing => "probing",
            Self::Down(_) => "down",
            Self::Cooling(_) => "cooling",
        }
    }
}

/// How a target that was called stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetView {
    /// The target, server or provider.
    pub name: String,
    /// Whether it takes calls.
    pub availability: Availability,
    /// How soon its answers begin of late; nothing before the first.
    pub latency: Duration,
    /// Calls in flight.
    pub in_flight: u32,
}

impl Health {
    /// The memory of the target called `name`, made at its first call.
    pub(crate) fn of(&self, name: &str, policy: BreakerPolicy, now: Instant) -> Arc<TargetHealth> {
        if let Some(known) = self.targets.read().get(name) {
            return Arc::clone(known);
        }
        let mut targets = self.targets.write();
        let fresh = || Arc::new(TargetHealth { breaker: Breaker::new(policy, now), load: Load::new(now) });
        Arc::clone(targets.entry(name.into()).or_insert_with(fresh))
    }

    /// The retry budget of the provider or server called `name`, made at its first call.
    pub(crate) fn budget(&self, name: &str, now: Instant) -> Arc<RetryBudget> {
        if let Some(known) = self.budgets.read().get(name) {
            return Arc::clone(known);
        }
        let mut budgets = self.budgets.write();
        let fresh = || Arc::new(RetryBudget::new(now, RetryBudget::FLOOR));
        Arc::clone(budgets.entry(name.into()).or_insert_with(fresh))
    }

    /// How the target called `name` stands; as one that is idle and well where it was never called.
    pub(crate) fn measure(&self, name: &str, now: Instant) -> Measure {
        let targets = self.targets.read();
        let Some(health) = targets.get(name) else { return Measure::default() };
        Measure {
            available: health.breaker.look(now).admits(),
            latency_cost: health.load.cost(now),
            busy: health.load.busy(),
        }
    }

    /// Every target that was called, by name.
    pub(crate) fn views(&self, now: Instant) -> Vec<TargetView> {
        let targets = self.targets.read();
        let mut views: Vec<TargetView> = targets
            .iter()
            .map(|(name, health)| TargetView {
                name: name.to_string(),
                availability: match health.breaker.look(now) {
                    Admission::Closed => Availability::Up,
                    Admission::Probe => Availability::Probing,
                    Admission::Open(pause) => Availability::Down(pause),
                    Admission::Cooling(pause) => Availability::Cooling(pause),
                },
                latency: health.load.latency(now),
                in_flight: health.load.busy(),
            })
            .collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
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
        health.load.enter();
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
        self.health.load.leave();
        if !self.reported {
            self.health.breaker.abandoned(tidegate_core::clock::now());
        }
    }
}
