//! Makes every entry fit its place: the log's limit, and the slots that an intent reserves for what follows it.
//!
//! Owns the limits and what is left out when one is met, which is counted in the record. Called at every append.

use std::sync::Arc;

use serde::Serialize;
use tidegate_core::{clock, clock::UnixMillis, ids::TargetId, principal::Delegate, usage::Usage};

use crate::{
    json,
    record::{
        ActivationRecord, AttemptEntry, Caller, IntentRecord, Omitted, OutcomeEntry, OutcomeRecord, RefusalRecord,
        SummaryRecord, VERSION,
    },
    tiles::MAX_ENTRY,
};

/// The largest outcome, in bytes: what an intent reserves for it.
pub(crate) const MAX_OUTCOME: usize = 4 * 1024;
/// The largest attempt record, in bytes.
pub(crate) const MAX_ATTEMPT: usize = 1024;
/// As many budgets, with names of so many bytes, always stay in an intent.
const MOST_BUDGETS: usize = 64;
const LONGEST_BUDGET: usize = 128;
/// The largest integer that every JSON reader keeps.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// An entry does not fit even with everything left out that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an audit record of {0} bytes does not fit its place")]
pub(crate) struct TooLarge(pub(crate) usize);

#[derive(Serialize)]
struct EntryRef<'a> {
    v: u8,
    at: UnixMillis,
    record: RecordRef<'a>,
}

