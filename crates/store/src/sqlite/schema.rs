//! The file's tables, and how an older file becomes a newer one. Owns the numbered migrations (`user_version`) and
//! the mark that the file is Tidegate's (`application_id`). Never changes a migration that was released: a change is
//! the next number. Called by `open` alone.

use rusqlite::{Connection, TransactionBehavior};

/// `TGAT`: what SQLite's header says the file belongs to.
pub(crate) const APPLICATION_ID: i32 = 0x5447_4154;

/// What brings a file of version `n` to `n + 1`, by `n`.
const MIGRATIONS: [&str; 7] =
    [FIRST, TOOL_PINS, TOOL_DEFINITIONS, COMPACT_CALLS, BATCHED_CALLS, COMPACT_ENTRIES, FILES_AND_BATCHES];

/// Amounts are whole nano-dollars, moments are milliseconds since 1970, both clamped to what a signed 64-bit integer
/// holds. Whole scope lists are kept once, since there are few and every entry has one.
pub(crate) const FIRST: &str = r#"
CREATE TABLE scope_set (
    id     INTEGER PRIMARY KEY,
    scopes TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE entry (
    call           TEXT NOT NULL PRIMARY KEY,
    org            TEXT NOT NULL,
    key_id         TEXT NOT NULL,
    key            TEXT NOT NULL,
    team           TEXT,
    model          TEXT,
    provider       TEXT,
    target         TEXT,
    scope_set      INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    finished       INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    cost           INTEGER,
    held           INTEGER NOT NULL,
    reserved       INTEGER NOT NULL,
    overrun        INTEGER NOT NULL,
    input          INTEGER NOT NULL,
    cache_read     INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    usage_source   TEXT NOT NULL
) STRICT;
CREATE INDEX entry_at ON entry (at);

CREATE TABLE api_key (
    id      TEXT NOT NULL PRIMARY KEY,
    org     TEXT NOT NULL,
    name    TEXT NOT NULL,
    team    TEXT,
    digest  BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    rules   TEXT
) STRICT;
CREATE UNIQUE INDEX api_key_name ON api_key (org, name) WHERE revoked IS NULL;
CREATE INDEX api_key_org ON api_key (org, name);

CREATE TABLE call (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    org     TEXT NOT NULL,
    at      INTEGER NOT NULL,
    key     TEXT,
    error   TEXT,
    summary TEXT NOT NULL
) STRICT;
CREATE INDEX call_org ON call (org, at, id);
CREATE INDEX call_key ON call (org, key, at, id) WHERE key IS NOT NULL;
CREATE INDEX call_error ON call (org, at, id) WHERE error IS NOT NULL;
"#;

/// What each tool's definition was when it was first seen.
const TOOL_PINS: &str = r#"
CREATE TABLE tool_pins (
    server       TEXT NOT NULL,
    name         TEXT NOT NULL,
    input_schema TEXT NOT NULL,
    digest       BLOB NOT NULL,
    pinned_at    INTEGER NOT NULL,
    PRIMARY KEY (server, name)
) STRICT;
"#;

/// The texts of definitions, and the definition (JSON) that was last seen in place of a pinned one.
const TOOL_DEFINITIONS: &str = r#"
ALTER TABLE tool_pins ADD COLUMN definition TEXT NOT NULL DEFAULT '';
ALTER TABLE tool_pins ADD COLUMN changed TEXT;
"#;

/// A call costs one row and two small indexes: lists by key or error walk the calls of their time.
const COMPACT_CALLS: &str = r#"
DROP INDEX IF EXISTS call_org;
DROP INDEX IF EXISTS call_key;
DROP INDEX IF EXISTS call_error;
ALTER TABLE call RENAME TO wide_call;
CREATE TABLE call (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    org     TEXT NOT NULL,
    at      INTEGER NOT NULL,
    key     TEXT,
    error   TEXT,
    summary BLOB NOT NULL
) STRICT;
INSERT INTO call SELECT seq, id, org, at, key, error, CAST(summary AS BLOB) FROM wide_call ORDER BY seq;
DROP TABLE wide_call;
CREATE INDEX call_org ON call (org, at, id);
"#;

/// A batch of calls costs one row: its number is that of its last call, of all calls ever.
const BATCHED_CALLS: &str = r#"
CREATE TABLE call_batch (
    seq      INTEGER PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    first_id BLOB NOT NULL,
    last_id  BLOB NOT NULL,
    calls    BLOB NOT NULL
) STRICT;
INSERT INTO call_batch
    SELECT seq, at, at, unhex(substr(id, 6)), unhex(substr(id, 6)), summary FROM call
    WHERE unhex(substr(id, 6)) IS NOT NULL ORDER BY seq;
DROP TABLE call;
CREATE INDEX call_batch_at ON call_batch (last_at, first_at);
CREATE INDEX call_batch_id ON call_batch (last_id, first_id);
"#;

/// An entry costs one row of numbers and a small index: whom calls are filed under is kept once, as JSON that tells them
/// apart and in columns that reports go by.
const COMPACT_ENTRIES: &str = r#"
ALTER TABLE entry RENAME TO wide_entry;
DROP INDEX entry_at;
CREATE TABLE attribution (
    id        INTEGER PRIMARY KEY,
    org       TEXT NOT NULL,
    key_id    TEXT NOT NULL,
    key       TEXT NOT NULL,
    team      TEXT,
    model     TEXT,
    provider  TEXT,
    target    TEXT,
    scope_set INTEGER NOT NULL,
    told      TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO attribution (org, key_id, key, team, model, provider, target, scope_set, told)
    SELECT org, key_id, key, team, model, provider, target, scope_set,
        json_array(org, key_id, key, team, model, provider, target, scope_set)
    FROM wide_entry GROUP BY 9;
CREATE TABLE entry (
    call           BLOB NOT NULL PRIMARY KEY,
    at             INTEGER NOT NULL,
    attribution    INTEGER NOT NULL,
    finished       INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    cost           INTEGER,
    held           INTEGER NOT NULL,
    reserved       INTEGER NOT NULL,
    overrun        INTEGER NOT NULL,
    input          INTEGER NOT NULL,
    cache_read     INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output         INTEGER NOT NULL,
    reasoning      INTEGER NOT NULL,
    usage_source   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO entry
    SELECT unhex(substr(call, 6)), at, attribution.id, finished, kind, cost, held, reserved, overrun, input, cache_read,
        cache_write_5m, cache_write_1h, output, reasoning, usage_source
    FROM wide_entry JOIN attribution ON told = json_array(wide_entry.org, wide_entry.key_id, wide_entry.key,
        wide_entry.team, wide_entry.model, wide_entry.provider, wide_entry.target, wide_entry.scope_set)
    ORDER BY call;
DROP TABLE wide_entry;
CREATE INDEX entry_at ON entry (at);
"#;

/// The gateway's own files and batches, as JSON beside what they are looked up by; and which provider keeps what was made
/// there.
const FILES_AND_BATCHES: &str = r#"
CREATE TABLE batch_file (
    id      TEXT NOT NULL PRIMARY KEY,
    org     TEXT NOT NULL,
    owner   TEXT NOT NULL,
    bytes   INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    batch   TEXT,
    told    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_file_owner ON batch_file (org, owner, id);
CREATE INDEX batch_file_expires ON batch_file (expires);

CREATE TABLE batch (
    id      TEXT NOT NULL PRIMARY KEY,
    org     TEXT NOT NULL,
    owner   TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    told    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_owner ON batch (org, owner, id);
CREATE INDEX batch_unended ON batch (id) WHERE ended = 0;

CREATE TABLE made (
    place INTEGER PRIMARY KEY,
    path  TEXT NOT NULL UNIQUE,
    told  TEXT NOT NULL
) STRICT;
"#;

/// The version that this build writes.
pub(crate) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The version of the file; zero for an empty one.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether the file is empty or was made by Tidegate.
pub(crate) fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(id == APPLICATION_ID || (id == 0 && tables == 0))
}

/// Applies every migration that the file does not have yet, each in a transaction of its own, so that a crash between
/// leaves a file of some version.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let from = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    for (to, migration) in (1_u32..).zip(MIGRATIONS).skip(from) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", to)?;
        step.commit()?;
    }
    Ok(())
}
