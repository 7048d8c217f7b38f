//! What a call came to. Owns the arithmetic of settling: actual cost against reservation, shares that stay held,
//! overrun. Pure; reservations call it.

use tidegate_core::{clock::UnixMillis, money::NanoUsd, usage::Usage};

use crate::scope::{Budget, Scope};

/// What is known of a finished call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The tokens that the answering attempt used: the vendor's count, or an estimate where it gave none.
    pub usage: Usage,
    /// What they cost. `None` where the answering target has no price; on a call that reserved money the reservation
    /// then stays held, since nobody knows.
    pub cost: Option<NanoUsd>,
    /// When the call ended.
    pub wall: UnixMillis,
}

/// A soft budget that a call's cost carried over its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftBreach {
    /// Whose budget.
    pub scope: Scope,
    /// The budget.
    pub budget: Budget,
}

/// What a call was charged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// What the answering attempt cost; `None` where that is not known.
    pub cost: Option<NanoUsd>,
    /// What stays held for attempts that may have been billed.
    pub kept_unknown: NanoUsd,
    /// By how much the cost was above what was reserved for the answering attempt. It is charged all the same.
    pub overrun: NanoUsd,
    /// The soft budgets that it carried over their limit. Each crossing is told to one call; it is also logged.
    pub soft_breaches: Vec<SoftBreach>,
}

impl Settled {
    /// What the budgets are charged: the cost and what stays held.
    #[must_use]
    pub fn charged(&self) -> NanoUsd {
        self.cost.unwrap_or_default().saturating_add(self.kept_unknown)
    }

    /// Settles `cost` against a reservation of `amount`, of which `kept` belongs to attempts before the answering one.
    pub(crate) fn of(amount: NanoUsd, kept: NanoUsd, cost: Option<NanoUsd>) -> Self {
        match cost {
            Some(_) => Self {
                cost,
                kept_unknown: kept,
                overrun: cost.unwrap_or_default().saturating_sub(amount.saturating_sub(kept)),
                soft_breaches: Vec::new(),
            },
            None => Self { kept_unknown: amount, ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests;
