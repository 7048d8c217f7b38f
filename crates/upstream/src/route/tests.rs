//! Orders of targets.

use tidegate_protocol::llm::Dialect;

use super::*;
use crate::testing::target;

fn leaf(name: &str) -> Route {
    Route::Target(Arc::new(target(name, Dialect::OpenAiChat, "http://127.0.0.1:1")))
}

/// The order by chance and permission alone: everything is well, idle and unknown.
fn order(route: &Route, pick: &mut dyn FnMut(u64) -> u64, permitted: &dyn Fn(&TargetId) -> bool) -> Vec<Arc<Target>> {
    measured(route, pick, permitted, &|_| Measure::default(), None)
}

fn measured(
    route: &Route,
    pick: &mut dyn FnMut(u64) -> u64,
    permitted: &dyn Fn(&TargetId) -> bool,
    measure: &dyn Fn(&Target) -> Measure,
    session: Option<&str>,
) -> Vec<Arc<Target>> {
    let sticky = |_: &StickyBy| session.map(str::to_owned);
    route.order(&mut Circumstances { pick, permitted, sticky: &sticky, measure })
}

fn names(targets: &[Arc<Target>]) -> Vec<&str> {
    targets.iter().map(|target| target.id.provider.as_str()).collect()
}

#[test]
fn a_fallback_keeps_its_order_and_leaves_out_what_is_not_permitted() {
    let route = Route::Fallback(vec![leaf("a"), leaf("b"), leaf("a"), leaf("c")]);
    assert_eq!(names(&route.targets()), ["a", "b", "c"]);
    let order = order(&route, &mut |_| panic!("no chance in a fallback"), &|id| id.provider.as_str() != "b");
    assert_eq!(names(&order), ["a", "c"]);
}

#[test]
fn a_target_of_which_different_things_are_said_is_named_for_each_and_tried_once() {
    let other = |name: &str, most: u64| {
        let said = Target { max_output: Some(most), ..target(name, Dialect::OpenAiChat, "http://127.0.0.1:1") };
        Route::Target(Arc::new(said))
    };
    let route = Route::Weighted(vec![(1, other("a", 7)), (1, other("a", 9)), (1, leaf("b")), (1, other("a", 7))]);
    let said: Vec<_> = route.targets().iter().map(|target| target.max_output).collect();
    assert_eq!(said[..2], [Some(7), Some(9)], "whatever is chosen later, its bound is known");
    assert_eq!(names(&route.targets()), ["a", "a", "b"]);
    assert_eq!(names(&order(&route, &mut |_| 1, &|_| true)), ["a", "b"]);
}

