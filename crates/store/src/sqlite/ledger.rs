//! Finished calls' money in SQLite. Owns the tables `entry`, `attribution` and `scope_set`. Sums are taken over the upper and lower
//! halves of amounts, so that SQLite's integers never overflow and nothing is rounded.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tidegate_core::{
    clock::UnixMillis,
    ids::{CallId, ModelName},
    money::NanoUsd,
    usage::{Usage, UsageSource},
};
use tidegate_ledger::{
    Attribution, Balance, Entry, EntryKind, LedgerStore, Scope, SpendBy, SpendQuery, SpendRow, StoreError,
};

use super::{
    Sqlite,
    failure::{Failure, clamp, json},
};

const PUT: &str = "INSERT OR REPLACE INTO entry (call, at, attribution, finished, kind, cost, held, reserved, overrun, \
     input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, usage_source) VALUES (?1, ?2, ?3, ?4, ?5, \
     ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
const FIND_ATTRIBUTION: &str = "SELECT id FROM attribution WHERE told = ?1";
const PUT_ATTRIBUTION: &str = "INSERT INTO attribution (org, key_id, key, team, model, provider, target, scope_set, told) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const LOAD: &str = "SELECT * FROM entry JOIN attribution ON attribution.id = entry.attribution WHERE at >= ?1";

/// A report's query on one column. The column is a constant here, never a text from outside.
macro_rules! spend_by {
    ($column:literal) => {
        concat!(
            "SELECT coalesce(",
            $column,
            ", '') AS name, count(*), \
             sum(cost >> 32), sum(cost & 4294967295), sum(held >> 32), sum(held & 4294967295), \
             sum((input >> 32) + (cache_read >> 32) + (cache_write_5m >> 32) + (cache_write_1h >> 32)), \
             sum((input & 4294967295) + (cache_read & 4294967295) + (cache_write_5m & 4294967295) \
               + (cache_write_1h & 4294967295)), \
             sum(output >> 32), sum(output & 4294967295) \
             FROM entry JOIN attribution ON attribution.id = entry.attribution \
             WHERE at >= ?1 AND at < ?2 AND kind <> 'void' GROUP BY 1 ORDER BY 1"
        )
    };
}

const BALANCES: &str = "SELECT s.scopes, e.cost_high, e.cost_low, e.held_high, e.held_low FROM (SELECT attribution, \
     sum(cost >> 32) AS cost_high, sum(cost & 4294967295) AS cost_low, sum(held >> 32) AS held_high, \
     sum(held & 4294967295) AS held_low FROM entry WHERE at < ?1 GROUP BY attribution) e \
     JOIN attribution a ON a.id = e.attribution JOIN scope_set s ON s.id = a.scope_set";

impl LedgerStore for Sqlite {
    fn record(&self, entry: Entry) {
        self.core.record_entry(entry);
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.core.flush_entries().map_err(|failure| failure.ledger("write entries"))
    }

    fn load(&self, since: UnixMillis) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(|connection| load(connection, since)).map_err(|failure| failure.ledger("load entries"))
    }

    fn balances(&self, before: UnixMillis) -> Result<Vec<Balance>, StoreError> {
        self.readers.read(|connection| balances(connection, before)).map_err(|failure| failure.ledger("sum up entries"))
    }

    fn spend(&self, query: SpendQuery) -> Result<Vec<SpendRow>, StoreError> {
        self.readers.read(|connection| spend(connection, query)).map_err(|failure| failure.ledger("report spend"))
    }
}

/// Writes one entry within the caller's transaction.
pub(super) fn put(connection: &Connection, known: &mut Attributions, entry: &Entry) -> rusqlite::Result<()> {
    let attribution = known.number(connection, entry)?;
    connection.prepare_cached(PUT)?.execute(params![
        entry.call.as_bytes(),
        clamp(entry.at.0),
        attribution,
        clamp(entry.finished.0),
        kind_name(entry.kind),
        entry.cost.map(|cost| clamp(cost.0)),
        clamp(entry.held.0),
        clamp(entry.reserved.0),
        clamp(entry.overrun.0),
        clamp(entry.usage.input),
        clamp(entry.usage.cache_read),
        clamp(entry.usage.cache_write_5m),
        clamp(entry.usage.cache_write_1h),
        clamp(entry.usage.output),
        clamp(entry.usage.reasoning),
        source_name(entry.usage.source),
    ])?;
    Ok(())
}

