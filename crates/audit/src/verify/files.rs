//! Which files there are, and whether each belongs to the log.

use std::{collections::BTreeSet, fs, path::Path};

use super::VerifyError;
use crate::tiles::{Tile, partials};

/// How many files beyond the checkpoint's own are looked at.
const MOST_EXTRA: usize = 100_000;

/// The files of a log.
pub(super) struct Inventory {
    /// Tiles that the checkpoint does not need.
    pub(super) extra: Vec<Tile>,
    pub(super) files: u64,
    pub(super) drafts: u64,
}

impl Inventory {
    /// Lists everything below `dir`; what is no part of a log is refused.
    pub(super) fn take(dir: &Path, size: u64) -> Result<Self, VerifyError> {
        let mut inventory = Self { extra: Vec::new(), files: 0, drafts: 0 };
        for (name, is_dir) in list(dir, "")? {
            match (name.as_str(), is_dir) {
                ("wal", true) => {}
                ("tile", true) => inventory.tiles(dir, size)?,
                ("staging", true) => inventory.drafts = list(dir, "staging")?.len() as u64,
                ("checkpoint" | "log.pub" | "open", false) => inventory.files += 1,
                ("lock", false) => {
                    let length = fs::metadata(dir.join("lock")).map_err(|error| VerifyError::io("lock", &error))?.len();
                    if length > 0 {
                        return Err(VerifyError::new("lock", "holds something, but should be empty"));
                    }
                    inventory.files += 1;
                }
                _ => return Err(VerifyError::new(name, "is no part of an audit log")),
            }
        }
        inventory.files += list(dir, "wal")?.len() as u64;
        Ok(inventory)
    }

    fn tiles(&mut self, dir: &Path, size: u64) -> Result<(), VerifyError> {
        let needed: BTreeSet<Tile> = partials(size).into_iter().collect();
        let mut open = vec!["tile".to_owned()];
        while let Some(folder) = open.pop() {
            let names = match list(dir, &folder) {
                // A running log takes folders of replaced tiles away.
                Err(_) if !dir.join(&folder).exists() => continue,
                names => names?,
            };
            for (name, is_dir) in names {
                let path = format!("{folder}/{name}");
                if is_dir {
                    open.push(path);
                    continue;
                }
                let tile = Tile::parse(&path).ok_or_else(|| VerifyError::new(&path, "is no tile of an audit log"))?;
                self.files += 1;
                if !((tile.is_full() && tile.needs() <= size) || needed.contains(&tile)) {
                    self.extra.push(tile);
                }
                if self.extra.len() > MOST_EXTRA {
                    return Err(VerifyError::new(path, "is one of too many files that no checkpoint needs"));
                }
            }
        }
        Ok(())
    }
}

/// The names in a folder, sorted, and whether each is a folder. Anything but files and folders is refused.
fn list(dir: &Path, folder: &str) -> Result<Vec<(String, bool)>, VerifyError> {
    let mut names = Vec::new();
    let failed = |error| VerifyError::io(folder, &error);
    for entry in fs::read_dir(dir.join(folder)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name =
            entry.file_name().into_string().map_err(|name| VerifyError::new(name, "is no part of an audit log"))?;
        if !kind.is_dir() && !kind.is_file() {
            return Err(VerifyError::new(format!("{folder}/{name}"), "is neither a file nor a folder"));
        }
        names.push((name, kind.is_dir()));
    }
    names.sort_unstable();
    Ok(names)
}
