//! What was changed for a client, kept so that it can be undone to the byte.
//!
//! One file a client below `$XDG_STATE_HOME/tidegate/connections`, mode 0600: settings of others may hold secrets.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{
    catalog::home_of,
    edit::{self, Edit},
    own_key::OwnKey,
};

/// One file's change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    /// What the file held; `None` where it was not there.
    pub(super) before: Option<String>,
    pub(super) after: String,
    pub(super) edits: Vec<Edit>,
}

/// Everything that was changed for a client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    client: String,
    files: Vec<Change>,
    /// The client's own key, where its gateway lends one.
    #[serde(default)]
    pub(super) key: Option<OwnKey>,
}

/// A file as it is, and as it will be without the client's connection.
pub(super) struct Undone {
    pub(super) path: PathBuf,
    pub(super) now: Option<String>,
    pub(super) then: Option<String>,
    pub(super) notes: Vec<String>,
}

fn place(client: &str) -> Result<PathBuf> {
    let home = home_of("XDG_STATE_HOME", ".local/state")?;
    Ok(home.join("tidegate/connections").join(format!("{client}.json")))
}

/// What each file of a client would hold without its connection.
pub(super) type Before = HashMap<PathBuf, Option<String>>;

/// What the files of a client would hold without its connection, and its record.
pub(super) fn before(client: &str) -> Result<(Before, Option<Record>)> {
    let Some(record) = Record::read(client)? else { return Ok((HashMap::new(), None)) };
    let undone = record.undone()?.into_iter().map(|file| (file.path, file.then));
    Ok((undone.collect(), Some(record)))
}

impl Record {
    /// The record of a client that is connected.
    pub(super) fn read(client: &str) -> Result<Option<Self>> {
        let path = place(client)?;
        let (_, text) = edit::read(&path)?;
        let read = |text: String| {
            let damaged = || format!("{} is damaged: remove it, and undo the change by hand", path.display());
            serde_json::from_str(&text).with_context(damaged)
        };
        text.map(read).transpose()
    }

    /// Whether everything stands as these changes would make it.
    pub(super) fn holds(&self, changes: &[Change]) -> bool {
        let stands =
            |change: &Change| edit::read(&change.path).is_ok_and(|(_, now)| now.as_deref() == Some(&change.after));
        self.files.len() == changes.len() && changes.iter().all(stands)
    }

    /// Makes the changes: first the record, then the files; what was made is undone where one fails.
    pub(super) fn write(client: &str, changes: &[Change], key: Option<&OwnKey>) -> Result<()> {
        let record = Self { version: 1, client: client.to_owned(), files: changes.to_vec(), key: key.cloned() };
        let path = place(client)?;
        let (_, earlier) = edit::read(&path)?;
        edit::write(&path, Some(&serde_json::to_string_pretty(&record)?))?;
        let mut made: Vec<(&Path, Option<String>)> = Vec::new();
        for change in changes {
            let now = edit::read(&change.path)?.1;
            if let Err(error) = edit::write(&change.path, Some(&change.after)) {
                for (path, now) in made.iter().rev() {
                    edit::write(path, now.as_deref())?;
                }
                edit::write(&path, earlier.as_deref())?;
                return Err(error.context("nothing was changed"));
            }
            made.push((&change.path, now));
        }
        Ok(())
    }

    /// What each file will hold: to the byte what it held, where nobody changed it since; else what it holds without
    /// what was put in.
    pub(super) fn undone(&self) -> Result<Vec<Undone>> {
        let mut undone = Vec::new();
        for change in &self.files {
            let (path, now) = edit::read(&change.path)?;
            let mut notes = Vec::new();
            let then = match &now {
                Some(text) if *text == change.after => change.before.clone(),
                None => None,
                Some(text) => {
                    let before = change.before.as_deref().unwrap_or_default();
                    let mut found = Vec::new();
                    let mut text = text.clone();
                    for edit in change.edits.iter().rev() {
                        text =
                            edit.take_back(&text, before, &mut found).map_err(|error| super::refused(&path, &error))?;
                    }
                    notes.push(format!("{} was changed since: only what was put in is taken out", path.display()));
                    notes.extend(found.into_iter().map(|note| format!("{}: {note}", path.display())));
                    Some(text)
                }
            };
            undone.push(Undone { path, now, then, notes });
        }
        Ok(undone)
    }

    /// Writes what [`Record::undone`] says, and forgets the client.
    pub(super) fn undo(&self, undone: &[Undone]) -> Result<()> {
        for file in undone.iter().filter(|file| file.now != file.then) {
            edit::write(&file.path, file.then.as_deref())?;
        }
        edit::write(&place(&self.client)?, None)
    }
}