/// The record kinds as they are written, without taking them over.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum RecordRef<'a> {
    Intent(&'a IntentRecord),
    Attempt(&'a AttemptEntry),
    Outcome(&'a OutcomeEntry),
    Refusal(&'a RefusalRecord),
    Activation(&'a ActivationRecord),
    Summary(&'a SummaryRecord),
}

/// A record that can be written.
pub(crate) trait Bounded {
    /// The most bytes its entry may have.
    const MOST: usize;

    /// Writes the entry.
    fn write(&self, into: &mut Vec<u8>) -> bool;

    /// Cuts lists to `items` and texts to `bytes`, and counts what went.
    fn cut(&mut self, items: usize, bytes: usize);
}

fn write(record: RecordRef<'_>, into: &mut Vec<u8>) -> bool {
    let entry = EntryRef { v: VERSION, at: clock::wall(), record };
    json::write(into, &entry).is_ok()
}

/// Appends the entry of `record` to `into`, cut down as far as needed to fit.
pub(crate) fn encode<R: Bounded>(mut record: R, into: &mut Vec<u8>) -> Result<(), TooLarge> {
    let start = into.len();
    let mut size = 0;
    for limits in [None, Some((32, 512)), Some((8, 256)), Some((2, 64)), Some((0, 16))] {
        if let Some((items, bytes)) = limits {
            record.cut(items, bytes);
        }
        into.truncate(start);
        if record.write(into) {
            size = into.len() - start;
            if size <= R::MOST {
                return Ok(());
            }
        }
    }
    into.truncate(start);
    Err(TooLarge(size))
}

fn note(omitted: &mut Omitted, what: &str, many: usize) {
    if many > 0 {
        let count = omitted.entry(Arc::from(what)).or_default();
        *count = count.saturating_add(u32::try_from(many).unwrap_or(u32::MAX));
    }
}

fn list<T>(items: &mut Vec<T>, most: usize, what: &str, omitted: &mut Omitted) {
    note(omitted, what, items.len().saturating_sub(most));
    items.truncate(most);
}

/// The first `most` bytes of `text`, at a character boundary.
fn shortened(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn text(value: &mut Arc<str>, most: usize, omitted: &mut Omitted) {
    let short = shortened(value, most);
    let gone = value.len() - short.len();
    if gone > 0 {
        *value = Arc::from(short);
        note(omitted, "text", gone);
    }
}

fn name<N: AsRef<str> + From<Arc<str>>>(value: &mut N, most: usize, omitted: &mut Omitted) {
    let mut copy: Arc<str> = Arc::from(value.as_ref());
    if copy.len() > most {
        text(&mut copy, most, omitted);
        *value = N::from(copy);
    }
}

fn target(value: &mut TargetId, most: usize, omitted: &mut Omitted) {
    name(&mut value.provider, most, omitted);
    text(&mut value.model, most, omitted);
}

fn caller(value: &mut Caller, items: usize, bytes: usize, omitted: &mut Omitted) {
    name(&mut value.org, bytes, omitted);
    name(&mut value.key_name, bytes, omitted);
    if let Some(team) = &mut value.team {
        name(team, bytes, omitted);
    }
    list(&mut value.chain, items, "chain", omitted);
    for link in &mut value.chain {
        let (Delegate::User(who) | Delegate::Agent(who)) = link;
        text(who, bytes, omitted);
    }
}

fn verdicts(all: &mut Vec<tidegate_core::facts::GuardVerdict>, items: usize, bytes: usize, omitted: &mut Omitted) {
    list(all, items, "verdicts", omitted);
    for verdict in all {
        name(&mut verdict.guardrail, bytes, omitted);
        text(&mut verdict.category, bytes, omitted);
    }
}

fn stages(all: &mut Vec<tidegate_core::event::StageEvent>, items: usize, bytes: usize, omitted: &mut Omitted) {
    list(all, items, "stages", omitted);
    for detail in all.iter_mut().filter_map(|stage| stage.detail.as_mut()) {
        text(detail, bytes, omitted);
    }
}

fn cut_intent(record: &mut IntentRecord, items: usize, bytes: usize) {
    let omitted = &mut record.omitted;
    caller(&mut record.caller, items, bytes, omitted);
    text(&mut record.surface, bytes, omitted);
    text(&mut record.resource, bytes, omitted);
    if let Some(model) = &mut record.model {
        name(model, bytes, omitted);
    }
    if let Some(session) = &mut record.session {
        text(session, bytes, omitted);
    }
    list(&mut record.targets, items, "targets", omitted);
    for each in &mut record.targets {
        target(each, bytes, omitted);
    }
    list(&mut record.policies, items, "policies", omitted);
    for policy in &mut record.policies {
        text(policy, bytes, omitted);
    }
    // Money is held in them after a crash, so they go last.
    list(&mut record.budgets, items.max(MOST_BUDGETS), "budgets", omitted);
    for budget in &mut record.budgets {
        text(budget, bytes.max(LONGEST_BUDGET), omitted);
    }
    verdicts(&mut record.verdicts, items, bytes, omitted);
    stages(&mut record.stages, items, bytes, omitted);
}

fn cut_outcome(record: &mut OutcomeRecord, items: usize, bytes: usize) {
    let omitted = &mut record.omitted;
    for value in [&mut record.fault, &mut record.served_by].into_iter().flatten() {
        text(value, bytes, omitted);
    }
    verdicts(&mut record.verdicts, items, bytes, omitted);
    list(&mut record.losses, items, "losses", omitted);
    for loss in &mut record.losses {
        text(loss, bytes, omitted);
    }
    list(&mut record.blobs, items, "blobs", omitted);
    stages(&mut record.stages, items, bytes, omitted);
}

/// Keeps counts that a vendor made up within what JSON readers keep.
pub(crate) fn clamp_usage(usage: &mut Usage) {
    for count in [
        &mut usage.input,
        &mut usage.cache_read,
        &mut usage.cache_write_5m,
        &mut usage.cache_write_1h,
        &mut usage.output,
        &mut usage.reasoning,
        &mut usage.audio_input,
        &mut usage.audio_cache_read,
        &mut usage.audio_output,
        &mut usage.image_input,
        &mut usage.image_output,
    ] {
        *count = (*count).min(MAX_SAFE);
    }
}

impl Bounded for IntentRecord {
    const MOST: usize = MAX_ENTRY;

    fn write(&self, into: &mut Vec<u8>) -> bool {
        write(RecordRef::Intent(self), into)
    }

    fn cut(&mut self, items: usize, bytes: usize) {
        cut_intent(self, items, bytes);
    }
}

impl Bounded for AttemptEntry {
    const MOST: usize = MAX_ATTEMPT;

    fn write(&self, into: &mut Vec<u8>) -> bool {
        write(RecordRef::Attempt(self), into)
    }

    fn cut(&mut self, _items: usize, bytes: usize) {
        let omitted = &mut self.attempt.omitted;
        text(&mut self.attempt.target, bytes, omitted);
        if let Some(fault) = &mut self.attempt.fault {
            text(fault, bytes, omitted);
        }
    }
}

impl Bounded for OutcomeEntry {
    const MOST: usize = MAX_OUTCOME;

    fn write(&self, into: &mut Vec<u8>) -> bool {
        write(RecordRef::Outcome(self), into)
    }

    fn cut(&mut self, items: usize, bytes: usize) {
        name(&mut self.org, bytes.max(64), &mut self.outcome.omitted);
        cut_outcome(&mut self.outcome, items, bytes);
    }
}

impl Bounded for RefusalRecord {
    const MOST: usize = MAX_ENTRY;

    fn write(&self, into: &mut Vec<u8>) -> bool {
        write(RecordRef::Refusal(self), into)
    }

    fn cut(&mut self, items: usize, bytes: usize) {
        cut_intent(&mut self.call, items, bytes);
        cut_outcome(&mut self.outcome, items, bytes);
    }
}

impl Bounded for ActivationRecord {
    const MOST: usize = MAX_ENTRY;

    fn write(&self, into: &mut Vec<u8>) -> bool {
        write(RecordRef::Activation(self), into)
    }

    fn cut(&mut self, items: usize, bytes: usize) {
        text(&mut self.by, bytes, &mut self.omitted);
        if let Some(reason) = &mut self.reason {
            text(reason, bytes, &mut self.omitted);
        }
        list(&mut self.changes, items, "changes", &mut self.omitted);
        for change in &mut self.changes {
            text(change, bytes, &mut self.omitted);
        }
    }
}

impl Bounded for SummaryRecord {
    const MOST: usize = MAX_ENTRY;

    fn write(&self, into: &mut Vec<u8>) -> bool {
        write(RecordRef::Summary(self), into)
    }

    fn cut(&mut self, items: usize, bytes: usize) {
        text(&mut self.source, bytes, &mut self.omitted);
        let gone = self.counts.len().saturating_sub(items);
        while self.counts.len() > items {
            self.counts.pop_last();
        }
        note(&mut self.omitted, "counts", gone);
    }
}

#[cfg(test)]
mod tests;
