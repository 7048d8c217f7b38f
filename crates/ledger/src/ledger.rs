//! The ledger of one process: every scope's account, and the calls that hold money nobody knows about. Owns admission
//! of calls (all scopes or none), reload of rules, and the restart; never waits, never does I/O (the store's `record`
//! takes entries without waiting). The proxy reserves here, `compose` restores, the admin API reads standings.
//!
//! A hard budget holds `reserved + settled + held <= amount` at every moment, under any concurrency: a call is checked
//! and charged under the locks of all its scopes. Only a vendor that bills more than was reserved can carry it over,
//! and that is marked as an overrun.
//!
//! Money survives a restart, rates do not: after one, every bucket is full.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tidegate_core::{clock::UnixMillis, ids::CallId, money::NanoUsd};

use crate::{
    account::{Account, Accounts, Change, Charged, left, lock_all},
    period::{Period, PeriodStarts},
    ports::{Attribution, Entry, EntryKind, LedgerStore, StoreError},
    refused::Refused,
    reservation::Reservation,
    scope::{Budget, Scope, ScopeRules},
    settle::{Settled, Settlement},
};

/// What a call asks for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The call.
    pub call: CallId,
    /// The scopes it counts for; order and repetition do not matter.
    pub scopes: &'a [Scope],
    /// Whose it is; provider and target may still be open.
    pub attribution: Attribution,
    /// The most it may cost, with the dearest target it may go to; `None` where one of them has no price.
    pub cost: Option<NanoUsd>,
    /// The most tokens it may use, prompt and answer.
    pub tokens: u64,
    /// The wall clock: decides the calendar periods.
    pub wall: UnixMillis,
    /// The monotonic clock: decides the rates.
    pub now: Instant,
}

/// How one budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetStanding {
    /// The budget.
    pub budget: Budget,
    /// What finished calls cost.
    pub spent: NanoUsd,
    /// What calls in flight hold.
    pub reserved: NanoUsd,
    /// What is held for calls of which nobody knows.
    pub held: NanoUsd,
    /// What is left for new calls.
    pub left: NanoUsd,
    /// When it begins anew.
    pub resets_at: Option<UnixMillis>,
}

/// How one scope stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Its budgets.
    pub budgets: Vec<BudgetStanding>,
    /// Its calls in flight.
    pub live: u32,
}

/// What a restart found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Calls that the store knew.
    pub loaded: usize,
    /// Calls that only the audit log knew, now charged and recorded.
    pub recovered: usize,
    /// Calls among both that hold money nobody knows about.
    pub held: usize,
}

/// The ledger. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    accounts: RwLock<HashMap<Scope, Arc<Account>>>,
    holds: Mutex<BTreeMap<CallId, Hold>>,
    store: Arc<dyn LedgerStore>,
}

/// A call that holds money of which nobody knows whether it was billed.
#[derive(Debug)]
struct Hold {
    entry: Entry,
    expires: UnixMillis,
}

/// How many unresolved calls are listed. Beyond it the oldest are no longer listed, their money stays held.
const MOST_HOLDS: usize = 100_000;

/// The least time that a hold stays listed.
const LEAST_HOLD: Duration = Duration::from_secs(86_400);

/// How far the wall clock may have jumped back at a restart without a period's spend being missed.
const CLOCK_MARGIN: u64 = 7_200_000;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("accounts", &self.accounts.read().len()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Hands a finished call to the store, and keeps it in the list of holds where it holds money.
    pub(crate) fn record(&self, entry: Entry) {
        self.note_hold(&entry);
        self.store.record(entry);
    }

    fn note_hold(&self, entry: &Entry) {
        if entry.held == NanoUsd::ZERO {
            return;
        }
        let month_end = Period::Month.end(Period::Month.start(entry.at)).unwrap_or(entry.at);
        let expires = month_end.max(entry.at.plus(LEAST_HOLD));
        let mut holds = self.holds.lock();
        holds.insert(entry.call, Hold { entry: entry.clone(), expires });
        if holds.len() > MOST_HOLDS {
            holds.pop_first();
        }
    }

    fn account(&self, scope: &Scope) -> Arc<Account> {
        if let Some(account) = self.accounts.read().get(scope) {
            return Arc::clone(account);
        }
        let mut accounts = self.accounts.write();
        let account = accounts.entry(scope.clone()).or_insert_with(|| Arc::new(Account::new(scope.clone())));
        Arc::clone(account)
    }

    fn accounts(&self, scopes: &[Scope]) -> Accounts {
        let mut accounts: Accounts = scopes
            .iter()
            .map(|scope| Charged { account: self.account(scope), requests: false, tokens: false })
            .collect();
        accounts.sort_unstable_by(|a, b| a.account.scope.cmp(&b.account.scope));
        accounts.dedup_by(|a, b| a.account.scope == b.account.scope);
        accounts
    }

    /// Counts a call that holds no reservation: one that ended before this process began, or is charged afterwards.
    fn count(&self, entry: &Entry) {
        let change = Change { settle: entry.cost.unwrap_or_default(), hold: entry.held, ..Change::default() };
        let starts = PeriodStarts::at(entry.at);
        for charged in &self.accounts(&entry.scopes) {
            charged.account.state.lock().change(starts, change);
        }
        self.note_hold(entry);
    }
}

