//! The gateway's own files and batches in SQLite. Owns the tables `batch_file` and `batch`: each row is JSON beside what
//! it is looked up by. Every change waits for the disk.

use rusqlite::{Connection, ToSql, named_params, params};
use serde::de::DeserializeOwned;
use tidegate_core::{
    batches::{BatchId, BatchStore, BatchStoreError, Content, FileId, Owner, Page, StoredBatch, StoredFile},
    clock::UnixMillis,
};

use super::{
    Sqlite,
    failure::{Failure, clamp, json},
};

/// The most rows that one list gives.
const MOST_LISTED: usize = 10_000;
/// The most files that are told to be over at once.
const MOST_OVER: i64 = 1_000;

const PUT_FILE: &str = "INSERT OR REPLACE INTO batch_file (id, org, owner, bytes, expires, batch, told) VALUES (:id, \
     :org, :owner, :bytes, :expires, :batch, :told)";
const PUT_BATCH: &str =
    "INSERT OR REPLACE INTO batch (id, org, owner, created, ended, told) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

impl BatchStore for Sqlite {
    fn keep(&self, batch: Option<&StoredBatch>, files: &[StoredFile]) -> Result<(), BatchStoreError> {
        let write = |connection: &Connection| {
            for file in files {
                put_file(connection, file)?;
            }
            batch.map_or(Ok(()), |batch| put_batch(connection, batch))
        };
        self.core.durably(write).map_err(Failure::batches)
    }

    fn file(&self, owner: &Owner, id: FileId) -> Result<Option<StoredFile>, BatchStoreError> {
        self.one("SELECT told FROM batch_file WHERE id = ?1 AND org = ?2 AND owner = ?3", owner, &id.to_string())
    }

    fn files(&self, owner: &Owner, page: Page<FileId>) -> Result<Vec<StoredFile>, BatchStoreError> {
        let order = Order { table: "batch_file", after: page.after.map(|id| id.to_string()) };
        self.page(&order, owner, (page.newest_first, page.most))
    }

    fn forget_file(&self, id: FileId) -> Result<bool, BatchStoreError> {
        let write = |connection: &Connection| {
            connection.prepare_cached("DELETE FROM batch_file WHERE id = ?1")?.execute([id.to_string()])
        };
        self.core.durably(write).map(|rows| rows > 0).map_err(Failure::batches)
    }

    fn over(&self, now: UnixMillis) -> Result<Vec<StoredFile>, BatchStoreError> {
        let sql = "SELECT told FROM batch_file WHERE expires <= ?1 ORDER BY expires LIMIT ?2";
        self.many(sql, &[&clamp(now.0), &MOST_OVER])
    }

    fn has_file(&self, id: FileId) -> Result<bool, BatchStoreError> {
        let read = |connection: &Connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM batch_file WHERE id = ?1)";
            Ok(connection.query_row(sql, [id.to_string()], |row| row.get(0))?)
        };
        self.readers.read(read).map_err(Failure::batches)
    }

    fn bytes(&self) -> Result<u64, BatchStoreError> {
        let read = |connection: &Connection| {
            let sum: i64 =
                connection.query_row("SELECT coalesce(sum(bytes), 0) FROM batch_file", [], |row| row.get(0))?;
            Ok(u64::try_from(sum).unwrap_or(0))
        };
        self.readers.read(read).map_err(Failure::batches)
    }

    fn batch(&self, owner: &Owner, id: BatchId) -> Result<Option<StoredBatch>, BatchStoreError> {
        self.one("SELECT told FROM batch WHERE id = ?1 AND org = ?2 AND owner = ?3", owner, &id.to_string())
    }

    fn batches(&self, owner: &Owner, page: Page<BatchId>) -> Result<Vec<StoredBatch>, BatchStoreError> {
        let order = Order { table: "batch", after: page.after.map(|id| id.to_string()) };
        self.page(&order, owner, (page.newest_first, page.most))
    }

    fn unended(&self) -> Result<Vec<StoredBatch>, BatchStoreError> {
        self.many("SELECT told FROM batch WHERE ended = 0 ORDER BY id", &[])
    }

    fn forget_batches(&self, before: UnixMillis) -> Result<u64, BatchStoreError> {
        let sql = "DELETE FROM batch WHERE ended = 1 AND created < ?1 AND id NOT IN (SELECT batch FROM batch_file WHERE \
             batch IS NOT NULL)";
        let write = |connection: &Connection| connection.prepare_cached(sql)?.execute([clamp(before.0)]);
        let rows = self.core.durably(write).map_err(Failure::batches)?;
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    }
}

/// The order of a list. Ids sort by when they were made.
struct Order {
    table: &'static str,
    after: Option<String>,
}

impl Sqlite {
    fn one<T: DeserializeOwned>(&self, sql: &str, owner: &Owner, id: &str) -> Result<Option<T>, BatchStoreError> {
        self.many(sql, &[&id, &owner.org.as_str(), &&*owner.name]).map(|mut found| found.pop())
    }

    fn page<T: DeserializeOwned>(
        &self,
        order: &Order,
        owner: &Owner,
        (newest_first, most): (bool, usize),
    ) -> Result<Vec<T>, BatchStoreError> {
        let Order { table, after } = order;
        let (compare, direction) = if newest_first { ("<", "DESC") } else { (">", "ASC") };
        let sql = format!(
            "SELECT told FROM {table} WHERE org = ?1 AND owner = ?2 AND (?3 IS NULL OR id {compare} ?3) ORDER BY id \
             {direction} LIMIT ?4"
        );
        let most = clamp(u64::try_from(most.min(MOST_LISTED)).unwrap_or(u64::MAX));
        self.many(&sql, &[&owner.org.as_str(), &&*owner.name, after, &most])
    }

    fn many<T: DeserializeOwned>(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<T>, BatchStoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(values)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let told: String = row.get(0)?;
                let damaged = |_| Failure::Row { table: "batch", what: "`told` holds no such value".to_owned() };
                found.push(serde_json::from_str(&told).map_err(damaged)?);
            }
            Ok(found)
        };
        self.readers.read(read).map_err(Failure::batches)
    }
}

fn put_file(connection: &Connection, file: &StoredFile) -> rusqlite::Result<()> {
    let batch = match file.content {
        Content::Uploaded => None,
        Content::Answers(batch) | Content::Failures(batch) => Some(batch.to_string()),
    };
    connection.prepare_cached(PUT_FILE)?.execute(named_params! {
        ":id": file.id.to_string(),
        ":org": file.owner.org.as_str(),
        ":owner": &*file.owner.name,
        ":bytes": clamp(file.bytes),
        ":expires": clamp(file.expires.0),
        ":batch": batch,
        ":told": json(file)?,
    })?;
    Ok(())
}

fn put_batch(connection: &Connection, batch: &StoredBatch) -> rusqlite::Result<()> {
    let told = json(batch)?;
    connection.prepare_cached(PUT_BATCH)?.execute(params![
        batch.id.to_string(),
        batch.owner.org.as_str(),
        &*batch.owner.name,
        clamp(batch.created.0),
        i64::from(batch.status.has_ended()),
        told,
    ])?;
    Ok(())
}
