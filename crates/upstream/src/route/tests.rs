//! Orders of targets.

use tidegate_protocol::llm::Dialect;

use super::*;
use crate::testing::target;

fn leaf(name: &str) -> Route {
    Route::Target(Arc::new(target(name, Dialect::OpenAiChat, "http://127.0.0.1:1")))
}

fn names(targets: &[Arc<Target>]) -> Vec<&str> {
    targets.iter().map(|target| target.id.provider.as_str()).collect()
}

#[test]
fn a_fallback_keeps_its_order_and_leaves_out_what_is_not_permitted() {
    let route = Route::Fallback(vec![leaf("a"), leaf("b"), leaf("a"), leaf("c")]);
    assert_eq!(names(&route.targets()), ["a", "b", "c"]);
    let order = route.order(&mut |_| panic!("no chance in a fallback"), &|id| id.provider.as_str() != "b");
    assert_eq!(names(&order), ["a", "c"]);
}

#[test]
fn a_weighted_choice_keeps_its_proportions_and_names_every_branch_once() {
    let route = Route::Weighted(vec![(3, leaf("a")), (1, leaf("b")), (0, leaf("c"))]);
    let mut first = std::collections::BTreeMap::new();
    for at in 0..4 {
        let order = route.order(&mut |total| at % total, &|_| true);
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
    let order = route.order(
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
    assert_eq!(route.order(&mut |_| u64::MAX, &|_| true).len(), 2);
}