/// The moment from which single entries are needed at a start at `wall`: the begin of the month, of the week and of
/// the last day, whichever is earliest, less a margin for a clock that jumped. What came before counts as a sum.
fn needed_since(wall: UnixMillis) -> UnixMillis {
    let earlier = UnixMillis(wall.0.saturating_sub(CLOCK_MARGIN));
    let day_ago = UnixMillis(earlier.0.saturating_sub(LEAST_HOLD.as_secs().saturating_mul(1_000)));
    PeriodStarts::at(earlier).earliest().min(day_ago)
}

impl Ledger {
    /// An empty ledger that records to `store`.
    #[must_use]
    pub fn new(store: Arc<dyn LedgerStore>) -> Self {
        Self { shared: Arc::new(Shared { accounts: RwLock::default(), holds: Mutex::default(), store }) }
    }

    /// Replaces the rules of every scope; scopes that are not named have none from now on. What was spent, reserved
    /// and used stays counted, also where a budget or limit is new or has another period.
    pub fn configure(&self, mut rules: HashMap<Scope, ScopeRules>) {
        let mut accounts = self.shared.accounts.write();
        for (scope, account) in accounts.iter() {
            account.state.lock().set_rules(rules.remove(scope).unwrap_or_default());
        }
        for (scope, rules) in rules {
            let account = Account::new(scope.clone());
            account.state.lock().set_rules(rules);
            accounts.insert(scope, Arc::new(account));
        }
    }

    /// Admits a call to all of its scopes or to none. Money is looked at before rates, since waiting does not help
    /// there. A call without a price is admitted only where no hard budget is.
    ///
    /// # Errors
    /// The first limit that the call does not fit; nothing is taken then.
    pub fn reserve(&self, ask: Ask<'_>) -> Result<Reservation, Refused> {
        let mut accounts = self.shared.accounts(ask.scopes);
        let starts = PeriodStarts::at(ask.wall);
        let amount = ask.cost.unwrap_or_default();
        let mut took = smallvec::SmallVec::<[(bool, bool); 4]>::new();
        {
            let mut states = lock_all(&accounts);
            for (charged, state) in accounts.iter().zip(&states) {
                state.check_money(&charged.account.scope, ask.cost, starts, ask.wall)?;
            }
            for (charged, state) in accounts.iter().zip(&mut states) {
                state.check_limits(&charged.account.scope, ask.tokens, ask.now)?;
            }
            for state in &mut states {
                state.reserve(amount, starts);
                took.push(state.enter(ask.tokens));
            }
        }
        for (charged, (requests, tokens)) in accounts.iter_mut().zip(took) {
            charged.requests = requests;
            charged.tokens = tokens;
        }
        Ok(Reservation {
            ledger: Arc::clone(&self.shared),
            accounts,
            call: ask.call,
            attribution: ask.attribution,
            at: ask.wall,
            starts,
            amount,
            kept: NanoUsd::ZERO,
            tokens: ask.tokens,
            committed: false,
            ended: false,
        })
    }

    /// Charges what was used without a reservation and is known by now: it counts in every scope, whatever is left there,
    /// and is recorded. Whoever calls sees to it that a call is charged once.
    pub fn charge(&self, entry: Entry) {
        self.shared.count(&entry);
        self.shared.store.record(entry);
    }

