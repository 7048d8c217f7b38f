//! One scope's money and rates. Owns the counters and every check and change of them; never locks more than itself,
//! never records anything. The ledger locks the accounts of a call, in the order of their scopes, and calls this.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use tidegate_core::{clock::UnixMillis, money::NanoUsd};

use crate::{
    limits::{Bucket, Full},
    period::{Period, PeriodStarts},
    refused::Refused,
    scope::{Budget, Scope, ScopeRules},
};

/// One scope's account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) scope: Scope,
    pub(crate) state: Mutex<State>,
}

impl Account {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, state: Mutex::new(State::default()) }
    }
}

/// An account that a call was charged to, and which of its buckets the call took from: a limit that a reload adds
/// meanwhile is not given back what it never lost.
#[derive(Debug)]
pub(crate) struct Charged {
    pub(crate) account: Arc<Account>,
    pub(crate) requests: bool,
    pub(crate) tokens: bool,
}

/// The accounts of one call: sorted by scope, no scope twice.
pub(crate) type Accounts = SmallVec<[Charged; 4]>;

/// Locks all accounts of a call. They are sorted, so two calls never wait for each other in a circle.
pub(crate) fn lock_all(accounts: &[Charged]) -> SmallVec<[MutexGuard<'_, State>; 4]> {
    accounts.iter().map(|charged| charged.account.state.lock()).collect()
}

/// The counters of one scope. Money is counted for every kind of period, whatever the rules are, so that a budget
/// that a reload adds or changes finds what was already spent.
#[derive(Debug, Default)]
pub(crate) struct State {
    rules: ScopeRules,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    live: u32,
    day: Windows,
    week: Windows,
    month: Windows,
    total: Windows,
}

/// What one period came to. Sums are wider than the amounts in them, so that they cannot overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Window {
    start: UnixMillis,
    pub(crate) reserved: u128,
    pub(crate) settled: u128,
    pub(crate) held: u128,
}

impl Window {
    pub(crate) fn spent(&self) -> u128 {
        self.settled.saturating_add(self.held)
    }

    pub(crate) fn used(&self) -> u128 {
        self.reserved.saturating_add(self.spent())
    }
}

/// The newest periods of one kind, sorted by their start. Several are kept, since the wall clock may jump over a
/// boundary and back, and what was spent before must still be there then.
#[derive(Debug, Default)]
struct Windows(SmallVec<[Window; 1]>);

/// How many periods of a kind are kept; more only while calls that were admitted in them are in flight.
const KEPT: usize = 4;

impl Windows {
    fn at(&self, start: UnixMillis) -> Window {
        self.0.iter().rev().find(|window| window.start == start).copied().unwrap_or_default()
    }

    fn change(&mut self, start: UnixMillis, change: impl FnOnce(&mut Window)) {
        if let Some(window) = self.0.iter_mut().rev().find(|window| window.start == start) {
            change(window);
            return;
        }
        let mut window = Window { start, ..Window::default() };
        change(&mut window);
        let place = self.0.partition_point(|other| other.start < start);
        self.0.insert(place, window);
        if self.0.len() > KEPT
            && let Some(oldest) = self.0.iter().position(|window| window.reserved == 0)
        {
            self.0.remove(oldest);
        }
    }
}

/// A change of what a call holds of an account.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    /// Taken off the reserved money.
    pub(crate) unreserve: NanoUsd,
    /// Taken off what was settled and held before: for calls of which more became known.
    pub(crate) unsettle: NanoUsd,
    pub(crate) unhold: NanoUsd,
    /// Added to what was spent.
    pub(crate) settle: NanoUsd,
    /// Added to what is held as unknown.
    pub(crate) hold: NanoUsd,
}

impl State {
    pub(crate) fn set_rules(&mut self, rules: ScopeRules) {
        let keep = |bucket: Option<Bucket>, rate| match (bucket, rate) {
            (Some(mut bucket), Some(rate)) => {
                bucket.change(rate);
                Some(bucket)
            }
            (None, Some(rate)) => Some(Bucket::new(rate)),
            (_, None) => None,
        };
        self.requests = keep(self.requests.take(), rules.requests);
        self.tokens = keep(self.tokens.take(), rules.tokens);
        self.rules = rules;
    }

    pub(crate) fn rules(&self) -> &ScopeRules {
        &self.rules
    }

    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    pub(crate) fn window(&self, period: Period, start: UnixMillis) -> Window {
        match period {
            Period::Day => self.day.at(start),
            Period::Week => self.week.at(start),
            Period::Month => self.month.at(start),
            Period::Total => self.total.at(start),
        }
    }

    fn windows(&mut self) -> [(Period, &mut Windows); 4] {
        [
            (Period::Day, &mut self.day),
            (Period::Week, &mut self.week),
            (Period::Month, &mut self.month),
            (Period::Total, &mut self.total),
        ]
    }

