//! A connected client's own key: made when it is connected, lent to its helper, revoked when it is disconnected.
//!
//! Only a gateway that lends keys has them; elsewhere a client shows the key of its user. The secret that comes with a
//! new key is kept nowhere: it is shown where the client asks its user for one, else forgotten.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_core::secret::Secret;

use crate::{
    caller::ends_with,
    cli::Admin,
    client::Client,
    commands::key::{list, segment},
    directory::Directory,
    exit,
    output::{self, Format},
    place::Place,
};

/// The most clients of one kind that have a key each.
const MOST: usize = 64;

/// The key as the record of a connection has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnKey {
    pub(super) name: String,
    /// `None` as long as it was not made.
    id: Option<String>,
    /// The data directory of the gateway that has it.
    data_dir: PathBuf,
}

impl OwnKey {
    /// The key that a client has here already, or the one that would be made for it. Changes nothing.
    pub(super) async fn plan(control: &Client, client: &str, data_dir: &Path, known: Option<&Self>) -> Result<Self> {
        let data_dir = std::path::absolute(data_dir).context("the data directory's path is not known")?;
        let rows = list(&control.get("/keys").await?, "keys");
        let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let valid: Vec<&Value> = rows.iter().filter(|row| text(row, "state").as_deref() == Some("active")).collect();
        if let Some(known) = known.filter(|known| known.data_dir == data_dir) {
            let same_id = |row: &&&Value| known.id.is_some() && text(row, "id") == known.id;
            // A rotated key has another identifier, and its earlier one is nobody's.
            let rotated = !rows.iter().any(|row| text(row, "id") == known.id);
            let same_name = |row: &&&Value| rotated && text(row, "name").as_deref() == Some(&known.name);
            if let Some(row) = valid.iter().find(|row| same_id(row) || same_name(row)) {
                return Ok(Self { name: known.name.clone(), id: text(row, "id"), data_dir });
            }
        }
        let taken = |name: &str| {
            rows.iter().any(|row| {
                text(row, "name").as_deref() == Some(name) && text(row, "state").as_deref() != Some("revoked")
            })
        };
        let names = std::iter::once(client.to_owned()).chain((2..=MOST).map(|at| format!("{client}-{at}")));
        let name = names.into_iter().find(|name| !taken(name)).with_context(|| {
            format!("there are {MOST} keys of {client} already\nhint: tidegate key list, tidegate key revoke NAME")
        })?;
        Ok(Self { name, id: None, data_dir })
    }

    /// Whether both are one key, rotated or not.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.name == other.name && self.data_dir == other.data_dir
    }

    /// Makes it where it is not there; its secret then.
    pub(super) async fn make(&mut self, control: &Client) -> Result<Option<Secret>> {
        if self.id.is_some() {
            return Ok(None);
        }
        let made = control.post("/keys", &json!({"name": self.name})).await?;
        let text = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned);
        self.id = text("id");
        Ok(text("key").map(Secret::new))
    }

    /// Revokes it. Where its gateway does not run, that is said: without it, the key opens nothing.
    pub(super) async fn revoke(&self) {
        let by_hand = format!("revoke it there with `tidegate key revoke {}`", self.name);
        match self.revoked().await {
            Ok(true) => output::talk(&format!("its key {} is revoked", self.name)),
            Ok(false) => {
                let place = self.data_dir.display();
                output::talk(&format!("its key {} stays: no gateway runs over {place}; {by_hand}", self.name));
            }
            Err(error) => output::talk(&format!("its key {} stays: {error:#}; {by_hand}", self.name)),
        }
    }

    /// Whether a gateway was there to revoke it. A key that is not there, or was revoked before, is no error.
    async fn revoked(&self) -> Result<bool> {
        let Some(id) = &self.id else { return Ok(true) };
        let Some(place) = Place::of(&Directory::at(&self.data_dir)) else { return Ok(false) };
        let admin =
            Admin { admin_url: Some(place.control_plane), data_dir: self.data_dir.clone(), output: Format::Table };
        let control = Client::new(&admin)?;
        for key in [id, &self.name] {
            match control.post(&format!("/keys/{}/revoke", segment(key)), &json!({})).await {
                Ok(_) => return Ok(true),
                Err(error) if ends_with(&error, exit::NOT_FOUND) => {}
                Err(error) if ends_with(&error, exit::UNAVAILABLE) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
