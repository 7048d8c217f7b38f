//! The index of calls in SQLite. Owns the table `call`: what lists filter by in columns, the whole summary as a byte
//! for its format and what that says.

use rusqlite::{Connection, OptionalExtension, ToSql, params};
use tidegate_core::{
    calls::{CallIndex, CallIndexError, CallQuery, CallSummary},
    ids::{CallId, OrgId},
};

use super::{
    Sqlite,
    failure::{Failure, clamp},
};
use crate::memory::MOST_LISTED;

const PUT: &str = "INSERT INTO call (id, org, at, key, error, summary) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
     ON CONFLICT (id) DO UPDATE SET org = excluded.org, at = excluded.at, key = excluded.key, error = excluded.error, \
     summary = excluded.summary";
/// The format of [`CallSummary`] that is written: postcard, which leaves names out. The number changes with the type;
/// rows of other formats are left out of lists until they are erased.
const FORMAT: u8 = 1;
/// The first byte of the summaries of older files, which are JSON.
const JSON: u8 = b'{';
/// Numbers only grow, so at most as many rows are left as numbers are; a lower limit takes effect in steps.
const PRUNE: &str = "DELETE FROM call WHERE seq IN (SELECT seq FROM call WHERE seq <= (SELECT max(seq) FROM call) - ?1 \
     ORDER BY seq LIMIT 2000)";

impl CallIndex for Sqlite {
    fn record(&self, call: CallSummary) {
        self.core.record_call(call);
    }

    fn list(&self, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, CallIndexError> {
        self.readers.read(|connection| list(connection, org, query)).map_err(Failure::calls)
    }

    fn get(&self, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, CallIndexError> {
        let get = |connection: &Connection| {
            let bytes: Option<Vec<u8>> = connection
                .prepare_cached("SELECT summary FROM call WHERE org = ?1 AND id = ?2")?
                .query_row(params![org.as_str(), id.to_string()], |row| row.get(0))
                .optional()?;
            bytes.as_deref().map(summary).transpose().map(Option::flatten)
        };
        self.readers.read(get).map_err(Failure::calls)
    }

    fn flush(&self) -> Result<(), CallIndexError> {
        self.core.flush().map_err(Failure::calls)
    }
}

/// Writes one summary within the caller's transaction.
pub(super) fn put(connection: &Connection, call: &CallSummary) -> rusqlite::Result<()> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.push(FORMAT);
    let bytes = postcard::to_extend(call, bytes)
        .map_err(|problem| rusqlite::Error::ToSqlConversionFailure(Box::new(problem)))?;
    connection.prepare_cached(PUT)?.execute(params![
        call.id.to_string(),
        call.org.as_str(),
        clamp(call.at.0),
        call.key.as_ref().map(|key| key.as_str()),
        call.error.as_deref(),
        bytes,
    ])?;
    Ok(())
}

/// Erases the oldest summaries beyond `kept`, some at a time, within the caller's transaction.
pub(super) fn prune(connection: &Connection, kept: u64) -> rusqlite::Result<()> {
    connection.prepare_cached(PRUNE)?.execute([clamp(kept)])?;
    Ok(())
}

fn list(connection: &Connection, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, Failure> {
    let org = org.as_str();
    let before = query.before.map(|before| clamp(before.0));
    let most = clamp(u64::try_from(query.most.min(MOST_LISTED)).unwrap_or(u64::MAX));
    let mut sql = String::from("SELECT summary FROM call WHERE org = ?");
    let mut values: Vec<&dyn ToSql> = vec![&org];
    if let Some(key) = &query.key {
        sql.push_str(" AND key = ?");
        values.push(key);
    }
    match &query.error {
        Some(any) if any == "any" => sql.push_str(" AND error IS NOT NULL"),
        Some(code) => {
            sql.push_str(" AND error = ?");
            values.push(code);
        }
        None => {}
    }
    if let Some(before) = &before {
        sql.push_str(" AND at < ?");
        values.push(before);
    }
    sql.push_str(" ORDER BY at DESC, id DESC LIMIT ?");
    values.push(&most);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values.as_slice())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?;
        found.extend(summary(bytes.as_blob().map_err(|problem| damaged(&problem))?)?);
    }
    Ok(found)
}

/// The summary that `bytes` hold; nothing where they are of a format that this build does not read.
fn summary(bytes: &[u8]) -> Result<Option<CallSummary>, Failure> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            postcard::from_bytes(rest).map(Some).map_err(|_| damaged(&"its summary is unreadable"))
        }
        // The place only: the message itself may quote what is stored.
        Some((&JSON, _)) => serde_json::from_slice(bytes).map(Some).map_err(|problem| {
            damaged(&format_args!("its summary is unreadable at line {} column {}", problem.line(), problem.column()))
        }),
        _ => Ok(None),
    }
}

fn damaged(what: &dyn std::fmt::Display) -> Failure {
    Failure::Row { table: "call", what: what.to_string() }
}
