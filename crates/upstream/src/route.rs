//! The tree by which a model's name becomes an ordered list of targets.
//!
//! Pure: chance and permission come as arguments. `order` is called once per call, after authorization; the attempt
//! engine then goes down the list.

use std::sync::Arc;

use tidegate_core::ids::TargetId;

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
}

impl Route {
    /// Every target that the route may lead to, each once, in the order of the tree.
    #[must_use]
    pub fn targets(&self) -> Vec<Arc<Target>> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    fn collect(&self, out: &mut Vec<Arc<Target>>) {
        match self {
            Self::Target(target) => push_once(out, target),
            Self::Fallback(routes) => routes.iter().for_each(|route| route.collect(out)),
            Self::Weighted(routes) => routes.iter().for_each(|(_, route)| route.collect(out)),
        }
    }

    /// The permitted targets in the order in which they are to be tried, each once.
    ///
    /// `pick(n)` gives a random number below `n` (`n` is never 0); `permitted` says whether the call's permit covers a
    /// target. A branch without any permitted target takes no part in a weighted choice, so that its weight falls to
    /// the others in proportion.
    pub fn order(&self, pick: &mut dyn FnMut(u64) -> u64, permitted: &dyn Fn(&TargetId) -> bool) -> Vec<Arc<Target>> {
        let mut out = Vec::new();
        self.order_into(pick, permitted, &mut out);
        out
    }

    fn order_into(
        &self,
        pick: &mut dyn FnMut(u64) -> u64,
        permitted: &dyn Fn(&TargetId) -> bool,
        out: &mut Vec<Arc<Target>>,
    ) {
        match self {
            Self::Target(target) if permitted(&target.id) => push_once(out, target),
            Self::Target(_) => {}
            Self::Fallback(routes) => routes.iter().for_each(|route| route.order_into(pick, permitted, out)),
            Self::Weighted(routes) => {
                let mut left: Vec<&(u32, Self)> =
                    routes.iter().filter(|(_, route)| route.leads_anywhere(permitted)).collect();
                while !left.is_empty() {
                    let chosen = choose(&left, pick);
                    left.swap_remove(chosen).1.order_into(pick, permitted, out);
                }
            }
        }
    }

    fn leads_anywhere(&self, permitted: &dyn Fn(&TargetId) -> bool) -> bool {
        match self {
            Self::Target(target) => permitted(&target.id),
            Self::Fallback(routes) => routes.iter().any(|route| route.leads_anywhere(permitted)),
            Self::Weighted(routes) => routes.iter().any(|(_, route)| route.leads_anywhere(permitted)),
        }
    }
}

/// The index of one of `left` by chance and weight; the first where all weigh nothing.
fn choose(left: &[&(u32, Route)], pick: &mut dyn FnMut(u64) -> u64) -> usize {
    let total: u64 = left.iter().map(|(weight, _)| u64::from(*weight)).sum();
    if total == 0 {
        return 0;
    }
    let mut at = pick(total).min(total.saturating_sub(1));
    for (index, (weight, _)) in left.iter().enumerate() {
        let weight = u64::from(*weight);
        if at < weight {
            return index;
        }
        at = at.saturating_sub(weight);
    }
    0
}

fn push_once(out: &mut Vec<Arc<Target>>, target: &Arc<Target>) {
    if !out.iter().any(|known| known.id == target.id) {
        out.push(Arc::clone(target));
    }
}

#[cfg(test)]
mod tests;
