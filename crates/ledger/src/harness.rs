//! What this crate's tests share: a store in memory, and a ledger with clocks that a test sets. Only for tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tidegate_core::{
    clock::{UnixMillis, now},
    ids::CallId,
    money::NanoUsd,
    usage::{Usage, UsageSource},
};

use crate::{
    ledger::{Ask, Ledger, Standing},
    ports::{Attribution, Balance, Entry, EntryKind, LedgerStore, SpendQuery, SpendRow, StoreError, summarize},
    refused::Refused,
    reservation::Reservation,
    scope::{Scope, ScopeKind, ScopeRules},
    settle::Settlement,
};

/// A store that keeps the last entry of each call, and counts how many came.
#[derive(Default)]
pub(crate) struct Memory {
    entries: Mutex<(usize, BTreeMap<CallId, Entry>)>,
}

impl Memory {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().1.values().cloned().collect()
    }

    pub(crate) fn recorded(&self) -> usize {
        self.entries.lock().unwrap().0
    }
}

impl LedgerStore for Memory {
    fn record(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap();
        entries.0 += 1;
        entries.1.insert(entry.call, entry);
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn load(&self, since: UnixMillis) -> Result<Vec<Entry>, StoreError> {
        Ok(self.entries().into_iter().filter(|entry| entry.at >= since).collect())
    }

    fn balances(&self, before: UnixMillis) -> Result<Vec<Balance>, StoreError> {
        let mut sums: BTreeMap<Scope, NanoUsd> = BTreeMap::new();
        for entry in self.entries().iter().filter(|entry| entry.at < before) {
            for scope in entry.scopes.iter() {
                let sum = sums.entry(scope.clone()).or_default();
                *sum = sum.saturating_add(entry.charged());
            }
        }
        Ok(sums.into_iter().map(|(scope, charged)| Balance { scope, charged }).collect())
    }

    fn spend(&self, query: SpendQuery) -> Result<Vec<SpendRow>, StoreError> {
        Ok(summarize(&self.entries(), query))
    }
}

/// A ledger and its clocks.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) store: Arc<Memory>,
    pub(crate) wall: UnixMillis,
    pub(crate) now: Instant,
}

impl World {
    /// A ledger with these rules for the key `a`, at noon of a Wednesday.
    pub(crate) fn new(rules: ScopeRules) -> Self {
        Self::with(Arc::default(), [(key("a"), rules)])
    }

    pub(crate) fn with(store: Arc<Memory>, rules: impl IntoIterator<Item = (Scope, ScopeRules)>) -> Self {
        let ledger = Ledger::new(Arc::clone(&store) as Arc<dyn LedgerStore>);
        ledger.configure(rules.into_iter().collect::<HashMap<_, _>>());
        Self { ledger, store, wall: at("2026-11-11T12:00:00Z"), now: now() }
    }

    /// Asks for a call of the key `a`.
    pub(crate) fn ask(&self, cost: u64, tokens: u64) -> Result<Reservation, Refused> {
        self.ask_of(&[key("a")], Some(NanoUsd(cost)), tokens)
    }

    pub(crate) fn ask_of(&self, scopes: &[Scope], cost: Option<NanoUsd>, tokens: u64) -> Result<Reservation, Refused> {
        self.ledger.reserve(Ask {
            call: CallId::new(),
            scopes,
            attribution: attribution("a"),
            cost,
            tokens,
            wall: self.wall,
            now: self.now,
        })
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.wall = self.wall.plus(time);
        self.now += time;
    }

    pub(crate) fn standing(&self, scope: &Scope) -> Standing {
        self.ledger.standing(scope, self.wall).unwrap()
    }

    /// Spent, reserved, held and left of the key `a`'s first budget.
    pub(crate) fn money(&self) -> [u64; 4] {
        let standing = self.standing(&key("a")).budgets[0];
        [standing.spent.0, standing.reserved.0, standing.held.0, standing.left.0]
    }

    pub(crate) fn settlement(&self, cost: u64, tokens: u64) -> Settlement {
        Settlement { usage: output(tokens), cost: Some(NanoUsd(cost)), wall: self.wall }
    }

    /// A whole call of the key `a` that costs what it reserved.
    pub(crate) fn spend(&self, cost: u64) {
        let mut reservation = self.ask(cost, 0).unwrap();
        reservation.commit();
        let _ = reservation.settle(self.settlement(cost, 0));
    }
}

pub(crate) fn key(name: &str) -> Scope {
    Scope::new(ScopeKind::Key, name)
}

pub(crate) fn team(name: &str) -> Scope {
    Scope::new(ScopeKind::Team, name)
}

/// Hard budgets, as in the configuration.
pub(crate) fn budgets(texts: &[&str]) -> ScopeRules {
    ScopeRules { budget: texts.iter().map(|text| text.parse().unwrap()).collect(), ..ScopeRules::default() }
}

pub(crate) fn at(text: &str) -> UnixMillis {
    let moment: jiff::Timestamp = text.parse().unwrap();
    UnixMillis(moment.as_millisecond().try_into().unwrap())
}

pub(crate) fn output(tokens: u64) -> Usage {
    Usage { output: tokens, source: UsageSource::Vendor, ..Usage::default() }
}

pub(crate) fn attribution(name: &str) -> Attribution {
    Attribution {
        org: "default".into(),
        key: "abcd1234".parse().unwrap(),
        key_name: name.into(),
        team: Some("research".into()),
        model: Some("chat".into()),
        provider: None,
        target: None,
    }
}

/// A finished call of the key `a` and its team.
pub(crate) fn entry(kind: EntryKind, at: UnixMillis, cost: Option<u64>, held: u64) -> Entry {
    Entry {
        call: CallId::new(),
        attribution: attribution("a"),
        scopes: [key("a"), team("research")].into(),
        at,
        finished: at,
        kind,
        cost: cost.map(NanoUsd),
        held: NanoUsd(held),
        reserved: NanoUsd(cost.unwrap_or_default() + held),
        overrun: NanoUsd::ZERO,
        usage: output(3),
    }
}

pub(crate) const USD: u64 = 1_000_000_000;
