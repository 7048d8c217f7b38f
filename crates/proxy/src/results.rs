//! What a provider's own batch came to: counted from its results when those are first fetched whole.
//!
//! Owns what is known of such results and the count of their lines while they pass; `settle` charges them. The key that
//! made the batch pays, at the price of batches in the catalogue, whoever fetches them. Never holds more than one line,
//! never changes a byte. Fed where answers of a vendor's own API leave.

mod settle;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tidegate_config::snapshot::Snapshot;
use tidegate_core::{
    batches::Maker,
    clock,
    ids::{CallId, ProviderName},
    made::{Due, Made, Results},
    usage::{Service, Usage, UsageSource},
};
use tidegate_ledger::{CostSum, Price};
use tidegate_protocol::native::{NativeAnswer, ResultLine, ResultLines, results_at};

pub use self::settle::{owed, resume};
use crate::gate::Gate;

/// The longest line that is read, in bytes: as much as is read of a whole answer.
const LONGEST: usize = 32 << 20;
/// The most models of one batch that are told apart; the answers of further ones have no known cost.
const MOST_MODELS: usize = 64;

/// Notes which files have the results of batches, where this answer of `provider` says so and they were made here.
pub(crate) async fn note(gate: &Gate, provider: &ProviderName, answer: &NativeAnswer) {
    for (batch, file) in answer.results_of_batches() {
        let made = gate.owners.made("batches", &batch).filter(|made| made.maker.is_some());
        let Some(made) = made.filter(|made| made.provider == *provider) else { continue };
        if gate.owners.made("files", &file).is_none_or(|known| known.results.is_none()) {
            gate.owners.keep("files", &file, Made { results: Some(Results::unread(&batch)), ..made }).await;
        }
    }
}

/// The results of a batch on their way through.
pub(crate) struct Tally {
    /// `COLLECTION/ID`, as owners know it.
    path: Arc<str>,
    made: Made,
    maker: Maker,
    snapshot: Arc<Snapshot>,
    /// `None` where they come in a form that cannot be read.
    lines: Option<ResultLines>,
    counted: Counted,
}

#[derive(Default)]
struct Counted {
    by_model: BTreeMap<String, Part>,
    /// Answers that name no model, and lines that could not be read.
    rest: Option<Part>,
}

/// What the answers of one model came to so far.
struct Part {
    price: Option<Price>,
    lines: u64,
    usage: Usage,
    cost: CostSum,
}

impl Tally {
    /// The count of what is fetched at `path` from `provider`, where that is the results of a batch that was made here
    /// and is not paid for yet.
    pub(crate) fn of(gate: &Gate, snapshot: &Arc<Snapshot>, provider: &ProviderName, path: &str) -> Option<Box<Self>> {
        let (collection, id) = results_at(path)?;
        let made = gate.owners.made(collection, id).filter(|made| made.provider == *provider)?;
        made.results.as_ref().filter(|results| results.settled.is_none())?;
        Some(Box::new(Self {
            path: Arc::from(format!("{collection}/{id}")),
            maker: made.maker.clone()?,
            made,
            snapshot: Arc::clone(snapshot),
            lines: Some(ResultLines::new(LONGEST)),
            counted: Counted::default(),
        }))
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        let (counted, prices) = (&mut self.counted, Prices { snapshot: &self.snapshot, provider: &self.made.provider });
        if let Some(lines) = &mut self.lines {
            lines.push(bytes, &mut |line| counted.line(line, prices));
        }
    }

    /// The results came in a form that cannot be read: whatever they are, their cost is not known.
    pub(crate) fn unreadable(&mut self) {
        self.counted.rest().add(&Usage::default());
        self.lines = None;
    }

    /// What the results came to, which are whole.
    fn due(&mut self) -> Vec<Due> {
        let (counted, prices) = (&mut self.counted, Prices { snapshot: &self.snapshot, provider: &self.made.provider });
        if let Some(lines) = &mut self.lines {
            lines.finish(&mut |line| counted.line(line, prices));
        }
        let counted = std::mem::take(&mut self.counted);
        let of_models = counted.by_model.into_iter().map(|(model, part)| (Some(Arc::from(model)), part));
        let parts = of_models.chain(counted.rest.map(|part| (None, part)));
        let at = clock::wall();
        parts
            .map(|(model, Part { lines, usage, cost, .. })| Due {
                call: CallId::new(),
                at,
                model,
                lines,
                usage,
                cost: cost.cost(),
            })
            .collect()
    }
}

/// Where the price of a model stands.
#[derive(Clone, Copy)]
struct Prices<'a> {
    snapshot: &'a Snapshot,
    provider: &'a ProviderName,
}

impl Prices<'_> {
    fn of(self, model: &str) -> Option<Price> {
        let routed = self.snapshot.at(self.provider.as_str(), model)?;
        routed.route.targets().first()?.price.clone()
    }
}

impl Counted {
    fn line(&mut self, line: ResultLine, prices: Prices<'_>) {
        match line {
            ResultLine::Nothing => {}
            ResultLine::Unreadable => self.rest().add(&Usage::default()),
            ResultLine::Answered(Some(model), usage)
                if self.by_model.len() < MOST_MODELS || self.by_model.contains_key(&model) =>
            {
                let part = self.by_model.entry(model);
                part.or_insert_with_key(|model| Part::new(prices.of(model))).add(&usage);
            }
            ResultLine::Answered(_, usage) => self.rest().add(&usage),
        }
    }

    fn rest(&mut self) -> &mut Part {
        self.rest.get_or_insert_with(|| Part::new(None))
    }
}

impl Part {
    fn new(price: Option<Price>) -> Self {
        let usage = Usage { service: Some(Service::Batch), source: UsageSource::Vendor, ..Usage::default() };
        Self { price, lines: 0, usage, cost: CostSum::default() }
    }

    fn add(&mut self, usage: &Usage) {
        self.lines = self.lines.saturating_add(1);
        // Whatever a vendor says in an answer, it came by a batch.
        let usage = Usage { service: Some(Service::Batch), ..*usage };
        self.cost.add(self.price.as_ref(), &usage);
        self.usage.count(&usage);
    }
}