/// The numbers of what calls were filed under last: most calls are filed like one of a few before.
#[derive(Debug, Default)]
pub(super) struct Attributions(Vec<(Attribution, Arc<[Scope]>, i64)>);

/// How many are remembered.
const REMEMBERED: usize = 64;

impl Attributions {
    fn number(&mut self, connection: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
        let same = |scopes: &Arc<[Scope]>| Arc::ptr_eq(scopes, &entry.scopes) || *scopes == entry.scopes;
        let known = self.0.iter().find(|(known, scopes, _)| *known == entry.attribution && same(scopes));
        if let Some((_, _, number)) = known {
            return Ok(*number);
        }
        let number = attribution(connection, &entry.attribution, scope_set(connection, &entry.scopes)?)?;
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.push((entry.attribution.clone(), Arc::clone(&entry.scopes), number));
        Ok(number)
    }

    /// Forgets all: what was numbered in a transaction that failed has no number.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn attribution(connection: &Connection, attribution: &Attribution, scope_set: i64) -> rusqlite::Result<i64> {
    let (org, key, name) = (&attribution.org, attribution.key.as_str(), &attribution.key_name);
    let Attribution { team, model, provider, target, .. } = attribution;
    let told = json(&(org, key, name, team, model, provider, target, scope_set))?;
    let known = connection.prepare_cached(FIND_ATTRIBUTION)?.query_row([&told], |row| row.get(0)).optional()?;
    match known {
        Some(id) => Ok(id),
        None => connection.prepare_cached(PUT_ATTRIBUTION)?.insert(params![
            org.as_str(),
            key,
            name.as_str(),
            team.as_ref().map(|name| name.as_str()),
            model.as_ref().map(ModelName::as_str),
            provider.as_ref().map(|name| name.as_str()),
            target.as_deref(),
            scope_set,
            told,
        ]),
    }
}

fn scope_set(connection: &Connection, scopes: &[Scope]) -> rusqlite::Result<i64> {
    let text = json(&scopes)?;
    let known = connection
        .prepare_cached("SELECT id FROM scope_set WHERE scopes = ?1")?
        .query_row([&text], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => connection.prepare_cached("INSERT INTO scope_set (scopes) VALUES (?1)")?.insert([&text]),
    }
}

fn load(connection: &Connection, since: UnixMillis) -> Result<Vec<Entry>, Failure> {
    // One transaction, so that every entry's list of scopes is among those read first.
    let reading = connection.unchecked_transaction()?;
    let mut sets: HashMap<i64, Arc<[Scope]>> = HashMap::new();
    let mut statement = reading.prepare_cached("SELECT id, scopes FROM scope_set")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        sets.insert(row.get(0)?, scopes_of(row.get_ref(1)?.as_str().map_err(|_| damaged("scopes"))?)?);
    }
    let mut statement = reading.prepare_cached(LOAD)?;
    let mut rows = statement.query([clamp(since.0)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry_of(row, &sets)?);
    }
    Ok(entries)
}

fn entry_of(row: &Row<'_>, sets: &HashMap<i64, Arc<[Scope]>>) -> Result<Entry, Failure> {
    let text = |column| row.get::<_, String>(column);
    let optional = |column| row.get::<_, Option<String>>(column);
    let amount = |column| amount(row, column);
    let cost: Option<i64> = row.get("cost")?;
    let cost = cost.map(|cost| u64::try_from(cost).map_err(|_| damaged("cost"))).transpose()?;
    Ok(Entry {
        call: CallId::from_bytes(row.get("call")?),
        attribution: Attribution {
            org: text("org")?.into(),
            key: text("key_id")?.parse().map_err(|_| damaged("key_id"))?,
            key_name: text("key")?.into(),
            team: optional("team")?.map(Into::into),
            model: optional("model")?.map(Into::into),
            provider: optional("provider")?.map(Into::into),
            target: optional("target")?.map(Into::into),
        },
        scopes: sets.get(&row.get("scope_set")?).cloned().ok_or_else(|| damaged("scope_set"))?,
        at: UnixMillis(amount("at")?),
        finished: UnixMillis(amount("finished")?),
        kind: kind_of(&text("kind")?).ok_or_else(|| damaged("kind"))?,
        cost: cost.map(NanoUsd),
        held: NanoUsd(amount("held")?),
        reserved: NanoUsd(amount("reserved")?),
        overrun: NanoUsd(amount("overrun")?),
        usage: Usage {
            input: amount("input")?,
            cache_read: amount("cache_read")?,
            cache_write_5m: amount("cache_write_5m")?,
            cache_write_1h: amount("cache_write_1h")?,
            output: amount("output")?,
            reasoning: amount("reasoning")?,
            source: source_of(&text("usage_source")?).ok_or_else(|| damaged("usage_source"))?,
            // Which part was audio or images, and the level of service, are in the index of calls: no report sums them.
            ..Usage::default()
        },
    })
}

