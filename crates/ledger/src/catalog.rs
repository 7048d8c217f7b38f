//! The catalogue of models and their prices. Owns the file format `catalog.v1` and the look-up; never fetches
//! anything: files ship with the release or are imported. The configuration loads it, routes ask it.
//!
//! A model that is not in the catalogue is unpriced, which is never the same as free.
//!
//! `catalog/file.rs` says what stands in a file.

mod file;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tidegate_core::capability::Capabilities;

pub(crate) use file::MOST_TIERS;

use crate::{
    period::date,
    price::{Price, Rates, far},
};

/// A model that the catalogue knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The type of provider that offers it, for example `openai`.
    pub provider: Arc<str>,
    /// Its name there.
    pub model: Arc<str>,
    /// What it costs.
    pub price: Price,
    /// The longest prompt it takes, in tokens.
    pub max_input: Option<u64>,
    /// The longest answer it gives, in tokens.
    pub max_output: Option<u64>,
    /// What it takes and gives beside text, as far as that is known.
    pub capabilities: Capabilities,
}

/// All models with a price, by type of provider and name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    providers: HashMap<Arc<str>, HashMap<Arc<str>, Arc<ModelInfo>>>,
}

/// A catalogue file that is refused. Whoever loads one keeps the last good catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not JSON of the form `catalog.v1`.
    #[error("catalogue file {file}: {problem}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        problem: String,
    },
    /// A value that cannot be.
    #[error("catalogue file {file}, model `{model}`: {problem}")]
    Model {
        /// The file.
        file: String,
        /// The model, as `provider/model`.
        model: String,
        /// What is wrong.
        problem: String,
    },
    /// A new catalogue that cannot be a successor of the present one.
    #[error("the new catalogue is refused, the present one stays: {problem}")]
    Successor {
        /// What is wrong.
        problem: String,
    },
}

/// The largest file that is read.
const MOST_BYTES: usize = 8 << 20;