    /// Waits until everything recorded so far outlives the process. Blocks on the disk.
    ///
    /// # Errors
    /// Where something could not be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.store.flush()
    }

    /// How `scope` stands at `wall`; `None` for a scope that has neither rules nor calls.
    #[must_use]
    pub fn standing(&self, scope: &Scope, wall: UnixMillis) -> Option<Standing> {
        let account = self.shared.accounts.read().get(scope).map(Arc::clone)?;
        let starts = PeriodStarts::at(wall);
        let narrow = |sum: u128| NanoUsd(u64::try_from(sum).unwrap_or(u64::MAX));
        let state = account.state.lock();
        let budgets = state.rules().budget.iter().map(|budget| {
            let start = starts.of(budget.period);
            let window = state.window(budget.period, start);
            BudgetStanding {
                budget: *budget,
                spent: narrow(window.settled),
                reserved: narrow(window.reserved),
                held: narrow(window.held),
                left: left(budget, window.used()),
                resets_at: budget.period.end(start),
            }
        });
        Some(Standing { budgets: budgets.collect(), live: state.live() })
    }

    /// Rebuilds the balances from the store at a start at `wall`: once, before the first call. `lost` are calls of
    /// which the audit log knows more than the store, because the process died before the store had written: with
    /// their outcome where there is one, else as [`EntryKind::Unknown`] holding what their intent reserved. Those that
    /// the store knows by their id are skipped, the others are charged and recorded, so that nothing is refunded and
    /// nothing counted twice.
    ///
    /// # Errors
    /// Where the store cannot be read; the ledger is then as empty as before.
    pub fn restore(&self, wall: UnixMillis, lost: Vec<Entry>) -> Result<Restored, StoreError> {
        let since = lost.iter().map(|entry| entry.at).fold(needed_since(wall), UnixMillis::min);
        let balances = self.shared.store.balances(since)?;
        let mut calls: HashMap<CallId, Entry> = HashMap::new();
        for entry in self.shared.store.load(since)? {
            calls.insert(entry.call, entry);
        }
        for balance in &balances {
            self.shared.account(&balance.scope).state.lock().carry_over(balance.charged);
        }
        let mut restored = Restored { loaded: calls.len(), ..Restored::default() };
        let mut known: HashSet<CallId> = calls.keys().copied().collect();
        for entry in calls.values() {
            restored.held += usize::from(entry.held != NanoUsd::ZERO);
            self.shared.count(entry);
        }
        for entry in lost {
            if known.insert(entry.call) {
                restored.recovered += 1;
                restored.held += usize::from(entry.held != NanoUsd::ZERO);
                self.shared.count(&entry);
                self.shared.store.record(entry);
            }
        }
        Ok(restored)
    }

    /// The calls that hold money nobody knows about, oldest first, at most `most`.
    #[must_use]
    pub fn holds(&self, most: usize) -> Vec<Entry> {
        self.shared.holds.lock().values().take(most).map(|hold| hold.entry.clone()).collect()
    }

    /// Settles a listed hold with the whole call's cost, now that it is known, and records that. `None` where the call
    /// holds nothing (any more) or `settlement` knows no cost.
    pub fn resolve(&self, call: CallId, settlement: Settlement) -> Option<Settled> {
        let cost = settlement.cost?;
        let hold = self.shared.holds.lock().remove(&call)?;
        let mut entry = hold.entry;
        let change =
            Change { unsettle: entry.cost.unwrap_or_default(), unhold: entry.held, settle: cost, ..Change::default() };
        let accounts = self.shared.accounts(&entry.scopes);
        let starts = PeriodStarts::at(entry.at);
        for state in &mut lock_all(&accounts) {
            state.change(starts, change);
        }
        entry.kind = EntryKind::Settled;
        entry.cost = Some(cost);
        entry.held = NanoUsd::ZERO;
        entry.overrun = cost.saturating_sub(entry.reserved);
        entry.usage = settlement.usage;
        entry.finished = settlement.wall;
        let settled = Settled { cost: Some(cost), overrun: entry.overrun, ..Settled::default() };
        self.shared.store.record(entry);
        Some(settled)
    }

    /// Takes holds off the list whose last calendar period is over and that are older than 24 hours; says how many.
    /// Their money counts as spent in the periods of their call, which are over, and in totals, for good: that time
    /// passed is no reason to believe that nothing was billed.
    pub fn expire(&self, wall: UnixMillis) -> usize {
        let mut holds = self.shared.holds.lock();
        let before = holds.len();
        holds.retain(|_, hold| hold.expires > wall);
        before.saturating_sub(holds.len())
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
