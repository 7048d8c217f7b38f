//! What a list has to pass besides being readable: amounts that can be prices, and changes that can be changes. Pure;
//! never changes what it looks at.

use super::{Finding, Kind, draft::Draft};
use crate::{
    Catalog,
    price::{Rates, far},
};
use tidegate_core::money::{NanoUsd, PerMillion};

/// Above this, and below [`LEAST`], an amount is for another number of tokens: 10,000 dollars for a million.
const UNIT_ABOVE: u64 = 10_000_000_000_000;
/// The dearest that a vendor asks for a million tokens: 1,000 dollars.
const MOST: u64 = 1_000_000_000_000;
/// The cheapest that a vendor asks for a million tokens: a tenth of a cent.
const LEAST: u64 = 1_000_000;
/// Below this an amount is for another number of tokens: a hundredth of a cent for a million.
const UNIT_BELOW: u64 = 100_000;
/// A list with fewer models was cut somewhere.
const FEWEST: usize = 10;

pub(super) fn check(models: &[Draft], present: &Catalog, replaced: Option<&Catalog>) -> Vec<Finding> {
    let mut found = Vec::new();
    if models.len() < FEWEST {
        let message = format!("the list has {} models that the gateway can price, fewer than {FEWEST}", models.len());
        found.push(Finding { kind: Kind::Few, model: String::new(), line: 0, message });
    }
    for draft in models {
        amounts(draft, &mut found);
        movement(draft, present, &mut found);
    }
    if let Some(replaced) = replaced {
        losses(models, replaced, &mut found);
    }
    found
}

fn amounts(draft: &Draft, found: &mut Vec<Finding>) {
    let mut add = |kind: Kind, message: String| {
        found.push(Finding { kind, model: draft.id(), line: draft.line, message });
    };
    let base = [(String::new(), draft.rates.filled())];
    let tiers = draft.tiers.iter().map(|(above, rates)| (format!(" above {above} tokens"), rates.filled()));
    let levels =
        draft.levels.iter().map(|level| (format!(" at level {}", level.service.as_str()), level.rates.filled()));
    for (place, rates) in base.into_iter().chain(tiers).chain(levels) {
        if let Some((kind, name, amount)) = out_of_range(&rates) {
            let said = usd(amount);
            let doubt =
                if kind == Kind::Unit { "it is for another number of tokens" } else { "no vendor asks for that" };
            add(kind, format!("{name}{place} is {said}: {doubt}"));
        }
        if rates.cache_read > rates.input {
            let message = format!("cache_read{place} is {}, and input {}", usd(rates.cache_read), usd(rates.input));
            add(Kind::CacheAboveInput, message);
        }
    }
}

/// The first amount that no price has.
fn out_of_range(rates: &Rates) -> Option<(Kind, &'static str, PerMillion)> {
    rates.classes().into_iter().find_map(|(name, amount)| {
        let kind = match amount.0 {
            0 => return None,
            UNIT_ABOVE.. | ..UNIT_BELOW => Kind::Unit,
            amount if !(LEAST..=MOST).contains(&amount) => Kind::OutOfRange,
            _ => return None,
        };
        Some((kind, name, amount))
    })
}

fn movement(draft: &Draft, present: &Catalog, found: &mut Vec<Finding>) {
    let Some(old) = present.exact(&draft.provider, &draft.model) else { return };
    let (before, after) = (old.price.rates.classes(), draft.rates.filled().classes());
    let moved = before.into_iter().zip(after).find(|((_, before), (_, after))| far(*before, *after));
    if let Some(((name, before), (_, after))) = moved {
        let message = format!("{name} moves from {} to {}, more than five-fold", usd(before), usd(after));
        found.push(Finding { kind: Kind::Moved, model: draft.id(), line: draft.line, message });
    }
}

fn losses(models: &[Draft], replaced: &Catalog, found: &mut Vec<Finding>) {
    let has: std::collections::HashSet<(&str, &str)> =
        models.iter().map(|draft| (draft.provider.as_str(), draft.model.as_str())).collect();
    let (before, after) = (replaced.len(), models.len());
    if after.saturating_mul(10) < before.saturating_mul(9) {
        let message = format!("the list has {after} models, and the file has {before}: more than a tenth is gone");
        found.push(Finding { kind: Kind::Shrunk, model: String::new(), line: 0, message });
    }
    for info in replaced.models() {
        if !has.contains(&(&*info.provider, &*info.model)) {
            let message = "the file has it, and the list has not: it would have no price from there".to_owned();
            let model = format!("{}/{}", info.provider, info.model);
            found.push(Finding { kind: Kind::Vanished, model, line: 0, message });
        }
    }
}

fn usd(amount: PerMillion) -> String {
    format!("{} usd/mtok", NanoUsd(amount.0).to_usd())
}
