//! Models on their way into the catalogue. Owns what both forms have in common: names, gaps, models that stand twice. Never decides whether a price is plausible; the gates do.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde_json::value::RawValue;
use tidegate_core::{capability::Capabilities, money::PerMillion, usage::Service};

use super::{
    Finding, Kind, LeftOut, MOST_FINDINGS, Reading,
    amounts::{Amounts, Class, Schedule},
    decimal::{self, NoAmount, Unit},
    json::{self, Lines},
    settings::Settings,
};
use crate::{catalog::MOST_TIERS, price::Gapped};

/// The longest name of a model, in bytes.
const LONGEST_NAME: usize = 200;

/// A model as it will stand in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The type of its provider.
    pub provider: String,
    /// Its name there.
    pub model: String,
    /// The line of the list, from 1.
    pub line: usize,
    /// What it costs as a rule.
    pub rates: Gapped,
    /// What it costs where the prompt has more tokens, by rising number.
    pub tiers: Vec<(u64, Gapped)>,
    /// What it costs at other levels of service.
    pub levels: Vec<DraftLevel>,
    /// The longest prompt.
    pub max_input: Option<u64>,
    /// The longest answer.
    pub max_output: Option<u64>,
    /// What it takes and gives beside text.
    pub capabilities: Capabilities,
}

/// What a model costs at another level of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftLevel {
    /// The level.
    pub service: Service,
    /// What it costs as a rule.
    pub rates: Gapped,
    /// What it costs where the prompt has more tokens, by rising number.
    pub tiers: Vec<(u64, Gapped)>,
}

/// A model as a list has it.
pub(super) struct Listed {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) line: usize,
    pub(super) usual: Schedule,
    /// What it costs at other levels of service; what a level does not say is as usual.
    pub(super) levels: BTreeMap<Service, Schedule>,
    pub(super) capabilities: Capabilities,
    pub(super) max_input: Option<u64>,
    pub(super) max_output: Option<u64>,
    /// Whether it gives no answer in tokens, as embeddings do.
    pub(super) without_answer: bool,
    /// Whether something was found by which it cannot be taken.
    pub(super) spoiled: bool,
}

/// What was read so far.
pub(super) struct Drafts<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) settings: &'a Settings,
    pub(super) left_out: LeftOut,
    models: BTreeMap<(String, String), Draft>,
    spoiled: BTreeSet<(String, String)>,
    findings: Vec<Finding>,
    more_findings: u64,
}

impl<'a> Drafts<'a> {
    pub(super) fn new(text: &'a str, settings: &'a Settings) -> Self {
        Self {
            lines: Lines::of(text),
            settings,
            left_out: LeftOut::default(),
            models: BTreeMap::new(),
            spoiled: BTreeSet::new(),
            findings: Vec::new(),
            more_findings: 0,
        }
    }

    pub(super) fn found(&mut self, kind: Kind, model: &str, line: usize, message: String) {
        if self.findings.len() >= MOST_FINDINGS {
            self.more_findings = self.more_findings.saturating_add(1);
            return;
        }
        self.findings.push(Finding { kind, model: shown(model), line, message });
    }

    /// Reads the amount of one class; `None` where there is none or it cannot be one, which is a finding.
    pub(super) fn amount(
        &mut self,
        listed: &mut Listed,
        name: &str,
        part: &RawValue,
        unit: Unit,
    ) -> Option<PerMillion> {
        if json::is_null(part) {
            return None;
        }
        let (kind, why) = match decimal::price(part.get(), unit) {
            Ok(amount) => return Some(amount),
            Err(NoAmount::Negative) => (Kind::Negative, "is below zero"),
            Err(NoAmount::NotANumber) => (Kind::NotANumber, "is no number"),
            Err(NoAmount::TooLarge) => (Kind::Unit, "is more than any price: it is for another number of tokens"),
            Err(NoAmount::TooSmall) => (Kind::Unit, "is less than any price: it is for another number of tokens"),
        };
        listed.spoiled = true;
        let line = self.lines.of_part(part);
        self.found(kind, &listed.id(), line, format!("{name}: `{}` {why}", shown(part.get())));
        None
    }

    /// Takes a model, unless it has no price or cannot stand in the catalogue.
    pub(super) fn take(&mut self, mut listed: Listed) {
        if !listed.spoiled && listed.usual.is_empty() {
            self.left_out.unpriced = self.left_out.unpriced.saturating_add(1);
            return;
        }
        self.complete(&mut listed);
        let key = (listed.provider.clone(), listed.model.clone());
        if listed.spoiled || self.spoiled.contains(&key) {
            self.models.remove(&key);
            self.spoiled.insert(key);
            return;
        }
        let Some(draft) = listed.draft() else { return };
        match self.models.entry(key) {
            Entry::Vacant(place) => {
                place.insert(draft);
            }
            Entry::Occupied(place) if place.get().costs_the_same(&draft) => {}
            Entry::Occupied(place) => {
                let first = place.remove();
                let message =
                    format!("it stands at line {} with other prices: it is one model under two names", first.line);
                self.found(Kind::Conflict, &listed.id(), draft.line, message);
                self.spoiled.insert((draft.provider, draft.model));
            }
        }
    }

