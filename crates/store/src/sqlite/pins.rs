//! Pinned tool definitions in SQLite. Owns the table `tool_pins`; a pin that is there is replaced only where the other
//! definition was accepted. Every change waits for the disk.

use rusqlite::{Connection, Row, named_params, params};
use tidegate_config::pins::{PinStore, PinStoreError, PinnedTool};
use tidegate_core::{
    clock::UnixMillis,
    ids::{Digest, ServerName, ToolName},
};

use super::{
    Sqlite,
    failure::{Failure, clamp},
};

const INSERT: &str = "INSERT INTO tool_pins (server, name, input_schema, digest, pinned_at, definition) VALUES \
     (:server, :name, :input_schema, :digest, :pinned_at, :definition)";
const KEEP: &str = " ON CONFLICT (server, name) DO NOTHING";
const REPLACE: &str = " ON CONFLICT (server, name) DO UPDATE SET input_schema = :input_schema, digest = :digest, \
     pinned_at = :pinned_at, definition = :definition, changed = NULL";

impl PinStore for Sqlite {
    fn all(&self) -> Result<Vec<PinnedTool>, PinStoreError> {
        self.readers.read(pins).map_err(Failure::pins)
    }

    fn pin(&self, pins: &[PinnedTool]) -> Result<Vec<PinnedTool>, PinStoreError> {
        self.core.durably(|connection| insert(connection, pins, KEEP)).map_err(Failure::pins)
    }

    fn accept(&self, pins: &[PinnedTool]) -> Result<(), PinStoreError> {
        self.core.durably(|connection| insert(connection, pins, REPLACE).map(drop)).map_err(Failure::pins)
    }

    fn forget(&self, server: &ServerName, tool: &ToolName) -> Result<bool, PinStoreError> {
        let forget = |connection: &Connection| {
            let mut statement = connection.prepare_cached("DELETE FROM tool_pins WHERE server = ? AND name = ?")?;
            Ok(statement.execute([server.as_str(), tool.as_str()])? > 0)
        };
        self.core.durably(forget).map_err(Failure::pins)
    }

    fn changed(&self) -> Result<Vec<PinnedTool>, PinStoreError> {
        self.readers.read(changed).map_err(Failure::pins)
    }

    fn note(&self, server: &ServerName, tool: &ToolName, seen: Option<&PinnedTool>) -> Result<(), PinStoreError> {
        let seen = seen.map(serde_json::to_string).transpose().map_err(|error| PinStoreError(error.to_string()))?;
        let note = |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("UPDATE tool_pins SET changed = ? WHERE server = ? AND name = ?")?;
            statement.execute(params![seen, server.as_str(), tool.as_str()])?;
            Ok(())
        };
        self.core.durably(note).map_err(Failure::pins)
    }
}

/// Inserts pins, those of tools that have one by the rule `conflict`. Gives those that were written.
fn insert(connection: &Connection, pins: &[PinnedTool], conflict: &str) -> rusqlite::Result<Vec<PinnedTool>> {
    let mut statement = connection.prepare_cached(&format!("{INSERT}{conflict}"))?;
    let mut written = Vec::new();
    for pin in pins {
        let rows = statement.execute(named_params! {
            ":server": pin.server.as_str(),
            ":name": pin.name.as_str(),
            ":input_schema": pin.input_schema,
            ":digest": pin.digest.as_bytes(),
            ":pinned_at": clamp(pin.pinned_at.0),
            ":definition": pin.definition,
        })?;
        if rows > 0 {
            written.push(pin.clone());
        }
    }
    Ok(written)
}

fn changed(connection: &Connection) -> Result<Vec<PinnedTool>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT changed FROM tool_pins WHERE changed IS NOT NULL ORDER BY server, name")?;
    let mut rows = statement.query([])?;
    let mut pins = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get("changed")?;
        pins.push(serde_json::from_str(&text).map_err(|_| damaged("changed"))?);
    }
    Ok(pins)
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
        definition: row.get("definition")?,
    })
}

fn damaged(column: &'static str) -> Failure {
    Failure::Row { table: "tool_pins", what: format!("`{column}` holds no such value") }
}
