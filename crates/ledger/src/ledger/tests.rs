use std::sync::{Barrier, mpsc};

use tidegate_core::usage::Usage;

use super::*;
use crate::harness::{Memory, USD, World, at, attribution, budgets, entry, key, output, team};

fn refused_by(result: Result<Reservation, Refused>) -> Refused {
    result.map(|_| ()).unwrap_err()
}

/// 1,000 calls at once, each of one dollar, by the key `a` of a team: those that are admitted.
fn race(world: &World, scopes: &(dyn Fn(usize) -> Vec<Scope> + Sync)) -> Vec<Reservation> {
    let barrier = Barrier::new(1_000);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|threads| {
        for number in 0..1_000 {
            let (sender, barrier) = (sender.clone(), &barrier);
            let call = move || {
                let scopes = scopes(number);
                barrier.wait();
                if let Ok(mut reservation) = world.ask_of(&scopes, Some(NanoUsd(USD)), 0) {
                    reservation.commit();
                    sender.send(reservation).unwrap();
                }
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(threads, call).unwrap();
        }
    });
    drop(sender);
    receiver.into_iter().collect()
}

#[test]
fn budget_never_overspent_by_admission() {
    let world = World::new(budgets(&["10 usd/month"]));
    let admitted = race(&world, &|_| vec![key("a")]);
    assert_eq!(admitted.len(), 10);
    assert_eq!(world.money(), [0, 10 * USD, 0, 0]);
    for reservation in admitted {
        let _ = reservation.settle(world.settlement(USD / 2, 0));
    }
    assert_eq!(world.money(), [5 * USD, 0, 0, 5 * USD]);
    assert_eq!(race(&world, &|_| vec![key("a")]).len(), 5);
    // Dropped after commit: held, so nothing fits any more.
    assert_eq!(world.money(), [5 * USD, 0, 5 * USD, 0]);
    assert_eq!(race(&world, &|_| vec![key("a")]).len(), 0);
}

#[test]
fn shared_and_own_budgets_hold_together_in_any_order_of_scopes() {
    let keys = (0..10).map(|number| (key(&number.to_string()), budgets(&["2 usd/day"])));
    let world = World::with(Arc::default(), keys.chain([(team("t"), budgets(&["17 usd/week"]))]));
    let admitted = race(&world, &|number| {
        let own = key(&(number % 10).to_string());
        if number % 2 == 0 { vec![own, team("t"), team("t")] } else { vec![team("t"), own] }
    });
    assert_eq!(admitted.len(), 17);
    assert_eq!(world.standing(&team("t")).budgets[0].left, NanoUsd::ZERO);
    assert_eq!(world.standing(&team("t")).live, 17);
    for number in 0..10 {
        assert!(world.standing(&key(&number.to_string())).budgets[0].reserved <= NanoUsd(2 * USD));
    }
}

#[test]
fn token_limit_is_not_overshot() {
    let rules = ScopeRules { tokens: Some("100/min".parse().unwrap()), ..ScopeRules::default() };
    let mut world = World::new(rules);
    let refused = refused_by(world.ask(0, 663));
    assert!(matches!(refused, Refused::Tokens { asked: 663, retry_after: None, .. }), "{refused:?}");
    let first = world.ask(0, 60).unwrap();
    // Nothing has been used yet, and still the second call does not fit beside the first.
    let Refused::Tokens { retry_after: Some(wait), .. } = refused_by(world.ask(0, 60)) else { panic!("no wait") };
    assert_eq!(wait, Duration::from_secs(12));
    world.pass(wait);
    drop(world.ask(0, 60).unwrap());
    drop(first);
}

#[test]
fn a_call_is_admitted_by_all_of_its_scopes_or_charged_to_none() {
    let free = ScopeRules {
        requests: Some("1/min".parse().unwrap()),
        tokens: Some("10/min".parse().unwrap()),
        concurrent: Some(1),
        ..budgets(&["10 usd/month"])
    };
    let world = World::with(Arc::default(), [(key("a"), free), (team("t"), budgets(&["1 usd/month"]))]);
    let both = [key("a"), team("t")];
    let refused = refused_by(world.ask_of(&both, Some(NanoUsd(2 * USD)), 10));
    assert_eq!(refused.scope(), &team("t"));
    assert_eq!(world.money(), [0, 0, 0, 10 * USD]);
    drop(world.ask_of(&both, Some(NanoUsd(USD)), 10).unwrap());
    assert_eq!(world.store.recorded(), 1);
}

