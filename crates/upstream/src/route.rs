//! The tree by which a model's name becomes an ordered list of targets.
//!
//! Pure: chance, permission, conditions and measurements come as arguments. `resolve` is called where a call is routed,
//! `order` once after it was authorized; the attempt engine then goes down the list.

use std::{borrow::Cow, sync::Arc};

use tidegate_core::ids::{Digest, TargetId};
use tidegate_policy::Condition;

use crate::target::Target;

/// A route: a target, or a choice over further routes.
#[derive(Debug, Clone)]
pub enum Route {
    /// One model at one provider.
    Target(Arc<Target>),
    /// The first that works, in this order.
    Fallback(Vec<Route>),
    /// One by chance, in proportion to its weight; the others follow as fallbacks, again by chance and weight. A weight
    /// of 0 is used only after all others.
    Weighted(Vec<(u32, Route)>),
    /// Of two by chance the one that answers sooner (power of two choices); the others follow in the same way.
    LeastLatency(Vec<Route>),
    /// The one with the fewest calls in flight first.
    LeastBusy(Vec<Route>),
    /// The cheapest first, by the price of input and output together; what has no price comes last.
    LeastCost(Vec<Route>),
    /// For the same value always the same, and nearly always where routes come and go (rendezvous hashing).
    Sticky(StickyBy, Vec<Route>),
    /// The first whose condition holds, else the last.
    When(Vec<(Arc<Condition>, Route)>, Box<Route>),
}

/// What a sticky choice sticks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StickyBy {
    /// The caller's session.
    Session,
    /// The key.
    Key,
    /// A member of the metadata that the caller sends.
    Metadata(Arc<str>),
}

/// How a target stands at the moment of a choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// Whether it takes calls: not where its breaker is open or it asked to be left alone.
    pub available: bool,
    /// What waiting for its answer costs, in seconds times calls in flight; 0 where nobody knows.
    pub latency_cost: f64,
    /// Calls in flight.
    pub busy: u32,
}

impl Default for Measure {
    fn default() -> Self {
        Self { available: true, latency_cost: 0.0, busy: 0 }
    }
}

/// What a choice depends on besides the tree.
pub struct Circumstances<'a> {
    /// Gives a random number below its argument, which is never 0.
    pub pick: &'a mut dyn FnMut(u64) -> u64,
    /// Whether the call's permit covers a target.
    pub permitted: &'a dyn Fn(&TargetId) -> bool,
    /// What a sticky choice sticks to; `None` where the call has no such thing.
    pub sticky: &'a dyn Fn(&StickyBy) -> Option<String>,
    /// How a target stands.
    pub measure: &'a dyn Fn(&Target) -> Measure,
}

impl std::fmt::Debug for Circumstances<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Circumstances").finish_non_exhaustive()
    }
}

/// A branch of a choice with what it is chosen by.
struct Branch<'a> {
    route: &'a Route,
    weight: u64,
    standing: Measure,
    price: u64,
}

impl Route {
    /// The routes directly below.
    fn below(&self) -> Vec<&Self> {
        match self {
            Self::Target(_) => Vec::new(),
            Self::Fallback(routes)
            | Self::LeastLatency(routes)
            | Self::LeastBusy(routes)
            | Self::LeastCost(routes)
            | Self::Sticky(_, routes) => routes.iter().collect(),
            Self::Weighted(routes) => routes.iter().map(|(_, route)| route).collect(),
            Self::When(cases, otherwise) => cases.iter().map(|(_, route)| route).chain([otherwise.as_ref()]).collect(),
        }
    }

    /// Every target that the route may lead to, in the order of the tree; one of which different things are said in
    /// different places once for each of them, since nobody knows yet which will be chosen.
    #[must_use]
    pub fn targets(&self) -> Vec<Arc<Target>> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    fn collect(&self, out: &mut Vec<Arc<Target>>) {
        match self {
            Self::Target(target) if out.iter().any(|known| known.is_like(target)) => {}
            Self::Target(target) => out.push(Arc::clone(target)),
            route => route.below().into_iter().for_each(|route| route.collect(out)),
        }
    }

