//! Keys in SQLite. Owns the table `api_key`; sees digests only. Every change waits for the disk.

use rusqlite::{Connection, Row, named_params, params};
use tidegate_config::identity::{KeyDigest, KeyStore, KeyStoreError, StoredKey};
use tidegate_core::{
    clock::UnixMillis,
    ids::{KeyId, OrgId},
};

use super::{
    Sqlite,
    failure::{Failure, clamp, json},
};

const INSERT: &str = "INSERT INTO api_key (id, org, name, team, digest, created, expires, revoked, rules) VALUES (:id, \
     :org, :name, :team, :digest, :created, :expires, :revoked, :rules)";

impl KeyStore for Sqlite {
    fn all(&self) -> Result<Vec<StoredKey>, KeyStoreError> {
        let sql = "SELECT * FROM api_key ORDER BY org, name, created, id";
        self.readers.read(|connection| keys(connection, sql, [])).map_err(Failure::keys)
    }

    fn list(&self, org: &OrgId) -> Result<Vec<StoredKey>, KeyStoreError> {
        let sql = "SELECT * FROM api_key WHERE org = ?1 ORDER BY name, created, id";
        self.readers.read(|connection| keys(connection, sql, [org.as_str()])).map_err(Failure::keys)
    }

    fn insert(&self, key: &StoredKey) -> Result<(), KeyStoreError> {
        let rules = key.rules.as_ref().map(json).transpose().map_err(|problem| Failure::from(problem).keys())?;
        let insert = |connection: &Connection| {
            connection.prepare_cached(INSERT)?.execute(named_params! {
                ":id": key.id.as_str(),
                ":org": key.org.as_str(),
                ":name": key.name.as_str(),
                ":team": key.team.as_ref().map(|team| team.as_str()),
                ":digest": key.digest.0,
                ":created": clamp(key.created.0),
                ":expires": key.expires.map(|at| clamp(at.0)),
                ":revoked": key.revoked.map(|at| clamp(at.0)),
                ":rules": rules,
            })
        };
        self.core.durably(insert).map(|_| ()).map_err(Failure::keys)
    }

    /// A revoked key cannot be rotated: it is `NotFound`, since what it became would be void as well.
    fn rotate(&self, org: &OrgId, id: KeyId, new_id: KeyId, digest: &KeyDigest) -> Result<(), KeyStoreError> {
        let sql = "UPDATE api_key SET id = ?1, digest = ?2 WHERE org = ?3 AND id = ?4 AND revoked IS NULL";
        self.change(|connection| {
            connection.prepare_cached(sql)?.execute(params![new_id.as_str(), digest.0, org.as_str(), id.as_str()])
        })
    }

    /// A revoked key stays as it was: it is `NotFound`.
    fn update(&self, key: &StoredKey) -> Result<(), KeyStoreError> {
        let rules = key.rules.as_ref().map(json).transpose().map_err(|problem| Failure::from(problem).keys())?;
        let sql =
            "UPDATE api_key SET team = ?1, expires = ?2, rules = ?3 WHERE org = ?4 AND id = ?5 AND revoked IS NULL";
        self.change(|connection| {
            connection.prepare_cached(sql)?.execute(params![
                key.team.as_ref().map(|team| team.as_str()),
                key.expires.map(|at| clamp(at.0)),
                rules,
                key.org.as_str(),
                key.id.as_str()
            ])
        })
    }

    fn remove(&self, org: &OrgId, id: KeyId) -> Result<(), KeyStoreError> {
        let sql = "DELETE FROM api_key WHERE org = ?1 AND id = ?2";
        self.change(|connection| connection.prepare_cached(sql)?.execute(params![org.as_str(), id.as_str()]))
    }

    fn revoke(&self, org: &OrgId, id: KeyId, at: UnixMillis) -> Result<(), KeyStoreError> {
        let sql = "UPDATE api_key SET revoked = coalesce(revoked, ?1) WHERE org = ?2 AND id = ?3";
        self.change(|connection| {
            connection.prepare_cached(sql)?.execute(params![clamp(at.0), org.as_str(), id.as_str()])
        })
    }
}

impl Sqlite {
    /// Changes one key durably; `NotFound` where there was none to change.
    fn change(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<usize>) -> Result<(), KeyStoreError> {
        match self.core.durably(work).map_err(Failure::keys)? {
            0 => Err(KeyStoreError::NotFound),
            _ => Ok(()),
        }
    }
}

fn keys(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<StoredKey>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(key_of(row)?);
    }
    Ok(keys)
}

fn key_of(row: &Row<'_>) -> Result<StoredKey, Failure> {
    let moment = |column: &'static str| -> Result<Option<UnixMillis>, Failure> {
        let value: Option<i64> = row.get(column)?;
        value.map(|at| u64::try_from(at).map(UnixMillis).map_err(|_| damaged(column))).transpose()
    };
    let rules: Option<String> = row.get("rules")?;
    Ok(StoredKey {
        id: row.get::<_, String>("id")?.parse().map_err(|_| damaged("id"))?,
        name: row.get::<_, String>("name")?.into(),
        org: row.get::<_, String>("org")?.into(),
        team: row.get::<_, Option<String>>("team")?.map(Into::into),
        digest: KeyDigest(row.get("digest")?),
        created: moment("created")?.ok_or_else(|| damaged("created"))?,
        expires: moment("expires")?,
        revoked: moment("revoked")?,
        rules: rules.map(|text| serde_json::from_str(&text).map_err(|_| damaged("rules"))).transpose()?,
    })
}

fn damaged(column: &'static str) -> Failure {
    Failure::Row { table: "api_key", what: format!("`{column}` holds no such value") }
}
