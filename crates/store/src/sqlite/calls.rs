//! The index of calls in SQLite. Owns the table `call_batch`: calls that were written together are one row, a byte for
//! its format and what that says, beside the span of their moments and ids that lists and look-ups go by. So a call
//! under load costs little more than its bytes, and whoever reads takes rows apart.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};
use tidegate_core::{
    calls::{CallIndex, CallIndexError, CallQuery, CallSummary},
    clock::UnixMillis,
    ids::{CallId, OrgId},
};

use super::{
    Sqlite,
    failure::{Failure, clamp},
};
use crate::memory::{MOST_LISTED, matches};

const PUT: &str = "INSERT INTO call_batch (seq, first_at, last_at, first_id, last_id, calls) \
     VALUES (coalesce((SELECT max(seq) FROM call_batch), 0) + ?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) const LIST: &str = "SELECT seq, last_at, calls FROM call_batch WHERE first_at < ?1 ORDER BY last_at DESC";
pub(super) const GET: &str = "SELECT calls FROM call_batch WHERE last_id >= ?1 AND first_id <= ?1 ORDER BY +seq DESC";
/// Numbers only grow by calls, so at most as many calls are left as numbers are, and the rest of the oldest batch; a
/// lower limit takes effect in steps.
const PRUNE: &str = "DELETE FROM call_batch WHERE seq IN (SELECT seq FROM call_batch WHERE seq <= (SELECT max(seq) \
     FROM call_batch) - ?1 ORDER BY seq LIMIT 2000)";

/// The format of rows that are written: summaries one after the other in postcard, which leaves names out. The number
/// changes with the type; rows of other formats are left out of lists until they are erased.
const BATCH: u8 = 2;
/// One summary in postcard, as an older file has them.
const SINGLE: u8 = 1;
/// The first byte of the summaries of still older files, which are JSON.
const JSON: u8 = b'{';
/// A row that is longer, in bytes, takes no further call.
const FULL: usize = 256 * 1024;

impl CallIndex for Sqlite {
    fn record(&self, call: CallSummary) {
        self.core.record_call(call);
    }

    fn list(&self, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, CallIndexError> {
        self.readers.read(|connection| list(connection, org, query)).map_err(Failure::calls)
    }

    fn get(&self, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, CallIndexError> {
        self.readers.read(|connection| get(connection, org, id)).map_err(Failure::calls)
    }

    fn flush(&self) -> Result<(), CallIndexError> {
        self.core.flush().map_err(Failure::calls)
    }
}

/// A row that is being filled.
struct Row {
    count: i64,
    at: (UnixMillis, UnixMillis),
    id: ([u8; 16], [u8; 16]),
    bytes: Vec<u8>,
}

impl Row {
    fn new(call: &CallSummary) -> Self {
        let mut bytes = Vec::with_capacity(4 * 1024);
        bytes.push(BATCH);
        Self { count: 0, at: (call.at, call.at), id: (*call.id.as_bytes(), *call.id.as_bytes()), bytes }
    }

    /// Adds a summary. Where that fails, the row is as it was.
    fn push(&mut self, call: &CallSummary) -> postcard::Result<()> {
        let length = self.bytes.len();
        // The serializer keeps the buffer where it fails.
        let bytes = postcard::to_extend(call, Appended(&mut self.bytes)).map(drop);
        if bytes.is_err() {
            self.bytes.truncate(length);
            return bytes;
        }
        self.count = self.count.saturating_add(1);
        self.at = (self.at.0.min(call.at), self.at.1.max(call.at));
        self.id = (self.id.0.min(*call.id.as_bytes()), self.id.1.max(*call.id.as_bytes()));
        Ok(())
    }

    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.count > 0 {
            let (first, last) = self.at;
            let values = params![self.count, clamp(first.0), clamp(last.0), self.id.0, self.id.1, self.bytes];
            connection.prepare_cached(PUT)?.execute(values)?;
        }
        Ok(())
    }
}

/// A buffer that is added to where it is.
struct Appended<'a>(&'a mut Vec<u8>);

