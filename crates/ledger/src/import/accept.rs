//! What somebody looked at and lets pass. Owns the words of `--accept`: a kind of finding, or a kind and one model.

use super::{Finding, Kind, Reading};

/// What is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted(Vec<(Kind, Option<String>)>);

/// A word that names no finding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0:.80}` is no kind of finding: write one of {list}, or one of them with a model, as in moved=openai/gpt-5", list = kinds())]
pub struct NoKind(pub String);

impl Accepted {
    /// Reads `KIND` and `KIND=PROVIDER/MODEL`.
    ///
    /// # Errors
    /// The first word that is neither.
    pub fn read(words: &[String]) -> Result<Self, NoKind> {
        let read = |word: &String| {
            let (kind, model) = word.split_once('=').map_or((word.as_str(), None), |(kind, model)| (kind, Some(model)));
            let kind = Kind::named(kind).ok_or_else(|| NoKind(word.clone()))?;
            Ok((kind, model.map(str::to_owned)))
        };
        words.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this finding is accepted.
    #[must_use]
    pub fn covers(&self, finding: &Finding) -> bool {
        self.0
            .iter()
            .any(|(kind, model)| *kind == finding.kind && model.as_ref().is_none_or(|model| *model == finding.model))
    }

    /// The findings of a list that nobody accepted.
    #[must_use]
    pub fn refused<'a>(&self, reading: &'a Reading) -> Vec<&'a Finding> {
        reading.findings.iter().filter(|finding| !self.covers(finding)).collect()
    }
}

fn kinds() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}
