//! Numbers that states give to persons, one detector for each country's.
//!
//! Owns how a form, its check and the words before it are weighed: a form with a strong check stands on its own, a
//! weaker one needs a word that says what it is. Forms and words are data (`data/national_id.toml`), the arithmetic is
//! `checks`.

mod checks;

use std::sync::Arc;

use serde::{Deserialize, de::Error as _};

use self::checks::{Check, Weight};
use super::{
    cue::Cues,
    shape::{Runs, Shape, apart_after, apart_before},
};
use crate::{
    guard::{Class, Detector, FEWER_DIGITS, Input, Sink, Trigger, Triggers},
    spec::NATIONAL_IDS,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    id: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    check: Check,
    lead: Vec<usize>,
    #[serde(rename = "source")]
    _source: String,
    forms: Vec<Form>,
    cues: Cues,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    shape: String,
    #[serde(default)]
    separators: String,
    #[serde(default)]
    cue: bool,
}

/// The detector of one country's numbers.
pub(crate) struct NationalId {
    name: &'static str,
    check: Check,
    lead: Vec<usize>,
    forms: Vec<(Shape, bool)>,
    runs: Runs,
    cues: Cues,
    category: Arc<str>,
}

impl NationalId {
    /// The detectors of all countries, in the order of [`NATIONAL_IDS`].
    pub(crate) fn load_all() -> Result<Vec<Self>, toml::de::Error> {
        let mut data: Data = toml::from_str(include_str!("../../data/national_id.toml"))?;
        NATIONAL_IDS
            .iter()
            .map(|&name| {
                let place = data.id.iter().position(|entry| entry.name == name);
                let Some(place) = place else { return Err(toml::de::Error::custom(format!("{name} is missing"))) };
                let entry = data.id.swap_remove(place);
                let shape = |form: &Form| (Shape::new(&form.shape, &form.separators), form.cue);
                let forms: Vec<_> = entry.forms.iter().map(shape).collect();
                Ok(Self {
                    name,
                    check: entry.check,
                    lead: entry.lead,
                    runs: forms.iter().fold(Runs::default(), |runs, (shape, _)| runs.or(shape.runs())),
                    forms,
                    cues: entry.cues,
                    category: format!("pii.{name}").into(),
                })
            })
            .collect::<Result<_, _>>()
            .and_then(|all| match data.id.first() {
                None => Ok(all),
                Some(entry) => Err(toml::de::Error::custom(format!("{} is no detector's name", entry.name))),
            })
    }

    /// Where a number that starts at `start` ends; `Err` where the text ends before that is decided.
    fn read(&self, input: &Input<'_>, start: usize) -> Result<Option<usize>, ()> {
        let first = input.byte(start);
        for (shape, cue) in self.forms.iter().filter(|(shape, _)| shape.may_start(first)) {
            let reading = match shape.read(input, start) {
                Ok(Some(reading)) => reading,
                // Nothing is held for a number that only a word can tell where no word stands.
                Err(()) if !cue || self.cues.stand_before(input, start) => return Err(()),
                _ => continue,
            };
            if !apart_before(input, start, reading.separator) || !apart_after(input, reading.end, reading.separator)? {
                continue;
            }
            let sure = match self.check.weigh(&reading.symbols, reading.separator.is_some()) {
                Weight::Wrong => continue,
                Weight::Possible => false,
                Weight::Sure => !cue,
            };
            if sure || self.cues.stand_before(input, start) {
                return Ok(Some(reading.end));
            }
        }
        Ok(None)
    }

    fn look_at(&self, input: &Input<'_>, start: usize, out: &mut Sink) {
        if start < input.from() || !input.starts_word(start) {
            return;
        }
        match self.read(input, start) {
            Err(()) => out.open(start, &self.category),
            Ok(Some(end)) => out.hit(start, start..end, &self.category),
            Ok(None) => {}
        }
    }

    /// Looks at every word of a run that is made of letters and digits alone.
    fn words(&self, input: &Input<'_>, start: usize, end: usize, out: &mut Sink) {
        let mut at = start;
        while at < end {
            let stop = input.run_end(Class::ALNUM, at);
            if stop > at {
                // After the letter of an escape such as `\n` another word starts.
                let escape = usize::from(!input.starts_word(at) || input.before(at) == Some(b'\\'));
                for word in at..=(at + escape).min(stop - 1) {
                    if stop - word <= 16 {
                        self.look_at(input, word, out);
                    }
                }
            }
            at = stop + 1;
        }
    }
}

impl Detector for NationalId {
    fn name(&self) -> &'static str {
        self.name
    }

    fn triggers(&self) -> Triggers {
        let token = self.lead.is_empty();
        Triggers { digits: if token { 0 } else { FEWER_DIGITS }, token, ..Triggers::default() }
    }

    fn look(&self, input: &Input<'_>, trigger: Trigger, out: &mut Sink) {
        match trigger {
            Trigger::Digits(digits) if self.runs.allow(input, digits) => {
                for start in self.lead.iter().filter_map(|lead| digits.checked_sub(*lead)) {
                    self.look_at(input, start, out);
                }
            }
            Trigger::Token(start, end) => self.words(input, start, end, out),
            Trigger::End(end) => {
                // Letters that a number may start with, with no digit yet.
                for length in 1..=self.lead.iter().copied().max().unwrap_or(0) {
                    if let Some(start) = end.checked_sub(length)
                        && start >= input.from()
                        && !Class::DIGIT.has(input.byte(start))
                        && input.starts_word(start)
                        && self.read(input, start).is_err()
                    {
                        out.open(start, &self.category);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