#[test]
fn an_unpriced_call_is_refused_where_a_hard_budget_is() {
    let world = World::with(Arc::default(), [(key("a"), budgets(&["10 usd/month"]))]);
    let refused = refused_by(world.ask_of(&[team("t"), key("a")], None, 0));
    assert_eq!(refused, Refused::Unpriced { scope: key("a") });
    let reservation = world.ask_of(&[team("t")], None, 0).unwrap();
    let settled = reservation.settle(Settlement { usage: output(5), cost: None, wall: world.wall });
    assert_eq!(settled, Settled::default());
    assert_eq!(world.store.entries()[0].cost, None);
}

#[test]
fn money_is_refused_before_rates_and_says_when_it_resets() {
    let rules = ScopeRules { concurrent: Some(0), ..budgets(&["100 usd/total", "1 usd/day"]) };
    let world = World::new(rules);
    let refused = refused_by(world.ask(2 * USD, 0));
    assert_eq!(
        refused,
        Refused::Budget {
            scope: key("a"),
            limit: "1 usd/day".parse().unwrap(),
            left: NanoUsd(USD),
            asked: NanoUsd(2 * USD),
            resets_at: Some(at("2026-11-12T00:00:00Z")),
            retry_after: Some(Duration::from_secs(12 * 3_600)),
        }
    );
    let Refused::Budget { resets_at: None, retry_after: None, .. } = refused_by(world.ask(200 * USD, 0)) else {
        panic!("a total does not reset");
    };
    assert!(matches!(refused_by(world.ask(USD, 0)), Refused::Concurrent { limit: 0, .. }));
}

#[test]
fn request_rates_say_when_to_come_back() {
    let rules = ScopeRules { requests: Some("2/min".parse().unwrap()), ..ScopeRules::default() };
    let mut world = World::new(rules);
    for _ in 0..2 {
        let _ = world.ask(0, 0).unwrap().settle(world.settlement(0, 0));
    }
    assert_eq!(refused_by(world.ask(0, 0)).retry_after(), Some(Duration::from_secs(30)));
    // The wall clock has no say in it.
    world.wall = world.wall.plus(Duration::from_secs(3_600));
    assert_eq!(refused_by(world.ask(0, 0)).retry_after(), Some(Duration::from_secs(30)));
    world.pass(Duration::from_secs(30));
    drop(world.ask(0, 0).unwrap());
}

#[test]
fn a_concurrency_slot_is_free_again_however_a_call_ends() {
    let rules = ScopeRules { concurrent: Some(2), ..ScopeRules::default() };
    let world = World::new(rules);
    for round in 0..9 {
        let mut one = world.ask(0, 0).unwrap();
        let two = world.ask(0, 0).unwrap();
        assert!(matches!(refused_by(world.ask(0, 0)), Refused::Concurrent { limit: 2, .. }));
        match round % 3 {
            0 => drop(one),
            1 => {
                one.commit();
                drop(one);
            }
            _ => {
                let _ = one.settle(world.settlement(0, 0));
            }
        }
        // A panic while the call is in flight unwinds through its reservation.
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _two = two;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(world.standing(&key("a")).live, 0);
    }
}

#[test]
fn a_budget_begins_anew_with_its_period_and_a_call_counts_where_it_was_admitted() {
    let mut world = World::new(budgets(&["10 usd/day", "15 usd/week"]));
    world.wall = at("2026-11-11T23:59:59Z");
    world.spend(7 * USD);
    let over_midnight = world.ask(3 * USD, 0).unwrap();
    assert!(world.ask(1, 0).is_err());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.money(), [0, 0, 0, 10 * USD]);
    let _ = over_midnight.settle(world.settlement(2 * USD, 0));
    assert_eq!(world.money(), [0, 0, 0, 10 * USD]);
    assert_eq!(world.store.entries()[1].at, at("2026-11-11T23:59:59Z"));
    // The week goes on: 9 of 15 are spent.
    assert!(matches!(
        refused_by(world.ask(7 * USD, 0)),
        Refused::Budget { limit: Budget { period: Period::Week, .. }, left: NanoUsd(left), .. } if left == 6 * USD
    ));
    world.wall = at("2026-11-16T00:00:00Z");
    world.spend(10 * USD);
    assert_eq!(world.money(), [10 * USD, 0, 0, 0]);
}

