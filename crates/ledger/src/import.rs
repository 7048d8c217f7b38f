//! Price lists that others keep, read into the catalogue's own form. Owns the two forms that are read, the gates that a
//! list has to pass, and the file that is written. Never fetches, never guesses a price: what is in doubt is a finding,
//! and a finding stops the import until somebody accepts it. The command `catalog` calls it with texts.
//!
//! A price list decides what calls are said to have cost, and it comes from people who are not asked about it. So a gap
//! is never free, a rate under a condition that is not understood is the dearest there is, and amounts go from decimal
//! text to whole nano-dollars without a float between.

pub mod accept;
mod amounts;
pub mod decimal;
pub mod diff;
mod draft;
mod gates;
mod genai;
mod json;
mod litellm;
mod settings;
pub mod write;

use std::{collections::BTreeMap, fmt};

use jiff::civil::Date;

use draft::Drafts;
pub use draft::{Draft, DraftLevel};
use settings::Settings;

use crate::Catalog;

/// The largest list that is read, in bytes.
pub const MOST_BYTES: usize = 32 << 20;

/// The most findings that are kept; the rest is counted.
pub const MOST_FINDINGS: usize = 1_000;

/// Whose form a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// `model_prices_and_context_window.json` of LiteLLM: one object, a member a model, dollars for one token.
    LiteLlm,
    /// `data.json` of genai-prices: a list of providers with their models, dollars for a million tokens.
    GenaiPrices,
}

impl Foreign {
    /// The form that `text` begins like: an object or a list.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).chars().next()? {
            '{' => Some(Self::LiteLlm),
            '[' => Some(Self::GenaiPrices),
            _ => None,
        }
    }

    /// Its name, as commands take it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm",
            Self::GenaiPrices => "genai-prices",
        }
    }

    /// Where the list is kept.
    ///
    /// # Errors
    /// Where a shipped file is wrong, which a test excludes.
    pub fn source(self) -> Result<String, ImportError> {
        Settings::of(self).map(|settings| settings.source)
    }
}

/// A list of which nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It has more than [`MOST_BYTES`].
    #[error("the list is larger than {} MiB: no price list is", MOST_BYTES >> 20)]
    TooLarge,
    /// It is no JSON, or of neither form.
    #[error("line {line}: {problem}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file that ships with the release is wrong.
    #[error("the built-in file catalog/imports/{file} is wrong: {problem}")]
    Settings {
        /// The file.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// What may be wrong with a list or with a model in it. The names are those that `--accept` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An amount is below zero.
    Negative,
    /// An amount is no number.
    NotANumber,
    /// An amount looks as if it were for another number of tokens.
    Unit,
    /// An amount is larger or smaller than any that is asked for.
    OutOfRange,
    /// A model costs nothing.
    Zero,
    /// Tokens from a cache cost more than fresh ones.
    CacheAboveInput,
    /// Only the prompt or only the answer has a price.
    Incomplete,
    /// A name stands twice.
    Duplicate,
    /// Two names of one model have different prices.
    Conflict,
    /// A name that no model can have.
    Name,
    /// Prices for long prompts that cannot be expressed.
    Tiers,
    /// A price is more than five times the present one, or less than a fifth.
    Moved,
    /// A model that the file had is gone.
    Vanished,
    /// The list has more than a tenth fewer models than the file had.
    Shrunk,
    /// The list has hardly any models.
    Few,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Negative,
        Self::NotANumber,
        Self::Unit,
        Self::OutOfRange,
        Self::Zero,
        Self::CacheAboveInput,
        Self::Incomplete,
        Self::Duplicate,
        Self::Conflict,
        Self::Name,
        Self::Tiers,
        Self::Moved,
        Self::Vanished,
        Self::Shrunk,
        Self::Few,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::NotANumber => "not-a-number",
            Self::Unit => "unit",
            Self::OutOfRange => "out-of-range",
            Self::Zero => "zero",
            Self::CacheAboveInput => "cache-above-input",
            Self::Incomplete => "incomplete",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Name => "name",
            Self::Tiers => "tiers",
            Self::Moved => "moved",
            Self::Vanished => "vanished",
            Self::Shrunk => "shrunk",
            Self::Few => "few",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether a model with such a finding is left out where it is accepted, since its price cannot be written.
    #[must_use]
    pub fn leaves_out(self) -> bool {
        matches!(
            self,
            Self::Negative
                | Self::NotANumber
                | Self::Incomplete
                | Self::Duplicate
                | Self::Conflict
                | Self::Name
                | Self::Tiers
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that may be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The model as `provider/model`; empty where it is about the whole list.
    pub model: String,
    /// The line of the list, from 1; zero where it stands nowhere in it.
    pub line: usize,
    /// What is wrong, in words.
    pub message: String,
}

/// What of a list is not taken, by the reason: nothing is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Models of providers that the gateway has no type for: how many by provider.
    pub providers: BTreeMap<String, u64>,
    /// Models that are not paid for by tokens of text.
    pub kinds: u64,
    /// Models without any price.
    pub unpriced: u64,
}

impl LeftOut {
    /// How many models of other providers there were.
    #[must_use]
    pub fn of_other_providers(&self) -> u64 {
        self.providers.values().sum()
    }
}

/// A list that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The models, by provider and name.
    pub models: Vec<Draft>,
    /// What may be wrong, by line.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub more_findings: u64,
    /// What was not taken.
    pub left_out: LeftOut,
}

/// Reads a list. `on` is the day whose prices count, where a list has several. `providers` narrows it to models of
/// these types of provider; empty means all.
///
/// # Errors
/// Where nothing of it can be read.
pub fn read(text: &str, foreign: Foreign, on: Date, providers: &[String]) -> Result<Reading, ImportError> {
    if text.len() > MOST_BYTES {
        return Err(ImportError::TooLarge);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut settings = Settings::of(foreign)?;
    if !providers.is_empty() {
        settings.providers.retain(|_, ours| providers.contains(ours));
    }
    let mut drafts = Drafts::new(text, &settings);
    match foreign {
        Foreign::LiteLlm => litellm::read(text, &mut drafts)?,
        Foreign::GenaiPrices => genai::read(text, on, &mut drafts)?,
    }
    Ok(drafts.finish())
}

/// Holds a list against the prices that count now and against the file that it replaces, and adds what it finds. Lengths
/// that the list does not say stay as they are known: budgets reserve by them.
pub fn compare(reading: &mut Reading, present: &Catalog, replaced: Option<&Catalog>) {
    for draft in &mut reading.models {
        let known = present.exact(&draft.provider, &draft.model);
        draft.max_input = draft.max_input.or(known.and_then(|known| known.max_input));
        draft.max_output = draft.max_output.or(known.and_then(|known| known.max_output));
    }
    let found = gates::check(&reading.models, present, replaced);
    for finding in found {
        if reading.findings.len() < MOST_FINDINGS {
            reading.findings.push(finding);
        } else {
            reading.more_findings = reading.more_findings.saturating_add(1);
        }
    }
    reading
        .findings
        .sort_by(|one, other| (one.line, &one.model, one.kind).cmp(&(other.line, &other.model, other.kind)));
}

#[cfg(test)]
mod tests;
