//! Money and rates: what calls may cost, what they did cost, and how many there may be.
//!
//! Owns prices, budgets, rate and concurrency limits, reservations and their settlement, and declares the port
//! through which finished calls are stored. Never does I/O, never waits, never touches floating point. The proxy's
//! stages `reserve` and `settle` call it; `config` fills it with rules and prices; `store` implements its port.

mod account;
pub mod catalog;
#[cfg(test)]
mod harness;
pub mod import;
pub mod ledger;
pub mod limits;
pub mod period;
pub mod ports;
pub mod price;
pub mod refused;
pub mod reservation;
pub mod scope;
pub mod settle;

pub use crate::{
    catalog::{Catalog, CatalogError, ModelInfo},
    ledger::{Ask, BudgetStanding, Ledger, Restored, Standing},
    limits::Rate,
    period::Period,
    ports::{Attribution, Balance, Entry, EntryKind, LedgerStore, SpendBy, SpendQuery, SpendRow, StoreError},
    price::{
        CostSum, Gapped, Level, Most, Price, Rates, Tier, charges, cost, parts,
        units::{PictureRate, UnitPrices},
        upper_bound,
    },
    refused::Refused,
    reservation::Reservation,
    scope::{Budget, Scope, ScopeKind, ScopeRules},
    settle::{Settled, Settlement, SoftBreach},
};
