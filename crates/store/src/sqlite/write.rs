//! The one connection that writes, and who uses it: the thread that writes behind, whoever flushes or changes a key,
//! and whoever records an entry when too much waits. All take the connection first and items second, so items are
//! written in the order in which they came.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, TransactionBehavior};
use tidegate_core::{calls::CallSummary, clock::now};
use tidegate_ledger::Entry;

use super::{
    calls,
    failure::{Failure, is_of_the_item},
    ledger,
    open::{Synchronous, set_synchronous},
    queue::{Batch, Limits, Next, Queue, Standing, Taken},
};

/// The first and the longest pause after a write that failed.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// After how long without anything to write memory is given back.
const REST: Duration = Duration::from_secs(10);

/// The writing connection, and how it fares.
pub(crate) struct Writing {
    pub(super) connection: Option<Connection>,
    known: ledger::Attributions,
    /// The next pause where writing fails.
    pause: Duration,
    /// Before this moment nobody but those who wait for the result tries again.
    not_before: Option<Instant>,
}

impl Writing {
    /// Gives back the pages that the engine keeps for the next write: two megabytes after a rush.
    fn rest(&self) {
        if let Some(connection) = &self.connection
            && let Err(problem) = connection.execute_batch("PRAGMA shrink_memory")
        {
            tracing::debug!(%problem, "the state file's pages stay in memory");
        }
    }
}

pub(crate) struct Core {
    queue: Queue,
    limits: Limits,
    pub(super) writing: Mutex<Writing>,
}

impl Core {
    pub(crate) fn new(connection: Connection, limits: Limits) -> Self {
        let [pause, _] = PAUSES;
        let writing =
            Writing { connection: Some(connection), known: ledger::Attributions::default(), pause, not_before: None };
        Self { queue: Queue::new(limits), limits, writing: Mutex::new(writing) }
    }

    pub(crate) fn record_entry(&self, entry: Entry) {
        match self.queue.push_entry(entry) {
            Taken::Waits => {}
            Taken::MustWrite => {
                let mut writing = self.writing.lock();
                if writing.not_before.is_none_or(|moment| moment <= now()) {
                    // What fails goes back into the queue, is logged, and shows in the standing.
                    let _ = self.write_batch(&mut writing);
                }
            }
            // Every loss counts, but a flood of them must not become a flood in the log.
            Taken::Lost(count) if count.is_power_of_two() => {
                tracing::error!(count, "ledger entries were lost: the state file takes none; the audit log has them");
            }
            Taken::Lost(_) => {}
        }
    }

    pub(crate) fn record_call(&self, call: CallSummary) {
        self.queue.push_call(call);
    }

    pub(crate) fn standing(&self) -> Standing {
        self.queue.standing()
    }

    /// Writes everything recorded before.
    pub(crate) fn flush(&self) -> Result<(), Failure> {
        let mut writing = self.writing.lock();
        // Counted with the connection in hand, when no batch is on its way.
        for _ in 0..self.queue.batches() {
            self.write_batch(&mut writing)?;
        }
        Ok(())
    }

    /// [`Self::flush`]; tells of every loss once.
    pub(crate) fn flush_entries(&self) -> Result<(), Failure> {
        self.flush()?;
        match self.queue.newly_lost() {
            0 => Ok(()),
            lost => Err(Failure::Lost(lost)),
        }
    }

    /// Runs `work` in a transaction of its own, and returns once the disk has it.
    pub(crate) fn durably<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Failure> {
        let mut writing = self.writing.lock();
        let connection = writing.connection.as_mut().ok_or(Failure::Closed)?;
        set_synchronous(connection, Synchronous::Full)?;
        let done = transact(connection, work);
        if let Err(problem) = set_synchronous(connection, Synchronous::Normal) {
            tracing::warn!(%problem, "the state file keeps waiting for the disk at every write");
        }
        Ok(done?)
    }

    /// Stops taking items, writes what waits and closes the connection.
    pub(crate) fn close(&self) -> Result<(), Failure> {
        self.queue.close();
        let written = self.flush();
        let connection = self.writing.lock().connection.take();
        let closed = connection.map_or(Ok(()), |connection| connection.close().map_err(|(_, problem)| problem));
        written?;
        Ok(closed?)
    }

    pub(crate) fn stop(&self) {
        self.queue.close();
    }

    fn write_batch(&self, writing: &mut MutexGuard<'_, Writing>) -> Result<(), Failure> {
        let batch = self.queue.take();
        if batch.is_empty() {
            return Ok(());
        }
        let Writing { connection, known, .. } = &mut **writing;
        let outcome = match connection {
            Some(connection) => {
                transact(connection, |connection| write(connection, known, &batch, self.limits.calls_kept))
                    .map_err(Failure::from)
            }
            None => Err(Failure::Closed),
        };
        let [first, longest] = PAUSES;
        match outcome {
            Ok([entries, calls]) => {
                self.queue.written(entries, calls);
                if writing.not_before.take().is_some() {
                    tracing::info!("the state file takes writes again");
                }
                writing.pause = first;
                Ok(())
            }
            Err(failure) => {
                writing.known.forget();
                self.queue.put_back(batch);
                if writing.not_before.is_none() {
                    tracing::error!(%failure, "the state file takes no writes; what waits is kept in memory");
                }
                writing.not_before = now().checked_add(writing.pause);
                writing.pause = writing.pause.saturating_mul(2).min(longest);
                Err(failure)
            }
        }
    }

    /// What the writing thread does until the queue is closed.
    pub(crate) fn write_behind(self: &Arc<Self>) {
        let mut rest = Some(REST);
        loop {
            match self.queue.wait_for_work(rest) {
                Next::Write => {
                    let mut writing = self.writing.lock();
                    let pause = writing.pause;
                    let outcome = self.write_batch(&mut writing);
                    drop(writing);
                    if outcome.is_err() {
                        self.queue.pause(pause);
                    }
                    rest = Some(REST);
                }
                Next::Rest => {
                    self.writing.lock().rest();
                    rest = None;
                }
                Next::End => return,
            }
        }
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Writes a batch, and gives how many entries and calls no database would take.
fn write(
    connection: &Connection,
    known: &mut ledger::Attributions,
    batch: &Batch,
    calls_kept: u64,
) -> rusqlite::Result<[u64; 2]> {
    let mut unwritable = [0_u64; 2];
    let [lost_entries, lost_calls] = &mut unwritable;
    for entry in &batch.entries {
        tolerate(ledger::put(connection, known, entry), lost_entries, "ledger entry")?;
    }
    if !batch.calls.is_empty() {
        *lost_calls = calls::put(connection, &batch.calls)?;
        calls::prune(connection, calls_kept)?;
    }
    Ok(unwritable)
}

/// Goes on past an item that can never be written, so that it does not hold up all others.
fn tolerate(outcome: rusqlite::Result<()>, unwritable: &mut u64, what: &'static str) -> rusqlite::Result<()> {
    match outcome {
        Err(problem) if is_of_the_item(&problem) => {
            tracing::error!(%problem, "a {what} cannot be written and is left out");
            *unwritable = unwritable.saturating_add(1);
            Ok(())
        }
        other => other,
    }
}