#[test]
fn wall_clock_jumps_neither_refund_nor_double_charge() {
    let mut world = World::new(budgets(&["10 usd/month", "100 usd/total"]));
    world.wall = at("2026-11-30T23:30:00Z");
    world.spend(6 * USD);
    let in_flight = world.ask(4 * USD, 0).unwrap();
    // An hour ahead: another month. What is spent there is spent there.
    world.wall = at("2026-12-01T00:30:00Z");
    world.spend(3 * USD);
    assert_eq!(world.money(), [3 * USD, 0, 0, 7 * USD]);
    // And back: November is as it was, and full.
    world.wall = at("2026-11-30T23:31:00Z");
    assert_eq!(world.money(), [6 * USD, 4 * USD, 0, 0]);
    assert!(world.ask(1, 0).is_err());
    let _ = in_flight.settle(world.settlement(2 * USD, 0));
    assert_eq!(world.money(), [8 * USD, 0, 0, 2 * USD]);
    world.spend(2 * USD);
    // The month begins for the second time: December has its three dollars, once.
    world.wall = at("2026-12-01T00:00:01Z");
    assert_eq!(world.money(), [3 * USD, 0, 0, 7 * USD]);
    // An hour back from there, and the total saw everything exactly once.
    world.wall = at("2026-11-30T23:00:01Z");
    assert_eq!(world.money(), [10 * USD, 0, 0, 0]);
    assert_eq!(world.standing(&key("a")).budgets[1].spent, NanoUsd(13 * USD));
}

#[test]
fn a_reload_keeps_what_was_counted() {
    let rules =
        ScopeRules { requests: Some("2/min".parse().unwrap()), concurrent: Some(5), ..budgets(&["10 usd/month"]) };
    let world = World::new(rules.clone());
    world.spend(4 * USD);
    let in_flight = world.ask(3 * USD, 0).unwrap();
    world.ledger.configure(HashMap::new());
    assert_eq!(world.standing(&key("a")).budgets, []);
    let other = ScopeRules { requests: rules.requests, ..budgets(&["8 usd/day"]) };
    world.ledger.configure([(key("a"), other), (key("new"), budgets(&["1 usd/day"]))].into());
    // A budget of another period finds what was spent before it was there.
    assert_eq!(world.money(), [4 * USD, 3 * USD, 0, USD]);
    assert_eq!(world.standing(&key("a")).live, 1);
    drop(in_flight);
    assert_eq!(world.money(), [4 * USD, 0, 0, 4 * USD]);
    assert!(world.ask_of(&[key("new")], Some(NanoUsd(2 * USD)), 0).is_err());
    assert_eq!(world.ledger.standing(&key("nobody"), world.wall), None);
}

#[test]
fn a_limit_that_a_reload_adds_is_not_given_back_what_it_never_lost() {
    let world = World::new(ScopeRules::default());
    let before = world.ask(0, 50).unwrap();
    let rules = ScopeRules {
        requests: Some("2/min".parse().unwrap()),
        tokens: Some("100/min".parse().unwrap()),
        ..ScopeRules::default()
    };
    world.ledger.configure([(key("a"), rules)].into());
    let _ = world.ask(0, 100).unwrap().settle(world.settlement(0, 100));
    drop(before);
    assert!(matches!(refused_by(world.ask(0, 1)), Refused::Tokens { .. }));
}

fn restarted(store: &Arc<Memory>, wall: UnixMillis, lost: Vec<Entry>) -> (World, Restored) {
    let rules = budgets(&["10 usd/month", "10 usd/day", "100 usd/total"]);
    let mut world = World::with(Arc::clone(store), [(key("a"), rules)]);
    world.wall = wall;
    let restored = world.ledger.restore(wall, lost).unwrap();
    (world, restored)
}

#[test]
fn a_restart_neither_refunds_nor_double_charges() {
    let store = Arc::<Memory>::default();
    let noon = at("2026-11-11T12:00:00Z");
    let (first, restored) = restarted(&store, noon, Vec::new());
    assert_eq!(restored, Restored::default());
    first.spend(2 * USD);
    let mut unknown = first.ask(USD, 0).unwrap();
    unknown.commit();
    drop(unknown);
    drop(first.ask(5 * USD, 0).unwrap());
    let written = store.entries();
    // Killed with one call in flight, of which the audit log has only the intent, and one finished call that the
    // store had not written yet. The log tells of the written ones, too.
    let in_flight = entry(EntryKind::Unknown, noon, None, 3 * USD);
    let unwritten = entry(EntryKind::Settled, noon, Some(USD), 0);
    let lost = vec![in_flight.clone(), unwritten.clone(), written[0].clone(), in_flight.clone()];
    let (second, restored) = restarted(&store, noon, lost.clone());
    assert_eq!(restored, Restored { loaded: 3, recovered: 2, held: 2 });
    assert_eq!(second.money(), [3 * USD, 0, 4 * USD, 3 * USD]);
    assert!(second.ask(4 * USD, 0).is_err());
    // And again, with the same log: now the store knows them all.
    let (third, restored) = restarted(&store, noon, lost);
    assert_eq!(restored, Restored { loaded: 5, recovered: 0, held: 2 });
    assert_eq!(third.money(), [3 * USD, 0, 4 * USD, 3 * USD]);
    assert_eq!(third.ledger.holds(10).len(), 2);
}

