//! A batch from its first line to its end.
//!
//! Owns the order: look at every line once, run each at most once, make the files. Before a line is run it is noted that
//! it is; a line of which only that is known after a crash may have been paid for, and is not run again: it is told as
//! one of which nobody knows the end. What the disk does not take waits, and no further line begins meanwhile.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    Running, beside,
    check::{self, Lines},
    input::{Input, Line},
    line::{self, Ran},
    slots::{self, Slot},
};
use crate::gate::Gate;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use tidegate_core::{
    batches::{
        BatchError, BatchStatus, BatchStoreError, Content, FileId, LineLog, LineNote, LineState, StoredBatch,
        StoredFile,
    },
    clock,
};

/// The pause after a disk that took nothing.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest line, in bytes.
const LONGEST_LINE: usize = 32 << 20;
/// How often a line is tried whose provider has no room for it.
const MOST_TRIES: u32 = 8;
/// How many lines are told at once that are not run any more.
const AT_ONCE: usize = 200;

/// Why no further line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Cancelled,
    Expired,
    KeyIsGone,
    Full,
    /// The file of lines cannot be read to its end.
    Unreadable,
    /// The gateway stops: the batch goes on at the next start.
    Stopped,
}

impl Over {
    /// What is told of a line that was not run.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Cancelled => ("batch_cancelled", "The batch was cancelled before this line was run."),
            Self::Expired => ("batch_expired", "The time of the batch was over before this line was run."),
            Self::KeyIsGone => ("batch_failed", "The key that made the batch was revoked or has expired."),
            Self::Unreadable => ("batch_failed", UNREADABLE),
            Self::Full | Self::Stopped => ("batch_failed", "There was no space left for answers (batches.storage)."),
        }
    }
}

/// What is told of a file of lines that is there no more, or was changed.
const UNREADABLE: &str = "The file of this batch cannot be read: upload it again.";

/// What is told of a line that had begun when the gateway was killed.
const UNKNOWN: (&str, &str) = (
    "outcome_unknown",
    "The gateway stopped while this line was being run, and its end is not known: it may have been paid for, and is not \
     run again by itself.",
);

/// Why a batch failed whose file cannot be read.
fn unreadable() -> BatchError {
    BatchError {
        code: "invalid_input_file".into(),
        message: UNREADABLE.to_owned(),
        param: Some("input_file_id".into()),
        line: None,
    }
}

/// The log with what it says of each line.
struct Log {
    log: tokio::sync::Mutex<Option<Box<dyn LineLog>>>,
    lines: Mutex<Known>,
}

/// What is known of each line, by its number.
struct Known {
    states: Vec<Option<LineState>>,
    answered: Sum,
    failed: Sum,
}

/// Lines of a file and their bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    lines: u32,
    bytes: u64,
}

impl Known {
    fn note(&mut self, line: u32, state: LineState, bytes: u64) {
        let at = usize::try_from(line).unwrap_or(usize::MAX);
        let Some(known) = self.states.get_mut(at) else { return };
        *known = Some(state);
        let sum = match state {
            LineState::Answered => &mut self.answered,
            LineState::Failed => &mut self.failed,
            LineState::Begun | LineState::Withdrawn => return,
        };
        sum.lines = sum.lines.saturating_add(1);
        // Each line has its end.
        sum.bytes = sum.bytes.saturating_add(bytes).saturating_add(1);
    }

    fn state(&self, line: u32) -> Option<LineState> {
        self.states.get(usize::try_from(line).unwrap_or(usize::MAX)).copied().flatten()
    }
}

/// Runs `running` to its end, or until the gateway stops.
pub(super) async fn run(gate: &Arc<Gate>, running: &Arc<Running>) {
    if running.state.lock().status == BatchStatus::Validating && !validated(gate, running).await {
        return;
    }
    let Some(log) = opened(gate, running).await else { return };
    let log = Arc::new(log);
    let over = lines(gate, running, &log).await;
    if over == Some(Over::Stopped) || gate.batches.stop.is_cancelled() {
        return;
    }
    if let Some(over) = over {
        leftovers(gate, running, &log, over).await;
    }
    ended(gate, running, &log, over).await;
}

