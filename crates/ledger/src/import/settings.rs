//! How a list's words are to be read: which of its providers are which types of ours. Data, in `catalog/imports/`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Foreign, ImportError};

/// The settings of one form.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// `import.v1`.
    format: String,
    /// Where the list is kept.
    pub(super) source: String,
    /// When the form was last looked at.
    #[serde(rename = "seen")]
    _seen: String,
    /// The list's name of a provider, and the type it is here.
    pub(super) providers: BTreeMap<String, String>,
    /// Types of provider whose models may cost nothing, since they run on one's own machine.
    #[serde(default)]
    pub(super) free: Vec<String>,
    /// The kinds of model that are paid for by tokens of text; empty where the list does not tell kinds.
    #[serde(default)]
    pub(super) modes: Vec<String>,
    /// Kinds that give no answer in tokens.
    #[serde(default)]
    pub(super) without_answer: Vec<String>,
    /// What the name of a model that gives no answer in tokens holds.
    #[serde(default)]
    pub(super) without_answer_names: Vec<String>,
}

impl Settings {
    pub(super) fn of(foreign: Foreign) -> Result<Self, ImportError> {
        let (file, text) = match foreign {
            Foreign::LiteLlm => ("litellm.json", include_str!("../../../../catalog/imports/litellm.json")),
            Foreign::GenaiPrices => {
                ("genai-prices.json", include_str!("../../../../catalog/imports/genai-prices.json"))
            }
        };
        let wrong = |problem: String| ImportError::Settings { file, problem };
        let settings: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if settings.format != "import.v1" {
            return Err(wrong(format!("its format is `{}`, and `import.v1` is needed", settings.format)));
        }
        Ok(settings)
    }
}
