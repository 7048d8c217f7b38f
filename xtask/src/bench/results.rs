//! What was measured, row by row, in memory and on disk.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct Row {
    subject: String,
    round: u32,
    leg: String,
    told: Value,
}

/// The rows of a run.
#[derive(Default)]
pub(super) struct Results {
    rows: Vec<Row>,
    file: Option<File>,
}

impl Results {
    /// None yet; those that come are also written to `file`, a line each.
    pub(super) fn begin(file: &Path) -> Result<Self> {
        Ok(Self { rows: Vec::new(), file: Some(File::create(file).with_context(|| file.display().to_string())?) })
    }

    /// Those of an earlier run.
    pub(super) fn read(file: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(file).with_context(|| file.display().to_string())?)
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let rows: Result<Vec<Row>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(Self { rows: rows.context("a row of the results cannot be read")?, file: None })
    }

    pub(super) fn add(&mut self, subject: &str, round: u32, leg: &str, told: Value) -> Result<()> {
        let row = Row { subject: subject.to_owned(), round, leg: leg.to_owned(), told };
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(&row)?)?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn rows(&self, subject: &str, leg: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.subject == subject && row.leg == leg)
    }

    /// What the whole run told under `leg`.
    pub(super) fn told(&self, leg: &str) -> Option<&Value> {
        self.rows("run", leg).last().map(|row| &row.told)
    }

    /// The number at `pointer` in each round.
    pub(super) fn numbers(&self, subject: &str, leg: &str, pointer: &str) -> Numbers {
        Numbers(self.rows(subject, leg).filter_map(|row| row.told.pointer(pointer)?.as_f64()).collect())
    }

    /// The same, less what a call without a gateway took in the same round.
    pub(super) fn added(&self, subject: &str, leg: &str, pointer: &str) -> Numbers {
        let rounds = self.rows(subject, leg).filter_map(|row| {
            let direct = self.rows("direct", leg).find(|direct| direct.round == row.round)?;
            Some(row.told.pointer(pointer)?.as_f64()? - direct.told.pointer(pointer)?.as_f64()?)
        });
        Numbers(rounds.collect())
    }

    /// Whether a subject did not keep up with the rate of `leg` in this round, or failed calls.
    pub(super) fn was_behind(&self, subject: &str, round: u32, leg: &str) -> bool {
        self.rows(subject, leg).any(|row| row.round == round && behind(&row.told))
    }

    /// Whether it did in any round.
    pub(super) fn ever_behind(&self, subject: &str, leg: &str) -> bool {
        self.rows(subject, leg).any(|row| behind(&row.told))
    }
}

fn behind(told: &Value) -> bool {
    let number = |name: &str| told.get(name).and_then(Value::as_f64);
    let slow = match (number("rate"), number("per_second")) {
        (Some(rate), Some(reached)) => reached < 0.95 * rate,
        _ => false,
    };
    slow || number("errors").is_some_and(|errors| errors > 0.0)
}

/// One figure in several rounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers(pub(super) Vec<f64>);

impl Numbers {
    /// The middle one, or the mean of the two in the middle; `None` of none.
    pub(super) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        Some(f64::midpoint(upper, *sorted.get(middle.checked_sub(1)?)?))
    }

    /// Every number through `change`.
    pub(super) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }

    pub(super) fn sum(&self) -> f64 {
        self.0.iter().fold(0.0, |sum, number| sum + number)
    }

    /// The median, and the smallest and the largest where they differ.
    pub(super) fn show(&self, decimals: usize) -> String {
        let Some(median) = self.median() else { return "–".to_owned() };
        let text = |number: f64| format!("{number:.decimals$}");
        let least = text(self.0.iter().copied().fold(f64::INFINITY, f64::min));
        let most = text(self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        if least == most { text(median) } else { format!("{} ({least} to {most})", text(median)) }
    }
}