#[test]
fn a_restart_sees_each_period_and_older_calls_in_the_total_alone() {
    let store = Arc::<Memory>::default();
    for (wall, cost) in [
        ("2025-01-01T12:00:00Z", 40),
        ("2026-10-31T23:59:59Z", 20),
        ("2026-11-01T00:00:00Z", 3),
        ("2026-11-10T23:59:59Z", 2),
        ("2026-11-11T00:00:00Z", 1),
    ] {
        store.record(entry(EntryKind::Settled, at(wall), Some(cost * USD), 0));
    }
    let (world, _) = restarted(&store, at("2026-11-11T12:00:00Z"), Vec::new());
    let spent = |world: &World| world.standing(&key("a")).budgets.iter().map(|b| b.spent.0 / USD).collect::<Vec<_>>();
    assert_eq!(spent(&world), [6, 1, 66]);
    // Started with a clock an hour behind, across the month's begin, October is there.
    let (world, _) = restarted(&store, at("2026-10-31T23:30:00Z"), Vec::new());
    assert_eq!(spent(&world), [20, 20, 66]);
    // Started an hour ahead of December, and set back: November is there.
    let (mut world, _) = restarted(&store, at("2026-12-01T00:30:00Z"), Vec::new());
    assert_eq!(spent(&world), [0, 0, 66]);
    world.wall = at("2026-11-30T23:30:00Z");
    assert_eq!(spent(&world)[0], 6);
}

#[test]
fn a_lost_call_from_long_ago_is_not_counted_twice() {
    let store = Arc::<Memory>::default();
    let old = entry(EntryKind::Settled, at("2026-05-05T12:00:00Z"), Some(9 * USD), 0);
    store.record(old.clone());
    let (world, restored) = restarted(&store, at("2026-11-11T12:00:00Z"), vec![old]);
    assert_eq!(restored, Restored { loaded: 1, recovered: 0, held: 0 });
    assert_eq!(world.standing(&key("a")).budgets[2].spent, NanoUsd(9 * USD));
}

#[test]
fn a_hold_is_listed_until_it_expires_and_its_money_is_never_given_back_by_time() {
    let mut world = World::new(budgets(&["10 usd/total", "10 usd/month"]));
    world.wall = at("2026-11-30T12:00:00Z");
    let mut reservation = world.ask(4 * USD, 0).unwrap();
    reservation.commit();
    let call = reservation.call();
    drop(reservation);
    assert_eq!(world.ledger.holds(10)[0].call, call);
    // The month is over, but 24 hours are not.
    assert_eq!(world.ledger.expire(at("2026-12-01T11:59:59Z")), 0);
    assert_eq!(world.ledger.expire(at("2026-12-01T12:00:00Z")), 1);
    assert_eq!(world.ledger.holds(10), []);
    assert_eq!(world.money(), [0, 0, 4 * USD, 6 * USD]);
    assert_eq!(world.ledger.resolve(call, world.settlement(USD, 0)), None);
}

#[test]
fn a_hold_that_becomes_known_is_settled_once() {
    let world = World::new(budgets(&["10 usd/month"]));
    let mut reservation = world.ask(4 * USD, 0).unwrap();
    reservation.commit();
    let call = reservation.call();
    drop(reservation);
    let unpriced = Settlement { usage: Usage::default(), cost: None, wall: world.wall };
    assert_eq!(world.ledger.resolve(call, unpriced), None);
    let settled = world.ledger.resolve(call, world.settlement(USD, 9)).unwrap();
    assert_eq!((settled.charged(), settled.overrun), (NanoUsd(USD), NanoUsd::ZERO));
    assert_eq!(world.ledger.resolve(call, world.settlement(USD, 9)), None);
    assert_eq!(world.money(), [USD, 0, 0, 9 * USD]);
    let entries = world.store.entries();
    assert_eq!((entries.len(), entries[0].kind, entries[0].usage.output), (1, EntryKind::Settled, 9));
}

#[test]
fn what_is_recorded_is_what_is_charged() {
    let world = World::new(budgets(&["10 usd/month"]));
    world.spend(USD);
    for keep in [true, false] {
        let mut reservation = world.ask(2 * USD, 0).unwrap();
        reservation.commit();
        if keep {
            reservation.keep_share(NanoUsd(2 * USD));
            reservation.extend(NanoUsd(USD)).unwrap();
            let _ = reservation.settle(world.settlement(USD, 0));
        }
    }
    let recorded: u64 = world.store.entries().iter().map(|entry| entry.charged().0).sum();
    let [spent, reserved, held, _] = world.money();
    assert_eq!((spent, reserved, held), (2 * USD, 0, 4 * USD));
    assert_eq!(recorded, spent + held);
    assert_eq!(attribution("a"), world.store.entries()[0].attribution);
}