    /// Whether a condition stands anywhere in it.
    #[must_use]
    pub fn has_conditions(&self) -> bool {
        matches!(self, Self::When(..)) || self.below().into_iter().any(Self::has_conditions)
    }

    /// The same route with every condition decided: `holds` says whether one does.
    #[must_use]
    pub fn resolve(&self, holds: &mut dyn FnMut(&Condition) -> bool) -> Cow<'_, Self> {
        if !self.has_conditions() {
            return Cow::Borrowed(self);
        }
        let mut all =
            |routes: &[Self]| routes.iter().map(|route| route.resolve(holds).into_owned()).collect::<Vec<_>>();
        let resolved = match self {
            Self::Target(_) => return Cow::Borrowed(self),
            Self::Fallback(routes) => Self::Fallback(all(routes)),
            Self::LeastLatency(routes) => Self::LeastLatency(all(routes)),
            Self::LeastBusy(routes) => Self::LeastBusy(all(routes)),
            Self::LeastCost(routes) => Self::LeastCost(all(routes)),
            Self::Sticky(by, routes) => Self::Sticky(by.clone(), all(routes)),
            Self::Weighted(routes) => Self::Weighted(
                routes.iter().map(|(weight, route)| (*weight, route.resolve(holds).into_owned())).collect(),
            ),
            Self::When(cases, otherwise) => {
                let case = cases.iter().find(|(condition, _)| holds(condition));
                let chosen = case.map_or(otherwise.as_ref(), |(_, route)| route);
                return chosen.resolve(holds);
            }
        };
        Cow::Owned(resolved)
    }

    /// The permitted targets in the order in which they are to be tried, each once. A branch without any permitted
    /// target takes no part in a choice. Where the choice is free (by weight, load or price), branches that take no
    /// calls at the moment come last.
    pub fn order(&self, circumstances: &mut Circumstances<'_>) -> Vec<Arc<Target>> {
        let mut out = Vec::new();
        self.order_into(circumstances, &mut out);
        out
    }

    fn order_into(&self, with: &mut Circumstances<'_>, out: &mut Vec<Arc<Target>>) {
        match self {
            Self::Target(target) if (with.permitted)(&target.id) => push_once(out, target),
            Self::Target(_) => {}
            Self::Fallback(routes) => routes.iter().for_each(|route| route.order_into(with, out)),
            // Conditions are decided before; one that was not counts as not holding.
            Self::When(_, otherwise) => otherwise.order_into(with, out),
            Self::Sticky(by, routes) => {
                let Some(value) = (with.sticky)(by) else {
                    let branches = branches(routes.iter().map(|route| (1, route)), with);
                    return in_turn(branches, with, out, by_weight);
                };
                let mut ranked: Vec<(u64, &Self)> =
                    routes.iter().map(|route| (score(&value, &route.label()), route)).collect();
                ranked.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
                ranked.into_iter().for_each(|(_, route)| route.order_into(with, out));
            }
            Self::Weighted(routes) => {
                let branches = branches(routes.iter().map(|(weight, route)| (u64::from(*weight), route)), with);
                in_turn(branches, with, out, by_weight);
            }
            Self::LeastLatency(routes) => {
                in_turn(branches(routes.iter().map(|route| (1, route)), with), with, out, by_latency);
            }
            Self::LeastBusy(routes) => {
                in_turn(branches(routes.iter().map(|route| (1, route)), with), with, out, by_calls);
            }
            Self::LeastCost(routes) => {
                in_turn(branches(routes.iter().map(|route| (1, route)), with), with, out, by_price);
            }
        }
    }

    /// What tells a branch from its neighbours: its targets.
    fn label(&self) -> String {
        self.targets().iter().map(|target| target.id.to_string()).collect::<Vec<_>>().join(" ")
    }
}

