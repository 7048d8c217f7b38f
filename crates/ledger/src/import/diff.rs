//! What differs between two catalogues, by model. Pure; tells amounts as decimal dollars for a million tokens.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tidegate_core::money::NanoUsd;

use crate::{Catalog, Gapped, ModelInfo, Tier};

/// What happens to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It had no price.
    Added,
    /// It will have none.
    Removed,
    /// Something about it is another.
    Changed,
}

/// One model that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `provider/model`.
    pub model: String,
    /// What happens to it.
    pub change: Change,
    /// What differs, by name: amounts in dollars for a million tokens, and numbers of tokens.
    pub fields: BTreeMap<String, Sides>,
}

/// Before and after; `None` where there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// Now.
    pub before: Option<String>,
    /// Then.
    pub after: Option<String>,
}

/// The models that differ, by provider and name.
#[must_use]
pub fn diff(before: &Catalog, after: &Catalog) -> Vec<Difference> {
    let of = |catalog: &Catalog| -> BTreeMap<(Arc<str>, Arc<str>), Arc<ModelInfo>> {
        let all = catalog.models().into_iter();
        all.map(|info| ((Arc::clone(&info.provider), Arc::clone(&info.model)), Arc::clone(info))).collect()
    };
    let (old, new) = (of(before), of(after));
    let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| difference(name, old.get(name), new.get(name))).collect()
}

fn difference(
    (provider, model): &(Arc<str>, Arc<str>),
    before: Option<&Arc<ModelInfo>>,
    after: Option<&Arc<ModelInfo>>,
) -> Option<Difference> {
    let change = match (before, after) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Changed,
    };
    let (old, new) =
        (before.map(|info| fields(info)).unwrap_or_default(), after.map(|info| fields(info)).unwrap_or_default());
    let mut differing = BTreeMap::new();
    for name in old.keys().chain(new.keys()) {
        let sides = Sides { before: old.get(name).cloned(), after: new.get(name).cloned() };
        if sides.before != sides.after {
            differing.insert(name.clone(), sides);
        }
    }
    (!differing.is_empty()).then(|| Difference { model: format!("{provider}/{model}"), change, fields: differing })
}

/// What counts of a model. A class without a price of its own costs what the one does that it is a part of, so it is not
/// told apart.
fn fields(info: &ModelInfo) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let price = &info.price;
    let above = |level: &str, tier: &Tier| format!("{level} above {}", tier.above);
    let mut all = vec![(String::new(), &price.rates)];
    all.extend(price.tiers.iter().map(|tier| (above("", tier), &tier.rates)));
    for level in &price.levels {
        let name = format!(" {}", level.service.as_str());
        all.extend(level.tiers.iter().map(|tier| (above(&name, tier), &tier.rates)));
        all.push((name, &level.rates));
    }
    for (place, rates) in all {
        let plain = Gapped { input: rates.input, output: rates.output, ..Gapped::default() }.filled();
        for ((name, amount), (_, gap)) in rates.classes().into_iter().zip(plain.classes()) {
            if matches!(name, "input" | "output") || amount != gap {
                fields.insert(format!("{name}{place}"), NanoUsd(amount.0).to_usd());
            }
        }
    }
    for (name, count) in [("max_input", info.max_input), ("max_output", info.max_output)] {
        if let Some(count) = count {
            fields.insert(name.to_owned(), count.to_string());
        }
    }
    for (capability, has) in info.capabilities.iter() {
        fields.insert(capability.to_string(), if has { "yes" } else { "no" }.to_owned());
    }
    fields
}
