//! Single changes of a settings file, and their undoing.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalog::Target;
use crate::jsonc::{self, JsoncError};

/// The largest settings file that is changed, in bytes.
const LARGEST: u64 = 64 << 20;

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Edit {
    /// A value at a path.
    Set {
        /// The names on the way.
        at: Vec<String>,
        /// The value.
        to: Value,
    },
    /// An item of an array at a path.
    Append {
        /// The names on the way.
        at: Vec<String>,
        /// The item.
        to: Value,
    },
    /// The whole file.
    Whole {
        /// What it holds.
        text: String,
    },
}

impl Target {
    /// The file's text with every change.
    pub(super) fn applied(&self, text: Option<&str>) -> Result<String, JsoncError> {
        let mut text = text.unwrap_or_default().to_owned();
        for edit in &self.edits {
            text = edit.apply(&text)?;
        }
        Ok(text)
    }
}

fn names(at: &[String]) -> Vec<&str> {
    at.iter().map(String::as_str).collect()
}

impl Edit {
    fn apply(&self, text: &str) -> Result<String, JsoncError> {
        match self {
            Self::Set { at, to } if jsonc::get(non_empty(text), &names(at))?.as_ref() == Some(to) => {
                Ok(text.to_owned())
            }
            Self::Set { at, to } => jsonc::set(text, &names(at), to),
            Self::Append { at, to } => {
                let there = jsonc::get(non_empty(text), &names(at))?;
                let there = there.as_ref().and_then(Value::as_array).is_some_and(|items| items.contains(to));
                if there { Ok(text.to_owned()) } else { jsonc::append(text, &names(at), to) }
            }
            Self::Whole { text } => Ok(text.clone()),
        }
    }

    /// Takes the change back out of a text that others have changed since, where it still stands as it was made.
    /// `before` is what the file held. Says what it leaves alone.
    pub(super) fn take_back(&self, text: &str, before: &str, notes: &mut Vec<String>) -> Result<String, JsoncError> {
        match self {
            Self::Set { at, to } => {
                let path = names(at);
                match jsonc::get(non_empty(text), &path)? {
                    None => Ok(text.to_owned()),
                    Some(now) if now != *to => {
                        notes.push(format!("`{}` was changed since and is left alone", at.join(".")));
                        Ok(text.to_owned())
                    }
                    Some(_) => match jsonc::get(non_empty(before), &path)? {
                        Some(old) => jsonc::set(text, &path, &old),
                        None => without_empty(jsonc::remove(text, &path)?, &path, before),
                    },
                }
            }
            Self::Append { at, to } => {
                let text = jsonc::remove_item(text, &names(at), to)?;
                let mut way = names(at);
                way.push("");
                without_empty(text, &way, before)
            }
            Self::Whole { .. } => {
                notes.push("the file was changed since and is left alone".to_owned());
                Ok(text.to_owned())
            }
        }
    }
}

/// Takes away what holds nothing any more on the way to `path`, unless it was there before.
fn without_empty(mut text: String, path: &[&str], before: &str) -> Result<String, JsoncError> {
    let mut way = path.to_vec();
    while way.pop().is_some() && !way.is_empty() {
        let empty = match jsonc::get(&text, &way)? {
            Some(Value::Object(members)) => members.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        if !empty || jsonc::get(non_empty(before), &way)?.is_some() {
            break;
        }
        text = jsonc::remove(&text, &way)?;
    }
    Ok(text)
}

fn non_empty(text: &str) -> &str {
    if text.trim().is_empty() { "{}" } else { text }
}

/// Where a file really is, behind links, and what it holds; `None` where it is not there.
pub(super) fn read(path: &Path) -> Result<(PathBuf, Option<String>)> {
    let folder = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    let path = fs::canonicalize(path).ok().or_else(folder).unwrap_or_else(|| path.to_path_buf());
    match fs::metadata(&path) {
        Ok(metadata) => {
            ensure!(metadata.is_file() && metadata.len() <= LARGEST, "{} is no settings file", path.display());
            let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            Ok((path, Some(text)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((path, None)),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Writes a file whole or not at all, with the mode that it had, else readable by its owner only; `None` removes it.
pub(super) fn write(path: &Path, text: Option<&str>) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let Some(text) = text else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).with_context(failed),
            _ => Ok(()),
        };
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tidegate-new");
    let beside = PathBuf::from(beside);
    // Made with the narrow mode first: what it holds may be secret.
    let _ = fs::remove_file(&beside);
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let mut file = options.open(&beside).with_context(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).with_context(failed)?;
    fs::rename(&beside, path).with_context(failed)
}