impl Extend<u8> for Appended<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        self.0.extend(bytes);
    }
}

/// Writes summaries within the caller's transaction, and gives how many of them cannot be written.
pub(super) fn put(connection: &Connection, calls: &[CallSummary]) -> rusqlite::Result<u64> {
    let (mut unwritable, mut row) = (0_u64, None::<Row>);
    for call in calls {
        if let Some(full) = row.take_if(|row| row.bytes.len() >= FULL) {
            full.write(connection)?;
        }
        if let Err(problem) = row.get_or_insert_with(|| Row::new(call)).push(call) {
            tracing::error!(%problem, "a call summary cannot be written and is left out");
            unwritable = unwritable.saturating_add(1);
        }
    }
    row.map_or(Ok(()), |row| row.write(connection))?;
    Ok(unwritable)
}

/// Erases the oldest summaries beyond `kept`, some at a time, within the caller's transaction.
pub(super) fn prune(connection: &Connection, kept: u64) -> rusqlite::Result<()> {
    connection.prepare_cached(PRUNE)?.execute([clamp(kept)])?;
    Ok(())
}

/// Rows are walked from the one with the newest call on, until no further one can hold a call that belongs to the list.
/// A call that was recorded again came in when it came in, so all rows that have it are walked, or none.
fn list(connection: &Connection, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, Failure> {
    let most = query.most.min(MOST_LISTED);
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([query.before.map_or(i64::MAX, |before| clamp(before.0))])?;
    // By id, in which row the latest version stood and when the call came in.
    let mut versions: HashMap<CallId, (i64, UnixMillis)> = HashMap::new();
    let mut found: BTreeMap<(UnixMillis, CallId), CallSummary> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (seq, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        let enough = found.keys().rev().nth(most.saturating_sub(1));
        if enough.is_some_and(|(at, _)| clamp(at.0) > last) {
            break;
        }
        for call in calls(row.get_ref(2)?.as_blob().map_err(|problem| damaged(&problem))?) {
            let call = call?;
            let older = versions.get(&call.id).copied();
            if call.org != *org || older.is_some_and(|(newer, _)| newer > seq) {
                continue;
            }
            if let Some((_, at)) = older {
                found.remove(&(at, call.id));
            }
            versions.insert(call.id, (seq, call.at));
            if matches(&call, query) {
                found.insert((call.at, call.id), call);
            }
        }
    }
    Ok(found.into_values().rev().take(most).collect())
}

fn get(connection: &Connection, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, Failure> {
    let mut statement = connection.prepare_cached(GET)?;
    let mut rows = statement.query([id.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let mut latest = None;
        for call in calls(row.get_ref(0)?.as_blob().map_err(|problem| damaged(&problem))?) {
            latest = Some(call?).filter(|call| call.id == id && call.org == *org).or(latest);
        }
        if latest.is_some() {
            return Ok(latest);
        }
    }
    Ok(None)
}

/// The summaries that a row holds, in the order in which they were written; none where it is of a format that this
/// build does not read.
fn calls(bytes: &[u8]) -> impl Iterator<Item = Result<CallSummary, Failure>> {
    let (format, mut rest) = bytes.split_first().map_or((0, bytes), |(format, rest)| (*format, rest));
    std::iter::from_fn(move || {
        let (read, left) = match format {
            _ if rest.is_empty() => return None,
            BATCH | SINGLE => match postcard::take_from_bytes(rest) {
                Ok((call, left)) => (Ok(call), left),
                Err(_) => (Err(damaged(&"a summary is unreadable")), &[] as &[u8]),
            },
            // The place only: the message itself may quote what is stored.
            JSON => {
                let place = |problem: serde_json::Error| {
                    let (line, column) = (problem.line(), problem.column());
                    damaged(&format_args!("a summary is unreadable at line {line} column {column}"))
                };
                (serde_json::from_slice(bytes).map_err(place), &[] as &[u8])
            }
            _ => return None,
        };
        rest = left;
        Some(read)
    })
}

fn damaged(what: &dyn std::fmt::Display) -> Failure {
    Failure::Row { table: "call_batch", what: what.to_string() }
}
