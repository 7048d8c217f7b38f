//! What a guardrail is told to do: which detectors, on which way, with which action.
//!
//! Owns the names that configuration may use. Never compiles anything; that is `chain`'s. The configuration builds
//! these, and checks names with [`detector_names`].

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

/// A detector's name as configuration gives it: one of [`detector_names`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DetectorName(Arc<str>);

impl DetectorName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for DetectorName {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for DetectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// On which way a guardrail looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What goes to a model.
    Request,
    /// What a model answers.
    Response,
    /// What goes to a tool.
    ToolArguments,
    /// What a tool answers, and what a server says about its tools.
    ToolResult,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Request, Self::Response, Self::ToolArguments, Self::ToolResult];

    /// Whether text of this origin passes in this phase. A message between agents passes as request and as response.
    #[must_use]
    pub fn covers(self, origin: Origin) -> bool {
        match self {
            // What a server says about its tools goes to a model as well.
            Self::Request => matches!(origin, Origin::Prompt | Origin::AgentMessage | Origin::ToolDescription),
            Self::Response => matches!(origin, Origin::Completion | Origin::AgentMessage),
            Self::ToolArguments => origin == Origin::ToolArgument,
            Self::ToolResult => matches!(origin, Origin::ToolResult | Origin::ToolDescription),
        }
    }
}

/// What becomes of a text that a guardrail could not look at to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It does not pass.
    #[default]
    Closed,
    /// It passes, and is noted.
    Open,
}

/// One guardrail as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardrailSpec {
    /// Its name; verdicts and errors carry it.
    pub name: GuardrailName,
    /// What it looks for.
    pub detect: Vec<DetectorName>,
    /// Where it looks.
    pub on: Vec<Phase>,
    /// What it does with what it finds.
    pub action: GuardAction,
    /// The longest that it may look at one request, one answer, or one event of a stream.
    pub limit: Option<Duration>,
    /// What becomes of a text that it could not look at to its end.
    pub on_error: OnError,
}

/// The single detectors, in the order of their registry.
pub const DETECTORS: [&str; 19] = [
    "secrets",
    "email",
    "phone",
    "card",
    "iban",
    "ip",
    "public_ip",
    "us_ssn",
    "uk_nino",
    "de_steuer_id",
    "fr_nir",
    "es_dni",
    "it_codice_fiscale",
    "nl_bsn",
    "pl_pesel",
    "se_personnummer",
    "br_cpf",
    "in_aadhaar",
    "cn_resident_id",
];

/// How many of them, the last ones, are of national numbers.
const NATIONAL: usize = 12;

/// The detectors of national numbers, in the order of the registry.
pub const NATIONAL_IDS: &[&str] = DETECTORS.split_at(DETECTORS.len() - NATIONAL).1;

/// Names that stand for several detectors.
pub const COMPOSITES: [(&str, &[&str]); 2] =
    [("national_id", NATIONAL_IDS), ("pii", &["email", "phone", "card", "iban", "national_id"])];

/// Every name that `detect` may hold, single detectors first.
pub fn detector_names() -> impl Iterator<Item = &'static str> {
    DETECTORS.into_iter().chain(COMPOSITES.into_iter().map(|(name, _)| name))
}