impl Catalog {
    /// Reads catalogue files, given by name and text. Strict: an unknown or repeated member, a repeated model, an
    /// amount that is no plain decimal or is zero without `"free": true`, or a file without models is an error.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file.
    pub fn from_json(files: &[(&str, &str)]) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (name, text) in files {
            catalog.add(name, text)?;
        }
        Ok(catalog)
    }

    /// The catalogue that ships with this release.
    ///
    /// # Errors
    /// Where a shipped file is wrong, which a test excludes.
    pub fn builtin() -> Result<Self, CatalogError> {
        Self::from_json(&[
            ("anthropic.json", include_str!("../../../catalog/prices/anthropic.json")),
            ("bedrock.json", include_str!("../../../catalog/prices/bedrock.json")),
            ("cerebras.json", include_str!("../../../catalog/prices/cerebras.json")),
            ("cohere.json", include_str!("../../../catalog/prices/cohere.json")),
            ("deepseek.json", include_str!("../../../catalog/prices/deepseek.json")),
            ("fireworks.json", include_str!("../../../catalog/prices/fireworks.json")),
            ("google.json", include_str!("../../../catalog/prices/google.json")),
            ("groq.json", include_str!("../../../catalog/prices/groq.json")),
            ("jina.json", include_str!("../../../catalog/prices/jina.json")),
            ("minimax.json", include_str!("../../../catalog/prices/minimax.json")),
            ("mistral.json", include_str!("../../../catalog/prices/mistral.json")),
            ("moonshot.json", include_str!("../../../catalog/prices/moonshot.json")),
            ("openai.json", include_str!("../../../catalog/prices/openai.json")),
            ("openai-media.json", include_str!("../../../catalog/prices/openai-media.json")),
            ("perplexity.json", include_str!("../../../catalog/prices/perplexity.json")),
            ("sim.json", include_str!("../../../catalog/prices/sim.json")),
            ("together.json", include_str!("../../../catalog/prices/together.json")),
            ("voyage.json", include_str!("../../../catalog/prices/voyage.json")),
            ("xai.json", include_str!("../../../catalog/prices/xai.json")),
            ("zai.json", include_str!("../../../catalog/prices/zai.json")),
        ])
    }

    /// Reads one more file, as [`Catalog::from_json`] does.
    ///
    /// # Errors
    /// The first thing that is wrong; what stands before it may have been taken.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), CatalogError> {
        let refuse = |problem: String| CatalogError::Format { file: name.to_owned(), problem };
        if text.len() > MOST_BYTES {
            return Err(refuse(format!("it is larger than {MOST_BYTES} bytes")));
        }
        let file: file::File = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        if file.format != "catalog.v1" {
            return Err(refuse(format!("its format is `{:.40}`, and `catalog.v1` is needed", file.format)));
        }
        let day = date(&file.date).ok_or_else(|| refuse("`date` is no date such as 2026-03-21".to_owned()))?;
        if file.source.is_empty() {
            return Err(refuse("`source` is empty: say where the prices were found".to_owned()));
        }
        if file.models.is_empty() {
            return Err(refuse("it has no models".to_owned()));
        }
        let fees = file.fees().map_err(refuse)?;
        let source: Arc<str> = file.source.as_str().into();
        for model in &file.models {
            let refuse = |problem: String| CatalogError::Model {
                file: name.to_owned(),
                model: format!("{}/{}", model.provider, model.model),
                problem,
            };
            let info = model.read(&source, day, &fees).map_err(refuse)?;
            let models = self.providers.entry(Arc::clone(&info.provider)).or_default();
            if models.insert(Arc::clone(&info.model), Arc::new(info)).is_some() {
                return Err(refuse("it stands in the catalogue twice".to_owned()));
            }
        }
        Ok(())
    }

    /// What is known of `model` at a provider of type `provider`. The exact name first; then, where the name ends in a
    /// date (`-20260101`, `-2026-01-01` or `@20260101`), the name without it: vendors date the versions of a model
    /// that share its price, and those that do not share it stand in the catalogue under their full name. Anything
    /// else is unknown, so unpriced.
    #[must_use]
    pub fn lookup(&self, provider: &str, model: &str) -> Option<&Arc<ModelInfo>> {
        let models = self.providers.get(provider)?;
        models.get(model).or_else(|| models.get(undated(model)?))
    }

    /// What is known under exactly this name.
    #[must_use]
    pub fn exact(&self, provider: &str, model: &str) -> Option<&Arc<ModelInfo>> {
        self.providers.get(provider)?.get(model)
    }

    /// This catalogue with the models of `other` over it: what `other` knows counts.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (provider, models) in &other.providers {
            let known = both.providers.entry(Arc::clone(provider)).or_default();
            known.extend(models.iter().map(|(name, info)| (Arc::clone(name), Arc::clone(info))));
        }
        both
    }

    /// How many models there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.providers.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every model, by provider and name.
    #[must_use]
    pub fn models(&self) -> Vec<&Arc<ModelInfo>> {
        let sorted: BTreeMap<_, _> = self
            .providers
            .values()
            .flat_map(HashMap::values)
            .map(|info| ((&info.provider, &info.model), info))
            .collect();
        sorted.into_values().collect()
    }

    /// Whether `next` may replace this catalogue: it must not lose more than a tenth of the models, nor move a price
    /// more than five-fold, unless `moves_allowed` says that the latter was looked at.
    ///
    /// # Errors
    /// [`CatalogError::Successor`] with what is wrong.
    pub fn check_successor(&self, next: &Self, moves_allowed: bool) -> Result<(), CatalogError> {
        let (had, has) = (self.len(), next.len());
        if has.saturating_mul(10) < had.saturating_mul(9) {
            return Err(CatalogError::Successor {
                problem: format!("it has {has} models instead of {had}, more than a tenth fewer"),
            });
        }
        if moves_allowed {
            return Ok(());
        }
        for old in self.models() {
            let new = next.providers.get(&old.provider).and_then(|models| models.get(&old.model));
            if let Some(new) = new
                && (moved(&old.price.rates, &new.price.rates) || old.price.units.far(&new.price.units))
            {
                return Err(CatalogError::Successor {
                    problem: format!("a price of {}/{} moved more than five-fold", old.provider, old.model),
                });
            }
        }
        Ok(())
    }
}

fn moved(old: &Rates, new: &Rates) -> bool {
    old.classes().into_iter().zip(new.classes()).any(|((_, old), (_, new))| far(old, new))
}

/// `model` without the date it ends in; `None` where it ends in none.
fn undated(model: &str) -> Option<&str> {
    let before = |length: usize| model.len().checked_sub(length).and_then(|at| model.split_at_checked(at));
    if let Some((base, dashed)) = before(10)
        && date(dashed).is_some()
    {
        return base.strip_suffix('-').filter(|base| !base.is_empty());
    }
    let (base, digits) = before(8)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = digits.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    date(&format!("{year}-{month}-{day}"))?;
    base.strip_suffix(['-', '@']).filter(|base| !base.is_empty())
}

#[cfg(test)]
mod tests;
