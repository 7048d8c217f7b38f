//! What was made at providers, in SQLite. Owns the table `made`; its newest rows are the last.

use rusqlite::{Connection, params};
use tidegate_core::made::{Made, MadeStore, MadeStoreError};

use super::{
    Sqlite,
    failure::{Failure, clamp, json},
};

impl MadeStore for Sqlite {
    fn newest_made(&self, most: usize) -> Result<Vec<(String, Made)>, MadeStoreError> {
        let most = clamp(u64::try_from(most).unwrap_or(u64::MAX));
        let read = |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT path, told FROM made ORDER BY place DESC LIMIT ?1")?;
            let mut rows = statement.query([most])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (path, told): (String, String) = (row.get(0)?, row.get(1)?);
                let damaged = |_| Failure::Row { table: "made", what: "`told` holds no such value".to_owned() };
                found.push((path, serde_json::from_str(&told).map_err(damaged)?));
            }
            found.reverse();
            Ok(found)
        };
        self.readers.read(read).map_err(Failure::made)
    }

    fn note_made(&self, path: &str, made: &Made, most: usize) -> Result<(), MadeStoreError> {
        let told = json(made).map_err(|problem| Failure::from(problem).made())?;
        let most = clamp(u64::try_from(most).unwrap_or(u64::MAX));
        let write = |connection: &Connection| {
            connection.prepare_cached("DELETE FROM made WHERE path = ?1")?.execute([path])?;
            connection.prepare_cached("INSERT INTO made (path, told) VALUES (?1, ?2)")?.execute(params![path, told])?;
            let prune = "DELETE FROM made WHERE place <= (SELECT max(place) FROM made) - ?1";
            connection.prepare_cached(prune)?.execute([most])
        };
        self.core.durably(write).map(drop).map_err(Failure::made)
    }

    fn forget_made(&self, path: &str) -> Result<(), MadeStoreError> {
        let write =
            |connection: &Connection| connection.prepare_cached("DELETE FROM made WHERE path = ?1")?.execute([path]);
        self.core.durably(write).map(drop).map_err(Failure::made)
    }
}
