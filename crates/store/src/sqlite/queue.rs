//! What waits to be written: entries, which are never given up for want of room, and summaries of calls, of which the
//! oldest are. Owns the two queues, their sizes and their counts; never does I/O, and holds its lock for moves of
//! memory only, so that recording does not wait. The request path fills it, whoever writes empties it.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};
use tidegate_core::calls::CallSummary;
use tidegate_ledger::Entry;

/// The most items of each kind in one transaction.
pub(crate) const BATCH: usize = 500;
/// How long items may gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How many times [`Limits::entry_bytes`] entries may take while the disk refuses them.
const LAST_RESORT: usize = 4;
/// The largest summary that is kept, in bytes of memory.
const LARGEST_CALL: usize = 1 << 20;

/// How much the store keeps and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many calls the index keeps; older ones are erased in the background.
    pub calls_kept: u64,
    /// The most bytes of call summaries that wait to be written; past it the oldest waiting ones are dropped.
    pub call_bytes: usize,
    /// The most bytes of ledger entries that wait to be written; past it whoever records one writes a batch itself.
    pub entry_bytes: usize,
}

impl Default for Limits {
    /// 200,000 calls; 32 MiB of summaries and 64 MiB of entries in waiting.
    fn default() -> Self {
        Self { calls_kept: 200_000, call_bytes: 32 << 20, entry_bytes: 64 << 20 }
    }
}

/// How the write-behind is doing: for status pages and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Ledger entries that wait to be written.
    pub entries_waiting: usize,
    /// Call summaries that wait to be written.
    pub calls_waiting: usize,
    /// Call summaries that were dropped since the start: overload, or larger than may be kept.
    pub calls_dropped: u64,
    /// Ledger entries that were lost since the start: the disk refused them until memory ran out, or they came after
    /// the store was closed. The audit log has them.
    pub entries_lost: u64,
    /// Whether the last attempt to write failed.
    pub failing: bool,
}

/// What is written in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) calls: Vec<CallSummary>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.calls.is_empty()
    }
}

/// What became of an entry that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It waits.
    Waits,
    /// It waits, and there is so much waiting that whoever recorded it must write.
    MustWrite,
    /// It is lost; so many are by now.
    Lost(u64),
}

