use super::*;
use crate::harness::{at, key};

fn settled(state: &mut State, wall: &str, cost: u64) {
    state.change(PeriodStarts::at(at(wall)), Change { settle: NanoUsd(cost), ..Change::default() });
}

fn day(state: &State, wall: &str) -> u128 {
    state.window(Period::Day, Period::Day.start(at(wall))).settled
}

#[test]
fn the_newest_periods_are_kept_and_older_ones_go() {
    let mut state = State::default();
    for number in 1..=9 {
        settled(&mut state, &format!("2026-11-0{number}T12:00:00Z"), number);
    }
    assert_eq!(state.day.0.len(), KEPT);
    assert_eq!(day(&state, "2026-11-05T00:00:00Z"), 0);
    assert_eq!(day(&state, "2026-11-06T00:00:00Z"), 6);
    assert_eq!(day(&state, "2026-11-09T00:00:00Z"), 9);
    assert_eq!(state.window(Period::Total, UnixMillis(0)).settled, 45);
}

#[test]
fn a_period_with_calls_in_flight_is_never_dropped() {
    let mut state = State::default();
    let first = PeriodStarts::at(at("2026-11-01T12:00:00Z"));
    state.reserve(NanoUsd(7), first);
    for number in 2..=9 {
        settled(&mut state, &format!("2026-11-0{number}T12:00:00Z"), number);
    }
    assert_eq!(state.window(Period::Day, first.of(Period::Day)).reserved, 7);
    assert_eq!(state.day.0.len(), KEPT);
}

#[test]
fn sums_are_wider_than_amounts() {
    let mut state = State::default();
    let starts = PeriodStarts::at(at("2026-11-01T12:00:00Z"));
    state.reserve(NanoUsd(u64::MAX), starts);
    state.reserve(NanoUsd(u64::MAX), starts);
    state.change(starts, Change { unreserve: NanoUsd(u64::MAX), settle: NanoUsd(1), ..Change::default() });
    let window = state.window(Period::Month, starts.of(Period::Month));
    assert_eq!((window.reserved, window.settled), (u128::from(u64::MAX), 1));
    let rules = ScopeRules { budget: vec!["18000000000 usd/month".parse().unwrap()], ..ScopeRules::default() };
    state.set_rules(rules);
    let refused = state.check_money(&key("a"), Some(NanoUsd(1)), starts, UnixMillis(0)).unwrap_err();
    assert!(matches!(refused, Refused::Budget { left: NanoUsd::ZERO, .. }), "{refused:?}");
}