    /// Takes another name of a model, where no model has it.
    pub(super) fn take_alias(&mut self, provider: &str, model: &str, name: &str) {
        let key = (provider.to_owned(), name.to_owned());
        if self.spoiled.contains(&key) || self.models.contains_key(&key) || !good_name(name) {
            return;
        }
        if let Some(draft) = self.models.get(&(provider.to_owned(), model.to_owned())) {
            let draft = Draft { model: name.to_owned(), ..draft.clone() };
            self.models.insert(key, draft);
        }
    }

    /// Fills what may be filled, and finds what may not.
    fn complete(&mut self, listed: &mut Listed) {
        let (line, id) = (listed.line, listed.id());
        if !good_name(&listed.model) {
            listed.spoiled = true;
            self.found(Kind::Name, &id, line, "this cannot be the name of a model".to_owned());
        }
        if listed.without_answer && listed.usual.base.get(Class::Output).is_none_or(|output| output.0 == 0) {
            // It is never asked for: there is no answer in tokens.
            let Schedule { base, tiers } = &mut listed.usual;
            for amounts in [base].into_iter().chain(tiers.values_mut()) {
                if let Some(input) = amounts.get(Class::Input) {
                    amounts.set(Class::Output, input);
                }
            }
        }
        let most = listed.schedules().map(|schedule| schedule.tiers.len()).max().unwrap_or_default();
        if most > MOST_TIERS {
            listed.spoiled = true;
            let message = format!("it has {most} prices by the length of the prompt, at most {MOST_TIERS}");
            self.found(Kind::Tiers, &id, line, message);
        }
        if listed.spoiled {
            return;
        }
        let gap = match (listed.usual.base.get(Class::Input), listed.usual.base.get(Class::Output)) {
            (Some(_), Some(_)) => return self.costs_nothing(listed),
            (None, Some(_)) => "the prompt has no price, and the answer has one",
            (Some(_), None) => "the answer has no price, and the prompt has one",
            (None, None) => "neither prompt nor answer has a price, and something else has one",
        };
        listed.spoiled = true;
        self.found(Kind::Incomplete, &id, line, gap.to_owned());
    }

    fn costs_nothing(&mut self, listed: &Listed) {
        if self.settings.free.contains(&listed.provider) {
            return;
        }
        let of = |what: &Amounts| [("input", what.get(Class::Input)), ("output", what.get(Class::Output))];
        let all = listed.schedules().flat_map(|schedule| [&schedule.base].into_iter().chain(schedule.tiers.values()));
        let all = all.flat_map(of);
        let nothing: BTreeSet<&str> =
            all.filter(|(_, amount)| amount.is_some_and(|amount| amount.0 == 0)).map(|(name, _)| name).collect();
        if !nothing.is_empty() {
            let names = nothing.into_iter().collect::<Vec<_>>().join(" and ");
            self.found(Kind::Zero, &listed.id(), listed.line, format!("{names} cost nothing: accepted, it is free"));
        }
    }

    pub(super) fn finish(mut self) -> Reading {
        self.findings
            .sort_by(|one, other| (one.line, &one.model, one.kind).cmp(&(other.line, &other.model, other.kind)));
        Reading {
            models: self.models.into_values().collect(),
            findings: self.findings,
            more_findings: self.more_findings,
            left_out: self.left_out,
        }
    }
}

impl Listed {
    pub(super) fn new(provider: &str, model: &str, line: usize) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            line,
            usual: Schedule::default(),
            levels: BTreeMap::new(),
            capabilities: Capabilities::default(),
            max_input: None,
            max_output: None,
            without_answer: false,
            spoiled: false,
        }
    }

    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    /// The amounts of a level of service.
    pub(super) fn schedule(&mut self, service: Service) -> &mut Schedule {
        match service {
            Service::Standard => &mut self.usual,
            other => self.levels.entry(other).or_default(),
        }
    }

    fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        [&self.usual].into_iter().chain(self.levels.values())
    }

    fn draft(&self) -> Option<Draft> {
        let (rates, tiers) = self.usual.draft()?;
        let mut levels = Vec::with_capacity(self.levels.len());
        for (service, schedule) in &self.levels {
            let Some(level) = schedule.over(&self.usual).draft() else { continue };
            if level != (rates, tiers.clone()) {
                levels.push(DraftLevel { service: *service, rates: level.0, tiers: level.1 });
            }
        }
        Some(Draft {
            provider: self.provider.clone(),
            model: self.model.clone(),
            line: self.line,
            rates,
            tiers,
            levels,
            max_input: self.max_input,
            max_output: self.max_output,
            capabilities: self.capabilities,
        })
    }
}

impl Draft {
    /// `provider/model`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    /// Whether a part of it costs nothing.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let free = |rates: &Gapped| rates.input.0 == 0 || rates.output.0 == 0;
        free(&self.rates) || self.tiers.iter().any(|(_, rates)| free(rates))
    }

    fn costs_the_same(&self, other: &Self) -> bool {
        self.rates == other.rates && self.tiers == other.tiers && self.levels == other.levels
    }
}

/// Whether a model can have this name: it is one word, and not endless.
fn good_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.chars().any(|letter| letter.is_control() || letter.is_whitespace())
}

/// Foreign text as a message may hold it.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_NAME).map(|letter| if letter.is_control() { '·' } else { letter }).collect()
}