#[test]
fn a_weighted_choice_keeps_its_proportions_and_names_every_branch_once() {
    let route = Route::Weighted(vec![(3, leaf("a")), (1, leaf("b")), (0, leaf("c"))]);
    let mut first = std::collections::BTreeMap::new();
    for at in 0..4 {
        let order = order(&route, &mut |total| at % total, &|_| true);
        assert_eq!(order.len(), 3);
        assert_eq!(names(&order)[2], "c", "a weight of nothing comes last");
        *first.entry(names(&order)[0].to_owned()).or_insert(0) += 1;
    }
    assert_eq!(first.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
}

#[test]
fn a_branch_that_leads_nowhere_takes_no_part_in_the_choice() {
    let route = Route::Weighted(vec![(99, Route::Fallback(vec![leaf("a")])), (1, leaf("b"))]);
    let mut totals = Vec::new();
    let order = order(
        &route,
        &mut |total| {
            totals.push(total);
            0
        },
        &|id| id.provider.as_str() == "b",
    );
    assert_eq!(names(&order), ["b"]);
    assert_eq!(totals, [1]);
}

#[test]
fn a_number_beyond_the_total_still_chooses() {
    let route = Route::Weighted(vec![(1, leaf("a")), (1, leaf("b"))]);
    assert_eq!(order(&route, &mut |_| u64::MAX, &|_| true).len(), 2);
}

/// Numbers that look random and are the same each time.
fn dice() -> impl FnMut(u64) -> u64 {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

fn first(route: &Route, measure: &dyn Fn(&Target) -> Measure, pick: &mut dyn FnMut(u64) -> u64) -> String {
    names(&measured(route, pick, &|_| true, measure, None))[0].to_owned()
}

#[test]
fn of_two_the_one_that_answers_sooner_is_asked_and_the_slowest_hardly_ever() {
    let route = Route::LeastLatency(vec![leaf("slow"), leaf("quick"), leaf("middle")]);
    let measure = |target: &Target| {
        let latency_cost = match target.id.provider.as_str() {
            "quick" => 0.01,
            "middle" => 0.1,
            _ => 1.0,
        };
        Measure { latency_cost, ..Measure::default() }
    };
    let mut pick = dice();
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..300 {
        *counts.entry(first(&route, &measure, &mut pick)).or_insert(0) += 1;
    }
    assert_eq!(counts.get("slow"), None, "the slowest of three is never the better of two: {counts:?}");
    assert!(counts["quick"] > counts["middle"], "{counts:?}");
    let all = measured(&route, &mut pick, &|_| true, &measure, None);
    assert_eq!(all.len(), 3, "the others follow");
}

#[test]
fn the_least_busy_and_the_cheapest_come_first_and_what_is_down_comes_last() {
    let busy = Route::LeastBusy(vec![leaf("a"), leaf("b"), leaf("c")]);
    let measure = |target: &Target| Measure {
        busy: if target.id.provider.as_str() == "b" { 1 } else { 4 },
        available: target.id.provider.as_str() != "c",
        ..Measure::default()
    };
    let order = measured(&busy, &mut dice(), &|_| true, &measure, None);
    assert_eq!(names(&order), ["b", "a", "c"]);

    let priced = |name: &str, price: Option<&str>| {
        let mut target = target(name, Dialect::OpenAiChat, "http://127.0.0.1:1");
        target.price = price.map(|amount| {
            let amount = tidegate_ledger::price::parse_per_million(&format!("{amount} usd/mtok")).unwrap();
            tidegate_ledger::Price::configured(tidegate_ledger::Rates::uniform(amount, amount))
        });
        Route::Target(Arc::new(target))
    };
    let cheap = Route::LeastCost(vec![priced("none", None), priced("dear", Some("3")), priced("cheap", Some("1"))]);
    let order = order_of(&cheap);
    assert_eq!(order, ["cheap", "dear", "none"]);
}

fn order_of(route: &Route) -> Vec<String> {
    names(&order(route, &mut dice(), &|_| true)).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_session_stays_where_it_is_also_where_others_go() {
    let all = ["a", "b", "c", "d"];
    let route = |names: &[&str]| Route::Sticky(StickyBy::Session, names.iter().map(|name| leaf(name)).collect());
    let at = |route: &Route, session: &str| {
        let order = measured(route, &mut |_| panic!("no chance"), &|_| true, &|_| Measure::default(), Some(session));
        names(&order)[0].to_owned()
    };
    let (whole, less) = (route(&all), route(&all[..3]));
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..200 {
        let session = format!("session-{number}");
        let home = at(&whole, &session);
        assert_eq!(home, at(&whole, &session));
        if home != "d" {
            assert_eq!(home, at(&less, &session), "a session moved although its target stayed");
        }
        seen.insert(home);
    }
    assert_eq!(seen.len(), 4, "sessions are spread");
    assert_eq!(order(&whole, &mut dice(), &|_| true).len(), 4, "a call without a session goes anywhere");
}

#[test]
fn conditions_are_decided_in_their_order_at_every_depth() {
    let condition = |text: &str| Arc::new(Condition::parse(text).unwrap());
    let inner = Route::When(vec![(condition("context.request.stream"), leaf("b"))], Box::new(leaf("c")));
    let case = (condition("context.request.input_tokens > 10"), leaf("a"));
    let route = Route::Fallback(vec![Route::When(vec![case], Box::new(inner)), leaf("z")]);
    assert!(route.has_conditions());
    assert_eq!(names(&route.targets()), ["a", "b", "c", "z"]);
    for (holds, expected) in [
        (["context.request.input_tokens > 10"], ["a", "z"]),
        (["context.request.stream"], ["b", "z"]),
        (["none"], ["c", "z"]),
    ] {
        let resolved = route.resolve(&mut |condition| holds.contains(&condition.text()));
        assert!(!resolved.has_conditions());
        assert_eq!(names(&resolved.targets()), expected);
    }
}