/// What the writing thread has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Write,
    /// Nothing came for a while: what was only of use in a rush may be given back.
    Rest,
    End,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    entry_bytes: usize,
    calls: VecDeque<CallSummary>,
    call_bytes: usize,
    standing: Standing,
    reported: u64,
    /// Whether the writing thread sleeps until something comes.
    idle: bool,
    closed: bool,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    limits: Limits,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), limits }
    }

    pub(crate) fn push_entry(&self, entry: Entry) -> Taken {
        let bytes = entry_bytes(&entry);
        let mut state = self.state.lock();
        let total = state.entry_bytes.saturating_add(bytes);
        if state.closed || total > self.limits.entry_bytes.saturating_mul(LAST_RESORT) {
            state.standing.entries_lost = state.standing.entries_lost.saturating_add(1);
            return Taken::Lost(state.standing.entries_lost);
        }
        state.entry_bytes = total;
        state.entries.push_back(entry);
        let waiting = state.entries.len();
        self.wake_up(&mut state, waiting);
        if total > self.limits.entry_bytes { Taken::MustWrite } else { Taken::Waits }
    }

    pub(crate) fn push_call(&self, call: CallSummary) {
        let bytes = call_bytes(&call);
        // Outlives the lock: what is dropped is freed after it.
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        if state.closed || bytes > LARGEST_CALL.min(self.limits.call_bytes) {
            state.standing.calls_dropped = state.standing.calls_dropped.saturating_add(1);
            dropped.push(call);
        } else {
            state.call_bytes = state.call_bytes.saturating_add(bytes);
            state.calls.push_back(call);
            self.shed(&mut state, &mut dropped);
            let waiting = state.calls.len();
            self.wake_up(&mut state, waiting);
        }
        drop(state);
    }

    fn shed(&self, state: &mut State, dropped: &mut Vec<CallSummary>) {
        while state.call_bytes > self.limits.call_bytes
            && let Some(oldest) = state.calls.pop_front()
        {
            state.call_bytes = state.call_bytes.saturating_sub(call_bytes(&oldest));
            state.standing.calls_dropped = state.standing.calls_dropped.saturating_add(1);
            dropped.push(oldest);
        }
    }

    fn wake_up(&self, state: &mut State, waiting: usize) {
        if state.idle || waiting == BATCH {
            state.idle = false;
            self.wake.notify_one();
        }
    }

    /// The oldest items, at most [`BATCH`] of each kind.
    pub(crate) fn take(&self) -> Batch {
        let mut batch = Batch { entries: Vec::with_capacity(BATCH), calls: Vec::with_capacity(BATCH) };
        let mut state = self.state.lock();
        let count = state.entries.len().min(BATCH);
        batch.entries.extend(state.entries.drain(..count));
        let count = state.calls.len().min(BATCH);
        batch.calls.extend(state.calls.drain(..count));
        let bytes: usize = batch.entries.iter().map(entry_bytes).sum();
        state.entry_bytes = state.entry_bytes.saturating_sub(bytes);
        let bytes: usize = batch.calls.iter().map(call_bytes).sum();
        state.call_bytes = state.call_bytes.saturating_sub(bytes);
        batch
    }

    /// Puts back, as the oldest, what could not be written.
    pub(crate) fn put_back(&self, batch: Batch) {
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        state.standing.failing = true;
        for entry in batch.entries.into_iter().rev() {
            state.entry_bytes = state.entry_bytes.saturating_add(entry_bytes(&entry));
            state.entries.push_front(entry);
        }
        for call in batch.calls.into_iter().rev() {
            state.call_bytes = state.call_bytes.saturating_add(call_bytes(&call));
            state.calls.push_front(call);
        }
        self.shed(&mut state, &mut dropped);
        drop(state);
    }

    /// Notes that a batch was written, but for so many items that no database would take.
    pub(crate) fn written(&self, unwritable_entries: u64, unwritable_calls: u64) {
        let standing = &mut self.state.lock().standing;
        standing.failing = false;
        standing.entries_lost = standing.entries_lost.saturating_add(unwritable_entries);
        standing.calls_dropped = standing.calls_dropped.saturating_add(unwritable_calls);
    }

    /// How many batches hold everything that waits now.
    pub(crate) fn batches(&self) -> usize {
        let state = self.state.lock();
        state.entries.len().max(state.calls.len()).div_ceil(BATCH)
    }

    /// How many entries were lost since this was last asked.
    pub(crate) fn newly_lost(&self) -> u64 {
        let mut state = self.state.lock();
        let lost = state.standing.entries_lost;
        lost.saturating_sub(std::mem::replace(&mut state.reported, lost))
    }

    /// Sleeps until there is something to write and it had time to gather, or until nothing came for `rest`; says which.
    /// With `None` it sleeps on. Who rests has given back the room that a rush had taken.
    pub(crate) fn wait_for_work(&self, rest: Option<Duration>) -> Next {
        let nothing = |state: &mut State| !state.closed && state.entries.is_empty() && state.calls.is_empty();
        let mut state = self.state.lock();
        state.idle = true;
        if let Some(rest) = rest {
            if self.wake.wait_while_for(&mut state, nothing, rest).timed_out() {
                state.entries.shrink_to(BATCH);
                state.calls.shrink_to(BATCH);
                return Next::Rest;
            }
        } else {
            self.wake.wait_while(&mut state, nothing);
        }
        state.idle = false;
        let few = |state: &mut State| !state.closed && state.entries.len() < BATCH && state.calls.len() < BATCH;
        let _ = self.wake.wait_while_for(&mut state, few, GATHER);
        if state.closed { Next::End } else { Next::Write }
    }

    /// Sleeps so long, or until the queue is closed.
    pub(crate) fn pause(&self, time: Duration) {
        let mut state = self.state.lock();
        let _ = self.wake.wait_while_for(&mut state, |state| !state.closed, time);
    }

    /// Takes nothing from now on, and wakes the writing thread for what waits.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.lock();
        Standing { entries_waiting: state.entries.len(), calls_waiting: state.calls.len(), ..state.standing }
    }
}

/// Roughly how much memory an entry takes. Its scopes are shared and few.
fn entry_bytes(entry: &Entry) -> usize {
    let attribution = &entry.attribution;
    let optional = [
        attribution.team.as_ref().map_or(0, |name| name.as_str().len()),
        attribution.model.as_ref().map_or(0, |name| name.as_str().len()),
        attribution.provider.as_ref().map_or(0, |name| name.as_str().len()),
        attribution.target.as_deref().map_or(0, str::len),
    ];
    size_of::<Entry>()
        + attribution.org.as_str().len()
        + attribution.key_name.as_str().len()
        + optional.iter().sum::<usize>()
}

/// Roughly how much memory a summary takes.
fn call_bytes(call: &CallSummary) -> usize {
    let texts = call.resource.len() + call.served_by.as_deref().map_or(0, str::len);
    let policies: usize =
        call.policies.iter().chain(&call.observed).map(|policy| size_of::<String>() + policy.len()).sum();
    let verdicts: usize = call.verdicts.iter().map(|verdict| size_of_val(verdict) + verdict.category.len()).sum();
    let attempts: usize =
        call.attempts.iter().map(|attempt| size_of_val(attempt) + attempt.target.len() + attempt.outcome.len()).sum();
    let stages: usize =
        call.stages.iter().map(|event| size_of_val(event) + event.detail.as_deref().map_or(0, str::len)).sum();
    let facts: usize = call.facts.iter().map(|pair| size_of_val(pair) + pair.0.len() + pair.1.len()).sum();
    size_of::<CallSummary>() + texts + policies + verdicts + attempts + stages + facts
}

#[cfg(test)]
mod tests;
