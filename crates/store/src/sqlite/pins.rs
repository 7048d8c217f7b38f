//! Pinned tool definitions in SQLite. Owns the table `tool_pins`; a pin that is there is never replaced. Every change
//! waits for the disk.

use rusqlite::{Connection, Row, named_params};
use tidegate_config::pins::{PinStore, PinStoreError, PinnedTool};
use tidegate_core::{clock::UnixMillis, ids::Digest};

use super::{
    Sqlite,
    failure::{Failure, clamp},
};

const INSERT: &str = "INSERT INTO tool_pins (server, name, input_schema, digest, pinned_at) VALUES (:server, :name, \
     :input_schema, :digest, :pinned_at) ON CONFLICT (server, name) DO NOTHING";

impl PinStore for Sqlite {
    fn all(&self) -> Result<Vec<PinnedTool>, PinStoreError> {
        self.readers.read(pins).map_err(Failure::pins)
    }

    fn pin(&self, pins: &[PinnedTool]) -> Result<Vec<PinnedTool>, PinStoreError> {
        let insert = |connection: &Connection| {
            let mut statement = connection.prepare_cached(INSERT)?;
            let mut fresh = Vec::new();
            for pin in pins {
                let inserted = statement.execute(named_params! {
                    ":server": pin.server.as_str(),
                    ":name": pin.name.as_str(),
                    ":input_schema": pin.input_schema,
                    ":digest": pin.digest.as_bytes(),
                    ":pinned_at": clamp(pin.pinned_at.0),
                })?;
                if inserted > 0 {
                    fresh.push(pin.clone());
                }
            }
            Ok(fresh)
        };
        self.core.durably(insert).map_err(Failure::pins)
    }
}

fn pins(connection: &Connection) -> Result<Vec<PinnedTool>, Failure> {
    let mut statement = connection.prepare_cached("SELECT * FROM tool_pins ORDER BY server, name")?;
    let mut rows = statement.query([])?;
    let mut pins = Vec::new();
    while let Some(row) = rows.next()? {
        pins.push(pin_of(row)?);
    }
    Ok(pins)
}

fn pin_of(row: &Row<'_>) -> Result<PinnedTool, Failure> {
    let pinned_at = u64::try_from(row.get::<_, i64>("pinned_at")?).map_err(|_| damaged("pinned_at"))?;
    Ok(PinnedTool {
        server: row.get::<_, String>("server")?.into(),
        name: row.get::<_, String>("name")?.into(),
        input_schema: row.get("input_schema")?,
        digest: Digest::from_bytes(row.get("digest")?),
        pinned_at: UnixMillis(pinned_at),
    })
}

fn damaged(column: &'static str) -> Failure {
    Failure::Row { table: "tool_pins", what: format!("`{column}` holds no such value") }
}
