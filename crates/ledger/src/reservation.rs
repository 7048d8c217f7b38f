//! A call's hold on budgets and limits, from admission to settlement. Owns the life of one reservation; never decides
//! whether a call fits (the accounts do). The proxy's `reserve` stage gets one, dispatch commits and extends it,
//! `settle` consumes it.
//!
//! Dropped before [`Reservation::commit`] it is void: money, tokens and the request count are given back. Dropped
//! after, the whole amount stays held as unknown, since the vendor may have billed it; tokens and the request count
//! stay used. The concurrency slot is given back in every case.

use std::sync::Arc;

use tidegate_core::{
    clock::{UnixMillis, wall},
    ids::CallId,
    money::NanoUsd,
    usage::Usage,
};

use crate::{
    account::{Accounts, Change, lock_all},
    ledger::Shared,
    period::PeriodStarts,
    ports::{Attribution, Entry, EntryKind},
    refused::Refused,
    settle::{Settled, Settlement, SoftBreach},
};

/// What one call holds of its scopes' budgets and limits.
#[derive(Debug)]
#[must_use = "dropping a reservation gives everything back"]
pub struct Reservation {
    pub(crate) ledger: Arc<Shared>,
    pub(crate) accounts: Accounts,
    pub(crate) call: CallId,
    pub(crate) attribution: Attribution,
    pub(crate) at: UnixMillis,
    pub(crate) starts: PeriodStarts,
    pub(crate) amount: NanoUsd,
    pub(crate) kept: NanoUsd,
    pub(crate) tokens: u64,
    pub(crate) committed: bool,
    pub(crate) ended: bool,
}

/// How a reservation ends.
struct Ending {
    kind: EntryKind,
    settled: Settled,
    usage: Usage,
    tokens: u64,
    wall: UnixMillis,
}

impl Reservation {
    /// The call it is for.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call
    }

    /// What is reserved in all, shares of earlier attempts included.
    #[must_use]
    pub fn amount(&self) -> NanoUsd {
        self.amount
    }

    /// What the next attempt may cost: what is reserved, without the shares that earlier attempts keep.
    #[must_use]
    pub fn available(&self) -> NanoUsd {
        self.amount.saturating_sub(self.kept)
    }

    /// Whether anything may have been sent.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.committed
    }

    /// Whose the call is and where it went, to be completed with provider and target once they are known.
    pub fn attribution_mut(&mut self) -> &mut Attribution {
        &mut self.attribution
    }

    /// Says that the first byte is about to leave: from here on only a settlement gives anything back.
    pub fn commit(&mut self) {
        self.committed = true;
    }

    /// Keeps `share` for an attempt that ended without a bill but may have been billed; at most what is available.
    /// The next attempt needs [`Reservation::extend`] for what is then missing.
    pub fn keep_share(&mut self, share: NanoUsd) {
        self.committed = true;
        self.kept = self.kept.saturating_add(share.min(self.available()));
    }

    /// Reserves `more` on every scope, in the periods the call was admitted in; all of them or none.
    ///
    /// # Errors
    /// [`Refused::Budget`] where it does not fit; the reservation stays as it was.
    pub fn extend(&mut self, more: NanoUsd) -> Result<(), Refused> {
        let mut states = lock_all(&self.accounts);
        for (charged, state) in self.accounts.iter().zip(&states) {
            state.check_money(&charged.account.scope, Some(more), self.starts, self.at)?;
        }
        for state in &mut states {
            state.reserve(more, self.starts);
        }
        drop(states);
        self.amount = self.amount.saturating_add(more);
        Ok(())
    }

    /// Leaves the scopes that `stays` does not name, as if they had not been asked: for those of places that the call
    /// did not go to after all. Where an attempt keeps a share, since it may have been billed, every scope stays.
    pub fn narrow(&mut self, stays: impl Fn(&crate::scope::Scope) -> bool) {
        if self.kept != NanoUsd::ZERO {
            return;
        }
        let all = std::mem::take(&mut self.accounts);
        let (stay, gone): (Accounts, Accounts) = all.into_iter().partition(|took| stays(&took.account.scope));
        let change = Change { unreserve: self.amount, ..Change::default() };
        for (took, state) in gone.iter().zip(&mut lock_all(&gone)) {
            state.change(self.starts, change);
            state.leave(took, true, self.tokens, 0);
        }
        self.accounts = stay;
    }

    /// Replaces the reservation by what the call really came to. Shares of earlier attempts stay held. A cost above
    /// what was reserved is charged in full and marked as overrun. Tokens are corrected: what was reserved too much is
    /// given back, what was used beyond becomes debt that later calls wait for.
    pub fn settle(mut self, settlement: Settlement) -> Settled {
        let settled = Settled::of(self.amount, self.kept, settlement.cost);
        self.end(Ending {
            kind: EntryKind::Settled,
            settled,
            usage: settlement.usage,
            tokens: settlement.usage.total(),
            wall: settlement.wall,
        })
    }

    fn end(&mut self, ending: Ending) -> Settled {
        self.ended = true;
        let mut settled = ending.settled;
        let charged = settled.charged();
        let change = Change {
            unreserve: self.amount,
            settle: settled.cost.unwrap_or_default(),
            hold: settled.kept_unknown,
            ..Change::default()
        };
        {
            let mut states = lock_all(&self.accounts);
            for (took, state) in self.accounts.iter().zip(&mut states) {
                if self.amount != NanoUsd::ZERO || charged != NanoUsd::ZERO {
                    settled.soft_breaches.extend(
                        state
                            .breached(charged, self.starts)
                            .map(|budget| SoftBreach { scope: took.account.scope.clone(), budget }),
                    );
                    state.change(self.starts, change);
                }
                state.leave(took, ending.kind == EntryKind::Void, self.tokens, ending.tokens);
            }
        }
        for breach in &settled.soft_breaches {
            tracing::warn!(scope = %breach.scope, budget = %breach.budget, "a soft budget is overspent");
        }
        self.ledger.record(Entry {
            call: self.call,
            attribution: self.attribution.clone(),
            scopes: self.accounts.iter().map(|took| took.account.scope.clone()).collect(),
            at: self.at,
            finished: ending.wall,
            kind: ending.kind,
            cost: settled.cost,
            held: settled.kept_unknown,
            reserved: self.amount,
            overrun: settled.overrun,
            usage: ending.usage,
        });
        settled
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let ending = if self.committed {
            Ending {
                kind: EntryKind::Unknown,
                settled: Settled::of(self.amount, self.kept, None),
                usage: Usage::default(),
                tokens: self.tokens,
                wall: wall(),
            }
        } else {
            Ending {
                kind: EntryKind::Void,
                settled: Settled { cost: Some(NanoUsd::ZERO), ..Settled::default() },
                usage: Usage::default(),
                tokens: 0,
                wall: wall(),
            }
        };
        self.end(ending);
    }
}

#[cfg(test)]
mod tests;
