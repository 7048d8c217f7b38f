//! The ledger against a model that is too simple to be wrong: random calls over three scopes and a clock that jumps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::harness::{World, at, budgets, key, output, team};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        scopes: u8,
        cost: u64,
    },
    Commit(usize),
    Keep(usize, u64),
    Extend(usize, u64),
    Settle(usize, Option<u64>),
    Drop(usize),
    /// Minutes forward, or back.
    Clock(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0_usize..12;
    prop_oneof![
        4 => (1_u8..8, 0_u64..60).prop_map(|(scopes, cost)| Step::Ask { scopes, cost }),
        2 => which.clone().prop_map(Step::Commit),
        1 => (which.clone(), 0_u64..60).prop_map(|(at, share)| Step::Keep(at, share)),
        1 => (which.clone(), 0_u64..40).prop_map(|(at, more)| Step::Extend(at, more)),
        2 => (which.clone(), prop::option::weighted(0.9, 0_u64..60)).prop_map(|(at, cost)| Step::Settle(at, cost)),
        2 => which.prop_map(Step::Drop),
        1 => (-60_i64..240).prop_map(Step::Clock),
    ]
}

/// Reserved, settled and held of one scope in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    reserved: u64,
    settled: u64,
    held: u64,
    overrun: u64,
}

/// A call in flight as the model knows it.
struct Call {
    reservation: Reservation,
    scopes: Vec<Scope>,
    at: UnixMillis,
    amount: u64,
    kept: u64,
    committed: bool,
}

const LIMITS: [(Period, u64); 2] = [(Period::Day, 100), (Period::Total, 400)];

#[derive(Default)]
struct Model {
    sums: BTreeMap<(Scope, Period, UnixMillis), Sum>,
}

impl Model {
    fn sum(&mut self, scope: &Scope, period: Period, wall: UnixMillis) -> &mut Sum {
        self.sums.entry((scope.clone(), period, period.start(wall))).or_default()
    }

    fn fits(&mut self, scopes: &[Scope], wall: UnixMillis, more: u64) -> bool {
        more == 0
            || scopes.iter().all(|scope| {
                LIMITS.iter().all(|(period, limit)| {
                    let sum = *self.sum(scope, *period, wall);
                    sum.reserved + sum.settled + sum.held + more <= *limit
                })
            })
    }

    fn change(&mut self, scopes: &[Scope], wall: UnixMillis, change: impl Fn(&mut Sum)) {
        for scope in scopes {
            for (period, _) in LIMITS {
                change(self.sum(scope, period, wall));
            }
        }
    }
}

fn all_scopes() -> [Scope; 3] {
    [key("a"), key("b"), team("t")]
}

fn close(model: &mut Model, call: Call, cost: Option<u64>, wall: UnixMillis) -> bool {
    let (amount, kept) = (call.amount, call.kept);
    let settled = call.reservation.settle(Settlement { usage: output(1), cost: cost.map(NanoUsd), wall });
    let overrun = cost.map_or(0, |cost| cost.saturating_sub(amount - kept));
    model.change(&call.scopes, call.at, |sum| {
        sum.reserved -= amount;
        sum.settled += cost.unwrap_or(0);
        sum.held += if cost.is_some() { kept } else { amount };
        sum.overrun += overrun;
    });
    settled.overrun.0 == overrun
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    // The amounts are nano-dollars, so that budgets are full after a few calls.
    let rules = budgets(&["0.0000001 usd/day", "0.0000004 usd/total"]);
    let mut world = World::with(Arc::default(), all_scopes().map(|scope| (scope, rules.clone())));
    world.wall = at("2026-11-30T20:00:00Z");
    let mut model = Model::default();
    let mut calls: Vec<Call> = Vec::new();
    for step in steps {
        match step {
            Step::Ask { scopes, cost } => {
                let scopes: Vec<Scope> = all_scopes()
                    .into_iter()
                    .enumerate()
                    .filter(|(bit, _)| scopes >> bit & 1 == 1)
                    .map(|s| s.1)
                    .collect();
                let result = world.ask_of(&scopes, Some(NanoUsd(cost)), 0);
                prop_assert_eq!(result.is_ok(), model.fits(&scopes, world.wall, cost));
                if let Ok(reservation) = result {
                    model.change(&scopes, world.wall, |sum| sum.reserved += cost);
                    calls.push(Call { reservation, scopes, at: world.wall, amount: cost, kept: 0, committed: false });
                }
            }
            Step::Commit(at) => {
                if let Some(call) = calls.get_mut(at) {
                    call.reservation.commit();
                    call.committed = true;
                }
            }
            Step::Keep(at, share) => {
                if let Some(call) = calls.get_mut(at) {
                    call.reservation.keep_share(NanoUsd(share));
                    call.kept += share.min(call.amount - call.kept);
                    call.committed = true;
                    prop_assert_eq!(call.reservation.available().0, call.amount - call.kept);
                }
            }
            Step::Extend(at, more) => {
                if let Some(call) = calls.get_mut(at) {
                    let result = call.reservation.extend(NanoUsd(more));
                    prop_assert_eq!(result.is_ok(), model.fits(&call.scopes, call.at, more));
                    if result.is_ok() {
                        call.amount += more;
                        let (scopes, at) = (call.scopes.clone(), call.at);
                        model.change(&scopes, at, |sum| sum.reserved += more);
                    }
                }
            }
            Step::Settle(at, cost) if at < calls.len() => {
                let call = calls.swap_remove(at);
                prop_assert!(close(&mut model, call, cost, world.wall));
            }
            Step::Drop(at) if at < calls.len() => {
                let call = calls.swap_remove(at);
                drop(call.reservation);
                model.change(&call.scopes, call.at, |sum| {
                    sum.reserved -= call.amount;
                    sum.held += if call.committed { call.amount } else { 0 };
                });
            }
            Step::Settle(..) | Step::Drop(_) => {}
            Step::Clock(minutes) => {
                world.wall = UnixMillis(world.wall.0.saturating_add_signed(minutes * 60_000));
            }
        }
        same(&world, &mut model, &calls)?;
    }
    drop(calls);
    restart(&world)
}

/// Ledger and model agree on every scope, and nothing is overspent but by vendors' overruns.
fn same(world: &World, model: &mut Model, calls: &[Call]) -> Result<(), TestCaseError> {
    for scope in all_scopes() {
        let standing = world.standing(&scope);
        prop_assert_eq!(standing.live as usize, calls.iter().filter(|call| call.scopes.contains(&scope)).count());
        for (budget, (period, limit)) in standing.budgets.iter().zip(LIMITS) {
            let sum = *model.sum(&scope, period, world.wall);
            prop_assert_eq!((budget.reserved.0, budget.spent.0, budget.held.0), (sum.reserved, sum.settled, sum.held));
            prop_assert!(sum.reserved + sum.settled + sum.held <= limit + sum.overrun);
        }
    }
    Ok(())
}

/// A new process over the same store stands where the old one stood.
fn restart(world: &World) -> Result<(), TestCaseError> {
    let rules = budgets(&["0.0000001 usd/day", "0.0000004 usd/total"]);
    let mut next = World::with(Arc::clone(&world.store), all_scopes().map(|scope| (scope, rules.clone())));
    next.wall = world.wall;
    next.ledger.restore(world.wall, Vec::new()).unwrap();
    for scope in all_scopes() {
        prop_assert_eq!(next.standing(&scope), world.standing(&scope));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_interleaving_keeps_the_books(steps in prop::collection::vec(step(), 1..120)) {
        run(steps)?;
    }
}