    /// Whether `cost` fits every hard budget. A call that costs nothing always fits.
    pub(crate) fn check_money(
        &self,
        scope: &Scope,
        cost: Option<NanoUsd>,
        starts: PeriodStarts,
        wall: UnixMillis,
    ) -> Result<(), Refused> {
        for budget in self.rules.budget.iter().filter(|budget| !budget.soft) {
            let Some(asked) = cost else { return Err(Refused::Unpriced { scope: scope.clone() }) };
            let used = self.window(budget.period, starts.of(budget.period)).used();
            let left = left(budget, used);
            if asked > left {
                let resets_at = budget.period.end(starts.of(budget.period));
                return Err(Refused::Budget {
                    scope: scope.clone(),
                    limit: *budget,
                    left,
                    asked,
                    resets_at,
                    retry_after: resets_at.map(|at| at.since(wall)),
                });
            }
        }
        Ok(())
    }

    /// Whether one more call of `tokens` fits rates and concurrency.
    pub(crate) fn check_limits(&mut self, scope: &Scope, tokens: u64, now: Instant) -> Result<(), Refused> {
        if let Some(limit) = self.rules.concurrent
            && self.live >= limit
        {
            return Err(Refused::Concurrent { scope: scope.clone(), limit });
        }
        if let Some(bucket) = &mut self.requests
            && let Err(full) = bucket.check(1, now)
        {
            let retry_after = match full {
                Full::Until(after) => after,
                Full::Never => Duration::MAX,
            };
            return Err(Refused::Requests { scope: scope.clone(), rate: bucket.rate(), retry_after });
        }
        if let Some(bucket) = &mut self.tokens
            && let Err(full) = bucket.check(tokens, now)
        {
            let retry_after = match full {
                Full::Until(after) => Some(after),
                Full::Never => None,
            };
            return Err(Refused::Tokens { scope: scope.clone(), rate: bucket.rate(), asked: tokens, retry_after });
        }
        Ok(())
    }

    /// Takes a call's place in rates and concurrency; says which buckets it took from.
    pub(crate) fn enter(&mut self, tokens: u64) -> (bool, bool) {
        self.live = self.live.saturating_add(1);
        if let Some(bucket) = &mut self.requests {
            bucket.take(1);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens);
        }
        (self.requests.is_some(), self.tokens.is_some())
    }

    /// Gives the place back: always the slot, the request where `void`, and tokens corrected from `asked` to `used`.
    pub(crate) fn leave(&mut self, took: &Charged, void: bool, asked: u64, used: u64) {
        self.live = self.live.saturating_sub(1);
        if let Some(bucket) = self.requests.as_mut().filter(|_| took.requests && void) {
            bucket.give_back(1);
        }
        if let Some(bucket) = self.tokens.as_mut().filter(|_| took.tokens) {
            bucket.give_back(asked.saturating_sub(used));
            bucket.take(used.saturating_sub(asked));
        }
    }

    /// Reserves money in every period.
    pub(crate) fn reserve(&mut self, amount: NanoUsd, starts: PeriodStarts) {
        if amount == NanoUsd::ZERO {
            return;
        }
        for (period, windows) in self.windows() {
            windows.change(starts.of(period), |window| {
                window.reserved = window.reserved.saturating_add(u128::from(amount.0));
            });
        }
    }

    /// The soft budgets that spending `more` carries over their limit. What is spent never shrinks while a call goes
    /// on, so each crossing is told to one call; reservations do shrink, which is why they are not looked at.
    pub(crate) fn breached<'a>(
        &'a self,
        more: NanoUsd,
        starts: PeriodStarts,
    ) -> impl Iterator<Item = Budget> + use<'a> {
        self.rules.budget.iter().copied().filter(move |budget| {
            let spent = self.window(budget.period, starts.of(budget.period)).spent();
            let limit = u128::from(budget.amount.0);
            budget.soft && spent <= limit && spent.saturating_add(u128::from(more.0)) > limit
        })
    }

    /// Changes what a call holds, in the periods it was admitted in.
    pub(crate) fn change(&mut self, starts: PeriodStarts, change: Change) {
        for (period, windows) in self.windows() {
            windows.change(starts.of(period), |window| {
                window.reserved = window.reserved.saturating_sub(u128::from(change.unreserve.0));
                window.settled = window
                    .settled
                    .saturating_sub(u128::from(change.unsettle.0))
                    .saturating_add(u128::from(change.settle.0));
                window.held =
                    window.held.saturating_sub(u128::from(change.unhold.0)).saturating_add(u128::from(change.hold.0));
            });
        }
    }

    /// Adds what was charged before everything else that is known, which counts for the total alone.
    pub(crate) fn carry_over(&mut self, charged: NanoUsd) {
        self.total.change(UnixMillis(0), |window| {
            window.settled = window.settled.saturating_add(u128::from(charged.0));
        });
    }
}

/// What a budget of which `used` is gone has left.
pub(crate) fn left(budget: &Budget, used: u128) -> NanoUsd {
    NanoUsd(u64::try_from(u128::from(budget.amount.0).saturating_sub(used)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