/// Asks the disk until it answers; `None` where the gateway stops first.
async fn insist<T: Send + 'static>(
    gate: &Arc<Gate>,
    what: &str,
    work: impl Fn(&Gate) -> Result<T, BatchStoreError> + Send + Clone + 'static,
) -> Option<T> {
    let mut told = false;
    loop {
        let (asked, once) = (Arc::clone(gate), work.clone());
        match beside(move || once(&asked)).await {
            Ok(done) => return Some(done),
            Err(error) if !std::mem::replace(&mut told, true) => {
                tracing::error!(%error, what, "a batch waits for its disk");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = gate.batches.stop.cancelled() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Changes the batch, and returns once that would outlive a crash; false where the gateway stopped first.
async fn change(
    gate: &Arc<Gate>,
    running: &Arc<Running>,
    files: Vec<StoredFile>,
    change: impl FnOnce(&mut StoredBatch),
) -> bool {
    change(&mut running.state.lock());
    let running = Arc::clone(running);
    let keep = move |gate: &Gate| {
        let _alone = running.keeping.lock();
        let state = running.state.lock().clone();
        gate.batches.store.keep(Some(&state), &files)
    };
    insist(gate, "the batch", keep).await.is_some()
}

fn failed(batch: &mut StoredBatch, errors: Vec<BatchError>) {
    batch.status = BatchStatus::Failed;
    batch.moments.failed = Some(clock::wall());
    batch.errors = errors;
}

/// Looks at every line; false where none is to be run.
async fn validated(gate: &Arc<Gate>, running: &Arc<Running>) -> bool {
    let (input, endpoint) = {
        let state = running.state.lock();
        (state.input, state.endpoint)
    };
    let asked = Arc::clone(gate);
    let checked = beside(move || {
        let lines = Lines::new(asked.batches.contents.uploaded(input)?, LONGEST_LINE);
        check::check(lines, endpoint)
    })
    .await;
    let errors = match checked {
        Ok(Ok(total)) => {
            return change(gate, running, Vec::new(), |batch| {
                batch.total = total;
                if batch.status == BatchStatus::Validating {
                    batch.status = BatchStatus::InProgress;
                    batch.moments.in_progress = Some(clock::wall());
                }
            })
            .await;
        }
        Ok(Err(errors)) => errors,
        Err(error) => {
            tracing::error!(%error, "the file of a batch cannot be read");
            vec![unreadable()]
        }
    };
    change(gate, running, Vec::new(), |batch| failed(batch, errors)).await;
    false
}

async fn opened(gate: &Arc<Gate>, running: &Arc<Running>) -> Option<Log> {
    let (id, total) = {
        let state = running.state.lock();
        (state.id, state.total)
    };
    let (log, notes) = insist(gate, "the lines", move |gate| gate.batches.contents.log(id)).await?;
    let states = vec![None; usize::try_from(total).unwrap_or(0).saturating_add(1)];
    let mut known = Known { states, answered: Sum::default(), failed: Sum::default() };
    for (line, state, bytes) in notes {
        known.note(line, state, bytes);
    }
    count(running, &known);
    let bytes = known.answered.bytes.saturating_add(known.failed.bytes);
    gate.batches.bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    Some(Log { log: tokio::sync::Mutex::new(Some(log)), lines: Mutex::new(known) })
}

fn count(running: &Running, known: &Known) {
    let mut state = running.state.lock();
    state.completed = known.answered.lines;
    state.failed = known.failed.lines;
}

/// Notes what became of lines, and insists; false where the gateway stopped first. What is told then is lost, and its
/// line begun.
async fn note(gate: &Arc<Gate>, running: &Running, log: &Log, notes: Vec<LineNote>) -> bool {
    let mut place = log.log.lock().await;
    let notes = Arc::new(notes);
    let Some(writing) = place.take() else { return false };
    let writing = Arc::new(Mutex::new(writing));
    let (asked, told) = (Arc::clone(&writing), Arc::clone(&notes));
    let done = insist(gate, "a line", move |_| asked.lock().add(&told)).await.is_some();
    // Nobody else holds it by now, but for a write that was given up with the gateway.
    *place = Arc::try_unwrap(writing).ok().map(Mutex::into_inner);
    if done {
        let mut known = log.lines.lock();
        let before = known.answered.bytes.saturating_add(known.failed.bytes);
        for note in notes.iter() {
            known.note(note.line, note.state, u64::try_from(note.text.len()).unwrap_or(u64::MAX));
        }
        let more = known.answered.bytes.saturating_add(known.failed.bytes).saturating_sub(before);
        gate.batches.bytes.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
        count(running, &known);
    }
    done
}

/// The lines of the input.
fn reading(gate: &Arc<Gate>, running: &Running) -> Input {
    let (gate, input) = (Arc::clone(gate), running.state.lock().input);
    Input::open(move || Ok(Lines::new(gate.batches.contents.uploaded(input)?, LONGEST_LINE)))
}

type Flying = FuturesUnordered<Pin<Box<dyn Future<Output = Option<Over>> + Send>>>;

/// Runs every line that has not run; why not all of them were begun, where they were not.
async fn lines(gate: &Arc<Gate>, running: &Arc<Running>, log: &Arc<Log>) -> Option<Over> {
    let batch = Arc::new(running.state.lock().clone());
    if batch.status == BatchStatus::Cancelling {
        running.cancel.cancel();
    }
    let mut input = reading(gate, running);
    let mut flying = Flying::new();
    let mut over: Option<Over> = None;
    let mut read_all = false;
    let left = tokio::time::sleep(batch.expires.since(clock::wall()));
    tokio::pin!(left);
    loop {
        if flying.is_empty() && (read_all || over.is_some()) {
            return over;
        }
        tokio::select! {
            biased;
            Some(ended) = flying.next(), if !flying.is_empty() => over = over.or(ended),
            () = gate.batches.stop.cancelled(), if over.is_none() => over = Some(Over::Stopped),
            () = running.cancel.cancelled(), if over.is_none() => over = Some(Over::Cancelled),
            () = &mut left, if over.is_none() => over = Some(Over::Expired),
            next = next(gate, &mut input, log), if over.is_none() && !read_all => match next {
                None => read_all = true,
                Some((Ok((number, bytes)), slot)) => {
                    // A timer fires a moment after its time, in which no line begins either.
                    if batch.expires <= clock::wall() {
                        over = Some(Over::Expired);
                        continue;
                    }
                    let full = gate.live.current().snapshot.batches.is_some_and(|own| gate.batches.is_full(0, own.storage));
                    if full {
                        over = Some(Over::Full);
                        continue;
                    }
                    let (gate, running, log, batch) =
                        (Arc::clone(gate), Arc::clone(running), Arc::clone(log), Arc::clone(&batch));
                    flying.push(Box::pin(async move { one(&gate, &running, &log, &batch, (number, bytes), slot).await }));
                }
                Some((Err(error), _)) => {
                    tracing::error!(%error, "the file of a batch cannot be read to its end");
                    over = Some(Over::Unreadable);
                }
            },
        }
    }
}

/// The next line that has no end, and a place for it.
async fn next(gate: &Arc<Gate>, input: &mut Input, log: &Log) -> Option<(Line, Slot)> {
    let slot = slots::take(gate).await;
    loop {
        match input.next().await? {
            Ok((number, _)) if has_ended(log, number) => {}
            line => return Some((line, slot)),
        }
    }
}

fn has_ended(log: &Log, number: u32) -> bool {
    matches!(log.lines.lock().state(number), Some(LineState::Answered | LineState::Failed))
}

/// One line to its end; why no other is to begin, where that is so.
async fn one(
    gate: &Arc<Gate>,
    running: &Running,
    log: &Log,
    batch: &StoredBatch,
    (number, bytes): (u32, Vec<u8>),
    slot: Slot,
) -> Option<Over> {
    let mut slot = Some(slot);
    let plain = |state| LineNote { line: number, state, text: Vec::new() };
    let Ok(line) = check::line(&bytes) else { return None };
    if log.lines.lock().state(number) == Some(LineState::Begun) {
        let text = line::of_failure(&line.custom_id, &failure_id(batch, number), UNKNOWN.0, UNKNOWN.1);
        note(gate, running, log, vec![LineNote { text, ..plain(LineState::Failed) }]).await;
        return None;
    }
    let body = Bytes::copy_from_slice(line.body.get().as_bytes());
    let (mut tries, mut pause) = (0_u32, Duration::from_secs(1));
    loop {
        if !note(gate, running, log, vec![plain(LineState::Begun)]).await {
            return Some(Over::Stopped);
        }
        let ran = line::run(gate, batch, body.clone()).await;
        let (status, call, body) = match ran {
            Ran::Answered { status, call, body } => (status, call, body),
            Ran::KeyIsGone => {
                note(gate, running, log, vec![plain(LineState::Withdrawn)]).await;
                return Some(Over::KeyIsGone);
            }
            Ran::Again(_, true, answered) if tries >= MOST_TRIES => match *answered {
                Ran::Answered { status, call, body } => (status, call, body),
                Ran::Again(..) | Ran::KeyIsGone => return None,
            },
            Ran::Again(asked, _, _) => {
                note(gate, running, log, vec![plain(LineState::Withdrawn)]).await;
                drop(slot.take());
                tries = tries.saturating_add(1);
                let wait = asked.unwrap_or(pause);
                pause = pause.saturating_mul(2).min(Duration::from_secs(60));
                let left = batch.expires.since(clock::wall());
                tokio::select! {
                    () = gate.batches.stop.cancelled() => return Some(Over::Stopped),
                    () = running.cancel.cancelled() => return Some(Over::Cancelled),
                    () = tokio::time::sleep(wait.min(left)) => {}
                }
                if batch.expires <= clock::wall() {
                    return Some(Over::Expired);
                }
                slot = Some(slots::take(gate).await);
                continue;
            }
        };
        let (text, good) = line::of_answer(&line.custom_id, status, &call, &body);
        let state = if good { LineState::Answered } else { LineState::Failed };
        let noted = note(gate, running, log, vec![LineNote { text, ..plain(state) }]).await;
        return (!noted).then_some(Over::Stopped);
    }
}

/// The id of a line that has no call.
fn failure_id(batch: &StoredBatch, number: u32) -> String {
    format!("{}_{number}", batch.id.to_string().replace("batch_tg_", "batch_req_"))
}

/// Tells of every line that has no end why it was not run; of one that had begun before a crash, that nobody knows.
async fn leftovers(gate: &Arc<Gate>, running: &Arc<Running>, log: &Arc<Log>, over: Over) {
    let batch = running.state.lock().clone();
    let mut input = reading(gate, running);
    let mut notes = Vec::new();
    while let Some(Ok((number, bytes))) = input.next().await {
        let known = log.lines.lock().state(number);
        if !matches!(known, Some(LineState::Answered | LineState::Failed))
            && let Ok(line) = check::line(&bytes)
        {
            let (code, words) = if known == Some(LineState::Begun) { UNKNOWN } else { over.told() };
            let text = line::of_failure(&line.custom_id, &failure_id(&batch, number), code, words);
            notes.push(LineNote { line: number, state: LineState::Failed, text });
        }
        if notes.len() >= AT_ONCE && !note(gate, running, log, std::mem::take(&mut notes)).await {
            return;
        }
    }
    note(gate, running, log, notes).await;
}

/// Makes the files and ends the batch.
async fn ended(gate: &Arc<Gate>, running: &Arc<Running>, log: &Log, over: Option<Over>) {
    let now = clock::wall();
    let (answered, failures) = {
        let known = log.lines.lock();
        (known.answered, known.failed)
    };
    let batch = running.state.lock().clone();
    let keep = gate.live.current().snapshot.batches_keep;
    let file = |sum: Sum, content: Content, kind: &str| {
        (sum.lines > 0).then(|| StoredFile {
            id: FileId::new(),
            owner: batch.owner.clone(),
            name: format!("{}_{kind}.jsonl", batch.id),
            bytes: sum.bytes,
            created: now,
            expires: now.plus(keep),
            content,
        })
    };
    let output = file(answered, Content::Answers(batch.id), "output");
    let error = file(failures, Content::Failures(batch.id), "error");
    let (output_id, error_id) = (output.as_ref().map(|file| file.id), error.as_ref().map(|file| file.id));
    let files = output.into_iter().chain(error).collect();
    change(gate, running, files, |batch| {
        (batch.output, batch.error) = (output_id, error_id);
        batch.moments.finalizing = Some(now);
        let moments = &mut batch.moments;
        match over {
            None | Some(Over::Stopped) => {
                (batch.status, moments.completed) = (BatchStatus::Completed, Some(now));
            }
            Some(Over::Cancelled) => (batch.status, moments.cancelled) = (BatchStatus::Cancelled, Some(now)),
            Some(Over::Expired) => (batch.status, moments.expired) = (BatchStatus::Expired, Some(now)),
            Some(Over::Unreadable) => failed(batch, vec![unreadable()]),
            Some(over @ (Over::KeyIsGone | Over::Full)) => {
                let (code, words) = match over {
                    Over::KeyIsGone => ("key_revoked", over.told().1),
                    _ => ("storage_full", over.told().1),
                };
                let error = BatchError { code: code.into(), message: words.to_owned(), param: None, line: None };
                failed(batch, vec![error]);
            }
        }
    })
    .await;
}