/// The branches that lead to a permitted target, measured by the best of those they lead to.
fn branches<'a>(routes: impl Iterator<Item = (u64, &'a Route)>, with: &Circumstances<'_>) -> Vec<Branch<'a>> {
    routes
        .filter_map(|(weight, route)| {
            let targets = route.targets();
            let permitted: Vec<_> = targets.iter().filter(|target| (with.permitted)(&target.id)).collect();
            let measures = permitted.iter().map(|target| (with.measure)(target));
            let standing = measures.reduce(|one, other| Measure {
                available: one.available || other.available,
                latency_cost: one.latency_cost.min(other.latency_cost),
                busy: one.busy.min(other.busy),
            })?;
            let price = permitted.iter().map(|target| price(target)).min().unwrap_or(u64::MAX);
            Some(Branch { route, weight, standing, price })
        })
        .collect()
}

fn price(target: &Target) -> u64 {
    target.price.as_ref().map_or(u64::MAX, tidegate_ledger::Price::rank)
}

type Chooser = fn(&[Branch<'_>], &mut dyn FnMut(u64) -> u64) -> usize;

/// Takes one branch after the other: those that take calls first.
fn in_turn(branches: Vec<Branch<'_>>, with: &mut Circumstances<'_>, out: &mut Vec<Arc<Target>>, choose: Chooser) {
    let (ready, resting): (Vec<_>, Vec<_>) = branches.into_iter().partition(|branch| branch.standing.available);
    for mut left in [ready, resting] {
        while !left.is_empty() {
            let chosen = choose(&left, with.pick).min(left.len().saturating_sub(1));
            left.remove(chosen).route.order_into(with, out);
        }
    }
}

/// By chance and weight; the first where all weigh nothing.
fn by_weight(left: &[Branch<'_>], pick: &mut dyn FnMut(u64) -> u64) -> usize {
    let total: u64 = left.iter().map(|branch| branch.weight).sum();
    if total == 0 {
        return 0;
    }
    let mut at = pick(total).min(total.saturating_sub(1));
    for (index, branch) in left.iter().enumerate() {
        if at < branch.weight {
            return index;
        }
        at = at.saturating_sub(branch.weight);
    }
    0
}

/// Two by chance, and of them the one that answers sooner.
fn by_latency(left: &[Branch<'_>], pick: &mut dyn FnMut(u64) -> u64) -> usize {
    let count = left.len();
    if count < 2 {
        return 0;
    }
    let mut draw = |below: usize| {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        usize::try_from(pick(below).min(below.saturating_sub(1))).unwrap_or(0)
    };
    let one = draw(count);
    let mut other = draw(count.saturating_sub(1));
    if other >= one {
        other = other.saturating_add(1);
    }
    let cost = |index: usize| left.get(index).map_or(f64::INFINITY, |branch| branch.standing.latency_cost);
    if cost(other) < cost(one) { other } else { one }
}

/// The fewest calls in flight; among equals one by chance.
fn by_calls(left: &[Branch<'_>], pick: &mut dyn FnMut(u64) -> u64) -> usize {
    let fewest = left.iter().map(|branch| branch.standing.busy).min().unwrap_or(0);
    let equal: Vec<usize> =
        left.iter().enumerate().filter(|(_, branch)| branch.standing.busy == fewest).map(|(index, _)| index).collect();
    let count = u64::try_from(equal.len()).unwrap_or(1).max(1);
    let chosen = usize::try_from(pick(count).min(count.saturating_sub(1))).unwrap_or(0);
    equal.get(chosen).copied().unwrap_or(0)
}

/// The cheapest, the first among equals.
fn by_price(left: &[Branch<'_>], _: &mut dyn FnMut(u64) -> u64) -> usize {
    left.iter().enumerate().min_by_key(|(_, branch)| branch.price).map_or(0, |(index, _)| index)
}

/// How strongly `value` is drawn to a branch. The same on every node and in every build.
fn score(value: &str, label: &str) -> u64 {
    let digest = Digest::of(format!("{}:{value}{label}", value.len()).as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |score, byte| score << 8 | u64::from(*byte))
}

fn push_once(out: &mut Vec<Arc<Target>>, target: &Arc<Target>) {
    if !out.iter().any(|known| known.id == target.id) {
        out.push(Arc::clone(target));
    }
}

#[cfg(test)]
mod tests;