fn balances(connection: &Connection, before: UnixMillis) -> Result<Vec<Balance>, Failure> {
    let mut statement = connection.prepare_cached(BALANCES)?;
    let mut rows = statement.query([clamp(before.0)])?;
    let mut sums: BTreeMap<Scope, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let scopes = scopes_of(row.get_ref(0)?.as_str().map_err(|_| damaged("scopes"))?)?;
        let charged = whole(row, 1)?.saturating_add(whole(row, 3)?);
        for scope in scopes.iter() {
            let sum = sums.entry(scope.clone()).or_default();
            *sum = sum.saturating_add(charged);
        }
    }
    Ok(sums.into_iter().map(|(scope, charged)| Balance { scope, charged: NanoUsd(charged) }).collect())
}

fn spend(connection: &Connection, query: SpendQuery) -> Result<Vec<SpendRow>, Failure> {
    let statement = match query.by {
        SpendBy::Org => spend_by!("org"),
        SpendBy::Team => spend_by!("team"),
        SpendBy::Key => spend_by!("key"),
        SpendBy::Model => spend_by!("model"),
        SpendBy::Provider => spend_by!("provider"),
        SpendBy::Target => spend_by!("target"),
    };
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query([clamp(query.from.0), clamp(query.to.0)])?;
    let mut report = Vec::new();
    while let Some(row) = rows.next()? {
        let calls: i64 = row.get(1)?;
        report.push(SpendRow {
            name: row.get(0)?,
            cost: NanoUsd(whole(row, 2)?),
            held: NanoUsd(whole(row, 4)?),
            calls: u64::try_from(calls).map_err(|_| damaged("count"))?,
            input_tokens: whole(row, 6)?,
            output_tokens: whole(row, 8)?,
        });
    }
    // The rows came by name, and the sort is stable.
    report.sort_by_key(|row| Reverse((row.cost, row.held)));
    Ok(report)
}

/// The sum whose upper and lower halves stand in the columns `at` and `at + 1`; saturates.
fn whole(row: &Row<'_>, at: usize) -> Result<u64, Failure> {
    let half = |at| -> Result<u128, Failure> {
        let sum: Option<i64> = row.get(at)?;
        u128::try_from(sum.unwrap_or(0)).map_err(|_| damaged("sum"))
    };
    let sum = (half(at)? << 32).saturating_add(half(at.saturating_add(1))?);
    Ok(u64::try_from(sum).unwrap_or(u64::MAX))
}

fn amount(row: &Row<'_>, column: &'static str) -> Result<u64, Failure> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| damaged(column))
}

fn scopes_of(text: &str) -> Result<Arc<[Scope]>, Failure> {
    let scopes: Vec<Scope> = serde_json::from_str(text).map_err(|_| damaged("scopes"))?;
    Ok(scopes.into())
}

fn damaged(column: &'static str) -> Failure {
    Failure::Row { table: "entry", what: format!("`{column}` holds no such value") }
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Settled => "settled",
        EntryKind::Unknown => "unknown",
        EntryKind::Void => "void",
    }
}

fn kind_of(name: &str) -> Option<EntryKind> {
    [EntryKind::Settled, EntryKind::Unknown, EntryKind::Void].into_iter().find(|kind| kind_name(*kind) == name)
}

fn source_name(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Vendor => "vendor",
        UsageSource::Estimated => "estimated",
    }
}

fn source_of(name: &str) -> Option<UsageSource> {
    [UsageSource::Vendor, UsageSource::Estimated].into_iter().find(|source| source_name(*source) == name)
}
