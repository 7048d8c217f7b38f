use std::time::Duration;

use super::*;
use crate::{
    harness::{USD, World, budgets, key},
    scope::ScopeRules,
};

fn budgeted() -> World {
    World::new(budgets(&["10 usd/month"]))
}

#[test]
fn dropped_before_commit_it_is_void_and_gives_everything_back() {
    let rules = ScopeRules {
        requests: Some("1/min".parse().unwrap()),
        tokens: Some("100/min".parse().unwrap()),
        concurrent: Some(1),
        ..budgets(&["10 usd/month"])
    };
    let world = World::new(rules);
    drop(world.ask(10 * USD, 100).unwrap());
    assert_eq!(world.money(), [0, 0, 0, 10 * USD]);
    let entry = &world.store.entries()[0];
    assert_eq!((entry.kind, entry.charged(), entry.reserved), (EntryKind::Void, NanoUsd::ZERO, NanoUsd(10 * USD)));
    // The request, the tokens and the slot are free again: the same call fits at the same moment.
    drop(world.ask(10 * USD, 100).unwrap());
}

#[test]
fn dropped_after_commit_its_money_is_held_and_its_slot_is_free() {
    let rules = ScopeRules {
        requests: Some("2/min".parse().unwrap()),
        tokens: Some("100/min".parse().unwrap()),
        concurrent: Some(1),
        ..budgets(&["10 usd/month"])
    };
    let world = World::new(rules);
    let mut reservation = world.ask(4 * USD, 60).unwrap();
    reservation.commit();
    drop(reservation);
    assert_eq!(world.money(), [0, 0, 4 * USD, 6 * USD]);
    assert_eq!(world.standing(&key("a")).live, 0);
    let entry = &world.store.entries()[0];
    assert_eq!((entry.kind, entry.cost, entry.held), (EntryKind::Unknown, None, NanoUsd(4 * USD)));
    // Tokens and the request stay used.
    assert!(matches!(world.ask(0, 41), Err(Refused::Tokens { .. })));
    drop({
        let mut second = world.ask(0, 40).unwrap();
        second.commit();
        second
    });
    assert!(matches!(world.ask(0, 0), Err(Refused::Requests { .. })));
}

#[test]
fn settling_replaces_the_reservation_by_the_cost() {
    let world = budgeted();
    let mut reservation = world.ask(4 * USD, 0).unwrap();
    reservation.commit();
    assert_eq!(world.money(), [0, 4 * USD, 0, 6 * USD]);
    reservation.attribution_mut().target = Some("sim/chat".into());
    let settled = reservation.settle(world.settlement(USD, 7));
    assert_eq!((settled.cost, settled.overrun), (Some(NanoUsd(USD)), NanoUsd::ZERO));
    assert_eq!(world.money(), [USD, 0, 0, 9 * USD]);
    let entries = world.store.entries();
    assert_eq!((entries.len(), world.store.recorded()), (1, 1));
    assert_eq!(entries[0].attribution.target.as_deref(), Some("sim/chat"));
    assert_eq!((entries[0].kind, entries[0].usage.output), (EntryKind::Settled, 7));
}

#[test]
fn a_vendor_that_bills_more_is_charged_and_flagged() {
    let world = budgeted();
    let mut reservation = world.ask(9 * USD, 0).unwrap();
    reservation.commit();
    let settled = reservation.settle(world.settlement(12 * USD, 0));
    assert_eq!(settled.overrun, NanoUsd(3 * USD));
    assert_eq!(world.store.entries()[0].overrun, NanoUsd(3 * USD));
    assert_eq!(world.money(), [12 * USD, 0, 0, 0]);
    assert!(matches!(world.ask(1, 0), Err(Refused::Budget { left: NanoUsd::ZERO, .. })));
    // What costs nothing is not refused for money.
    drop(world.ask(0, 0).unwrap());
}

#[test]
fn an_attempt_that_may_have_been_billed_keeps_its_share() {
    let world = budgeted();
    let mut reservation = world.ask(4 * USD, 0).unwrap();
    reservation.commit();
    reservation.keep_share(NanoUsd(4 * USD));
    assert_eq!(reservation.available(), NanoUsd::ZERO);
    reservation.extend(NanoUsd(4 * USD)).unwrap();
    assert_eq!((reservation.amount(), reservation.available()), (NanoUsd(8 * USD), NanoUsd(4 * USD)));
    assert_eq!(world.money(), [0, 8 * USD, 0, 2 * USD]);
    reservation.keep_share(NanoUsd(u64::MAX));
    let refused = reservation.extend(NanoUsd(4 * USD)).unwrap_err();
    assert!(matches!(refused, Refused::Budget { left: NanoUsd(left), .. } if left == 2 * USD), "{refused:?}");
    reservation.extend(NanoUsd(2 * USD)).unwrap();
    let settled = reservation.settle(world.settlement(USD, 0));
    assert_eq!((settled.kept_unknown, settled.charged()), (NanoUsd(8 * USD), NanoUsd(9 * USD)));
    assert_eq!(world.money(), [USD, 0, 8 * USD, USD]);
}

#[test]
fn a_share_kept_means_something_was_sent() {
    let world = budgeted();
    let mut reservation = world.ask(4 * USD, 0).unwrap();
    reservation.keep_share(NanoUsd(USD));
    assert!(reservation.is_committed());
    drop(reservation);
    assert_eq!(world.money(), [0, 0, 4 * USD, 6 * USD]);
}

#[test]
fn an_answer_without_a_known_cost_keeps_its_reservation() {
    let world = budgeted();
    let mut reservation = world.ask(4 * USD, 0).unwrap();
    reservation.commit();
    let settled = reservation.settle(Settlement { cost: None, ..world.settlement(0, 5) });
    assert_eq!((settled.cost, settled.kept_unknown), (None, NanoUsd(4 * USD)));
    assert_eq!(world.money(), [0, 0, 4 * USD, 6 * USD]);
}

#[test]
fn tokens_are_corrected_when_a_call_settles() {
    let rules = ScopeRules { tokens: Some("100/min".parse().unwrap()), ..ScopeRules::default() };
    let mut world = World::new(rules);
    let less = world.ask(0, 80).unwrap();
    assert!(matches!(world.ask(0, 21), Err(Refused::Tokens { .. })));
    let _ = less.settle(world.settlement(0, 30));
    let more = world.ask(0, 70).unwrap();
    let _ = more.settle(world.settlement(0, 130));
    // 160 used of 100: 60 of debt, 36 s of refill, before one token fits.
    let Err(Refused::Tokens { retry_after: Some(wait), .. }) = world.ask(0, 1) else { panic!("admitted in debt") };
    assert_eq!(wait, Duration::from_millis(36_600));
    world.pass(wait);
    drop(world.ask(0, 1).unwrap());
}

#[test]
fn a_soft_budget_admits_and_tells_one_call() {
    let mut rules = budgets(&["10 usd/month"]);
    rules.budget[0].soft = true;
    let world = World::new(rules);
    let told = |cost: u64| world.ask(cost, 0).unwrap().settle(world.settlement(cost, 0)).soft_breaches.len();
    assert_eq!((told(9 * USD), told(USD), told(1), told(5 * USD)), (0, 0, 1, 0));
    drop(world.ask_of(&[key("a")], None, 0).unwrap());
}
